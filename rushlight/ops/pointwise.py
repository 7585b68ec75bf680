"""Elementwise arithmetic, extremes and choices: one output element from one of each input."""

from __future__ import annotations

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.modes import is_grad_enabled
from ..trace.operator import BoolTensor, Scalar, Tensor, function, op
from ..trace.promotion import promote
from ..trace.tensor import Tensor as TensorClass
from . import rules
from .values import found

NUMBERS = (bool, int, float, complex)
ARITHMETIC = {"compute": "result", "inplace": True}


def conj_of(t):
    """The conjugate of a complex tensor; a real tensor itself."""
    return t.conj() if t.is_complex() else t


def rounded(name: str):
    """The rule of rounded quotients and remainders: integers and real floats."""
    return rules.only(rules.broadcast, name + "_cpu", dtypes.INTEGER, dtypes.FLOAT)


@op(
    lambda grad, source: rules.same(grad),
    gradient={"grad": lambda g: g, "source": lambda g, source_meta: _zeros(source_meta)},
    compute="storage",
    api="",
)
def _beside(grad: Tensor, source: Tensor):
    """`grad`, as a function of `source` with a derivative of zero."""
    return grad


def _zeros(m: Meta):
    from ..trace.layouts import filled

    return filled(m.shape, 0, m.dtype)


def piecewise(grad, source):
    """The gradient of a piecewise linear function of `source`: its own derivative there is zero.

    With create_graph, PyTorch's such gradients require grad too, though nothing comes of it.
    """
    return _beside(grad, source) if is_grad_enabled() and source.requires_grad else grad


# ---------------------------------------------------------------- arithmetic


@op(
    rules.broadcast,
    gradient={"input": lambda g: g, "other": lambda g: g},
    api="",
    **ARITHMETIC,
    numbers="all",
)
def _add(input: Tensor, other: Tensor):
    """`input + other`."""
    return np.add(input, other)


@rules.cached
def _sub_rule(input: Meta, other: Meta) -> Meta:
    if input.dtype is dtypes.bool_ or other.dtype is dtypes.bool_:
        rules.fail(
            RuntimeError,
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead.",
        )
    return rules.broadcast(input, other)


@op(
    _sub_rule,
    gradient={"input": lambda g: g, "other": lambda g: -g},
    api="",
    **ARITHMETIC,
    numbers="all",
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
    numbers="all",
)
def mul(input: Tensor, other: Tensor):
    """`input * other`, broadcast; dtypes are promoted."""
    return np.multiply(input, other)


@op(
    rules.broadcast,
    gradient={"input": lambda g, alpha: g * conj_of(alpha)},
    api="",
    **ARITHMETIC,
    numbers="all",
)
def _scale(input: Tensor, alpha: Tensor):
    """`input * alpha` by a number, which is no saved tensor: backward() may come again, as PyTorch's does."""
    return np.multiply(input, alpha)


def _scaled(other, alpha, like):
    """`other * alpha`, for add and sub."""
    if isinstance(alpha, NUMBERS):
        if isinstance(alpha, bool):
            if any(isinstance(t, TensorClass) and t.dtype is not dtypes.bool_ for t in (other, like)):
                raise RuntimeError("Boolean alpha only supported for Boolean results.")
            if isinstance(like, (int, float)):
                alpha = int(alpha)
        if alpha == 1:
            return other
    if isinstance(alpha, float) and not (_may_be_float(other) or _may_be_float(like)):
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if isinstance(other, TensorClass) and isinstance(like, TensorClass) and other.dtype is not like.dtype:
        other = other.to(promote(like._s.m, other._s.m))  # (not rounded to a narrower dtype between)
    made = _scale(other, alpha) if isinstance(other, TensorClass) and isinstance(alpha, NUMBERS) else other * alpha
    bools = all(isinstance(t, TensorClass) and t.dtype is dtypes.bool_ for t in (like, other))
    return made.bool() if bools and isinstance(alpha, int) else made


def _may_be_float(x) -> bool:
    if hasattr(x, "dtype"):
        return x.dtype.category >= dtypes.FLOAT
    return isinstance(x, NUMBERS[2:])


@function(aliases=(), inplace=True, out=True)
def add(input: Tensor, other: Tensor, *, alpha: Scalar = 1):
    """`input + alpha * other`, broadcast; dtypes are promoted.

    >>> torch.add(torch.tensor([[1], [2]]), torch.tensor([10, 20]), alpha=2)
    tensor([[21, 41],
            [22, 42]])
    """
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
    if not hasattr(input, "dtype"):
        raise TypeError(f"rsub(): argument 'input' must be Tensor, not {type(input).__name__}")
    return -_sub(_scaled(input, alpha, other), other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, other: g / conj_of(other),
        # not from `out`: programs write into quotients
        "other": lambda g, input, other: -g * conj_of(input / other / other),
    },
    **ARITHMETIC,
    numbers="all",
)
def true_divide(input: Tensor, other: Tensor):
    """`input / other`; integers give the default float dtype."""
    return np.divide(input, other)


def _whole(a, b) -> bool:
    """Whether integers are divided; RuntimeError if one is divided by zero."""
    if np.result_type(a, b).kind not in "iu":
        return False
    if getattr(a, "size", 1) and found(np.equal(b, 0)):  # (where nothing is divided, anything may divide it)
        raise RuntimeError("ZeroDivisionError")
    return True


def _floor_quotient(a, b):
    """Floor division with Python's rounding; float infinities as PyTorch gives them."""
    if _whole(a, b):
        return np.floor_divide(a, b)
    with np.errstate(all="ignore"):
        mod = np.fmod(a, b)
        quotient = (a - mod) / b
        quotient = np.where((mod != 0) & (np.less(b, 0) != (mod < 0)), quotient - 1, quotient)
        floored = np.floor(quotient)
        floored = np.where(quotient - floored > 0.5, floored + 1, floored)
        ratio = np.divide(a, b)
        result = np.where(quotient != 0, floored, np.copysign(ratio.dtype.type(0), ratio))
        return np.where(np.equal(b, 0), ratio, result)


@op(rounded("div_floor"), **ARITHMETIC, numbers="all")
def floor_divide(input: Tensor, other: Tensor):
    """The quotient rounded down. RuntimeError for integer division by zero."""
    return _floor_quotient(input, other)


def _flat(g):
    """The gradient of a rounded quotient: zero almost everywhere."""
    return _zeros(g._s.m)


ROUNDED = {"gradient": {"input": _flat, "other": _flat}, "api": "", "compute": "result"}


@op(rounded("div_floor"), **ROUNDED)
def _floor_divide(input: Tensor, other: Tensor):
    """The quotient rounded down, with a gradient (of zeros)."""
    return _floor_quotient(input, other)


@op(rounded("div_trunc"), **ROUNDED)
def _trunc_divide(input: Tensor, other: Tensor):
    """The quotient rounded towards zero."""
    if _whole(input, other):
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
    rounded("remainder"),
    gradient={"input": lambda g: g, "other": _remainder_quotient},
    **ARITHMETIC,
    numbers="any",
)
def remainder(input: Tensor, other: Tensor):
    """The remainder with the sign of the divisor. RuntimeError for integer division by zero."""
    _whole(input, other)
    return np.remainder(input, other)


@op(
    rounded("fmod"),
    gradient={
        "input": lambda g: g,
        "other": lambda g, input, other: -g * div(input, other, rounding_mode="trunc"),
    },
    **ARITHMETIC,
)
def fmod(input: Tensor, other: Tensor):
    """The remainder with the sign of the dividend. RuntimeError for integer division by zero."""
    _whole(input, other)
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
    if exponent.is_complex():
        input = input + exponent.new_zeros(())  # (complex: the logarithm of a negative number)
    return where(base_zero, 0.0, g * conj_of(out * input.log()))


@op(
    _pow_rule,
    gradient={"input": _pow_input_gradient, "exponent": _pow_exponent_gradient},
    **ARITHMETIC,
    numbers="any",
)
def pow(input: Tensor, exponent: Tensor):
    """`input ** exponent`. RuntimeError for integers to negative integer powers."""
    if isinstance(exponent, (int, float)) and not isinstance(exponent, bool):
        if exponent == 2:
            return np.multiply(input, input)
        if exponent == 0.5:
            return np.sqrt(input)
    if np.result_type(input, exponent).kind in "iu":
        low = np.less(exponent, 0)
        if np.any(low):
            if isinstance(exponent, int):
                raise RuntimeError("Integers to negative integer powers are not allowed.")
            safe = np.where(low, 0, exponent)
            base = np.asarray(input)
            negative = np.where(base == 1, 1, np.where(base == -1, 1 - 2 * (exponent & 1), 0))
            made = np.power(input, safe)
            return np.where(low, negative, made).astype(made.dtype)  # the same dtype on both ways
    return np.power(input, exponent)


@function(inplace=True, out=True)
def float_power(input: Tensor, exponent: Tensor):
    """`input ** exponent` in float64 (or complex128)."""
    def wide(x):
        if not hasattr(x, "to"):
            return x
        return x.to(dtypes.complex128 if x.is_complex() else dtypes.float64)

    if not hasattr(input, "to"):
        if not hasattr(exponent, "to"):
            raise TypeError("float_power(): argument 'input' or 'exponent' must be Tensor")
        exponent = wide(exponent)
        from . import number_tensor

        input = wide(number_tensor(input, dtypes.float64))
    return pow(wide(input), wide(exponent))


# ---------------------------------------------------------------- two operands


def _prefer(compare):
    def rule(g, input, other):
        won = getattr(input, compare)(other)
        return where(input == other, g / 2, where(won, g, 0.0))

    return rule


@op(
    rules.only(rules.broadcast, "maximum", dtypes.BOOL, dtypes.FLOAT),
    gradient={
        "input": lambda g, input, other: where(input == other, g / 2, where(input < other, 0.0, g)),
        "other": lambda g, input, other: where(input == other, g / 2, where(input > other, 0.0, g)),
    },
    compute="result",
    numbers="",
)
def maximum(input: Tensor, other: Tensor):
    """The larger of two elements; NaN if one is NaN. Ties share the gradient."""
    return np.maximum(input, other)


@op(
    rules.only(rules.broadcast, "minimum", dtypes.BOOL, dtypes.FLOAT),
    gradient={
        "input": lambda g, input, other: where(input == other, g / 2, where(input > other, 0.0, g)),
        "other": lambda g, input, other: where(input == other, g / 2, where(input < other, 0.0, g)),
    },
    compute="result",
    numbers="",
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
    numbers="",
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
    numbers="",
)
def fmin(input: Tensor, other: Tensor):
    """The smaller of two elements, the other one where one is NaN."""
    return np.fmin(input, other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, other: g * other / _squares(g, input, other),
        "other": lambda g, input, other: -g * input / _squares(g, input, other),
    },
    aliases=("arctan2",),
    **ARITHMETIC,
    numbers="",
)
def atan2(input: Tensor, other: Tensor):
    """The angle of the point (other, input).

    Gradients beside integers are those of their values; PyTorch squares them in their dtype, where they wrap.
    """
    return np.arctan2(input, other)


def _squares(g, input, other):
    """`input^2 + other^2`, of integers in the gradient's dtype."""
    x, y = [x if x.is_floating_point() else x.to(g.dtype) for x in (input, other)]
    return x * x + y * y


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, out: g * input / out,
        "other": lambda g, other, out: g * other / out,
    },
    **ARITHMETIC,
    numbers="",
)
def hypot(input: Tensor, other: Tensor):
    """`sqrt(input^2 + other^2)` without overflow."""
    return np.hypot(input, other)


def log_sum_of_two(a, b):
    """`log(exp(a) + exp(b))` without overflow; of complex numbers too."""
    if np.result_type(a, b).kind != "c":
        return np.logaddexp(a, b)
    swap = np.real(a) < np.real(b)
    high, low = np.where(swap, b, a), np.where(swap, a, b)
    made = high + np.log1p(np.exp(low - high))
    return np.where(np.isneginf(np.real(low)), high, made)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, other: g / conj_of(1 + (other - input).exp()),
        "other": lambda g, input, other: g / conj_of(1 + (input - other).exp()),
    },
    compute="result",
    numbers="",
)
def logaddexp(input: Tensor, other: Tensor):
    """`log(exp(input) + exp(other))` without overflow."""
    return log_sum_of_two(input, other)


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, other: g / (1 + (other - input).exp2()),
        "other": lambda g, input, other: g / (1 + (input - other).exp2()),
    },
    compute="result",
    numbers="",
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
        "input": lambda g, input, other: g * where((input == 0) & (other <= 0), 0.0, other.log()),
        "other": lambda g, input, other: g * input / other,
    },
    api="torch Tensor special",
    **ARITHMETIC,
    numbers="any",
)
def xlogy(input: Tensor, other: Tensor):
    """`input * log(other)`, 0 where input is 0 and other is not NaN."""
    product = input * np.log(other)
    return np.where(np.equal(input, 0) & ~np.isnan(other), 0, product)


@op(rules.only(rules.broadcast, "heaviside", dtypes.BOOL, dtypes.FLOAT), compute="result", inplace=True, numbers="")
def heaviside(input: Tensor, values: Tensor):
    """0 for negative elements and NaN, 1 for positive ones, `values` for zero."""
    return np.where(np.equal(input, 0), values, np.greater(input, 0))


@op(
    rules.broadcast,
    gradient={
        "input": lambda g, input, other: piecewise(where(input == other, 0.0, g), input),
        "other": lambda g: g * 0.0,  # (also where it is the result, as in PyTorch)
    },
    compute="storage", api="",
)
def _nextafter(input: Tensor, other: Tensor):
    """The next number after `input` of their one dtype towards `other`."""
    return np.nextafter(input, other)


@function(inplace=True, out=True)
def nextafter(input: Tensor, other: Tensor):
    """The next representable number after `input` towards `other`, in their common dtype."""
    for name, x in (("input", input), ("other", other)):
        if not isinstance(x, TensorClass):
            raise TypeError(f"nextafter(): argument '{name}' must be Tensor, not {type(x).__name__}")
    dtype = promote(input._s.m, other._s.m)
    if dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f'"nextafter_cpu" not implemented for \'{dtypes.type_name(dtype)}\'')
    return _nextafter(input.to(dtype), other.to(dtype))


@op(
    rules.only(rules.broadcast, "gcd_cpu", dtypes.INTEGER, dtypes.INTEGER),
    compute="result",
    inplace=True,
    numbers="",
)
def gcd(input: Tensor, other: Tensor):
    """The greatest common divisor of integers."""
    return np.gcd(input, other)


@op(
    rules.only(rules.broadcast, "lcm_cpu", dtypes.INTEGER, dtypes.INTEGER),
    compute="result",
    inplace=True,
    numbers="",
)
def lcm(input: Tensor, other: Tensor):
    """The least common multiple of integers."""
    return np.lcm(input, other)


@op(
    lambda input, other: rules.like(input, other, dtype=input.dtype),
    gradient={"input": lambda g, other: _ldexp(g, other)},
    compute="storage", api="",
)
def _ldexp(input: Tensor, other: Tensor):
    """`input * 2 ** other` of an integer `other`, also where the power alone is too large or too small."""
    k = np.clip(other.astype(np.int64), -2000, 2000)
    half = k // 2
    x = input.astype(np.float64) * np.exp2(half.astype(np.float64))
    return x * np.exp2((k - half).astype(np.float64))


@function(inplace=True, out=True)
def ldexp(input: Tensor, other: Tensor):
    """`input * 2 ** other`."""
    for name, x in (("input", input), ("other", other)):
        if not hasattr(x, "dtype"):
            raise TypeError(f"ldexp(): argument '{name}' must be Tensor, not {type(x).__name__}")
    if input.dtype.category == dtypes.FLOAT and other.dtype.category < dtypes.FLOAT:
        return _ldexp(input, other)
    return input * pow(2.0, other)


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
    """`input` where `condition` holds, else `other`; the indices of true elements without them.

    >>> x = torch.tensor([-1.0, 2.0])
    >>> torch.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if not hasattr(condition, "dtype"):
        raise TypeError("where(): argument 'condition' (position 1) must be Tensor, not "
                        + type(condition).__name__)
    if input.__class__ is int and isinstance(other, TensorClass) and other.dtype.category == dtypes.INTEGER:
        input = dtypes.fit(input, other.dtype)
    elif other.__class__ is int and isinstance(input, TensorClass) and input.dtype.category == dtypes.INTEGER:
        other = dtypes.fit(other, input.dtype)
    return _where(condition, input, other)


def _lerp_rule(input: Meta, end: Meta, weight: Meta) -> Meta:
    if input.dtype.category < dtypes.FLOAT:
        shown = dtypes.type_name(input.dtype)
        rules.fail(NotImplementedError, f'"lerp_kernel" not implemented for \'{shown}\'')
    for name, m in (("end", end), ("weight", weight)):
        if not m.weak and m.dtype is not input.dtype and (name == "end" or m.ndim):
            rules.fail(RuntimeError, f"lerp(): expected dtype {input.dtype.name} for `{name}` but got dtype "
                                     f"{m.dtype.name}")
    return rules.like(input, end, weight)


@op(
    rules.cached(_lerp_rule),
    gradient={
        "input": lambda g, weight: g * conj_of(1 - weight),
        "end": lambda g, weight: g * conj_of(weight),
        "weight": lambda g, input, end: g * conj_of(end - input),
    },
    **ARITHMETIC,
)
def lerp(input: Tensor, end: Tensor, weight: Tensor):
    """`input + weight * (end - input)`.

    >>> torch.lerp(torch.tensor([0.0, 10.0]), torch.tensor([1.0, 20.0]), 0.25)
    tensor([ 0.2500, 12.5000])
    """
    near = input + weight * (end - input)
    far = end - (end - input) * (1 - weight)
    return np.where(np.abs(weight) < 0.5, near, far)


def _common(*tensors):
    """The dtype of a result of all these: PyTorch computes in it from the start."""
    return promote(*[t._s.m for t in tensors])


@function(inplace=True, out=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1):
    """`input + value * tensor1 * tensor2`."""
    common = _common(input, tensor1, tensor2)
    if common.category == dtypes.INTEGER and isinstance(value, NUMBERS):  # (the sum stays one of integers)
        value = dtypes.fit(value, common)
    product = tensor1.to(common) * tensor2.to(common)
    return _add(input, product if value == 1 else product * value)


@function(inplace=True, out=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1):
    """`input + value * tensor1 / tensor2`."""
    if not (_may_be_float(tensor1) or _may_be_float(tensor2)):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release "
            "addcdiv will perform a true division of tensor1 and tensor2."
        )
    common = _common(input, tensor1, tensor2)
    quotient = tensor1.to(common) / tensor2.to(common)
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
    """`input` limited to [min, max] (numbers or tensors); RuntimeError if both are None.

    >>> torch.clamp(torch.tensor([-2, 0, 5]), min=-1, max=3)
    tensor([-1,  0,  3])
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if min.__class__ in NUMBERS or max.__class__ in NUMBERS:
        if complex in (min.__class__, max.__class__):
            raise RuntimeError(f"clamp(): limits must be real numbers, got {min} and {max}")
        d = input.dtype
        if d.category == dtypes.FLOAT or (
            d.category == dtypes.INTEGER and float not in (min.__class__, max.__class__)
        ):
            min = dtypes.fit(min, d) if min.__class__ in NUMBERS else min
            max = dtypes.fit(max, d) if max.__class__ in NUMBERS else max
    return _clamp(input, min, max)


@function(inplace=True, out=True)
def clamp_min(input: Tensor, min):
    """`input` limited from below."""
    return _clamp(input, min, None)


@function(inplace=True, out=True)
def clamp_max(input: Tensor, max):
    """`input` limited from above."""
    return _clamp(input, None, max)
