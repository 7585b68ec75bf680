"""Weights of a convolution with input and output channels exchanged, as its input's gradient needs
them.

    out[group][channel][piece][output][tap] = w[group, output][channel][offsets[piece, tap]]

A piece is a depth tap; offsets are those of the taps that one phase of a strided convolution meets.
A chunk makes some channels: pieces of w are read in order, and each channel's row grows by a piece
at a time.
"""

from __future__ import annotations

import functools

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, module, vector
from ..llvm.target import Target, host
from .call import Address, Call
from .convolution import leave_unless, range_of
from .windows import Words

WORDS = (
    "guard", "w", "out", "outputs", "channels", "w_output", "w_channel",  # strides in bytes
    "pieces", "taps", "dense", "channel_step", "channel_chunks",
)  # then the offsets in bytes
STEP = 16  # channels of a chunk


def plan(w: Address, out: Address, groups: int, outputs: int, channels: int, taps: int, offsets,
         dtype: str, guard: object = 0, target: Target | None = None) -> list[Call]:
    """The call; offsets: an integer array (pieces, taps), in elements; taps: of the whole kernel."""
    target = target or host()
    item = np.dtype(dtype).itemsize
    chunks = -(-channels // STEP)
    dense = bool(np.all(np.diff(offsets, axis=1) == 1))
    words = [guard, w, out, outputs, channels, channels * taps * item, taps * item, *offsets.shape,
             int(dense), STEP, chunks, *(int(n) * item for n in offsets.reshape(-1))]
    nbytes = 2 * groups * outputs * channels * offsets.size * item
    chunks *= groups
    return [Call(_text(target, np.dtype(dtype)), "exchange", words, chunks,
                 chunks > 1 and nbytes > 1 << 18, label="exchange channels", nbytes=nbytes)]


@functools.cache
def _text(target: Target, dtype: np.dtype) -> str:
    f = Function("exchange", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    x = Words(f, WORDS, WORDS[:3])
    leave_unless(f, x.guard)
    t, item, lanes = elements.MEMORY[dtype.name], dtype.itemsize, target.lanes(dtype.itemsize)
    v = vector(t, lanes)
    channels, group = range_of(f, "%chunk", x.channel_chunks, x.channel_step, x.channels)
    table = f.at("%args", len(WORDS), "i64")
    size = f.mul(x.taps, item)
    piece_bytes = f.mul(x.outputs, size)
    channel_bytes = f.mul(x.pieces, piece_bytes)
    whole = f.op(f"and i64 {x.taps}, {-lanes}")
    dense = f.compare("ne", x.dense, 0)
    first = f.add(f.mul(group, x.channels), channels[0])

    def output(o):
        row = f.add(f.mul(group, x.outputs), o)
        source = f.at(f.at(x.w, f.mul(row, x.w_output)), f.mul(channels[0], x.w_channel))
        out = f.at(f.at(x.out, f.mul(first, channel_bytes)), f.mul(o, size))

        def channel(c, source, out):
            def piece(p):
                offsets = f.at(table, f.mul(p, x.taps), "i64")
                to = f.at(out, f.mul(p, piece_bytes))

                def run():
                    start = f.at(source, f.argument(offsets, 0))
                    for low, high, n, kind in ((0, whole, lanes, v), (whole, x.taps, 1, t)):
                        f.loop(low, high, n, lambda j, kind=kind: f.store(
                            kind, f.load(kind, f.at(start, j, t)), f.at(to, j, t)))

                def single(j):
                    f.store(t, f.load(t, f.at(source, f.argument(offsets, j))), f.at(to, j, t))

                f.branch(dense, run, lambda: f.loop(0, x.taps, 1, single) and None)

            f.loop(0, x.pieces, 1, piece, at_least_once=True)
            return [f.at(source, x.w_channel), f.at(out, channel_bytes)]

        f.loop(*channels, 1, channel, [("ptr", source), ("ptr", out)], at_least_once=True)

    f.loop(0, x.outputs, 1, output, at_least_once=True)
    return module([x.finish()])
