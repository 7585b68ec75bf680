"""Quotients, remainders and shifts of integers, defined for all operands as NumPy defines them.

Division by zero gives zero and the smallest number divided by -1 itself (processors trap); an operator that must
fail checks its divisors.
"""

from __future__ import annotations

import numpy as np

from .vector_values import Value


def divided(name: str, dtype: np.dtype, x: Value, y: Value) -> Value:
    """floor_divide, remainder (the divisor's sign) or fmod (the dividend's)."""
    zero = y.equals(0)
    if dtype.kind == "u":
        safe = y.constant(1).where(zero, y)
        quotient, rest = x._binary("udiv", safe), x._binary("urem", safe)
        return x.constant(0).where(zero, quotient if name == "floor_divide" else rest)
    odd = zero | (y.equals(-1) & x.equals(int(np.iinfo(dtype).min)))
    safe = y.constant(1).where(odd, y)
    rest = x._binary("srem", safe)
    if name == "fmod":
        return x.constant(0).where(zero, rest)
    turned = ~rest.equals(0) & ((rest ^ safe) < 0)
    if name == "remainder":
        return x.constant(0).where(zero, (rest + safe).where(turned, rest))
    quotient = x._binary("sdiv", safe)
    return x.constant(0).where(zero, (quotient - 1).where(turned, quotient))


def shifted(name: str, dtype: np.dtype, x: Value, y: Value) -> Value:
    """left_shift or right_shift; counts beyond the number of bits shift everything out."""
    bits = 8 * dtype.itemsize
    inside = y.compare("ult", bits)
    if name == "left_shift":
        return (x << y.where(inside, 0)).where(inside, 0)
    if dtype.kind == "u":
        return x.shift_in_zeros(y.where(inside, 0)).where(inside, 0)
    return x >> y.where(inside, bits - 1)
