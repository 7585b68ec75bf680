"""exp, log, powers and hyperbolic functions on vectors (see `vector_math.py`).

Coefficients are near-minimax on the interval in the comment beside them, with the greatest relative
error of the function; `benchmarks/fit_polynomials.py` makes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .vector_values import Value, fma, polynomial, rarely

INFINITY, NAN = math.inf, math.nan
LOG2_E = 1.4426950408889634


@dataclass(frozen=True)
class Format:
    """What the algorithms need to know of a floating type."""

    mantissa: int  # bits after the point
    bias: int
    digits: float  # x + 1 == x for |x| above
    ln2: tuple[float, float]  # the first part has few bits: its product with an exponent is exact
    exp_low: float  # exp is 0 below
    exp_high: float  # and infinite above

    @property
    def rounder(self) -> float:
        """x + rounder has the integer nearest to x in its low bits."""
        return 1.5 * 2.0**self.mantissa

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def one_bits(self) -> int:
        return self.bias << self.mantissa

    @property
    def infinity_bits(self) -> int:
        return (2 * self.bias + 1) << self.mantissa


FORMATS = {
    "float": Format(23, 127, 2.0**24, (0.693145751953125, 1.428606765330187e-06), -104.0, 89.0),
    "double": Format(
        52, 1023, 2.0**53, (0.693147180559663, 2.8235290563031577e-13), -746.0, 710.0
    ),
}

# (exp(x) - 1 - x) / x**2 for |x| < 1.01 ln 2: 2**-25.9 and 2**-56.2
EXP_WIDE = {
    "float": (
        0.5000003576278687, 0.16666610538959503, 0.04166112095117569, 0.008336251601576805,
        0.0014107695315033197, 0.00019600719679147005,
    ),
    "double": (
        0.4999999999999992, 0.16666666666666977, 0.04166666666670483, 0.008333333333261828,
        0.0013888888883224983, 0.00019841269898319643, 2.480159101159844e-05,
        2.7557299010268485e-06, 2.7556117385907996e-07, 2.505524195516373e-08,
        2.1065619674009664e-09, 1.5927026864604955e-10,
    ),
}  # fmt: skip
# the same, relative to exp(x) - 1, for |x| < 1.01 ln(2) / 2: 2**-26.0 and 2**-55.4
EXP_NARROW = {
    "float": (
        0.4999999701976776, 0.16666539013385773, 0.04166749492287636, 0.008367147296667099,
        0.0013866258086636662,
    ),
    "double": (
        0.5000000000000006, 0.16666666666666574, 0.041666666666570665, 0.008333333333399357,
        0.0013888888933848412, 0.0001984126969978311, 2.4801502284107724e-05,
        2.755742171816556e-06, 2.7627301736626166e-07, 2.5050467715948748e-08,
    ),
}  # fmt: skip
# (2**x - 1) / x for |x| < 1: 2**-26.1
EXP2_WIDE = {
    "float": (
        0.6931472420692444, 0.24022670090198517, 0.05550365895032883, 0.009616794995963573,
        0.0013341708108782768, 0.0001564890262670815, 1.4918606211722363e-05,
    ),
}  # fmt: skip
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
# (tanh(x) - x) / x**3 in x**2 for |x| < 0.63: 2**-27.6
TANH_SMALL = {
    "float": (
        -0.33333277702331543, 0.13331325352191925, -0.053729742765426636,
        0.020605728030204773, -0.005666767712682486,
    ),
}  # fmt: skip
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


def split_power(shifted: Value, shift: float) -> tuple[Value, Value]:
    """(n, 2**(n + k)) of n + shift, where `shift` is the rounder plus bias plus k."""
    scale = (shifted.bits() << FORMATS[shifted.type].mantissa).as_float()
    return shifted - shift, scale


def exp(x: Value) -> Value:
    """2**2n exp(r) with |r| <= ln 2: multiplying by 2**n twice rounds denormals once."""
    form = FORMATS[x.type]
    return _exp(x.at_least(form.exp_low).at_most(form.exp_high))


def _exp(x: Value) -> Value:
    """exp of numbers from exp_low to exp_high, or NaN."""
    form = FORMATS[x.type]
    shift = form.rounder + form.bias
    n, scale = split_power(fma(x, LOG2_E / 2, shift), shift)
    r = fma(n, -2 * form.ln2[1], fma(n, -2 * form.ln2[0], x))
    p = fma(r, fma(r, polynomial(r, EXP_WIDE[x.type]), 1.0), 1.0)
    return p * scale * scale


def reduced_exp(x: Value, k: int = 0) -> tuple[Value, Value]:
    """(exp(r) - 1, 2**(n + k)) with x = n ln 2 + r; both must be normal numbers."""
    form = FORMATS[x.type]
    shift = form.rounder + form.bias + k
    n, scale = split_power(fma(x, LOG2_E, shift), shift)
    r = fma(n, -form.ln2[1], fma(n, -form.ln2[0], x))
    return fma(r * r, polynomial(r, EXP_NARROW[x.type]), r), scale


def log(x: Value) -> Value:
    """n ln 2 + log(m), m from sqrt(1/2) to sqrt(2); what is not a normal number takes a jump."""
    form = FORMATS[x.type]
    special = (x.bits() - (1 << form.mantissa)).compare(
        "uge", form.infinity_bits - (1 << form.mantissa)
    )
    return rarely(special, lambda: [_log_special(x)], [_log_normal(x, 0.0)])[0]


def _log_special(x: Value) -> Value:
    form = FORMATS[x.type]
    small = x < form.smallest_normal
    shift = form.mantissa + 1
    scaled = (x * 2.0**shift).where(small, x)
    less = x.constant(shift).where(small, 0.0)
    result = _log_normal(scaled, less)
    result = result.where(x > 0.0, x.constant(-INFINITY).where(x.equals(0.0), NAN))
    return result.where(x < INFINITY, x.constant(INFINITY).where(x.equals(INFINITY), NAN))


def _log_normal(x: Value, less: Value | float) -> Value:
    form = FORMATS[x.type]
    n, f = split_exponent(x, less)
    if x.type == "float":
        rest = fma(f, polynomial(f, LOG_FLOAT), -0.5) * f * f
        return fma(n, form.ln2[0], fma(n, form.ln2[1], rest) + f)
    half_square = f * 0.5 * f
    s = f / (f + 2.0)
    z = s * s
    rest = fma(s, fma(z, polynomial(z, LOG_DOUBLE), half_square), n * form.ln2[1])
    return fma(n, form.ln2[0], f - (half_square - rest))


def split_exponent(x: Value, less: Value | float = 0.0) -> tuple[Value, Value]:
    """(n - less, m - 1) with x = 2**n m and m from sqrt(1/2) to sqrt(2), for normal positive x."""
    form = FORMATS[x.type]
    unit, root = 1 << form.mantissa, ROOT_HALF[x.type]
    if x.type == "float":
        above = x.bits() - root
        n = (above >> form.mantissa).convert("sitofp", "float") - less
    else:  # there are no conversions of 64-bit integers
        above = x.bits() + (form.one_bits - root)
        big = 2.0**form.mantissa
        number = above.shift_in_zeros(form.mantissa) | ((form.bias + form.mantissa) << form.mantissa)
        n = number.as_float() - (less + (big + form.bias))
    return n, ((above & (unit - 1)) + root).as_float() - 1.0


ROOT_HALF = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCD}  # the bits of sqrt(1/2)


def sigmoid(x: Value) -> Value:
    """exp(min(x, 0)) / (1 + exp(-|x|)), both times 2**k so that only the result is denormal."""
    form = FORMATS[x.type]
    k = form.bias // 2 + 1
    q, scale = reduced_exp((-x.absolute()).at_least(form.exp_low), k)
    e = fma(q, scale, scale)
    return e.where(x < 0.0, 2.0**k) / (e + 2.0**k)


def tanh(x: Value) -> Value:
    """1 - 2 / (exp(2|x|) + 1), an odd polynomial near 0."""
    form = FORMATS[x.type]
    a = x.absolute()
    q, scale = reduced_exp((a + a).at_most(math.log(form.digits) + 2))
    large = 1.0 - 2.0 / (fma(q, scale, scale) + 1.0)
    z = x * x
    small = fma(a, z * polynomial(z, TANH_SMALL[x.type]), a)
    return small.where(a < 0.625, large).with_sign_of(x)


def pow_float(x: Value, y: Value) -> Value:
    """x**y of floats, by way of doubles: exp2(y log2|x|)."""
    a = x.absolute()
    wide = a.convert("fpext", "double")  # has no denormals
    n, f = split_exponent(wide)
    s = f / (f + 2.0)
    log2 = fma(s, polynomial(s * s, LOG2_SHORT), n)
    log2 = log2.where(wide > 0.0, -INFINITY)
    log2 = log2.where(wide < INFINITY, wide)
    power = (y.convert("fpext", "double") * log2).at_least(-200.0).at_most(200.0)
    shift = FORMATS["double"].rounder + FORMATS["double"].bias
    n, scale = split_power(power + shift, shift)
    r = power - n
    result = fma(r * polynomial(r, EXP2_SHORT), scale, scale).convert("fptrunc", "float")
    return pow_special(x, y, a, result)


def pow_special(x: Value, y: Value, a: Value, result: Value) -> Value:
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
