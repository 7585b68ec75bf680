"""Adds partial results, in order, and transposes them.

    out[batch][o, k] = sum over parts of partial[part][batch][k, o]

Batches of the partial results follow each other, in three dimensions; those of `out` have strides.
"""

from __future__ import annotations

import functools

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, module, vector
from ..llvm.target import Target
from .call import Address, Call
from .convolution import leave_unless
from .pack import crossed, transposed_in_lanes
from .windows import Words

WORDS = (
    "guard", "partial", "out", "parts", "part_bytes", "rows", "columns",
    "out_row", "outer_bytes", "middle", "middle_bytes", "inner", "inner_bytes",  # sizes and strides
    "column_step", "column_chunks",
)


def plan(partial: Address, out: Address, words: dict, batches: int, dtype: str,
         target: Target) -> Call:
    """The call; words: those of WORDS that say what the arrays are."""
    dtype = np.dtype(dtype)
    lanes = target.lanes(dtype.itemsize)
    step = max(1, 8192 // words["rows"] // lanes) * lanes
    chunks = -(-words["columns"] // step)
    places = {**words, "partial": partial, "out": out, "column_step": step, "column_chunks": chunks}
    nbytes = (words["parts"] + 1) * batches * words["rows"] * words["columns"] * dtype.itemsize
    return Call(_text(target, dtype), "combine", [places[n] for n in WORDS], batches * chunks,
                batches * chunks > 1 and nbytes > 1 << 18, label="combine parts", nbytes=nbytes)


@functools.cache
def _text(target: Target, dtype: np.dtype) -> str:
    f = Function("combine", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    x = Words(f, WORDS, WORDS[:3])
    leave_unless(f, x.guard)
    t, lanes, item = elements.MEMORY[dtype.name], target.lanes(dtype.itemsize), dtype.itemsize
    batch = f.div("%chunk", x.column_chunks)
    low = f.mul(f.rem("%chunk", x.column_chunks), x.column_step)
    high = f.minimum(f.add(low, x.column_step), x.columns)
    row_bytes = f.mul(x.columns, item)
    source = f.at(x.partial, f.mul(batch, f.mul(x.rows, row_bytes)))
    out = f.at(x.out, f.mul(f.rem(batch, x.inner), x.inner_bytes))
    batch = f.div(batch, x.inner)
    out = f.at(out, f.mul(f.rem(batch, x.middle), x.middle_bytes))
    out = f.at(out, f.mul(f.div(batch, x.middle), x.outer_bytes))

    def total(k, o, width, rows):
        """Sums of some elements of some rows, from row k and column o on."""
        v = vector(t, width)
        at = f.at(f.at(source, f.mul(k, row_bytes)), o, t)

        def read(p):
            here, found = f.at(at, f.mul(p, x.part_bytes)), []
            for _ in range(rows):
                found.append(f.load(v, here))
                here = f.at(here, row_bytes)
            return found

        def add(p, *sums):
            return [f.op(f"fadd {v} {s}, {y}") for s, y in zip(sums, read(p), strict=True)]

        return f.loop(1, x.parts, 1, add, [(v, s) for s in read(0)])

    def to(k, o):
        return f.at(f.at(out, f.mul(o, x.out_row)), k, t)

    def square(k, o):
        place = to(k, o)
        for row in transposed_in_lanes(f, t, crossed(f, t, total(k, o, lanes, lanes))):
            f.store(vector(t, lanes), row, place)
            place = f.at(place, x.out_row)

    def single(ks, os):
        f.loop(*os, 1, lambda o: f.loop(*ks, 1, lambda k: f.store(
            t, total(k, o, 1, 1)[0], to(k, o))) and None)

    whole_rows = f.op(f"and i64 {x.rows}, {-lanes}")
    whole = f.add(low, f.op(f"and i64 {f.sub(high, low)}, {-lanes}"))
    f.loop(low, whole, lanes, lambda o: f.loop(
        0, whole_rows, lanes, lambda k: square(k, o)) and None)
    single((0, whole_rows), (whole, high))
    single((whole_rows, x.rows), (low, high))
    return module([x.finish()])
