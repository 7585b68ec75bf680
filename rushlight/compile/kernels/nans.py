"""Looking for NaN: a kernel that reads samples of an array, and sets the error word if one of them is NaN.

Small arrays are read whole, of larger ones one element in `RARE`, but no more than `most`: they may lie in
another core's cache, where each costs some nanoseconds. The array, in row-major order, is cut into as many
equal parts, and one element of each is read, at places that differ from part to part (the golden ratio's
multiples modulo one, which fill an interval evenly). So a row as long as two parts is always met, and all
columns are met alike: a NaN that has gone through a product of matrices fills one or the other.
"""

from __future__ import annotations

import functools

import numpy as np

from ..expressions import Constant
from ..llvm.builder import Function, module
from .call import Address, Call, ErrorWord

MOST = 1024  # of what will be written outside, and of results
UPDATED = 64  # of what an operator has written: the next step looks at all that it leads to
RARE = 256
GOLDEN = (5**0.5 - 1) / 2
# dtype of the real numbers: (integer of its size, all bits but the sign's, infinity); NaN lies above infinity
BITS = {
    "float16": ("i16", 0x7FFF, 0x7C00), "bfloat16": ("i16", 0x7FFF, 0x7F80),
    "float32": ("i32", 0x7FFF_FFFF, 0x7F80_0000),
    "float64": ("i64", 0x7FFF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000),
}
REAL = {"complex64": "float32", "complex128": "float64"}


def plan(where: Address, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype,
         most: int = MOST) -> Call:
    """The call for an array of `dtype` at an address; strides in elements."""
    offsets = samples(shape, strides, dtype, most)
    return Call(
        text(REAL.get(dtype.name, dtype.name)), "look_for_nan",
        [where, Address(Constant(offsets)), len(offsets), ErrorWord()],
        label=f"look for NaN in {len(offsets)}", nbytes=len(offsets) * (8 + dtype.itemsize),
    )


@functools.lru_cache(maxsize=1024)
def samples(shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype, most: int) -> np.ndarray:
    """The offsets in bytes of the numbers that are read; of complex elements both parts."""
    size = int(np.prod(shape, dtype=np.int64))
    count = min(size, most, max(RARE, size // RARE))
    k = np.arange(count)
    places = k if count == size else ((k + k * GOLDEN % 1) * (size / count)).astype(np.int64)
    if shape:
        at = zip(np.unravel_index(places, shape), strides, strict=True)
        places = sum(index * step for index, step in at)
    offsets = np.asarray(places * dtype.itemsize, np.int64)
    if dtype.kind == "c":
        offsets = np.concatenate([offsets, offsets + dtype.itemsize // 2])
    return offsets


@functools.cache
def text(dtype: str) -> str:
    """The module; words: the array, offsets, their number, the error word."""
    kind, most, infinity = BITS[dtype]
    f = Function("look_for_nan", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    array, offsets = (f.argument("%args", k, "ptr") for k in (0, 1))
    count, word = f.argument("%args", 2), f.argument("%args", 3, "ptr")

    def look(k, found):
        x = f.load(kind, f.at(array, f.load("i64", f.at(offsets, k, "i64"), 8)))
        bad = f.op(f"icmp ugt {kind} {f.op(f'and {kind} {x}, {most}')}, {infinity}")
        return [f.op(f"or i64 {found}, {f.op(f'zext i1 {bad} to i64')}")]

    (found,) = f.loop(0, count, 1, look, [("i64", "0")])
    f.branch(f.compare("ne", found, 0), lambda: f.store("i64", found, word, 8))
    f.do("ret void")
    return module([f])
