"""sin, cos, tan and their inverses on vectors (see `vector_math.py`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .vector_exponential import FORMATS
from .vector_values import INTEGER, Value, fma, fma_once, lane_by_lane, polynomial, rarely

HALF_PI = {
    "float": (1.5707963705062866, -4.3711390001862426e-08),
    "double": (1.5707963267948966, 6.123233995736766e-17),
}
# pi in parts whose products with an integer or a half below 2**12 (2**25) are exact,
# the last part's apart
PI = {
    "float": (3.140625, 0.0009675025939941406, 1.5099067240953445e-07, 5.126688136514179e-12),
    "double": (
        3.141592651605606, 1.984187036896401e-09, 1.224646802954331e-16, -3.806977924038653e-25,
    ),
}  # fmt: skip
SHORT = {"float": 12800.0, "double": 1.0e8}  # the greatest argument for these parts
# (sin(x) - x) / x**3 in x**2 for |x| < pi/2: 2**-30.8 and 2**-61.6
SIN = {
    "float": (
        -0.1666666716337204, 0.008333348669111729, -0.0001984274131245911,
        2.7606622552411864e-06, -2.5129578418159326e-08,
    ),
    "double": (
        -0.16666666666666666, 0.008333333333333208, -0.0001984126984121336,
        2.755731921174243e-06, -2.5052106921418298e-08, 1.6058941892958759e-10,
        -7.643043171950063e-13, 2.721674643937279e-15,
    ),
}  # fmt: skip
# (tan(x) - x) / x**3 in x**2 for |x| < pi/4: 2**-29.5 and 2**-56.2
TAN = {
    "float": (
        0.33333349227905273, 0.13332673907279968, 0.054059211164712906, 0.021284161135554314,
        0.01083382312208414, 8.899065142031759e-05, 0.004377772565931082,
    ),
    "double": (
        0.33333333333332765, 0.1333333333341633, 0.05396825392585869, 0.02186948962831803,
        0.008863218892224826, 0.003592291538735182, 0.0014547429603027858, 0.0005951282310198455,
        0.000222191425137184, 0.00013691625859141087, -2.6940820651614124e-05,
        8.996578800288207e-05, -4.5155755037992134e-05, 2.0930889273756698e-05,
    ),
}  # fmt: skip
# (asin(x) - x) / x**3 in x**2 for |x| < 1/2: 2**-27.6 and 2**-59.9
ASIN = {
    "float": (
        0.16666752099990845, 0.0749531239271164, 0.045468587428331375, 0.024187911301851273,
        0.042152926325798035,
    ),
    "double": (
        0.1666666666666676, 0.0749999999997088, 0.044642857174548196, 0.030381942710323084,
        0.022372214927942377, 0.017351612912440896, 0.013980811512014826, 0.011398973779530624,
        0.010779970841028351, 0.0037072485371129004, 0.02170593693445737, -0.020997674022375973,
        0.03262822534985124,
    ),
}  # fmt: skip
# (atan(x) - x) / x**3 in x**2 for |x| < 1: 2**-28.5 and 2**-57.6
ATAN = {
    "float": (
        -0.33333298563957214, 0.1999853402376175, -0.14264102280139923, 0.10951509326696396,
        -0.08401601761579514, 0.05792773887515068, -0.031149547547101974, 0.01090004201978445,
        -0.001790479407645762,
    ),
    "double": (
        -0.33333333333333065, 0.1999999999995109, -0.14285714282558135, 0.11111111006616563,
        -0.09090906996915682, 0.07692279778638578, -0.06666403625606174, 0.058805255317850774,
        -0.05253509356222471, 0.04722293458226195, -0.04219108369874861, 0.03664054391620661,
        -0.029901769899949856, 0.021982350279779062, -0.013898235918455789, 0.007194866202133303,
        -0.0028840737880811824, 0.000831020933949279, -0.00015209476944664298,
        1.3218334242374456e-05,
    ),
}  # fmt: skip
# 2**1280 / pi: enough for the product with the greatest double
PI_PLACES, PI_REST = 1280, 1.2246467991473532e-16  # pi - math.pi
INVERSE_PI = int(
    "517cc1b727220a94fe13abe8fa9a6ee06db14acc9e21c820ff28b1d5ef5de2b0db92371d2126e970"
    "0324977504e8c90e7f0ef58e5894d39f74411afa975da24274ce38135a2fbf209cc8eb1cc1a99cfa"
    "4e422fc5defc941d8ffc4bffef02cc07f79788c5ad05368fb69b3f6793e584dba7a31fb34f2ff516"
    "ba93dd63f5f2f8bd9e839cfbc529497535fdafd88fc6ae842b0198237e3db5d5f867de104d7a1b0e",
    16,
)
# bits of 1/pi at hand, and those that are multiplied
PLACES = {"float": (256, 128), "double": (1280, 192)}
STEP = 256


def sin(x: Value) -> Value:
    """(-1)**n sin(r) with x = n pi + r."""
    r, sign = Reduction().apply(x)
    return (_sin(r).bits() ^ sign).as_float()


def cos(x: Value) -> Value:
    """-(-1)**n sin(r) with x = (n + 1/2) pi + r."""
    r, sign = Reduction(cosine=True).apply(x)
    return (_sin(r).bits() ^ sign).as_float()


def tan(x: Value) -> Value:
    """tan(r), or -1 / tan(r) for odd n, with x = n pi/2 + r. For floats in double."""
    wide = x.convert("fpext", "double") if x.type == "float" else x
    r, odd, excess = Reduction(halves=1, excess=True).apply(wide)
    z = r * r
    rest = r * fma(z, polynomial(z, TAN[x.type]), 0.0)
    t = r + rest if x.type == "float" else r - (fma(z, excess, excess) - rest)
    t = (-1.0 / t).where(odd < 0, t)
    return t.convert("fptrunc", "float") if x.type == "float" else t


def _sin(r: Value) -> Value:
    """sin for |r| <= pi/2."""
    return odd_polynomial(r, SIN[r.type])


def odd_polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """x + x**3 (c0 + c1 x**2 + ...); adding 0 keeps the sign of a zero."""
    z = x * x
    return fma(x, fma(z, polynomial(z, coefficients), 0.0), x)


@dataclass(frozen=True)
class Reduction:
    """x = n u + r with |r| <= u/2 and u = pi / 2**halves; or x = (n + 1/2) u + r (`cosine`).

    `apply` returns r and n's last bit (for cosine its opposite) in the place of a sign; with `excess`, also
    what r has too much by its last rounding.
    """

    cosine: bool = False
    halves: int = 0
    excess: bool = False

    def apply(self, x: Value) -> list[Value]:
        """Cody and Waite's subtraction of parts of pi; Payne and Hanek's method far from 0."""
        rounder = FORMATS[x.type].rounder + self.cosine  # an odd rounder inverts the bit
        turn = 2.0**self.halves / math.pi
        if self.cosine:
            shifted = fma(x, turn, -0.5) + rounder
            n = shifted - rounder + 0.5
        else:
            shifted = fma(x, turn, rounder)
            n = shifted - rounder
        sign = shifted.bits() << (31 if x.type == "float" else 63)
        r, excess = self._subtract(x, n)
        near = [r, sign, excess] if self.excess else [r, sign]
        far = x.absolute() > SHORT[x.type]
        return rarely(far, lambda: self._far(x, far, near), near)

    def _subtract(self, x: Value, n: Value) -> tuple[Value, Value]:
        """x - n u and its excess.

        The products with the first three parts are exact, and so are the first two differences (but
        where cosine's x is near 0, which is harmless): there is one rounding to make up for.
        """
        a, b, c, d = [part / 2.0**self.halves for part in PI[x.type]]
        high = fma(n, -b, fma(n, -a, x))
        r = fma(n, -c, high)
        excess = fma(n, d, fma(n, c, r - high))  # (its sign keeps that of a zero)
        rounded = r - excess
        return rounded, excess - (r - rounded) if self.excess else rounded

    def _far(self, x: Value, far: Value, near: list[Value]) -> list[Value]:
        """`near` with the lanes far from 0 replaced, one by one; inf and NaN stay."""
        made = lane_by_lane([x], near, self._far_scalar)
        far = far & (x.absolute() < math.inf)
        return [a.where(far, b) for a, b in zip(made, near, strict=True)]

    def _far_scalar(self, x: Value) -> list[Value]:
        """One large number: its mantissa times the bits of 1/pi that matter.

        |x| = m 2**e; the product m (2**e / u mod 2) is kept in `width` bits, of which the first is n's
        last and the others are the fraction.
        """
        form, integer = FORMATS[x.type], INTEGER[x.type]
        places, width = PLACES[x.type]
        bits = x.absolute().bits()
        mantissa = (bits & ((1 << form.mantissa) - 1)) | (1 << form.mantissa)
        exponent = (bits >> form.mantissa) - (form.bias + form.mantissa)
        start = exponent.constant(places - width + 1) - exponent
        window = _inverse_pi_bits(start, places).convert("trunc", f"i{width}")
        product = (window * mantissa.convert("zext", window.type)) << self.halves
        half = 1 << (width - 2)
        if self.cosine:
            product = product - half
        odd = product + (half + (half << 1) * self.cosine)
        odd = odd.shift_in_zeros(width - 1).convert("trunc", integer)
        sign = odd << (31 if x.type == "float" else 63)
        fraction = product << 1
        negative = fraction < 0
        made = self._radians((-1 * fraction).where(negative, fraction), x.type)
        if not self.cosine:
            negative = negative ^ (x < 0.0)
        r, *excess = [(-v).where(negative, v) for v in made]
        return [r, sign, *excess]

    def _radians(self, fraction: Value, type: str) -> list[Value]:
        """A fraction of u (less than a half) as [r] or [r, its excess]."""
        if type == "float":
            turns = _number(fraction, 64) * 2.0 ** -(64 + self.halves)
            return [(turns * math.pi).convert("fptrunc", "float")]
        turns = _number(fraction, 53) * 2.0 ** -(53 + self.halves)
        rest = _number(fraction, 117) * 2.0 ** -(117 + self.halves)
        small = fma(turns, PI_REST, rest * math.pi)
        r = fma_once(turns, math.pi, small)
        return [r, fma_once(turns, -math.pi, r) - small] if self.excess else [r]


def _inverse_pi_bits(start: Value, places: int) -> Value:
    """`places` bits of 1/pi without the last `start`: of one constant, or of one of several.

    (A shift of 1280 bits would take LLVM 15 ms to compile.)
    """
    digits = INVERSE_PI >> (PI_PLACES - places)
    size = min(2 * STEP, places)
    pieces = [
        Value(start.f, f"i{size}", 1, str((digits >> at) % (1 << size)))
        for at in range(0, places, STEP)
    ]
    piece = pieces[0]
    for i, other in enumerate(pieces[1:], 1):
        piece = other.where(start >= i * STEP, piece)
    return piece.shift_in_zeros((start & (STEP - 1)).convert("zext", piece.type))


def _number(x: Value, place: int) -> Value:
    """The bits of a wide integer down to its `place`-th, the last 64 of them, as a double."""
    bits = x.shift_in_zeros(int(x.type[1:]) - place)
    return bits.convert("trunc", "i64").convert("uitofp", "double")


def asin(x: Value) -> Value:
    """pi/2 - 2 asin(sqrt((1 - |x|) / 2)) with x's sign, a polynomial for |x| < 1/2."""
    large, s, p = _asin_parts(x)
    high, low = HALF_PI[x.type]
    rest = fma(s, -2.0, high / 2) - fma(p, 2.0, -low)
    return (high / 2 + rest).where(large, s + p).with_sign_of(x)


def acos(x: Value) -> Value:
    """pi/2 - asin(x), of which 2 asin(sqrt((1 - |x|) / 2)) is left for |x| > 1/2."""
    large, s, p = _asin_parts(x)
    p = (s + p).with_sign_of(x)
    p = (p * -2.0).where(large, p)
    quarter, half = HALF_PI[x.type][0], 2 * HALF_PI[x.type][0]
    base = x.constant(half).where(x < 0.0, 0.0).where(large, quarter)
    return base - fma(base, -_pi_excess(x.type), p)


def _asin_parts(x: Value) -> tuple[Value, Value, Value]:
    """(whether |x| > 1/2, s, asin(s) - s) with s = |x| or else sqrt((1 - |x|) / 2)."""
    a = x.absolute()
    large = a > 0.5
    z = (0.5 - a * 0.5).where(large, a * a)
    s = z.call("sqrt").where(large, a)
    return large, s, s * z * polynomial(z, ASIN[x.type])


def _pi_excess(type: str) -> float:
    """pi less its nearest number in `type`, relative."""
    high, low = HALF_PI[type]
    return low / high


def atan(x: Value) -> Value:
    """pi/2 - atan(1 / |x|) for |x| > 1, with x's sign."""
    a = x.absolute()
    large = a > 1.0
    p = odd_polynomial((1.0 / a).where(large, a), ATAN[x.type])
    high, low = HALF_PI[x.type]
    return (high - (p - low)).where(large, p).with_sign_of(x)


def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y)."""
    b, a = y.absolute(), x.absolute()
    steep = b > a
    less, more = a.where(steep, b), b.where(steep, a)
    t = a.constant(0.0).where(a.equals(0.0), 1.0).where(a.equals(b), less / more)
    left = x.bits() < 0
    p = odd_polynomial(t, ATAN[x.type])
    p = (-p).where(steep ^ left, p)
    quarter = HALF_PI[x.type][0]
    base = x.constant(quarter).where(steep, x.constant(2 * quarter).where(left, 0.0))
    return (base + fma(base, _pi_excess(x.type), p)).with_sign_of(y)
