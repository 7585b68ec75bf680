"""Convolutions whose groups have one input channel (depthwise), and the gradient of their weights.

    out[n, o, pixel] = sum over taps of w[o, tap] * input[n, o / each, pixel and tap]

Vectors of neighbouring pixels, a few at a time, meet one tap after the other. The gradient of a
channel's weights is added up image by image, for a few taps at a time, in vectors, of which one
number is made at the end.
"""

from __future__ import annotations

import functools

import numpy as np

from ..llvm import elements
from ..llvm.builder import Operand, module, splat_literal
from ..llvm.target import Target, host
from ..sizes import told
from .call import Call, arithmetic_of
from .convolution import Convolution
from .convolution_weight import WeightGradient
from .micro import Tiles, load_part, multiply_add, store_part
from .planes import WORDS, Planes, words_of
from .windows import Axis, Image, Windows

SEVERAL = 4  # vectors, or taps, at a time


def suits(image: Image, outputs: int) -> bool:
    """Whether a convolution has this form; the channels and outputs are those of a group."""
    d: Axis = image.axes[0]
    return image.channels == 1 and (d.kernel, d.out, d.size) == (1, 1, 1) and outputs <= 4


def plan(c: Convolution, target: Target | None = None) -> list[Call]:
    """The call of a convolution; its result is dense."""
    return _plan(_Depthwise, c.image, c.groups, c.outputs, c.out, c.weights, c.dtype, target)


def plan_weight(g: WeightGradient, target: Target | None = None) -> list[Call]:
    """The call of a gradient of weights; `grad` is dense."""
    return _plan(_Weight, g.image, g.groups, g.outputs, g.grad, g.out, g.dtype, target)


def _plan(writer, image, groups, each, out, weights, dtype, target) -> list[Call]:
    target = target or host()
    tiles = Tiles(target, dtype)
    image = Image(image.x, image.strides, image.batch, groups, image.axes)
    _, h, w = image.axes
    one = writer is _Weight
    words, chunks = words_of(
        tiles, image, out, weights, whole=one, each=each, planes=groups * each if one else 0
    )
    flops = 2 * image.batch * groups * each * h.out * w.out * h.kernel * w.kernel
    nbytes = image.batch * groups * (each * h.out * w.out + h.size * w.size) * tiles.itemsize
    return [Call(_text(target, dtype, writer), writer.name, [words[n] for n in WORDS], chunks,
                 chunks > 1 and flops > 100_000, label=told("{} {}x{}", writer.name, h.kernel, w.kernel),
                 flops=flops, nbytes=nbytes, arithmetic=arithmetic_of(dtype))]


@functools.cache
def _text(target: Target, dtype: str, writer) -> str:
    tiles = Tiles(target, dtype)
    windows = Windows(tiles, WORDS)
    return module([windows.fill(), writer(writer.name, tiles, windows).write()])


class _Depthwise(Planes):
    """The convolution; the other array holds the weights."""

    name = "depthwise"

    def plane(self, p) -> None:
        """A plane; its weights first."""
        f, x = self.f, self.x
        channel = f.rem(p, f.mul(x.channels, x.each))
        self.weights = f.at(x.other, f.mul(channel, x.taps), self.t.type)
        super().plane(p)

    def each_row(self, image: str, out) -> None:
        """Several vectors at a time: of a row, or if rows are short, of several rows.

        Whole vectors are written, where they end in the block of rows: what goes beyond a row's
        end is written again.
        """
        f, x = self.f, self.x
        low, high = self.rows
        whole_end = f.sub(f.mul(high, x.out_width), self.t.lanes)  # where a last whole one begins
        wide = f.compare("sge", x.out_width, SEVERAL * self.t.lanes)

        def places(r):
            return (f.at(image, f.mul(f.sub(r, low), x.row_advance)),
                    f.at(x.out, f.add(out, f.mul(r, x.out_width)), self.t.type))

        def left(r):
            """The column from which on vectors of this row go beyond the block."""
            return f.sub(whole_end, f.mul(r, x.out_width))

        def along():
            f.loop(low, high, 1, lambda r: self._wide_row(*places(r), left(r)), at_least_once=True)

        def across():
            beyond = f.div(f.add(x.out_width, self.t.lanes - 2), x.out_width)  # rows a vector enters
            several = f.div(f.maximum(f.sub(f.sub(high, low), beyond), 0), SEVERAL)
            whole = f.add(low, f.mul(several, SEVERAL))
            f.loop(low, whole, SEVERAL, lambda r: self._rows(*places(r), SEVERAL, None))
            f.loop(whole, high, 1, lambda r: self._rows(*places(r), 1, left(r)))

        f.branch(wide, along, across)

    def _wide_row(self, image: str, to: str, left: Operand) -> None:
        f, x, t = self.f, self.x, self.t
        step = SEVERAL * t.lanes
        whole = f.mul(f.div(x.out_width, step), step)

        def vectors(w):
            made = self._sums(f.at(image, w, t.type), SEVERAL, t.lanes * t.itemsize)
            for j, value in enumerate(made):
                f.store(self.v, value, f.at(f.at(to, w, t.type), j * t.lanes, t.type))

        def vector(w):
            made = self._sums(f.at(image, w, t.type), 1, 0)
            self._store(made, f.at(to, w, t.type), w, left)

        f.loop(0, whole, step, vectors)
        f.loop(whole, x.out_width, t.lanes, vector)

    def _rows(self, image: str, to: str, count: int, left: Operand | None) -> None:
        """Vectors go from right to left, so that what is beyond an end is written again."""
        f, x, t = self.f, self.x, self.t
        vectors = f.div(f.add(x.out_width, t.lanes - 1), t.lanes)

        def vector(j):
            column = f.mul(f.sub(f.sub(vectors, 1), j), t.lanes)
            made = self._sums(f.at(image, column, t.type), count, x.row_advance)
            self._store(made, f.at(to, column, t.type), column, left)

        f.loop(0, vectors, 1, vector, at_least_once=True)

    def _sums(self, image: str, count: int, step: Operand) -> list[str]:
        """Some vectors, whose inputs lie `step` bytes apart."""
        f, t = self.f, self.t
        places = [image]
        while len(places) < count:
            places.append(f.at(places[-1], step))

        def tap(offset, k, *totals):
            weight = f.splat(t.type, t.lanes, f.load(t.type, f.at(self.weights, k, t.type)))
            return [
                multiply_add(f, t.type, t.lanes, weight, f.load(self.v, f.at(p, offset)), total)
                for p, total in zip(places, totals, strict=True)
            ]

        return self.each_tap(tap, [(self.v, self.windows.around)] * count)

    def _store(self, made: list[str], to: str, column: Operand, left: Operand | None) -> None:
        """Store vectors of rows; a part of the only one, if its column is above `left`."""
        f, x, t = self.f, self.x, self.t

        def whole():
            here = to
            for value in made:
                f.store(self.v, value, here)
                here = f.at(here, x.out_width, t.type)

        def part():
            store_part(f, t.type, t.lanes, made[:1], [to],
                       f.minimum(f.sub(x.out_width, column), t.lanes))

        if left is None:
            whole()
        else:
            f.branch(f.compare("sgt", column, left), part, whole)


class _Weight(Planes):
    """The gradient of weights, the other array; `out` is the gradient of the result."""

    name = "depthwise_weight"

    def plane(self, channel) -> None:
        """All images of an output channel."""
        f, x, t = self.f, self.x, self.t
        zero = splat_literal(t.type, t.lanes, "0.0")
        f.loop(0, x.taps, 1, lambda k: f.store(self.v, zero, self._total(k)), at_least_once=True)
        channels = f.mul(x.channels, x.each)

        def image(n):
            p = f.add(f.mul(n, channels), channel)
            self.prepare(self.input(p))
            grad = f.at(x.out, f.mul(p, f.mul(x.out_height, x.out_width)), t.type)
            whole = f.mul(f.div(x.taps, SEVERAL), SEVERAL)
            f.loop(0, whole, SEVERAL, lambda k: self._add(grad, k, SEVERAL))
            f.loop(whole, x.taps, 1, lambda k: self._add(grad, k, 1))

        f.loop(0, x.images, 1, image, at_least_once=True)
        out = f.at(x.other, f.mul(channel, x.taps), t.type)
        dtype = np.dtype("float64" if t.type == "double" else "float32")

        def end(k):
            total = f.load(self.v, self._total(k))
            f.store(t.type, elements.across(f, "sum", dtype, t.lanes, total), f.at(out, k, t.type))

        f.loop(0, x.taps, 1, end, at_least_once=True)

    def _total(self, k) -> str:
        return self.f.at(self.columns, self.f.mul(k, self.t.lanes), self.t.type)

    def _add(self, grad: str, k, taps: int) -> None:
        """Add the products of some taps over an image."""
        f, x, t = self.f, self.x, self.t
        starts = [f.at(self.prepared, f.argument(self.table, f.add(k, i))) for i in range(taps)]
        whole = f.op(f"and i64 {x.out_width}, {-t.lanes}")
        rest = f.sub(x.out_width, whole)
        types = [self.v] * taps

        def row(r, *totals):
            grads = f.at(grad, f.mul(r, x.out_width), t.type)
            inputs = [f.at(s, f.mul(r, x.row_advance)) for s in starts]

            def add(w, g, totals):
                return [
                    multiply_add(f, t.type, t.lanes, g, f.load(self.v, f.at(p, w, t.type)), total)
                    for p, total in zip(inputs, totals, strict=True)
                ]

            def vector(w, *totals):
                return add(w, f.load(self.v, f.at(grads, w, t.type)), totals)

            def end():
                where = f.at(grads, whole, t.type)
                return add(whole, load_part(f, t.target, t.type, t.lanes, where, rest), totals)

            totals = f.loop(0, whole, t.lanes, vector, list(zip(types, totals, strict=True)))
            return f.branch(f.compare("ne", rest, 0), end, lambda: totals, types)

        before = [f.load(self.v, self._total(f.add(k, i))) for i in range(taps)]
        carry = list(zip(types, before, strict=True))
        for i, total in enumerate(f.loop(0, x.out_height, 1, row, carry, at_least_once=True)):
            f.store(self.v, total, self._total(f.add(k, i)))
