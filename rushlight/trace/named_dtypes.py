"""PyTorch's dtypes that hold no tensors here (packed bits, quantised values): names to compare with, and to refuse."""

from __future__ import annotations

from typing import Any

from . import dtypes
from .dtypes import COMPLEX, FLOAT, INTEGER, dtype, layout


class _Named(dtype):
    """A dtype without arrays."""

    __slots__ = ()

    def __init__(self, name: str, category: int, itemsize: int, signed: bool = True) -> None:
        self.name, self.category, self.itemsize, self.rank = name, category, itemsize, 0
        self.is_floating_point, self.is_complex = category == FLOAT, category == COMPLEX
        self.is_signed, self.is_half = signed, name == "complex32"
        self._np = None

    @property
    def np(self) -> Any:
        """Raises NotImplementedError: there are no arrays of this dtype."""
        raise NotImplementedError(f"torch.{self.name} can only be named: there are no tensors of this dtype")

    def __reduce__(self) -> tuple:
        return _named, (self.name,)


def _named(name: str) -> dtype:
    return NAMED[name]


NAMED = {d.name: d for d in (
    *[_Named(f"int{n}", INTEGER, 1) for n in range(1, 8)],
    *[_Named(f"uint{n}", INTEGER, 1, False) for n in range(1, 8)],
    *[_Named(name, INTEGER, size, False) for name, size in
      (("bits1x8", 1), ("bits2x4", 1), ("bits4x2", 1), ("bits8", 1), ("bits16", 2))],
    *[_Named(name, INTEGER, size) for name, size in (("qint8", 1), ("qint32", 4))],
    *[_Named(name, INTEGER, 1, False) for name in ("quint8", "quint2x4", "quint4x2")],
    _Named("float4_e2m1fn_x2", FLOAT, 1),
    _Named("complex32", COMPLEX, 4),
)}
globals().update(NAMED)
chalf, bit = NAMED["complex32"], NAMED["uint1"]
jagged = layout("jagged")


class qscheme:
    """How quantised values stand for numbers: a scale for a tensor, or for each channel.

    >>> torch.per_tensor_affine
    torch.per_tensor_affine
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


per_tensor_affine, per_channel_affine, per_tensor_symmetric, per_channel_symmetric, per_channel_affine_float_qparams = [
    qscheme(name) for name in ("per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric",
                               "per_channel_affine_float_qparams")
]
legacy_contiguous_format = dtypes.contiguous_format
