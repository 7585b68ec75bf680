"""The end of a product whose sums lie in a workspace: adds the parts of k, converts and stores C.

    C[r, j] = part 0 [r, j] + part 1 [r, j] + ...   (+ C[r, j])   (+ bias[j])

Parts are dense rows of n sums, for all batches after one another; r counts the rows of all batches.
C may have any strides and a half type.
"""

from __future__ import annotations

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, module, vector
from ..llvm.target import Target
from .micro import load_part, store_part
from .products import Chunk


def finish_text(target: Target, dtype: np.dtype) -> str:
    """The module of `finish`, in products' words: A are the parts, k is their number."""
    return module([_Finish(target, dtype).write()])


class _Finish:
    def __init__(self, target: Target, dtype: np.dtype):
        self.target, self.dtype = target, dtype
        self.held = elements.MEMORY[dtype.name]
        self.type = elements.register_type(dtype)
        self.lanes = target.lanes(max(dtype.itemsize, 4))
        self.chunk = Chunk("finish")
        self.f = self.chunk.f

    def write(self) -> Function:
        f, x = self.f, self.chunk
        dense = f.compare("eq", x.c_column, self.dtype.itemsize)

        def batch(number, a, b, c, m, n, k):
            def row(i):
                parts = f.at(x.a, f.mul(f.add(f.mul(number, x.m), i), x.a_row))  # no batch stride
                out = f.at(c, f.mul(i, x.c_row))
                f.branch(
                    dense, lambda: self._dense_row(parts, out), lambda: self._row(parts, out, 0, 1)
                )

            f.loop(m[0], m[1], 1, row)

        return x.each_batch(batch)

    def _dense_row(self, parts: str, out: str) -> None:
        f, x = self.f, self.chunk
        whole = f.op(f"and i64 {x.n}, {-self.lanes}")
        rest = f.sub(x.n, whole)
        self._row(parts, out, 0, self.lanes, whole)

        def ragged():
            where = f.at(out, f.mul(whole, self.dtype.itemsize))
            value = self._value(parts, where, whole, self.lanes, rest)
            store_part(f, self.held, self.lanes, [value], [where], rest)

        f.branch(f.compare("ne", rest, 0), ragged)

    def _row(self, parts: str, out: str, low, lanes: int, high=None) -> None:
        f, x = self.f, self.chunk

        def step(j):
            where = f.at(out, f.mul(j, x.c_column))
            value = self._value(parts, where, j, lanes, None)
            f.store(vector(self.held, lanes), value, where)

        f.loop(low, x.n if high is None else high, lanes, step)

    def _value(self, parts, where, j, lanes, count) -> str:
        """What is stored at column j and the next ones."""
        f, x, v = self.f, self.chunk, vector(self.type, lanes)

        def read(type, pointer):
            if count is None:
                return f.load(vector(type, lanes), pointer)
            return load_part(f, self.target, type, lanes, pointer, count)

        def part(i, total):
            found = read(self.type, f.at(f.at(parts, f.mul(i, x.c_part)), j, self.type))
            return [f.op(f"fadd {v} {total}, {found}")]

        first = read(self.type, f.at(parts, j, self.type))
        sums = f.loop(1, x.k, 1, part, [(v, first)])[0]
        biased = f.op(f"icmp ne ptr {x.bias}, null")

        def add(total, pointer):
            found = elements.to_register(f, read(self.held, pointer), self.dtype, lanes)
            return [f.op(f"fadd {v} {total}, {found}")]

        bias = f.at(x.bias, j, self.held)
        biased_sums = f.branch(biased, lambda: add(sums, bias), lambda: [sums], [v])[0]
        adds = f.compare("ne", x.accumulate, 0)
        total = f.branch(adds, lambda: add(biased_sums, where), lambda: [biased_sums], [v])[0]
        return elements.to_memory(f, total, self.dtype, lanes)
