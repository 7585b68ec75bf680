"""Half types in registers: 16 bits in memory, float in use."""

from __future__ import annotations

from .builder import Function
from .target import host
from .vector_values import Value


def bfloat16_to_float(f: Function, x: str, lanes: int) -> str:
    """The float with the same value (x: i16): the bits are its upper half."""
    return (Value(f, "i16", lanes, x).convert("zext", "i32") << 16).as_float().name


def float_to_bfloat16(f: Function, x: str, lanes: int) -> str:
    """The nearest bfloat16 (as i16), ties to even; a NaN stays one."""
    value = Value(f, "float", lanes, x)
    bits = value.bits()
    last = bits.shift_in_zeros(16) & 1
    kept = (bits | 0x400000).where(value.is_nan(), bits + (last + 0x7FFF))
    return kept.shift_in_zeros(16).convert("trunc", "i16").name


def float16_to_float(f: Function, x: str, lanes: int) -> str:
    """The float with the same value (x: half)."""
    value = Value(f, "half", lanes, x)
    if host().float16:
        return value.convert("fpext", "float").name
    bits = value.convert("bitcast", "i16").convert("zext", "i32")
    magnitude = (bits & 0x7FFF) << 13  # as a float, 2**-112 times the value
    special = magnitude >= 0x1F << 23
    scaled = (magnitude.as_float() * 2.0**112).bits()
    result = (magnitude | 0x7F800000).where(special, scaled)
    return (result | ((bits & 0x8000) << 16)).as_float().name


def float_to_float16(f: Function, x: str, lanes: int) -> str:
    """The nearest half, ties to even; a NaN stays one."""
    value = Value(f, "float", lanes, x)
    if host().float16 and lanes > 1:  # (of one number LLVM may make a call that is not there: double to half)
        return value.convert("fptrunc", "half").name
    bits = value.bits()
    magnitude = bits & 0x7FFFFFFF
    last = magnitude.shift_in_zeros(13) & 1
    result = (magnitude + (last + (0xFFF - (112 << 23)))).shift_in_zeros(13)
    # an addition that leaves as many bits as a denormal half has rounds to one
    denormal = (magnitude.as_float() + 0.5).bits() - (126 << 23)
    result = denormal.where(magnitude < 113 << 23, result)
    nan = magnitude.shift_in_zeros(13) & 0x3FF | 0x7E00
    large = nan.where(value.is_nan(), 0x7C00)
    result = large.where(magnitude >= 143 << 23, result)
    result = result | (bits.shift_in_zeros(16) & 0x8000)
    return result.convert("trunc", "i16").convert("bitcast", "half").name
