"""Puts the phases of a strided convolution's input together: position i * stride + f is phase f's
i-th.

    out[plane, d, h, w] = phase (d mod sd, h mod sh, w mod sw) [plane, d / sd, h / sh, w / sw]

A phase that no tap meets has no memory and counts as zeros. A chunk makes some planes (N, channel).
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, module, vector
from ..llvm.target import Target, host
from .call import Address, Call
from .convolution import range_of, scratch
from .windows import Words

WORDS = (
    "out", "planes", "plane_step", "chunks", "depth", "height", "width",
    "stride_d", "stride_h", "stride_w", "scratch", "scratch_bytes",
)  # then two for each phase: its address, and whether it has one
CHUNK_BYTES = 128 << 10


def plan(out: Address, planes: int, sizes, strides, phases: dict, dtype: str,
         target: Target | None = None) -> list[Call]:
    """The call; phases: {(fd, fh, fw): Address} of dense arrays (planes, d, h, w)."""
    target = target or host()
    dtype = np.dtype(dtype)
    step = max(1, CHUNK_BYTES // (math.prod(sizes) * dtype.itemsize))
    chunks = -(-planes // step)
    places = dict(zip(("depth", "height", "width"), sizes))
    places |= dict(zip(("stride_d", "stride_h", "stride_w"), strides))
    row = (sizes[2] // strides[2] + 1) * dtype.itemsize
    places |= {"out": out, "planes": planes, "plane_step": step, "chunks": chunks,
               **scratch(("zeros",), [row])}
    words = [places[n] for n in WORDS]
    for f in itertools.product(*map(range, strides)):
        words += [phases.get(f, 0), int(f in phases)]
    nbytes = 2 * planes * math.prod(sizes) * dtype.itemsize
    return [Call(_text(target, dtype), "interleave", words, chunks, chunks > 1 and nbytes > 1 << 18,
                 label="interleave phases", nbytes=nbytes)]


@functools.cache
def _text(target: Target, dtype: np.dtype) -> str:
    f = Function("interleave", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    x, item = Words(f, WORDS, ("out", "scratch")), dtype.itemsize
    lanes, t = target.lanes(item), elements.MEMORY[dtype.name]
    zeros = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
    row_size = f.add(f.div(x.width, x.stride_w), 1)
    f.loop(0, row_size, 1, lambda j: f.store(t, "0.0", f.at(zeros, j, t)), at_least_once=True)
    table = f.at("%args", len(WORDS), "i64")
    pairs = f.compare("eq", x.stride_w, 2)
    planes, _ = range_of(f, "%chunk", x.chunks, x.plane_step, x.planes)

    def count(size, stride, phase):
        return f.div(f.sub(f.add(size, f.sub(stride, 1)), phase), stride)

    def plane(p):
        def slice(d):
            depths = count(x.depth, x.stride_d, f.rem(d, x.stride_d))
            over = f.add(f.mul(p, depths), f.div(d, x.stride_d))
            above = f.add(f.mul(p, x.depth), d)

            def row(h):
                heights = count(x.height, x.stride_h, f.rem(h, x.stride_h))
                number = f.add(f.mul(over, heights), f.div(h, x.stride_h))
                first = f.add(f.mul(f.rem(d, x.stride_d), x.stride_h), f.rem(h, x.stride_h))
                words = f.at(table, f.mul(f.mul(first, x.stride_w), 2), "i64")
                out = f.at(x.out, f.mul(f.add(f.mul(above, x.height), h), x.width), t)

                def source(w):
                    """(a phase's row, or zeros; its length)."""
                    here = f.at(words, f.mul(w, 2), "i64")
                    there, length = f.argument(here, 1), count(x.width, x.stride_w, w)
                    start = f.at(f.argument(here, 0, "ptr"), f.mul(number, length), t)
                    has = f.compare("ne", there, 0)
                    return f.op(f"select i1 {has}, ptr {start}, ptr {zeros}"), length

                def two():
                    _pairs(f, t, lanes, out, source(0), source(1)[0], x.width)

                def several():
                    def phase(w):
                        start, length = source(w)
                        _single(f, t, f.at(out, w, t), start, 0, length, x.stride_w)

                    f.loop(0, x.stride_w, 1, phase, at_least_once=True)

                f.branch(pairs, two, several)

            f.loop(0, x.height, 1, row, at_least_once=True)

        f.loop(0, x.depth, 1, slice, at_least_once=True)

    f.loop(*planes, 1, plane, at_least_once=True)
    return module([x.finish()])


def _single(f: Function, t: str, out: str, source: str, low, high, stride) -> None:
    f.loop(low, high, 1, lambda j: f.store(
        t, f.load(t, f.at(source, j, t)), f.at(out, f.mul(j, stride), t)))


def _pairs(f: Function, t: str, lanes: int, out: str, first, b: str, width: str) -> None:
    """Two rows, element by element in turn; the first may have one more."""
    a, count = first
    v = vector(t, lanes)
    whole = f.op(f"and i64 {f.div(width, 2)}, {-lanes}")

    def step(j):
        x, y = (f.load(v, f.at(p, j, t)) for p in (a, b))
        for part in range(2):
            order = ", ".join(
                f"i32 {i // 2 + part * lanes // 2 + i % 2 * lanes}" for i in range(lanes)
            )
            made = f.op(f"shufflevector {v} {x}, {v} {y}, <{lanes} x i32> <{order}>")
            f.store(v, made, f.at(f.at(out, f.mul(j, 2), t), part * lanes, t))

    f.loop(0, whole, lanes, step)
    _single(f, t, out, a, whole, count, 2)
    _single(f, t, f.at(out, 1, t), b, whole, f.div(width, 2), 2)
