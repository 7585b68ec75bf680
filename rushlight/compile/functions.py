"""NumPy's functions on symbols, by function: what references may use besides operators and ufuncs."""

from __future__ import annotations

import math

import numpy as np

from . import expressions as ex
from . import subscripts
from .expressions import Expr, NotLowered
from .sizes import is_whole
from .symbolic import (
    COMPOSED,
    FUNCTIONS,
    GUARDS,
    KERNELS,
    Symbol,
    broadcast_to,
    dims_of,
    expression,
    lowering,
    mean,
    reduce,
)


def symbol(x) -> Symbol:
    """A symbol, of a number or known array too."""
    return x if isinstance(x, Symbol) else Symbol(expression(x))


def _where(condition, x, y):
    made = ex.apply("where", expression(condition), expression(x), expression(y))
    one = ex.uniform(made.ins[0])
    if one is not None and GUARDS:  # of the program's numbers: they may be relied upon
        made = ex.cast(made.ins[1 if GUARDS[-1].truth(one) else 2], made.dtype)
        return broadcast_to(Symbol(made), broadcast_shape(condition, x, y))
    return Symbol(made)


def broadcast_shape(*xs) -> tuple[int, ...]:
    """The common shape of symbols, arrays and numbers."""
    return ex.broadcast(*[expression(x).shape for x in xs])


def _clip(x, low=None, high=None, out=None, **_):
    made = expression(x)
    if low is not None:
        made = ex.apply("maximum", made, expression(low))
    if high is not None:
        made = ex.apply("minimum", made, expression(high))
    return Symbol(made)


def _reduction(name):
    """np.sum and its kin, by the name of the reduction."""
    return lambda x, axis=None, dtype=None, out=None, keepdims=False, **options: reduce(
        name, x, axis=axis, dtype=dtype, keepdims=keepdims is True, **options
    )


# ---------------------------------------------------------------- new arrays


def filled(shape, number, dtype) -> Symbol:
    """A number everywhere."""
    shape = (shape,) if is_whole(shape) else tuple(shape)
    if np.dtype(dtype) == bool and not isinstance(number, Symbol):
        number = bool(number)
    e = ex.const(number, np.dtype(dtype)) if not isinstance(number, Symbol) \
        else ex.cast(number.expr, dtype)
    return Symbol(broadcast_to(Symbol(e), shape).expr)


def _full_like(x, number, dtype=None, **_):
    return filled(x.shape, number, dtype or x.dtype)


def _arange(start, stop=None, step=1, dtype=None, **_):
    return Symbol(expression(np.arange(start, stop, step, dtype)))


# ---------------------------------------------------------------- truth and places


def _count_nonzero(x, axis=None, keepdims=False):
    return reduce("sum", x != 0, axis=axis, dtype=np.int64, keepdims=keepdims)


def along(n: int, dim: int, rank: int, dtype=np.int64) -> Expr:
    """0, 1, ... along one dim."""
    dims: list = [None] * rank
    dims[dim] = 0
    return ex.rename(ex.index(n, dtype), tuple(dims))


def _first_of(kind: str):
    """np.argmax ("max") or np.argmin: the first place of the extreme; a NaN is one."""

    def find(x, axis=None, out=None, keepdims=False):
        shape = (1,) * x.ndim
        if axis is None:
            x, axis = x.reshape(-1), 0
        else:
            shape = tuple(1 if d == axis % x.ndim else n for d, n in enumerate(x.shape))
        axis %= x.ndim
        n = x.shape[axis]
        top = reduce(kind, x, axis=axis, keepdims=True)
        found = x == top
        if ex.is_float(x.dtype):
            found = found | np.isnan(x)
        kind_of = np.int32 if n < 1 << 31 else np.int64
        places = Symbol(along(n, axis, x.ndim, kind_of))
        made = reduce("min", np.where(found, places, kind_of(n)), axis=axis, keepdims=True)
        made = made.astype(np.int64).reshape(shape)
        return made if keepdims is True else made.reshape(
            tuple(n for d, n in enumerate(shape) if d != axis) if len(shape) == x.ndim else ()
        )

    return find


def _take(x, indices, axis=None, out=None, mode="raise"):
    if axis is None:
        x, axis = symbol(x).reshape(-1), 0
    x = symbol(x)
    axis %= x.ndim
    return Symbol(subscripts.take(lowering().memory(x), {axis: expression(indices)}, axis))


def picked(x, indices, axis) -> Symbol:
    """np.take_along_axis."""
    view, index = lowering().memory(symbol(x)), expression(indices)
    axis %= len(view.shape)
    if len(index.shape) != len(view.shape) or any(
        d != axis and a != b and b != 1
        for d, (a, b) in enumerate(zip(index.shape, view.shape, strict=True))
    ):
        raise NotLowered("take_along_axis with broadcasting")
    index = subscripts.from_front(index, view.shape[axis])
    places = tuple((d, d) for d in range(len(view.shape)) if d != axis)
    return Symbol(Expr("take", (index,), index.shape, view.dtype, (view, (axis,), places)))


# ---------------------------------------------------------------- rearranging


def joined(parts, axis: int, view) -> None:
    """Store arrays one after the other along a dim of `view`."""
    start = 0
    for x in parts:
        n = x.shape[axis]
        shape = tuple(n if d == axis else m for d, m in enumerate(view.shape))
        offset = view.offset + start * view.strides[axis]
        lowering().store(ex.View(view.root, shape, view.strides, offset, view.dtype), x, part=True)
        start += n


def _concatenate(arrays, axis=0, **_):
    parts = [symbol(a) for a in arrays]
    axis %= parts[0].ndim
    total = sum(p.shape[axis] for p in parts)
    shape = tuple(total if d == axis else n for d, n in enumerate(parts[0].shape))
    made = lowering().temporary(shape, ex.common_dtype(*[p.expr for p in parts]))
    joined(parts, axis, made)
    return lowering().read(made)


def _stack(arrays, axis=0, **_):
    parts = [symbol(a) for a in arrays]
    axis %= parts[0].ndim + 1
    return _concatenate([_expand_dims(p, axis) for p in parts], axis)


def _expand_dims(x, axis):
    index: list = [slice(None)] * x.ndim
    index.insert(axis % (x.ndim + 1), None)
    return x[tuple(index)]


def _squeeze(x, axis=None):
    gone = [d for d, n in enumerate(x.shape) if n == 1] if axis is None else dims_of(x, axis)
    return x.reshape(tuple(n for d, n in enumerate(x.shape) if d not in gone))


def _flip(x, axis=None):
    gone = dims_of(x, axis)
    return x[tuple(slice(None, None, -1) if d in gone else slice(None) for d in range(x.ndim))]


def _roll(x, shift, axis=None):
    if axis is None:
        return _roll(x.reshape(-1), shift, 0).reshape(x.shape)
    shifts = shift if isinstance(shift, tuple) else (shift,)
    axes = axis if isinstance(axis, tuple) else (axis,)
    for s, a in zip(shifts * len(axes) if len(shifts) == 1 else shifts, axes, strict=False):
        a %= x.ndim
        n = x.shape[a]
        s = s % n if n else 0
        if s:
            back, ahead = (tuple(slice(*r) if d == a else slice(None) for d in range(x.ndim))
                           for r in ((n - s, None), (None, n - s)))
            x = _concatenate([x[back], x[ahead]], a)
    return Symbol(x.expr)


def moved(x: Symbol, source, destination) -> Symbol:
    """np.moveaxis."""
    src, dst = ([d % x.ndim for d in (s if hasattr(s, "__iter__") else (s,))]
                for s in (source, destination))
    rest = [d for d in range(x.ndim) if d not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        rest.insert(d, s)
    return x.transpose(*rest)


def ahead(x) -> Symbol:
    """How far each element of a matrix is to the right of the diagonal: column - row."""
    rows, columns = (Symbol(along(x.shape[d], d, x.ndim, np.int32)) for d in (x.ndim - 2, x.ndim - 1))
    return columns - rows


def _triangle(lower: bool):
    def cut(x, k=0):
        return np.where(ahead(x) <= k if lower else ahead(x) >= k, x, x.dtype.type(0))

    return cut


def _tile(x, repeats):
    repeats = (repeats,) if is_whole(repeats) else tuple(repeats)
    rank = max(len(repeats), x.ndim)
    repeats = (1,) * (rank - len(repeats)) + repeats
    shape = (1,) * (rank - x.ndim) + x.shape
    pairs = [m for n, r in zip(shape, repeats, strict=True) for m in (r, n)]
    one = x.reshape([m for n in shape for m in (1, n)])
    target = lowering().temporary(pairs, x.dtype)
    lowering().store(target, one)
    return lowering().read(target).reshape([n * r for n, r in zip(shape, repeats, strict=True)])


def _diagonal(x, offset=0, axis1=0, axis2=1):
    v = lowering().memory(x)
    a, b = axis1 % x.ndim, axis2 % x.ndim
    rows, columns = v.shape[a], v.shape[b]
    n = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    start = v.offset + (offset * v.strides[b] if offset >= 0 else -offset * v.strides[a])
    keep = [d for d in range(x.ndim) if d not in (a, b)]
    return Symbol(ex.value(ex.View(
        v.root, (*[v.shape[d] for d in keep], n),
        (*[v.strides[d] for d in keep], v.strides[a] + v.strides[b]), start, v.dtype,
    )), x)


# ---------------------------------------------------------------- numbers


def _nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    info = np.finfo(x.dtype)
    high = info.max if posinf is None else posinf
    low = info.min if neginf is None else neginf
    kind = x.dtype.type
    made = np.where(np.isnan(x), kind(nan), x)
    made = np.where(x == math.inf, kind(high), made)
    return np.where(x == -math.inf, kind(low), made)


def _remainder(x, y):
    """The remainder with the sign of the divisor."""
    if not ex.is_float(_result_type(x, y)):
        return None
    rest = np.fmod(x, y)
    turned = (rest != 0) & ((rest < 0) != np.less(y, 0))
    rest = np.where(turned, rest + y, rest)
    return np.where(rest == 0, np.copysign(rest.dtype.type(0), y), rest)


def _hypot(x, y):
    a, b = np.abs(x), np.abs(y)
    high, low = np.maximum(a, b), np.minimum(a, b)
    kind = high.dtype.type
    ratio = low / np.where(high == 0, kind(1), high)
    made = high * np.sqrt(ratio * ratio + kind(1))
    return np.where((a == math.inf) | (b == math.inf), kind(math.inf), made)


def _log_of_sum(log1p, exp, two):
    """log(exp(x) + exp(y)) to some base: the larger one, and what the other adds."""

    def made(x, y):
        high, away = np.maximum(x, y), -np.abs(x - y)
        return np.where(np.equal(x, y), high + high.dtype.type(two), high + log1p(exp(away)))

    return made


def _log2_of_one_and(x):
    return np.log1p(x) * x.dtype.type(1 / math.log(2))


def _sinc(x):
    kind = x.dtype.type if ex.is_float(x.dtype) else np.float64
    y = kind(math.pi) * np.where(x == 0, kind(1e-20), x)
    return np.sin(y) / y


def _result_type(*xs):
    return ex.common_dtype(*[x.expr if isinstance(x, Symbol) else expression(x) for x in xs])


COMPOSED.update({
    "remainder": _remainder,
    "hypot": _hypot,
    "logaddexp": _log_of_sum(np.log1p, np.exp, math.log(2)),
    "logaddexp2": _log_of_sum(_log2_of_one_and, np.exp2, 1.0),
})
FUNCTIONS.update({
    np.where: _where,
    np.clip: _clip,
    np.sum: _reduction("sum"),
    np.prod: _reduction("prod"),
    np.max: _reduction("max"),
    np.min: _reduction("min"),
    np.amax: _reduction("max"),
    np.amin: _reduction("min"),
    np.any: _reduction("any"),
    np.all: _reduction("all"),
    np.mean: mean,
    np.count_nonzero: _count_nonzero,
    np.argmax: _first_of("max"),
    np.argmin: _first_of("min"),
    np.take: _take,
    np.take_along_axis: picked,
    np.zeros: lambda shape, dtype=np.float64, **_: filled(shape, 0, dtype),
    np.ones: lambda shape, dtype=np.float64, **_: filled(shape, 1, dtype),
    np.empty: lambda shape, dtype=np.float64, **_: filled(shape, 0, dtype),
    np.full: lambda shape, number, dtype=None, **_: filled(shape, number, dtype),
    np.arange: _arange,
    np.zeros_like: lambda x, dtype=None, **_: _full_like(x, 0, dtype),
    np.ones_like: lambda x, dtype=None, **_: _full_like(x, 1, dtype),
    np.full_like: _full_like,
    np.broadcast_to: lambda x, shape, subok=False: broadcast_to(symbol(x), tuple(shape)),
    np.broadcast_arrays: lambda *xs: [
        broadcast_to(symbol(x), broadcast_shape(*xs)) for x in xs
    ],
    np.transpose: lambda x, axes=None: x.transpose(*(axes or ())),
    np.swapaxes: lambda x, a, b: x.swapaxes(a, b),
    np.moveaxis: moved,
    np.reshape: lambda x, shape, **_: x.reshape(shape),
    np.ravel: lambda x, order="C": x.reshape(-1),
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.flip: _flip,
    np.roll: _roll,
    np.tril: _triangle(True),
    np.triu: _triangle(False),
    np.tile: _tile,
    np.diagonal: _diagonal,
    np.nan_to_num: _nan_to_num,
    np.sinc: _sinc,
    np.isposinf: lambda x, out=None: x == math.inf,
    np.isneginf: lambda x, out=None: x == -math.inf,
    np.dot: lambda x, y: reduce("sum", x * y, axis=None) if x.ndim == 1 else x @ y,
    np.real: lambda x: x,
    np.iscomplexobj: lambda x: False,
    np.isreal: lambda x: filled(x.shape, True, np.bool_),
    np.result_type: _result_type,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x, axis=None: x.size if axis is None else x.shape[axis],
    np.copy: lambda x, **_: Symbol(x.expr),
    np.copyto: lambda target, x, **_: target.assign(x),
})
KERNELS.update({
    "zeros": lambda shape, dtype: filled(shape, 0, dtype),
    "number": lambda x, dtype: Symbol(ex.const(x, dtype)),
    "counted": lambda n, dtype: Symbol(ex.index(n, dtype)),
})
