"""Convolutions, forward: for every image and group, a matrix product of the weights and patches.

    out[o, pixel] = sum over k of W[o, k] * patches[k, pixel],   k = (depth tap, channel, taps)

A chunk makes some output channels of a block of pixels. Block by block of channels, it copies the
patches that the pixels meet into panels in its scratch, which stay in L2 while all its rows of W
pass over them. Where a pixel of the output is one of the input's (1x1), panels are copied straight
from the image.

The gradient with respect to the input is the same with other words: taps step backwards
(`Axis.step`), and weights have input and output channels exchanged; for strides, one convolution
for each phase of the input's positions (`input_gradient` in lowering).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..llvm.builder import Function, Operand, module
from ..llvm.target import Target, host
from ..sizes import told
from . import micro
from .call import Address, Call, Workspace, arithmetic_of
from .cutting import even_step
from .last_columns import LastColumns, most_last, turned_bytes
from .micro import Tiles
from .pack import call_pack, packing
from .windows import GEOMETRY, Image, Windows, Words, call_prepare

POINTERS = ("guard", "x", "w", "out", "scratch")
WORDS = (
    *GEOMETRY, "guard",
    "w", "w_row",  # weights and bytes of an output channel of them
    "out", "out_n", "out_c", "out_d",  # the result and its strides in bytes; pixels are dense
    "groups", "outputs",  # channels of one group
    "scratch", "scratch_bytes", "table", "runs", "prepared", "panels", "panel_bytes", "slot",
    "channel_step", "channel_blocks", "row_block",  # blocks of channels; of rows of W
    "output_step", "output_chunks", "pixel_step", "pixel_chunks", "image_step", "image_chunks",
)
BLOCKS = 8  # chunks that a convolution should have at least
ROWS = 48  # output channels below which chunks are not divided


@dataclass(frozen=True)
class Convolution:
    """A convolution: weights are (groups * outputs, depth taps, channels, taps), dense."""

    image: Image
    groups: int
    outputs: int  # of one group
    weights: Address
    out: Address
    out_strides: tuple[int, int, int]  # bytes: N, C, depth
    dtype: str = "float32"
    guard: object = 0  # address of a word: nothing is done while it is zero


def plan(c: Convolution, target: Target | None = None) -> list[Call]:
    """The call of a convolution."""
    target = target or host()
    tiles = Tiles(target, c.dtype)
    image, plain = c.image.flattened(tiles.itemsize)
    d, h, w = image.axes
    item, taps, pixels = tiles.itemsize, h.kernel * w.kernel, h.out * w.out
    depth = max(256, target.l1_bytes * 6 // 10 // (tiles.columns * item))
    blocks = -(-image.channels // max(1, depth // taps))
    channel_step = -(-image.channels // blocks)
    panel_bytes = channel_step * taps * tiles.columns * item
    # panels in a block: they fill half of L2
    most = max(1, target.l2_bytes // 2 // panel_bytes)
    panels = -(-pixels // tiles.columns)
    pixel_chunks = -(-panels // most)
    pixel_step = -(-panels // pixel_chunks) * tiles.columns
    images = image.batch * d.out
    image_chunks = -(-images // max(1, most // panels))
    image_step = -(-images // image_chunks)
    wanted = -(-BLOCKS // (c.groups * image_chunks * pixel_chunks))
    output_step = even_step(c.outputs, min(wanted, c.outputs // ROWS), tiles.rows)
    output_chunks = -(-c.outputs // output_step)
    rows = min(h.out, (pixel_step - 2) // w.out + 2)
    geometry = image.geometry(tiles.lanes, item, rows)
    slot = max(panel_bytes, turned_bytes(tiles, channel_step * taps))  # of a panel, or of turned columns
    a_rows = target.l2_bytes // (channel_step * taps * item)  # rows of W that fill L2
    words = {
        **geometry, "plain": int(plain), "guard": c.guard, "w": c.weights,
        "w_row": d.kernel * image.channels * taps * item, "out": c.out,
        **dict(zip(("out_n", "out_c", "out_d"), c.out_strides)), "groups": c.groups,
        "outputs": c.outputs,
        "channel_step": channel_step, "channel_blocks": blocks,
        "row_block": max(1, a_rows // 4 // tiles.rows) * tiles.rows,
        "panel_bytes": slot if output_step > a_rows // 2 else 0, "slot": slot,
        "output_step": output_step, "output_chunks": output_chunks, "pixel_step": pixel_step,
        "pixel_chunks": pixel_chunks, "image_step": image_step, "image_chunks": image_chunks,
    }
    few = 0 < pixels % tiles.lanes <= most_last(tiles)  # last columns have a place of their own, and one beside it
    places = image_step * (pixel_step // tiles.columns + few) + few
    lines = [taps * 8, (rows + 1) * 24, channel_step * geometry["channel_bytes"] * (not plain), places * slot]
    words |= scratch(("table", "runs", "prepared", "panels"), lines)
    flops = 2 * images * pixels * c.groups * c.outputs * d.kernel * image.channels * taps
    chunks = c.groups * image_chunks * pixel_chunks * output_chunks
    return [Call(
        convolve_text(target, c.dtype), "convolve", [words[n] for n in WORDS], chunks,
        chunks > 1 and flops > 400_000, label=told("convolution {}x{}x{}", c.outputs, image.channels, taps),
        flops=flops, nbytes=images * pixels * (c.outputs + image.channels) * c.groups * item,
        arithmetic=arithmetic_of(c.dtype),
    )]


def scratch(names: tuple[str, ...], sizes: list[int]) -> dict:
    """Words for a thread's scratch: where each part begins (the first at 0), and the whole."""
    words, at = {}, 0
    for name, size in zip(names, sizes, strict=True):
        words[name] = at
        at += -(-(size + 256) // 64) * 64  # whole vectors are read and written beyond the ends
    at += 64 * (at // 64 % 2 == 0)  # threads' parts begin in different sets of the caches
    return {**words, "scratch": Workspace(at, per_thread=True), "scratch_bytes": at}


@functools.cache
def convolve_text(target: Target, dtype: str) -> str:
    """The module of `convolve`."""
    tiles = Tiles(target, dtype, ahead=True)
    windows, last = Windows(tiles, WORDS), LastColumns(tiles)
    functions = [
        tiles.library(), *windows.functions(), packing(target, np.dtype(dtype)), last.library(),
        _Convolve(tiles, windows, last).write(),
    ]
    return module(functions, tiles.extra() + "\n" + last.extra())


def leave_unless(f: Function, guard: str) -> None:
    """Return at once if the word at `guard`, an address or null, is zero."""
    look, leave, stay = f.label(), f.label(), f.label()
    there = f.op(f"icmp ne ptr {guard}, null")
    f.do(f"br i1 {there}, label %{look}, label %{stay}")
    f.place(look)
    zero = f.compare("eq", f.load("i64", guard, 8), 0)
    f.do(f"br i1 {zero}, label %{leave}, label %{stay}")
    f.place(leave)
    f.do("ret void")
    f.place(stay)


Range = tuple[Operand, Operand]  # first, end


def range_of(
    f: Function, index: Operand, chunks: Operand, step: Operand, end: Operand
) -> tuple[Range, Operand]:
    """((first, end) by the lowest digit of a chunk's number, what is left of the number)."""
    low = f.mul(f.rem(index, chunks), step)
    return (low, f.minimum(f.add(low, step), end)), f.div(index, chunks)


class _Convolve:
    """Writes the function `convolve`."""

    def __init__(self, tiles: Tiles, windows: Windows, last: LastColumns):
        self.t, self.windows, self.last = tiles, windows, last
        self.f = Function("convolve", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.x = Words(self.f, WORDS, POINTERS)

    def write(self) -> Function:
        f, x = self.f, self.x
        leave_unless(f, x.guard)
        self.outputs, rest = range_of(f, "%chunk", x.output_chunks, x.output_step, x.outputs)
        self.pixels, rest = range_of(f, rest, x.pixel_chunks, x.pixel_step, x.pixels)
        self.images, self.group = range_of(f, rest, x.image_chunks, x.image_step, x.images)
        self.table = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
        self.windows.tap_table(f, x, self.table)
        self.runs, self.image = f.at(self.table, x.runs), f.at(self.table, x.prepared)
        self.panels = f.at(self.table, x.panels)
        self.few = self.last.count(f, f.sub(self.pixels[1], self.pixels[0]))
        self.whole = f.sub(self.pixels[1], self.few)
        self.first_row = f.div(self.pixels[0], x.out_width)
        output_rows = f.sub(f.div(f.sub(self.pixels[1], 1), x.out_width), self.first_row)
        self.rows = f.add(f.mul(output_rows, x.advance), x.tap_rows)
        self.plain = f.compare("ne", x.plain, 0)
        self.block = f.op(f"alloca [{micro.BLOCK_WORDS} x i64], align 8")
        self.last.start(f)
        self.panel_row = self.t.columns * self.t.itemsize
        micro.set_words(f, self.block, {
            micro.A_ROW: x.w_row, micro.A_K: self.t.itemsize, micro.B_K: self.panel_row,
            micro.C_ROW: x.out_c, micro.BIAS: 0,
        })
        blocks = f.mul(x.kernel_depth, x.channel_blocks)
        f.loop(0, blocks, 1, lambda number: self._block(number, blocks), at_least_once=True)
        return x.finish()

    def _block(self, number, blocks) -> None:
        """A block of channels at one depth tap."""
        f, x = self.f, self.x
        self.tap = f.div(number, x.channel_blocks)
        first = f.mul(f.rem(number, x.channel_blocks), x.channel_step)
        self.channels = f.minimum(x.channel_step, f.sub(x.channels, first))
        self.channel = f.add(f.mul(self.group, x.channels), first)
        self.k = f.mul(self.channels, x.taps)
        column = f.mul(f.add(f.mul(self.tap, x.channels), first), x.taps)
        self.weights = f.at(x.w, column, self.t.type)
        self.adds = f.minimum(number, 1)
        micro.set_words(f, self.block, {micro.ADD: self.adds})
        one = f.compare("ne", x.panel_bytes, 0)
        f.branch(one, self._all_panels, self._panel_by_panel)

    def _panel_by_panel(self) -> None:
        """A panel stays in L1 while all rows of W pass over it."""
        f, outputs = self.f, self.outputs

        def image(n):
            plane, out = self._prepare(n), self._out(n)

            def both(pack, multiply):
                return lambda *at: (pack(plane, *at), multiply(outputs, out, *at))

            self._each_panel(
                self.panels, both(self._pack, self._tiles), both(self._turn, self._dots)
            )

        f.loop(*self.images, 1, image, at_least_once=True)

    def _all_panels(self) -> None:
        """Panels stay in L2 while a block of rows of W passes over them."""
        f, x = self.f, self.x

        def pack(n, panels):
            plane = self._prepare(n)
            return [self._each_panel(
                panels, lambda *at: self._pack(plane, *at), lambda *at: self._turn(plane, *at)
            )]

        f.loop(*self.images, 1, pack, [("ptr", self.panels)], at_least_once=True)

        def block(o):
            rows = o, f.minimum(f.add(o, x.row_block), self.outputs[1])

            def image(n, panels):
                out = self._out(n)
                return [self._each_panel(
                    panels, lambda *at: self._tiles(rows, out, *at),
                    lambda *at: self._dots(rows, out, *at),
                )]

            f.loop(*self.images, 1, image, [("ptr", self.panels)], at_least_once=True)

        f.loop(*self.outputs, x.row_block, block, at_least_once=True)

    # ------------------------------------------------------------ an image

    def _each_panel(self, panels: str, body, few) -> str:
        """body(first pixel, pixels, place) for the panels of an image, few(...) for its last columns;
        where they end."""
        f, columns = self.f, self.t.columns

        def panel(p, b):
            body(p, f.minimum(f.sub(self.whole, p), columns), b)
            return [f.at(b, self.x.panel_bytes)]

        end = f.loop(self.pixels[0], self.whole, columns, panel, [("ptr", panels)])[0]

        def last():
            few(self.whole, self.few, end)
            return [f.at(end, self.x.panel_bytes)]

        return f.branch(f.compare("ne", self.few, 0), last, lambda: [end], ["ptr"])[0]

    def _prepare(self, n: Operand) -> str:
        """Prepare an image's rows, unless they are read in place; returns its first channel."""
        f, x = self.f, self.x
        image, slice = f.div(n, x.out_depth), f.rem(n, x.out_depth)
        slice = f.add(f.add(f.mul(slice, x.stride_d), x.first_d), f.mul(self.tap, x.step_d))
        plane = f.at(f.at(x.x, f.mul(image, x.x_n)), f.mul(self.channel, x.x_c))
        plane = f.at(plane, f.mul(slice, x.x_d))

        inside = f.op(f"icmp ult i64 {slice}, {x.depth}")
        f.branch(self.plain, lambda: None, lambda: call_prepare(
            f, x, self.image, plane, self.channels, self.first_row, self.rows, inside
        ))
        return plane

    def _pack(self, plane: str, p: Operand, width: Operand, panel: str) -> None:
        """Copy the patches of some pixels into a panel."""
        f, x, t = self.f, self.x, self.t
        f.branch(
            self.plain,
            lambda: call_pack(f, "pack", panel, self.panel_row, f.at(plane, p, t.type), x.x_c,
                              t.itemsize, self.channels, width),
            lambda: self.windows.call_patches(f, panel, self.panel_row, self.image, self.channels,
                                              self.table, self.runs, p, width, self.first_row,
                                              panel=True),
        )

    def _turn(self, plane: str, p: Operand, count: Operand, place: str) -> None:
        """Copy the patches of the last pixels, and turn them into rows."""
        beside = self.f.at(place, self.x.slot)
        self._pack(plane, p, count, beside)
        self.last.turn(self.f, place, beside, self.panel_row, self.k, count)

    def _out(self, n: Operand) -> str:
        """Where the result's first channel of this group begins in an image."""
        f, x = self.f, self.x
        out = f.at(x.out, f.mul(f.div(n, x.out_depth), x.out_n))
        out = f.at(out, f.mul(f.rem(n, x.out_depth), x.out_d))
        return f.at(out, f.mul(f.mul(self.group, x.outputs), x.out_c))

    def _tiles(self, rows: Range, out: str, p: Operand, width: Operand, panel: str) -> None:
        """A range of rows of W over a panel."""
        f, x, t = self.f, self.x, self.t
        vectors = f.div(f.add(width, t.lanes - 1), t.lanes)
        weights, c = self._first(rows, out, p)
        t.panels(f, f.sub(rows[1], rows[0]), lambda i, height: t.call(
            f, height, vectors, f.at(weights, f.mul(i, x.w_row)), panel,
            f.at(c, f.mul(i, x.out_c)), self.k, width, self.block,
        ))

    def _dots(self, rows: Range, out: str, p: Operand, count: Operand, turned: str) -> None:
        """A range of rows of W over the last pixels."""
        f, x = self.f, self.x
        weights, c = self._first(rows, out, p)
        self.last.multiply(f, f.sub(rows[1], rows[0]), count, weights, x.w_row, turned, c, x.out_c,
                           self.k, self.adds)

    def _first(self, rows: Range, out: str, p: Operand) -> tuple[str, str]:
        """Where the first row of W begins in this block of channels, and its result."""
        f, x = self.f, self.x
        first = f.add(f.mul(self.group, x.outputs), rows[0])
        return (f.at(self.weights, f.mul(first, x.w_row)),
                f.at(f.at(out, f.mul(rows[0], x.out_c)), p, self.t.type))
