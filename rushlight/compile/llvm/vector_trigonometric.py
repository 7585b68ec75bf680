"""sin, cos, tan and their inverses on vectors (see `vector_math.py`)."""

from __future__ import annotations

import math

from .builder import vector
from .vector_exponential import FORMATS
from .vector_values import INTEGER, Value, fma, polynomial, rarely

# pi in parts whose products with an integer or a half below 2**12 (2**25) are exact,
# the last part's apart
PI = {
    "float": (3.140625, 0.0009675025939941406, 1.5099067240953445e-07, 5.126688136514179e-12),
    "double": (
        3.141592651605606, 1.9841871479187034e-09, 1.144237741932715e-17, 3.2892513872648515e-26,
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


def sin(x: Value) -> Value:
    """(-1)**n sin(r) with x = n pi + r."""
    r, sign = _reduce(x, cosine=False)
    return (_sin(r).bits() ^ sign).as_float()


def cos(x: Value) -> Value:
    """-(-1)**n sin(r) with x = (n + 1/2) pi + r."""
    r, sign = _reduce(x, cosine=True)
    return (_sin(r).bits() ^ sign).as_float()


def _sin(r: Value) -> Value:
    """sin for |r| <= pi/2; adding 0 keeps the sign of a zero."""
    z = r * r
    return fma(r, fma(z, polynomial(z, SIN[r.type]), 0.0), r)


def _reduce(x: Value, cosine: bool) -> tuple[Value, Value]:
    """(r, the sign bit to flip): Cody and Waite's subtraction of parts, or Payne and Hanek's."""
    form = FORMATS[x.type]
    rounder = form.rounder + cosine  # an odd rounder flips the sign
    shifted = fma(x, 1 / math.pi, -0.5) + rounder if cosine else fma(x, 1 / math.pi, rounder)
    n = shifted - rounder
    if cosine:
        n = n + 0.5
    r = x
    for part in PI[x.type]:
        r = fma(n, -part, r)
    sign = shifted.bits() << (31 if x.type == "float" else 63)
    far = x.absolute() > SHORT[x.type]
    return tuple(rarely(far, lambda: _reduce_far(x, cosine, far, r, sign), [r, sign]))


def _reduce_far(x: Value, cosine: bool, far: Value, r: Value, sign: Value) -> list[Value]:
    """The same where an argument is far from 0, lane by lane; inf and NaN stay."""
    f = x.f
    far = far & (x.absolute() < math.inf)
    if x.lanes == 1:
        made = _reduce_scalar(x, cosine)
    else:

        def lane(i: str, *held: str) -> list[str]:
            one = Value(f, x.type, 1, f.op(f"extractelement {x.vector} {x.name}, i64 {i}"))
            new = _reduce_scalar(one, cosine)
            return [
                f.op(f"insertelement {vector(v.type, x.lanes)} {h}, {v.type} {v.name}, i64 {i}")
                for h, v in zip(held, new, strict=True)
            ]

        carry = [(r.vector, r.name), (sign.vector, sign.name)]
        names = f.loop(0, x.lanes, 1, lane, carry)
        made = [Value(f, v.type, v.lanes, n) for v, n in zip((r, sign), names, strict=True)]
    return [made[0].where(far, r), made[1].where(far, sign)]


def _reduce_scalar(x: Value, cosine: bool) -> list[Value]:
    """(r, sign) of one large number: its mantissa times the bits of 1/pi that matter.

    x = m 2**e; the product m * (2**e / pi mod 2) is kept in `width` bits, of which the first is n's
    last and the others are the fraction.
    """
    form, integer = FORMATS[x.type], INTEGER[x.type]
    places, width = PLACES[x.type]
    bits = x.absolute().bits()
    mantissa = (bits & ((1 << form.mantissa) - 1)) | (1 << form.mantissa)
    exponent = (bits >> form.mantissa) - (form.bias + form.mantissa)
    table = Value(x.f, f"i{places}", 1, str(INVERSE_PI >> (PI_PLACES - places)))
    shift = (exponent.constant(places - width + 1) - exponent).convert("zext", table.type)
    window = table.shift_in_zeros(shift).convert("trunc", f"i{width}")
    product = window * mantissa.convert("zext", window.type)
    half = 1 << (width - 2)
    if cosine:
        product = product - half
    odd = product + (half + (half << 1) * cosine)
    sign = odd.shift_in_zeros(width - 1).convert("trunc", integer)
    sign = sign << (31 if x.type == "float" else 63)
    fraction = product << 1
    high = (fraction >> (width - 64)).convert("trunc", "i64").convert("sitofp", "double")
    r = high * (math.pi * 2.0**-64)
    if x.type == "float":
        r = r.convert("fptrunc", "float")
    else:
        low = fraction.shift_in_zeros(width - 128).convert("trunc", "i64")
        low = low.convert("uitofp", "double")
        turns = fma(low, 2.0**-128, high * 2.0**-64)
        r = fma(turns, math.pi, turns * PI_REST)
    if not cosine:
        negative = x.bits() & (1 << (31 if x.type == "float" else 63))
        sign = sign ^ negative
    return [r, sign]
