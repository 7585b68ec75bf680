"""Selecting by masks and by flat position, and writing into a part of a copy.

masked_fill, masked_select, masked_scatter, take, put, nonzero, one_hot and the `_scatter` forms of
select, slice and diagonal. What has a shape that depends on values reads them at once.
"""

from __future__ import annotations

import math

import numpy as np

from ..trace import array, wrap
from ..trace.dtypes import INTEGER, bool_, fit, int32, int64, type_name
from ..trace.meta import Meta, meta
from ..trace.operator import BoolTensor, IntTensor, Tensor, function, op
from . import rules
from .indexing import TensorType, _index, add_rows, combined
from .scatter import gather
from .shape import clone
from .values import bounded, found, zeros


def masked_fill_rule(input: Meta, mask: Meta, value: Meta) -> Meta:
    """The broadcast shape with the input's dtype, contiguous."""
    if mask.dtype is not bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}"
        )
    if value.ndim:
        raise RuntimeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    return meta(rules.broadcast_shapes(input.shape, mask.shape), input.dtype)


@op(
    masked_fill_rule,
    compute="result",
    api="",
    gradient={
        "input": lambda g, mask: _masked_fill(g, mask, 0),
        "value": lambda g, mask: _masked_fill(g, ~mask, 0).sum(),
    },
)
def _masked_fill(input: Tensor, mask: BoolTensor, value: Tensor):
    """`value` where the mask is True, else `input`."""
    return np.where(mask, value, input)


@function(inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value):
    """`value` (a number or 0-dim tensor) where `mask` is True, else `input`; both broadcast.

    The result has the input's dtype. Raises RuntimeError for masks that are not bool.

    >>> torch.masked_fill(torch.zeros(3), torch.tensor([True, False, True]), -1.0)
    tensor([-1.,  0., -1.])
    """
    if not isinstance(value, TensorType):
        value = fit(value, input.dtype)
    elif value.is_complex() and not input.is_complex():
        fit(value.item(), input.dtype)  # refuses imaginary parts
        value = value.real
    return _masked_fill(input, mask, value)


@function(out=True)
def masked_select(input: Tensor, mask: Tensor):
    """The elements of `input` where `mask` is True, as a vector; both are broadcast.

    Raises RuntimeError for masks that are not bool. Reads the mask's values at once.
    """
    if mask.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = rules.broadcast_shapes(input.shape, mask.shape)
    if input.shape != shape:
        input = input.expand(shape)
    found = np.flatnonzero(np.broadcast_to(array(mask), shape))
    return _index(input.reshape(-1), (wrap(found),), (0,))


def masked_scatter_rule(input: Meta, mask: Meta, source: Meta) -> Meta:
    """The broadcast shape with the input's dtype, contiguous."""
    if mask.dtype is not bool_:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got {mask.dtype}")
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{type_name(input.dtype)} and {type_name(source.dtype)}"
        )
    return meta(rules.broadcast_shapes(input.shape, mask.shape), input.dtype)


@op(
    masked_scatter_rule,
    compute="storage",
    inplace=True,
    gradient={
        "input": lambda g, mask: _masked_fill(g, mask, 0),
        "source": lambda g, mask, source_meta: _masked_gather(g, mask, tuple(source_meta.shape)),
    },
)
def masked_scatter(input: Tensor, mask: BoolTensor, source: Tensor):
    """`input` with the elements where `mask` is True replaced, in order, by those of `source`.

    Raises RuntimeError if the source has fewer elements than the mask has Trues.
    """
    shape = np.broadcast_shapes(input.shape, mask.shape)
    where = np.broadcast_to(mask, shape).reshape(-1)
    if not where.size:
        return np.broadcast_to(input, shape).copy()
    place = np.cumsum(where) - 1
    if found(place[-1:] >= source.size):
        raise RuntimeError(
            f"Number of elements of source < number of ones in mask: {source.size} < {place[-1] + 1}"
        )
    if not source.size:
        return np.broadcast_to(input, shape).copy()
    picked = source.reshape(-1)[np.clip(place, 0, source.size - 1)]
    return np.where(mask, picked.reshape(shape), input)


@op(
    lambda input, mask, size: meta(tuple(size), input.dtype),
    compute="storage",
    api="",
    gradient={
        "input": lambda g, mask, input_meta: masked_scatter(
            g.new_zeros(tuple(input_meta.shape)), mask, g
        )
    },
)
def _masked_gather(input: Tensor, mask: BoolTensor, size):
    """The selected elements, in order, then zeros, as an array of shape `size`."""
    n = math.prod(size)
    where = np.broadcast_to(mask, input.shape).reshape(-1)
    place = np.where(where, np.cumsum(where) - 1, n)
    made = combined(zeros(n + 1, input.dtype, input), place, input.reshape(-1), "set")
    return made[:n].reshape(size)


# ---------------------------------------------------------------- flat positions


def take_rule(input: Meta, index: Meta) -> Meta:
    """The index's shape, the input's dtype."""
    if index.dtype is not int64 and index.dtype is not int32:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    if not input.numel and index.numel:
        rules.fail(IndexError, "take(): tried to take from an empty tensor")
    return meta(tuple(index.shape), input.dtype)


def flat_index(index: np.ndarray, n: int) -> np.ndarray:
    """Positions in a flat array of n elements, counted from the front."""
    return bounded(np.where(index < 0, index + n, index), n, lambda bad: IndexError(
        f"out of range: tried to access index {bad.flat[0] - n * (bad.flat[0] < 0)} on a tensor of "
        f"{n} elements."
    ))


@op(
    take_rule,
    compute="storage",
    gradient={
        "input": lambda g, index, input_meta: _put(
            g.new_zeros(tuple(input_meta.shape)), index, g, True
        )
    },
)
def take(input: Tensor, index: IntTensor):
    """Elements of the flattened input; the result has the index's shape.

    Raises IndexError for indices out of range.
    """
    return input.reshape(-1)[flat_index(index, input.size)]


def put_rule(input: Meta, index: Meta, source: Meta, accumulate) -> Meta:
    """The input's Meta; index and source must have as many elements."""
    if index.dtype is not int64 and index.dtype is not int32:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype}")
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{type_name(input.dtype)} and source.dtype = {type_name(source.dtype)}"
        )
    if index.numel != source.numel:
        rules.fail(
            IndexError,
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source.numel}, index.numel() = {index.numel}",
        )
    if not input.numel and index.numel:
        rules.fail(IndexError, "put_(): Tried to put elements into an empty tensor")
    return rules.same(input)


@op(
    put_rule,
    api="",
    gradient={
        "input": lambda g, index, accumulate: (
            g if accumulate else _put(g, index, g.new_zeros(tuple(index.shape)), False)
        ),
        "source": lambda g, index, source_meta: take(g, index).reshape(tuple(source_meta.shape)),
    },
)
def _put(input: Tensor, index: IntTensor, source: Tensor, accumulate):
    """A copy of `input` with `source` written or added at flat positions."""
    flat = input.copy().reshape(-1)
    at, values = flat_index(index, input.size).reshape(-1), source.reshape(-1)
    if accumulate:
        flat = flat + add_rows(input.size, at, values[:, None])[:, 0]
    else:
        flat = combined(flat, at, values, "set")
    return flat.reshape(input.shape)


@function(inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False):
    """A copy of `input` with `source` written (or added) at positions of the flattened input.

    Raises IndexError for indices out of range, RuntimeError for dtypes.
    """
    return _put(input, index, source, bool(accumulate))


@op(lambda index, n: rules.same(index), compute="storage", api="")
def _from_front(index: IntTensor, n):
    """Indices of a dim of size n, negative ones counted from the front."""
    return np.where(index < 0, index + n, index)


@function(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None):
    """`gather` where input and indices are broadcast apart from `dim` (None: flattened).

    Raises RuntimeError for indices out of range.
    """
    if dim is None:
        return gather(input.reshape(-1), 0, _from_front(indices.reshape(-1), input.numel()))
    if indices.ndim != input.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    if indices.dtype is not int64 and indices.dtype is not int32:
        raise RuntimeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype}"
        )
    dim = rules.wrap_dim(dim, input.ndim)
    ours, theirs = list(input.shape), list(indices.shape)
    if not ours:
        return gather(input, dim, indices)
    n, k = ours[dim], theirs[dim]
    ours[dim] = theirs[dim] = 1
    shape = list(rules.broadcast_shapes(tuple(ours), tuple(theirs)))
    shape[dim] = n
    input = input if list(input.shape) == shape else input.expand(shape)
    shape[dim] = k
    indices = indices if list(indices.shape) == shape else indices.expand(shape)
    return gather(input, dim, _from_front(indices, n))


# ---------------------------------------------------------------- positions by value


@function(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False):
    """The indices of elements that are not zero: int64 of shape (count, ndim).

    as_tuple: one vector for each dim instead. Reads the input's values at once.

    >>> torch.nonzero(torch.tensor([[0, 5], [7, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    a = array(input)
    if as_tuple:
        found = np.nonzero(a.reshape(1) if a.ndim == 0 else a)
        return tuple(wrap(np.ascontiguousarray(i)) for i in found)
    if a.ndim == 0:
        return wrap(np.empty((int(bool(a)), 0), np.int64))
    found = np.nonzero(a)
    return wrap(np.array(found, np.int64).reshape(a.ndim, -1)).t()


@function(out=True)
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1):
    """`nonzero` cut to `size` rows, or filled up to them with `fill_value`: int64 (size, ndim)."""
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    found = array(nonzero(input))[:size]
    out = np.full((size, input.ndim), fill_value, np.int64)
    out[: len(found)] = found
    return wrap(out)


@function(api="torch")
def unravel_index(indices: Tensor, shape):
    """The coordinates in a tensor of `shape` of flat indices: one tensor for each dimension."""
    if indices.dtype.category != INTEGER:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    made = []
    indices = indices.long()
    for n in reversed((shape,) if isinstance(shape, int) else tuple(shape)):
        made.append(indices % n)
        indices = indices // n
    return tuple(reversed(made))


@function()
def argwhere(input: Tensor):
    """The indices of elements that are not zero, as `nonzero`."""
    return nonzero(input)


@op(
    lambda input, num_classes: meta((*input.shape, num_classes), int64),
    compute="storage",
    api="",
)
def _one_hot(input: IntTensor, num_classes):
    """1 at the class that each element names."""
    if found(input < 0):
        raise RuntimeError("Class values must be non-negative.")
    if found(input >= num_classes):
        raise RuntimeError("Class values must be smaller than num_classes.")
    return (input[..., None] == np.arange(num_classes)).astype(np.int64)


@function(api="nn.functional")
def one_hot(input: Tensor, num_classes: int = -1):
    """`out[..., input[...]] = 1` in int64 zeros of shape (*input.shape, num_classes).

    input: int64. num_classes: -1 takes the largest value plus one (reads the values at once).
    Raises RuntimeError for negative classes and classes beyond `num_classes`.

    >>> F.one_hot(torch.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if input.dtype is not int64:
        raise RuntimeError(
            f"one_hot is only applicable to index tensor of type LongTensor, got {input.dtype}"
        )
    num_classes = int(num_classes)
    if not input.numel():
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
    elif num_classes == -1:
        num_classes = max(int(array(input).max()) + 1, 0)
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    return _one_hot(input, num_classes)


# ---------------------------------------------------------------- a part of a copy


def _with_part(input, part, src, name: str, copy=None):
    """A copy of `input` (made here, or given) whose view `part(copy)` is `src`."""
    if copy is None:
        copy = input.clone()
    view = part(copy)
    if view.shape != src.shape:
        raise RuntimeError(
            f"{name}: expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(view.shape)}"
        )
    view.copy_(src)
    return copy


@function()
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int):
    """A copy of `input` with `src` at index `index` of `dim`; src has the shape of that slice."""
    return _with_part(input, lambda t: t.select(dim, index), src, "select_scatter")


@function()
def as_strided_scatter(input: Tensor, src: Tensor, size, stride, storage_offset: int | None = None):
    """A copy of `input` with `src` in the view `as_strided(size, stride, storage_offset)`.

    The view is one of the memory of `input`, all of which is copied; it may lie beside `input`.
    """
    offset = input.storage_offset() if storage_offset is None else storage_offset

    def part(t):
        return t.as_strided(size, stride, offset)

    m, start = input._s.m, input.storage_offset()
    if m.overlaps or not m.numel or (m.contiguous and not start):
        return _with_part(input, part, src, "as_strided_scatter")
    end = max(at + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
              for at, shape, strides in ((start, m.shape, m.strides), (offset, size, stride)))
    memory = clone(input.as_strided((end,), (1,), 0))
    copy = memory.as_strided(m.shape, m.strides, start)
    return _with_part(input, part, src, "as_strided_scatter", copy)


@function(out=True)
def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: int | None = None,
                  end: int | None = None, step: int = 1):
    """A copy of `input` with `src` at the slice `start:end:step` of `dim`."""
    at = (slice(None),) * rules.wrap_dim(dim, input.ndim) + (slice(start, end, step),)
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    return _with_part(input, lambda t: t[at], src, "slice_scatter")


@function()
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1):
    """A copy of `input` with `src` on a diagonal of two of its dims (see `diagonal`)."""
    return _with_part(input, lambda t: t.diagonal(offset, dim1, dim2), src, "diagonal_scatter")
