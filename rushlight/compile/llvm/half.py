"""bfloat16 in registers: 16 bits in memory, float in use. (float16 has conversions in LLVM.)"""

from __future__ import annotations

from .builder import Function, splat_literal, vector


def bfloat16_to_float(f: Function, x: str, lanes: int) -> str:
    """The float with the same value: the bits are its upper half."""
    wide = vector("i32", lanes)
    bits = f.op(f"zext {vector('i16', lanes)} {x} to {wide}")
    bits = f.op(f"shl {wide} {bits}, {splat_literal('i32', lanes, '16')}")
    return f.op(f"bitcast {wide} {bits} to {vector('float', lanes)}")


def float_to_bfloat16(f: Function, x: str, lanes: int) -> str:
    """The nearest bfloat16, ties to even; a NaN stays one."""
    wide, floats = vector("i32", lanes), vector("float", lanes)
    number = lambda n: splat_literal("i32", lanes, str(n))  # noqa: E731
    bits = f.op(f"bitcast {floats} {x} to {wide}")
    last = f.op(f"and {wide} {f.op(f'lshr {wide} {bits}, {number(16)}')}, {number(1)}")
    up = f.op(f"add {wide} {bits}, {f.op(f'add {wide} {last}, {number(0x7FFF)}')}")
    quiet = f.op(f"or {wide} {bits}, {number(0x400000)}")
    strange = f.op(f"fcmp uno {floats} {x}, {x}")
    kept = f.op(f"select {vector('i1', lanes)} {strange}, {wide} {quiet}, {wide} {up}")
    kept = f.op(f"lshr {wide} {kept}, {number(16)}")
    return f.op(f"trunc {wide} {kept} to {vector('i16', lanes)}")
