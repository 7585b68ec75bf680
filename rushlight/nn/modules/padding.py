"""Padding layers.

Inputs are (N, C, *space), or (C, *space) without a batch. padding: one number for all sides, or a
tuple that counts from the last dimension: (left, right, top, bottom, front, back). Negative numbers
crop where the padding is constant.
"""

from __future__ import annotations

from typing import Any

from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

from .module import Module
from .utils import ntuple

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d",
    "ConstantPad3d", "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d",
    "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class _Pad(Module):
    """Pads `_dimensions` dimensions in the mode `_mode`."""

    __constants__ = ["padding"]
    _dimensions: int
    _mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = ntuple(2 * self._dimensions, padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    __constants__ = ["padding", "value"]

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Pads the last dimension with `value`.

    >>> nn.ConstantPad1d((1, 2), 9.0)(torch.tensor([[1.0, 2.0]]))
    tensor([[9., 1., 2., 9., 9.]])
    """

    _dimensions = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two dimensions with `value`.

    >>> nn.ConstantPad2d((1, 0, 0, 1), 9.0)(torch.ones(1, 1, 2))
    tensor([[[9., 1., 1.],
             [9., 9., 9.]]])
    """

    _dimensions = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three dimensions with `value`.

    >>> nn.ConstantPad3d(1, 9.0)(torch.ones(1, 2, 3, 4)).shape
    torch.Size([1, 4, 5, 6])
    """

    _dimensions = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Pads the last dimension with zeros.

    >>> nn.ZeroPad1d((2, -1))(torch.tensor([[1.0, 2.0]]))
    tensor([[0., 0., 1.]])
    """

    _dimensions = 1


class ZeroPad2d(_ZeroPad):
    """Pads the last two dimensions with zeros.

    >>> nn.ZeroPad2d((1, 0, 0, 1))(torch.ones(1, 1, 2))
    tensor([[[0., 1., 1.],
             [0., 0., 0.]]])
    """

    _dimensions = 2


class ZeroPad3d(_ZeroPad):
    """Pads the last three dimensions with zeros.

    >>> nn.ZeroPad3d((0, 0, 0, 0, 1, 1))(torch.ones(1, 2, 3, 4)).shape
    torch.Size([1, 4, 3, 4])
    """

    _dimensions = 3


class _CircularPad(_Pad):
    _mode = "circular"

    def _check_input_dim(self, input: Tensor) -> None:
        low = self._dimensions + 1
        if input.ndim not in (low, low + 1):
            raise ValueError(f"expected {low}D or {low + 1}D input (got {input.ndim}D input)")

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        return super().forward(input)


class CircularPad1d(_CircularPad):
    """Pads the last dimension with its own other end.

    >>> nn.CircularPad1d((2, 1))(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 3., 1., 2., 3., 1.]])
    """

    _dimensions = 1


class CircularPad2d(_CircularPad):
    """Pads the last two dimensions with their own other ends.

    >>> nn.CircularPad2d((1, 0, 0, 1))(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[2., 1., 2.],
             [4., 3., 4.],
             [2., 1., 2.]]])
    """

    _dimensions = 2


class CircularPad3d(_CircularPad):
    """Pads the last three dimensions with their own other ends.

    >>> nn.CircularPad3d(1)(torch.ones(1, 2, 3, 4)).shape
    torch.Size([1, 4, 5, 6])
    """

    _dimensions = 3


class _ReflectionPad(_Pad):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """Pads the last dimension by reflection, without repeating the edge.

    Raises RuntimeError for a padding that is not smaller than the dimension.

    >>> nn.ReflectionPad1d(2)(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 2., 1., 2., 3., 2., 1.]])
    """

    _dimensions = 1


class ReflectionPad2d(_ReflectionPad):
    """Pads the last two dimensions by reflection, without repeating the edge.

    >>> nn.ReflectionPad2d((1, 0, 0, 1))(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[2., 1., 2.],
             [4., 3., 4.],
             [2., 1., 2.]]])
    """

    _dimensions = 2


class ReflectionPad3d(_ReflectionPad):
    """Pads the last three dimensions by reflection, without repeating the edge.

    >>> nn.ReflectionPad3d(1)(torch.ones(1, 2, 3, 4)).shape
    torch.Size([1, 4, 5, 6])
    """

    _dimensions = 3


class _ReplicationPad(_Pad):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """Pads the last dimension with its edge values.

    >>> nn.ReplicationPad1d((2, 1))(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 1., 1., 2., 2.]])
    """

    _dimensions = 1


class ReplicationPad2d(_ReplicationPad):
    """Pads the last two dimensions with their edge values.

    >>> nn.ReplicationPad2d((1, 0, 0, 1))(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[1., 1., 2.],
             [3., 3., 4.],
             [3., 3., 4.]]])
    """

    _dimensions = 2


class ReplicationPad3d(_ReplicationPad):
    """Pads the last three dimensions with their edge values.

    >>> nn.ReplicationPad3d(1)(torch.ones(1, 2, 3, 4)).shape
    torch.Size([1, 4, 5, 6])
    """

    _dimensions = 3
