"""Pooling layers.

Inputs are (N, C, *space), or (C, *space) without a batch. A size may be a number, for all
dimensions, or a tuple. The windows of `kernel_size` lie `stride` apart (by default they do not
overlap), from `padding` before the first element; their number is `(size + 2 padding - dilation
(kernel_size - 1) - 1) // stride + 1`, rounded up with `ceil_mode`. Raises RuntimeError for a
padding of more than half a window, and inputs that are too small.
"""

from __future__ import annotations

from typing import Any

from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

from .module import Module
from .utils import ntuple

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d",
    "FractionalMaxPool2d", "FractionalMaxPool3d", "LPPool1d", "LPPool2d", "LPPool3d", "MaxPool1d",
    "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d",
]  # fmt: skip


class _MaxPoolNd(Module):
    """The largest value of each window. `stride` defaults to the window's size."""

    __constants__ = ["kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"]

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _options(self) -> dict:
        return {"ceil_mode": self.ceil_mode, "return_indices": self.return_indices}

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """Maximum over windows of (N, C, L) or (C, L); `return_indices` adds where it was.

    >>> nn.MaxPool1d(2)(torch.tensor([[1.0, 5.0, 2.0, 3.0]]))
    tensor([[5., 3.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.max_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, **self._options()
        )


class MaxPool2d(_MaxPoolNd):
    """Maximum over windows of (N, C, H, W) or (C, H, W); `return_indices` adds where it was.

    Indices are int64 positions in the flattened (H, W).

    >>> x = torch.arange(16.0).reshape(1, 4, 4)
    >>> nn.MaxPool2d(2, return_indices=True)(x)
    (tensor([[[ 5.,  7.],
             [13., 15.]]]), tensor([[[ 5,  7],
             [13, 15]]]))
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, **self._options()
        )


class MaxPool3d(_MaxPoolNd):
    """Maximum over windows of (N, C, D, H, W) or (C, D, H, W); `return_indices` adds where it was.

    >>> nn.MaxPool3d(3, stride=2)(torch.zeros(1, 2, 9, 7, 5)).shape
    torch.Size([1, 2, 4, 3, 2])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.max_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, **self._options()
        )


class _MaxUnpoolNd(Module):
    """Puts pooled values back where their maxima were; zeros elsewhere."""

    _dimensions: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        n = self._dimensions
        self.kernel_size = ntuple(n, kernel_size)
        self.stride = ntuple(n, stride if stride is not None else kernel_size)
        self.padding = ntuple(n, padding)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """The partial inverse of `MaxPool1d`, given its result and indices.

    >>> x = torch.tensor([[1.0, 5.0, 2.0, 3.0]])
    >>> nn.MaxUnpool1d(2)(*nn.MaxPool1d(2, return_indices=True)(x))
    tensor([[0., 5., 0., 3.]])
    """

    _dimensions = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool1d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool2d(_MaxUnpoolNd):
    """The partial inverse of `MaxPool2d`, given its result and indices.

    A call's `output_size` chooses among the sizes that pool to this one.

    >>> x = torch.arange(16.0).reshape(1, 4, 4)
    >>> nn.MaxUnpool2d(2)(*nn.MaxPool2d(2, return_indices=True)(x))
    tensor([[[ 0.,  0.,  0.,  0.],
             [ 0.,  5.,  0.,  7.],
             [ 0.,  0.,  0.,  0.],
             [ 0., 13.,  0., 15.]]])
    """

    _dimensions = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool3d(_MaxUnpoolNd):
    """The partial inverse of `MaxPool3d`, given its result and indices.

    >>> pooled, indices = nn.MaxPool3d(2, return_indices=True)(torch.ones(1, 4, 4, 4))
    >>> nn.MaxUnpool3d(2)(pooled, indices).sum()
    tensor(8.)
    """

    _dimensions = 3

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool3d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class _AvgPoolNd(Module):
    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean of each window of (N, C, L) or (C, L).

    count_include_pad: whether zeros of the padding count.

    >>> nn.AvgPool1d(2)(torch.tensor([[1.0, 5.0, 2.0, 3.0]]))
    tensor([[3.0000, 2.5000]])
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = ntuple(1, kernel_size)
        self.stride = ntuple(1, stride if stride is not None else kernel_size)
        self.padding = ntuple(1, padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip


class _AvgPoolDivisor(_AvgPoolNd):
    """Average pooling whose count `divisor_override` can replace."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _arguments(self) -> tuple:
        return (
            self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class AvgPool2d(_AvgPoolDivisor):
    """The mean of each window of (N, C, H, W) or (C, H, W); `divisor_override` is the count.

    >>> nn.AvgPool2d(2)(torch.arange(16.0).reshape(1, 4, 4))
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(input, *self._arguments())


class AvgPool3d(_AvgPoolDivisor):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W).

    >>> nn.AvgPool3d(2)(torch.arange(8.0).reshape(1, 2, 2, 2)).item()
    3.5
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool3d(input, *self._arguments())


class _FractionalMaxPoolNd(Module):
    _dimensions: int

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        super().__init__()
        n = self._dimensions
        self.kernel_size = ntuple(n, kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else ntuple(n, output_size)
        self.output_ratio = None if output_ratio is None else ntuple(n, output_ratio)
        name = type(self).__name__
        if output_size is None and output_ratio is None:
            raise ValueError(
                f"{name} requires specifying either an output size, or a pooling ratio"
            )
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Tensor:
        pool = F.fractional_max_pool2d if self._dimensions == 2 else F.fractional_max_pool3d
        return pool(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            _random_samples=self._random_samples,
        )  # fmt: skip


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """Maximum over pseudo-random windows (Graham, 2014), for an `output_size` or `output_ratio`.

    Exactly one of the two must be given, and the ratio lie in (0, 1): ValueError.

    >>> nn.FractionalMaxPool2d(2, output_ratio=0.7)(torch.rand(1, 3, 10, 20)).shape
    torch.Size([1, 3, 7, 14])
    """

    _dimensions = 2


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """As `FractionalMaxPool2d` over (N, C, D, H, W).

    >>> nn.FractionalMaxPool3d(2, output_size=(3, 4, 5))(torch.rand(1, 3, 6, 8, 10)).shape
    torch.Size([1, 3, 3, 4, 5])
    """

    _dimensions = 3


class _LPPoolNd(Module):
    """The p-norm of each window: `(sum x**p)**(1/p)`."""

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """The p-norm of each window of (N, C, L): `(sum x**p)**(1/p)`, p being `norm_type`.

    >>> nn.LPPool1d(2, 2)(torch.tensor([[3.0, 4.0, 5.0, 12.0]]))
    tensor([[ 5., 13.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool2d(_LPPoolNd):
    """The p-norm of each window of (N, C, H, W); see `LPPool1d`.

    >>> nn.LPPool2d(1, 2)(torch.arange(4.0).reshape(1, 2, 2))
    tensor([[[6.]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool3d(_LPPoolNd):
    """The p-norm of each window of (N, C, D, H, W); see `LPPool1d`.

    >>> nn.LPPool3d(1, 2)(torch.arange(8.0).reshape(1, 2, 2, 2)).item()
    28.0
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool3d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class _AdaptiveMaxPoolNd(Module):
    """As many windows as needed for the wanted output size, and their maxima."""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Maximum over windows so that (N, C, L) becomes (N, C, output_size).

    Window i reaches from `floor(i L / output_size)` to `ceil((i + 1) L / output_size)`.

    >>> nn.AdaptiveMaxPool1d(2)(torch.tensor([[1.0, 5.0, 2.0, 3.0, 4.0]]))
    tensor([[5., 4.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Maximum over windows so that (N, C, H, W) becomes (N, C, *output_size); None keeps a size.

    >>> nn.AdaptiveMaxPool2d((None, 3))(torch.rand(2, 8, 5, 7)).shape
    torch.Size([2, 8, 5, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Maximum over windows so that (N, C, D, H, W) becomes (N, C, *output_size).

    >>> nn.AdaptiveMaxPool3d(2)(torch.rand(2, 8, 5, 7, 9)).shape
    torch.Size([2, 8, 2, 2, 2])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class _AdaptiveAvgPoolNd(Module):
    """As many windows as needed for the wanted output size, and their means."""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Mean over windows so that (N, C, L) becomes (N, C, output_size).

    Window i reaches from `floor(i L / output_size)` to `ceil((i + 1) L / output_size)`.

    >>> nn.AdaptiveAvgPool1d(2)(torch.tensor([[1.0, 5.0, 2.0, 3.0, 4.0]]))
    tensor([[2.6667, 3.0000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Mean over windows so that (N, C, H, W) becomes (N, C, *output_size); None keeps a size.

    >>> nn.AdaptiveAvgPool2d(1)(torch.arange(16.0).reshape(1, 4, 4)).item()
    7.5
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Mean over windows so that (N, C, D, H, W) becomes (N, C, *output_size).

    >>> nn.AdaptiveAvgPool3d((1, 2, None))(torch.rand(2, 8, 5, 7, 9)).shape
    torch.Size([2, 8, 1, 2, 9])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool3d(input, self.output_size)
