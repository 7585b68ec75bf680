"""torch.masked: reductions and normalisations of the elements that a boolean mask keeps.

mask: True where an element counts; its shape broadcasts to the input's. What is left out is
replaced by the operation's identity, so a result that nothing counts for is that identity (of
means NaN). A MaskedTensor brings a mask of its own; the results are plain tensors.
"""

from __future__ import annotations

import math
from typing import Any

import rushlight as torch
from rushlight.trace.tensor import Tensor

from . import masked_forms  # noqa: F401 - what operators do with masked tensors
from .answers import finder as _finder
from .masked_tensor import MaskedTensor, as_masked_tensor, is_masked_tensor, masked_tensor
from .ops.rules import wrap_dim

__all__ = [
    "MaskedTensor",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "as_masked_tensor",
    "cumprod",
    "cumsum",
    "is_masked_tensor",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "masked_tensor",
    "mean",
    "median",
    "norm",
    "normalize",
    "prod",
    "softmax",
    "softmin",
    "std",
    "sum",
    "var",
]

Dims = int | tuple[int, ...] | None


def _whole_mask(input: Tensor, mask: Tensor) -> Tensor:
    """The mask in the input's shape."""
    if mask.ndim > input.ndim:
        raise IndexError(
            f"masked: expected a mask that broadcasts to the input, but it has {mask.ndim} "
            f"dimensions and the input {input.ndim}"
        )
    return torch.broadcast_to(mask, input.shape).to(torch.bool)


def _parts(input: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The data and mask of a MaskedTensor, of which `mask` keeps less; others as they are."""
    if not is_masked_tensor(input):
        return input, mask
    own = input.get_mask()
    return input.get_data(), own if mask is None else own & _whole_mask(input, mask)


def _kept(input: Tensor, mask: Tensor | None, identity: Any) -> Tensor:
    """The input with `identity` where the mask leaves elements out."""
    input, mask = _parts(input, mask)
    if mask is None:
        return input
    filling = torch.tensor(identity, dtype=input.dtype)
    return torch.where(_whole_mask(input, mask), input, filling)


def _lowest(input: Tensor) -> Any:
    if input.is_floating_point() or input.is_complex():
        return -math.inf
    return torch.iinfo(input.dtype).min


def _highest(input: Tensor) -> Any:
    return math.inf if input.is_floating_point() else torch.iinfo(input.dtype).max


def _dims(dim: Dims, ndim: int) -> tuple[int, ...]:
    """The dims to reduce: () and None mean all."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    return (dim,) if isinstance(dim, int) else tuple(dim)


def _whole_dtype(input: Tensor, dtype: Any) -> Any:
    """`dtype`, or the input's, of which small integers and bools become int64."""
    if dtype is None and not (input.is_floating_point() or input.is_complex()):
        return torch.int64
    return input.dtype if dtype is None else dtype


def sum(
    input: Tensor, dim: Dims = None, *, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The sum of the kept elements.

    >>> torch.masked.sum(torch.tensor([1.0, 2.0, 4.0]), mask=torch.tensor([True, False, True]))
    tensor(5.)
    """
    dtype = _whole_dtype(input, dtype)
    return _kept(input, mask, 0).sum(_dims(dim, input.ndim), bool(keepdim), dtype=dtype)


def prod(
    input: Tensor, dim: Dims = None, *, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The product of the kept elements."""
    dtype = _whole_dtype(input, dtype)
    made = _kept(input, mask, 1).to(dtype)
    for d in sorted([wrap_dim(d, input.ndim) for d in _dims(dim, input.ndim)], reverse=True):
        made = made.prod(d, bool(keepdim))
    return made


def cumsum(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The running sum of the kept elements."""
    dtype = input.dtype if dtype is None else dtype
    return _kept(input, mask, 0).cumsum(dim, dtype=dtype).to(dtype)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The running product of the kept elements."""
    dtype = input.dtype if dtype is None else dtype
    return _kept(input, mask, 1).cumprod(dim, dtype=dtype).to(dtype)


def amax(
    input: Tensor, dim: Dims = None, *, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The largest kept element."""
    made = _kept(input, mask, _lowest(input)).amax(_dims(dim, input.ndim), bool(keepdim))
    return made.to(input.dtype if dtype is None else dtype)


def amin(
    input: Tensor, dim: Dims = None, *, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The smallest kept element."""
    made = _kept(input, mask, _highest(input)).amin(_dims(dim, input.ndim), bool(keepdim))
    return made.to(input.dtype if dtype is None else dtype)


def argmax(
    input: Tensor, dim: int | None = None, *, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Where the largest kept element is, in the input's dtype."""
    made = _kept(input, mask, _lowest(input)).argmax(dim, bool(keepdim))
    return made.to(input.dtype if dtype is None else dtype)


def argmin(
    input: Tensor, dim: int | None = None, *, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Where the smallest kept element is, in the input's dtype."""
    made = _kept(input, mask, _highest(input)).argmin(dim, bool(keepdim))
    return made.to(input.dtype if dtype is None else dtype)


def _count(input: Tensor, dim: Dims, keepdim: bool, mask: Tensor | None) -> Tensor:
    input, mask = _parts(input, mask)
    kept = torch.ones(input.shape, dtype=torch.bool) if mask is None else _whole_mask(input, mask)
    return kept.sum(_dims(dim, input.ndim), keepdim)


def mean(
    input: Tensor, dim: Dims = None, *, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The mean of the kept elements. ValueError for integers without a floating `dtype`."""
    kind = input.dtype if dtype is None else dtype
    if not (kind.is_floating_point or kind.is_complex):
        source = "Input" if dtype is None else "Optional"
        raise ValueError(
            f"mean(): Could not infer output dtype. {source} dtype must be either a floating point "
            f"or complex dtype. Got: {kind}"
        )
    total = sum(input, dim, keepdim=keepdim, dtype=kind, mask=mask)
    return total / _count(input, dim, bool(keepdim), mask)


def median(
    input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The lower median of the kept elements along `dim`."""
    real = input.is_floating_point()
    x = _kept(input if real else input.float(), mask, math.nan)
    made = x.nanmedian(dim, keepdim).values
    if real:
        return made
    if bool(made.isnan().any()):
        raise ValueError(
            "masked median expects no fully masked out rows if dtype is not floating point"
        )
    return made.to(input.dtype if dtype is None else dtype)


def logsumexp(
    input: Tensor, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`log(sum(exp))` of the kept elements."""
    made = _kept(input, mask, _lowest(input)).logsumexp(_dims(dim, input.ndim), keepdim)
    return made.to(input.dtype if dtype is None else dtype)


def logaddexp(
    input: Tensor, other: Tensor, *, dtype: Any = None, input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`log(exp(input) + exp(other))` of the elements that each one's mask keeps."""
    a, b = _kept(input, input_mask, _lowest(input)), _kept(other, other_mask, _lowest(other))
    return torch.logaddexp(a, b).to(input.dtype if dtype is None else dtype)


def norm(
    input: Tensor, ord: float | None = 2.0, dim: Dims = None, *, keepdim: bool | None = False,
    dtype: Any = None, mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The p-norm of the kept elements."""
    ord = 2.0 if ord is None else ord
    x = _kept(input, mask, math.inf if ord == -math.inf else 0)
    dtype = input.dtype if dtype is None else dtype
    return torch.linalg.vector_norm(x, ord, _dims(dim, input.ndim), bool(keepdim), dtype=dtype)


def var(
    input: Tensor, dim: Dims = None, unbiased: bool | None = None, *,
    correction: int | float | None = None, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The variance of the kept elements; `correction` (1) is subtracted from their number."""
    if correction is None:
        correction = 0 if unbiased is False else 1
    whole = not (input.is_floating_point() or input.is_complex())
    dtype = (torch.float32 if whole else input.dtype) if dtype is None else dtype
    wide = dtype if dtype.is_floating_point or dtype.is_complex else torch.float32
    centre = sum(input, dim, keepdim=True, dtype=dtype, mask=mask) / _count(input, dim, True, mask)
    input, mask = _parts(input, mask)
    x = input - centre
    total = sum(x * x.conj(), dim, keepdim=keepdim, dtype=wide, mask=mask)
    degrees = _count(input, dim, bool(keepdim), mask)
    if correction:
        degrees = (degrees - correction).clamp(min=0)
    return (total / degrees).to(dtype)


def std(
    input: Tensor, dim: Dims = None, unbiased: bool | None = None, *,
    correction: int | float | None = None, keepdim: bool | None = False, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The standard deviation of the kept elements: the root of `var`."""
    return var(
        input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask
    ).sqrt()


def softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """`torch.softmax` over the kept elements; 0 for the others, NaN where none is kept."""
    return _kept(input, mask, _lowest(input)).softmax(dim, dtype=dtype)


def log_softmax(
    input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """`torch.log_softmax` over the kept elements; minus infinity for the others."""
    return _kept(input, mask, _lowest(input)).log_softmax(dim, dtype=dtype)


def softmin(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """`softmax(-input)` over the kept elements."""
    return torch.nn.functional.softmin(_kept(input, mask, _highest(input)), dim, dtype=dtype)


def normalize(
    input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The kept elements divided by their norm, at least `eps`; 0 for the others."""
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _kept(input, mask, 0) / size.maximum(size.new_full((), eps))

__getattr__ = _finder(__name__)
