"""erf and its relatives, the gamma function's logarithm and derivative (see `vector_math.py`)."""

from __future__ import annotations

import math

from .vector_exponential import LOG2_E, exp, reduced_exp
from .vector_logarithm import LN2, exp2_short, in_double, log, log1p, log2_short
from .vector_trigonometric import SIN, TAN, odd_polynomial
from .vector_values import Value, fma, fma_once, polynomial

# -log(1 - erf(x)) / x - 1 from 0 to ERF_ONE: 2**-27.6 and 2**-56.1 of erf
ERF = {
    "float": (
        0.12837916612625122, 0.636619508266449, 0.10277695953845978, -0.019150352105498314,
        -0.00016483406943734735, 0.0016710790805518627, -0.0006349001778289676,
        0.0001181864645332098, -9.314253475167789e-06,
    ),
    "double": (
        0.12837916709551256, 0.6366197723675853, 0.1027726033017164, -0.019128447003665422,
        -0.0002091947100640773, 0.0016962064898097809, -0.000590126037433841,
        2.5880221535712297e-05, 6.448784906937639e-05, -2.9716453136834246e-05,
        3.3960856091133882e-06, 2.8481305920510993e-06, -1.7535823966646554e-06,
        3.453167269895652e-07, 1.3181450049000293e-07, -1.3916490858741385e-07,
        6.472149669661759e-08, -2.0646741120486456e-08, 4.919447216455139e-09,
        -8.930690551698114e-10, 1.225998138039371e-10, -1.2366872716726913e-11,
        8.661213373005995e-13, -3.7644097637043045e-14, 7.646949886659265e-16,
    ),
}  # fmt: skip
ERF_ONE = {"float": 3.93, "double": 5.93}  # erf rounds to 1 above
# (1 + 2 x) exp(x**2) erfc(x) in (x - 4) / (x + 4), x from 0 to 26.6: 2**-54.1
ERFC = (
    1.2329951186255526, -0.13962111684056253, 0.015379652102610242, 0.06809705425468882,
    -0.10103906603588855, 0.09373283499855697, -0.06633036581984732, 0.03716751553192844,
    -0.01619773398653276, 0.005031970051995883, -0.0007577736569891435, -0.00019925722580992685,
    0.00015062272323035635, -2.439702102128551e-05, -1.12233469323577e-05, 5.704405367553244e-06,
    2.930755872338831e-07, -8.180859963949009e-07, 7.924769235604185e-08, 1.0519469790943356e-07,
    -2.349593392268509e-08, -1.3668486482360357e-08, 4.174767112131566e-09,
    2.0119568852313544e-09,
)  # fmt: skip
# the same up to 10.1: 2**-30.6
ERFC_SHORT = (
    1.232995118737861, -0.139621130645355, 0.015379629364206343, 0.06809782988602164,
    -0.10103780587603409, 0.09372136006567922, -0.06635467353456084, 0.03722164408273105,
    -0.016024456833743664, 0.005043895875637345, -0.00113595114228989, -0.0006417379042840262,
)  # fmt: skip
# erfinv(x) / x in sqrt(2 - log(1 - x**2)), for 1 - x from 2**-54: 2**-27.1
ERFINV = (
    -199.83615679540944, 1527.4237374890151, -5466.900298653275, 12215.08155713095,
    -19112.290610648, 22270.33423676504, -20066.29815724269, 14330.540293223488,
    -8249.488786619457, 3872.455688710699, -1493.7979480338784, 475.7225996733009,
    -125.31558875605121, 27.286133736557463, -4.893936732384417, 0.718225042367871,
    -0.0853328643638876, 0.008076665685916107, -0.0005944657692205986, 3.2782941110665024e-05,
    -1.2740611763749614e-06, 3.1109516768412424e-08, -3.589179365126187e-10,
)  # fmt: skip
# lgamma(x) / ((x - 1) (x - 2)) in (x - 1.5) / (x + 1), x from 0.5 to 2.5: 2**-54.6
LGAMMA = (
    0.4831289505409809, -0.3648997397857652, 0.028296516930282987, -0.06770234355700276,
    0.0032403440298967427, -0.023209697255009123, -0.0021560641525358456, -0.010264483602239414,
    -0.0029128858681015278, -0.005450238207026007, -0.00259920615140908, -0.003334566848966947,
    -0.00212146700897219, -0.0022771652218559115, -0.0017008005704512688, -0.0016051021500166486,
    -0.0012435607904764303, -0.0013394739966054784, -0.0015926408084034527, -0.001648897516633455,
    -0.0010162959224253516, -0.0002957721324501949,
)  # fmt: skip
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)  # B2, B4, ...


def erf(x: Value) -> Value:
    """1 - exp(-q(|x|)) with |x|'s sign."""
    q, scale = reduced_exp(-_erf_power(x.absolute().at_most(ERF_ONE[x.type])))
    return (1.0 - scale - q * scale).with_sign_of(x)


def _erf_power(a: Value) -> Value:
    """-log(1 - erf(a)), a not negative."""
    return fma(a, polynomial(a, ERF[a.type]), a)


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
        power = _erf_power(y).where(y < 0.5, -log(erfc(y)))
        slope = 2 / math.sqrt(math.pi) * exp(power - y * y)
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
    result = (-core).where(reflect, core) - log(divisor) + 0.0  # (no zero is negative)
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
