"""The gradient of 3x3 weights by Winograd's tiles (see `winograd.py`).

    dw = G^T [ sum over tiles of (A dy A^T) * (B^T input B) ] G

For each of the sixteen places a product of matrices, over tiles. A chunk owns some channels and
outputs, and a part of the tiles: it transforms blocks of tiles of both and adds their products to
its own partial sums. A second call adds the parts, in order, and transforms back; if something is
not finite, the direct way follows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..llvm.builder import Function, Operand, float_literal, module, splat_literal, vector
from ..llvm.target import Target, host
from ..sizes import told
from . import micro
from . import winograd_transforms as transforms
from .call import Address, Call, Workspace, arithmetic_of
from .convolution import range_of, scratch
from .convolution_weight import CHUNKS, WeightGradient
from .cutting import even_step
from .micro import Tiles
from .pack import call_pack, packing
from .windows import GEOMETRY, Axis, Windows, Words
from .winograd import Source, Tiled, blocks, is_dense_3x3, pitch_of, tile_image
from .winograd_transforms import PLACES

POINTERS = ("x", "grad", "out", "flag", "scratch")
WORDS = (
    *GEOMETRY,
    "grad", "grad_n", "grad_c",
    "out", "part_bytes", "place_bytes",  # (part, place, group, channel, output)
    "outputs", "groups",
    "flag", "scratch", "scratch_bytes", "runs", "prepared", "inputs", "sums", "panel",
    "input_row", "input_place", "sum_place",
    "channel_step", "channel_chunks", "output_step", "output_chunks",
    "tile_step", "tile_chunks", "image_step", "image_chunks", "units", "unit_step",
)  # then GEOMETRY of the gradient
BACK_WORDS = (
    "partial", "out", "flag", "scratch", "scratch_bytes", "sum_row",
    "parts", "part_bytes", "place_bytes", "channels", "outputs", "channel_step", "channel_chunks",
)
STEP = 128  # channels, or outputs, of a chunk at most
PARTS_BYTES = 8 << 20  # of partial results, at most


def suits(g: WeightGradient) -> bool:
    """Whether a gradient has the form for this, and gains."""
    _, h, w = g.image.axes
    weights, pixels = g.image.channels * g.outputs, g.image.batch * h.out * w.out
    return is_dense_3x3(g.image) and min(g.image.channels, g.outputs) >= 48 and h.step == 1 \
        and pixels >= max(256, weights >> 6)


def plan(
    g: WeightGradient, directly: Callable[[Address], list[Call]], target: Target | None = None
) -> list[Call]:
    """The calls; directly(guard): those of the direct way that may have to follow."""
    target = target or host()
    tiles = Tiles(target, g.dtype)
    item, channels = tiles.itemsize, g.image.channels
    image = tile_image(g.image)
    _, h, w = image.axes
    _, out_h, out_w = g.image.axes
    axes = (image.axes[0], *(Axis(a.out, -(-a.out // 2), 2, 2) for a in (out_h, out_w)))
    size = out_w.out * item
    grad = replace(image, x=g.grad, strides=(*g.grad_strides[:2], 0, size, item),
                   channels=g.outputs, axes=axes)
    channel_step = even_step(channels, -(-channels // STEP), 1)
    output_step = even_step(g.outputs, -(-g.outputs // STEP), tiles.columns)
    channel_chunks, output_chunks = -(-channels // channel_step), -(-g.outputs // output_step)
    row_bytes = PLACES * (channel_step + output_step) * item
    tile_step, image_step = blocks(h, w, image.batch, row_bytes, 8)
    tile_chunks, image_chunks = -(-h.out * w.out // tile_step), -(-image.batch // image_step)
    units = tile_chunks * image_chunks
    place_bytes = g.groups * channels * g.outputs * item
    parts = min(units, CHUNKS // (channel_chunks * output_chunks * g.groups),
                PARTS_BYTES // (PLACES * place_bytes))
    unit_step = -(-units // max(1, parts))
    parts = -(-units // unit_step)
    rows = min(h.out, (tile_step - 2) // w.out + 2)
    geometry, other = (i.geometry(tiles.lanes, item, rows) for i in (image, grad))
    pitch = pitch_of(image_step * tile_step, tiles)
    flag, partial = Address(Workspace(8)), Address(Workspace(parts * PLACES * place_bytes))
    words = {
        **geometry, "plain": 0, "grad": g.grad, "grad_n": g.grad_strides[0],
        "grad_c": g.grad_strides[1], "out": partial, "outputs": g.outputs, "groups": g.groups,
        "flag": flag, "part_bytes": PLACES * place_bytes, "place_bytes": place_bytes,
        "input_row": pitch,
        "input_place": channel_step * pitch + 64, "sum_place": output_step * pitch + 64,
        "channel_step": channel_step, "channel_chunks": channel_chunks,
        "output_step": output_step, "output_chunks": output_chunks, "tile_step": tile_step,
        "tile_chunks": tile_chunks, "image_step": image_step, "image_chunks": image_chunks,
        "units": units, "unit_step": unit_step,
    }
    prepared = max(channel_step * geometry["channel_bytes"], output_step * other["channel_bytes"])
    sizes = [(rows + 1) * 24, prepared, PLACES * words["input_place"], PLACES * words["sum_place"],
             (pitch // item + tiles.lanes) * tiles.columns * item]
    words |= scratch(("runs", "prepared", "inputs", "sums", "panel"), sizes)
    chunks = parts * g.groups * channel_chunks * output_chunks
    other["plain"] = 0
    made = Call(
        correlate_text(target, g.dtype), "correlate_tiles",
        [*[words[n] for n in WORDS], *[other[n] for n in GEOMETRY]], chunks, chunks > 1,
        label=told("winograd weight gradient {}x{}", g.outputs, channels),
        flops=2 * PLACES * g.groups * channels * g.outputs * image.batch * h.out * w.out,
        nbytes=image.batch * g.groups * 4 * h.out * w.out * (channels + g.outputs) * item,
        arithmetic=arithmetic_of(g.dtype),
    )
    return [made, _back_call(g, partial, parts, place_bytes, flag, tiles), *directly(flag)]


def _back_call(g, partial, parts, place_bytes, flag, tiles) -> Call:
    step = max(1, 2048 // g.outputs)
    row = pitch_of(g.outputs, tiles)
    chunks = -(-g.image.channels // step)
    words = {
        "partial": partial, "out": g.out, "flag": flag, "parts": parts,
        "part_bytes": PLACES * place_bytes, "place_bytes": place_bytes,
        "channels": g.image.channels, "outputs": g.outputs, "channel_step": step,
        "channel_chunks": chunks, "sum_row": row, **scratch(("sums",), [PLACES * row]),
    }
    chunks *= g.groups
    return Call(back_text(tiles.target, g.dtype), "back", [words[n] for n in BACK_WORDS], chunks,
                chunks > 1, label="transform weight gradient",
                nbytes=PLACES * place_bytes * (parts + 1))


@functools.cache
def correlate_text(target: Target, dtype: str) -> str:
    """The module of `correlate_tiles`."""
    tiles = Tiles(target, dtype)
    windows = Windows(tiles, WORDS)
    functions = [
        tiles.library(), windows.fill(), windows.runs(), packing(target, np.dtype(dtype)),
        transforms.tile_function(tiles, "transform", 4, transforms.transformed_input),
        transforms.tile_function(tiles, "spread", 2, transforms.transformed_gradient),
        _Correlate("correlate_tiles", tiles, WORDS, POINTERS).write(),
    ]
    return module(functions, tiles.extra())


class _Correlate(Tiled):
    """Writes the function `correlate_tiles`."""

    def write(self) -> Function:
        f, x, t = self.f, self.x, self.t
        self.outputs, rest = range_of(f, "%chunk", x.output_chunks, x.output_step, x.outputs)
        self.channels, rest = range_of(f, rest, x.channel_chunks, x.channel_step, x.channels)
        self.group, part = f.rem(rest, x.groups), f.div(rest, x.groups)
        self.other = f.at("%args", len(WORDS), "i64")
        f.branch(f.compare("eq", "%chunk", 0), lambda: f.store("i64", "0", x.flag, 8))
        self.panel_row = t.columns * t.itemsize
        self.out_row = f.mul(x.outputs, t.itemsize)
        row = f.add(f.mul(self.group, x.channels), self.channels[0])
        self.out = f.at(f.at(x.out, f.mul(part, x.part_bytes)), f.mul(row, self.out_row))
        self.block = f.op(f"alloca [{micro.BLOCK_WORDS} x i64], align 8")
        micro.set_words(f, self.block, {
            micro.A_ROW: x.input_row, micro.A_K: t.itemsize, micro.B_K: self.panel_row,
            micro.C_ROW: self.out_row, micro.BIAS: 0,
        })
        low = f.mul(part, x.unit_step)
        high = f.minimum(f.add(low, x.unit_step), x.units)

        def unit(u):
            micro.set_words(f, self.block, {micro.ADD: f.minimum(f.sub(u, low), 1)})
            self._unit(u)

        f.loop(low, high, 1, unit, at_least_once=True)
        return x.finish()

    def _unit(self, number: Operand) -> None:
        """A block of tiles: both transforms, and sixteen products."""
        f, x = self.f, self.x
        self.start(number)
        channel = f.add(f.mul(self.group, x.channels), self.channels[0])
        channels = f.sub(self.channels[1], self.channels[0])
        self.transform("transform", self.input(), self.inputs, channel, channels, x.input_row,
                       x.input_place)
        output = f.add(f.mul(self.group, x.outputs), self.outputs[0])
        outputs = f.sub(self.outputs[1], self.outputs[0])
        source = Source(self.other, 2, x.grad, x.grad_n, x.grad_c, 0)
        self.transform("spread", source, self.sums, output, outputs, x.input_row, x.sum_place)
        k = f.mul(self.count, f.sub(self.images[1], self.images[0]))
        panel = f.at(f.at(x.scratch, f.mul("%thread", x.scratch_bytes)), x.panel)

        def place(p):
            a = f.at(self.inputs, f.mul(p, x.input_place))
            b, c = f.at(self.sums, f.mul(p, x.sum_place)), f.at(self.out, f.mul(p, x.place_bytes))
            f.loop(*self.outputs, self.t.columns, lambda o: self._multiply(
                a, b, c, o, k, channels, panel), at_least_once=True)

        f.loop(0, PLACES, 1, place, at_least_once=True)

    def _multiply(self, a, b, c, output, k, channels, panel) -> None:
        """All channels by a panel of outputs."""
        f, x, t = self.f, self.x, self.t
        width = f.minimum(f.sub(self.outputs[1], output), t.columns)
        source = f.at(b, f.mul(f.sub(output, self.outputs[0]), x.input_row))
        call_pack(f, "pack", panel, self.panel_row, source, t.itemsize, x.input_row, k, width)
        vectors = f.div(f.add(width, t.lanes - 1), t.lanes)
        out = f.at(c, output, t.type)
        t.panels(f, channels, lambda i, height: t.call(
            f, height, vectors, f.at(a, f.mul(i, x.input_row)), panel,
            f.at(out, f.mul(i, self.out_row)), k, width, self.block,
        ))


@functools.cache
def back_text(target: Target, dtype: str) -> str:
    """The module of `back`: partial sums to gradients; notes in the flag what is not finite."""
    t = Tiles(target, dtype)
    f = Function("back", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    x = Words(f, BACK_WORDS, BACK_WORDS[:4])
    v = vector(t.type, t.lanes)
    zero, half = (splat_literal(t.type, t.lanes, float_literal(n, t.type)) for n in (0.0, 0.5))
    buffer = f.op(f"alloca [{9 * t.lanes} x {t.type}], align 64")
    sums = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
    channels, group = range_of(f, "%chunk", x.channel_chunks, x.channel_step, x.channels)

    def channel(c):
        row = f.add(f.mul(group, x.channels), c)
        source = f.at(x.partial, f.mul(row, x.outputs), t.type)
        f.loop(0, PLACES, 1, lambda p: _add_parts(
            f, x, t, f.at(source, f.mul(p, x.place_bytes)), f.at(sums, f.mul(p, x.sum_row))
        ), at_least_once=True)
        first = f.add(f.mul(f.mul(group, x.outputs), x.channels), c)

        def outputs(o):
            u = [f.load(v, f.at(f.at(sums, f.mul(p, x.sum_row)), o, t.type)) for p in range(PLACES)]
            taps = transforms.weight_gradient(f, v, half, u)
            total = zero
            for i, tap in enumerate(taps):
                f.store(v, tap, f.at(buffer, i * t.lanes, t.type))
                total = f.op(f"fadd {v} {total}, {tap}")
            wrong = f.op(f"fmul {v} {total}, {zero}")
            lanes = f.op(f"fcmp uno {v} {wrong}, {wrong}")
            some = f.intrinsic(f"llvm.vector.reduce.or.v{t.lanes}i1", "i1",
                               (f"<{t.lanes} x i1>", lanes))
            f.branch(some, lambda: f.store("i64", "1", x.flag, 8))

            def one(i):
                place = f.add(f.mul(f.add(o, i), x.channels), first)
                to, read = f.at(x.out, f.mul(place, 9), t.type), f.at(buffer, i, t.type)
                for tap in range(9):
                    f.store(t.type, f.load(t.type, f.at(read, tap * t.lanes, t.type)),
                            f.at(to, tap, t.type))

            f.loop(0, f.minimum(f.sub(x.outputs, o), t.lanes), 1, one, at_least_once=True)

        f.loop(0, x.outputs, t.lanes, outputs, at_least_once=True)

    f.loop(*channels, 1, channel, at_least_once=True)
    return module([x.finish()])


def _add_parts(f: Function, x: Words, t: Tiles, source: str, sums: str) -> None:
    """The sums of the parts of a row; zeros after them."""
    v = vector(t.type, t.lanes)
    whole = f.op(f"and i64 {x.outputs}, {-t.lanes}")
    rest = f.sub(x.outputs, whole)

    def some(o, count=None):
        def read(p):
            at = f.at(f.at(source, f.mul(p, x.part_bytes)), o, t.type)
            return f.load(v, at) if count is None else micro.load_part(
                f, t.target, t.type, t.lanes, at, count)

        total = f.loop(1, x.parts, 1, lambda p, total: [f.op(f"fadd {v} {total}, {read(p)}")],
                       [(v, read(0))])[0]
        f.store(v, total, f.at(sums, o, t.type))

    f.loop(0, whole, t.lanes, some)
    f.branch(f.compare("ne", rest, 0), lambda: some(whole, rest))
