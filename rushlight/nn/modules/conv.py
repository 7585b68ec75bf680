"""Convolutions and transposed convolutions in one, two and three dimensions.

in_channels, out_channels: of input and result. kernel_size, stride, padding, dilation: numbers, for
all dimensions, or tuples. groups: the channels are split into this many groups, each convolved
alone; it must divide both counts (ValueError). `weight` and `bias` (out,) start uniform in
+-1/sqrt(fan in).
"""

from __future__ import annotations

import math
from typing import Any

import rushlight
from rushlight.nn import functional as F
from rushlight.nn import init
from rushlight.nn.parameter import Parameter, UninitializedParameter
from rushlight.trace.tensor import Tensor

from .lazy import LazyModuleMixin
from .module import Module
from .utils import ntuple, reversed_twice

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]


class _ConvNd(Module):
    """What all convolutions share: arguments, weights, printing."""

    __constants__ = [
        "stride", "padding", "dilation", "groups", "padding_mode", "output_padding", "in_channels",
        "out_channels", "kernel_size",
    ]  # fmt: skip
    weight: Tensor
    bias: Tensor | None
    _dimensions: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple,
        stride: tuple,
        padding: Any,
        dilation: tuple,
        transposed: bool,
        output_padding: tuple,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}"
                )
            if padding == "same" and any(s != 1 for s in stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        modes = ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(
                f"padding_mode must be one of {set(modes)}, but got padding_mode='{padding_mode}'"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._explicit_padding()
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(rushlight.empty(self._weight_shape(), **options))
        if bias:
            self.bias = Parameter(rushlight.empty(out_channels, **options))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _weight_shape(self) -> tuple:
        """(out, in / groups, *kernel), or if transposed (in, out / groups, *kernel)."""
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def _explicit_padding(self) -> list[int]:
        """The padding as `pad` takes it, for modes that are not zeros."""
        if not isinstance(self.padding, str):
            return reversed_twice(self.padding)
        pads = []
        for d, k in zip(reversed(self.dilation), reversed(self.kernel_size)):
            total = d * (k - 1) if self.padding == "same" else 0
            pads += [total // 2, total - total // 2]
        return pads

    def reset_parameters(self) -> None:
        """Draw new initial values: uniform in +-1/sqrt(fan_in)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        zeros, ones = (0,) * len(self.kernel_size), (1,) * len(self.kernel_size)
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
    """An ordinary convolution of `_dimensions` dimensions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        n = self._dimensions
        super().__init__(
            in_channels, out_channels, ntuple(n, kernel_size), ntuple(n, stride),
            padding if isinstance(padding, str) else ntuple(n, padding), ntuple(n, dilation),
            False, (0,) * n, groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        return self._convolve(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)

    def _convolve(self, *args: Any) -> Tensor:
        raise NotImplementedError


class Conv1d(_Conv):
    """Cross-correlation of (N, C, L) or (C, L) with a kernel (out, in / groups, k).

    `y[o, t] = b[o] + sum_(c, i) w[o, c, i] x[c, stride t + dilation i - padding]`; the output's
    length is `(L + 2 padding - dilation (k - 1) - 1) // stride + 1`.

    padding: a number, a tuple, "valid" (none) or "same" (the output is as long as the input;
    strides are a ValueError). padding_mode: "zeros", "reflect", "replicate" or "circular".

    >>> conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
    >>> _ = nn.init.constant_(conv.weight, 1.0)
    >>> conv(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])).tolist()
    [[[3.0, 6.0, 9.0, 7.0]]]
    """

    _dimensions = 1

    def _convolve(self, *args: Any) -> Tensor:
        return F.conv1d(*args)


class Conv2d(_Conv):
    """Cross-correlation of (N, C, H, W) or (C, H, W) with a kernel (out, in / groups, kh, kw).

    Arguments as in `Conv1d`; numbers stand for both dimensions.

    >>> conv = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
    >>> conv(torch.zeros(1, 3, 32, 32)).shape, conv.weight.shape
    (torch.Size([1, 8, 16, 16]), torch.Size([8, 3, 3, 3]))
    """

    _dimensions = 2

    def _convolve(self, *args: Any) -> Tensor:
        return F.conv2d(*args)


class Conv3d(_Conv):
    """Cross-correlation of (N, C, D, H, W) with a kernel (out, in / groups, kd, kh, kw).

    Arguments as in `Conv1d`.

    >>> nn.Conv3d(3, 8, (1, 3, 3), padding="same")(torch.zeros(1, 3, 4, 6, 6)).shape
    torch.Size([1, 8, 4, 6, 6])
    """

    _dimensions = 3

    def _convolve(self, *args: Any) -> Tensor:
        return F.conv3d(*args)


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution: the gradient of a convolution with respect to its input."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        n = self._dimensions
        super().__init__(
            in_channels, out_channels, ntuple(n, kernel_size), ntuple(n, stride),
            ntuple(n, padding), ntuple(n, dilation), True, ntuple(n, output_padding), groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        output_padding = self._output_padding(input, output_size)
        return self._convolve(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups,
            self.dilation,
        )  # fmt: skip

    def _output_padding(self, input: Tensor, output_size: Any) -> tuple:
        """The output padding that gives `output_size`, which must be one of the possible sizes."""
        if output_size is None:
            return self.output_padding
        n = self._dimensions
        batched = input.ndim == n + 2
        sizes = list(output_size)
        if len(sizes) == input.ndim:
            sizes = sizes[input.ndim - n :]
        if len(sizes) != n:
            dims = f"{n}-element or {n + 2 if batched else n + 1}-element"
            raise ValueError(
                f"ConvTranspose{n}D: for {input.ndim}D input, output_size must have {n} or "
                f"{input.ndim} elements (got {len(sizes)}; {dims} expected)"
            )
        spatial = input.shape[input.ndim - n :]
        smallest = [
            (spatial[d] - 1) * self.stride[d]
            - 2 * self.padding[d]
            + self.dilation[d] * (self.kernel_size[d] - 1)
            + 1
            for d in range(n)
        ]
        largest = [low + self.stride[d] - 1 for d, low in enumerate(smallest)]
        for size, low, high in zip(sizes, smallest, largest):
            if not low <= size <= high:
                raise ValueError(
                    f"requested an output size of {sizes}, but valid sizes range from {smallest} "
                    f"to {largest} (for an input of {list(spatial)})"
                )
        return tuple(size - low for size, low in zip(sizes, smallest))

    def _convolve(self, *args: Any) -> Tensor:
        raise NotImplementedError


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution of (N, C, L); the kernel is (in, out / groups, k).

    The gradient of `Conv1d` with respect to its input, as a layer. Output length:
    `(L - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1`; a call may choose it with
    `output_size` (ValueError if it is none of the possible ones).

    >>> conv = nn.ConvTranspose1d(1, 1, 2, stride=2, bias=False)
    >>> _ = nn.init.constant_(conv.weight, 1.0)
    >>> conv(torch.tensor([[[1.0, 2.0, 3.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]]]
    """

    _dimensions = 1

    def _convolve(self, *args: Any) -> Tensor:
        return F.conv_transpose1d(*args)


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution of (N, C, H, W); the kernel is (in, out / groups, kh, kw).

    Arguments as in `ConvTranspose1d`.

    >>> nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)(torch.zeros(1, 8, 16, 16)).shape
    torch.Size([1, 3, 32, 32])
    """

    _dimensions = 2

    def _convolve(self, *args: Any) -> Tensor:
        return F.conv_transpose2d(*args)


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution of (N, C, D, H, W); the kernel is (in, out / groups, kd, kh, kw).

    Arguments as in `ConvTranspose1d`.

    >>> nn.ConvTranspose3d(8, 3, 2, stride=2)(torch.zeros(1, 8, 2, 3, 4)).shape
    torch.Size([1, 3, 4, 6, 8])
    """

    _dimensions = 3

    def _convolve(self, *args: Any) -> Tensor:
        return F.conv_transpose3d(*args)


class _LazyConvMixin(LazyModuleMixin):
    """A convolution that takes `in_channels` from its first input."""

    def __init__(
        self: Any, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
        bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:
        self._start(bias, out_channels, kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups,
                    padding_mode=padding_mode, device=device, dtype=dtype)

    def _start(self: Any, bias: bool, out_channels: int, kernel_size: Any, **options: Any) -> None:
        super().__init__(0, 0, kernel_size, bias=False, **options)
        device, dtype = options["device"], options["dtype"]
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self: Any) -> None:
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self: Any, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Make the weights for inputs with this many channels."""
        if not self.has_uninitialized_params():
            return
        n = self._dimensions
        if input.ndim not in (n + 1, n + 2):
            raise RuntimeError(
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {tuple(input.shape)}"
            )
        self.in_channels = input.shape[-n - 1]
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        self.weight.materialize(self._weight_shape())
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyTransposeMixin(_LazyConvMixin):
    """A transposed convolution that takes `in_channels` from its first input."""

    def __init__(
        self: Any, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._start(bias, out_channels, kernel_size, stride=stride, padding=padding, output_padding=output_padding,
                    dilation=dilation, groups=groups, padding_mode=padding_mode, device=device, dtype=dtype)


class LazyConv1d(_LazyConvMixin, Conv1d):
    """A `Conv1d` that takes `in_channels` from its first input.

    >>> conv = nn.LazyConv1d(8, 3)
    >>> conv(torch.zeros(1, 4, 10)).shape, conv
    (torch.Size([1, 8, 8]), Conv1d(4, 8, kernel_size=(3,), stride=(1,)))
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvMixin, Conv2d):
    """A `Conv2d` that takes `in_channels` from its first input.

    >>> conv = nn.LazyConv2d(8, 3)
    >>> conv(torch.zeros(1, 4, 10, 10)).shape, conv.in_channels
    (torch.Size([1, 8, 8, 8]), 4)
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvMixin, Conv3d):
    """A `Conv3d` that takes `in_channels` from its first input.

    >>> conv = nn.LazyConv3d(8, 3)
    >>> conv(torch.zeros(1, 4, 5, 5, 5)).shape, conv.in_channels
    (torch.Size([1, 8, 3, 3, 3]), 4)
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyTransposeMixin, ConvTranspose1d):
    """A `ConvTranspose1d` that takes `in_channels` from its first input.

    >>> conv = nn.LazyConvTranspose1d(8, 3)
    >>> conv(torch.zeros(1, 4, 10)).shape, conv.in_channels
    (torch.Size([1, 8, 12]), 4)
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposeMixin, ConvTranspose2d):
    """A `ConvTranspose2d` that takes `in_channels` from its first input.

    >>> conv = nn.LazyConvTranspose2d(8, 3)
    >>> conv(torch.zeros(1, 4, 10, 10)).shape, conv.in_channels
    (torch.Size([1, 8, 12, 12]), 4)
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposeMixin, ConvTranspose3d):
    """A `ConvTranspose3d` that takes `in_channels` from its first input.

    >>> conv = nn.LazyConvTranspose3d(8, 3)
    >>> conv(torch.zeros(1, 4, 5, 5, 5)).shape, conv.in_channels
    (torch.Size([1, 8, 7, 7, 7]), 4)
    """

    cls_to_become = ConvTranspose3d
