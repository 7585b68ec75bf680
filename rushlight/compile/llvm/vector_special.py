"""erf and its relatives, the gamma function's logarithm and derivative (see `vector_math.py`)."""

from __future__ import annotations

import math

from .vector_exponential import FORMATS, LOG2_E, exp, reduced_exp
from .vector_logarithm import LN2, exp2_short, in_double, log, log1p, log2_short
from .vector_trigonometric import SIN, TAN, odd_polynomial
from .vector_values import Value, fma, fma_once, polynomial

# -log(1 - erf(x)) / x from 0 to the last number, less the first: 2**-27.9 and 2**-57.4 of erf
ERF = {
    "float": (
        -5.402377922791857e-08, 0.6366193890571594, 0.10277775675058365, -0.019152777269482613,
        -0.00016094610327854753, 0.0016675943043082952, -0.0006331540062092245,
        0.00011773160804295912, -9.266494089388289e-06,
    ),
    "double": (
        9.576974925975138e-18, 0.6366197723675836, 0.1027726033017897, -0.019128447005096135,
        -0.00020919469451241614, 0.0016962063832984611, -0.0005901255411179941,
        2.5878564822369006e-05, 6.449195719574021e-05, -2.9724223055620522e-05,
        3.4075150902874786e-06, 2.8348655915110086e-06, -1.7413096125096223e-06,
        3.3620168699235186e-07, 1.3727051819833513e-07, -1.417998175785873e-07,
        6.574619915884994e-08, -2.0965947223061346e-08, 4.998347171229492e-09,
        -9.083126135959732e-10, 1.2484905557122086e-10, -1.2611300118001951e-11,
        8.845360233097245e-13, -3.8502183045419675e-14, 7.833061085612311e-16,
    ),
}  # fmt: skip
ERF_FIRST = {"float": 1.128379225730896, "double": 1.1283791670955126}  # 2 / sqrt(pi)
ERF_ONE = {"float": 3.93, "double": 5.93}  # erf rounds to 1 above
# (1 + 2 x) exp(x**2) erfc(x) in (x - 4) / (x + 4), x from 0 to 26.6: 2**-@D@
ERFC = (
1.0,
)  # fmt: skip
# the same up to 10.1: 2**-30.6
ERFC_SHORT = (
    1.232995118737861, -0.139621130645355, 0.015379629364206343, 0.06809782988602164,
    -0.10103780587603409, 0.09372136006567922, -0.06635467353456084, 0.03722164408273105,
    -0.016024456833743664, 0.005043895875637345, -0.00113595114228989, -0.0006417379042840262,
)  # fmt: skip
# erfinv(x) / x in sqrt(2 - log(1 - x**2)), for 1 - x from 2**-54: 2**-@I@
ERFINV = (
    40.96743504150163, -250.2756812067435, 706.2472728629363, -1198.6390961390691,
    1354.6985200293013, -1056.7726345406622, 558.3054017755618, -170.49770490605576,
    -4.124260844048238, 37.265395412568026, -23.5948683868642, 9.224230149443352,
    -2.6079788036141354, 0.5586680776963222, -0.09196267406574911, 0.011606349016187139,
    -0.0011058226710283644, 7.708496996412829e-05, -3.713288276900345e-06, 1.1054619377667076e-07,
    -1.5332164900799655e-09,
)  # fmt: skip
# lgamma(x) / ((x - 1) (x - 2)) in (x - 1.5) / (x + 1), x from 0.5 to 2.5: 2**-@L@
LGAMMA = (
1.0,
)  # fmt: skip
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)  # B2, B4, ...


def erf(x: Value) -> Value:
    """1 - exp(-q(|x|)) with |x|'s sign."""
    q, scale = reduced_exp(-_erf_power(x.absolute().at_most(ERF_ONE[x.type])))
    return (1.0 - scale - q * scale).with_sign_of(x)


def _erf_power(a: Value) -> Value:
    """-log(1 - erf(a)), a not negative."""
    return fma(a, ERF_FIRST[a.type], a * polynomial(a, ERF[a.type]))


def erfc(x: Value) -> Value:
    """1 - erf(x): exp(-x**2) times a function that is nearly 1 / (1 + 2|x|), in double."""
    single = x.type == "float"
    wide = x.convert("fpext", "double") if single else x
    a = wide.absolute().at_most(28.0)
    t = (a - 4.0) / (a + 4.0)
    factor = polynomial(t, ERFC_SHORT if single else ERFC) / fma(a, 2.0, 1.0)
    square = a * a
    if single:
        result = exp2_short(square * -LOG2_E) * factor
    else:
        k = 512  # keeps all but the result from being denormal
        q, scale = reduced_exp(-square, k)
        result = fma(q, scale, scale) * factor
        result = fma(-result, fma_once(a, a, -square), result) * 2.0**-k
    result = (2.0 - result).where(wide < 0.0, result)
    return result.convert("fptrunc", "float") if single else result


def erfinv(x: Value) -> Value:
    """The inverse of erf: a polynomial, for doubles then a step of Halley's method."""
    single = x.type == "float"
    wide = x.convert("fpext", "double") if single else x
    a = wide.absolute()
    square_root = fma(log2_short((1.0 - a) * (a + 1.0)), -LN2, 2.0).call("sqrt")
    y = a * polynomial(square_root, ERFINV)
    if not single:
        power = _erf_power(y)
        slope = ERF_FIRST["double"] * exp(power - y * y)
        step = (power + log1p(-a)) / slope
        y = y - step * fma(step, slope * 0.5 - y, 1.0)
    y = y.where(a < 1.0, y.constant(math.inf).where(a.equals(1.0), math.nan)).with_sign_of(wide)
    return y.convert("fptrunc", "float") if single else y


@in_double
def lgamma(x: Value) -> Value:
    """log|gamma(x)|: a polynomial from 1/2 to 5/2, Stirling's series above 17/2.

    In between, and for |x| < 1/2, gamma(x + 1) = x gamma(x); below -1/2 the reflection.
    """
    a = x.absolute()
    tiny, reflect = a < 0.5, x <= -0.5
    y = (x + 1.0).where(tiny, a)
    product = y.constant(1.0)
    rest = y
    for _ in range(6):
        lower = rest - 1.0
        above = rest > 2.5
        product = (product * lower).where(above, product)
        rest = lower.where(above, rest)
    near = (rest - 1.0) * (rest - 2.0) * polynomial((rest - 1.5) / (rest + 1.0), LGAMMA)
    large = y > 8.5
    core = _stirling(y).where(large, near)
    divisor = y.constant(1.0).where(large, 1.0 / product)
    divisor = a.where(tiny, divisor)
    fraction = x - x.round()
    sine = odd_polynomial(fraction * math.pi, SIN["double"]).absolute()
    divisor = (a * sine / divisor * (1 / math.pi)).where(reflect, divisor)
    result = (-core).where(reflect, core) - log(divisor)
    pole = divisor.equals(0.0) | a.equals(math.inf)
    return x.constant(math.inf).where(pole, result)


def _stirling(x: Value) -> Value:
    """log gamma of large numbers."""
    inverse = 1.0 / x
    terms = [b / ((2 * k + 2) * (2 * k + 1)) for k, b in enumerate(BERNOULLI)]
    series = inverse * polynomial(inverse * inverse, terms)
    return fma(x - 0.5, log(x) - 1.0, series + (0.5 * math.log(2 * math.pi) - 0.5))


@in_double
def digamma(x: Value) -> Value:
    """The derivative of lgamma: an asymptotic series above 10, shifts by 10, the reflection."""
    reflect = x < 0.0
    y = (1.0 - x).where(reflect, x)
    above, below = y.constant(1.0), y
    for k in range(1, 10):
        factor = y + float(k)
        above, below = fma(above, factor, below), below * factor
    small = y < 10.0
    z = (y + 10.0).where(small, y)
    inverse = 1.0 / z
    square = inverse * inverse
    terms = [b / (2 * k + 2) for k, b in enumerate(BERNOULLI)]
    result = log(z) - fma(square, polynomial(square, terms), inverse * 0.5)
    result = (result - above / below).where(small, result)
    fraction = x - x.round()
    size = fraction.absolute()
    steep = size > 0.25
    t = odd_polynomial((0.5 - size).where(steep, size) * math.pi, TAN["double"])
    cotangent = t.where(steep, 1.0 / t).with_sign_of(fraction)
    reflected = fma(cotangent, -math.pi, result).where(size > 0.0, math.nan)
    return reflected.where(reflect, result)
