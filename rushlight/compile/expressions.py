"""Array expressions: what an operation computes, element by element, before any loop exists.

An `Expr` is a node of a pure expression with a shape and a NumPy dtype. Its leaves are `value`s (memory of
the program, as a strided view), numbers and index counters; above them are elementwise operations,
reductions (which keep their dims, with size 1) and `view`s, which only rename dims.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .sizes import Size, is_whole, plain
from .strides import reshaped, row_major


class NotLowered(Exception):
    """This operation has no loops (in this form): tier 0 runs it."""


@dataclass(frozen=True)
class View:
    """A strided view of the memory of program value `root`; strides and offset in elements."""

    root: object
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: np.dtype

    def __repr__(self) -> str:
        name = getattr(self.root, "slot", self.root)
        return f"%{name}{list(self.shape)}:{self.strides}+{self.offset}"


def is_dense(v: View) -> bool:
    """Whether a view is in row-major order."""
    return all(n == 1 or s == t for n, s, t in zip(v.shape, v.strides, row_major(v.shape),
                                                   strict=True))


class Private:
    """Memory that only this program sees."""

    __slots__ = ("nbytes", "owner")

    def __init__(self, nbytes: int):
        self.nbytes, self.owner = nbytes, None


class Temporary(Private):
    """Private memory within one operation. owner: the node whose memory it turned out to be."""

    __slots__ = ()


class Earlier(Private):
    """What stands for a result's memory before that is overwritten as a whole."""

    __slots__ = ()


def owned(root):
    """What a memory root is: a temporary may have become the memory of a result."""
    return getattr(root, "owner", None) or root


class Constant:
    """Memory whose contents are known when a program is compiled."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray):
        self.array = array


class Expr:
    """One node; `attr` depends on `op`.

    value: a View. const: a Python number. scalar: the place of a number given at run time.
    index: the dim counted. cast, elementwise names: None. view: for each dim, the input's dim or None.
    reduce: (kind, dims). part: for each dim, (start, step). pad: for each dim, where the first input
    starts in the second. within: the bound of an index. take: see `take`.
    """

    __slots__ = ("op", "ins", "shape", "dtype", "attr", "weak")

    def __init__(self, op, ins, shape, dtype, attr=None, weak=False):
        self.op, self.ins, self.shape = op, tuple(ins), tuple(shape)
        self.dtype, self.attr, self.weak = np.dtype(dtype), attr, weak

    def __repr__(self) -> str:
        told = "" if self.attr is None else f" {self.attr}"
        return f"{self.op}{told}({', '.join(map(repr, self.ins))})"


def value(view: View) -> Expr:
    """What is in memory."""
    return Expr("value", (), view.shape, view.dtype, view)


def const(number, dtype=None) -> Expr:
    """A number; without a dtype it takes that of what it meets, as a Python number does."""
    weak = dtype is None
    if weak:
        dtype = np.bool_ if isinstance(number, bool) else np.int64 \
            if is_whole(number) and not isinstance(plain(number), float) else np.float64
    return Expr("const", (), (), dtype, number, weak)


def cast(x: Expr, dtype) -> Expr:
    """`x` in another dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind == "c" or x.dtype.kind == "c":
        raise NotLowered("complex numbers")
    if x.op == "const":
        return Expr("const", (), (), dtype, _as_number(x.attr, dtype))
    if x.dtype == dtype:
        return x if not x.weak else Expr("cast", (x,), x.shape, dtype)
    return Expr("cast", (x,), x.shape, dtype)


def _as_number(number, dtype):
    if number.__class__ is Size:  # a count: every dtype that meets it has it
        return number
    with np.errstate(all="ignore"):
        return np.asarray(number).astype(dtype).item() if dtype.kind in "biu" else float(number)


COMPARISONS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
LOGICAL = {"logical_and", "logical_or", "logical_xor", "logical_not"}
TESTS = {"isnan", "isinf", "isfinite", "signbit"}
FLOATING = {
    "divide", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "cbrt",
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh",
    "arccosh", "arctanh", "sigmoid", "fma", "erf", "erfc", "erfinv", "reciprocal", "copysign", "lgamma",
    "digamma",
}


OF_TRUTH = COMPARISONS | {  # what gives bool for bool
    "add", "multiply", "maximum", "minimum", "fmax", "fmin", "absolute", "bitwise_and",
    "bitwise_or", "bitwise_xor", "invert",
}


def is_float(dtype: np.dtype) -> bool:
    """Floating, including bfloat16 (which NumPy calls kind V)."""
    return dtype.kind == "f" or (dtype.kind == "V" and dtype.name == "bfloat16")


def common_dtype(*xs: Expr) -> np.dtype:
    """NumPy's promotion; numbers without a dtype yield to arrays."""
    strong = [x.dtype for x in xs if not x.weak]
    if not strong:
        return np.result_type(*[x.dtype for x in xs])
    d = strong[0] if len(set(strong)) == 1 else np.result_type(*strong)
    for x in xs:
        if x.weak and is_float(x.dtype) and not is_float(d):
            d = np.dtype(np.float64)
        elif x.weak and x.dtype.kind == "i" and d.kind == "b":
            d = np.dtype(np.int64)
    return d


def broadcast(*shapes) -> tuple[int, ...]:
    """The common shape."""
    first = shapes[0]
    if all(s == first for s in shapes):
        return tuple(first)
    made = [1] * max(map(len, shapes))
    for shape in shapes:
        for i, n in enumerate(shape, len(made) - len(shape)):
            if n != 1 and made[i] != n:
                if made[i] != 1:
                    raise NotLowered(f"shapes {shapes} do not broadcast")
                made[i] = n
    return tuple(made)


def apply(name: str, *xs: Expr) -> Expr:
    """An elementwise operation, with NumPy's promotion."""
    shape = broadcast(*[x.shape for x in xs])
    if name == "where":
        d = common_dtype(*xs[1:])
        return Expr(name, (cast(xs[0], np.bool_), *[cast(x, d) for x in xs[1:]]), shape, d)
    if name in LOGICAL:
        return Expr(name, [cast(x, np.bool_) for x in xs], shape, np.bool_)
    d = common_dtype(*xs)
    if d.kind == "c":
        raise NotLowered("complex numbers")
    if name in FLOATING and not is_float(d):
        d = np.dtype(np.float64)
    if name in TESTS and not is_float(d) and name != "signbit":
        return rename(const(name == "isfinite", np.bool_), (None,) * len(shape), shape)
    if name == "power" and all(x.weak for x in xs[1:]) and xs[1].op == "const":
        made = _known_power(cast(xs[0], d), xs[1].attr)
        if made is not None:
            return made
    xs = [cast(x, d) for x in xs]
    weak = False
    out = np.dtype(np.bool_) if name in COMPARISONS or name in TESTS else d
    if d.kind == "b" and name not in OF_TRUTH:
        raise NotLowered(f"{name} of bool")
    return Expr(name, xs, shape, out, None, weak)


def _known_power(x: Expr, exponent) -> Expr | None:
    if exponent == 2:
        return apply("multiply", x, x)
    if exponent == 1:
        return x
    if exponent == 3 and is_float(x.dtype):
        return apply("multiply", apply("multiply", x, x), x)
    if isinstance(exponent, int) and 0 <= exponent <= 64 and x.dtype.kind in "iu":
        made = None  # by repeated squares
        while exponent:
            if exponent & 1:
                made = x if made is None else apply("multiply", made, x)
            x, exponent = apply("multiply", x, x), exponent >> 1
        return made if made is not None else cast(apply("equal", x, x), x.dtype)
    if exponent == 0.5 and is_float(x.dtype):
        return apply("sqrt", x)
    if exponent == -1 and is_float(x.dtype):
        return apply("reciprocal", x)
    return None


NEUTRAL = {"sum": 0, "prod": 1, "any": False, "all": True}  # reductions of nothing


def reduce(kind: str, x: Expr, dims: tuple[int, ...], dtype=None) -> Expr:
    """sum, prod, max, min, any or all over `dims`, which stay with size 1."""
    if dtype is not None:
        x = cast(x, dtype)
    if x.weak:
        x = cast(x, x.dtype)
    shape = tuple(1 if i in dims else n for i, n in enumerate(x.shape))
    if 0 in x.shape:
        if kind not in NEUTRAL:
            raise NotLowered("the extreme of nothing")
        return rename(const(NEUTRAL[kind], x.dtype), (None,) * len(shape), shape)
    if all(x.shape[d] == 1 for d in dims):
        return x
    return Expr("reduce", (x,), shape, x.dtype, (kind, frozenset(dims)))


def index(n: int, dtype=np.int64) -> Expr:
    """0, 1, ... n - 1."""
    return Expr("index", (), (n,), dtype, 0)


def within(x: Expr, n: int) -> Expr:
    """Integers that must lie in [0, n): others are noted as an error, and count as 0."""
    if x.op == "within" and x.attr <= n:
        return x
    if x.dtype.kind not in "iu":
        raise NotLowered(f"an index of dtype {x.dtype}")
    return Expr("within", (cast(x, np.int64),), x.shape, np.int64, n)


def take(view: View, indexed: dict, first: int) -> Expr:
    """Memory at computed places; indexed: {dim of the view: index}, broadcast together.

    The indices' dims stand from `first` on, the other dims of the view keep their order.
    """
    common = broadcast(*[x.shape for x in indexed.values()])
    rest = [d for d in range(len(view.shape)) if d not in indexed]
    shape = (*[view.shape[d] for d in rest[:first]], *common, *[view.shape[d] for d in rest[first:]])
    ins = []
    for d, x in indexed.items():
        x = within(x, view.shape[d])
        dims = (None,) * (len(common) - len(x.shape)) + tuple(range(len(x.shape)))
        ins.append(rename(x, dims + (None,) * (len(rest) - first)))
    places = [(d, k if k < first else k + len(common)) for k, d in enumerate(rest)]
    return Expr("take", ins, shape, view.dtype, (view, tuple(indexed), tuple(places)))


def part(x: Expr, starts: tuple, steps: tuple, shape: tuple) -> Expr:
    """The elements `start + step * i` of each dim, for i below the new shape."""
    if x.op == "value":
        v = x.attr
        offset = v.offset + sum(a * s for a, s in zip(starts, v.strides, strict=True))
        strides = tuple(s * k for s, k in zip(v.strides, steps, strict=True))
        return value(View(v.root, tuple(shape), strides, offset, v.dtype))
    if tuple(shape) == x.shape and not any(starts):
        return x
    return Expr("part", (x,), shape, x.dtype, tuple(zip(starts, steps, strict=True)))


def pad(x: Expr, starts: tuple, around: Expr) -> Expr:
    """`around`, with `x` in it from `starts` on."""
    if x.shape == around.shape:
        return cast(x, around.dtype)
    if 0 in x.shape:
        return around
    return Expr("pad", (cast(x, around.dtype), around), around.shape, around.dtype, tuple(starts))


FEW = 8  # a part of at most 1/8 of an array is added to it on its own


def join(a: Expr, b: Expr) -> Expr | None:
    """The sum of arrays one of which is zero but for parts along a dim, as an array of parts.

    joined: attr is (dim, where each operand but the last begins); the last fills what is between them.
    """
    if "joined" not in (a.op, b.op) or a.shape != b.shape or a.dtype != b.dtype:
        return None
    if a.op != "joined" or (b.op == "joined" and uniform(b.ins[-1]) is None):
        a, b = b, a  # what may have something between its parts comes first
    if b.op == "value" and FEW * sum(math.prod(x.shape) for x in a.ins[:-1]) <= math.prod(a.shape):
        b = Expr("joined", (b,), b.shape, b.dtype, (a.attr[0], ()))
        a, b = b, a
    if b.op != "joined" or uniform(b.ins[-1]) is None or a.attr[0] != b.attr[0]:
        return None
    dim, base = a.attr[0], a.ins[-1]
    added = list(zip(b.attr[1], b.ins[:-1], strict=True))
    if uniform(base) is None:
        zero = (0,) * len(a.shape)
        added = [(s, apply("add", part(base, (*zero[:dim], s, *zero[dim + 1 :]),
                                       (1,) * len(zero), x.shape), x)) for s, x in added]
    parts = sorted([*zip(a.attr[1], a.ins[:-1], strict=True), *added], key=lambda p: p[0])
    end = 0
    for start, x in parts:
        if start < end:
            return None
        end = start + x.shape[dim]
    return Expr("joined", (*[x for _, x in parts], base), a.shape, a.dtype,
                (dim, tuple(s for s, _ in parts)))


def as_joined(e: Expr) -> Expr | None:
    """An array of parts along one dim, or zeros around one, in the form that `join` takes."""
    if e.op == "joined":
        return e
    if e.op != "pad":
        return None
    x, around = e.ins
    base = uniform(around)
    dims = [d for d, (n, m) in enumerate(zip(x.shape, e.shape, strict=True)) if n != m]
    if base is None or base.op != "const" or base.attr != 0 or len(dims) != 1:
        return None
    return Expr("joined", (x, around), e.shape, e.dtype, (dims[0], (e.attr[dims[0]],)))


def uniform(e: Expr) -> Expr | None:
    """One element of an expression whose elements are all the same, whatever memory holds."""
    if e.op in ("const", "scalar"):
        return e
    if e.op == "view":
        return uniform(e.ins[0])
    if not e.ins or e.op in ("part", "pad", "joined", "take", "reduce", "within"):
        return None
    ins = [uniform(x) for x in e.ins]
    if None in ins:
        return None
    return Expr(e.op, ins, (), e.dtype, e.attr, e.weak)


def rename(x: Expr, dims: tuple, shape=None) -> Expr:
    """A view with dim `dims[i]` of `x` as dim i (None: a new dim of size 1, or of `shape[i]`)."""
    if x.op == "value":
        v = x.attr
        shape = tuple(v.shape[d] if d is not None else 1 for d in dims) if shape is None else shape
        strides = tuple(
            0 if d is None or (v.shape[d] == 1 and shape[i] != 1) else v.strides[d]
            for i, d in enumerate(dims)
        )
        return value(View(v.root, tuple(shape), strides, v.offset, v.dtype))
    if shape is None:
        shape = tuple(x.shape[d] if d is not None else 1 for d in dims)
    if tuple(dims) == tuple(range(len(x.shape))) and tuple(shape) == x.shape:
        return x
    return Expr("view", (x,), shape, x.dtype, tuple(dims), x.weak)


def reshape(x: Expr, shape) -> Expr:
    """Another shape: of memory if its strides allow, else only dims of size 1 may come and go."""
    shape = tuple(shape)
    if shape == x.shape:
        return x
    if math.prod(shape) != math.prod(x.shape):
        raise NotLowered(f"reshape {x.shape} to {shape}")
    if x.op == "cast" and x.ins[0].op == "value":
        return Expr("cast", (reshape(x.ins[0], shape),), shape, x.dtype, x.attr, x.weak)
    if x.op == "value":
        v = x.attr
        strides = reshaped(v.shape, v.strides, shape)
        if strides is None:
            raise NotLowered("reshape of strided memory")
        return value(View(v.root, shape, strides, v.offset, v.dtype))
    old = [i for i, n in enumerate(x.shape) if n != 1]
    new = [i for i, n in enumerate(shape) if n != 1]
    if [x.shape[i] for i in old] != [shape[i] for i in new]:
        raise NotLowered("reshape of a computed value")
    dims: list = [None] * len(shape)
    for i, j in zip(new, old, strict=True):
        dims[i] = j
    return rename(x, tuple(dims), shape)
