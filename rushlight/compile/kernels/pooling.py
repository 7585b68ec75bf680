"""Pooling over windows of one or two dimensions: maxima with their places, averages, and the ways
back.

Planes (N, channel) are prepared as for convolutions (`windows.py`), with -inf or zeros around them;
then a vector of neighbouring outputs meets one tap after the other. The gradient of averages goes
the same way backwards: shares are added to a prepared plane of sums, which is then written out. The
gradient of maxima adds to places given by their indices.
"""

from __future__ import annotations

import functools

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, Operand, float_literal, module, splat_literal, vector
from ..llvm.target import Target, host
from ..sizes import told
from .call import Address, Call, ErrorWord, arithmetic_of
from .convolution import range_of
from .micro import Tiles, load_part
from .planes import WORDS, Planes, words_of
from .windows import Image, Windows, Words


def plan(kind: str, image: Image, out: Address, index: Address | int = 0, dtype: str = "float32",
         count_pad: bool = True, divisor: int = 0, target: Target | None = None) -> list[Call]:
    """A pooling; kind: "max", "average" or "spread" (the gradient of averages: `out` to `x`)."""
    target = target or host()
    tiles = Tiles(target, dtype)
    _, h, w = image.axes
    words, chunks = words_of(tiles, image, out, index, whole=kind == "spread", count_pad=count_pad,
                             divisor=divisor)
    planes, taps = image.batch * image.channels, h.kernel * w.kernel
    size = planes * h.out * w.out
    return [Call(
        pool_text(target, dtype, kind), kind, [words[n] for n in WORDS], chunks,
        chunks > 1 and size * taps > 50_000, label=told("{} over {}x{}", kind, h.kernel, w.kernel),
        flops=size * taps, nbytes=(size + planes * h.size * w.size) * tiles.itemsize,
        arithmetic=arithmetic_of(dtype),
    )]


@functools.cache
def pool_text(target: Target, dtype: str, kind: str) -> str:
    """The module of one kind of pooling."""
    tiles = Tiles(target, dtype)
    windows = Windows(tiles, WORDS, float("-inf") if kind == "max" else 0.0)
    writer = {"max": _Maximum, "average": _Average, "spread": _Spread}[kind]
    functions = [windows.fill()] if kind != "spread" else []
    return module([*functions, writer(kind, tiles, windows).write()])


class _Maximum(Planes):
    """Maxima, and where in the plane they are: the first of equal ones, or the last NaN."""

    def start(self) -> None:
        """Tables: of each tap, its distance in the plane; of each column, its first tap's and first
        valid input."""
        f, x = self.f, self.x
        self.moves = f.at(self.table, f.mul(x.taps, 8))

        def tap(k):
            row, column = f.div(k, x.kernel_width), f.rem(k, x.kernel_width)
            moved = f.add(f.mul(f.mul(row, x.step_h), x.width), f.mul(column, x.step_w))
            f.store("i64", moved, f.at(self.moves, k, "i64"), 8)

        f.loop(0, x.taps, 1, tap, at_least_once=True)
        self.valid = f.at(self.columns, f.add(x.out_width, self.t.lanes), "i32")

        def column(w):
            start = f.sub(f.mul(w, x.stride_w), x.pad_w)
            for table, value in ((self.columns, start), (self.valid, self._valid(start, x.step_w))):
                f.store("i32", f.op(f"trunc i64 {value} to i32"), f.at(table, w, "i32"))

        f.loop(0, x.out_width, 1, column, at_least_once=True)

    def _valid(self, start, step) -> Operand:
        """The first of start, start + step, ... that is not negative."""
        f = self.f
        steps = f.div(f.add(f.maximum(f.sub(0, start), 0), f.sub(step, 1)), step)
        return f.add(start, f.mul(steps, step))

    def outputs(self, row, column, image, out, count) -> None:
        f, x, lanes = self.f, self.x, self.t.lanes
        places, mask = vector("i32", lanes), vector("i1", lanes)

        def spread(number):
            return f.splat("i32", lanes, f.op(f"trunc i64 {number} to i32"))

        start = f.sub(f.mul(row, x.stride_h), x.pad_h)
        own = f.load(places, f.at(self.columns, column, "i32"))
        own = f.op(f"add {places} {own}, {spread(f.mul(start, x.width))}")
        first = f.load(places, f.at(self.valid, column, "i32"))
        valid = f.mul(self._valid(start, x.step_h), x.width)
        first = f.op(f"add {places} {first}, {spread(valid)}")

        def tap(offset, k, best, which):
            value = f.load(self.v, f.at(image, offset))
            above = f.op(f"fcmp ogt {self.v} {value}, {best}")
            strange = f.op(f"fcmp uno {self.v} {value}, {value}")
            better = f.op(f"or {mask} {above}, {strange}")
            place = f.op(f"add {places} {own}, {spread(f.argument(self.moves, k))}")
            return [f.op(f"select {mask} {better}, {self.v} {value}, {self.v} {best}"),
                    f.op(f"select {mask} {better}, {places} {place}, {places} {which}")]

        low = splat_literal(self.t.type, lanes, float_literal(float("-inf"), self.t.type))
        best, which = self.each_tap(tap, [(self.v, low), (places, first)])
        self.store(best, f.at(x.out, out, self.t.type), count)
        wide = f.op(f"sext {places} {which} to {vector('i64', lanes)}")
        self.store(wide, f.at(x.other, out, "i64"), count, "i64")


class _Average(Planes):
    """Averages over windows; the divisor is one number, or counts a window's elements."""

    def start(self) -> None:
        """A table of divisors of columns."""
        f, x = self.f, self.x

        def column(w):  # beyond the last, the same: zeros are divided by it
            last = f.minimum(w, f.sub(x.out_width, 1))
            size = self._size(last, x.stride_w, x.pad_w, x.window_w, x.width)
            f.store(self.t.type, self._number(size), f.at(self.columns, w, self.t.type))

        f.loop(0, f.add(x.out_width, self.t.lanes), 1, column, at_least_once=True)

    def _size(self, i, stride, pad, window, size) -> str:
        """What a window counts along a dimension."""
        f, x = self.f, self.x
        start = f.sub(f.mul(i, stride), pad)
        end = f.minimum(f.add(start, window), f.add(size, pad))
        inside = f.sub(f.minimum(end, size), f.maximum(start, 0))
        counted = f.compare("ne", x.count_pad, 0)
        found = f.op(f"select i1 {counted}, i64 {f.sub(end, start)}, i64 {inside}")
        given = f.compare("ne", x.divisor, 0)
        return f.op(f"select i1 {given}, i64 1, i64 {found}")

    def _number(self, x: str) -> str:
        return self.f.op(f"sitofp i64 {x} to {self.t.type}")

    def divisors(self, row, column) -> str:
        """Those of a vector of outputs."""
        f, x = self.f, self.x
        size = self._size(row, x.stride_h, x.pad_h, x.window_h, x.height)
        given = f.compare("ne", x.divisor, 0)
        size = f.op(f"select i1 {given}, i64 {x.divisor}, i64 {size}")
        size = f.splat(self.t.type, self.t.lanes, self._number(size))
        own = f.load(self.v, f.at(self.columns, column, self.t.type))
        return f.op(f"fmul {self.v} {own}, {size}")

    def outputs(self, row, column, image, out, count) -> None:
        f = self.f

        def tap(offset, k, total):
            return [f.op(f"fadd {self.v} {total}, {f.load(self.v, f.at(image, offset))}")]

        total = self.each_tap(tap, [(self.v, self.windows.around)])[0]
        made = f.op(f"fdiv {self.v} {total}, {self.divisors(row, column)}")
        self.store(made, f.at(self.x.out, out, self.t.type), count)


class _Spread(_Average):
    """The gradient of averages: `out` is read, planes of `x` (dense) are written."""

    def plane(self, p) -> None:
        f, x, t = self.f, self.x, self.t
        size = f.div(x.channel_bytes, t.itemsize)
        zero = splat_literal(t.type, t.lanes, "0.0")
        f.loop(0, size, t.lanes, lambda j: f.store(self.v, zero, f.at(self.prepared, j, t.type)),
               at_least_once=True)
        first = f.mul(p, f.mul(x.out_height, x.out_width))

        def row(r):
            image = f.at(self.prepared, f.mul(r, x.row_advance))
            out = f.at(x.out, f.add(first, f.mul(r, x.out_width)), t.type)
            self.each_vector(lambda w, count: self._add(r, w, f.at(image, w, t.type),
                                                        f.at(out, w, t.type), count))

        f.loop(0, x.out_height, 1, row, at_least_once=True)
        plane = self.input(p)
        f.loop(0, x.height, 1, lambda h: self._write_row(h, f.at(plane, f.mul(h, x.x_h))),
               at_least_once=True)

    def _add(self, row, column, image, grad, count) -> None:
        """Add shares of outputs to what their taps meet; beyond the last one, zeros."""
        f, t = self.f, self.t
        given = load_part(f, t.target, t.type, t.lanes, grad, count)
        share = f.op(f"fdiv {self.v} {given}, {self.divisors(row, column)}")

        def tap(offset, k):
            where = f.at(image, offset)
            f.store(self.v, f.op(f"fadd {self.v} {f.load(self.v, where)}, {share}"), where)

        self.each_tap(tap, [])

    def _write_row(self, h, out: str) -> None:
        """A row of the plane, from the phases of its prepared form; zeros where there is none."""
        f, x, t = self.f, self.x, self.t
        above = f.sub(h, x.first_h)
        row, rest = f.div(above, x.row_step), f.rem(above, x.row_step)
        count = f.div(x.channel_bytes, x.row_bytes)
        there = f.op(f"and i1 {f.compare('slt', row, count)}, {f.compare('eq', rest, 0)}")
        here = f.at(self.prepared, f.mul(row, x.row_bytes))

        def element(w):
            left = f.sub(w, x.first_w)
            phase, column = f.rem(left, x.stride_w), f.div(left, x.stride_w)
            inside = f.op(f"and i1 {there}, {f.compare('slt', phase, x.phases)}")
            inside = f.op(f"and i1 {inside}, {f.compare('slt', column, x.needed)}")
            offset = f.add(f.mul(phase, x.phase_bytes), f.mul(column, t.itemsize))
            offset = f.op(f"select i1 {inside}, i64 {offset}, i64 0")
            start = f.op(f"select i1 {inside}, ptr {here}, ptr {self.prepared}")
            value = f.load(t.type, f.at(start, offset))
            value = f.op(f"select i1 {inside}, {t.type} {value}, {t.type} 0.0")
            f.store(t.type, value, f.at(out, w, t.type))

        f.loop(0, x.width, 1, element, at_least_once=True)


# ---------------------------------------------------------------- the way back from maxima

PUT_WORDS = ("out", "grad", "index", "error", "planes", "plane_step", "chunks", "size", "count")


def put(grad: Address, index: Address, out: Address, planes: int, size: int, count: int, dtype: str,
        target: Target | None = None) -> list[Call]:
    """out[plane, index[plane, i]] += grad[plane, i], from zeros.

    size, count: the elements of a plane of `out`, and of `grad`.
    """
    target = target or host()
    step = max(1, 8192 // (size + count))
    chunks = -(-planes // step)
    words = [out, grad, index, ErrorWord(), planes, step, chunks, size, count]
    nbytes = planes * (size * 4 + count * 12)
    return [Call(put_text(target, dtype), "put", words, chunks, chunks > 1 and nbytes > 1 << 18,
                 label="put at indices", nbytes=nbytes)]


@functools.cache
def put_text(target: Target, dtype: str) -> str:
    """The module of `put`."""
    d = np.dtype(dtype)
    t, lanes = elements.MEMORY[dtype], target.lanes(d.itemsize)
    v, zero = vector(t, lanes), splat_literal(t, lanes, "0.0")
    f = Function("put", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    x = Words(f, PUT_WORDS, PUT_WORDS[:4])
    planes, _ = range_of(f, "%chunk", x.chunks, x.plane_step, x.planes)

    def plane(p):
        out = f.at(x.out, f.mul(p, x.size), t)
        whole = f.op(f"and i64 {x.size}, {-lanes}")
        f.loop(0, whole, lanes, lambda j: f.store(v, zero, f.at(out, j, t)))
        f.loop(whole, x.size, 1, lambda j: f.store(t, "0.0", f.at(out, j, t)))
        first = f.mul(p, x.count)

        def one(i):
            at = f.add(first, i)
            place = f.load("i64", f.at(x.index, at, "i64"), 8)
            inside = f.op(f"icmp ult i64 {place}, {x.size}")

            def add():
                where = f.at(out, place, t)
                given = f.load(t, f.at(x.grad, at, t))
                f.store(t, f.op(f"fadd {t} {f.load(t, where)}, {given}"), where)

            f.branch(inside, add, lambda: f.store("i64", "1", x.error, 8))

        f.loop(0, x.count, 1, one)

    f.loop(*planes, 1, plane, at_least_once=True)
    return module([x.finish()])
