"""Operators that rearrange or copy elements: reshape, cat, pad, casts."""

from __future__ import annotations

import itertools

import numpy as np

from ..interpret.placeholder import NO_DATA
from ..interpret.tier0 import converted
from ..trace import dtypes
from ..trace.device import META, require
from ..trace.dtypes import contiguous_format, preserve_format
from ..trace.layouts import format_strides, is_in_format
from ..trace.meta import Meta, is_dense, meta
from ..trace.operator import Tensor, Tensors, function, op
from ..trace.tensor import Tensor as TensorClass
from ..trace.tensor import wrap
from . import rules
from .pointwise import piecewise
from .values import zeros
from .view import (
    _view,
    expand,
    infer_size,
    select,
    unsqueeze,
    view_strides,
    with_diagonal,
)

# ---------------------------------------------------------------- copies and casts


def _format_strides(m: Meta, memory_format):
    """Strides of a copy of `m` in a memory format (None: contiguous)."""
    if memory_format is None or memory_format is preserve_format:
        if is_dense(m.shape, m.strides):
            return m.strides
        made = rules.layout(tuple(m.shape), (m,)) if not m.contiguous else None
        return made
    return format_strides(m.shape, memory_format)


def _clone_rule(input: Meta, memory_format) -> Meta:
    return meta(input.shape, input.dtype, _format_strides(input, memory_format))


@op(_clone_rule, gradient={"input": lambda g: g}, compute="storage")
def clone(input: Tensor, *, memory_format=None):
    """A copy in memory of its own, with history."""
    return input.copy()


@function(api="Tensor")
def contiguous(self, memory_format=contiguous_format):
    """The tensor itself if it is contiguous in `memory_format`, else a copy that is."""
    if is_in_format(self._s.m, memory_format):
        return self
    return clone(self, memory_format=memory_format)


def _cast_rule(input: Meta, dtype, memory_format) -> Meta:
    return meta(input.shape, dtype, _format_strides(input, memory_format))


@op(
    _cast_rule,
    gradient={"input": lambda g, input_meta: g.to(input_meta.dtype)},
    compute="storage",
    api="",
)
def _to_dtype(input: Tensor, dtype: dtypes.dtype, memory_format):
    """The elements in another dtype."""
    if input.dtype.kind == "c" and dtype.category != dtypes.COMPLEX and dtype is not dtypes.bool_:
        input = input.real
    return converted(input, dtype.np)


def _no_way_back(g):
    raise NotImplementedError(NO_DATA)


@op(
    lambda input: meta(input.shape, input.dtype, _format_strides(input, None), 0, META),
    gradient={"input": _no_way_back}, compute="storage", api="",
)
def _to_meta(input: Tensor):
    """What the tensor is, without its values: on the meta device."""
    return input


def parse_to(args, kwargs):
    """(dtype, device, copy, memory_format) of the overloads of Tensor.to."""
    dtype, where = kwargs.get("dtype"), kwargs.get("device")
    rest = list(args)
    if rest and isinstance(rest[0], TensorClass):
        other = rest.pop(0)
        dtype, where = other.dtype, other.device
    elif rest and isinstance(rest[0], dtypes.dtype):
        dtype = rest.pop(0)
    elif rest and (rest[0] is None or not isinstance(rest[0], bool)):
        where = rest.pop(0)
        if rest and (isinstance(rest[0], dtypes.dtype) or rest[0] is None):
            dtype = rest.pop(0)
    if "other" in kwargs:
        dtype = kwargs["other"].dtype
    copy = rest[1] if len(rest) > 1 else kwargs.get("copy", False)
    return dtype, where, copy, kwargs.get("memory_format")


def _moved(t, where):
    """A tensor on another device."""
    if where.type == "cpu":
        raise NotImplementedError(NO_DATA)
    return _to_meta(t)


@function(api="Tensor")
def to(self, *args, **kwargs):
    """The tensor with another dtype or device: `to(dtype)`, `to(device, dtype)`, `to(other)`."""
    dtype, where, copy, memory_format = parse_to(args, kwargs)
    where = require(where, self.device)
    if where is not self.device:
        self = _moved(self, where)
    if dtype is not None and dtype is not self.dtype:
        return _to_dtype(self, dtype, memory_format)
    if copy or (
        memory_format not in (None, preserve_format)
        and self.stride() != format_strides(self.shape, memory_format)
    ):
        return clone(self, memory_format=memory_format)
    return self


def _caster(name: str, dtype):
    def cast(self, memory_format=preserve_format):
        if self.dtype is dtype:
            return self
        return _to_dtype(self, dtype, None if memory_format is preserve_format else memory_format)

    cast.__name__, cast.__doc__ = name, f"`to(torch.{dtype.name})`."
    return function(api="Tensor")(cast)


for _name, _dtype in {
    "float": dtypes.float32,
    "double": dtypes.float64,
    "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16,
    "int": dtypes.int32,
    "long": dtypes.int64,
    "short": dtypes.int16,
    "char": dtypes.int8,
    "byte": dtypes.uint8,
    "bool": dtypes.bool_,
    "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
}.items():
    _caster(_name, _dtype)


@function(api="Tensor")
def type_as(self, other):
    """`to(other.dtype)`."""
    return self.to(other.dtype)


@function(api="Tensor")
def cpu(self, memory_format=preserve_format):
    """The tensor in the CPU's memory: itself. NotImplementedError on the meta device."""
    return self.to("cpu")


@function(api="Tensor")
def cuda(self, device=None, non_blocking=False, memory_format=preserve_format):
    """RuntimeError: there is no CUDA device."""
    require("cuda")


_TYPES = {
    "Float": dtypes.float32, "Double": dtypes.float64, "Half": dtypes.float16,
    "BFloat16": dtypes.bfloat16, "Int": dtypes.int32, "Long": dtypes.int64,
    "Short": dtypes.int16, "Char": dtypes.int8, "Byte": dtypes.uint8, "Bool": dtypes.bool_,
    "ComplexFloat": dtypes.complex64, "ComplexDouble": dtypes.complex128,
}


@function(api="Tensor")
def type(self, dtype=None, non_blocking=False):
    """The type's name ("torch.FloatTensor"), or the tensor cast to `dtype`."""
    if dtype is None:
        from ..trace.dtypes import type_name

        return f"torch.{'meta.' if self.is_meta else ''}{type_name(self.dtype)}Tensor"
    if isinstance(dtype, str):
        kind = dtype.removeprefix("torch.").removesuffix("Tensor")
        if kind not in _TYPES:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = _TYPES[kind]
    return self.to(getattr(dtype, "dtype", dtype))  # (torch.FloatTensor and its like)


# ---------------------------------------------------------------- shape


@function()
def reshape(input: Tensor, *shape, **kwargs):
    """Another shape: a view where the strides allow it, else a copy."""
    if kwargs:
        shape = kwargs["shape"]
    elif len(shape) == 1 and not isinstance(shape[0], int):
        shape = shape[0]
    if not isinstance(shape, (tuple, list)):
        shape = (shape,)
    m = input._s.m
    if m.contiguous:
        return _view(input, tuple(shape))
    size = infer_size(tuple(int(n) for n in shape), m.numel)
    if view_strides(m, size) is not None:
        return _view(input, size)
    return _view(clone(input, memory_format=contiguous_format), size)


@function(api="Tensor")
def reshape_as(self, other):
    """`reshape(other.shape)`."""
    return reshape(self, tuple(other.shape))


@function()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1):
    """Dimensions start_dim to end_dim as one."""
    n = input.ndim
    a, b = rules.wrap_dim(start_dim, n), rules.wrap_dim(end_dim, n)
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    shape = input.shape
    if n == 0:
        return reshape(input, (1,))
    if a == b:
        return input
    size = 1
    for d in range(a, b + 1):
        size *= shape[d]
    return reshape(input, (*shape[:a], size, *shape[b + 1:]))


@function()
def ravel(input: Tensor):
    """All dimensions as one."""
    return reshape(input, (-1,)) if input.numel() else reshape(input, (0,))


@function()
def unflatten(input: Tensor, dim: int, sizes):
    """One dimension as several.

    >>> torch.unflatten(torch.zeros(2, 12), 1, (3, -1)).shape
    torch.Size([2, 3, 4])
    """
    d = rules.wrap_dim(dim, input.ndim)
    if input.ndim == 0:
        raise RuntimeError(f"unflatten: a 0-dim tensor has no dimension {dim} to be split into {tuple(sizes)}")
    sizes = infer_size(tuple(sizes), input.shape[d])
    return input.view((*input.shape[:d], *sizes, *input.shape[d + 1:])) if input.is_contiguous() \
        else reshape(input, (*input.shape[:d], *sizes, *input.shape[d + 1:]))


# ---------------------------------------------------------------- joining


def _legacy_empty(m: Meta) -> bool:
    return m.ndim == 1 and m.shape[0] == 0


def _cat_rule(tensors, dim) -> Meta:
    if not tensors:
        rules.fail(ValueError, "torch.cat(): expected a non-empty list of Tensors")
    for i, m in enumerate(tensors):
        if m.ndim == 0:
            rules.fail(
                RuntimeError,
                f"zero-dimensional tensor (at position {i}) cannot be concatenated",
            )
    real = [m for m in tensors if not _legacy_empty(m)]
    if not real:
        return meta((0,), rules.promote(*tensors))
    first = real[0]
    d = rules.wrap_dim(dim, first.ndim)
    total = 0
    for i, m in enumerate(real):
        if m.ndim != first.ndim:
            rules.fail(
                RuntimeError,
                f"Tensors must have same number of dimensions: got {first.ndim} and {m.ndim}",
            )
        for k, (a, b) in enumerate(zip(first.shape, m.shape, strict=True)):
            if k != d and a != b:
                rules.fail(
                    RuntimeError,
                    f"Sizes of tensors must match except in dimension {d}. Expected size {a} but "
                    f"got size {b} for tensor number {i} in the list.",
                )
        total += m.shape[d]
    shape = (*first.shape[:d], total, *first.shape[d + 1:])
    dtype = rules.promote(*tensors)
    laid_out = [rules.images_like(shape, dtype, m) for m in real]
    return laid_out[0] if all(m is laid_out[0] for m in laid_out) else meta(shape, dtype)


def _cat_gradient(g, tensors_meta, dim):
    made, start = [], 0
    for m in tensors_meta:
        if _legacy_empty(m) and g.ndim != 1:
            made.append(None)
            continue
        n = m.shape[dim]
        made.append(g.narrow(dim, start, n))
        start += n
    return tuple(made)


@op(
    _cat_rule, gradient={"tensors": _cat_gradient}, compute="result",
    api="torch", aliases=("concat", "concatenate"),
)
def cat(tensors: Tensors, dim: int = 0):
    """Tensors joined along a dimension.

    >>> torch.cat([torch.zeros(2, 3), torch.ones(1, 3)])
    tensor([[0., 0., 0.],
            [0., 0., 0.],
            [1., 1., 1.]])
    """
    real = [a for a in tensors if not (a.ndim == 1 and a.shape[0] == 0)]
    return np.concatenate(real, axis=dim) if real else np.copy(tensors[0])


def _padded_rule(sequences, longest, batch_first, left, value):
    first = sequences[0]
    for m in sequences:
        if m.shape[1:] != first.shape[1:]:
            rules.fail(RuntimeError, f"pad_sequence: sequences of shapes {list(first.shape)} and "
                                     f"{list(m.shape)} differ in more than their lengths")
    lead = (len(sequences), longest) if batch_first else (longest, len(sequences))
    return meta((*lead, *first.shape[1:]), rules.promote(*sequences))


def _padded_gradient(g, sequences_meta, longest, batch_first, left):
    parts = g.unbind(0 if batch_first else 1)
    return tuple(
        part.narrow(0, longest - m.shape[0] if left else 0, m.shape[0])
        for part, m in zip(parts, sequences_meta, strict=True)
    )


@op(_padded_rule, gradient={"sequences": _padded_gradient}, compute="result", api="")
def padded_sequences(
    sequences: Tensors, longest: int, batch_first: bool, left: bool, value: float
):
    """Sequences (T_i, *), each padded to the same length, in a batch (see `nn.utils.rnn`)."""
    made = []
    for x in sequences:
        if x.shape[0] < longest:
            filler = np.full((longest - x.shape[0], *x.shape[1:]), value, x.dtype)
            x = np.concatenate([filler, x] if left else [x, filler])
        made.append(x)
    return np.stack(made, 0 if batch_first else 1)


def _stack_rule(tensors, dim) -> Meta:
    if not tensors:
        rules.fail(RuntimeError, "stack expects a non-empty TensorList")
    first = tensors[0]
    d = rules.wrap_dim(dim, first.ndim + 1)
    for i, m in enumerate(tensors):
        if m.shape != first.shape:
            rules.fail(
                RuntimeError,
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry "
                f"0 and {list(m.shape)} at entry {i}",
            )
    shape = (*first.shape[:d], len(tensors), *first.shape[d:])
    return meta(shape, rules.promote(*tensors))


@op(
    _stack_rule,
    gradient={"tensors": lambda g, dim: g.unbind(dim)},
    compute="result",
    api="torch",
)
def stack(tensors: Tensors, dim: int = 0):
    """Tensors of one shape joined along a new dimension.

    >>> torch.stack([torch.tensor([1, 2]), torch.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    return np.stack(tensors, axis=dim)


def _many(tensors):
    return tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors


@function(api="torch")
def atleast_1d(*tensors):
    """Tensors with at least one dimension."""
    made = [t.reshape(1) if t.ndim == 0 else t for t in _many(tensors)]
    return made[0] if len(tensors) == 1 and isinstance(tensors[0], TensorClass) else tuple(made)


@function(api="torch")
def atleast_2d(*tensors):
    """Tensors with at least two dimensions."""
    made = [
        t.reshape(1, 1) if t.ndim == 0 else unsqueeze(t, 0) if t.ndim == 1 else t
        for t in _many(tensors)
    ]
    return made[0] if len(tensors) == 1 and isinstance(tensors[0], TensorClass) else tuple(made)


@function(api="torch")
def atleast_3d(*tensors):
    """Tensors with at least three dimensions."""
    made = [
        t.reshape(1, 1, 1) if t.ndim == 0 else t.reshape(1, -1, 1) if t.ndim == 1
        else unsqueeze(t, -1) if t.ndim == 2 else t
        for t in _many(tensors)
    ]
    return made[0] if len(tensors) == 1 and isinstance(tensors[0], TensorClass) else tuple(made)


def _some(name, tensors):
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return tensors


@function(api="torch", out=True)
def hstack(tensors):
    """Joined along columns (the only dimension of vectors)."""
    parts = [atleast_1d(t) for t in _some("hstack", tensors)]
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


@function(api="torch", aliases=("row_stack",), out=True)
def vstack(tensors):
    """Joined along rows."""
    return cat([atleast_2d(t) for t in _some("vstack", tensors)], 0)


@function(api="torch", out=True)
def dstack(tensors):
    """Joined along the third dimension."""
    return cat([atleast_3d(t) for t in _some("dstack", tensors)], 2)


@function(api="torch", out=True)
def column_stack(tensors):
    """Vectors as columns."""
    return hstack([t.reshape(-1, 1) if t.ndim <= 1 else t for t in tensors])


# ---------------------------------------------------------------- repeating and flipping


def _repeat_rule(input: Meta, repeats) -> Meta:
    extra = len(repeats) - input.ndim
    if extra < 0:
        rules.fail(
            RuntimeError,
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor",
        )
    shape = (1,) * extra + tuple(input.shape)
    return meta(tuple(n * r for n, r in zip(shape, repeats, strict=True)), input.dtype)


def _repeat_gradient(g, input_meta, repeats):
    extra = len(repeats) - input_meta.ndim
    shape = (1,) * extra + tuple(input_meta.shape)
    pairs = [x for n, r in zip(shape, repeats, strict=True) for x in (r, n)]
    g = g.reshape(pairs) if pairs else g
    if pairs:
        g = g.sum(tuple(range(0, len(pairs), 2)))
    return g.reshape(input_meta.shape)


@op(_repeat_rule, gradient={"input": _repeat_gradient}, compute="storage", api="")
def _repeat(input: Tensor, repeats: tuple):
    """The tensor repeated along each dimension."""
    return np.tile(input, repeats)


@function(api="Tensor")
def repeat(self, *repeats):
    """The tensor repeated along each dimension."""
    if len(repeats) == 1 and not isinstance(repeats[0], int):
        repeats = repeats[0]
    return _repeat(self, tuple(repeats))


@function()
def tile(input: Tensor, *dims):
    """`repeat`, with missing leading counts as 1."""
    if len(dims) == 1 and not isinstance(dims[0], int):
        dims = dims[0]
    return _repeat(input, (1,) * (input.ndim - len(dims)) + tuple(dims))


@function()
def repeat_interleave(input: Tensor, repeats=None, dim: int | None = None, *, output_size=None):
    """Each element repeated.

    >>> torch.repeat_interleave(torch.tensor([5, 6]), torch.tensor([1, 3]))
    tensor([5, 6, 6, 6])
    """
    from ..trace.tensor import array

    if repeats is None:
        counts = array(input)
        return wrap(np.repeat(np.arange(counts.size), counts))
    if dim is None:
        input, dim = input.reshape(-1), 0
    counts = array(repeats) if isinstance(repeats, TensorClass) else repeats
    n = input.shape[dim]
    index = np.repeat(np.arange(n), counts if not isinstance(counts, np.ndarray) or counts.ndim
                      else counts.item())
    if output_size is not None and n and output_size != len(index):
        raise RuntimeError(
            f"repeat_interleave: output_size is {output_size}, but the repeats make {len(index)}"
        )
    return input.index_select(dim, wrap(index))


def _flip_rule(input: Meta, dims) -> Meta:
    rules.wrap_dims(dims or None, input.ndim)
    return meta(input.shape, input.dtype, _format_strides(input, None))


@op(_flip_rule, gradient={"input": lambda g, dims: g.flip(dims)}, compute="storage", api="")
def _flip(input: Tensor, dims: tuple):
    """The order along dimensions reversed."""
    return np.flip(input, dims).copy() if input.ndim else input.copy()


@function()
def flip(input: Tensor, *order, dims=None):
    """The order along dimensions reversed (a copy)."""
    dims = order if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if len(dims) == 1 and not isinstance(dims[0], int):
        dims = tuple(dims[0])
    return _flip(input, dims) if dims else clone(input)


@function()
def fliplr(input: Tensor):
    """Columns reversed."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@function()
def flipud(input: Tensor):
    """Rows reversed."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def _back(shifts):
    return tuple(-s for s in shifts) if isinstance(shifts, tuple) else -shifts


def _roll_rule(input: Meta, shifts, dims) -> Meta:
    moves = shifts if isinstance(shifts, tuple) else (shifts,)
    along = () if dims is None else dims if isinstance(dims, tuple) else (dims,)
    if not moves:
        rules.fail(RuntimeError, "`shifts` required")
    if len(along) != len(moves) and (along or len(moves) > 1):
        rules.fail(
            RuntimeError,
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(along)}",
        )
    if along and not input.ndim:
        rules.fail(IndexError, f"Dimension specified as {along[0]} but tensor has no dimensions")
    if input.numel:  # PyTorch does not look at the dims of an empty tensor
        for d in along:
            rules.wrap_dim(d, input.ndim)
    return meta(input.shape, input.dtype)


@op(
    _roll_rule,
    gradient={"input": lambda g, shifts, dims: g.roll(_back(shifts), dims)},
    compute="storage",
)
def roll(input: Tensor, shifts: int | tuple, dims: int | tuple | None = None):
    """Elements moved along dimensions, around the end.

    >>> torch.roll(torch.arange(5), 2)
    tensor([3, 4, 0, 1, 2])
    """
    return np.roll(input, shifts, dims if dims != () else None) if input.size else input.copy()


@function()
def rot90(input: Tensor, k: int = 1, dims=(0, 1)):
    """Rotated by 90 degrees k times in a plane."""
    dims = tuple(dims)
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = (rules.wrap_dim(d, input.ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got {dims}")
    k %= 4
    if k == 1:
        return flip(input, b).transpose(a, b)
    if k == 2:
        return flip(input, a, b)
    if k == 3:
        return flip(input, a).transpose(a, b)
    return clone(input, memory_format=contiguous_format)


# ---------------------------------------------------------------- triangles and diagonals


def _triangle_rule(input: Meta, diagonal) -> Meta:
    if input.ndim < 2:
        rules.fail(RuntimeError, "input tensor must have at least 2 dimensions")
    return meta(input.shape, input.dtype)


@op(
    _triangle_rule,
    gradient={"input": lambda g, diagonal: g.tril(diagonal)},
    compute="storage",
    inplace=True,
)
def tril(input: Tensor, diagonal: int = 0):
    """The lower triangle, zeros above the diagonal."""
    return np.tril(input, diagonal)


@op(
    _triangle_rule,
    gradient={"input": lambda g, diagonal: g.triu(diagonal)},
    compute="storage",
    inplace=True,
)
def triu(input: Tensor, diagonal: int = 0):
    """The upper triangle, zeros below the diagonal."""
    return np.triu(input, diagonal)


def _embed_rule(input: Meta, offset, dim1, dim2) -> Meta:
    n = input.ndim + 1
    a, b = rules.wrap_dim(dim1, n), rules.wrap_dim(dim2, n)
    if a == b:
        rules.fail(RuntimeError, f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input.shape[-1] + np.abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((a, b)):
        shape.insert(d, int(size))
    return meta(tuple(shape), input.dtype)


@op(
    _embed_rule,
    gradient={"input": lambda g, offset, dim1, dim2: g.diagonal(offset, dim1, dim2)},
    compute="storage",
)
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1):
    """Matrices with the last dimension on a diagonal."""
    m = _embed_rule(meta(input.shape, dtypes.uint8), offset, dim1, dim2)
    whole = zeros(m.shape, input.dtype, input)
    return with_diagonal(whole, input, offset, dim1, dim2)


@function(out=True)
def diag(input: Tensor, diagonal: int = 0):
    """A vector as a matrix's diagonal, or a matrix's diagonal as a vector."""
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim == 2:
        return clone(input.diagonal(diagonal), memory_format=contiguous_format)
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")


@function()
def diagflat(input: Tensor, offset: int = 0):
    """All elements on a matrix's diagonal."""
    return diag_embed(input.reshape(-1), offset)


@function(api="torch")
def block_diag(*tensors):
    """Matrices along the diagonal of a larger one."""
    from ..trace.layouts import filled

    dtype = rules.promote(*[t._s.m for t in tensors]) if tensors else None
    mats = [atleast_2d(t).to(dtype) for t in tensors]
    width = sum(m.shape[1] for m in mats)
    rows, at = [], 0
    for m in mats:
        h, w = m.shape
        rows.append(cat([filled((h, at), 0, m.dtype), m, filled((h, width - at - w), 0, m.dtype)],
                        1))
        at += w
    return cat(rows, 0)


@function(api="torch")
def broadcast_tensors(*tensors):
    """Tensors expanded to their common shape."""
    tensors = _many(tensors)
    shape = rules.broadcast_shapes(*[tuple(t.shape) for t in tensors])
    return tuple(expand(t, shape) for t in tensors)


@function(api="torch")
def broadcast_shapes(*shapes):
    """The common shape of arrays that are broadcast together."""
    from ..trace.meta import Size

    return Size(rules.broadcast_shapes(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))


@function(api="torch")
def meshgrid(*tensors, indexing: str | None = None):
    """Coordinates of a grid, from one vector for each axis.

    >>> rows, columns = torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")
    >>> rows
    tensor([[0, 0, 0],
            [1, 1, 1]])
    """
    tensors = _many(tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    for t in tensors:
        if t.ndim > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got shape "
                f"{list(t.shape)}"
            )
    swap = indexing == "xy" and len(tensors) > 1
    if swap:  # the grid of (y, x, ...), and its first two results swapped
        tensors = (tensors[1], tensors[0], *tensors[2:])
    flat = [t.reshape(-1) for t in tensors]
    shape = tuple(t.shape[0] for t in flat)
    made = []
    for i, t in enumerate(flat):
        view = t.view((1,) * i + (-1,) + (1,) * (len(flat) - i - 1))
        made.append(expand(view, shape))
    if swap:
        made[0], made[1] = made[1], made[0]
    return tuple(made)


@function(api="torch")
def cartesian_prod(*tensors):
    """All combinations of elements of vectors."""
    for t in tensors:
        if t.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


@function(api="torch")
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False):
    """All combinations of r elements of a vector."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    index = np.array(list(pick(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    return input[wrap(index)] if r else input[:0]


# ---------------------------------------------------------------- padding


def _pad_widths(pad, ndim):
    pairs = [(0, 0)] * ndim
    for k in range(len(pad) // 2):
        pairs[ndim - 1 - k] = (pad[2 * k], pad[2 * k + 1])
    return pairs


def _pad_rule(input: Meta, pad, value) -> Meta:
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        rules.fail(
            RuntimeError,
            f"Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(pad)} and input of dimension {input.ndim}",
        )
    shape = []
    for n, (a, b) in zip(input.shape, _pad_widths(pad, input.ndim), strict=True):
        if n + a + b < 0:
            rules.fail(
                RuntimeError,
                f"The input size {n}, plus negative padding {a} and {b} resulted in a negative "
                "output size, which is invalid.",
            )
        shape.append(n + a + b)
    return meta(tuple(shape), input.dtype)


def _constant_rule(input: Meta, pad, value) -> Meta:
    out = _pad_rule(input, pad, value)
    for n, (a, b) in zip(input.shape, _pad_widths(pad, input.ndim), strict=True):
        if n + min(a, 0) + min(b, 0) < 0:
            rules.fail(RuntimeError, f"narrow(): length must be non-negative. (Padding {a} and {b} cuts more than the size {n}.)")
    return out


@op(
    _constant_rule,
    gradient={"input": lambda g, pad: constant_pad_nd(g, tuple(-p for p in pad), 0)},
    compute="storage",
    api="torch",
)
def constant_pad_nd(input: Tensor, pad: tuple, value: float = 0):
    """Elements added (or, with negative widths, removed) at the ends of the last dimensions."""
    widths = _pad_widths(pad, input.ndim)
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in
                zip(input.shape, widths, strict=True))
    made = np.full([n + a + b for n, (a, b) in zip(input.shape, widths, strict=True)], value,
                   input.dtype, like=input)
    place = tuple(slice(max(a, 0), m - max(b, 0)) for m, (a, b) in
                  zip(made.shape, widths, strict=True))
    made[place] = input[cut]
    return made


def _sources(n, a, b, mode):
    """For each place of a dimension of size n padded by a and b, the element that is repeated there."""
    at = np.arange(-a, n + b)
    if mode == "reflect":
        return (n - 1) - np.abs((n - 1) - np.abs(at))
    if mode == "replicate":
        return np.clip(at, 0, n - 1)
    period = n + min(a, 0) + min(b, 0)  # what negative widths leave is what is repeated
    at = max(-a, 0) + np.arange(-max(a, 0), period + max(b, 0)) % max(period, 1)
    return at if period > 0 else np.minimum(at, n - 1)  # (the result is empty along another dimension)


def _repeated_rule(input: Meta, pad, mode) -> Meta:
    for k in range(len(pad) // 2):
        d, ends = input.ndim - 1 - k, pad[2 * k : 2 * k + 2]
        n = input.shape[d]
        if mode == "reflect" and max(ends) >= n:
            rules.fail(
                RuntimeError,
                f"Argument #4: Padding size should be less than the corresponding input dimension, "
                f"but got: padding {ends} at dimension {d} of input {list(input.shape)}"
            )
        if mode == "circular" and max(ends) > n:
            rules.fail(RuntimeError, "Padding value causes wrapping around more than once.")
    out = _pad_rule(input, pad, 0)
    if mode == "circular" and out.numel:
        for d, (n, (a, b)) in enumerate(zip(input.shape, _pad_widths(pad, input.ndim), strict=True)):
            if n + min(a, 0) + min(b, 0) <= 0:
                rules.fail(RuntimeError, f"Padding ({a}, {b}) leaves nothing to repeat of dimension {d} of input {list(input.shape)}")
    return out


def _repeated_gradient(g, input, pad, mode):
    made = g
    for d, (a, b) in enumerate(_pad_widths(pad, input.ndim)):
        if a or b:
            n = input.shape[d]
            shape = [n if i == d else m for i, m in enumerate(made.shape)]
            at = wrap(_sources(n, a, b, mode))
            made = made.new_zeros(shape).index_add(d, at, made)
    return piecewise(made, input)


@op(_repeated_rule, gradient={"input": _repeated_gradient}, compute="storage", api="")
def _repeated(input: Tensor, pad: tuple, mode: str):
    """Padding with elements of the input."""
    for d, (a, b) in enumerate(_pad_widths(pad, input.ndim)):
        if a or b:
            input = np.take(input, _sources(input.shape[d], a, b, mode), axis=d)
    return input


@function(api="nn.functional")
def pad(input: Tensor, pad, mode: str = "constant", value: float | None = None):
    """Padding of the last dimensions: "constant", "reflect", "replicate" or "circular"."""
    pad = tuple(pad)
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(pad)} and input of dimension {input.ndim}"
        )
    if mode in ("reflect", "replicate") and 0 in input.shape[1:]:
        raise RuntimeError(f"{mode} padding needs elements to repeat, but the input is {list(input.shape)}")
    if mode == "constant":
        return constant_pad_nd(input, pad, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    return _repeated(input, pad, mode)


__all__ = ["select"]
