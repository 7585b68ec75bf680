"""Reading and writing along one dim with an index tensor: gather, scatter, index_select, index_add.

`gather` and `scatter` have one index for each element, the `index_` functions one for each slice.
"""

from __future__ import annotations

import numpy as np

from ..trace.dtypes import bool_, fit, int32, int64, type_name
from ..trace.meta import Meta, meta
from ..trace.operator import IntTensor, Tensor, function, op
from . import rules
from .indexing import OutOfRange, TensorType, _index_backward, add_rows, combined, from_front
from .values import bounded, zeros

UFUNCS = {"sum": "add", "prod": "multiply", "mean": "add", "amax": "maximum", "amin": "minimum"}


def check_index(name: str, input: Meta, dim: int, index: Meta) -> int:
    """The dim counted from the front, after checks of the index of gather and scatter."""
    dim = rules.wrap_dim(dim, input.ndim)
    if index.numel and index.dtype is not int64 and index.dtype is not int32:
        raise RuntimeError(
            f"{name}(): Expected dtype int32/int64 for index, but got {index.dtype}"
        )
    if index.numel and (index.ndim or 1) != (input.ndim or 1):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as "
            f"{'input' if name == 'gather' else 'self'} tensor: {name}() got index of shape "
            f"{list(index.shape)} for shape {list(input.shape)}"
        )
    return dim


def fits(index, shape, dim: int | None) -> bool:
    """Whether no dim of `index`, apart from `dim`, is larger than in `shape`."""
    return all(
        d == dim or n <= m for d, (n, m) in enumerate(zip(index, shape or (1,), strict=False))
    )


def gather_rule(input: Meta, dim, index: Meta, sparse_grad) -> Meta:
    """The index's shape and the input's dtype."""
    dim = check_index("gather", input, dim, index)
    if index.numel and not fits(index.shape, input.shape, dim):
        raise RuntimeError(
            f"Size does not match at dimension {dim} expected index {list(index.shape)} to be no "
            f"larger than self {list(input.shape)} apart from dimension {dim}"
        )
    return meta(tuple(index.shape), input.dtype)


def in_bounds(index, n: int, dim: int):
    """The index; OutOfRange if it is negative or beyond `n`."""
    return bounded(index, n, lambda bad: OutOfRange(
        f"index {bad.flat[0]} is out of bounds for dimension {dim} with size {n}"
    ))


def window(a: np.ndarray, shape, dim: int) -> np.ndarray:
    """The part of `a` that an index of `shape` along `dim` reaches."""
    return a[tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(shape))]


def full_rank(*arrays):
    """0-dim arrays as 1-dim ones."""
    return [a.reshape(1) if a.ndim == 0 else a for a in arrays]


@op(
    gather_rule,
    compute="storage",
    gradient={
        "input": lambda g, dim, index, input_meta: _scatter_sum(
            g, dim, index, tuple(input_meta.shape)
        )
    },
)
def gather(input: Tensor, dim: int, index: IntTensor, *, sparse_grad: bool = False):
    """Elements along one dim: `out[i][j][k] = input[i][index[i][j][k]][k]` for dim 1.

    index: int64 or int32, as many dims as the input, no larger than it apart from `dim`; the result
    has its shape. Raises RuntimeError for indices out of range.

    >>> scores, labels = torch.tensor([[0.1, 0.9], [0.6, 0.4]]), torch.tensor([[1], [0]])
    >>> torch.gather(scores, 1, labels)
    tensor([[0.9000],
            [0.6000]])
    """
    if not index.size:
        return np.empty(index.shape, input.dtype)
    a, i = full_rank(input, index)
    dim %= a.ndim
    i = in_bounds(i, a.shape[dim], dim)
    return np.take_along_axis(window(a, i.shape, dim), i, dim).reshape(index.shape)


def scatter_rule(input: Meta, dim, index: Meta, src: Meta) -> Meta:
    """The input's shape and dtype, contiguous; `src` must reach as far as the index."""
    wrapped = check_index("scatter", input, dim, index)
    made = meta(tuple(input.shape), input.dtype)
    if src.weak or (not src.ndim and not index.ndim):
        if index.numel and not fits(index.shape, input.shape, wrapped):
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than self "
                f"{list(input.shape)} apart from dimension {wrapped}"
            )
        return made
    if src.dtype is not input.dtype:
        raise RuntimeError(
            f"scatter(): Expected self.dtype to be equal to src.dtype, got {input.dtype} and "
            f"{src.dtype}"
        )
    if not index.numel:
        return made
    if (src.ndim or 1) != (index.ndim or 1):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as src tensor: scatter() got "
            f"index of shape {list(index.shape)} and src of shape {list(src.shape)}"
        )
    if not fits(index.shape, src.shape, None) or not fits(index.shape, input.shape, wrapped):
        raise RuntimeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} "
            f"apart from dimension {wrapped} and to be no larger size than src {list(src.shape)}"
        )
    return made


def scattered(input, dim, index, src, write):
    """`write(flat copy of input, flat positions, flat values of src)`, in the input's shape."""
    if not index.size:
        return input.copy()
    a, i = full_rank(input, index)
    dim %= a.ndim
    positions = in_bounds(i, a.shape[dim], dim).astype(np.int64, copy=False)
    step = 1
    for d in reversed(range(a.ndim)):
        if d == dim:
            positions = positions * step
            break
        step *= a.shape[d]
    step = 1
    for d in reversed(range(a.ndim)):
        if d != dim:
            shape = (-1,) + (1,) * (a.ndim - d - 1)
            positions = positions + (np.arange(i.shape[d]) * step).reshape(shape)
        step *= a.shape[d]
    values = src
    if hasattr(src, "reshape"):
        values = src[tuple(map(slice, i.shape))].reshape(-1) if src.ndim else src.reshape(1)
    return write(a.copy().reshape(-1), positions.reshape(-1), values).reshape(input.shape)


def _at(how: str):
    return lambda out, positions, values: combined(out, positions, values, how)


@op(
    scatter_rule,
    compute="storage",
    api="",
    gradient={
        "input": lambda g, dim, index: _scatter_value(g, dim, index, 0),
        "src": lambda g, dim, index, src_meta: _cut_gather(g, dim, index, src_meta),
    },
)
def _scatter(input: Tensor, dim, index: IntTensor, src: Tensor):
    """A copy of `input` with `src` written at the index along `dim`."""
    return scattered(input, dim, index, src, _at("set"))


@op(
    lambda input, dim, index, value: scatter_rule(input, dim, index, value),
    compute="result",
    api="",
    gradient={"input": lambda g, dim, index: _scatter_value(g, dim, index, 0)},
)
def _scatter_value(input: Tensor, dim, index: IntTensor, value: Tensor):
    """A copy of `input` with one number written at the index along `dim`."""
    return scattered(input, dim, index, value, _at("set"))


def _cut_gather(g, dim, index, src_meta):
    """The gradient of the source: what was written where, zero where the index does not reach."""
    read = gather(g, dim, index)
    if tuple(index.shape) == tuple(src_meta.shape):
        return read
    return _pad_end(read, tuple(src_meta.shape))


@op(
    lambda input, size: meta(tuple(size), input.dtype),
    compute="storage",
    api="",
    gradient={"input": lambda g, input_meta: _cut(g, tuple(input_meta.shape))},
)
def _pad_end(input: Tensor, size):
    """`input` followed by zeros in each dim, up to shape `size`."""
    out = zeros(size, input.dtype, input)
    out[tuple(map(slice, input.shape))] = input
    return out


@op(
    lambda input, size: meta(tuple(size), input.dtype),
    compute="storage",
    api="",
    gradient={"input": lambda g, input_meta: _pad_end(g, tuple(input_meta.shape))},
)
def _cut(input: Tensor, size):
    """The first `size` elements of each dim."""
    return input[tuple(map(slice, size))].copy()


@op(
    lambda src, dim, index, size: meta(tuple(size), src.dtype),
    api="",
    gradient={"src": lambda g, dim, index: gather(g, dim, index)},
)
def _scatter_sum(src: Tensor, dim, index: IntTensor, size):
    """Zeros of shape `size` with `src` added at the index along `dim` (gather's gradient)."""
    made = zeros(size, src.dtype, src)
    return scattered(made, dim, index, src.reshape(index.shape), _at("add"))


@function(inplace=True, out=True)
def scatter(input: Tensor, dim: int, index: Tensor, src=None, *, value=None, reduce=None):
    """A copy of `input` with `out[index[i][j]][j] = src[i][j]` (dim 0).

    src: a tensor of the input's dtype that is at least as large as `index`, or a number.
    reduce: None, "add" or "multiply" combine with what is there.
    Raises RuntimeError for indices out of range, shapes and dtypes.
    """
    if src is None:
        src = value
    if src is None:
        raise TypeError("scatter() missing 1 required argument: 'src' or 'value'")
    if reduce is not None and reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    if not isinstance(src, TensorType):
        rules.wrap_dim(dim, input.ndim)
        src = fit(src, input.dtype) if index.numel() else 0
        if reduce is None:
            return _scatter_value(input, dim, index, src)
        src = index.new_full(index.shape, src, dtype=input.dtype)
    if reduce == "add":
        return scatter_add(input, dim, index, src)
    if reduce == "multiply":
        return _scatter_reduce(input, dim, index, src, "prod", True)
    return _scatter(input, dim, index, src)


@op(
    scatter_rule,
    inplace=True,
    gradient={
        "input": lambda g: g,
        "src": lambda g, dim, index, src_meta: _cut_gather(g, dim, index, src_meta),
    },
)
def scatter_add(input: Tensor, dim: int, index: IntTensor, src: Tensor):
    """A copy of `input` with `out[index[i][j]][j] += src[i][j]` (dim 0); equal indices add up.

    Shapes, dtypes and errors as for `scatter`.

    >>> torch.scatter_add(torch.zeros(3), 0, torch.tensor([0, 2, 2]), torch.ones(3))
    tensor([1., 0., 2.])
    """
    return scattered(input, dim, index, src, _at("add"))


def reduce_rule(input: Meta, dim, index: Meta, src: Meta, reduce, include_self) -> Meta:
    """The rule of scatter, and the name of the reduction."""
    if reduce not in UFUNCS:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    return scatter_rule(input, dim, index, src)


def neutral(reduce: str, dtype: np.dtype):
    """The value that changes no result of the reduction."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    low = reduce == "amax"
    if dtype.kind == "b":
        return not low
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return info.min if low else info.max
    return -np.inf if low else np.inf


def _scatter_reduce_grads(g, out, input, dim, index, src, reduce, include_self, need):
    """Gradients for the input and the source of every reduction but sum.

    amax and amin share a gradient among equal elements; prod divides by each element, and where it
    is zero multiplies the others.
    """
    ones = src.detach() * 0 + 1
    at_source = lambda t: gather(t, dim, index)  # noqa: E731
    if reduce == "sum":
        gi, gs = g, at_source(g)
    elif reduce == "mean":
        base = input.detach() * 0 + (1 if include_self else 0)
        count = scatter_add(base, dim, index, ones)
        shared = g / count.masked_fill(count == 0, 1)
        gi, gs = shared, at_source(shared)
    elif reduce == "prod":
        safe = input.masked_fill(input == 0, 1)
        gi = g * _scatter_reduce(safe * 0 + 1, dim, index, src, "prod", True)
        start = input if include_self else input.detach() * 0 + 1
        zero = src == 0
        zeros = _scatter_sum(zero.to(src.dtype), dim, index, tuple(input.shape))
        full = src.masked_fill(zero, 1)
        product = _scatter_reduce(start, dim, index, full, "prod", True)
        others = at_source(g * product) / full
        count = at_source(zeros)
        gs = others.masked_fill((count > 1) | ((count == 1) & ~zero), 0)
    else:
        own = (input == out).to(g.dtype)  # counts without include_self too, as in PyTorch
        chosen = (src == at_source(out)).to(g.dtype)
        count = scatter_add(own, dim, index, chosen)
        shared = g / count.masked_fill(count == 0, 1)
        gi, gs = own * shared, chosen * at_source(shared)
    if not include_self:
        gi = _scatter_value(gi, dim, index, 0)
    return gi if need[0] else None, gs if need[1] else None


@op(
    reduce_rule,
    api="",
    gradient={("input", "src"): _scatter_reduce_grads},
)
def _scatter_reduce(input: Tensor, dim, index: IntTensor, src: Tensor, reduce, include_self):
    """A copy of `input` with the source's elements combined at the index along `dim`."""

    def write(out, positions, values):
        if not include_self:
            out = combined(out, positions, neutral(reduce, out.dtype), "set")
        out = combined(out, positions, values, UFUNCS[reduce])
        if reduce != "mean":
            return out
        count = combined(zeros(out.shape, np.int64, positions), positions, 1, "add")
        count = np.maximum(count + 1 if include_self else count, 1).astype(out.dtype)
        return out // count if out.dtype.kind in "iu" else out / count

    return scattered(input, dim, index, src, write)


@function(inplace=True, out=True)
def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
                   include_self: bool = True):
    """A copy of `input` with each element reduced with the source's elements that point to it.

    reduce: "sum", "prod", "mean", "amax" or "amin". include_self: whether the input's own element
    takes part. Raises RuntimeError for indices out of range, shapes, dtypes and other reductions.
    """
    return _scatter_reduce(input, dim, index, src, reduce, bool(include_self))


# ---------------------------------------------------------------- one index for each slice


def vector_index(name: str, input: Meta, dim: int, index: Meta) -> int:
    """The dim counted from the front, after checks of an index of at most one dim."""
    dim = rules.wrap_dim(dim, input.ndim)
    if index.ndim > 1:
        rules.fail(
            RuntimeError if name == "index_fill_" else IndexError,
            f"{name}(): Index is supposed to be a vector, but got shape {list(index.shape)}",
        )
    if index.dtype is not int64 and index.dtype is not int32:
        raise RuntimeError(f"{name}(): Expected dtype int32 or int64 for index")
    return dim


def index_select_rule(input: Meta, dim, index: Meta) -> Meta:
    """The input's shape with as many slices along `dim` as the index has elements."""
    dim = vector_index("index_select", input, dim, index)
    if not input.ndim:
        if index.numel != 1:
            raise RuntimeError(
                "index_select(): Index to scalar can have only 1 value, got "
                f"{index.numel} value(s)"
            )
        return meta((), input.dtype)
    return meta((*input.shape[:dim], index.numel, *input.shape[dim + 1:]), input.dtype)


def _index_select_grad(g, dim, index, input_meta):
    if not input_meta.ndim:
        return g
    return _index_backward(
        g, (index.reshape(-1),), (dim % input_meta.ndim,), tuple(input_meta.shape)
    )


@op(index_select_rule, compute="storage", gradient={"input": _index_select_grad})
def index_select(input: Tensor, dim: int, index: IntTensor):
    """The slices `index` along `dim`: `out[:, k] = input[:, index[k]]` for dim 1.

    index: int64 or int32 vector. Raises RuntimeError for indices out of range (also negative).
    """
    n = input.shape[dim] if input.ndim else 1
    i = bounded(index.reshape(-1), n, lambda bad: OutOfRange(
        f"INDICES element is out of DATA bounds, id={bad[0]} axis_dim={n}"))
    return np.take(input, i, axis=dim) if input.ndim else input.copy()


def slices_rule(name: str):
    """The rule of the functions that write slices of `source` into the input."""

    def rule(input: Meta, dim, index: Meta, source: Meta) -> Meta:
        dim = vector_index(name, input, dim, index)
        if name == "index_copy_" and index.dtype is not int64:
            raise RuntimeError(
                f"{name}(): Expected a long tensor for index, but got {type_name(index.dtype)}"
            )
        if source.dtype is not input.dtype:
            raise RuntimeError(
                f"{name}(): self ({type_name(input.dtype)}) and source "
                f"({type_name(source.dtype)}) must have the same scalar type"
            )
        count = source.shape[dim] if source.ndim > dim else 1
        if count != index.numel:
            fail = IndexError if name == "index_copy_" else RuntimeError
            raise fail(
                f"{name}(): Number of indices ({index.numel}) should be equal to source.size(dim): "
                f"({count}), for dim: {dim}"
            )
        ours, theirs = list(input.shape), list(source.shape)
        mixed = name == "index_add_" and input.ndim != source.ndim and not (input.ndim and source.ndim)
        if mixed or input.ndim and source.ndim and ours[:dim] + ours[dim + 1:] != theirs[:dim] + theirs[
                dim + 1:]:
            fail = IndexError if name == "index_copy_" else RuntimeError
            raise fail(
                f"{name}(): source shape {theirs} must match the input's shape {ours} apart from "
                f"dimension {dim}"
            )
        return meta(tuple(input.shape), input.dtype)

    return rule


def in_range(index, n: int, message: str):
    """The index; IndexError with `message` if it is out of range."""
    return bounded(index, n, lambda bad: IndexError(message.format(index=bad.flat[0], n=n)))


def with_slices(input, dim: int, index, values, how: str):
    """A copy of `input` with its slices `index` along `dim` combined with `values` (or a number)."""
    if not input.size or not index.size:
        return input.copy()
    moved = np.moveaxis(input, dim, 0)
    rows = moved.copy().reshape(moved.shape[0], -1)
    if hasattr(values, "reshape"):
        values = np.moveaxis(values, dim, 0).reshape(index.size, -1) if values.ndim else values
    made = combined(rows, index, values, how).reshape(moved.shape)
    return np.moveaxis(made, 0, dim)


def _source_gradient(g, dim, index, source_meta):
    return index_select(g, dim, index).view(tuple(source_meta.shape))


@op(
    slices_rule("index_add_"),
    api="",
    gradient={"input": lambda g: g, "source": _source_gradient},
)
def _index_add(input: Tensor, dim, index: IntTensor, source: Tensor):
    """A copy of `input` with the source's slices added; equal indices add up."""
    a, i, s = full_rank(input, index, source)
    dim %= a.ndim
    if a.ndim > 1:
        i = in_bounds(i, a.shape[dim], dim)
    else:
        i = in_range(i, a.shape[dim], "index out of range in self")
    if not s.size:
        return input.copy()
    s = np.moveaxis(s, dim, 0)
    rows = add_rows(a.shape[dim], i.astype(np.int64, copy=False), s.reshape(i.size, -1))
    return (a + np.moveaxis(rows.reshape(-1, *s.shape[1:]), 0, dim)).reshape(input.shape)


@function(inplace=True, out=True)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha=1):
    """A copy of `input` with `out[:, index[k]] += alpha * source[:, k]` (dim 1).

    index: int vector. source: the input's shape and dtype apart from `dim`. Raises IndexError for
    indices out of range, RuntimeError for shapes and dtypes.

    >>> torch.index_add(torch.zeros(3, 2), 0, torch.tensor([2, 2]), torch.ones(2, 2))
    tensor([[0., 0.],
            [0., 0.],
            [2., 2.]])
    """
    return _index_add(input, dim, index, source if alpha == 1 else source * alpha)


@op(
    slices_rule("index_copy_"),
    compute="storage",
    inplace=True,
    gradient={
        "input": lambda g, dim, index: _index_fill(g, dim, index, 0),
        "source": _source_gradient,
    },
)
def index_copy(input: Tensor, dim: int, index: IntTensor, source: Tensor):
    """A copy of `input` with `out[:, index[k]] = source[:, k]` (dim 1).

    Raises IndexError for indices out of range, RuntimeError for shapes and dtypes.
    """
    a, i, s = full_rank(input, index, source)
    dim %= a.ndim
    i = in_range(
        i, a.shape[dim],
        f"index_copy_(): index {{index}} is out of bounds for dimension {dim} with size {{n}}",
    )
    return with_slices(a, dim, i, s, "set").reshape(input.shape)


def index_fill_rule(input: Meta, dim, index: Meta, value: Meta) -> Meta:
    """The input's Meta; the value must be one number."""
    vector_index("index_fill_", input, dim, index)
    if index.dtype is not int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if value.ndim:
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    return rules.same(input)


def _filled_gradient(g, dim, index):
    """The sum of `g` where the slices were filled, each once."""
    kept = _index_fill(g.new_ones(tuple(g.shape), dtype=bool_), dim, index, False)
    return g.masked_fill(kept, 0).sum()


@op(
    index_fill_rule,
    compute="result",
    api="",
    gradient={
        "input": lambda g, dim, index: _index_fill(g, dim, index, 0),
        "value": lambda g, dim, index: _filled_gradient(g, dim, index),
    },
)
def _index_fill(input: Tensor, dim, index: IntTensor, value: Tensor):
    """A copy of `input` with one number in the slices `index` along `dim`."""
    a, i = full_rank(input, index)
    dim %= a.ndim
    i = from_front(i, a.shape[dim], dim)
    return with_slices(a, dim, i, value, "set").reshape(input.shape)


@function(inplace=True)
def index_fill(input: Tensor, dim: int, index: Tensor, value):
    """A copy of `input` with `value`, a number or 0-dim tensor, in the slices `index` of `dim`.

    Raises IndexError for indices out of range.
    """
    rules.wrap_dim(dim, input.ndim)
    if not isinstance(value, TensorType):
        value = fit(value, input.dtype)
    elif value.is_complex() and not input.is_complex():
        value = fit(value.item(), input.dtype)
    return _index_fill(input, dim, index, value)


@function(inplace=True, out=True)
def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
                 include_self: bool = True):
    """A copy of `input` with its slices `index` along `dim` reduced with those of `source`.

    reduce: "prod", "mean", "amax" or "amin". include_self: whether the input's own slices take part.
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    if source.ndim != input.ndim:
        raise RuntimeError(
            f"index_reduce(): source tensor shape must match self tensor shape, excluding dimension {dim}, "
            f"but they are {list(source.shape)} and {list(input.shape)}"
        )
    slices_rule("index_reduce_")(input._s.m, dim, index._s.m, source._s.m)
    if source.ndim:
        dim = rules.wrap_dim(dim, source.ndim)
        shape = [1] * source.ndim
        shape[dim] = index.numel()
        index = index.reshape(shape).expand(source.shape)
    return _scatter_reduce(input, dim, index, source, reduce, bool(include_self))
