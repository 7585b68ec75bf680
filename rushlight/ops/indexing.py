"""Indexing a tensor: `x[...]` and `x[...] = value` in all of PyTorch's forms, and index_put.

An index is applied from left to right. Integers, slices, None and Ellipsis make views. What is left are
integer tensors and the dims they stand at; they are gathered by one operator, `_index`. Masks
become integer tensors by `nonzero`, which needs their values. `scatter.py` has the functions that
index along one dim.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..trace import array, overrides, wrap
from ..trace import tensor as _tensor
from ..trace.dtypes import bool_, fit, float16, int8, int16, int32, int64, type_name, uint8
from ..trace.meta import Meta, meta
from ..trace.operator import PUBLISHED, IntTensors, Tensor, function, op
from ..trace.trie import RECORDER
from ..trace.write import refuse_overlap, silent
from . import rules
from .values import native
from .view import _slice, select, unsqueeze

HOOKED = overrides.ACTIVE
TensorType = _tensor.Tensor
NUMBERS = (bool, int, float, complex, np.number, np.bool_)


# ---------------------------------------------------------------- the operators


def advanced_shape(shape, index_shapes, dims) -> tuple[tuple[int, ...], int]:
    """The shape of `x[...]` with index tensors at `dims`, and where the indices' own dims stand.

    They replace the indexed dims when those are neighbours, else they come first.
    """
    try:
        common = rules.broadcast_shapes(*index_shapes)
    except RuntimeError:
        shown = ", ".join(str(list(s)) for s in index_shapes)
        rules.fail(
            IndexError,
            "shape mismatch: indexing tensors could not be broadcast together with shapes " + shown,
        )
    first = dims[0] if dims[-1] - dims[0] == len(dims) - 1 else 0
    rest = [n for d, n in enumerate(shape) if d not in dims]
    return (*rest[:first], *common, *rest[first:]), first


@rules.cached
def index_rule(input: Meta, indices, dims) -> Meta:
    """The result of `_index`, laid out in the order of the input's other dims."""
    shape, first = advanced_shape(input.shape, [i.shape for i in indices], dims)
    rest = [s for d, s in enumerate(input.strides) if d not in dims]
    rank = max(i.ndim for i in indices)
    strides = (*rest[:first], *[0] * rank, *rest[first:])
    if input.contiguous or 0 in shape:
        return meta(shape, input.dtype)
    operands = [meta(shape, input.dtype, strides)]
    after = len(rest) - first
    for i in indices:  # dims of size 1 count with the stride that a reshape gives them
        lead = len(shape) - after - i.ndim
        own = [0 if n == 1 and shape[lead + k] != 1 else i.strides[k] for k, n in enumerate(i.shape)]
        before = [i.numel if n == 1 else 0 for n in shape[:lead]]
        behind = [1 if n == 1 else 0 for n in shape[len(shape) - after:]]
        operands.append(meta(shape, int64, (*before, *own, *behind)))
    return meta(shape, input.dtype, rules.layout(shape, operands))


def numpy_index(indices, dims) -> tuple:
    """NumPy's form of index tensors that stand at `dims`."""
    at = [slice(None)] * (dims[-1] + 1)
    for d, i in zip(dims, indices, strict=True):
        at[d] = i
    return tuple(at)


@native("from_front")
def from_front(index, n: int, dim: int):
    """An index of a dim of size n, negative ones counted from the front; IndexError out of range."""
    bad = (index < -n) | (index >= n)
    if bad.any():
        raise IndexError(
            f"index {index[bad].flat[0]} is out of bounds for dimension {dim} with size {n}"
        )
    return np.where(index < 0, index + n, index)


def flat_ids(shape, indices, dims):
    """Index tensors at `dims` as one of those dims flattened; IndexError out of range."""
    ids = 0
    for d, i in zip(dims, indices, strict=True):
        ids = ids * shape[d] + from_front(i, shape[d], d)
    return ids


@op(
    index_rule,
    compute="storage",
    api="",
    gradient={
        "input": lambda g, indices, dims, input_meta: _index_backward(
            g, indices, dims, tuple(input_meta.shape)
        )
    },
)
def _index(input: Tensor, indices: IntTensors, dims):
    """`input` at integer tensors that stand at `dims` (ascending), broadcast together."""
    try:
        if len(dims) == 1:
            return np.take(input, indices[0], axis=dims[0])
        return input[numpy_index(indices, dims)]
    except IndexError:
        shape, _ = advanced_shape(input.shape, [i.shape for i in indices], dims)
        if 0 in shape:  # nothing is read: PyTorch does not look at the indices
            return np.empty(shape, input.dtype)
        flat_ids(input.shape, indices, dims)
        raise


@native("add_rows")
def add_rows(n: int, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`out[ids[k]] += values[k]` for an `out` of n rows of zeros; ids in [0, n), values 2-D."""
    width = values.shape[1]
    out = np.zeros((n, width), values.dtype)
    if not ids.size or not width:
        return out
    if width == 1 and values.dtype.char in "fd":
        out[:, 0] = np.bincount(ids, values[:, 0], n)
        return out
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    rows = np.take(values, order, axis=0)
    # Neighbours with equal ids are added pairwise until all differ: log2(count) passes over whole
    # rows, 2 to 4 times as fast as np.add.reduceat along axis 0, and more exact.
    while True:
        fresh = np.concatenate(([True], ids[1:] != ids[:-1]))
        if fresh.all():
            break
        starts = np.flatnonzero(fresh)
        rank = np.arange(ids.size) - np.repeat(starts, np.diff(np.append(starts, ids.size)))
        odd = (rank & 1).astype(bool)
        second = np.flatnonzero(odd)
        rows[second - 1] += rows[second]
        first = np.flatnonzero(~odd)
        rows, ids = rows[first], ids[first]
    out[ids] = rows
    return out


@native("combined")
def combined(out, ids, values, how: str):
    """`out[ids[k]] op= values[k]` for k = 0, 1, ...; how: "set" or the name of a ufunc. In place."""
    if how == "set":
        out[ids] = values
    elif how == "add" and out.ndim == 1 and out.dtype.char in "fd" and ids.size * 4 > out.size:
        out += np.bincount(ids, values, out.size).astype(out.dtype, copy=False)
    else:
        getattr(np, how).at(out, ids, values)
    return out


class OutOfRange(RuntimeError, IndexError):
    """An index beyond its dim where PyTorch raises RuntimeError, which is an IndexError as well."""


def accumulated(values, indices, dims, size) -> np.ndarray:
    """Zeros of shape `size` with `values` (the shape of `_index`) added at the indices."""
    if not values.size:  # (indices of empty results are not looked at)
        return np.zeros(size, values.dtype)
    ids = flat_ids(size, indices, dims)
    spans = [size[d] for d in dims]
    shape, first = advanced_shape(size, [i.shape for i in indices], dims)
    values = np.broadcast_to(values, shape)
    rank = ids.ndim
    values = np.moveaxis(values, range(first, first + rank), range(rank))
    rest = values.shape[rank:]
    width = int(np.prod(rest, dtype=np.int64))
    rows = add_rows(
        int(np.prod(spans, dtype=np.int64)), ids.reshape(-1).astype(np.int64, copy=False),
        values.reshape(ids.size, width),
    )
    return np.moveaxis(rows.reshape(*spans, *rest), range(len(dims)), dims)


@op(
    lambda grad, indices, dims, size: meta(tuple(size), grad.dtype),
    api="",
    gradient={"grad": lambda g, indices, dims: _index(g, indices, dims)},
)
def _index_backward(grad: Tensor, indices: IntTensors, dims, size):
    """The gradient of `_index`: zeros of shape `size` with `grad` added where it was read."""
    return accumulated(grad, indices, dims, size)


@rules.cached
def put_rule(input: Meta, indices, values: Meta, dims, accumulate) -> Meta:
    """The input's Meta, if `values` fits what the indices select."""
    if values.dtype is not input.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{type_name(input.dtype)} for the destination and {type_name(values.dtype)} for the "
            "source."
        )
    shape, _ = advanced_shape(input.shape, [i.shape for i in indices], dims)
    given = values.shape
    if len(given) > len(shape) or any(
        a != b and a != 1 for a, b in zip(reversed(given), reversed(shape), strict=False)
    ):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(given)} cannot be broadcast to indexing "
            f"result of shape {list(shape)}"
        )
    return rules.same(input)


def put_into(out, indices, values, dims, accumulate) -> None:
    """Write, or add, `values` into the array `out` at the indices."""
    if accumulate:
        out += accumulated(values, indices, dims, out.shape).astype(out.dtype, copy=False)
    else:
        written(out, indices, values, dims)


@native("written")
def written(out, indices, values, dims) -> None:
    """Write `values` into the array `out` at the indices."""
    try:
        out[numpy_index(indices, dims)] = values
    except IndexError:
        flat_ids(out.shape, indices, dims)
        raise


@op(
    put_rule,
    compute="wide",
    api="",
    gradient={
        "input": lambda g, indices, dims, accumulate: (
            g if accumulate else _index_put(g, indices, g.new_zeros(()), dims, False)
        ),
        "values": lambda g, indices, dims: _index(g, indices, dims),
    },
)
def _index_put(input: Tensor, indices: IntTensors, values: Tensor, dims, accumulate):
    """A copy of `input` with `values` written (or added) where `_index` would read."""
    out = input.copy(order="K")
    put_into(out, indices, values, dims, accumulate)
    return out


@op(None, compute="storage", api="", mutates=("input",))
def _index_put_into(input: Tensor, indices: IntTensors, values: Tensor, dims, accumulate):
    """`_index_put` into the memory of `input`, for tensors without history."""
    put_into(input, indices, values, dims, accumulate)


# ---------------------------------------------------------------- reading an index


def index_tensor(x):
    """An integer, byte or bool index tensor, of a tensor, array or (nested) sequence."""
    if not isinstance(x, TensorType):
        if isinstance(x, range):
            x = list(x)
        if isinstance(x, (list, tuple)) and any(isinstance(e, TensorType) for e in x):
            x = [e.tolist() if isinstance(e, TensorType) else e for e in x]
        a = np.asarray(x)
        if not isinstance(x, np.ndarray) and (a.size == 0 or a.dtype.kind == "f"):
            a = a.astype(np.int64)  # PyTorch cuts the numbers of a sequence
        if a.dtype.kind not in "iufb":
            raise TypeError(f"an index of type {type(x).__name__} is not a tensor of integers")
        x = wrap(np.array(a))
    d = x._s.m.dtype
    if (d is int16 or d is int8) and not x.ndim:  # one integer, of any width
        x, d = x.to(int64), int64
    if d is not int64 and d is not bool_ and d is not int32 and d is not uint8:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return x


def is_mask(t) -> bool:
    """Whether an index tensor says of each element whether it is selected."""
    d = t._s.m.dtype
    if d is uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
            "instead.", stacklevel=4,
        )
    return d is bool_ or d is uint8


def mask_indices(mask, shape, dim: int, where: int):
    """The integer tensors that select what `mask` does at the dims of `shape` from `dim` on."""
    given = mask._s.m.shape
    for k, n in enumerate(given):
        if shape[dim + k] != n:
            raise IndexError(
                f"The shape of the mask {list(given)} at index {k} does not match the shape of the "
                f"indexed tensor {list(shape)} at index {dim + k}"
            )
    return [wrap(np.ascontiguousarray(i)) for i in np.nonzero(array(mask))]


def as_items(index) -> tuple:
    """An index that is not a tuple as the tuple it means.

    Short lists that hold sequences, slices or tensors mean a tuple (deprecated in PyTorch).
    """
    if isinstance(index, tuple):
        return index
    if isinstance(index, list) and len(index) < 32 and any(
        e is None or e is Ellipsis or isinstance(e, (slice, list, tuple, TensorType, np.ndarray))
        for e in index
    ):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated; use "
            "x[tuple(seq)] instead of x[seq]", stacklevel=4,
        )
        return tuple(index)
    return (index,)


def specified(items) -> int:
    """How many of the tensor's dims the items of an index stand for."""
    count = 0
    for item in items:
        c = item.__class__
        if c is int or c is slice:
            count += 1
        elif item is None or item is Ellipsis or c is bool:
            pass
        elif isinstance(item, TensorType) and is_mask(item):
            count += item._s.m.ndim
        else:
            count += 1
    return count


def select_at(x, dim: int, i: int, where: int):
    """`x` at integer `i` of `dim`; the user counts that dim as `where`."""
    n = x._s.m.shape[dim]
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension {where} with size {n}")
    return select(x, dim, i)


def slice_at(x, dim: int, s: slice):
    """`x` at the slice `s` of `dim`; the same tensor for a slice of everything."""
    n = x._s.m.shape[dim]
    start, stop, step = s.indices(n)
    if step < 0:
        raise ValueError("step must be greater than zero")
    if stop < start:
        stop = start
    if step == 1 and start == 0 and stop == n:
        return x
    return _slice(x, dim, start, stop, step)


def apply(x, items, masks: bool = True):
    """Apply an index: (view, index tensors, the dims of the view that they stand at).

    masks=False leaves a mask as it is: one tensor that stands at its first dim.
    """
    m = x._s.m
    rank = m.ndim
    count = len(items)
    simple = True
    for item in items:
        c = item.__class__
        if c is not int and c is not slice:
            simple = False
            if c is not bool and item is not None and item is not Ellipsis and (
                not isinstance(item, (int, slice, TensorType))
            ):
                items = tuple([plain_item(i) for i in items])
                break
    if not simple:
        count = specified(items)
    if count > rank:
        if rank == 0:
            if items[0].__class__ is slice:
                raise IndexError("slice() cannot be applied to a 0-dim tensor.")
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to "
                "a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    dim = where = 0
    indices: list = []
    dims: list[int] = []
    skipped = False
    for item in items:
        c = item.__class__
        if c is int:
            x = select_at(x, dim, item, where)
            where += 1
        elif c is slice:
            x = slice_at(x, dim, item)
            dim += 1
            where += 1
        elif item is None:
            x = unsqueeze(x, dim)
            dim += 1
        elif item is Ellipsis:
            if not skipped:
                dim += rank - count
                where += rank - count
                skipped = True
        elif c is bool:
            x = unsqueeze(x, dim)
            indices.append(wrap(np.zeros(int(item), np.int64)))
            dims.append(dim)
            dim += 1
        else:
            im = item._s.m
            mask = im.dtype is bool_ or im.dtype is uint8
            if im.ndim == 0:
                if mask:
                    x = unsqueeze(x, dim)
                    indices.append(wrap(np.zeros(int(bool(item.item())), np.int64)))
                    dims.append(dim)
                    dim += 1
                else:
                    x = select_at(x, dim, item.item(), where)
                    where += 1
            elif mask:
                indices += mask_indices(item, x._s.m.shape, dim, where) if masks else [item]
                dims += range(dim, dim + (im.ndim if masks else 1))
                dim += im.ndim
                where += im.ndim
            else:
                indices.append(item)
                dims.append(dim)
                dim += 1
                where += 1
    return x, indices, dims


def plain_item(item):
    """An item of an index as an int, bool, slice, None, Ellipsis or an index tensor."""
    if item is None or item is Ellipsis or isinstance(item, (bool, int, slice)):
        return item if isinstance(item, bool) or not isinstance(item, int) else int(item)
    if isinstance(item, (TensorType, list, tuple, range, np.ndarray)):
        return index_tensor(item)
    if isinstance(item, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(item, (float, complex, np.bool_, np.floating)) or not hasattr(item, "__index__"):
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(item).__name__})"
        )
    return item.__index__()


def getitem(self, index):
    """`self[index]`: a view for integers, slices, None and `...`; a copy for tensors and lists.

    Raises IndexError for what is out of range, has a wrong dtype or does not broadcast.
    """
    if HOOKED[0]:
        found = overrides.find((self, index), None)
        if found is not None:
            return overrides.call(TensorType.__getitem__, found, (self, index), {})
    c = index.__class__
    if c is int:
        shape = self._s.m.shape
        if shape and -shape[0] <= index < shape[0]:
            return select(self, 0, index)
        items = (index,)
    elif c is tuple:
        items = index
    else:
        items = as_items(index)
    view, indices, dims = apply(self, checked(items))
    if indices:
        return _index(view, tuple(indices), tuple(dims))
    return _alias(view) if view is self else view


def checked(items) -> tuple:
    """`items` with index tensors of allowed dtypes."""
    for item in items:
        if isinstance(item, TensorType):
            index_tensor(item)
    return items


def _alias(x):
    """A view of all of `x`."""
    if x._s.m.ndim:
        return _slice(x, 0, 0, x._s.m.shape[0], 1)
    return x.view(())


# ---------------------------------------------------------------- assignment


def value_tensor(x, value):
    """What is assigned to `x` as a tensor; numbers get the dtype of `x`."""
    if isinstance(value, TensorType):
        return value
    d = x._s.m.dtype
    if not isinstance(value, NUMBERS):
        kind = type_name(d)
        raise TypeError(f"can't assign a {type(value).__name__} to a torch.{kind}Tensor")
    value = value if d.is_half else fit(value, d)
    return wrap(np.array(np.float32(value) if d is float16 else value, d.np))


def trimmed(value, rank: int):
    """`value` without leading dims of size 1 beyond `rank` dims."""
    shape = value._s.m.shape
    while len(shape) > rank and shape[0] == 1:
        value = select(value, 0, 0)
        shape = shape[1:]
    return value


def has_history(*tensors) -> bool:
    """Whether a write among these must be noted by autograd."""
    if not RECORDER.tr.grad_on:
        return False
    for t in tensors:
        if t.requires_grad or (t._base is not None and t._base._s.rg):
            return True
    return False


def setitem(self, index, value) -> None:
    """`self[index] = value`, broadcast; values of another dtype are converted by views only."""
    if HOOKED[0]:
        found = overrides.find((self, index, value), None)
        if found is not None:
            overrides.call(TensorType.__setitem__, found, (self, index, value), {})
            return
    value = value_tensor(self, value)
    if index.__class__ is bool:  # a dim more, or nothing at all
        if index:
            _assign(unsqueeze(self, 0), value)
        return
    items = checked(index if index.__class__ is tuple else as_items(index))
    vm = value._s.m
    single = vm.numel == 1 and any(
        isinstance(i, (TensorType, list, np.ndarray)) for i in items
    )
    if single and len(items) == 1 and isinstance(items[0], TensorType) and not items[0].ndim and is_mask(items[0]):
        _fill_mask(self, items[0], value, 0)
        return
    view, indices, dims = apply(self, items, masks=not single)
    if not indices:
        _assign(view, value)
        return
    if single and any(is_mask(i) for i in indices):
        if len(indices) == 1:
            _fill_mask(view, indices[0], value, dims[0])
            return
        view, indices, dims = apply(self, items)
    shape, _ = advanced_shape(view._s.m.shape, [i._s.m.shape for i in indices], dims)
    put(view, tuple(indices), trimmed(value, len(shape)), tuple(dims), False)


def _assign(view, value) -> None:
    """Overwrite a view with `value`; one number may come from the memory that is written."""
    if value._s.m.ndim:
        view.copy_(trimmed(value, view._s.m.ndim))
    else:
        view.check_writable("fill_")
        view.fill_(value)


def _fill_mask(view, mask, value, dim: int) -> None:
    """Fill `view` with one value where `mask`, whose first dim is `dim` of it, is True."""
    shape, given = view._s.m.shape, mask._s.m.shape
    for k, n in enumerate(given):
        if shape[dim + k] != n:
            mask_indices(mask, shape, dim, dim)  # raises
    trailing = len(shape) - dim - len(given)
    if trailing:
        mask = mask.view(given + (1,) * trailing)
    for d, (n, stride) in enumerate(zip(shape, view._s.m.strides, strict=True)):
        if stride == 0 and n > 1:  # expanded: what is written at one of its places is written
            mask, view = mask.expand(view.shape).any(d, keepdim=True), view.narrow(d, 0, 1)
    if value._s.m.ndim:
        value = value.view(())
    shared = value._storage is not None and value._storage is view._storage
    view.masked_fill_(mask, value.clone() if shared else value)


def put(x, indices, values, dims, accumulate: bool):
    """Write values into `x` at index tensors; returns `x`."""
    metas = tuple([i._s.m for i in indices])
    put_rule(x._s.m, metas, values._s.m, dims, accumulate)
    storage = x._storage
    if storage is not None:
        refuse_overlap(x, (values, *indices))
    if has_history(x, values) or silent(x) or (storage is not None and storage.exposed):
        return x.copy_(_index_put(x, indices, values, dims, accumulate))
    x.check_writable("index_put_")
    _index_put_into(x, indices, values, dims, accumulate)
    return x


def put_indices(x, indices):
    """(view of x, index tensors, dims) of index_put's tuple, whose None stands for a whole dim.

    A mask without dims selects all or nothing of a dim of size 1, which the view has for it.
    """
    if isinstance(indices, TensorType):
        raise TypeError("index_put(): argument 'indices' must be tuple of Tensors, not Tensor")
    found, dims, dim = [], [], 0
    for i in indices:
        if i is None:
            dim += 1
            continue
        i = index_tensor(i)
        if dim + (i._s.m.ndim or 1 if is_mask(i) else 1) > x._s.m.ndim:
            raise IndexError(f"too many indices for tensor of dimension {x._s.m.ndim}")
        if is_mask(i) and not i._s.m.ndim:
            x, expanded = unsqueeze(x, dim), [wrap(np.zeros(int(bool(i.item())), np.int64))]
        elif is_mask(i):
            expanded = mask_indices(i, x._s.m.shape, dim, dim)
        else:
            expanded = [i]
        found += expanded
        dims += range(dim, dim + len(expanded))
        dim += len(expanded)
    return x, tuple(found), tuple(dims)


@function()
def index_put(input: Tensor, indices, values: Tensor, accumulate: bool = False):
    """A copy of `input` with `input[indices] = values` (or `+=` if `accumulate`).

    indices: tuple of int or bool tensors. values: broadcasts to `input[indices]`, same dtype.
    Raises IndexError for indices out of range, RuntimeError for shapes and dtypes.
    """
    view, found, dims = put_indices(input, indices)
    if not found:
        return input.clone()
    made = _index_put(view, found, values, dims, bool(accumulate))
    return made if view is input else made.view(input.shape)


@function(api="Tensor")
def index_put_(input: Tensor, indices, values: Tensor, accumulate: bool = False):
    """`input[indices] = values` (or `+=` if `accumulate`, where equal indices add up)."""
    view, found, dims = put_indices(input, indices)
    if found:
        put(view, found, values, dims, bool(accumulate))
    return input


getitem.__name__, setitem.__name__ = "__getitem__", "__setitem__"
PUBLISHED["Tensor"]["__getitem__"] = getitem
PUBLISHED["Tensor"]["__setitem__"] = setitem
PUBLISHED["torch"]["index_put_"] = PUBLISHED["Tensor"]["index_put_"]
