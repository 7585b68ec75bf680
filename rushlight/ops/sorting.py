"""Sorting and searching."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from ..trace.tensor import Tensor as TensorClass
from ..trace.tensor import array, wrap
from . import rules
from .values import native

FEW = 16  # one in so many elements is few enough to be found before it is sorted


def _sort_rule(input: Meta, dim, descending, stable):
    rules.wrap_dim(dim, input.ndim)
    return meta(input.shape, input.dtype), meta(input.shape, dtypes.int64)


def scatter_back(g, indices, input_meta, dim):
    """Gradient of values picked along `dim` by the indices."""
    if g[0] is None:
        return None
    if input_meta.ndim == 0:
        return g[0]
    from ..trace.layouts import filled

    return filled(input_meta.shape, 0, g[0].dtype).scatter_add(dim, indices, g[0])


def _first_few(a, dim: int, descending: bool, count: int):
    """`order_of` for the first `count` places: only elements that are among them are sorted."""
    rows = np.moveaxis(a, dim, -1)
    shape, n = rows.shape[:-1], rows.shape[-1]
    rows = rows.reshape(-1, n)
    at = n - count if descending else count - 1
    bound = np.partition(rows, at, axis=-1)[:, at : at + 1]
    before, equal = rows > bound if descending else rows < bound, rows == bound
    if a.dtype.kind == "f":
        nan, last = np.isnan(rows), np.isnan(bound)
        before |= nan & ~last if descending else ~nan & last
        equal |= nan & last
    room = count - np.count_nonzero(before, axis=-1)[:, None]  # for the first of those that equal the last one
    places = np.nonzero(before | equal & (np.cumsum(equal, axis=-1) <= room))[1].reshape(-1, count)
    order = order_of(np.take_along_axis(rows, places, -1), -1, descending)
    return np.moveaxis(np.take_along_axis(places, order, -1).reshape(*shape, count), -1, dim)


@native("order_of")
def order_of(a, dim: int, descending: bool, first: int = 0, last: int | None = None):
    """Places number `first` to `last` - 1 of the stable order of elements, NaN as the largest."""
    if last and last <= a.shape[dim] // FEW and a.size and a.dtype.kind in "fiu":
        return _first_few(a, dim, descending, last)[(slice(None),) * (dim % a.ndim) + (slice(first, None),)]
    if descending:
        flipped = np.flip(a, dim)
        order = np.flip(np.argsort(flipped, axis=dim, kind="stable"), dim)
        order = a.shape[dim] - 1 - order
    else:
        order = np.argsort(a, axis=dim, kind="stable")
    return order[(slice(None),) * (dim % a.ndim) + (slice(first, last),)]


@op(_sort_rule, gradient={"input": scatter_back}, api="", returns=("values", "indices"))
def _sort(input: Tensor, dim: int, descending: bool, stable: bool):
    """Elements in order along `dim`, and where they were. Always stable."""
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    order = order_of(input, dim, descending)
    return np.take_along_axis(input, order, axis=dim), order


@function(out=True)
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False):
    """(values, indices) in order along `dim`; equal elements keep their order."""
    return _named("sort", _sort(input, dim, descending, stable))


def _named(name, result):
    from ..trace.forms import make_result_type

    return make_result_type(name, ("values", "indices"))(*result)


@function(out=True)
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False):
    """The indices that sort `input` along `dim`."""
    return _sort(input, dim, descending, stable)[1]


@function(out=True)
def msort(input: Tensor):
    """`input` sorted along its first dimension."""
    return _sort(input, 0, False, False)[0]


def _topk_rule(input: Meta, k, dim, largest, sorted):
    d = rules.wrap_dim(dim, input.ndim)
    size = input.shape[d] if input.ndim else 1
    if not 0 <= k <= size:
        rules.fail(RuntimeError, f"selected index k out of range: k is {k}, the dimension {size}")
    shape = tuple(k if i == d else n for i, n in enumerate(input.shape))
    return meta(shape, input.dtype), meta(shape, dtypes.int64)


@op(_topk_rule, gradient={"input": scatter_back}, returns=("values", "indices"))
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True):
    """The k largest (or smallest) elements along `dim`, in order, and where they are.

    >>> values, indices = torch.topk(torch.tensor([3.0, 9.0, 5.0]), 2)
    >>> values, indices
    (tensor([9., 5.]), tensor([1, 2]))
    """
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    order = order_of(input, dim, largest, 0, k)
    return np.take_along_axis(input, order, axis=dim), order


def _kth_rule(input: Meta, k, dim, keepdim):
    d = rules.wrap_dim(dim, input.ndim)
    size = input.shape[d] if input.ndim else 1
    if not size:
        rules.fail(IndexError, f"kthvalue(): Expected reduction dim {d} to have non-zero size.")
    if not 1 <= k <= size:
        rules.fail(RuntimeError, f"kthvalue(): selected number k out of range for dimension {dim}")
    shape = rules.reduce_shape(input.shape, dim, keepdim)
    return meta(shape, input.dtype), meta(shape, dtypes.int64)


def _kth_gradient(g, indices, input_meta, dim, keepdim):
    from .reduction import _put_back

    return _put_back(g, indices, input_meta, dim, keepdim)


@op(_kth_rule, gradient={"input": _kth_gradient}, returns=("values", "indices"))
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False):
    """The k-th smallest element along `dim`, and where it is."""
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    at = order_of(input, dim, False, k - 1, k)
    values = np.take_along_axis(input, at, axis=dim)
    return (values, at) if keepdim else (np.squeeze(values, dim), np.squeeze(at, dim))


@function()
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False,
           return_counts: bool = False, dim: int | None = None):
    """The distinct elements in order; optionally their inverse indices and counts.

    >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    a = array(input.detach())
    values, inverse, counts = np.unique(a, return_inverse=True, return_counts=True, axis=dim,
                                        equal_nan=False)
    inverse = inverse.reshape(a.shape if dim is None else -1)
    made = [wrap(values)]
    if return_inverse:
        made.append(wrap(inverse.astype(np.int64)))
    if return_counts:
        made.append(wrap(counts.astype(np.int64)))
    return made[0] if len(made) == 1 else tuple(made)


@function()
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False,
                       dim: int | None = None):
    """The elements without repetitions of their predecessor."""
    a = array(input.detach())
    m = a.reshape(-1) if dim is None else np.moveaxis(a, dim, 0)
    rows = m.reshape(len(m), math.prod(m.shape[1:]))
    new = np.ones(len(m), bool)
    if len(m):
        new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    values = m[starts]
    made = [wrap(np.ascontiguousarray(values if dim is None else np.moveaxis(values, 0, dim)))]
    if return_inverse:
        inverse = np.cumsum(new) - 1
        made.append(wrap(inverse.reshape(a.shape) if dim is None else inverse))
    if return_counts:
        made.append(wrap(np.diff(np.append(starts, len(m))).astype(np.int64)))
    return made[0] if len(made) == 1 else tuple(made)


@function(api="torch", out=True)
def searchsorted(sorted_sequence: Tensor, input, *, out_int32: bool = False, right: bool = False,
                 side: str | None = None, sorter=None):
    """Where elements would be inserted into sorted rows to keep them sorted.

    >>> torch.searchsorted(torch.tensor([1, 3, 5]), torch.tensor([0, 3, 4, 9]))
    tensor([0, 1, 2, 3])
    """
    if sorted_sequence.ndim == 0:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension"
        )
    rows, values = array(sorted_sequence), input
    values = array(values) if isinstance(values, TensorClass) else np.asarray(values)
    if rows.ndim > 1 and (not values.ndim or values.shape[:-1] != rows.shape[:-1]):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but they are {list(rows.shape)} and {list(values.shape)}"
        )
    if "bfloat16" in (rows.dtype.name, values.dtype.name):  # (NumPy puts its NaN anywhere)
        rows, values = rows.astype(np.float64), values.astype(np.float64)
    how = "right" if right or side == "right" else "left"
    if sorter is not None:
        rows = np.take_along_axis(rows, array(sorter), axis=-1)
    if rows.ndim == 1:
        found = np.searchsorted(rows, values, how)
    else:
        found = np.zeros(values.shape, np.int64)
        for at in np.ndindex(rows.shape[:-1]):
            found[at] = np.searchsorted(rows[at], values[at], how)
    return wrap(np.asarray(found).astype(np.int32 if out_int32 else np.int64))


@function(api="torch", out=True)
def bucketize(input, boundaries: Tensor, *, out_int32: bool = False, right: bool = False):
    """The bucket between sorted `boundaries` that each element falls into."""
    if boundaries.ndim != 1:
        raise RuntimeError(
            f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
