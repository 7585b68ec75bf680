"""NumPy references as expressions: an operator's own definition, run on symbols.

`Symbol` stands for an array in a reference and answers NumPy's protocols (`__array_ufunc__`,
`__array_function__`), so that the specification itself is what gets compiled. What cannot be followed
(loops over elements, memory tricks) raises NotLowered, and tier 0 runs the operation. NumPy's functions
are in `functions.py`.
"""

from __future__ import annotations

import math
import operator
import threading

import numpy as np

from . import expressions as ex
from . import subscripts
from .expressions import Expr, NotLowered
from .sizes import Size, is_whole

UFUNCS = {
    "add", "subtract", "multiply", "divide", "negative", "absolute", "maximum", "minimum", "fmax",
    "fmin", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "reciprocal",
    "square", "sign", "floor", "ceil", "trunc", "rint", "sin", "cos", "tan", "arcsin", "arccos",
    "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "power", "copysign",
    "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift", "floor_divide",
    "remainder", "fmod",
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
    if isinstance(x, (bool, int, float, Size)):
        return ex.const(x)
    if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
        return ex.const(x.item(), x.dtype)
    if isinstance(x, np.ndarray):
        return known_array(x)
    raise NotLowered(f"a {type(x).__name__} in an expression")


MOST_CONSTANT = 1 << 16  # bytes of an array that is known when a program is compiled


def known_array(a: np.ndarray) -> Expr:
    """An array that does not depend on the program's values: one number, a count, or memory."""
    if a.dtype.kind not in "biuf":
        raise NotLowered(f"a known array of {a.dtype}")
    first = a.reshape(-1)[0] if a.size else a.dtype.type(0)
    if (a == first).all():
        return ex.rename(ex.const(first.item(), a.dtype), (None,) * a.ndim, a.shape)
    along = next(d for d, n in enumerate(a.shape) if n != 1)
    if a.size == a.shape[along] and a.dtype.kind in "iu" and first == 0 \
            and (a.reshape(-1) == np.arange(a.size)).all():
        dims: list = [None] * a.ndim
        dims[along] = 0
        return ex.rename(ex.index(a.size, a.dtype), tuple(dims))
    if a.nbytes > MOST_CONSTANT:
        raise NotLowered(f"a known array of {a.nbytes} bytes")
    root = ex.Constant(np.ascontiguousarray(a))
    return ex.value(ex.View(root, a.shape, ex.row_major(a.shape), 0, a.dtype))


class Guards:
    """Facts about a program's numbers that its native form relies on, as Python conditions."""

    OPERATORS = {
        "add": "({} + {})", "subtract": "({} - {})", "multiply": "({} * {})",
        "divide": "({} / {})", "negative": "(-{})", "less": "({} < {})", "less_equal": "({} <= {})",
        "greater": "({} > {})", "greater_equal": "({} >= {})", "equal": "({} == {})",
        "not_equal": "({} != {})", "logical_not": "(not {})", "absolute": "abs({})",
    }

    def __init__(self, scalars, written=frozenset()):
        """written: roots of memory that the program writes into."""
        self.scalars, self.written = scalars, written
        self.conditions: dict[str, bool] = {}
        self.uniform: dict = {}  # node whose elements are all the same: the expression of one
        self.joined: dict = {}  # node that is zero but for some parts: (its memory, those parts)
        self.earlier: dict = {}  # node that will be overwritten as a whole: its memory until then

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


class _Stack(threading.local):
    """What this thread is in the middle of, innermost last."""

    def __init__(self):
        self.items: list = []

    def append(self, x) -> None:
        self.items.append(x)

    def pop(self):
        return self.items.pop()

    def __bool__(self) -> bool:
        return bool(self.items)

    def __getitem__(self, i):
        return self.items[i]


GUARDS = _Stack()  # of the program that is being lowered
LOWERING = _Stack()  # the instruction that is being lowered: where products go


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that is not there yet."""

    def __init__(self, expr: Expr, of: Symbol | None = None):
        """of: the array of which this is a view."""
        self._expr: Expr | None = expr
        self._family = [self] if of is None else of._family
        if of is not None:
            of._family.append(self)

    @property
    def expr(self) -> Expr:
        """What the array is; NotLowered after another view of its memory was written."""
        if self._expr is None:
            raise NotLowered("an array that was written through another view")
        return self._expr

    @expr.setter
    def expr(self, made: Expr):
        for other in self._family:
            other._expr = None
        self._expr, self._family = made, [self]

    real = property(lambda self: self)
    shape = property(lambda self: self.expr.shape)
    dtype = property(lambda self: self.expr.dtype)
    ndim = property(lambda self: len(self.expr.shape))
    T = property(lambda self: self.transpose())

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.expr.shape)

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

    @staticmethod
    def function(name: str, *given):
        """A function of the compiler that NumPy does not have: a kernel, or an elementwise one."""
        kernel = KERNELS.get(name)
        if kernel is not None:
            return kernel(*given)
        return Symbol(ex.apply(name, *[expression(x) for x in given]))

    def found(self) -> bool:
        """False: if a condition holds anywhere when the program runs, its operator fails."""
        lowering().check(self)
        return False

    def within(self, n: int) -> Symbol:
        """An index that must lie in [0, n); its operator fails otherwise."""
        return Symbol(ex.within(self.expr, n))

    def __array__(self, *_, **__):
        raise NotLowered("the values of a symbol")

    # ------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        name = RENAMED.get(ufunc.__name__, ufunc.__name__)
        if name == "true_divide":
            name = "divide"
        if method == "accumulate" and "running" in KERNELS:
            made = KERNELS["running"](inputs[0], name, options.get("axis", 0))
        elif method == "outer":
            x, y = (Symbol(expression(v)) for v in inputs)
            made = ufunc(x.reshape(*x.shape, *(1,) * y.ndim), y)
        elif method == "reduce":
            made = reduce(REDUCTIONS.get(name), inputs[0], **options)
        elif method != "__call__" or set(options) - {"dtype", "casting"}:
            raise NotLowered(f"{ufunc.__name__}.{method}({', '.join(options)})")
        elif name == "positive":
            made = Symbol(expression(inputs[0]))
        elif name == "matmul" and LOWERING:
            made = LOWERING[-1].product(*[Symbol(expression(x)) for x in inputs])
        elif name == "add" and (parts := _sum_of_parts(*inputs)) is not None:
            made = Symbol(parts)
        elif name == "power":
            base = expression(inputs[0])
            made = Symbol(ex.apply(name, base, _exponent(inputs[1], base)))
        elif name in COMPOSED and (made := COMPOSED[name](*inputs)) is not None:
            pass
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

    def reshape(self, *shape, order="C"):
        """Of a computed value, dims of size 1 may come and go; else it goes through memory."""
        if len(shape) == 1 and not is_whole(shape[0]):
            shape = tuple(shape[0])
        if -1 in shape:
            known = math.prod([n for n in shape if n != -1])
            shape = tuple(self.size // max(known, 1) if n == -1 else n for n in shape)
        try:
            return Symbol(ex.reshape(self.expr, shape), self)
        except NotLowered:
            if not LOWERING or order != "C":
                raise
        return Symbol(ex.reshape(ex.value(LOWERING[-1].contiguous(self)), shape))

    def ravel(self):
        """One dim."""
        return self.reshape(-1)

    def transpose(self, *dims):
        """Dims in another order."""
        if len(dims) == 1 and isinstance(dims[0], tuple):
            dims = dims[0]
        dims = tuple(d % self.ndim for d in dims) or tuple(reversed(range(self.ndim)))
        return Symbol(ex.rename(self.expr, dims), self)

    def swapaxes(self, a, b):
        """Two dims exchanged."""
        dims = list(range(self.ndim))
        dims[a], dims[b] = dims[b], dims[a]
        return self.transpose(*dims)

    def sum(self, axis=None, dtype=None, keepdims=False):
        """Sum."""
        return reduce("sum", self, axis=axis, dtype=dtype, keepdims=keepdims)

    def max(self, axis=None, keepdims=False, initial=None):
        """Largest."""
        made = reduce("max", self, axis=axis, keepdims=keepdims)
        return made if initial is None else np.maximum(made, self.dtype.type(initial))

    def min(self, axis=None, keepdims=False, initial=None):
        """Smallest."""
        made = reduce("min", self, axis=axis, keepdims=keepdims)
        return made if initial is None else np.minimum(made, self.dtype.type(initial))

    def conj(self):
        """The same: it is real."""
        return self

    def mean(self, axis=None, keepdims=False):
        """Mean."""
        return mean(self, axis=axis, keepdims=keepdims)

    def any(self, axis=None, keepdims=False):
        """Whether an element is true."""
        return reduce("any", self, axis=axis, keepdims=keepdims)

    def all(self, axis=None, keepdims=False):
        """Whether all elements are true."""
        return reduce("all", self, axis=axis, keepdims=keepdims)

    def __getitem__(self, index):
        """None, ints, slices, Ellipsis, and integer arrays for some dims."""
        items = _subscript(index)
        if any(isinstance(i, Expr) and i.dtype == np.bool_ for i in items):
            raise NotLowered("as many elements as a mask has")
        made = subscripts.read(self.expr, items, lambda e: lowering().memory(Symbol(e)))
        return Symbol(made, None if any(isinstance(i, Expr) for i in items) else self)

    def __setitem__(self, index, value):
        """Ints and slices, one element of each row, and numbers at a mask."""
        items = _subscript(index)
        if any(isinstance(i, slice) and i.step not in (None, 1) for i in items):
            made = lowering().temporary(self.shape, self.dtype)
            lowering().store(made, self)
            lowering().store(subscripts.read(ex.value(made), items, None).attr, value)
            self.expr = ex.value(made)
        else:
            self.expr = subscripts.write(self.expr, items, expression(value))


def lowering():
    """The instruction that is being lowered."""
    if not LOWERING:
        raise NotLowered("outside of a program")
    return LOWERING[-1]


def _subscript(index) -> tuple:
    """The items of an index, arrays as expressions."""
    items = index if isinstance(index, tuple) else (index,)
    return tuple(expression(i) if isinstance(i, (Symbol, np.ndarray)) else i for i in items)


def _sum_of_parts(x, y) -> Expr | None:
    """The sum of arrays that are known to consist of parts along a dim (and zeros)."""
    if not isinstance(x, Symbol) or not isinstance(y, Symbol):
        return None
    return ex.join(_parts(x.expr), _parts(y.expr))


def _parts(e: Expr) -> Expr:
    if e.op == "value" and GUARDS:
        view, parts = GUARDS[-1].joined.get(ex.owned(e.attr.root), (None, None))
        if view == e.attr:
            return parts
        written = getattr(ex.owned(e.attr.root), "root", None) in GUARDS[-1].written
        return ex.const(0) if written else e
    return ex.as_joined(e) or e


def _exponent(x, base: Expr) -> Expr:
    """An exponent; a number of the program that is one of the usual ones is taken as known."""
    e = expression(x)
    one = ex.uniform(e)
    if one is not None and one.op != "const" and GUARDS:
        for usual in range(65) if base.dtype.kind in "iu" else (2, 3, 0.5, -1, 1):
            if Symbol(one) == usual:
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
        made = broadcast_to(made, target.shape)
    target.expr = ex.cast(made.expr, target.dtype)
    return target


def dims_of(x: Symbol, axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(a % x.ndim for a in axes)


def reduce(kind, x, axis=0, dtype=None, keepdims=False, **options):
    if kind is None or any(v is not None and v is not np._NoValue for v in options.values()):
        raise NotLowered(f"reduction {kind} with {options}")
    dims = dims_of(x, axis)
    e = x.expr
    if kind in ("any", "all"):
        e = ex.cast(e, np.bool_)
    elif kind in ("sum", "prod") and dtype is None and e.dtype.kind in "biu":
        dtype = np.uint64 if e.dtype.kind == "u" else np.int64
    made = ex.reduce(kind, e, dims, dtype)
    if not keepdims:
        kept = tuple(i for i in range(x.ndim) if i not in dims)
        made = ex.rename(made, kept)
    return Symbol(made)


def mean(x, axis=None, dtype=None, out=None, keepdims=False, **_):
    count = math.prod([x.shape[d] for d in dims_of(x, axis)])
    if not ex.is_float(x.dtype) or out is not None:
        raise NotLowered("mean of integers")
    total = reduce("sum", x, axis=axis, dtype=dtype, keepdims=bool(keepdims is True))
    return total / Symbol(ex.const(count, total.dtype))


def broadcast_to(x: Symbol, shape) -> Symbol:
    """`x` repeated along new dims and dims of size 1."""
    e = x.expr
    lead = len(shape) - len(e.shape)
    return Symbol(ex.rename(e, (None,) * lead + tuple(range(len(e.shape))), tuple(shape)), x)


FUNCTIONS: dict = {}  # NumPy's functions on symbols, filled by `functions.py`
KERNELS: dict = {}  # functions that become calls of kernels
COMPOSED: dict = {}  # ufuncs that are made of others (or None: for this dtype they are not)
