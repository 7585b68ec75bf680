"""Elementwise arithmetic and functions: one output element from one element of each input."""

from __future__ import annotations

import functools
import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import BoolTensor, Scalar, Tensor, function, op
from . import rules

NUMBERS = (bool, int, float, complex)
ARITHMETIC = {"compute": "result", "inplace": True}


def conj_of(t):
    """The conjugate of a complex tensor; a real tensor itself."""
    return t.conj() if t.is_complex() else t


def no_bool(rule, name: str):
    """`rule`, refusing two boolean operands as PyTorch does for `name`."""

    @rules.cached
    def checked(*metas) -> Meta:
        out = rule(*metas)
        if out.dtype is dtypes.bool_:
            rules.fail(
                RuntimeError,
                f"{name}: boolean operands are not supported; use logical_not, logical_xor or "
                "bitwise operators instead",
            )
        return out

    return checked


# ---------------------------------------------------------------- arithmetic


@op(
    rules.broadcast,
    gradient={"input": lambda g: g, "other": lambda g: g},
    api="",
    **ARITHMETIC,
)
def _add(input: Tensor, other: Tensor):
    """`input + other`."""
    return np.add(input, other)


@op(
    no_bool(rules.broadcast, "sub"),
    gradient={"input": lambda g: g, "other": lambda g: -g},
    api="",
    **ARITHMETIC,
)
def _sub(input: Tensor, other: Tensor):
    """`input - other`."""
    return np.subtract(input, other)


@op(
    rules.broadcast,
    gradient={
        "input": lambda g, other: g * conj_of(other),
        "other": lambda g, input: g * conj_of(input),
    },
    aliases=("multiply",),
    **ARITHMETIC,
)
def mul(input: Tensor, other: Tensor):
    """`input * other`, broadcast; dtypes are promoted."""
    return np.multiply(input, other)


def _scaled(other, alpha, like):
    """`other * alpha`, for add and sub."""
    if isinstance(alpha, NUMBERS):
        if isinstance(alpha, bool) and isinstance(like, (int, float)):
            alpha = int(alpha)
        if alpha == 1:
            return other
    if isinstance(alpha, float) and not _may_be_float(other):
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    return other * alpha


def _may_be_float(x) -> bool:
    if hasattr(x, "dtype"):
        return x.dtype.category >= dtypes.FLOAT
    return isinstance(x, NUMBERS[2:])


@function(aliases=(), inplace=True, out=True)
def add(input: Tensor, other: Tensor, *, alpha: Scalar = 1):
    """`input + alpha * other`, broadcast; dtypes are promoted."""
    if alpha.__class__ is not int or alpha != 1:
        other = _scaled(other, alpha, input)
    return _add(input, other)


@function(aliases=("subtract",), inplace=True, out=True)
def sub(input: Tensor, other: Tensor, *, alpha: Scalar = 1):
    """`input - alpha * other`, broadcast; dtypes are promoted."""
    if alpha.__class__ is not int or alpha != 1:
        other = _scaled(other, alpha, input)
    return _sub(input, other)


@function(out=True)
def rsub(input: Tensor, other: Tensor, *, alpha: Scalar = 1):
    """`other - alpha * input`."""
    return -_sub(_scaled(input, alpha, other), other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, other: g / conj_of(other),
        "other": lambda g, other, out: -g * conj_of(out / other),
    },
    **ARITHMETIC,
)
def true_divide(input: Tensor, other: Tensor):
    """`input / other`; integers give the default float dtype."""
    return np.divide(input, other)


def _check_zero(other):
    if not (other.all() if hasattr(other, "all") else other):
        raise ZeroDivisionError("ZeroDivisionError: integer division by zero")


def _floor_quotient(a, b):
    """Floor division with Python's rounding; float infinities as PyTorch gives them."""
    kind = np.result_type(a, b).kind
    if kind in "iu":
        if not np.all(b):
            raise RuntimeError("ZeroDivisionError")
        return np.floor_divide(a, b)
    with np.errstate(all="ignore"):
        mod = np.fmod(a, b)
        quotient = (a - mod) / b
        quotient = np.where((mod != 0) & ((np.asarray(b) < 0) != (mod < 0)), quotient - 1, quotient)
        floored = np.floor(quotient)
        floored = np.where(quotient - floored > 0.5, floored + 1, floored)
        result = np.where(quotient != 0, floored, np.copysign(0.0, np.divide(a, b)))
        return np.where(np.asarray(b) == 0, np.divide(a, b), result)


@op(no_bool(rules.broadcast, "floor_divide"), **ARITHMETIC)
def floor_divide(input: Tensor, other: Tensor):
    """The quotient rounded down. RuntimeError for integer division by zero."""
    return _floor_quotient(input, other)


def _flat(g):
    """The gradient of a rounded quotient: zero almost everywhere."""
    from ..trace.layouts import filled

    return filled(g.shape, 0, g.dtype)


ROUNDED = {"gradient": {"input": _flat, "other": _flat}, "api": "", "compute": "result"}


@op(no_bool(rules.broadcast, "div"), **ROUNDED)
def _floor_divide(input: Tensor, other: Tensor):
    """The quotient rounded down, with a gradient (of zeros)."""
    return _floor_quotient(input, other)


@op(no_bool(rules.broadcast, "div"), **ROUNDED)
def _trunc_divide(input: Tensor, other: Tensor):
    """The quotient rounded towards zero."""
    if np.result_type(input, other).kind in "iu":
        if not np.all(other):
            raise RuntimeError("ZeroDivisionError")
        down = np.floor_divide(input, other)
        inexact = np.remainder(input, other) != 0
        return np.where((down < 0) & inexact, down + 1, down)
    return np.trunc(np.divide(input, other))


@function(aliases=("divide",), inplace=True, out=True)
def div(input: Tensor, other: Tensor, *, rounding_mode: str | None = None):
    """`input / other`; rounding_mode None (true division), "trunc" or "floor"."""
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode == "floor":
        return _floor_divide(input, other)
    if rounding_mode == "trunc":
        return _trunc_divide(input, other)
    raise RuntimeError(
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
        f"'{rounding_mode}'"
    )


def _remainder_quotient(g, input, other):
    return -g * div(input, other, rounding_mode="floor")


@op(
    no_bool(rules.broadcast, "remainder"),
    gradient={"input": lambda g: g, "other": _remainder_quotient},
    **ARITHMETIC,
)
def remainder(input: Tensor, other: Tensor):
    """The remainder with the sign of the divisor. RuntimeError for integer division by zero."""
    if np.result_type(input, other).kind in "iu" and not np.all(other):
        raise RuntimeError("ZeroDivisionError")
    return np.remainder(input, other)


@op(
    no_bool(rules.broadcast, "fmod"),
    gradient={
        "input": lambda g: g,
        "other": lambda g, input, other: -g * div(input, other, rounding_mode="trunc"),
    },
    **ARITHMETIC,
)
def fmod(input: Tensor, other: Tensor):
    """The remainder with the sign of the dividend. RuntimeError for integer division by zero."""
    if np.result_type(input, other).kind in "iu" and not np.all(other):
        raise RuntimeError("ZeroDivisionError")
    return np.fmod(input, other)


@rules.cached
def _pow_rule(input: Meta, exponent: Meta) -> Meta:
    return rules.broadcast(input, exponent)


def _pow_input_gradient(g, input, exponent):
    from .comparison import eq

    return where(eq(exponent, 0), 0.0, g * conj_of(exponent * pow(input, exponent - 1)))


def _pow_exponent_gradient(g, input, exponent, out):
    from .comparison import eq, ge

    base_zero = eq(input, 0)
    if not out.is_complex():
        base_zero = base_zero & ge(exponent, 0)
    return where(base_zero, 0.0, g * conj_of(out * log(input)))


@op(
    _pow_rule,
    gradient={"input": _pow_input_gradient, "exponent": _pow_exponent_gradient},
    **ARITHMETIC,
)
def pow(input: Tensor, exponent: Tensor):
    """`input ** exponent`. RuntimeError for integers to negative integer powers."""
    if isinstance(exponent, (int, float)) and not isinstance(exponent, bool):
        if exponent == 2:
            return np.multiply(input, input)
        if exponent == 0.5:
            return np.sqrt(input)
    if np.result_type(input, exponent).kind in "iu":
        if np.any(np.asarray(exponent) < 0):
            if isinstance(exponent, int):
                raise RuntimeError("Integers to negative integer powers are not allowed.")
            safe = np.where(np.asarray(exponent) < 0, 0, exponent)
            base = np.asarray(input)
            negative = np.where(base == 1, 1, np.where(base == -1, 1 - 2 * (exponent & 1), 0))
            return np.where(np.asarray(exponent) < 0, negative, np.power(input, safe))
    return np.power(input, exponent)


@function(inplace=True, out=True)
def float_power(input: Tensor, exponent: Tensor):
    """`input ** exponent` in float64 (or complex128)."""
    def wide(x):
        if not hasattr(x, "to"):
            return x
        return x.to(dtypes.complex128 if x.is_complex() else dtypes.float64)

    if not hasattr(input, "to"):
        exponent = wide(exponent)
        from . import number_tensor

        input = wide(number_tensor(input))
    return pow(wide(input), wide(exponent))


# ---------------------------------------------------------------- one operand


@rules.cached
def _neg_rule(input: Meta) -> Meta:
    if input.dtype is dtypes.bool_:
        rules.fail(
            RuntimeError,
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead.",
        )
    return rules.same(input)


@op(_neg_rule, gradient={"input": lambda g: -g}, aliases=("negative",), **ARITHMETIC)
def neg(input: Tensor):
    """`-input`."""
    return np.negative(input)


@op(_neg_rule, gradient={"input": lambda g: g})
def positive(input: Tensor):
    """`input` itself; RuntimeError for bool."""
    return input.copy()


@rules.cached
def _abs_rule(input: Meta) -> Meta:
    return rules.like(input, dtype=input.dtype.to_real())


@op(
    _abs_rule,
    gradient={"input": lambda g, input: g * sgn(input)},
    aliases=("absolute",),
    inplace=True,
)
def abs(input: Tensor):
    """The absolute value; the modulus of complex numbers."""
    return np.absolute(input)


@op(
    rules.same,
    gradient={"input": lambda g, input_meta: g * 0.0},
    inplace=True,
)
def sign(input: Tensor):
    """-1, 0 or 1 with the sign of each element."""
    if input.dtype.kind == "c":
        raise RuntimeError("Unlike NumPy, torch.sign doesn't allow complex; use torch.sgn")
    if input.dtype.kind == "b":
        return input.copy()
    return np.where(np.isnan(input), input.dtype.type(0), np.sign(input))


def _sgn_gradient(g, input, out):
    if not input.is_complex():
        return g * 0.0
    size = abs(input)
    inner = (g / size - (real_part(g / out) * out / size)) / 2.0
    del inner
    return where(size == 0, 0.0, (g - real_part(g.conj() * out) * out) / size)


def real_part(t):
    """The real part as a complex tensor."""
    return (t + t.conj()) / 2


@op(rules.same, gradient={"input": _sgn_gradient}, inplace=True)
def sgn(input: Tensor):
    """`input / |input|`, 0 at 0; `sign` for real numbers."""
    if input.dtype.kind == "b":
        return input.copy()
    if input.dtype.kind == "c":
        size = np.absolute(input)
        return np.where(size == 0, 0, input / np.where(size == 0, 1, size))
    return np.where(np.isnan(input), input.dtype.type(0), np.sign(input))


def _float_unary(gradient, **options):
    return op(rules.float_unary, gradient={"input": gradient}, **ARITHMETIC, **options)


@_float_unary(lambda g, out: g * conj_of(out))
def exp(input: Tensor):
    """e to the power of each element."""
    return np.exp(input)


@_float_unary(lambda g, out: g * conj_of(out) * math.log(2), aliases=())
def exp2(input: Tensor):
    """2 to the power of each element."""
    return np.exp2(input) if input.dtype.kind != "c" else np.exp(input * math.log(2))


@_float_unary(lambda g, out: g * conj_of(out + 1))
def expm1(input: Tensor):
    """`exp(input) - 1`, precise near 0."""
    return np.expm1(input)


@_float_unary(lambda g, input: g / conj_of(input))
def log(input: Tensor):
    """The natural logarithm."""
    return np.log(input)


@_float_unary(lambda g, input: g / conj_of(input * math.log(2)))
def log2(input: Tensor):
    """The logarithm to base 2."""
    return np.log2(input)


@_float_unary(lambda g, input: g / conj_of(input * math.log(10)))
def log10(input: Tensor):
    """The logarithm to base 10."""
    return np.log10(input)


@_float_unary(lambda g, input: g / conj_of(input + 1))
def log1p(input: Tensor):
    """`log(1 + input)`, precise near 0."""
    return np.log1p(input)


@_float_unary(lambda g, out: g / conj_of(2 * out))
def sqrt(input: Tensor):
    """The square root."""
    return np.sqrt(input)


@_float_unary(lambda g, out: -0.5 * g * conj_of(pow(out, 3)))
def rsqrt(input: Tensor):
    """`1 / sqrt(input)`."""
    return 1 / np.sqrt(input)


@_float_unary(lambda g, out: -g * conj_of(out * out))
def reciprocal(input: Tensor):
    """`1 / input`."""
    return np.reciprocal(input)


@function(inplace=True, out=True)
def square(input: Tensor):
    """`input * input`."""
    return pow(input, 2)


@_float_unary(lambda g, input: g * conj_of(cos(input)))
def sin(input: Tensor):
    """The sine."""
    return np.sin(input)


@_float_unary(lambda g, input: g * conj_of(-sin(input)))
def cos(input: Tensor):
    """The cosine."""
    return np.cos(input)


@_float_unary(lambda g, out: g * conj_of(1 + out * out))
def tan(input: Tensor):
    """The tangent."""
    return np.tan(input)


@_float_unary(lambda g, input: g * conj_of(rsqrt(1 - input * input)), aliases=("arcsin",))
def asin(input: Tensor):
    """The inverse sine."""
    return np.arcsin(input)


@_float_unary(lambda g, input: g * conj_of(-rsqrt(1 - input * input)), aliases=("arccos",))
def acos(input: Tensor):
    """The inverse cosine."""
    return np.arccos(input)


@_float_unary(lambda g, input: g / conj_of(1 + input * input), aliases=("arctan",))
def atan(input: Tensor):
    """The inverse tangent."""
    return np.arctan(input)


@_float_unary(lambda g, input: g * conj_of(cosh(input)))
def sinh(input: Tensor):
    """The hyperbolic sine."""
    return np.sinh(input)


@_float_unary(lambda g, input: g * conj_of(sinh(input)))
def cosh(input: Tensor):
    """The hyperbolic cosine."""
    return np.cosh(input)


@_float_unary(lambda g, out: g * conj_of(1 - out * out))
def tanh(input: Tensor):
    """The hyperbolic tangent."""
    return np.tanh(input)


@_float_unary(lambda g, input: g * conj_of(rsqrt(input * input + 1)), aliases=("arcsinh",))
def asinh(input: Tensor):
    """The inverse hyperbolic sine."""
    return np.arcsinh(input)


@_float_unary(
    lambda g, input: g * conj_of(rsqrt(input - 1) * rsqrt(input + 1)), aliases=("arccosh",)
)
def acosh(input: Tensor):
    """The inverse hyperbolic cosine."""
    return np.arccosh(input)


@_float_unary(lambda g, input: g / conj_of(1 - input * input), aliases=("arctanh",))
def atanh(input: Tensor):
    """The inverse hyperbolic tangent."""
    return np.arctanh(input)


@_float_unary(
    lambda g, out: g * conj_of(out * (1 - out)),
    api="torch Tensor special nn.functional",
    aliases=("expit",),
)
def sigmoid(input: Tensor):
    """`1 / (1 + exp(-input))`."""
    return 1 / (1 + np.exp(-input))


@_float_unary(lambda g, input: g * deriv_sinc(input), api="torch Tensor special")
def sinc(input: Tensor):
    """`sin(pi x) / (pi x)`, 1 at 0."""
    return np.sinc(input)


def deriv_sinc(x):
    """The derivative of sinc."""
    t = x * math.pi
    return where(x == 0, 0.0, math.pi * ((t * cos(t) - sin(t)) / (t * t)))


def _zero_gradient(g):
    return g * 0.0


def _rounding(name, f, doc):
    def reference(input):
        return input.copy() if input.dtype.kind in "iub" else f(input)

    reference.__name__, reference.__doc__ = name, doc
    reference.__annotations__ = {"input": "Tensor"}
    return op(rules.same, gradient={"input": _zero_gradient}, inplace=True)(reference)


floor = _rounding("floor", np.floor, "The largest integer not above each element.")
ceil = _rounding("ceil", np.ceil, "The smallest integer not below each element.")
trunc = _rounding("trunc", np.trunc, "Each element without its fraction.")


@function(aliases=(), inplace=True, out=True)
def fix(input: Tensor):
    """`trunc`."""
    return trunc(input)


@op(rules.same, gradient={"input": _zero_gradient}, inplace=True)
def round(input: Tensor, *, decimals: int = 0):
    """The nearest integer, ties to even; with `decimals`, at that digit."""
    if input.dtype.kind in "iub":
        return input.copy()
    if decimals == 0:
        return np.rint(input)
    scale = input.dtype.type(10.0 ** np.abs(decimals))
    return np.rint(input * scale) / scale if decimals > 0 else np.rint(input / scale) * scale


@op(rules.same, gradient={"input": lambda g: g}, inplace=True)
def frac(input: Tensor):
    """The fraction, with the sign of each element."""
    return input - np.trunc(input)


@_float_unary(lambda g: g * (math.pi / 180))
def deg2rad(input: Tensor):
    """Degrees to radians."""
    return input * (math.pi / 180)


@_float_unary(lambda g: g * (180 / math.pi))
def rad2deg(input: Tensor):
    """Radians to degrees."""
    return input * (180 / math.pi)


@op(
    rules.same,
    gradient={"input": lambda g, input: g * (input.isfinite())},
    inplace=True,
)
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
):
    """NaN and infinities replaced by numbers (0 and the dtype's limits by default)."""
    if input.dtype.kind not in "fc":
        return input.copy()
    return np.nan_to_num(input, nan=nan or 0.0, posinf=posinf, neginf=neginf)


@function(inplace=True, out=True, api="torch Tensor special")
def logit(input: Tensor, eps: float | None = None):
    """`log(x / (1 - x))`, with x clamped to [eps, 1 - eps]."""
    x = input if eps is None else clamp(input, eps, 1 - eps)
    return log(x / (1 - x))


# ---------------------------------------------------------------- two operands


def _prefer(compare):
    def rule(g, input, other):
        won = getattr(input, compare)(other)
        return where(input == other, g / 2, where(won, g, 0.0))

    return rule


@op(
    rules.broadcast,
    gradient={
        "input": lambda g, input, other: where(input == other, g / 2, where(input < other, 0.0, g)),
        "other": lambda g, input, other: where(input == other, g / 2, where(input > other, 0.0, g)),
    },
    compute="result",
)
def maximum(input: Tensor, other: Tensor):
    """The larger of two elements; NaN if one is NaN. Ties share the gradient."""
    return np.maximum(input, other)


@op(
    rules.broadcast,
    gradient={
        "input": lambda g, input, other: where(input == other, g / 2, where(input > other, 0.0, g)),
        "other": lambda g, input, other: where(input == other, g / 2, where(input < other, 0.0, g)),
    },
    compute="result",
)
def minimum(input: Tensor, other: Tensor):
    """The smaller of two elements; NaN if one is NaN. Ties share the gradient."""
    return np.minimum(input, other)


@op(
    rules.broadcast,
    gradient={
        "input": lambda g, input, other: where((input >= other) | other.isnan(), g, 0.0),
        "other": lambda g, input, other: where((input >= other) | other.isnan(), 0.0, g),
    },
    compute="result",
)
def fmax(input: Tensor, other: Tensor):
    """The larger of two elements, the other one where one is NaN."""
    return np.fmax(input, other)


@op(
    rules.broadcast,
    gradient={
        "input": lambda g, input, other: where((input <= other) | other.isnan(), g, 0.0),
        "other": lambda g, input, other: where((input <= other) | other.isnan(), 0.0, g),
    },
    compute="result",
)
def fmin(input: Tensor, other: Tensor):
    """The smaller of two elements, the other one where one is NaN."""
    return np.fmin(input, other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, other: g * other / (input * input + other * other),
        "other": lambda g, input, other: -g * input / (input * input + other * other),
    },
    aliases=("arctan2",),
    **ARITHMETIC,
)
def atan2(input: Tensor, other: Tensor):
    """The angle of the point (other, input)."""
    return np.arctan2(input, other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, out: g * input / out,
        "other": lambda g, other, out: g * other / out,
    },
    **ARITHMETIC,
)
def hypot(input: Tensor, other: Tensor):
    """`sqrt(input^2 + other^2)` without overflow."""
    return np.hypot(input, other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, out: g * exp(input - out),
        "other": lambda g, other, out: g * exp(other - out),
    },
    compute="result",
)
def logaddexp(input: Tensor, other: Tensor):
    """`log(exp(input) + exp(other))` without overflow."""
    return np.logaddexp(input, other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, out: g * exp2(input - out),
        "other": lambda g, other, out: g * exp2(other - out),
    },
    compute="result",
)
def logaddexp2(input: Tensor, other: Tensor):
    """`log2(2^input + 2^other)` without overflow."""
    return np.logaddexp2(input, other)


@op(
    rules.broadcast_float,
    gradient={"input": lambda g, input, out: where(input == 0, 0.0, g * (out / input))},
    **ARITHMETIC,
)
def copysign(input: Tensor, other: Tensor):
    """The magnitude of `input` with the sign of `other`."""
    return np.copysign(input, other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, other: g * where((input == 0) & (other <= 0), 0.0, log(other)),
        "other": lambda g, input, other: g * input / other,
    },
    api="torch Tensor special",
    **ARITHMETIC,
)
def xlogy(input: Tensor, other: Tensor):
    """`input * log(other)`, 0 where input is 0 and other is not NaN."""
    product = input * np.log(other)
    return np.where((np.asarray(input) == 0) & ~np.isnan(other), 0, product)


@op(rules.broadcast, compute="result", inplace=True)
def heaviside(input: Tensor, values: Tensor):
    """0 for negative, 1 for positive, `values` for zero elements."""
    return np.heaviside(input, values)


@op(rules.broadcast, compute="result", inplace=True)
def nextafter(input: Tensor, other: Tensor):
    """The next representable number after `input` towards `other`."""
    return np.nextafter(input, other)


@op(rules.broadcast, compute="result", inplace=True)
def gcd(input: Tensor, other: Tensor):
    """The greatest common divisor of integers."""
    return np.gcd(input, other)


@op(rules.broadcast, compute="result", inplace=True)
def lcm(input: Tensor, other: Tensor):
    """The least common multiple of integers."""
    return np.lcm(input, other)


@function(inplace=True, out=True)
def ldexp(input: Tensor, other: Tensor):
    """`input * 2 ** other`."""
    return input * pow(2.0 if not hasattr(other, "dtype") else other * 0 + 2.0, other)


# ---------------------------------------------------------------- three operands


@rules.cached
def _where_rule(condition: Meta, input: Meta, other: Meta) -> Meta:
    if condition.dtype not in (dtypes.bool_, dtypes.uint8):
        rules.fail(
            RuntimeError,
            f"where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{condition.dtype.name}",
        )
    shape = rules.broadcast_shapes(condition.shape, input.shape, other.shape)
    dtype = rules.promote(input, other)
    return meta(shape, dtype, rules.layout(shape, (condition, input, other)))


@op(
    _where_rule,
    gradient={
        "input": lambda g, condition: _where(condition, g, 0),
        "other": lambda g, condition: _where(condition, 0, g),
    },
    compute="result",
    api="",
)
def _where(condition: BoolTensor, input: Tensor, other: Tensor):
    """`input` where `condition` holds, else `other`."""
    return np.where(condition, input, other)


@function(api="Tensor")
def where(self, condition, other):
    """Elements of this tensor where `condition` holds, else `other`."""
    return _where(condition, self, other)


@function(api="torch", out=True)
def where(condition: Tensor, input=None, other=None):  # noqa: F811 - not the method's order
    """`input` where `condition` holds, else `other`; the indices of true elements without them."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if not hasattr(condition, "dtype"):
        raise TypeError("where(): argument 'condition' (position 1) must be Tensor, not "
                        + type(condition).__name__)
    return _where(condition, input, other)


def _lerp_rule(input: Meta, end: Meta, weight: Meta) -> Meta:
    return rules.like(input, end, weight)


@op(
    rules.cached(_lerp_rule),
    gradient={
        "input": lambda g, weight: g * (1 - weight),
        "end": lambda g, weight: g * weight,
        "weight": lambda g, input, end: g * (end - input),
    },
    **ARITHMETIC,
)
def lerp(input: Tensor, end: Tensor, weight: Tensor):
    """`input + weight * (end - input)`."""
    w = np.asarray(weight)
    near = input + w * (end - input)
    far = end - (end - input) * (1 - w)
    return np.where(np.abs(w) < 0.5, near, far).astype(near.dtype, copy=False)


@function(inplace=True, out=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1):
    """`input + value * tensor1 * tensor2`."""
    product = tensor1 * tensor2
    return _add(input, product if value == 1 else product * value)


@function(inplace=True, out=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1):
    """`input + value * tensor1 / tensor2`."""
    if not (_may_be_float(tensor1) or _may_be_float(tensor2)):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release "
            "addcdiv will perform a true division of tensor1 and tensor2."
        )
    quotient = tensor1 / tensor2
    return _add(input, quotient if value == 1 else quotient * value)


def _clamp_gradient(g, input, min, max):
    inside = input == input
    if min is not None:
        inside = inside & (input >= min)
    if max is not None:
        inside = inside & (input <= max)
    return where(inside, g, 0.0)


@rules.cached
def _clamp_rule(input: Meta, min, max) -> Meta:
    bounds = [m for m in (min, max) if m is not None]
    return rules.like(input, *bounds)


def _low_gradient(g, input, min, max):
    from .comparison import lt

    below = input < min
    if max is not None:
        below = below & lt(min, max)
    return where(below, g, 0.0)


def _high_gradient(g, input, min, max):
    above = input > max
    if min is not None:
        from .comparison import gt

        above = above | gt(min, max)
    return where(above, g, 0.0)


@op(
    _clamp_rule,
    gradient={"input": _clamp_gradient, "min": _low_gradient, "max": _high_gradient},
    compute="result",
    api="",
)
def _clamp(input: Tensor, min: Tensor | None, max: Tensor | None):
    """`input` limited to [min, max]; `max` wins where they cross."""
    result = input
    if min is not None:
        result = np.maximum(result, min)
    if max is not None:
        result = np.minimum(result, max)
    return result


@function(aliases=("clip",), inplace=True, out=True)
def clamp(input: Tensor, min=None, max=None):
    """`input` limited to [min, max] (numbers or tensors); RuntimeError if both are None."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    return _clamp(input, min, max)


@function(inplace=True, out=True)
def clamp_min(input: Tensor, min):
    """`input` limited from below."""
    return _clamp(input, min, None)


@function(inplace=True, out=True)
def clamp_max(input: Tensor, max):
    """`input` limited from above."""
    return _clamp(input, None, max)


# ---------------------------------------------------------------- complex numbers


@rules.cached
def _conj_rule(input: Meta) -> Meta:
    return rules.same(input)


@op(_conj_rule, gradient={"input": lambda g: conj_of(g)}, aliases=("conj_physical",))
def conj(input: Tensor):
    """The complex conjugate; real tensors are copied."""
    return np.conjugate(input)


@rules.cached
def _real_rule(input: Meta) -> Meta:
    if not input.dtype.is_complex:
        return input
    return meta(
        input.shape, input.dtype.to_real(), tuple(2 * s for s in input.strides), 2 * input.offset
    )


@rules.cached
def _imag_rule(input: Meta) -> Meta:
    if not input.dtype.is_complex:
        rules.fail(RuntimeError, "imag is not implemented for tensors with non-complex dtypes.")
    return meta(
        input.shape,
        input.dtype.to_real(),
        tuple(2 * s for s in input.strides),
        2 * input.offset + 1,
    )


@op(_real_rule, gradient={"input": lambda g: g}, view=True, compute="storage")
def real(input: Tensor):
    """The real part, a view."""
    return input.real if input.dtype.kind == "c" else input[...]


@op(
    _imag_rule,
    gradient={"input": lambda g: g * 1j},
    view=True,
    compute="storage",
)
def imag(input: Tensor):
    """The imaginary part, a view. RuntimeError for real tensors."""
    return input.imag


@rules.cached
def _as_real_rule(input: Meta) -> Meta:
    if not input.dtype.is_complex:
        rules.fail(RuntimeError, "view_as_real is only supported for complex tensors")
    return meta(
        (*input.shape, 2),
        input.dtype.to_real(),
        (*(2 * s for s in input.strides), 1),
        2 * input.offset,
    )


@op(
    _as_real_rule, gradient={"input": lambda g: view_as_complex(g.contiguous())}, view=True,
    compute="storage", api="torch",
)
def view_as_real(input: Tensor):
    """A complex tensor as real pairs in a new last dimension, a view."""
    part = input.real
    return np.lib.stride_tricks.as_strided(
        part, (*part.shape, 2), (*part.strides, part.itemsize)
    )


@rules.cached
def _as_complex_rule(input: Meta) -> Meta:
    if input.ndim == 0 or input.shape[-1] != 2:
        rules.fail(RuntimeError, "Tensor must have a last dimension of size 2")
    if input.strides[-1] != 1 or any(s % 2 for s in input.strides[:-1]) or input.offset % 2:
        rules.fail(RuntimeError, "Tensor must have a last dimension with stride 1")
    return meta(
        input.shape[:-1],
        input.dtype.to_complex(),
        tuple(s // 2 for s in input.strides[:-1]),
        input.offset // 2,
    )


@op(
    _as_complex_rule, gradient={"input": lambda g: view_as_real(g.contiguous())}, view=True,
    compute="storage", api="torch",
)
def view_as_complex(input: Tensor):
    """Real pairs in the last dimension as complex numbers, a view."""
    kind = np.complex64 if input.dtype == np.float32 else np.complex128
    return input.view(kind)[..., 0]


@op(
    rules.cached(lambda input: rules.like(input, dtype=rules.float_of(input.dtype).to_real())),
    gradient={"input": lambda g, input: _angle_gradient(g, input)},
)
def angle(input: Tensor):
    """The argument of each number: 0 or pi for real ones."""
    if input.dtype.kind == "c":
        return np.angle(input)
    return np.where(np.isnan(input), np.nan, np.where(input < 0, math.pi, 0.0))


def _angle_gradient(g, input):
    if not input.is_complex():
        return g * 0.0
    return where(input == 0, 0.0, g * (input / (abs(input) ** 2)) * 1j)


@function(api="torch", out=True)
def complex(real: Tensor, imag: Tensor):
    """Complex numbers from their parts."""
    if real.dtype is not imag.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {real.dtype.name} but got scalar type "
            f"{imag.dtype.name} for second argument"
        )
    return real + imag * 1j


@function(api="torch", out=True)
def polar(abs: Tensor, angle: Tensor):
    """Complex numbers from modulus and argument."""
    if abs.dtype is not angle.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {abs.dtype.name} but got scalar type "
            f"{angle.dtype.name} for second argument"
        )
    return complex(abs * cos(angle), abs * sin(angle))


# ---------------------------------------------------------------- error functions


def _by_parts(f, x):
    """`f` on pieces of an array that stay in the cache: for functions of many steps."""
    out = np.empty(x.shape, x.dtype)
    flat, made = np.ascontiguousarray(x).reshape(-1), out.reshape(-1)
    for i in range(0, flat.size, 8192):
        made[i : i + 8192] = f(flat[i : i + 8192].astype(np.float64))
    return out


def _erf(x):
    x = np.asarray(x)
    return _by_parts(_erf_single if x.dtype == np.float32 else _erf_double, x)


def _erf_single(x):
    """erf to the precision of float32: x times a polynomial in x^2 / 8 - 1, for |x| < 4."""
    x = np.clip(x, -4.0, 4.0)
    t = x * x / 8 - 1
    *rest, last = _erf_coefficients()
    total = np.full(x.shape, last)
    for c in reversed(rest):
        total *= t
        total += c
    return total * x


@functools.cache
def _erf_coefficients() -> list[float]:
    """Of the interpolation of erf(x) / x at Chebyshev nodes; its relative error is below 4e-10."""
    def f(t):
        x = [math.sqrt(8 * (v + 1)) for v in t]
        return np.array([math.erf(v) / v for v in x])

    chebyshev = np.polynomial.chebyshev
    return chebyshev.cheb2poly(chebyshev.chebinterpolate(f, 18)).tolist()


def _erf_double(x):
    near = np.abs(x) < 0.7
    series, power = np.zeros(x.shape), np.where(near, x, 0.0) * (2 / math.sqrt(math.pi))
    for n in range(14):  # x - x^3 / 3 + x^5 / 10 - ...
        series += power / (2 * n + 1)
        power *= np.where(near, -x * x, 0.0) / (n + 1)
    return np.where(near, series, np.copysign(1 - _erfc_positive(np.abs(x)), x))


def _erfc(x):
    return _by_parts(_erfc_double, np.asarray(x))


def _erfc_double(x):
    tail = _erfc_positive(np.abs(x))
    return np.where(np.abs(x) < 0.7, 1 - _erf_double(x), np.where(x < 0, 2 - tail, tail))


@functools.cache
def _erfc_series():
    """Chebyshev coefficients of `(1 + 2x) exp(x^2) erfc(x)` in t = (x - 3.75) / (x + 3.75).

    The form is that of Shepherd and Laframboise (Math. Comp. 36, 1981); they are computed here, from
    math.erfc and, where that underflows, the asymptotic series.
    """
    def scaled(x):
        if x < 25:
            return (1 + 2 * x) * math.exp(x * x) * math.erfc(x)
        y = 1 / (2 * x * x)
        return (1 + 2 * x) / (x * math.sqrt(math.pi)) * (1 - y + 3 * y * y - 15 * y**3 + 105 * y**4)

    def f(t):
        return np.array([scaled(3.75 * (1 + v) / (1 - v)) for v in t])

    return np.polynomial.chebyshev.chebinterpolate(f, 40)


def _erfc_positive(x):
    """erfc for x >= 0."""
    t = (x - 3.75) / (x + 3.75)
    scaled = np.polynomial.chebyshev.chebval(np.where(np.isfinite(t), t, 1.0), _erfc_series())
    return np.where(np.isnan(x), x, np.exp(-x * x) * scaled / (1 + 2 * x))


@_float_unary(
    lambda g, input: g * (2 / math.sqrt(math.pi)) * exp(-(input * input)),
    api="torch Tensor special",
)
def erf(input: Tensor):
    """The error function."""
    return _erf(input)


@_float_unary(
    lambda g, input: g * (-2 / math.sqrt(math.pi)) * exp(-(input * input)),
    api="torch Tensor special",
)
def erfc(input: Tensor):
    """`1 - erf(input)`."""
    return _erfc(input)


@_float_unary(lambda g, input: g * digamma(input), api="torch Tensor special", aliases=("gammaln",))
def lgamma(input: Tensor):
    """The logarithm of the absolute value of the gamma function."""

    def one(x):
        if math.isnan(x):
            return math.nan
        if math.isinf(x) or (x <= 0 and x == math.floor(x)):
            return math.inf
        return math.lgamma(x)

    return np.vectorize(one, otypes=[np.float64])(input) if input.size else input.copy()


@_float_unary(lambda g, input: g * _trigamma(input), api="torch Tensor special", aliases=("psi",))
def digamma(input: Tensor):
    """The derivative of lgamma: recurrence to x >= 10, then the asymptotic series."""
    x = np.asarray(input, np.float64)
    reflected = x < 0
    y = np.where(reflected, 1 - x, x)
    total = np.zeros_like(y)
    for _ in range(10):
        small = y < 10
        total = total - np.where(small, 1 / np.where(y == 0, 1, y), 0)
        y = np.where(small, y + 1, y)
    inv = 1 / (y * y)
    series = inv * (1 / 12 - inv * (1 / 120 - inv * (1 / 252 - inv * (1 / 240 - inv / 132))))
    value = total + np.log(y) - 0.5 / y - series
    value = np.where(reflected, value - math.pi / np.tan(math.pi * x), value)
    value = np.where(x == 0, np.copysign(np.inf, -x), value)
    return np.where((x < 0) & (x == np.floor(x)), np.nan, value)


@op(rules.float_unary, compute="result", api="")
def _trigamma(input: Tensor):
    """The second derivative of lgamma."""
    x = np.asarray(input, np.float64)
    total, y = np.zeros_like(x), x.copy()
    for _ in range(15):
        small = y < 15
        total = total + np.where(small, 1 / np.where(y == 0, 1, y * y), 0)
        y = np.where(small, y + 1, y)
    inv = 1 / (y * y)
    return total + 1 / y + inv / 2 + inv / y * (1 / 6 - inv * (1 / 30 - inv / 42))
