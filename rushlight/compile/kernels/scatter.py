"""Rows written or added where an index says, in order: `out[ids[k]] op= values[k]` for k = 0, 1, ...

    how: "set", or an elementwise operation of the dtype: add, multiply, maximum, minimum

Chunks own blocks of rows and columns of the output; each walks over all ids and takes its own. So equal ids are
combined in the order of k, whatever the number of threads. The ids are in range.
"""

from __future__ import annotations

import functools

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, module, vector
from ..llvm.target import Target, host
from ..sizes import least, most, several, told
from .call import Address, Call, arithmetic_of

WIDE = 8  # columns from which a row is walked in vectors
COLUMNS = 128  # of a chunk, at least
WORTH = 1 << 15  # elements that are worth a chunk of their own
CHUNKS = 16


def plan(out: Address, ids: Address, values: Address, *, dtype: np.dtype, how: str, rows: int,
         width: int, count: int, row_step: int, one: bool = False, zero: bool = False,
         target: Target | None = None) -> list[Call]:
    """The call for an `out` of dense rows and int64 ids.

    row_step: bytes from one row of the values to the next. one: a row of the values is one number.
    zero: the output begins as zeros.
    """
    target = target or host()
    work = count * width + (rows * width if zero else 0)
    wanted = least(CHUNKS, most(1, work // WORTH))
    columns = most(COLUMNS, -(-width // wanted // 64) * 64) if width >= 2 * COLUMNS else width
    column_blocks = -(-width // most(columns, 1))
    row_blocks = most(1, least(wanted // column_blocks, width, rows))
    per = -(-rows // row_blocks)
    size = dtype.itemsize
    words = [out, ids, values, count, width * size, row_step, rows, per, row_blocks, columns, width]
    return [Call(
        text(target, dtype.name, how, width >= WIDE, one, zero), "scatter", words,
        row_blocks * column_blocks, several(row_blocks * column_blocks),
        label=told("scatter {} {} of {}x{}", how, count, rows, width), flops=count * width,
        nbytes=(2 * count + rows * zero) * width * size, arithmetic=arithmetic_of(dtype),
    )]


@functools.cache
def text(target: Target, dtype: str, how: str, wide: bool, one: bool, zero: bool) -> str:
    """The module of `scatter`."""
    return module([_Scatter(target, np.dtype(dtype), how, wide, one).write(zero)])


class _Scatter:
    def __init__(self, target: Target, dtype: np.dtype, how: str, wide: bool, one: bool):
        self.f = Function("scatter", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.dtype, self.how, self.one = dtype, how, one
        self.lanes = 2 * target.lanes(dtype.itemsize) if wide else 1

    def write(self, zero: bool) -> Function:
        f = self.f
        out, ids, values = (f.argument("%args", k, "ptr") for k in range(3))
        count, row, value_row, rows, per, blocks, columns, width = (
            f.argument("%args", k) for k in range(3, 11)
        )
        low = f.mul(f.rem("%chunk", blocks), per)
        size = f.maximum(f.sub(f.minimum(f.add(low, per), rows), low), 0)  # the last blocks may begin beyond the end
        first = f.mul(f.div("%chunk", blocks), columns)
        span = f.minimum(f.sub(width, first), columns)
        ahead = f.mul(first, self.dtype.itemsize)
        out = f.at(out, f.add(f.mul(low, row), ahead))
        if not self.one:
            values = f.at(values, ahead)
        if zero:
            f.loop(0, size, 1, lambda r: self._along(span, lambda at, lanes: f.store(
                vector(elements.MEMORY[self.dtype.name], lanes), "zeroinitializer",
                self._at(f.at(out, f.mul(r, row)), at), self._align(lanes))))

        def each(k):
            r = f.sub(f.load("i64", f.at(ids, k, "i64"), 8), low)
            f.branch(f.compare("ult", r, size), lambda: self._row(
                f.at(out, f.mul(r, row)), f.at(values, f.mul(k, value_row)), span
            ))

        f.loop(0, count, 1, each)
        f.do("ret void")
        return f

    def _at(self, p: str, index) -> str:
        return self.f.at(p, self.f.mul(index, self.dtype.itemsize))

    def _align(self, lanes: int) -> int:
        return 1 if lanes > 1 else self.dtype.itemsize

    def _along(self, span, step) -> None:
        """step(index, lanes) along a row."""
        f = self.f
        whole = f.op(f"and i64 {span}, {-self.lanes}") if self.lanes > 1 else 0
        if self.lanes > 1:
            f.loop(0, whole, self.lanes, lambda i: step(i, self.lanes))
        f.loop(whole, span, 1, lambda i: step(i, 1))

    def _row(self, p: str, q: str, span) -> None:
        f, name = self.f, self.dtype.name

        def step(i, lanes):
            v = vector(elements.MEMORY[name], lanes)
            at = self._at(p, i)
            if self.one:
                x = f.splat(elements.MEMORY[name], lanes,
                            f.load(elements.MEMORY[name], q, self._align(1)))
            else:
                x = f.load(v, self._at(q, i), self._align(lanes))
            if self.how != "set":
                a, b = (elements.to_register(f, y, self.dtype, lanes)
                        for y in (f.load(v, at, self._align(lanes)), x))
                x = elements.to_memory(
                    f, elements.apply(f, self.how, self.dtype, lanes, a, b), self.dtype, lanes)
            f.store(v, x, at, self._align(lanes))

        self._along(span, step)
