"""exp, log, powers and hyperbolic functions on vectors (see `vector_math.py`).

Coefficients are near-minimax on the interval in the comment beside them, with the greatest relative
error of the function; `benchmarks/fit_polynomials.py` makes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .vector_values import Value, fma, polynomial

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
    "double": (
        0.6931471805599453, 0.24022650695910064, 0.05550410866482214, 0.009618129107629922,
        0.0013333558146389026, 0.00015403530392444067, 1.5252733815597589e-05,
        1.3215487068823968e-06, 1.0178084565721739e-07, 7.05486985406534e-09,
        4.445581848422549e-10, 2.57090688909269e-11, 1.37423152823344e-12, 5.919268418087728e-14,
    ),
}  # fmt: skip
# (tanh(x) - x) / x**3 in x**2 for |x| < 0.63: 2**-27.6 and 2**-61.0
TANH_SMALL = {
    "float": (
        -0.33333277702331543, 0.13331325352191925, -0.053729742765426636,
        0.020605728030204773, -0.005666767712682486,
    ),
    "double": (
        -0.3333333333333331, 0.1333333333332917, -0.05396825396574087, 0.021869488459998757,
        -0.008863234174711295, 0.003592112635650642, -0.0014557171401146953,
        0.0005894141070610979, -0.0002369057226630181, 9.137009374755813e-05,
        -2.9995675121029414e-05, 5.957469229988741e-06,
    ),
}  # fmt: skip
# (sinh(x) - x) / x**3 in x**2 for |x| < 1: 2**-31.4 and 2**-61.6
SINH_SMALL = {
    "float": (
        0.1666666716337204, 0.008333314210176468, 0.00019841887115035206, 2.788703568512574e-06,
    ),
    "double": (
        0.16666666666666669, 0.008333333333332943, 0.00019841269841555314, 2.755731912313017e-06,
        2.505212782405923e-08, 1.6056942742710058e-10, 7.767109844361302e-13,
    ),
}  # fmt: skip


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


def sigmoid(x: Value) -> Value:
    """c - c e / (1 + e) with e = exp(-|x|), c = exp(min(x, 0)): more exact than c / (1 + e).

    Both are times 2**k, so that only the result is denormal.
    """
    form = FORMATS[x.type]
    k = form.bias // 2 + 1
    q, scale = reduced_exp((-x.absolute()).at_least(form.exp_low), k)
    e = fma(q, scale, scale)
    c = e.where(x < 0.0, 2.0**k)
    return fma(-c, e / (e + 2.0**k), c) * 2.0**-k


def tanh(x: Value) -> Value:
    """1 - 2 / (exp(2|x|) + 1), an odd polynomial near 0."""
    form = FORMATS[x.type]
    a = x.absolute()
    q, scale = reduced_exp((a + a).at_most(math.log(form.digits) + 2))
    large = 1.0 - 2.0 / (fma(q, scale, scale) + 1.0)
    z = x * x
    small = fma(a, z * polynomial(z, TANH_SMALL[x.type]), a)
    return small.where(a < 0.625, large).with_sign_of(x)


def sinh(x: Value) -> Value:
    """(e - 1 / e) / 2, an odd polynomial near 0."""
    a = x.absolute()
    quarter = _quarter_exp(a)
    large = quarter - 0.0625 / quarter
    z = x * x
    small = fma(a, z * polynomial(z, SINH_SMALL[x.type]), a)
    return small.where(a < 1.0, large + large).with_sign_of(x)


def cosh(x: Value) -> Value:
    """(e + 1 / e) / 2."""
    quarter = _quarter_exp(x.absolute())
    sum = quarter + 0.0625 / quarter
    return sum + sum


def _quarter_exp(a: Value) -> Value:
    """exp(a) / 4 for a >= 0: finite where exp(a) / 2 is."""
    q, scale = reduced_exp(a.at_most(FORMATS[a.type].exp_high + 0.5), -2)
    return fma(q, scale, scale)


def expm1(x: Value) -> Value:
    """exp(x) - 1 = 2 (2**(n - 1) (exp(r) - 1) + 2**(n - 1) - 1/2), with r's rounding error in it."""
    form = FORMATS[x.type]
    bounded = x.at_least(-math.log(form.digits) - 2).at_most(form.exp_high)
    shift = form.rounder + form.bias - 1
    n, scale = split_power(fma(bounded, LOG2_E, shift), shift)
    high, low = fma(n, -form.ln2[0], bounded), n * -form.ln2[1]
    r = high + low
    rest = fma(r * r, polynomial(r, EXP_NARROW[x.type]), low)
    half = fma(scale, rest, fma(scale, high, scale - 0.5))
    return x.where(x.absolute() < 0.25 / form.digits, half + half)


def exp2(x: Value, low: Value | None = None) -> Value:
    """2**2n 2**r with |r| <= 1, n and r exact. `low` is a small addition to x."""
    form = FORMATS[x.type]
    shift = form.rounder + form.bias
    least = -1.0 - form.bias - form.mantissa
    x = x.at_least(least).at_most(form.bias + 2.0)
    n, scale = split_power(fma(x, 0.5, shift), shift)
    r = fma(n, -2.0, x)
    if low is not None:
        r = r + low
    return fma(r, polynomial(r, EXP2_WIDE[x.type]), 1.0) * scale * scale
