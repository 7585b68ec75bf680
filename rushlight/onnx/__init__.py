"""torch.onnx: models are not exported to ONNX; libraries may ask."""

from __future__ import annotations

from typing import Any, NoReturn

from ..answers import finder as _finder

__all__ = ["export", "is_in_onnx_export", "register_custom_op_symbolic"]


def is_in_onnx_export() -> bool:
    """False: nothing is being exported.

    >>> torch.onnx.is_in_onnx_export()
    False
    """
    return False


def export(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: save the weights with `torch.save` or `rushlight.safetensors`."""
    raise RuntimeError(
        "torch.onnx.export: models are not exported to ONNX here. Save the weights with torch.save or "
        "rushlight.safetensors; PyTorch reads both, and exports."
    )


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Accepted: nothing is exported, so the function is not called."""

__getattr__ = _finder(__name__)
