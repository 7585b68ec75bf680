"""log, powers, roots and inverse hyperbolic functions on vectors (see `vector_math.py`)."""

from __future__ import annotations

import math
from collections.abc import Callable

from .vector_exponential import FORMATS, exp2, split_power
from .vector_values import Value, fma, fma_once, lane_by_lane, polynomial, rarely

INFINITY, NAN, LN2 = math.inf, math.nan, math.log(2.0)
FEW_BITS = {"float": -1 << 12, "double": -1 << 32}  # a mask that leaves 12 or 21 bits
# 1 / ln 2, 1 / ln 10 and log10(2) in two parts, the first with so few bits that products are exact
LOG2_E = {
    "float": (1.44287109375, -0.00017605286103659264),
    "double": (1.442695040255785, 6.331784189566044e-10),
}
LOG10_E = {
    "float": (0.434326171875, -3.168997174817235e-05),
    "double": (0.43429448176175356, 1.414982685385801e-10),
}
LOG10_2 = {
    "float": (0.30103302001953125, -3.0243555500547862e-06),
    "double": (0.30102999566395283, 2.8363394551044964e-14),
}

# (log(1 + x) - x + x**2 / 2) / x**3 for 1 + x from sqrt(1/2) to sqrt(2): 2**-27.3
LOG_FLOAT = (
    0.3333333134651184, -0.250008225440979, 0.2000124305486679, -0.16623319685459137,
    0.14201465249061584, -0.13160282373428345, 0.1276349574327469, -0.0763653963804245,
)  # fmt: skip
# (2 atanh(s) - 2 s) / s**3 in s**2 for (1 + s) / (1 - s) from sqrt(1/2) to sqrt(2): 2**-59.5
LOG_DOUBLE = (
    0.6666666666666734, 0.39999999999415925, 0.28571428742325594, 0.2222219856263723,
    0.18183565606822902, 0.15314001241488903, 0.14796593974419503,
)  # fmt: skip
# for pow of doubles: ((atanh(s) / s - 1) / s**2 - 1/3) / s**2 in s**2: 2**-66 of the logarithm
LOG_REST = (
    0.2000000000000113, 0.14285714285048529, 0.11111111260193339, 0.09090892162278566,
    0.0769337970200022, 0.06628383203736683, 0.06598418889791043,
)  # fmt: skip
THIRD = 0.3333333333333333, 1.850371707708594e-17
TWO_LOG2_E = 2.8853900817779268, 4.0710547481862066e-17
# for pow of floats, in double: log2 as an odd polynomial of s = (m - 1) / (m + 1): 2**-37.7
LOG2_SHORT = (
    2.8853900817900207, 0.9617966733195741, 0.5770835937745968, 0.41167208199739064,
    0.34074318910506085,
)  # fmt: skip
# (2**x - 1) / x for |x| < 1/2: 2**-34.3
EXP2_SHORT = (
    0.6931471807053287, 0.24022651067097156, 0.055504103642717705, 0.009618038069561524,
    0.0013333936295006666, 0.00015466773888188467, 1.5195904009430284e-05,
)  # fmt: skip


def log(x: Value) -> Value:
    """n ln 2 + log(m), m from sqrt(1/2) to sqrt(2)."""
    return _with_special_arguments(x, _log_normal)


def _with_special_arguments(x: Value, normal: Callable[[Value, Value | float], Value]) -> Value:
    """A logarithm: `normal` handles normal numbers, what is not one takes a jump."""
    form = FORMATS[x.type]
    smallest = 1 << form.mantissa
    special = (x.bits() - smallest).compare("uge", form.infinity_bits - smallest)

    def scaled() -> list[Value]:
        small = x < form.smallest_normal
        shift = form.mantissa + 1
        result = normal(
            (x * 2.0**shift).where(small, x), x.constant(shift).where(small, 0.0)
        )
        return [_outside(x, result)]

    return rarely(special, scaled, [normal(x, 0.0)])[0]


def _outside(x: Value, result: Value) -> Value:
    """A logarithm's values outside of the positive numbers."""
    result = result.where(x > 0.0, x.constant(-INFINITY).where(x.equals(0.0), NAN))
    return result.where(x < INFINITY, x.constant(INFINITY).where(x.equals(INFINITY), NAN))


def _log_normal(x: Value, less: Value | float) -> Value:
    return _log_of_parts(*split_exponent(x, less))


def _log_of_parts(n: Value, f: Value) -> Value:
    """n ln 2 + log(1 + f)."""
    high, low = FORMATS[f.type].ln2
    if f.type == "float":
        rest = fma(f, polynomial(f, LOG_FLOAT), -0.5) * f * f
        return fma(n, high, fma(n, low, rest) + f)
    half_square, rest = _log_parts(f)
    return fma(n, high, f - (half_square - fma(n, low, rest)))


def _log_parts(f: Value) -> tuple[Value, Value]:
    """(h, r) with log(1 + f) = f - h + r and h = f**2 / 2, for 1 + f from sqrt(1/2) to sqrt(2)."""
    half_square = f * 0.5 * f
    if f.type == "float":
        return half_square, f * f * f * polynomial(f, LOG_FLOAT)
    s = f / (f + 2.0)
    z = s * s
    return half_square, s * fma(z, polynomial(z, LOG_DOUBLE), half_square)


def log2(x: Value) -> Value:
    """log(x) / ln 2."""
    return _with_special_arguments(x, lambda x, less: _log_base(x, less, 1.0, 0.0, LOG2_E))


def log10(x: Value) -> Value:
    """log(x) / ln 10."""
    unit = LOG10_2[x.type]
    return _with_special_arguments(x, lambda x, less: _log_base(x, less, *unit, LOG10_E))


def _log_base(x: Value, less: Value | float, unit: float, unit_low: float, factors: dict) -> Value:
    """n log(2) + log(m) in another base; the greater part of log(m) has few bits."""
    n, f = split_exponent(x, less)
    half_square, rest = _log_parts(f)
    high = ((f - half_square).bits() & FEW_BITS[x.type]).as_float()
    low = (f - high) - half_square + rest
    factor, factor_low = factors[x.type]
    small = fma(low + high, factor_low, low * factor)
    if unit_low:
        small = fma(n, unit_low, small)
    whole, part = n * unit, high * factor
    sum = whole + part
    return sum + (small + ((whole - sum) + part))


def log1p(x: Value) -> Value:
    """log(u) of u = 1 + x = 2**n (1 + f); f is made from x, which has the bits that u lost."""
    form = FORMATS[x.type]
    n, _, exponent = split_exponent_bits(x + 1.0)
    inverse = (form.one_bits - exponent).as_float()
    result = _log_of_parts(n, fma(x, inverse, inverse - 1.0)).with_sign_of(x)
    special = ~((x > -1.0) & (x < 2.0**100))

    def outside() -> list[Value]:
        large = _outside(x + 1.0, _log_normal(x, 0.0))
        return [large.where(special, result)]

    return rarely(special, outside, [result])[0]


def split_exponent(x: Value, less: Value | float = 0.0) -> tuple[Value, Value]:
    """(n - less, m - 1) with x = 2**n m and m from sqrt(1/2) to sqrt(2), for normal positive x."""
    return split_exponent_bits(x, less)[:2]


def split_exponent_bits(x: Value, less: Value | float = 0.0) -> tuple[Value, Value, Value]:
    """The same, and n in the place of an exponent's bits."""
    form = FORMATS[x.type]
    unit, root = 1 << form.mantissa, ROOT_HALF[x.type]
    above = x.bits() - root
    exponent = above & -unit
    if x.type == "float":
        n = (above >> form.mantissa).convert("sitofp", "float") - less
    else:  # conversions of 64-bit integers are slow; these bits are those of a number near 2**52
        big = 2.0**form.mantissa
        biased = (above + form.one_bits).shift_in_zeros(form.mantissa)
        number = biased | ((form.bias + form.mantissa) << form.mantissa)
        n = number.as_float() - (less + (big + form.bias))
    return n, ((above & (unit - 1)) + root).as_float() - 1.0, exponent


ROOT_HALF = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCD}  # the bits of sqrt(1/2)


def pow(x: Value, y: Value) -> Value:
    """x**y, with C's special cases."""
    a = x.absolute()
    if x.type == "float":
        power = y.convert("fpext", "double") * log2_short(a.convert("fpext", "double"))
        result = exp2_short(power).convert("fptrunc", "float")
    else:
        result = _pow_double(a, y)
    return _pow_special(x, y, a, result)


def log2_short(x: Value) -> Value:
    """log2 of positive normal doubles (and 0, inf, NaN) to 37 bits."""
    n, f = split_exponent(x)
    s = f / (f + 2.0)
    result = fma(s, polynomial(s * s, LOG2_SHORT), n)
    return result.where(x > 0.0, -INFINITY).where(x < INFINITY, x)


def exp2_short(x: Value) -> Value:
    """2**x of doubles to 34 bits, within the range of normal numbers."""
    shift = FORMATS["double"].rounder + FORMATS["double"].bias
    x = x.at_least(-1000.0).at_most(1000.0)
    n, scale = split_power(x + shift, shift)
    r = x - n
    return fma(r * polynomial(r, EXP2_SHORT), scale, scale)


def _pow_double(a: Value, y: Value) -> Value:
    """a**y for a >= 0 by way of a logarithm in two doubles."""
    form = FORMATS["double"]
    small = a < form.smallest_normal
    n, f = split_exponent((a * 2.0**54).where(small, a), a.constant(54.0).where(small, 0.0))
    high, low = _log2_in_two(n, f)
    high = high.where(a > 0.0, -INFINITY).where(a < INFINITY, a)
    power = y * high
    error = fma_once(y, high, -power) + y * low
    return exp2(power, error.where(power.absolute() < 2000.0, 0.0))


def _log2_in_two(n: Value, f: Value) -> tuple[Value, Value]:
    """n + log2(1 + f) as the sum of two doubles, to 64 bits.

    log(m) = 2 s (1 + z (1/3 + z q(z))) with s = f / (2 + f), z = s**2; all but q in two doubles.
    """
    d = f + 2.0
    d_low = f - (d - 2.0)
    inverse = 1.0 / d
    s = f * inverse
    s_low = (fma_once(-s, d, f) - s * d_low) * inverse
    z, z_low = _times((s, s_low), (s, s_low))
    w = z * polynomial(z, LOG_REST)
    third, third_low = f.constant(THIRD[0]), THIRD[1]
    t = third + w
    t_low = (third - t) + w + third_low
    a, a_low = _times((s, s_low), _times((z, z_low), (t, t_low)))
    h = s + a
    h_low = (s - h) + a + (a_low + s_low)
    g, g_low = _times((h, h_low), (f.constant(TWO_LOG2_E[0]), f.constant(TWO_LOG2_E[1])))
    sum = n + g
    return sum, (n - sum) + g + g_low


def _times(a: tuple[Value, Value], b: tuple[Value, Value]) -> tuple[Value, Value]:
    """The product of two numbers in two parts."""
    p = a[0] * b[0]
    return p, fma_once(a[0], b[0], -p) + (a[0] * b[1] + a[1] * b[0])


def _pow_special(x: Value, y: Value, a: Value, result: Value) -> Value:
    """C's special cases of pow, where |x|**y is known for x not 1 and y not 0."""
    result = x.constant(1.0).where(a.equals(1.0) | y.equals(0.0), result)
    whole = y.call("trunc").equals(y)
    half = y * 0.5
    odd = whole & half.call("trunc").compare("une", half)
    negative = result.with_sign_of(x)
    result = negative.where(odd, result)
    invalid = (x < 0.0) & ~whole & (x > -INFINITY)
    result = x.constant(NAN).where(invalid, result)
    return x.constant(1.0).where(x.equals(1.0), result)


def sqrt(x: Value) -> Value:
    """The root, correctly rounded."""
    return x.call("sqrt")


def rsqrt(x: Value) -> Value:
    """1 / sqrt(x)."""
    return 1.0 / sqrt(x)


def cbrt(x: Value) -> Value:
    """2**(log2|x| / 3) with x's sign, for doubles then a step of Newton's method."""
    a = x.absolute()
    if x.type == "float":
        wide = exp2_short(log2_short(a.convert("fpext", "double")) * (1 / 3))
        result = wide.convert("fptrunc", "float")
    else:
        small = a < FORMATS["double"].smallest_normal
        scaled = (a * 2.0**54).where(small, a)
        y = exp2_short(log2_short(scaled) * (1 / 3))
        y = y - (y - scaled / (y * y)) * (1 / 3)
        result = (y * 2.0**-18).where(small, y)
    zero_or_infinite = a.equals(0.0) | a.equals(INFINITY)
    return a.where(zero_or_infinite, result).with_sign_of(x)


def in_double(function: Callable[..., Value]) -> Callable[..., Value]:
    """A function that computes floats as doubles."""

    def wrapped(*given: Value) -> Value:
        if given[0].type == "double":
            return function(*given)
        return function(*(x.convert("fpext", "double") for x in given)).convert("fptrunc", "float")

    return wrapped


@in_double
def asinh(x: Value) -> Value:
    """log(|x| + sqrt(x**2 + 1)) with x's sign."""
    a = x.absolute()
    large = a > 2.0**60
    square = a * a
    inner = a + square / (sqrt(square + 1.0) + 1.0)
    return (log1p(a.where(large, inner)) + x.constant(LN2).where(large, 0.0)).with_sign_of(x)


@in_double
def acosh(x: Value) -> Value:
    """log(x + sqrt(x**2 - 1)); NaN below 1."""
    large = x > 2.0**60
    t = x - 1.0
    inner = t + sqrt(fma(t, t, t + t))
    result = log1p(x.where(large, inner)) + x.constant(LN2).where(large, 0.0)
    return result.where(x >= 1.0, NAN)


@in_double
def atanh(x: Value) -> Value:
    """log((1 + |x|) / (1 - |x|)) / 2 with x's sign; NaN above 1."""
    a = x.absolute()
    twice = a + a
    result = log1p(fma(twice, a / (1.0 - a), twice)) * 0.5
    return result.where(a <= 1.0, NAN).with_sign_of(x)


def fmod(x: Value, y: Value) -> Value:
    """x - trunc(x / y) y, exact; quotients that are too large take a jump."""
    wide = [v.convert("fpext", "double") if x.type == "float" else v for v in (x, y)]
    q = (wide[0] / wide[1]).call("trunc")
    r = fma_once(-q, wide[1], wide[0])
    if x.type == "float":
        r = r.convert("fptrunc", "float")
    else:  # q may be one too large
        beyond = ((r.bits() ^ x.bits()) < 0) & r.compare("one", 0.0)
        r = (r + y.with_sign_of(x)).where(beyond, r)
    size = y.absolute()
    r = x.where(size > x.absolute(), r)
    large = (q.absolute() >= 2.0**28) & (x.absolute() < INFINITY) & (size > 0.0)
    made = rarely(large, lambda: [_remainders(x, y)], [r])[0]
    return made.with_sign_of(x)


def _remainders(x: Value, y: Value) -> Value:
    def scalar(a: Value, b: Value) -> list[Value]:
        return [a.of(f"frem {a.type} {a.name}, {b.name}")]

    return lane_by_lane([x, y], [x], scalar)[0]
