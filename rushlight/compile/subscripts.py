"""`x[...]` and `x[...] = y` on expressions, with NumPy's meaning.

Ints, slices and None rename or shift dims. Integer arrays (expressions, or arrays that count) read memory at
computed places. What writes gives the expression of the whole, after it.
"""

from __future__ import annotations

from collections.abc import Callable

from . import expressions as ex
from .expressions import Expr, NotLowered, View
from .sizes import is_whole


def full_index(index: tuple, rank: int) -> tuple:
    """An index without Ellipsis, with an item for each of `rank` dims (and Nones between them)."""
    at = next((j for j, i in enumerate(index) if i is Ellipsis), None)
    given = sum(i is not None and i is not Ellipsis for i in index)
    rest = (slice(None),) * (rank - given)
    return index + rest if at is None else index[:at] + rest + index[at + 1 :]


def bounds(i: slice, n: int) -> tuple[int, int, int]:
    """(first, step, how many) of the places that a slice takes of n."""
    step = 1 if i.step is None else i.step
    if step < 0:
        r = range(*i.indices(n))
        return r.start, r.step, len(r)
    ends = []
    for x, default in ((i.start, 0), (i.stop, n)):
        x = default if x is None else x + n if x < 0 else x
        ends.append(0 if x < 0 else n if x > n else x)
    start, stop = ends
    return start, step, -(-(stop - start) // step) if start < stop else 0


def _cut(x: Expr, items) -> tuple[Expr, list]:
    """`x` with the slices among `items` applied; ints become dims of size 1."""
    starts, steps, shape = [], [], []
    for i, n in zip(items, x.shape, strict=True):
        if isinstance(i, slice):
            start, step, size = bounds(i, n)
        elif is_whole(i):
            start, step, size = i + n if i < 0 else i, 1, 1
        else:
            start, step, size = 0, 1, n
        starts.append(start)
        steps.append(step)
        shape.append(size)
    return ex.part(x, tuple(starts), tuple(steps), tuple(shape)), shape


def from_front(x: Expr, n: int) -> Expr:
    """An index of a dim of size n, checked; negative ones count from the end."""
    if x.op == "within" or x.dtype.kind == "u" or counts(x) is not None:
        return ex.within(x, n)
    low = ex.apply("less", x, ex.const(0))
    return ex.within(ex.apply("where", low, ex.apply("add", x, ex.const(n)), x), n)


def counts(x: Expr) -> int | None:
    """The dim along which an expression is 0, 1, 2, ..., if it is one."""
    if x.op == "index":
        return x.attr
    if x.op == "view":
        below = counts(x.ins[0])
        return None if below is None else x.attr.index(below)
    return None


def read(x: Expr, index: tuple, memory: Callable[[Expr], View] | None) -> Expr:
    """`x[index]`; memory(e) is the memory of an expression."""
    index = full_index(index, len(x.shape))
    items = [i for i in index if i is not None]
    computed = {d: i for d, i in enumerate(items) if isinstance(i, Expr)}
    x, _ = _cut(x, items)
    if not computed:
        kept = iter(range(len(items)))
        dims = []
        for i in index:
            at = None if i is None else next(kept)
            if i is None or isinstance(i, slice):
                dims.append(at)
        return ex.rename(x, tuple(dims))
    if memory is None or len(items) != len(index) or not all(isinstance(i, (Expr, slice)) for i in items):
        raise NotLowered("an index of integer arrays with numbers or new dims")
    dims_at = list(computed)
    first = dims_at[0] if dims_at[-1] - dims_at[0] == len(dims_at) - 1 else 0
    return take(memory(x), computed, first)


def take(view: View, indexed: dict, first: int) -> Expr:
    """Memory at integer expressions for some of its dims, as NumPy counts them."""
    return ex.take(view, {d: from_front(i, view.shape[d]) for d, i in indexed.items()}, first)


def write(x: Expr, index: tuple, value: Expr) -> Expr:
    """What `x` is after `x[index] = value`."""
    index = full_index(index, len(x.shape))
    if len(index) == 1 and isinstance(index[0], Expr) and index[0].dtype.kind == "b":
        return _write_masked(x, index[0], value)
    if any(isinstance(i, Expr) for i in index):
        return _write_rows(x, index, value)
    if None in index or any(isinstance(i, slice) and i.step not in (None, 1) for i in index):
        raise NotLowered(f"writing at {index}")
    starts, shape = [], []
    for i, n in zip(index, x.shape, strict=True):
        start, _, size = bounds(i, n) if isinstance(i, slice) else (i % n, 1, 1)
        starts.append(start)
        shape.append(size)
    kept = [d for d, i in enumerate(index) if isinstance(i, slice)]
    lead = len(kept) - len(value.shape)
    dims: list = [None] * len(shape)
    for k, d in enumerate(kept):
        dims[d] = k - lead if k >= lead else None
    return ex.pad(ex.rename(value, tuple(dims), tuple(shape)), tuple(starts), x)


def _write_masked(x: Expr, mask: Expr, value: Expr) -> Expr:
    """`x[mask] = number`."""
    if value.shape != ():
        raise NotLowered("writing an array at a mask")
    behind = (None,) * (len(x.shape) - len(mask.shape))
    mask = ex.rename(mask, tuple(range(len(mask.shape))) + behind)
    return ex.apply("where", mask, ex.cast(value, x.dtype), x)


def _write_rows(x: Expr, index: tuple, value: Expr) -> Expr:
    """`x[arange(n), at] = value`: one element of each row."""
    if len(index) == len(x.shape) == 1 and index[0].shape == value.shape == ():
        at = from_front(index[0], x.shape[0])
        here = ex.apply("equal", ex.index(x.shape[0]), at)
        return ex.apply("where", here, ex.cast(value, x.dtype), x)
    if len(index) != 2 or not all(isinstance(i, Expr) for i in index) \
            or counts(index[0]) != 0 or index[0].shape != x.shape[:1] or len(index[1].shape) > 1:
        raise NotLowered("writing at integer arrays")
    at = from_front(index[1], x.shape[1])
    columns = ex.index(x.shape[1])
    here = ex.apply("equal", columns, _column(at))
    return ex.apply("where", here, _column(ex.cast(value, x.dtype)), x)


def _column(x: Expr) -> Expr:
    return ex.rename(x, (*range(len(x.shape)), None)) if x.shape else x
