"""Running sums and the like: `out[.., j, ..]` is made of the elements up to j of a dim.

An array is seen as (outer, n, inner), row-major. Lanes walk along `inner` where there is such a dim; a scan
along the last dim goes from element to element, or, for plain sums and extremes, a vector at a time
(each vector is scanned by shifts, then combined with what came before).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, float_literal, module, splat_literal, vector
from ..llvm.target import Target, host
from ..sizes import least, most, several, told
from .call import Address, Call, arithmetic_of

WORTH = 1 << 15  # elements of a chunk, at least


@dataclass(frozen=True)
class Scan:
    """`how`: add, multiply, maximum, minimum, logaddexp; or greater_equal or less_equal, the
    comparison with which a new extreme is taken, its place included.
    """

    how: str
    dtype: np.dtype

    @property
    def placed(self) -> bool:
        """Whether places are found too."""
        return self.how.endswith("_equal")

    @property
    def start(self) -> str:
        """The literal of what precedes the first element."""
        if self.how == "logaddexp":
            return float_literal(float("-inf"), elements.register_type(self.dtype))
        kind = {"add": "sum", "multiply": "prod", "maximum": "max", "greater_equal": "max"}
        if self.how == "add" and self.dtype.kind == "f":
            return float_literal(-0.0, elements.register_type(self.dtype))
        return elements.identity(kind.get(self.how, "min"), self.dtype)


def plan(scan: Scan, x: Address, outs: list[Address], outer: int, n: int, inner: int,
         target: Target | None = None) -> list[Call]:
    """The call; outs: the values and, of an extreme, the places as int64."""
    target = target or host()
    blocks = -(-inner // _block(target, scan, inner))
    per = most(1, WORTH // most(n * least(inner, _block(target, scan, inner)), 1))
    chunks = -(-outer * blocks // per)
    words = [x, *outs, outer * blocks, n, inner, per, blocks]
    if len(outs) == 1:
        words.insert(2, 0)
    return [Call(text(target, scan, inner > 1), "scan", words, chunks, several(chunks),
                 label=told("scan {} {}x{}x{}", scan.how, outer, n, inner), flops=outer * n * inner,
                 nbytes=2 * outer * n * inner * scan.dtype.itemsize,
                 arithmetic=arithmetic_of(scan.dtype))]


def _block(target: Target, scan: Scan, inner: int) -> int:
    """Columns that one pass along the dim takes."""
    return 1 if inner == 1 else target.lanes(max(scan.dtype.itemsize, 4))


@functools.cache
def text(target: Target, scan: Scan, columns: bool) -> str:
    """The module of `scan`."""
    return module([_Writer(target, scan, columns).write()])


class _Writer:
    def __init__(self, target: Target, scan: Scan, columns: bool):
        self.f = Function("scan", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.scan, self.dtype, self.columns = scan, scan.dtype, columns
        self.type, self.held = elements.register_type(scan.dtype), elements.MEMORY[scan.dtype.name]
        self.size = scan.dtype.itemsize
        self.full = target.lanes(max(self.size, 4))

    def write(self) -> Function:
        f = self.f
        self.x, self.out, self.places = (f.argument("%args", k, "ptr") for k in range(3))
        strips, self.n, self.inner, per, blocks = (f.argument("%args", k) for k in range(3, 8))
        low = f.mul("%chunk", per)
        high = f.minimum(f.add(low, per), strips)

        def strip(s):
            first = f.mul(f.div(s, blocks), f.mul(self.n, self.inner))
            if not self.columns:
                self._row(first)
                return
            column = f.mul(f.rem(s, blocks), self.full)
            start, left = f.add(first, column), f.sub(self.inner, column)
            f.branch(
                f.compare("sge", left, self.full), lambda: self._steps(start, self.full),
                lambda: f.loop(0, left, 1, lambda i: self._steps(f.add(start, i), 1)) and None,
            )

        f.loop(low, high, 1, strip)
        f.do("ret void")
        return f

    def _steps(self, first, lanes: int) -> None:
        """One element after the other, in `lanes` columns from element `first` on."""
        f = self.f
        carry = [(vector(self.type, lanes), splat_literal(self.type, lanes, self.scan.start))]
        if self.scan.placed:
            carry.append((vector("i64", lanes), splat_literal("i64", lanes, "0")))

        def step(j, *held):
            at = f.add(first, f.mul(j, self.inner))
            x = self._load(at, lanes)
            if self.scan.placed:
                made = self._extreme(x, j, lanes, *held)
                f.store(vector("i64", lanes), made[1], f.at(self.places, at, "i64"), 8)
            else:
                made = [self._next(held[0], x, lanes)]
            self._store(made[0], at, lanes)
            return made

        f.loop(0, self.n, 1, step, carry)

    def _load(self, at, lanes: int) -> str:
        f = self.f
        x = f.load(vector(self.held, lanes), f.at(self.x, f.mul(at, self.size)), self.size)
        return elements.to_register(f, x, self.dtype, lanes)

    def _store(self, x: str, at, lanes: int) -> None:
        f = self.f
        x = elements.to_memory(f, x, self.dtype, lanes)
        f.store(vector(self.held, lanes), x, f.at(self.out, f.mul(at, self.size)), self.size)

    def _apply(self, name: str, lanes: int, *xs: str) -> str:
        return elements.apply(self.f, name, self.dtype, lanes, *xs)

    def _next(self, before: str, x: str, lanes: int) -> str:
        if self.scan.how != "logaddexp":
            return self._apply(self.scan.how, lanes, before, x)
        f, t = self.f, self.type
        high = self._apply("maximum", lanes, before, x)
        apart = self._apply("absolute", lanes, self._apply("subtract", lanes, before, x))
        less = self._apply("exp", lanes, self._apply("negative", lanes, apart))
        more = self._apply("add", lanes, high, self._apply("log1p", lanes, less))
        two = splat_literal(t, lanes, float_literal(float(np.log(2.0)), t))
        same = self._apply("equal", lanes, before, x)
        v = vector(t, lanes)
        twice = self._apply("add", lanes, high, two)
        return f.op(f"select {vector('i1', lanes)} {same}, {v} {twice}, {v} {more}")

    def _extreme(self, x: str, j, lanes: int, before: str, place: str) -> list[str]:
        f, v, bits = self.f, vector(self.type, lanes), vector("i1", lanes)
        take = self._apply(self.scan.how, lanes, x, before)
        if self.dtype.kind == "f":
            take = f.op(f"or {bits} {take}, {self._apply('isnan', lanes, x)}")
        value = f.op(f"select {bits} {take}, {v} {x}, {v} {before}")
        wide = vector("i64", lanes)
        here = f.splat("i64", lanes, j)
        return [value, f.op(f"select {bits} {take}, {wide} {here}, {wide} {place}")]

    # ------------------------------------------------------------ along the last dim

    def _row(self, first) -> None:
        if self.scan.placed or self.scan.how == "logaddexp":
            self._steps(first, 1)
            return
        f, lanes = self.f, self.full
        whole = f.op(f"and i64 {self.n}, {-lanes}")
        v = vector(self.type, lanes)

        def block(j, before):
            at = f.add(first, j)
            x = self._load(at, lanes)
            apart = 1
            while apart < lanes:
                x = self._apply(self.scan.how, lanes, self._shifted(x, apart), x)
                apart *= 2
            x = self._apply(self.scan.how, lanes, f.splat(self.type, lanes, before), x)
            self._store(x, at, lanes)
            return [f.op(f"extractelement {v} {x}, i64 {lanes - 1}")]

        def one(j, before):
            at = f.add(first, j)
            x = self._next(before, self._load(at, 1), 1)
            self._store(x, at, 1)
            return [x]

        (last,) = f.loop(0, whole, lanes, block, [(self.type, self.scan.start)])
        f.loop(whole, self.n, 1, one, [(self.type, last)])

    def _shifted(self, x: str, apart: int) -> str:
        """Lanes moved up, with what changes nothing moved in."""
        lanes, v = self.full, vector(self.type, self.full)
        start = splat_literal(self.type, lanes, self.scan.start)
        order = [i - apart if i >= apart else lanes + i for i in range(lanes)]
        mask = f"<{lanes} x i32> <{', '.join(f'i32 {i}' for i in order)}>"
        return self.f.op(f"shufflevector {v} {x}, {v} {start}, {mask}")
