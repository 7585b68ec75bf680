"""torch.ao.quantization: the stubs that mark where a model would be quantized. Models stay float."""

from __future__ import annotations

from typing import Any, NoReturn

from ..answers import finder as _finder
from ..nn import Module
from ..trace.tensor import Tensor

__all__ = ["DeQuantStub", "QuantStub", "convert", "fuse_modules", "fuse_modules_qat", "prepare",
           "prepare_qat"]


class QuantStub(Module):
    """Where a model's inputs would be quantized: the identity, as in PyTorch before `prepare`."""

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Tensor) -> Tensor:
        """x"""
        return x


class DeQuantStub(QuantStub):
    """Where a model's outputs would become floats again: the identity."""


def _absent(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: there are no quantized layers."""
    raise RuntimeError(
        "torch.ao.quantization: there are no quantized layers here. Run the model in float32, or with "
        "weights in bfloat16 (model.bfloat16())."
    )


convert = prepare = prepare_qat = fuse_modules = fuse_modules_qat = _absent

__getattr__ = _finder(__name__)
