"""Layer, group, root-mean-square and local response normalisation."""

from __future__ import annotations

import numbers
from typing import Any

import rushlight
from rushlight.autograd.function import Function, once_differentiable
from rushlight.nn import functional as F
from rushlight.nn import init
from rushlight.nn.parameter import Parameter
from rushlight.trace.tensor import Tensor

from .module import Module

__all__ = ["CrossMapLRN2d", "GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]


class LocalResponseNorm(Module):
    """`y = x / (k + alpha * mean of x**2 over size neighbouring channels)**beta`, for (N, C, *).

    Krizhevsky et al., 2012.

    >>> nn.LocalResponseNorm(2, alpha=1.0, beta=1.0)(torch.ones(1, 3, 1)).flatten()
    tensor([0.6667, 0.5000, 0.5000])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """As `LocalResponseNorm` for (N, C, H, W) over neighbouring channels, as Torch7 computed it.

    The window is symmetric, and channel 0 never leaves it. The gradient is PyTorch's, in which a channel has a
    part in other channels than these: in those of a window that reaches further down than up.

    >>> nn.CrossMapLRN2d(3, alpha=1.0, beta=1.0)(torch.ones(1, 3, 1, 1)).flatten()
    tensor([0.6000, 0.5000, 0.5000])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
        return _CrossMap.apply(input, self.size, self.alpha, self.beta, self.k)


def _summed(x: Tensor, near: Tensor) -> Tensor:
    """The sums of channels: for each the channels that a row of `near` says."""
    return rushlight.einsum("nchw,dc->ndhw", x, near.to(x.dtype))


class _CrossMap(Function):
    """`CrossMapLRN2d`: x / (k + alpha / size * sum of x^2 over the window)^beta."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        beside = (size - 1) // 2
        at = rushlight.arange(input.shape[1])
        near = (at[:, None] - at).abs() <= beside
        near[beside + 1 :, 0] = True
        scale = k + _summed(input.pow(2), near) * (alpha / size)
        made = input * scale.pow(-beta)
        ctx.save_for_backward(input, made, scale)
        ctx.size, ctx.alpha, ctx.beta = size, alpha, beta
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        input, made, scale = ctx.saved_tensors
        at = rushlight.arange(input.shape[1])
        after = at - at[:, None] + int(ctx.size - (ctx.size - 1) / 2)  # PyTorch's place in its window
        shares = _summed(g * made / scale, (after >= 0) & (after < ctx.size))
        factor = 2 * ctx.alpha * ctx.beta / ctx.size
        return scale.pow(-ctx.beta) * g - factor * input * shares, None, None, None, None


class LayerNorm(Module):
    """`y = (x - mean) / sqrt(var + eps) * weight + bias` over the last dimensions.

    normalized_shape: their sizes, a number or a tuple, and the shape of `weight` and `bias`.
    elementwise_affine: have these; bias: have the latter. Raises RuntimeError for inputs whose last
    sizes are others. Ba et al., 2016.

    >>> nn.LayerNorm(3)(torch.tensor([[1.0, 2.0, 3.0]])).detach()
    tensor([[-1.2247,  0.0000,  1.2247]])
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(normalized_shape, numbers.Integral):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        options = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            shape = self.normalized_shape
            value = Parameter(rushlight.empty(shape, **options)) if wanted else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """As layer normalisation over each of `num_groups` groups of channels of (N, C, *).

    `weight` and `bias` are (C,). Raises ValueError if the groups do not divide `num_channels`. Wu
    and He, 2018.

    >>> norm = nn.GroupNorm(2, 6)
    >>> norm(torch.rand(4, 6, 5)).view(4, 2, 15).mean(2).abs().max() < 1e-6
    tensor(True)
    """

    __constants__ = ["num_groups", "num_channels", "eps", "affine"]

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        options = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            value = Parameter(rushlight.empty(num_channels, **options)) if wanted else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """`y = x / sqrt(mean(x**2) + eps) * weight` over the last dimensions.

    normalized_shape: their sizes, a number or a tuple. `eps=None` takes the dtype's machine
    epsilon. Zhang and Sennrich, 2019.

    >>> nn.RMSNorm(2)(torch.tensor([3.0, 4.0])).detach()
    tensor([0.8485, 1.1314])
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(normalized_shape, numbers.Integral):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        if elementwise_affine:
            self.weight = Parameter(
                rushlight.empty(self.normalized_shape, device=device, dtype=dtype)
            )
        else:
            self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )
