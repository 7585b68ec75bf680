"""The gradient of a convolution's weights: products of patches and gradients over pixels.

    dw[k, o] = sum over pixels of patches[k, pixel] * grad[o, pixel],   k = (depth tap, channel, taps)

A chunk owns some channels (rows k) and outputs of a group, and a part of the images. Block by block
of pixels, it copies patches into rows that stay in L2; of the gradient, it transposes one panel
after the other, which stays in L1 while all rows pass over it. A second call adds the parts, in
order, and transposes. Where a pixel of the output is one of the input's (1x1), the patches are the
image itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..llvm.builder import Function, module
from ..llvm.target import Target, host
from ..sizes import told
from . import combine, micro
from .call import Address, Call, Workspace, arithmetic_of
from .convolution import leave_unless, range_of, scratch
from .cutting import even_step
from .micro import Tiles
from .pack import call_pack, packing
from .windows import GEOMETRY, Image, Windows, Words, call_prepare

POINTERS = ("guard", "x", "grad", "out", "scratch")
WORDS = (
    *GEOMETRY, "guard",
    "grad", "grad_n", "grad_c", "grad_d",  # strides in bytes; pixels are dense
    "out", "part_bytes", "groups", "outputs",
    "scratch", "scratch_bytes", "table", "runs", "prepared", "panel", "patches", "patch_row",
    "in_place", "channel_step", "channel_chunks", "output_step", "output_chunks",
    "pixel_step", "pixel_chunks", "image_step",
    "units", "unit_step",  # blocks of images and pixels; of one part
)
CHUNKS = 16  # chunks that there should be at least
ROWS = 96  # rows or columns of the result that a chunk should have at least
PARTS_BYTES = 4 << 20  # of partial results, at most


@dataclass(frozen=True)
class WeightGradient:
    """A gradient of weights; `grad` has strides in bytes for N, C and depth, and dense pixels."""

    image: Image
    groups: int
    outputs: int  # of one group
    grad: Address
    grad_strides: tuple[int, int, int]
    out: Address  # (groups * outputs, channels, depth, height and width of the kernel), dense
    dtype: str = "float32"

    @property
    def rows(self) -> int:
        """Rows k of the result."""
        d, h, w = self.image.axes
        return d.kernel * self.image.channels * h.kernel * w.kernel


@dataclass(frozen=True)
class Blocks:
    """How the work is divided."""

    channel_step: int
    output_step: int
    pixel_step: int
    pixel_chunks: int
    image_step: int
    units: int
    unit_step: int  # of a part

    @property
    def parts(self) -> int:
        """The number of partial results."""
        return -(-self.units // self.unit_step)


def blocks(g: WeightGradient, tiles: Tiles, target: Target) -> Blocks:
    """A panel's pixels fill less than half of L1, patches half of L2."""
    d, h, w = g.image.flattened(tiles.itemsize)[0].axes
    item, taps, pixels = tiles.itemsize, h.kernel * w.kernel, h.out * w.out
    most = max(64, target.l1_bytes * 45 // 100 // (tiles.columns * item))
    if w.out <= most:  # whole rows of the output
        count = -(-h.out // (most // w.out))
        pixel_step = -(-h.out // count) * w.out
    else:
        pixel_step = -(-pixels // -(-pixels // most))
    pixel_chunks = -(-pixels // pixel_step)
    images = g.image.batch * d.out
    image_blocks = -(-images // max(1, most // pixels))
    image_step = -(-images // image_blocks)
    units = -(-images // image_step) * pixel_chunks
    row = pixel_step * image_step * item * taps
    channel_chunks = -(-g.image.channels // max(1, target.l2_bytes // 2 // row))
    wanted = -(-CHUNKS // (g.groups * d.kernel))
    held = g.rows * g.groups * g.outputs * item
    parts = max(1, min(-(-wanted // channel_chunks), units, PARTS_BYTES // held))
    wanted = -(-wanted // parts)
    output_chunks = max(1, min(-(-wanted // channel_chunks), g.outputs // ROWS))
    least = -(-g.image.channels * taps // ROWS)  # chunks of so few rows
    channel_chunks = max(channel_chunks, min(-(-wanted // output_chunks), g.image.channels, least))
    return Blocks(
        -(-g.image.channels // channel_chunks), even_step(g.outputs, output_chunks, tiles.columns),
        pixel_step, pixel_chunks, image_step, units, -(-units // parts),
    )


def plan(g: WeightGradient, guard: object = 0, target: Target | None = None) -> list[Call]:
    """The calls; guard: as of a `Convolution`."""
    target = target or host()
    tiles = Tiles(target, g.dtype)
    b = blocks(g, tiles, target)
    image, plain = g.image.flattened(tiles.itemsize)
    d, h, w = image.axes
    item, taps = tiles.itemsize, h.kernel * w.kernel
    part_bytes = g.groups * g.rows * g.outputs * item
    partial = Address(Workspace(b.parts * part_bytes))
    pixels = b.pixel_step * b.image_step
    rows = min(h.out, (b.pixel_step - 2) // w.out + 2)
    geometry = image.geometry(tiles.lanes, item, rows)
    patch_row = (pixels + tiles.lanes + (-pixels) % 4) * item
    if patch_row % 512 == 0:
        patch_row += 64
    channel_chunks = -(-image.channels // b.channel_step)
    output_chunks = -(-g.outputs // b.output_step)
    in_place = plain and b.image_step == 1
    words = {
        **geometry, "plain": int(plain), "guard": guard, "grad": g.grad,
        **dict(zip(("grad_n", "grad_c", "grad_d"), g.grad_strides)), "out": partial,
        "part_bytes": part_bytes, "groups": g.groups,
        "outputs": g.outputs, "patch_row": patch_row, "in_place": int(in_place),
        "channel_step": b.channel_step, "channel_chunks": channel_chunks,
        "output_step": b.output_step, "output_chunks": output_chunks,
        "pixel_step": b.pixel_step, "pixel_chunks": b.pixel_chunks, "image_step": b.image_step,
        "units": b.units, "unit_step": b.unit_step,
    }
    sizes = [taps * 8, (rows + 1) * 24, b.channel_step * geometry["channel_bytes"] * (not plain),
             (pixels + tiles.lanes) * tiles.columns * item,
             b.channel_step * taps * patch_row * (not in_place)]
    words |= scratch(("table", "runs", "prepared", "panel", "patches"), sizes)
    flops = 2 * g.rows * g.groups * g.outputs * geometry["pixels"] * geometry["images"]
    chunks = b.parts * g.groups * d.kernel * channel_chunks * output_chunks
    made = Call(
        correlate_text(target, g.dtype), "correlate", [words[n] for n in WORDS], chunks,
        chunks > 1 and flops > 400_000, label=told("weight gradient {}x{}", g.outputs, g.rows), flops=flops,
        nbytes=geometry["images"] * geometry["pixels"] * g.groups * item
        * (g.outputs + image.channels), arithmetic=arithmetic_of(g.dtype),
    )
    # batches: groups; (groups, depth taps, channels) if depth taps lie between channels
    middle, inner = (d.kernel, image.channels) if d.kernel > 1 else (1, 1)
    rows = g.rows // (middle * inner)
    end = combine.plan(partial, g.out, {
        "guard": guard,
        "parts": b.parts, "part_bytes": part_bytes, "rows": rows, "columns": g.outputs,
        "out_row": g.rows * item, "outer_bytes": g.outputs * g.rows * item, "middle": middle,
        "middle_bytes": rows * item, "inner": inner, "inner_bytes": middle * rows * item,
    }, g.groups * middle * inner, g.dtype, target)
    return [made, end]


@functools.cache
def correlate_text(target: Target, dtype: str) -> str:
    """The module of `correlate`."""
    tiles = Tiles(target, dtype)
    windows = Windows(tiles, WORDS)
    functions = [
        tiles.library(), *windows.functions(), packing(target, np.dtype(dtype)),
        _Correlate(tiles, windows).write(),
    ]
    return module(functions, tiles.extra())


class _Correlate:
    """Writes the function `correlate`."""

    def __init__(self, tiles: Tiles, windows: Windows):
        self.t, self.windows = tiles, windows
        self.f = Function("correlate", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.x = Words(self.f, WORDS, POINTERS)

    def write(self) -> Function:
        f, x, t = self.f, self.x, self.t
        leave_unless(f, x.guard)
        self.outputs, rest = range_of(f, "%chunk", x.output_chunks, x.output_step, x.outputs)
        channels, rest = range_of(f, rest, x.channel_chunks, x.channel_step, x.channels)
        self.tap, rest = f.rem(rest, x.kernel_depth), f.div(rest, x.kernel_depth)
        self.group, part = f.rem(rest, x.groups), f.div(rest, x.groups)
        self.first, self.channels = channels[0], f.sub(channels[1], channels[0])
        self.rows = f.mul(self.channels, x.taps)
        self.table = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
        self.windows.tap_table(f, x, self.table)
        self.runs, self.prepared = f.at(self.table, x.runs), f.at(self.table, x.prepared)
        self.panel, self.patches = f.at(self.table, x.panel), f.at(self.table, x.patches)
        self.panel_row = t.columns * t.itemsize
        self.plain = f.compare("ne", x.plain, 0)
        self.in_place = f.compare("ne", x.in_place, 0)
        self.block = f.op(f"alloca [{micro.BLOCK_WORDS} x i64], align 8")
        self.out_row = f.mul(x.outputs, t.itemsize)
        a_row = f.op(f"select i1 {self.in_place}, i64 {x.x_c}, i64 {x.patch_row}")
        micro.set_words(f, self.block, {
            micro.A_ROW: a_row, micro.A_K: t.itemsize, micro.B_K: self.panel_row,
            micro.C_ROW: self.out_row, micro.BIAS: 0,
        })
        self.a_row = a_row
        row = f.add(f.mul(self.group, x.kernel_depth), self.tap)
        row = f.mul(f.add(f.mul(row, x.channels), self.first), x.taps)
        out = f.at(f.at(x.out, f.mul(part, x.part_bytes)), f.mul(row, self.out_row))
        low = f.mul(part, x.unit_step)
        high = f.minimum(f.add(low, x.unit_step), x.units)

        def unit(u):
            micro.set_words(f, self.block, {micro.ADD: f.minimum(f.sub(u, low), 1)})
            self._unit(u, out)

        f.loop(low, high, 1, unit, at_least_once=True)
        return x.finish()

    def _unit(self, number, out) -> None:
        """A block of pixels of an image, or of small images."""
        f, x, t = self.f, self.x, self.t
        self.pixels, rest = range_of(f, number, x.pixel_chunks, x.pixel_step, x.pixels)
        first = f.mul(rest, x.image_step)
        self.images = first, f.minimum(f.add(first, x.image_step), x.images)
        self.count = f.sub(self.pixels[1], self.pixels[0])
        k = f.mul(self.count, f.sub(self.images[1], self.images[0]))
        a = f.branch(self.in_place, lambda: [self._image(first)[0]], self._copy_patches, ["ptr"])[0]

        def panel(o):
            width = f.minimum(f.sub(self.outputs[1], o), t.columns)
            self._copy_gradient(o, width)
            vectors = f.div(f.add(width, t.lanes - 1), t.lanes)
            c = f.at(out, o, t.type)
            t.panels(f, self.rows, lambda i, height: t.call(
                f, height, vectors, f.at(a, f.mul(i, self.a_row)), self.panel,
                f.at(c, f.mul(i, self.out_row)), k, width, self.block,
            ))

        f.loop(*self.outputs, t.columns, panel, at_least_once=True)

    def _image(self, n):
        """(the first pixel of an image's first channel, whether its slice is in the input)."""
        f, x = self.f, self.x
        image, slice = f.div(n, x.out_depth), f.rem(n, x.out_depth)
        slice = f.add(f.add(f.mul(slice, x.stride_d), x.first_d), f.mul(self.tap, x.step_d))
        channel = f.add(f.mul(self.group, x.channels), self.first)
        plane = f.at(f.at(x.x, f.mul(image, x.x_n)), f.mul(channel, x.x_c))
        plane = f.at(plane, f.mul(slice, x.x_d))
        start = f.op(f"select i1 {self.plain}, i64 {self.pixels[0]}, i64 0")
        return f.at(plane, start, self.t.type), f.op(f"icmp ult i64 {slice}, {x.depth}")

    def _copy_patches(self):
        """Rows of patches of the block's images, side by side."""
        f, x, t = self.f, self.x, self.t
        row = f.div(self.pixels[0], x.out_width)
        last = f.div(f.sub(self.pixels[1], 1), x.out_width)
        prepared = f.add(f.mul(f.sub(last, row), x.advance), x.tap_rows)

        def image(n, out):
            plane, inside = self._image(n)

            def copy():
                call_pack(f, "pack", out, x.patch_row, plane, x.x_c, t.itemsize, self.channels,
                          self.count)

            def windows():
                call_prepare(f, x, self.prepared, plane, self.channels, row, prepared, inside)
                self.windows.call_patches(
                    f, out, x.patch_row, self.prepared, self.channels, self.table, self.runs,
                    self.pixels[0], self.count, row, panel=False,
                )

            f.branch(self.plain, copy, windows)
            return [f.at(out, self.count, t.type)]

        f.loop(*self.images, 1, image, [("ptr", self.patches)], at_least_once=True)
        return [self.patches]

    def _copy_gradient(self, o, width) -> None:
        """A panel of the gradient: pixels down, channels across."""
        f, x, t = self.f, self.x, self.t
        channel = f.add(f.mul(self.group, x.outputs), o)
        corner = f.at(f.at(x.grad, f.mul(channel, x.grad_c)), self.pixels[0], t.type)

        def image(n, out):
            source = f.at(corner, f.mul(f.div(n, x.out_depth), x.grad_n))
            source = f.at(source, f.mul(f.rem(n, x.out_depth), x.grad_d))
            call_pack(f, "pack", out, self.panel_row, source, t.itemsize, x.grad_c, self.count,
                      width)
            return [f.at(out, f.mul(self.count, self.panel_row))]

        f.loop(*self.images, 1, image, [("ptr", self.panel)], at_least_once=True)
