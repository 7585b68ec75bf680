"""Reductions: sums, extremes, statistics, norms."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Size, Tensor, function, op
from ..trace.tensor import Tensor as TensorClass
from . import rules
from .values import number


def axis(dim):
    """A dim argument as NumPy's axis; None and () mean all."""
    return None if dim is None or dim == () else dim


def reducible(a, dim):
    """(array, axis): 0-dim arrays have no axes."""
    return (a, None) if a.ndim == 0 else (a, axis(dim))


def restore(g, input_meta, dim, keepdim):
    """A reduced tensor with its reduced dims back as size 1."""
    if keepdim or input_meta.ndim == 0:
        return g
    if dim is None or dim == ():
        return g.reshape((1,) * input_meta.ndim)
    for d in sorted(rules.wrap_dims(dim, input_meta.ndim)):
        g = g.unsqueeze(d)
    return g


def count(m: Meta, dim) -> int:
    """Number of elements that one result is made of."""
    return math.prod(m.shape[d] for d in rules.wrap_dims(dim, m.ndim))


def _sum_rule(input: Meta, dim, keepdim, dtype) -> Meta:
    if dtype is None:
        dtype = input.dtype if input.dtype.category >= dtypes.FLOAT else dtypes.int64
    return meta(rules.reduce_shape(input.shape, dim, keepdim), dtype)


def _sum_gradient(g, input_meta, dim, keepdim):
    return restore(g, input_meta, dim, keepdim).expand(input_meta.shape)


@op(_sum_rule, gradient={"input": _sum_gradient})
def sum(input: Tensor, dim: tuple | int | None = None, keepdim: bool = False, *, dtype=None):
    """The sum over all elements or over `dim`. Integers and bools give int64."""
    a, ax = reducible(input, dim)
    kind = dtype.np if dtype is not None and not dtype.is_half else None
    return np.add.reduce(a, axis=ax, keepdims=keepdim and a.ndim > 0,
                         dtype=kind or (np.int64 if a.dtype.kind in "biu" else None))


def _mean_rule(input: Meta, dim, keepdim, dtype) -> Meta:
    dtype = dtype or input.dtype
    if dtype.category < dtypes.FLOAT:
        rules.fail(
            RuntimeError,
            f"mean(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {_name(dtype)}",
        )
    return meta(rules.reduce_shape(input.shape, dim, keepdim), dtype)


def _name(d) -> str:
    from ..trace.dtypes import type_name

    return type_name(d)


def _mean_gradient(g, input_meta, dim, keepdim):
    n = count(input_meta, dim)
    return (restore(g, input_meta, dim, keepdim) / n).expand(input_meta.shape)


@op(_mean_rule, gradient={"input": _mean_gradient})
def mean(input: Tensor, dim: tuple | int | None = None, keepdim: bool = False, *, dtype=None):
    """The mean over all elements or over `dim`. RuntimeError for integers."""
    a, ax = reducible(input, dim)
    if dtype is not None and not dtype.is_half:
        a = a.astype(dtype.np)
    n = math.prod(a.shape) if ax is None else math.prod(
        a.shape[d] for d in (ax if isinstance(ax, tuple) else (ax,))
    )
    total = np.add.reduce(a, axis=ax, keepdims=keepdim and a.ndim > 0)
    return total / number(n, a) if a.dtype.kind == "f" else total / n


def _same_reduced(name):
    def rule(input: Meta, dim=None, keepdim=False) -> Meta:
        shape = rules.reduce_shape(input.shape, dim, keepdim)
        if input.dtype.is_complex:
            rules.fail(RuntimeError, f'"{name}" not implemented for complex numbers')
        if 0 in [input.shape[d] for d in rules.wrap_dims(dim, input.ndim)]:
            rules.fail(
                IndexError if dim not in (None, ()) else RuntimeError,
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument.",
            )
        return meta(shape, input.dtype)

    return rule


def _share(g, input, input_meta, out, dim, keepdim):
    """Gradient of an extreme: divided equally among the elements that attain it."""
    out, g = restore(out, input_meta, dim, keepdim), restore(g, input_meta, dim, keepdim)
    mask = (input == out).to(g.dtype)
    return g * mask / mask.sum(axis(dim), True)


@op(_same_reduced("amax"), gradient={"input": _share})
def amax(input: Tensor, dim: tuple | int | None = (), keepdim: bool = False):
    """The largest element over `dim`; equal ones share the gradient."""
    a, ax = reducible(input, dim)
    return np.max(a, axis=ax, keepdims=keepdim and a.ndim > 0)


@op(_same_reduced("amin"), gradient={"input": _share})
def amin(input: Tensor, dim: tuple | int | None = (), keepdim: bool = False):
    """The smallest element over `dim`; equal ones share the gradient."""
    a, ax = reducible(input, dim)
    return np.min(a, axis=ax, keepdims=keepdim and a.ndim > 0)


def _dim_rule(name):
    check = _same_reduced(name)

    def rule(input: Meta, dim, keepdim) -> tuple[Meta, Meta]:
        out = check(input, dim, keepdim)
        return out, meta(out.shape, dtypes.int64)

    return rule


def _put_back(g, indices, input_meta, dim, keepdim):
    """Gradient of values picked along `dim` by the indices."""
    g, index = g[0], indices
    if g is None:
        return None
    if input_meta.ndim == 0:
        return g
    if not keepdim:
        g, index = g.unsqueeze(dim), index.unsqueeze(dim)
    from ..trace.layouts import filled

    return filled(input_meta.shape, 0, g.dtype).scatter(dim, index, g)


def _pick(a, dim, keepdim, extreme, find):
    if a.ndim == 0:
        return a.copy(), np.zeros((), np.int64)
    return extreme.reduce(a, axis=dim, keepdims=keepdim), find(a, axis=dim, keepdims=keepdim)


@op(_dim_rule("max"), gradient={"input": _put_back}, api="", returns=("values", "indices"))
def _max_dim(input: Tensor, dim: int, keepdim: bool):
    """The largest elements along a dimension, and where they are."""
    return _pick(input, dim, keepdim, np.maximum, np.argmax)


@op(_dim_rule("min"), gradient={"input": _put_back}, api="", returns=("values", "indices"))
def _min_dim(input: Tensor, dim: int, keepdim: bool):
    """The smallest elements along a dimension, and where they are."""
    return _pick(input, dim, keepdim, np.minimum, np.argmin)


@function(out=True)
def max(input: Tensor, dim=None, keepdim: bool = False, other=None):
    """The largest element; with `dim`, (values, indices); with a tensor, the elementwise maximum."""
    if isinstance(dim, TensorClass) or other is not None:
        from .pointwise import maximum

        return maximum(input, other if other is not None else dim)
    return amax(input) if dim is None else _max_dim(input, dim, keepdim)


@function(out=True)
def min(input: Tensor, dim=None, keepdim: bool = False, other=None):
    """The smallest element; with `dim`, (values, indices); with a tensor, the elementwise minimum."""
    if isinstance(dim, TensorClass) or other is not None:
        from .pointwise import minimum

        return minimum(input, other if other is not None else dim)
    return amin(input) if dim is None else _min_dim(input, dim, keepdim)


def _arg_rule(name):
    check = _same_reduced(name)

    def rule(input: Meta, dim, keepdim) -> Meta:
        if dim is None and not input.numel:
            rules.fail(
                IndexError,
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument.",
            )
        return meta(check(input, dim, keepdim).shape, dtypes.int64)

    return rule


@op(_arg_rule("argmax"))
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False):
    """Where the largest element is; in the flattened tensor without `dim`."""
    if input.ndim == 0:
        return np.zeros((), np.int64)
    return np.argmax(input, axis=dim, keepdims=keepdim)


@op(_arg_rule("argmin"))
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False):
    """Where the smallest element is; in the flattened tensor without `dim`."""
    if input.ndim == 0:
        return np.zeros((), np.int64)
    return np.argmin(input, axis=dim, keepdims=keepdim)


def _truth_rule(input: Meta, dim, keepdim) -> Meta:
    shape = rules.reduce_shape(input.shape, dim, keepdim)
    return meta(shape, dtypes.uint8 if input.dtype is dtypes.uint8 else dtypes.bool_)


@op(_truth_rule)
def all(input: Tensor, dim: tuple | int | None = None, keepdim: bool = False):
    """Whether all elements are not zero."""
    a, ax = reducible(input, dim)
    return np.all(a, axis=ax, keepdims=keepdim and a.ndim > 0)


@op(_truth_rule)
def any(input: Tensor, dim: tuple | int | None = None, keepdim: bool = False):
    """Whether some element is not zero."""
    a, ax = reducible(input, dim)
    return np.any(a, axis=ax, keepdims=keepdim and a.ndim > 0)


@op(lambda input, dim: meta(rules.reduce_shape(input.shape, dim, False), dtypes.int64))
def count_nonzero(input: Tensor, dim: tuple | int | None = None):
    """The number of elements that are not zero."""
    a, ax = reducible(input, dim)
    return np.count_nonzero(a, axis=ax)


def _prod_gradient(g, input, input_meta, out, dim, keepdim):
    if not input.ndim:
        return g
    g, out = restore(g, input_meta, dim, keepdim), restore(out, input_meta, dim, keepdim)
    if (input == 0).any():
        return _prod_gradient_with_zeros(g, input, dim)
    return g * (out / input).conj() if input.is_complex() else g * out / input


def _prod_gradient_with_zeros(g, input, dim):
    shape = input.shape
    flat = input.reshape(-1, 1) if dim is None else input.movedim(dim, 0).reshape(shape[dim], -1)
    n = flat.shape[0]
    rows = []
    for i in range(n):
        keep = [flat[j] for j in range(n) if j != i]
        product = filled_ones(flat[i])
        for k in keep:
            product = product * k
        rows.append(product)
    from .shape import stack

    made = stack(rows) if rows else flat
    made = made.conj() if made.is_complex() else made
    if dim is None:
        made = made.reshape(shape)
    else:
        moved = (shape[dim], *(n for d, n in enumerate(shape) if d != dim % len(shape)))
        made = made.reshape(moved).movedim(0, dim)
    return g * made


def filled_ones(t):
    """Ones like `t`."""
    from ..trace.layouts import filled

    return filled(t.shape, 1, t.dtype)


@op(_sum_rule, gradient={"input": _prod_gradient})
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype=None):
    """The product over all elements or over `dim`. Integers and bools give int64."""
    a, ax = reducible(input, dim)
    return np.multiply.reduce(
        a if dtype is None or dtype.is_half else a.astype(dtype.np), axis=ax,
        keepdims=keepdim and a.ndim > 0, dtype=np.int64 if a.dtype.kind in "biu" else None,
    )


def _var_rule(input: Meta, dim, correction, keepdim) -> Meta:
    if input.dtype.category < dtypes.FLOAT:
        rules.fail(RuntimeError, "std and var only support floating point and complex dtypes")
    return meta(rules.reduce_shape(input.shape, dim, keepdim), input.dtype.to_real())


def _var_gradient(g, input, input_meta, dim, correction, keepdim):
    from .pointwise import where

    degrees = count(input_meta, dim) - correction
    g = restore(g, input_meta, dim, keepdim)
    centred = input - input.mean(axis(dim), True)
    if degrees <= 0 and (dim is None or not input_meta.ndim):  # (PyTorch's gradient has no sign then)
        return g * where(centred == 0, math.nan, math.inf)
    return g * centred * (2.0 / degrees if degrees else math.inf)


@op(_var_rule, gradient={"input": _var_gradient}, api="")
def _var(input: Tensor, dim: tuple | int | None, correction: float, keepdim: bool):
    """The mean squared distance from the mean, divided by n - correction."""
    a, ax = reducible(input, dim)
    wide = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    n = a.size if ax is None else math.prod(
        a.shape[d] for d in (ax if isinstance(ax, tuple) else (ax,))
    )
    centred = wide - wide.mean(axis=ax, keepdims=True) if a.ndim else wide * 0
    total = np.add.reduce(np.abs(centred) ** 2, axis=ax, keepdims=keepdim and a.ndim > 0)
    degrees = np.float64(np.maximum(n - correction, 0.0) if n else 0.0)
    return total / degrees


def _correction(dim, unbiased, correction):
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, correction


@function(out=True)
def var(input: Tensor, dim=None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction=None):
    """The variance; `correction` (default 1) is subtracted from the count."""
    dim, correction = _correction(dim, unbiased, correction)
    return _var(input, dim, correction, keepdim)


@op(
    rules.float_unary, compute="result", api="",
    gradient={"input": lambda g, out: (g / (out * 2.0)).masked_fill(out == 0, 0.0)},
)
def _std(input: Tensor):
    """The root of a variance; where nothing varies its gradient is 0, as PyTorch's, not infinite."""
    return np.sqrt(input)


@function(out=True)
def std(input: Tensor, dim=None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction=None):
    """The standard deviation: the root of `var`."""
    return _std(var(input, dim, unbiased, keepdim, correction=correction))


@function(api="torch")
def var_mean(input: Tensor, dim=None, unbiased=None, keepdim: bool = False, *, correction=None):
    """(var, mean)."""
    spread = var(input, dim, unbiased, keepdim, correction=correction)
    return spread, input.mean(None if isinstance(dim, bool) else dim, keepdim)


@function(api="torch")
def std_mean(input: Tensor, dim=None, unbiased=None, keepdim: bool = False, *, correction=None):
    """(std, mean)."""
    spread, centre = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return _std(spread), centre


def _logsumexp_gradient(g, input, input_meta, out, dim, keepdim):
    g, out = restore(g, input_meta, dim, keepdim), restore(out, input_meta, dim, keepdim)
    share = (input - out).exp()
    return g * (share.conj() if share.is_complex() else share)


@op(
    lambda input, dim, keepdim: meta(
        rules.reduce_shape(input.shape, dim, keepdim), rules.float_of(input.dtype)
    ),
    gradient={"input": _logsumexp_gradient},
    compute="result",
    api="torch Tensor special",
)
def logsumexp(input: Tensor, dim: tuple | int, keepdim: bool = False):
    """`log(sum(exp(input)))` without overflow."""
    a, ax = reducible(input, dim)
    if a.size == 0:
        return np.log(np.add.reduce(np.exp(a), axis=ax, keepdims=keepdim))
    top = np.max(a.real, axis=ax, keepdims=True)
    top = np.where(np.isinf(top), 0, top)
    total = np.log(np.add.reduce(np.exp(a - top), axis=ax, keepdims=True)) + top
    return total if keepdim and a.ndim else np.squeeze(total, ax) if a.ndim else total


def _sum_to_rule(input: Meta, size) -> Meta:
    whole = input.dtype.category < dtypes.FLOAT and (not size or tuple(input.shape) != tuple(size))
    return meta(_check_sum_to(input, size), dtypes.int64 if whole else input.dtype)


@op(
    _sum_to_rule,
    gradient={"input": lambda g, input_meta: g.expand(input_meta.shape)},
    api="Tensor",
)
def sum_to_size(input: Tensor, size: Size):
    """The sum over the dims along which `size` was broadcast to the input's shape."""
    extra = input.ndim - len(size)
    gone = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(size) if n == 1 and input.shape[i + extra] != 1
    )
    whole = np.int64 if input.dtype.kind in "biu" else None
    return np.add.reduce(input, axis=gone, keepdims=True, dtype=whole).reshape(size) if gone else input


def _check_sum_to(input: Meta, size):
    extra = input.ndim - len(size)
    if extra < 0 or builtin_any(
        n not in (1, m) for n, m in zip(size, input.shape[extra:], strict=True)
    ):
        rules.fail(
            RuntimeError,
            f"size {list(size)} is not expandable to size {list(input.shape)}.",
        )
    return size


def builtin_any(values) -> bool:
    """Python's any (this module's is the operator)."""
    for v in values:
        if v:
            return True
    return False


@function(api="torch Tensor", out=True)
def nansum(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None):
    """The sum, with NaN as 0."""
    clean = input.masked_fill(input.isnan(), 0) if input.is_floating_point() else input
    return clean.sum(dim, keepdim, dtype=dtype)


@function(api="torch Tensor", out=True)
def nanmean(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None):
    """The mean of the elements that are not NaN."""
    return nansum(input, dim, keepdim, dtype=dtype) / (~input.isnan()).sum(dim, keepdim)


def _norm_gradient(g, input, input_meta, out, ord, dim, keepdim):
    g, out = restore(g, input_meta, dim, keepdim), restore(out, input_meta, dim, keepdim)
    from .elementary import sgn
    from .pointwise import where

    if ord == 2:
        return g * where(out == 0, 0.0, input / out)  # (0 at 0, as are its derivatives)
    if ord == 1:
        return g * sgn(input)
    if ord == 0:
        return g * 0.0 * input
    size = input.abs()
    if math.isinf(ord):
        mask = (size == out).to(g.dtype)
        return g * sgn(input) * mask / mask.sum(axis(dim), True)
    scale = where(out == 0, 0.0, g / out.pow(ord - 1))
    return where(size == 0, 0.0, sgn(input) * size.pow(ord - 1)) * scale


def _norm_rule(input: Meta, ord, dim, keepdim) -> Meta:
    if input.dtype.category < dtypes.FLOAT:
        rules.fail(
            RuntimeError,
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            + _name(input.dtype),
        )
    if (ord < 0 or ord == math.inf) and not count(input, dim):
        rules.fail(
            RuntimeError,
            f"linalg.vector_norm cannot compute the {ord:g} norm on the empty dimensions of "
            f"{list(input.shape)}, as the operation does not have an identity",
        )
    return meta(rules.reduce_shape(input.shape, dim, keepdim), input.dtype.to_real())


@op(
    _norm_rule,
    gradient={"input": _norm_gradient},
    api="",
)
def _vector_norm(input: Tensor, ord: float, dim: tuple | int | None, keepdim: bool):
    """The p-norm over `dim`."""
    a, ax = reducible(np.abs(input), dim)
    keep = keepdim and a.ndim > 0
    if ord == 2:
        return np.sqrt(np.add.reduce(a * a, axis=ax, keepdims=keep))
    if ord == math.inf:
        return np.max(a, axis=ax, keepdims=keep)
    if ord == -math.inf:
        return np.min(a, axis=ax, keepdims=keep)
    if ord == 0:
        return np.add.reduce((a != 0).astype(a.dtype), axis=ax, keepdims=keep)
    if ord == 1:
        return np.add.reduce(a, axis=ax, keepdims=keep)
    return np.power(np.add.reduce(np.power(a, ord), axis=ax, keepdims=keep), 1 / ord)


@function(api="linalg", out=True)
def vector_norm(x: Tensor, ord=2, dim=None, keepdim: bool = False, *, dtype=None):
    """The vector p-norm over `dim`."""
    x = x if dtype is None else x.to(dtype)
    return _vector_norm(x, float(ord), dim, keepdim)


@function(out=True)
def norm(input: Tensor, p="fro", dim=None, keepdim: bool = False, dtype=None):
    """The p-norm over all elements or over `dim` ("fro": 2)."""
    input = input if dtype is None else input.to(dtype)
    if p == "nuc":
        from .matrix_functions import matrix_norm

        return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim)
    return _vector_norm(input, 2.0 if p in ("fro", None) else float(p), dim, keepdim)


@function(api="torch Tensor")
def dist(input: Tensor, other: Tensor, p=2):
    """The p-norm of the difference."""
    return norm(input - other, p)


@function(out=True)
def aminmax(input: Tensor, *, dim=None, keepdim: bool = False):
    """(smallest, largest)."""
    from ..trace.forms import make_result_type

    kind = make_result_type("aminmax", ("min", "max"))
    return kind(amin(input, () if dim is None else dim, keepdim),
                amax(input, () if dim is None else dim, keepdim))


@function()
def trace(input: Tensor):
    """The sum of the diagonal of a matrix."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return input.diagonal().sum()
