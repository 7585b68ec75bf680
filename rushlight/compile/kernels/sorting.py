"""The order of rows: a stable sort that gives places (int64), of all elements or of the first few.

Elements become unsigned keys in the same order, NaN the largest (descending: all bits turned, so that
equal elements keep their order). Short rows are sorted by insertion, others by radix, eight bits at a
time from the lowest; digits that all keys share are skipped. Where few places are wanted, only the
keys whose highest digit is low enough take part.
"""

from __future__ import annotations

import functools

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, module
from ..sizes import most, told
from .call import Address, Call, Workspace

SHORT = 64  # rows of at most so many elements are sorted by insertion
FEW = 256  # rows from which on a fraction of them is worth finding first
WORTH = 1 << 13  # elements of a chunk, at least


def plan(x: Address, out: Address, *, dtype: np.dtype, descending: bool, outer: int, n: int,
         inner: int, first: int, last: int) -> list[Call]:
    """The call for an array seen as (outer, n, inner); places number first to last - 1 are stored."""
    key = 8 if dtype.itemsize == 8 else 4
    room = -(-(2 * n * (key + 4) + key * 256 * 4 + 64) // 64) * 64
    space = Workspace(room, per_thread=True)
    rows = outer * inner
    per = most(1, WORTH // most(n, 1))
    words = [x, out, space, room, rows, n, inner, per, first, last]
    return [Call(text(dtype.name, descending), "sort", words, -(-rows // per), rows > per,
                 label=told("sort {}x{}x{}", outer, n, inner), flops=8 * rows * n,
                 nbytes=rows * n * (dtype.itemsize + 8))]


@functools.cache
def text(dtype: str, descending: bool) -> str:
    """The module of `sort`."""
    return module([_Sort(np.dtype(dtype), descending).write()])


class _Sort:
    def __init__(self, dtype: np.dtype, descending: bool):
        self.f = Function("sort", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.dtype, self.descending = dtype, descending
        self.bytes = 8 if dtype.itemsize == 8 else 4
        self.key = f"i{8 * self.bytes}"

    def write(self) -> Function:
        f = self.f
        self.x, self.out, space = (f.argument("%args", k, "ptr") for k in range(3))
        room, rows, n, self.inner, per, self.first, self.last = (
            f.argument("%args", k) for k in range(3, 10)
        )
        self.n = n
        self.counters = f.at(space, f.mul("%thread", room))
        keys = f.at(self.counters, self.bytes * 256 * 4)
        other = f.at(keys, f.mul(n, self.bytes))
        places = f.at(other, f.mul(n, self.bytes))
        buffers = keys, places, other, f.at(places, f.mul(n, 4))
        low = f.mul("%chunk", per)
        f.loop(low, f.minimum(f.add(low, per), rows), 1, lambda r: self._row(r, buffers))
        f.do("ret void")
        return f

    def _row(self, r, buffers) -> None:
        f = self.f
        o, i = f.div(r, self.inner), f.rem(r, self.inner)
        start = f.add(f.mul(o, f.mul(self.n, self.inner)), i)

        def load(j):
            at = f.mul(f.add(start, f.mul(j, self.inner)), self.dtype.itemsize)
            f.store(self.key, self._key(f.at(self.x, at)), self._key_at(buffers[0], j), self.bytes)
            f.store("i32", f.op(f"trunc i64 {j} to i32"), f.at(buffers[1], j, "i32"), 4)

        f.loop(0, self.n, 1, load)
        few = f.op(f"and i1 {f.compare('slt', f.mul(self.last, 4), self.n)}, "
                   f"{f.compare('sgt', self.n, FEW)}")
        count, *buffers = f.branch(few, lambda: self._low_keys(buffers),
                                   lambda: [self.n, *buffers], ["i64"] + ["ptr"] * 4)
        (order,) = f.branch(f.compare("sle", count, SHORT), lambda: self._insertion(count, buffers),
                            lambda: self._radix(count, buffers), ["ptr"])
        taken = f.sub(self.last, self.first)
        begin = f.add(f.mul(o, f.mul(taken, self.inner)), i)

        def store(j):
            place = f.op(f"zext i32 {f.load('i32', f.at(order, j, 'i32'), 4)} to i64")
            at = f.add(begin, f.mul(f.sub(j, self.first), self.inner))
            f.store("i64", place, f.at(self.out, at, "i64"), 8)

        f.loop(self.first, self.last, 1, store)

    def _key_at(self, p: str, j) -> str:
        return self.f.at(p, j, self.key)

    def _key(self, p: str) -> str:
        """The key of an element in memory."""
        f, d, k = self.f, self.dtype, self.key
        x = elements.to_register(f, f.load(elements.MEMORY[d.name], p, d.itemsize), d, 1)
        t = elements.register_type(d)
        if t in ("float", "double"):
            top = 1 << (8 * self.bytes - 1)
            strange = f.op(f"fcmp uno {t} {x}, {x}")
            bits = f.op(f"bitcast {t} {f.op(f'fadd {t} {x}, 0.0')} to {k}")  # -0 becomes 0
            below = f.op(f"ashr {k} {bits}, {8 * self.bytes - 1}")
            turn = f.op(f"or {k} {below}, {top - (1 << (8 * self.bytes)) if top > 1 else 0}")
            made = f.op(f"select i1 {strange}, {k} -1, {k} {f.op(f'xor {k} {bits}, {turn}')}")
        else:
            made = x
            if t != k:
                made = f.op(f"{'sext' if d.kind == 'i' else 'zext'} {t} {x} to {k}")
            if d.kind == "i":
                made = f.op(f"xor {k} {made}, {-(1 << (8 * self.bytes - 1))}")
        return f.op(f"xor {k} {made}, -1") if self.descending else made

    def _digit(self, key: str, number: int) -> str:
        f, k = self.f, self.key
        moved = f.op(f"lshr {k} {key}, {8 * number}") if number else key
        digit = f.op(f"and {k} {moved}, 255")
        return digit if k == "i64" else f.op(f"zext {k} {digit} to i64")

    def _counter(self, number: int, digit) -> str:
        return self.f.at(self.counters, self.f.add(digit, 256 * number), "i32")

    def _count(self, count, keys: str, numbers) -> None:
        """How often each digit occurs, for some of the digits' places."""
        f = self.f
        for number in numbers:
            f.loop(0, 256, 1, lambda b, number=number: f.store(
                "i32", "0", self._counter(number, b), 4))

        def each(j):
            key = f.load(self.key, self._key_at(keys, j), self.bytes)
            for number in numbers:
                c = self._counter(number, self._digit(key, number))
                f.store("i32", f.op(f"add i32 {f.load('i32', c, 4)}, 1"), c, 4)

        f.loop(0, count, 1, each)

    def _low_keys(self, buffers) -> list:
        """Only what may be among the first `last`, in the order in which it was."""
        f, top = self.f, self.bytes - 1
        keys, places, more_keys, more_places = buffers
        self._count(self.n, keys, [top])

        def bound(b, seen, limit):
            c = f.op(f"zext i32 {f.load('i32', self._counter(top, b), 4)} to i64")
            short = f.compare("slt", seen, self.last)
            return [f.add(seen, c), f.op(f"select i1 {short}, i64 {b}, i64 {limit}")]

        _, limit = f.loop(0, 256, 1, bound, [("i64", "0"), ("i64", "0")])

        def keep(j, m):
            key = f.load(self.key, self._key_at(keys, j), self.bytes)
            f.store(self.key, key, self._key_at(more_keys, m), self.bytes)
            f.store("i32", f.load("i32", f.at(places, j, "i32"), 4), f.at(more_places, m, "i32"), 4)
            low = f.compare("sle", self._digit(key, top), limit)
            return [f.add(m, f.op(f"zext i1 {low} to i64"))]

        (count,) = f.loop(0, self.n, 1, keep, [("i64", "0")])
        return [count, more_keys, more_places, keys, places]

    def _insertion(self, count, buffers) -> list:
        f = self.f
        keys, places = buffers[:2]

        def insert(j):
            key = f.load(self.key, self._key_at(keys, j), self.bytes)
            place = f.load("i32", f.at(places, j, "i32"), 4)

            def move(m):
                before = f.maximum(f.sub(m, 1), 0)
                other = f.load(self.key, self._key_at(keys, before), self.bytes)
                more = f.op(f"and i1 {f.compare('sgt', m, 0)}, "
                            f"{f.op(f'icmp ugt {self.key} {other}, {key}')}")

                def up():
                    f.store(self.key, other, self._key_at(keys, m), self.bytes)
                    f.store("i32", f.load("i32", f.at(places, before, "i32"), 4),
                            f.at(places, m, "i32"), 4)

                f.branch(more, up)
                return more, [f.op(f"select i1 {more}, i64 {before}, i64 {m}")]

            (at,) = f.repeat([("i64", j)], move)
            f.store(self.key, key, self._key_at(keys, at), self.bytes)
            f.store("i32", place, f.at(places, at, "i32"), 4)

        f.loop(1, count, 1, insert)
        return [places]

    def _radix(self, count, buffers) -> list:
        f = self.f
        numbers = range(self.bytes)
        self._count(count, buffers[0], numbers)
        first = f.load(self.key, buffers[0], self.bytes)
        held = list(buffers)
        for number in numbers:
            same = f.load("i32", self._counter(number, self._digit(first, number)), 4)
            some = f.compare("ne", f.op(f"zext i32 {same} to i64"), count)
            held = f.branch(some, lambda h=held, k=number: self._deal(count, k, h),
                            lambda h=held: h, ["ptr"] * 4)
        return [held[1]]

    def _deal(self, count, number: int, buffers) -> list:
        """Distribute by one digit: the buffers, exchanged."""
        f = self.f
        keys, places, to_keys, to_places = buffers

        def begin(b, total):
            c = self._counter(number, b)
            here = f.load("i32", c, 4)
            f.store("i32", total, c, 4)
            return [f.op(f"add i32 {total}, {here}")]

        f.loop(0, 256, 1, begin, [("i32", "0")])

        def each(j):
            key = f.load(self.key, self._key_at(keys, j), self.bytes)
            c = self._counter(number, self._digit(key, number))
            at = f.load("i32", c, 4)
            f.store("i32", f.op(f"add i32 {at}, 1"), c, 4)
            at = f.op(f"zext i32 {at} to i64")
            f.store(self.key, key, self._key_at(to_keys, at), self.bytes)
            f.store("i32", f.load("i32", f.at(places, j, "i32"), 4), f.at(to_places, at, "i32"), 4)

        f.loop(0, count, 1, each)
        return [to_keys, to_places, keys, places]
