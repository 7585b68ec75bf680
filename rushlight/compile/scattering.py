"""Kernels that references call by name on symbols (`ops/values.py`): scatter, scans, the order of rows."""

from __future__ import annotations

import math

import numpy as np

from . import functions, subscripts
from .expressions import NotLowered, Temporary, View, is_dense
from .kernels import scan, scatter, sorting
from .kernels.call import Address
from .llvm import elements
from .symbolic import KERNELS, Symbol, broadcast_to, expression, lowering


def place(v: View) -> Address:
    """Where a view begins."""
    return Address(v.root, v.offset * v.dtype.itemsize)


def _flat(x, dtype=None) -> View:
    """The memory of an array in row-major order."""
    x = x if isinstance(x, Symbol) else Symbol(expression(x))
    x = x if dtype is None or x.dtype == dtype else x.astype(dtype)
    return lowering().contiguous(x)


def _scattered(made: View, ids, values, how: str, rows: int, zero: bool) -> Symbol:
    """`made[ids[k]] op= values[k]` for `made` as `rows` rows; values may be a number."""
    build = lowering()
    if made.dtype.name not in elements.REGISTER:
        raise NotLowered(f"scatter of {made.dtype}")
    index = _flat(ids, np.int64)
    number = not isinstance(values, Symbol) or values.size == 1
    source = _flat(values, made.dtype)
    width = math.prod(made.shape) // max(rows, 1)
    count = math.prod(index.shape)
    step = 0 if number else width * made.dtype.itemsize
    build.call(scatter.plan(
        place(made), place(index), place(source), dtype=made.dtype, how=how, rows=rows, width=width,
        count=count, row_step=step, one=number, zero=zero,
    ), [index, source] if zero else [index, source, made], [made])
    return build.read(made)


def add_rows(n: int, ids: Symbol, values: Symbol) -> Symbol:
    """`out[ids[k]] += values[k]` for an `out` of n rows of zeros."""
    made = lowering().temporary((n, values.shape[1]), values.dtype)
    return _scattered(made, ids, values, "add", n, True)


def combined(out: Symbol, ids: Symbol, values, how: str) -> Symbol:
    """`out[ids[k]] op= values[k]`, in order, for rows of `out` (numbers if it has one dim)."""
    made = _private(out)
    return _scattered(made, ids, values, how, out.shape[0], False)


def _private(x: Symbol) -> View:
    """Memory that holds `x` and may be written: a temporary's own, or that of a copy."""
    build = lowering()
    v = x.expr.attr if x.expr.op == "value" else None
    if v is not None and isinstance(v.root, Temporary) and is_dense(v):
        return v
    made = build.temporary(x.shape, x.dtype)
    build.store(made, x)
    return made


def written(out: Symbol, indices, values, dims) -> None:
    """`out[indices at dims] = values`; `out` becomes what it is then."""
    ids = 0
    for d, i in zip(dims, indices, strict=True):
        ids = ids * out.shape[d] + from_front(i, out.shape[d], d)
    first = dims[0] if dims[-1] - dims[0] == len(dims) - 1 else 0  # neighbours stay in their place
    rest = [n for d, n in enumerate(out.shape) if d not in dims]
    shape = (*rest[:first], *ids.shape, *rest[first:])
    rank, front = len(ids.shape), tuple(range(len(dims)))
    values = broadcast_to(functions.symbol(values), shape)
    values = functions.moved(values, tuple(range(first, first + rank)), tuple(range(rank)))
    whole = functions.moved(out, dims, front)
    rows = math.prod(out.shape[d] for d in dims)
    made = combined(whole.reshape(rows, -1), ids.reshape(-1), values.reshape(ids.size, -1), "set")
    made = made.reshape(*whole.shape[:len(dims)], *rest)
    out.assign(functions.moved(made, front, dims))


def from_front(index: Symbol, n: int, dim: int) -> Symbol:
    """An index of a dim of size n, negative ones counted from the front; checked."""
    return Symbol(subscripts.from_front(index.expr, n))


def _bincount(x, weights=None, minlength=0) -> Symbol:
    """How often each number below `minlength` occurs; there may be no others."""
    if weights is not None or not minlength:
        raise NotLowered("np.bincount with weights, or of unknown length")
    return combined(functions.filled((minlength,), 0, np.int64), x.within(minlength), 1, "add")


def _split(x: Symbol, axis: int) -> tuple[View, int, int, int]:
    """The memory of an array in row-major order, and its sizes before, along and after a dim."""
    axis %= x.ndim
    return (lowering().contiguous(x), math.prod(x.shape[:axis]), x.shape[axis],
            math.prod(x.shape[axis + 1 :]))


def running(x: Symbol, how: str, axis: int):
    """The scan `how` (see `kernels/scan.py`) along a dim; of extremes also the places."""
    if x.dtype.name not in elements.REGISTER:
        raise NotLowered(f"a scan of {x.dtype}")
    if not x.size:
        return x if not how.endswith("_equal") else (x, functions.filled(x.shape, 0, np.int64))
    build = lowering()
    source, outer, n, inner = _split(x, axis)
    kind = scan.Scan(how, source.dtype)
    outs = [build.temporary(x.shape, d) for d in (source.dtype, np.int64)[: 1 + kind.placed]]
    build.call(scan.plan(kind, place(source), [place(o) for o in outs], outer, n, inner),
               [source], outs)
    made = tuple(build.read(o) for o in outs)
    return made if kind.placed else made[0]


def order_of(x: Symbol, axis: int, descending: bool, first: int = 0, last: int | None = None):
    """Places number `first` to `last` - 1 of the stable order along a dim, NaN as the largest."""
    if not x.size or x.dtype.name not in elements.REGISTER or x.shape[axis] >= 1 << 31:
        raise NotLowered("the order of nothing, or of too many")
    build = lowering()
    source, outer, n, inner = _split(x, axis)
    last = n if last is None else last
    shape = list(x.shape)
    shape[axis % x.ndim] = last - first
    made = build.temporary(tuple(shape), np.int64)
    if made.root.nbytes:
        build.call(sorting.plan(place(source), place(made), dtype=source.dtype,
                                descending=descending, outer=outer, n=n, inner=inner, first=first,
                                last=last), [source], [made])
    return build.read(made)


def with_diagonal(whole: Symbol, x: Symbol, offset: int, axis1: int, axis2: int) -> Symbol:
    """`whole` with `x` on a diagonal of two dims."""
    build, made = lowering(), _private(whole)
    build.store(np.diagonal(build.read(made), offset, axis1, axis2).expr.attr, x)
    return build.read(made)


def _accumulated(how: str):
    def along(x, axis=None, dtype=None, out=None):
        if axis is None:
            x, axis = x.reshape(-1), 0
        if dtype is None and x.dtype.kind in "biu":  # as sums are
            dtype = np.uint64 if x.dtype.kind == "u" else np.int64
        return running(x if dtype is None else x.astype(dtype), how, axis)

    return along


functions.FUNCTIONS.update({
    np.bincount: _bincount, np.cumsum: _accumulated("add"), np.cumprod: _accumulated("multiply"),
    np.argsort: lambda x, axis=-1, kind=None, **_: order_of(x, axis, False),
    np.sort: lambda x, axis=-1, kind=None, **_: functions.picked(x, order_of(x, axis, False), axis),
})
KERNELS.update({"running": running, "order_of": order_of, "with_diagonal": with_diagonal,
                "from_front": from_front, "written": written, "add_rows": add_rows, "combined": combined})
