"""Elementary operations on vectors of lanes, for every dtype: what `exp`, `add` or `cast` is in LLVM IR.

In registers, bool is i1, integers are themselves, and half types are float: a cast to a half type, and every
operation in one, rounds to it. In memory, bool is a byte and half types are 16 bits.
"""

from __future__ import annotations

import numpy as np

from . import half, integer_division, vector_math
from .builder import Function, float_literal, splat_literal, vector
from .vector_values import Value

INTEGERS = {"int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "i8",
            "uint16": "i16", "uint32": "i32", "uint64": "i64"}
MEMORY = {"bool": "i8", "float32": "float", "float64": "double", "float16": "half",
          "bfloat16": "i16", **INTEGERS}
REGISTER = {**MEMORY, "bool": "i1", "float16": "float", "bfloat16": "float"}
HALF = ("float16", "bfloat16")


_names: dict = {}


def name_of(dtype: np.dtype) -> str:
    """`dtype.name`, which NumPy computes anew each time."""
    found = _names.get(dtype)
    if found is None:
        found = _names[dtype] = dtype.name
    return found


def register_type(dtype: np.dtype) -> str:
    """The type of one lane in a register; KeyError for dtypes that are not compiled."""
    return REGISTER[name_of(dtype)]


def literal(number, dtype: np.dtype) -> str:
    """A constant as LLVM writes it."""
    t = REGISTER[name_of(dtype)]
    if t in ("float", "double"):
        return float_literal(float(number), t)
    return str(int(number))


def constant(number, dtype: np.dtype, lanes: int) -> str:
    """A constant in every lane."""
    return splat_literal(REGISTER[name_of(dtype)], lanes, literal(number, dtype))


# ---------------------------------------------------------------- memory


def to_register(f: Function, x: str, dtype: np.dtype, lanes: int) -> str:
    """A value as loaded, in its register form."""
    name = name_of(dtype)
    if name == "bool":
        zero = splat_literal("i8", lanes, "0")
        return f.op(f"icmp ne {vector('i8', lanes)} {x}, {zero}")
    if name == "bfloat16":
        return half.bfloat16_to_float(f, x, lanes)
    if name == "float16":
        return half.float16_to_float(f, x, lanes)
    return x


def to_memory(f: Function, x: str, dtype: np.dtype, lanes: int) -> str:
    """A register's value as it is stored."""
    name = name_of(dtype)
    if name == "bool":
        return f.op(f"zext {vector('i1', lanes)} {x} to {vector('i8', lanes)}")
    if name == "bfloat16":
        return half.float_to_bfloat16(f, x, lanes)
    if name == "float16":
        return half.float_to_float16(f, x, lanes)
    return x


def rounded(f: Function, x: str, dtype: np.dtype, lanes: int) -> str:
    """A float rounded to a half type, still as float; other dtypes as they are."""
    if name_of(dtype) not in HALF:
        return x
    return to_register(f, to_memory(f, x, dtype, lanes), dtype, lanes)


# ---------------------------------------------------------------- casts


def cast(f: Function, x: str, source: np.dtype, to: np.dtype, lanes: int) -> str:
    """Convert as NumPy's astype does."""
    a, b = REGISTER[name_of(source)], REGISTER[name_of(to)]
    va, vb = vector(a, lanes), vector(b, lanes)
    floats = ("float", "double")
    if name_of(to) == "bool":
        if a == "i1":
            return x
        zero = splat_literal(a, lanes, literal(0, source))
        return f.op(f"{'fcmp une' if a in floats else 'icmp ne'} {va} {x}, {zero}")
    if a in floats and b in floats:
        if a != b:
            x = f.op(f"{'fpext' if a == 'float' else 'fptrunc'} {va} {x} to {vb}")
        return rounded(f, x, to, lanes)
    if a in floats:  # what does not fit becomes what C makes of it here, as in NumPy
        if b == "i64":
            return f.op(f"{'fptoui' if to.kind == 'u' else 'fptosi'} {va} {x} to {vb}")
        via = vector("i64" if name_of(to) == "uint32" else "i32", lanes)
        whole = f.op(f"fptosi {va} {x} to {via}")
        return whole if via == vb else f.op(f"trunc {via} {whole} to {vb}")
    signed = source.kind == "i"
    if b in floats:
        made = f.op(f"{'sitofp' if signed else 'uitofp'} {va} {x} to {vb}")
        return rounded(f, made, to, lanes)
    bits_a, bits_b = int(a[1:]), int(b[1:])
    if bits_a == bits_b:
        return x
    how = "trunc" if bits_a > bits_b else "sext" if signed else "zext"
    return f.op(f"{how} {va} {x} to {vb}")


def _suffix(type: str, lanes: int) -> str:
    short = {"float": "f32", "double": "f64"}.get(type, type)
    return short if lanes == 1 else f"v{lanes}{short}"


# ---------------------------------------------------------------- operations

ARITHMETIC = {"add": ("add", "fadd"), "subtract": ("sub", "fsub"), "multiply": ("mul", "fmul"),
              "divide": (None, "fdiv")}
BITS = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "logical_and": "and",
        "logical_or": "or", "logical_xor": "xor"}
CONDITIONS = {  # (signed, unsigned, floating)
    "less": ("slt", "ult", "olt"), "less_equal": ("sle", "ule", "ole"),
    "greater": ("sgt", "ugt", "ogt"), "greater_equal": ("sge", "uge", "oge"),
    "equal": ("eq", "eq", "oeq"), "not_equal": ("ne", "ne", "une"),
}
MATHS = {
    "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2", "log10": "log10",
    "log1p": "log1p", "sqrt": "sqrt", "rsqrt": "rsqrt", "cbrt": "cbrt", "sin": "sin", "cos": "cos",
    "tan": "tan", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "sigmoid": "sigmoid", "erf": "erf", "erfc": "erfc", "erfinv": "erfinv",
    "power": "pow", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint",
    "lgamma": "lgamma", "digamma": "digamma", "fmod": "fmod",
}
TESTS = ("isnan", "isinf", "isfinite", "signbit")
DIVISIONS, SHIFTS = ("floor_divide", "remainder", "fmod"), ("left_shift", "right_shift")


def is_compiled(dtype: np.dtype) -> bool:
    """Whether a dtype has a form in registers."""
    return name_of(dtype) in REGISTER


def supported(name: str, dtype: np.dtype) -> bool:
    """Whether `apply` can write operation `name` on operands of `dtype`."""
    if name_of(dtype) not in REGISTER:
        return False
    floating = REGISTER[name_of(dtype)] in ("float", "double")
    if name in MATHS and (floating or name not in DIVISIONS):
        return floating and MATHS[name] in vector_math.FUNCTIONS
    if name in DIVISIONS or name in SHIFTS:
        return not floating and dtype.kind != "b"
    if name in ("divide", "fma", "reciprocal", "copysign", "isnan", "isinf", "isfinite"):
        return floating
    if name == "signbit":
        return floating or dtype.kind == "i"
    return name in ARITHMETIC or name in BITS or name in CONDITIONS or name in (
        "negative", "absolute", "maximum", "minimum", "fmax", "fmin", "square", "sign", "invert",
        "logical_not", "where", "cast",
    )


def apply(f: Function, name: str, dtype: np.dtype, lanes: int, *xs: str) -> str:
    """Operation `name` on operands of `dtype` (`where`: of its last two)."""
    t = REGISTER[name_of(dtype)]
    v = vector(t, lanes)
    floating = t in ("float", "double")
    if name == "where":
        return f.op(f"select {vector('i1', lanes)} {xs[0]}, {v} {xs[1]}, {v} {xs[2]}")
    if name in CONDITIONS:
        signed, unsigned, ordered = CONDITIONS[name]
        how = f"fcmp {ordered}" if floating else f"icmp {signed if dtype.kind == 'i' else unsigned}"
        return f.op(f"{how} {v} {xs[0]}, {xs[1]}")
    if name in BITS:
        return f.op(f"{BITS[name]} {v} {xs[0]}, {xs[1]}")
    if floating:
        made = _floating(f, name, t, lanes, xs)
        return made if name in TESTS else rounded(f, made, dtype, lanes)
    return _whole(f, name, dtype, lanes, xs)


def _floating(f: Function, name: str, t: str, lanes: int, xs) -> str:
    v = vector(t, lanes)
    x = xs[0]
    if name in ARITHMETIC:
        return f.op(f"{ARITHMETIC[name][1]} {v} {x}, {xs[1]}")
    if name in MATHS:
        return vector_math.emit(f, MATHS[name], t, lanes, *xs)
    number = lambda n: splat_literal(t, lanes, float_literal(n, t))  # noqa: E731
    call = lambda what, *a: f.intrinsic(f"llvm.{what}.{_suffix(t, lanes)}", v, *a)  # noqa: E731
    if name == "fma":
        return call("fma", (v, x), (v, xs[1]), (v, xs[2]))
    if name == "negative":
        return f.op(f"fneg {v} {x}")
    if name == "square":
        return f.op(f"fmul {v} {x}, {x}")
    if name == "reciprocal":
        return f.op(f"fdiv {v} {number(1.0)}, {x}")
    if name == "absolute":
        return call("fabs", (v, x))
    if name == "copysign":
        return call("copysign", (v, x), (v, xs[1]))
    if name in ("maximum", "minimum"):  # the first operand's NaN passes the comparison
        how = "ugt" if name == "maximum" else "ult"
        ordered = f.op(f"fcmp {how} {v} {x}, {xs[1]}")
        picked = _select(f, lanes, v, ordered, x, xs[1])
        if not xs[1].startswith("%"):
            return picked  # (a literal is no NaN)
        strange = f.op(f"fcmp uno {v} {xs[1]}, {xs[1]}")
        return _select(f, lanes, v, strange, xs[1], picked)
    if name in ("fmax", "fmin"):
        return call("maxnum" if name == "fmax" else "minnum", (v, x), (v, xs[1]))
    if name == "isnan":
        return f.op(f"fcmp uno {v} {x}, {x}")
    if name in ("isinf", "isfinite"):
        size = call("fabs", (v, x))
        how = "oeq" if name == "isinf" else "one"
        return f.op(f"fcmp {how} {v} {size}, {number(float('inf'))}")
    if name == "signbit":
        bits = "i32" if t == "float" else "i64"
        raw = f.op(f"bitcast {v} {x} to {vector(bits, lanes)}")
        return f.op(f"icmp slt {vector(bits, lanes)} {raw}, {splat_literal(bits, lanes, '0')}")
    if name == "sign":
        zero = number(0.0)
        up = f.op(f"fcmp ogt {v} {x}, {zero}")
        down = f.op(f"fcmp olt {v} {x}, {zero}")
        low = _select(f, lanes, v, down, number(-1.0), f.op(f"fmul {v} {x}, {zero}"))
        return _select(f, lanes, v, up, number(1.0), low)
    raise KeyError(name)


def _whole(f: Function, name: str, dtype: np.dtype, lanes: int, xs) -> str:
    t = REGISTER[name_of(dtype)]
    v = vector(t, lanes)
    x = xs[0]
    if dtype.kind == "b" and name in ("add", "multiply", "maximum", "minimum"):
        return f.op(f"{'or' if name in ('add', 'maximum') else 'and'} {v} {x}, {xs[1]}")
    if name in ARITHMETIC:
        return f.op(f"{ARITHMETIC[name][0]} {v} {x}, {xs[1]}")
    if name in DIVISIONS or name in SHIFTS:
        how = integer_division.divided if name in DIVISIONS else integer_division.shifted
        return how(name, dtype, *[Value(f, t, lanes, y) for y in xs]).name
    zero, ones = splat_literal(t, lanes, "0"), splat_literal(t, lanes, "-1" if t != "i1" else "1")
    if name == "negative":
        return f.op(f"sub {v} {zero}, {x}")
    if name == "square":
        return f.op(f"mul {v} {x}, {x}")
    if name in ("invert", "logical_not"):
        return f.op(f"xor {v} {x}, {ones}")
    if name in ("maximum", "minimum", "fmax", "fmin"):
        how = ("s" if dtype.kind == "i" else "u") + ("max" if "max" in name else "min")
        return f.intrinsic(f"llvm.{how}.{_suffix(t, lanes)}", v, (v, x), (v, xs[1]))
    if name == "absolute":
        if dtype.kind != "i":
            return x
        minus = f.op(f"sub {v} {zero}, {x}")
        return f.intrinsic(f"llvm.smax.{_suffix(t, lanes)}", v, (v, x), (v, minus))
    if name == "signbit":
        return f.op(f"icmp slt {v} {x}, {zero}")
    if name == "sign":
        up = f.op(f"zext {vector('i1', lanes)} {f.op(f'icmp sgt {v} {x}, {zero}')} to {v}") \
            if t != "i1" else x
        if dtype.kind != "i":
            some = f.op(f"icmp ne {v} {x}, {zero}")
            return some if t == "i1" else f.op(f"zext {vector('i1', lanes)} {some} to {v}")
        down = f.op(f"sext {vector('i1', lanes)} {f.op(f'icmp slt {v} {x}, {zero}')} to {v}")
        return f.op(f"or {v} {up}, {down}")
    raise KeyError(name)


def _select(f: Function, lanes: int, v: str, condition: str, a: str, b: str) -> str:
    return f.op(f"select {vector('i1', lanes)} {condition}, {v} {a}, {v} {b}")


# ---------------------------------------------------------------- reductions

COMBINE = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum", "any": "logical_or",
           "all": "logical_and"}


def identity(kind: str, dtype: np.dtype) -> str:
    """The literal that leaves a reduction as it is."""
    if kind in ("sum", "any"):
        return literal(0, dtype)
    if kind in ("prod", "all"):
        return literal(1, dtype)
    if REGISTER[name_of(dtype)] in ("float", "double"):
        return literal(float("-inf" if kind == "max" else "inf"), dtype)
    if dtype.kind == "b":
        return "0" if kind == "max" else "1"
    info = np.iinfo(dtype)
    return str(info.min if kind == "max" else info.max)


def across(f: Function, kind: str, dtype: np.dtype, lanes: int, x: str) -> str:
    """All lanes combined, by halves: a tree that depends on the number of lanes only."""
    t = REGISTER[name_of(dtype)]
    while lanes > 1:
        half_lanes = lanes // 2
        v = vector(t, lanes)
        low, high = (
            f.op(f"shufflevector {v} {x}, {v} poison, <{half_lanes} x i32> "
                 f"<{', '.join(f'i32 {i + start}' for i in range(half_lanes))}>")
            for start in (0, half_lanes)
        )
        if half_lanes == 1:
            low, high = (f.op(f"extractelement <1 x {t}> {y}, i64 0") for y in (low, high))
        x = apply(f, COMBINE[kind], dtype, half_lanes, low, high)
        lanes = half_lanes
    return x
