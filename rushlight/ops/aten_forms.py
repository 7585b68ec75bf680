"""Operators of `torch.ops.aten` (see `namespaces.py`) that have no public name: some of the functions that
PyTorch's gradients and layers call themselves. Each is made of public operators.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..trace.dtypes import dtype as dtype_class
from ..trace.dtypes import uint8
from ..trace.tensor import Tensor
from .max_pooling import _put_flat
from .native_forms import native_batch_norm
from .pointwise import piecewise
from .resampling import _smooth, by_matrix
from .softmax import _softmax_backward, softmax
from .view import _slice

__all__ = [
    "_batch_norm_with_update", "_safe_softmax", "_softmax_backward_data", "_upsample_bilinear2d_aa",
    "max_pool2d_with_indices_backward", "native_dropout_backward", "slice",
]


def _batch_norm_with_update(input: Tensor, weight: Tensor | None, bias: Tensor | None,
                            running_mean: Tensor, running_var: Tensor, momentum: float, eps: float):
    """(`native_batch_norm` in training mode, and an empty reserve); updates the running statistics."""
    made = native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *made, input.new_empty(0, dtype=uint8)


def _safe_softmax(input: Tensor, dim: int, dtype: dtype_class | None = None) -> Tensor:
    """`softmax` with zeros where all inputs are -inf."""
    none = (input == -float("inf")).all(dim, keepdim=True)
    return softmax(input.masked_fill(none, 0), dim, dtype=dtype).masked_fill(none, 0)


def _softmax_backward_data(grad_output: Tensor, output: Tensor, dim: int,
                           input_dtype: dtype_class) -> Tensor:
    """The gradient of `softmax` from its result."""
    return _softmax_backward(grad_output, output, dim).to(input_dtype)


def _upsample_bilinear2d_aa(input: Tensor, output_size: Sequence[int] | None, align_corners: bool,
                            scale_factors: Sequence[float] | float | None = None,
                            scales_w: float | None = None, *, scales_h: float | None = None) -> Tensor:
    """`interpolate` with mode "bilinear" and antialias.

    The fourth argument is a list of two scales, or the one of the height.
    """
    if isinstance(scale_factors, float):
        scales_h, scale_factors = scale_factors, None
    scales = scale_factors or (scales_h, scales_w)
    space = input.shape[2:]
    if output_size is None:
        output_size = [int(n * f) for n, f in zip(space, scales, strict=True)]
    made = input
    for i, (n, size, scale) in enumerate(zip(space, output_size, scales, strict=True)):
        made = by_matrix(made, 2 + i, _smooth(n, size, scale, align_corners, False))
    return made.contiguous()


def max_pool2d_with_indices_backward(grad_output: Tensor, input: Tensor, kernel_size, stride, padding,
                                     dilation, ceil_mode: bool, indices: Tensor) -> Tensor:
    """Gradients of maxima put to where the maxima were; the input's shape. Flat as a function of the input."""
    shape = tuple(input.shape)
    if grad_output.dtype is not input.dtype:
        raise RuntimeError(f"expected gradients of {input.dtype}, but got {grad_output.dtype}")
    if input.ndim == 3:
        made = _put_flat(grad_output[None], indices[None], (1, *shape))[0]
    else:
        made = _put_flat(grad_output, indices, shape)
    return piecewise(made, input)


def native_dropout_backward(grad_output: Tensor, mask: Tensor, scale: float) -> Tensor:
    """`grad_output * mask * scale`."""
    return grad_output * (mask.to(grad_output.dtype) * scale)


def slice(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
          step: int = 1) -> Tensor:
    """The view `start:end:step` of one dim."""
    if step <= 0:
        raise RuntimeError(f"slice step must be positive, got {step}")
    return _slice(input, dim, start, end, step)
