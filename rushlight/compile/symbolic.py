"""NumPy references as expressions: an operator's own definition, run on symbols.

`Symbol` stands for an array in a reference and answers NumPy's protocols (`__array_ufunc__`,
`__array_function__`), so that the specification itself is what gets compiled. What cannot be followed
(loops over elements, memory tricks) raises NotLowered, and tier 0 runs the operation.
"""

from __future__ import annotations

import operator

import numpy as np

from . import expressions as ex
from .expressions import Expr, NotLowered

UFUNCS = {
    "add", "subtract", "multiply", "divide", "negative", "absolute", "maximum", "minimum", "fmax",
    "fmin", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "reciprocal",
    "square", "sign", "floor", "ceil", "trunc", "rint", "sin", "cos", "tan", "arcsin", "arccos",
    "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "power", "copysign",
    "bitwise_and", "bitwise_or", "bitwise_xor", "invert",
} | ex.COMPARISONS | ex.LOGICAL | ex.TESTS
RENAMED = {"float_power": "power", "fabs": "absolute", "conjugate": "positive"}
REDUCTIONS = {
    "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all",
    "logical_or": "any",
}


def expression(x) -> Expr:
    """The expression of a symbol, a number or a NumPy scalar."""
    if isinstance(x, Symbol):
        return x.expr
    if isinstance(x, (bool, int, float)):
        return ex.const(x)
    if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
        return ex.const(x.item(), x.dtype)
    raise NotLowered(f"a {type(x).__name__} in an expression")


class Guards:
    """Facts about a program's numbers that its native form relies on, as Python conditions."""

    OPERATORS = {
        "add": "({} + {})", "subtract": "({} - {})", "multiply": "({} * {})",
        "divide": "({} / {})", "negative": "(-{})", "less": "({} < {})", "less_equal": "({} <= {})",
        "greater": "({} > {})", "greater_equal": "({} >= {})", "equal": "({} == {})",
        "not_equal": "({} != {})", "logical_not": "(not {})", "absolute": "abs({})",
    }

    def __init__(self, scalars):
        self.scalars = scalars
        self.conditions: dict[str, bool] = {}

    def truth(self, e: Expr) -> bool:
        """Whether a condition on the program's numbers holds now; it is noted."""
        source = self._source(e)
        if source not in self.conditions:
            self.conditions[source] = bool(eval(source, {"scalars": self.scalars}))
        return self.conditions[source]

    def _source(self, e: Expr) -> str:
        if e.op == "const":
            return repr(e.attr)
        if e.op == "scalar":
            return f"scalars[{e.attr}]"
        if e.op == "cast":
            return self._source(e.ins[0])
        if e.op in self.OPERATORS:
            return self.OPERATORS[e.op].format(*[self._source(x) for x in e.ins])
        raise NotLowered("a branch on a value")


GUARDS: list[Guards] = []  # of the program that is being lowered
LOWERING: list = []  # the instruction that is being lowered: where products go


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that is not there yet."""

    def __init__(self, expr: Expr):
        self.expr = expr

    shape = property(lambda self: self.expr.shape)
    dtype = property(lambda self: self.expr.dtype)
    ndim = property(lambda self: len(self.expr.shape))
    T = property(lambda self: self.transpose())

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.expr.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.expr.shape[0]

    def __bool__(self):
        """A branch on the program's numbers: what holds now is guarded when the program runs."""
        if not GUARDS:
            raise NotLowered("a branch on a value")
        return GUARDS[-1].truth(self.expr)

    def __float__(self):
        raise NotLowered("the value of a symbol")

    __int__ = __index__ = __iter__ = __float__

    def scratch(self) -> Symbol:
        """A symbol of the same shape and dtype, to be written before it is read."""
        return Symbol(ex.rename(ex.const(0, self.dtype), (None,) * self.ndim, self.shape))

    def assign(self, made) -> Symbol:
        """Become another expression, as memory is overwritten."""
        return _assign(self, made if isinstance(made, Symbol) else Symbol(expression(made)))

    def fma(self, a, b) -> Symbol:
        """`self + a * b`, rounded once."""
        return Symbol(ex.apply("fma", expression(a), expression(b), self.expr))

    def __array__(self, *_, **__):
        raise NotLowered("the values of a symbol")

    # ------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        name = RENAMED.get(ufunc.__name__, ufunc.__name__)
        if name == "true_divide":
            name = "divide"
        if method == "reduce":
            made = _reduce(REDUCTIONS.get(name), inputs[0], **options)
        elif method != "__call__" or set(options) - {"dtype", "casting"}:
            raise NotLowered(f"{ufunc.__name__}.{method}({', '.join(options)})")
        elif name == "positive":
            made = Symbol(expression(inputs[0]))
        elif name == "matmul" and LOWERING:
            made = LOWERING[-1].product(*[Symbol(expression(x)) for x in inputs])
        elif name == "power":
            made = Symbol(ex.apply(name, expression(inputs[0]), _exponent(inputs[1])))
        elif name in UFUNCS:
            made = Symbol(ex.apply(name, *[expression(x) for x in inputs]))
        else:
            raise NotLowered(f"ufunc {ufunc.__name__}")
        if options.get("dtype") is not None and method == "__call__":
            made = made.astype(options["dtype"])
        if out is not None:
            return _assign(out[0], made)
        return made

    def __array_function__(self, function, types, args, options):
        handler = FUNCTIONS.get(function)
        if handler is None:
            raise NotLowered(f"np.{function.__name__}")
        return handler(*args, **options)

    # ------------------------------------------------------------ methods of arrays

    def astype(self, dtype, copy=True):
        """Cast."""
        return Symbol(ex.cast(self.expr, dtype))

    def copy(self, order="C"):
        """The same value."""
        return Symbol(self.expr)

    def reshape(self, *shape):
        """Only dims of size 1 may come and go, except of memory."""
        if len(shape) == 1 and not isinstance(shape[0], int):
            shape = tuple(shape[0])
        if -1 in shape:
            known = int(np.prod([n for n in shape if n != -1]))
            shape = tuple(self.size // max(known, 1) if n == -1 else n for n in shape)
        try:
            return Symbol(ex.reshape(self.expr, shape))
        except NotLowered:
            if not LOWERING:
                raise
        return Symbol(ex.reshape(ex.value(LOWERING[-1].contiguous(self)), shape))

    def transpose(self, *dims):
        """Dims in another order."""
        if len(dims) == 1 and isinstance(dims[0], tuple):
            dims = dims[0]
        dims = dims or tuple(reversed(range(self.ndim)))
        return Symbol(ex.rename(self.expr, dims))

    def sum(self, axis=None, dtype=None, keepdims=False):
        """Sum."""
        return _reduce("sum", self, axis=axis, dtype=dtype, keepdims=keepdims)

    def max(self, axis=None, keepdims=False):
        """Largest."""
        return _reduce("max", self, axis=axis, keepdims=keepdims)

    def min(self, axis=None, keepdims=False):
        """Smallest."""
        return _reduce("min", self, axis=axis, keepdims=keepdims)

    def mean(self, axis=None, keepdims=False):
        """Mean."""
        return _mean(self, axis=axis, keepdims=keepdims)

    def __getitem__(self, index):
        """None, full slices and Ellipsis; of memory also ints and slices."""
        return Symbol(_item(self.expr, index if isinstance(index, tuple) else (index,)))


def _exponent(x) -> Expr:
    """An exponent; a number of the program that is one of the usual ones is taken as known."""
    e = expression(x)
    if e.op == "scalar" and GUARDS:
        for usual in (2, 3, 0.5, -1, 1):
            if Symbol(e) == usual:
                return ex.const(usual)
    return e


def _in_place(method):
    def update(self, other):
        self.expr = ex.cast(method(self, other).expr, self.expr.dtype)
        return self

    return update


for _name in ("add", "sub", "mul", "truediv"):
    setattr(Symbol, f"__i{_name}__", _in_place(getattr(operator, _name)))


def _assign(target, made: Symbol):
    if not isinstance(target, Symbol) or ex.broadcast(target.shape, made.shape) != target.shape:
        raise NotLowered("out= is not a symbol of this shape")
    if target.shape != made.shape:
        made = _broadcast_to(made, target.shape)
    target.expr = ex.cast(made.expr, target.dtype)
    return target


def _dims(x: Symbol, axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(a % x.ndim for a in axes)


def _reduce(kind, x, axis=0, dtype=None, keepdims=False, **options):
    if kind is None or any(v is not None and v is not np._NoValue for v in options.values()):
        raise NotLowered(f"reduction {kind} with {options}")
    dims = _dims(x, axis)
    e = x.expr
    if kind in ("any", "all"):
        e = ex.cast(e, np.bool_)
    elif kind in ("sum", "prod") and dtype is None and e.dtype.kind in "bi":
        dtype = np.int64
    made = ex.reduce(kind, e, dims, dtype)
    if not keepdims:
        kept = tuple(i for i in range(x.ndim) if i not in dims)
        made = ex.rename(made, kept)
    return Symbol(made)


def _mean(x, axis=None, dtype=None, out=None, keepdims=False, **_):
    count = int(np.prod([x.shape[d] for d in _dims(x, axis)], dtype=np.int64))
    if not ex.is_float(x.dtype) or out is not None:
        raise NotLowered("mean of integers")
    total = _reduce("sum", x, axis=axis, dtype=dtype, keepdims=bool(keepdims is True))
    return total / total.dtype.type(count)


def _item(e: Expr, index: tuple) -> Expr:
    if any(i is Ellipsis for i in index):
        at = next(j for j, i in enumerate(index) if i is Ellipsis)
        given = sum(i is not None for i in index) - 1
        index = index[:at] + (slice(None),) * (len(e.shape) - given) + index[at + 1 :]
    dims: list = []
    at = 0
    for i in index:
        if i is None:
            dims.append(None)
            continue
        if i != slice(None):
            e, at = _cut(e, at, i), at + (isinstance(i, slice))
            if isinstance(i, slice):
                dims.append(at - 1)
            continue
        dims.append(at)
        at += 1
    dims += range(at, len(e.shape))
    return ex.rename(e, tuple(dims))


def _cut(e: Expr, dim: int, item) -> Expr:
    """One index or slice of a dim of memory."""
    if e.op != "value" or not isinstance(item, (int, slice)):
        raise NotLowered(f"index {item} of a computed value")
    v = e.attr
    if isinstance(item, int):
        where = item + v.shape[dim] if item < 0 else item
        keep = tuple(i for i in range(len(v.shape)) if i != dim)
        return ex.value(ex.View(v.root, tuple(v.shape[i] for i in keep),
                                tuple(v.strides[i] for i in keep),
                                v.offset + where * v.strides[dim], v.dtype))
    r = range(*item.indices(v.shape[dim]))
    shape = (*v.shape[:dim], len(r), *v.shape[dim + 1 :])
    strides = (*v.strides[:dim], v.strides[dim] * r.step, *v.strides[dim + 1 :])
    return ex.value(ex.View(v.root, shape, strides, v.offset + r.start * v.strides[dim], v.dtype))


def _where(condition, x, y):
    return Symbol(ex.apply("where", expression(condition), expression(x), expression(y)))


def _clip(x, low=None, high=None, out=None, **_):
    made = expression(x)
    if low is not None:
        made = ex.apply("maximum", made, expression(low))
    if high is not None:
        made = ex.apply("minimum", made, expression(high))
    return Symbol(made)


def _function(name):
    """np.sum and its kin, by the name of the reduction."""
    return lambda x, axis=None, dtype=None, out=None, keepdims=False, **options: _reduce(
        name, x, axis=axis, dtype=dtype, keepdims=keepdims is True, **options
    )


def _broadcast_to(x, shape, subok=False):
    e = x.expr
    lead = len(shape) - len(e.shape)
    return Symbol(ex.rename(e, (None,) * lead + tuple(range(len(e.shape))), tuple(shape)))


def _full_like(x, number, dtype=None, **_):
    d = np.dtype(dtype or x.dtype)
    return _broadcast_to(Symbol(ex.const(number, d)), x.shape)


FUNCTIONS = {
    np.where: _where,
    np.clip: _clip,
    np.sum: _function("sum"),
    np.prod: _function("prod"),
    np.max: _function("max"),
    np.min: _function("min"),
    np.amax: _function("max"),
    np.amin: _function("min"),
    np.any: _function("any"),
    np.all: _function("all"),
    np.mean: _mean,
    np.broadcast_to: _broadcast_to,
    np.transpose: lambda x, axes=None: x.transpose(*(axes or ())),
    np.reshape: lambda x, shape, **_: x.reshape(shape),
    np.expand_dims: lambda x, axis: x[(slice(None),) * (axis % (x.ndim + 1)) + (None,)],
    np.zeros_like: lambda x, dtype=None, **_: _full_like(x, 0, dtype),
    np.ones_like: lambda x, dtype=None, **_: _full_like(x, 1, dtype),
    np.full_like: _full_like,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.copy: lambda x, **_: Symbol(x.expr),
    np.copyto: lambda target, x, **_: target.assign(x),
}
