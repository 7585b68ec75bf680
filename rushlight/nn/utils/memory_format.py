"""Layouts of convolution weights."""

from __future__ import annotations

from typing import Any

from rushlight.trace import no_grad


def _convert(module: Any, names: tuple[str, ...], memory_format: Any) -> Any:
    with no_grad():
        for m in module.modules():
            if type(m).__name__.removeprefix("Lazy") in names:
                m.weight.data = m.weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Lay out the weights of all two-dimensional convolutions in `memory_format`."""
    return _convert(module, ("Conv2d", "ConvTranspose2d"), memory_format)


def convert_conv3d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Lay out the weights of all three-dimensional convolutions in `memory_format`."""
    return _convert(module, ("Conv3d", "ConvTranspose3d"), memory_format)
