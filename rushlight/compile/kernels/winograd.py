"""3x3 convolutions with less than half of the multiplications (Winograd; Lavin and Gray, 2015).

An output tile of 2x2 pixels meets an input tile of 4x4. With small matrices A, B and G,

    tile = A^T [ sum over channels of (G w G^T) * (B^T input B) ] A

where * multiplies the 16 places one by one: sums over channels are 16 products of matrices, one for
each place, over channels and tiles. Weights are transformed; chunks of tiles are transformed,
multiplied and transformed back (if there are few tiles, the input is transformed before, and chunks
share it); and because what is not finite spreads over a tile, the last call does everything again,
directly, if there was any.

Tiles are the outputs of a convolution with kernel 4 and stride 2: images are prepared as for that
one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..llvm.builder import Function, Operand, module
from ..llvm.target import Target, host
from ..sizes import told
from . import convolution, micro
from . import winograd_transforms as transforms
from .call import Address, Call, Workspace, arithmetic_of
from .convolution import Convolution, range_of, scratch
from .cutting import even_step
from .last_columns import LastColumns, turned_bytes, vectors_of
from .micro import Tiles
from .pack import packing
from .windows import GEOMETRY, Axis, Image, Windows, Words
from .winograd_transforms import PLACES

POINTERS = ("x", "w", "out", "flag", "scratch", "shared")
WORDS = (
    *GEOMETRY,
    "w", "w_place", "w_row",  # transformed weights: (place, group * output, channel)
    "out", "out_n", "out_c", "out_height", "out_columns",  # sizes of the result's images
    "outputs", "flag",
    "scratch", "scratch_bytes", "table", "runs", "prepared", "inputs", "sums", "turned",
    "input_row", "input_place", "sum_row", "sum_place",
    "channel_step", "channel_blocks", "output_step", "output_chunks", "tile_step", "tile_chunks",
    "image_step", "image_chunks",
    "shared",  # not zero: where the transformed input is, for all tiles
)


MEMORY = ((512 << 10, 0.02), (3 << 20, 0.1))  # bytes of a block; what twice as many cost


@dataclass(frozen=True)
class Weights:
    """Where the original weights (3x3 taps, dense) of a row and a column of the products are."""

    address: Address
    group_bytes: int
    row_bytes: int
    column_bytes: int


def is_dense_3x3(image: Image) -> bool:
    """Whether there are 3x3 taps side by side, the stride is one, and the output has several rows."""
    d, h, w = image.axes
    return (d.kernel, d.out, d.size) == (1, 1, 1) and h.step == w.step and all(
        (a.kernel, a.stride, abs(a.step)) == (3, 1, 1) and a.out > 1 for a in (h, w)
    )


def suits(c: Convolution) -> bool:
    """Whether a convolution has the form for this, and gains."""
    _, h, w = c.image.axes
    weights = c.outputs * c.image.channels  # to transform, which fewer pixels are not worth
    return is_dense_3x3(c.image) and min(c.outputs, c.image.channels) >= 24 \
        and c.image.batch * h.out * w.out >= (256 if weights > 1 << 16 else 150)


def plan(
    c: Convolution, weights: Weights, directly: Callable[[Address], list[Call]],
    target: Target | None = None,
) -> list[Call]:
    """The calls; directly(guard): those of the direct convolution that may have to follow."""
    target = target or host()
    tiles = Tiles(target, c.dtype)
    item, lanes = tiles.itemsize, tiles.lanes
    flag = Address(Workspace(8))
    channels = c.image.channels
    row = -(-channels // lanes) * lanes * item
    transformed = Address(Workspace(PLACES * c.groups * c.outputs * row))
    return [
        _weights_call(c, weights, transformed, row, flag, tiles),
        *_tiles_calls(c, transformed, row, flag, tiles),
        *directly(flag),
    ]


def _weights_call(c, weights, transformed, row, flag, tiles) -> Call:
    item = tiles.itemsize
    step = max(1, 4096 // c.image.channels)
    chunks = -(-c.outputs // step)
    reverse = c.image.axes[2].step < 0
    buffer_row = row + tiles.lanes * item
    words = {
        "w": weights.address, "w_group": weights.group_bytes, "w_row": weights.row_bytes,
        "w_column": weights.column_bytes, "tap": 8 * reverse, "tap_step": 1 - 2 * reverse,
        "out": transformed, "out_place": c.groups * c.outputs * row, "out_row": row,
        "rows": c.outputs, "columns": c.image.channels, "flag": flag, "row_step": step,
        "row_chunks": chunks, "buffer_row": buffer_row,
        **scratch(("buffer",), [(9 + tiles.lanes) * buffer_row]),
    }
    nbytes = 25 * c.groups * c.outputs * c.image.channels * item
    return Call(
        transforms.weights_text(tiles.target, c.dtype), "weights",
        [words[n] for n in transforms.WEIGHT_WORDS],
        c.groups * chunks, c.groups * chunks > 1 and nbytes > 1 << 18, label="transform weights",
        nbytes=nbytes,
    )


def tile_image(image: Image) -> Image:
    """The image that has tiles as its outputs."""
    d, h, w = image.axes
    return replace(image, axes=(d, *(Axis(a.size, -(-a.out // 2), 4, 2, a.low) for a in (h, w))))


def blocks(
    h: Axis, w: Axis, images: int, row_bytes: int, reading: int, split: int = 1, tiles: Tiles | None = None
) -> tuple[int, int]:
    """(tiles, images) of a block: rows of tiles, or several images.

    They should fill vectors (of `tiles`), share few prepared rows with their neighbours, read the weights
    for many tiles (`reading`: what that costs), be as many as there should be chunks, by themselves rather
    than because each is `split`; and their memory (row_bytes a tile) should be below 3 MB.
    """
    count = h.out * w.out
    if w.out > 128:
        return even_step(count, -(-count // 64), tiles.columns if tiles else 1), 1
    rows = {-(-h.out // -(-h.out // r)) for r in range(1, h.out + 1)}
    found = [(r * w.out, 1, r) for r in rows]
    found += [(count, i, h.out) for i in range(2, 1 + min(images, max(1, 128 // count)))]

    def cost(block):
        of_image, several, rows = block
        size = of_image * several
        memory = sum(weight * max(0, math.log2(size * row_bytes / most)) for most, weight in MEMORY)
        chunks = -(-count // of_image) * -(-images // several)
        missing = math.log2(convolution.BLOCKS / chunks)
        few = 0.1 * (missing > 0) + 0.1 * max(0, missing - math.log2(split))
        filled = 1 if tiles is None else vectors_of(tiles, size) * tiles.lanes / size
        return filled + memory + 0.1 / rows + reading / size + few

    return min(found, key=cost)[:2]


def _tiles_calls(c, transformed, row, flag, tiles) -> list[Call]:
    item = tiles.itemsize
    image = tile_image(c.image)
    _, h, w = image.axes
    channels, count = image.channels, h.out * w.out
    channel_step = even_step(channels, -(-channels // 256), 1)
    weights = PLACES * c.outputs * channels * item / tiles.target.l2_bytes
    reading = 2 if weights < 1 / 2 else 3 if weights < 8 else 8
    row_bytes = PLACES * (channel_step + c.outputs) * item
    split = max(1, c.outputs // convolution.ROWS)
    tile_step, image_step = blocks(h, w, image.batch, row_bytes, reading, split, tiles)
    tile_chunks, image_chunks = -(-count // tile_step), -(-image.batch // image_step)
    wanted = -(-convolution.BLOCKS // (c.groups * image_chunks * tile_chunks))
    output_step = even_step(c.outputs, min(wanted, c.outputs // convolution.ROWS), tiles.rows)
    output_chunks = -(-c.outputs // output_step)
    rows = min(h.out, (tile_step - 2) // w.out + 2)
    geometry = image.geometry(tiles.lanes, item, rows)
    pitch = pitch_of(image_step * tile_step, tiles)
    words = {
        **geometry, "plain": 0, "w": transformed, "w_place": c.groups * c.outputs * row,
        "w_row": row, "out": c.out, "out_n": c.out_strides[0], "out_c": c.out_strides[1],
        "out_height": c.image.axes[1].out, "out_columns": c.image.axes[2].out,
        "outputs": c.outputs, "flag": flag, "input_row": pitch,
        "input_place": channel_step * pitch + 64, "sum_row": pitch,
        "sum_place": output_step * pitch + 64, "channel_step": channel_step,
        "channel_blocks": -(-channels // channel_step), "output_step": output_step,
        "output_chunks": output_chunks, "tile_step": tile_step, "tile_chunks": tile_chunks,
        "image_step": image_step, "image_chunks": image_chunks, "shared": 0,
    }
    flops = 2 * PLACES * c.groups * c.outputs * channels * image.batch * count
    nbytes = image.batch * 4 * count * (c.outputs + channels) * c.groups * item
    text = tiles_text(tiles.target, c.dtype)

    def call(function, words, chunks, **known):
        sizes = [0, (rows + 1) * 24, words["channel_step"] * words["channel_bytes"],
                 PLACES * words["input_place"] * (words["shared"] == 0),
                 PLACES * words["sum_place"] * (function == "winograd"),
                 turned_bytes(tiles, words["channel_step"])]
        words |= scratch(("table", "runs", "prepared", "inputs", "sums", "turned"), sizes)
        return Call(text, function, [words[n] for n in WORDS], chunks, chunks > 1, nbytes=nbytes,
                    exports=("winograd", "inputs"), arithmetic=arithmetic_of(c.dtype), **known)

    calls = []
    if output_chunks > 1:
        rows = h.out
        row_bytes = pitch_of(image_chunks * (image_step * count + tiles.lanes), tiles)
        words["input_row"] = row_bytes
        words["input_place"] = c.groups * channels * row_bytes + 64
        words["shared"] = Address(Workspace(PLACES * words["input_place"] + 64 * tiles.lanes))
        geometry = image.geometry(tiles.lanes, item, rows)
        step = max(1, min(channels, (tiles.target.l2_bytes // 4) // geometry["channel_bytes"], 32))
        before = {**words, **geometry, "channel_step": step, "channel_blocks": -(-channels // step),
                  "tile_step": count, "tile_chunks": 1}
        calls.append(call("inputs", before, c.groups * image_chunks * before["channel_blocks"],
                          label="transform inputs"))
    chunks = c.groups * image_chunks * tile_chunks * output_chunks
    return [*calls, call("winograd", words, chunks, label=told("winograd {}x{}", c.outputs, channels),
                         flops=flops)]


def pitch_of(count: int, tiles: Tiles) -> int:
    """Bytes of a row of tiles, with room for a vector beyond it, apart from powers of two."""
    pitch = (count // tiles.lanes + 2) * tiles.lanes * tiles.itemsize
    return pitch + 64 * (pitch % 128 == 0)


# ---------------------------------------------------------------- the tiles


@functools.cache
def tiles_text(target: Target, dtype: str) -> str:
    """The module of `winograd`."""
    tiles = Tiles(target, dtype, ahead=True)
    windows, last = Windows(tiles, WORDS), LastColumns(tiles)
    functions = [tiles.library(), packing(target, np.dtype(dtype)), last.library(),
                 windows.fill(), windows.runs(),
                 transforms.tile_function(tiles, "transform", 4, transforms.transformed_input),
                 transforms.output_function(tiles, WORDS), _Inputs("inputs", tiles).write(),
                 _Winograd("winograd", tiles, last).write()]
    return module(functions, tiles.extra() + "\n" + last.extra())


@dataclass(frozen=True)
class Source:
    """Images that tiles are made of: their words, a tile's size, where they are, the first row."""

    args: str
    size: int
    address: str
    n_bytes: Operand
    c_bytes: Operand
    first: Operand


class Tiled:
    """What functions that walk over tiles of images share."""

    def __init__(self, name: str, tiles: Tiles, names=WORDS, pointers=POINTERS):
        self.t = tiles
        self.f = Function(name, [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.x = Words(self.f, names, pointers)

    def start(self, block: Operand) -> Operand:
        """Ranges of tiles and images of a block, and rows of tiles; what is left of its number."""
        f, x = self.f, self.x
        self.tiles, rest = range_of(f, block, x.tile_chunks, x.tile_step, x.pixels)
        self.images, rest = range_of(f, rest, x.image_chunks, x.image_step, x.images)
        self.count = f.sub(self.tiles[1], self.tiles[0])
        self.first_row = f.div(self.tiles[0], x.out_width)
        last_row = f.div(f.sub(self.tiles[1], 1), x.out_width)
        self.tile_rows = f.add(f.sub(last_row, self.first_row), 1)
        base = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
        self.runs, self.prepared = f.at(base, x.runs), f.at(base, x.prepared)
        self.inputs, self.sums = f.at(base, x.inputs), f.at(base, x.sums)
        return rest

    def transform(self, name: str, source: Source, out: str, channel: Operand, channels: Operand,
                  row: Operand, place: Operand) -> None:
        """Transform some channels of the block's images by function `name` into rows at `out`."""
        f = self.f
        rows = f.add(f.mul(f.sub(self.tile_rows, 1), 2), source.size)
        found = f.op(
            f"call i64 @runs(ptr {source.args}, ptr {self.runs}, i64 {self.tiles[0]}, "
            f"i64 {self.count}, i64 {self.first_row})"
        )

        def image(n, out):
            plane = f.at(source.address, f.mul(n, source.n_bytes))
            plane = f.at(plane, f.mul(channel, source.c_bytes))
            first = f.add(f.mul(self.first_row, 2), source.first)
            f.do(f"call void @fill(ptr {source.args}, ptr {self.prepared}, ptr {plane}, "
                 f"i64 {channels}, i64 {first}, i64 {rows})")
            f.do(f"call void @{name}(ptr {source.args}, ptr {out}, ptr {self.prepared}, "
                 f"ptr {self.runs}, i64 {channels}, i64 {found}, i64 {row}, i64 {place})")
            return [f.at(out, self.count, self.t.type)]

        f.loop(*self.images, 1, image, [("ptr", out)], at_least_once=True)

    def input(self) -> Source:
        """The input's images, by the first words."""
        x = self.x
        return Source("%args", 4, x.x, x.x_n, x.x_c, x.first_h)


class _Inputs(Tiled):
    """Writes the function `inputs`: some channels of some images, transformed for all chunks."""

    def write(self) -> Function:
        f, x = self.f, self.x
        channels, rest = range_of(f, "%chunk", x.channel_blocks, x.channel_step, x.channels)
        channel = f.add(f.mul(self.start(rest), x.channels), channels[0])
        self.transform("transform", self.input(), in_shared(self, channel), channel,
                       f.sub(channels[1], channels[0]), x.input_row, x.input_place)
        return x.finish()


def in_shared(k: Tiled, channel: Operand) -> str:
    """Where the shared transformed input of a channel has the block's tiles."""
    f, x = k.f, k.x
    block = f.add(f.mul(x.image_step, x.pixels), k.t.lanes)  # apart: whole vectors are written
    tile = f.add(f.mul(f.div(k.images[0], x.image_step), block), k.tiles[0])
    return f.at(f.at(x.shared, f.mul(channel, x.input_row)), tile, k.t.type)


class _Winograd(Tiled):
    """Writes the function `winograd`."""

    def __init__(self, name: str, tiles: Tiles, last: LastColumns):
        super().__init__(name, tiles)
        self.last = last

    def write(self) -> Function:
        f, x = self.f, self.x
        self.outputs, rest = range_of(f, "%chunk", x.output_chunks, x.output_step, x.outputs)
        self.group = self.start(rest)
        self.block = f.op(f"alloca [{micro.BLOCK_WORDS} x i64], align 8")
        micro.set_words(f, self.block, {
            micro.A_ROW: x.w_row, micro.A_K: self.t.itemsize, micro.B_K: x.input_row,
            micro.C_ROW: x.sum_row, micro.BIAS: 0,
        })
        self.last.start(f)
        self.turned = f.at(f.at(x.scratch, f.mul("%thread", x.scratch_bytes)), x.turned)
        f.loop(0, x.channel_blocks, 1, self._channels, at_least_once=True)
        f.loop(*self.images, 1, self._back, at_least_once=True)
        return x.finish()

    def _channels(self, number) -> None:
        """Transform a block of channels, if that is not done, and multiply."""
        f, x = self.f, self.x
        first = f.mul(number, x.channel_step)
        channels = f.minimum(x.channel_step, f.sub(x.channels, first))
        channel = f.add(f.mul(self.group, x.channels), first)
        is_shared = f.op(f"icmp ne ptr {x.shared}, null")

        def own():
            self.transform("transform", self.input(), self.inputs, channel, channels, x.input_row,
                           x.input_place)
            return [self.inputs]

        inputs = f.branch(is_shared, lambda: [in_shared(self, channel)], own, ["ptr"])[0]
        self.adds = f.minimum(number, 1)
        micro.set_words(f, self.block, {micro.ADD: self.adds})
        row = f.add(f.mul(self.group, x.outputs), self.outputs[0])
        weights = f.at(f.at(x.w, f.mul(row, x.w_row)), first, self.t.type)
        width = f.mul(self.count, f.sub(self.images[1], self.images[0]))

        def place(p):
            a = f.at(weights, f.mul(p, x.w_place))
            b, c = f.at(inputs, f.mul(p, x.input_place)), f.at(self.sums, f.mul(p, x.sum_place))
            self._multiply(a, b, c, channels, width)

        f.loop(0, PLACES, 1, place, at_least_once=True)

    def _multiply(self, a, b, c, k, width) -> None:
        """The product of one place."""
        f, x, t = self.f, self.x, self.t
        outputs, few = f.sub(self.outputs[1], self.outputs[0]), self.last.count(f, width)
        whole = f.sub(width, few)

        def panel(j):
            columns = f.minimum(f.sub(whole, j), t.columns)
            vectors = f.div(f.add(columns, t.lanes - 1), t.lanes)
            right, out = f.at(b, j, t.type), f.at(c, j, t.type)
            t.panels(f, outputs, lambda i, height: t.call(
                f, height, vectors, f.at(a, f.mul(i, x.w_row)), right,
                f.at(out, f.mul(i, x.sum_row)), k, columns, self.block,
            ))

        def dots():
            self.last.turn(f, self.turned, f.at(b, whole, t.type), x.input_row, k, few)
            out = f.at(c, whole, t.type)
            self.last.multiply(f, outputs, few, a, x.w_row, self.turned, out, x.sum_row, k, self.adds)

        f.loop(0, whole, t.columns, panel)
        f.branch(f.compare("ne", few, 0), dots)

    def _back(self, n) -> None:
        """The pixels of an image."""
        f, x = self.f, self.x
        done = f.mul(f.sub(n, self.images[0]), self.count)
        channel = f.add(f.mul(self.group, x.outputs), self.outputs[0])
        plane = f.at(f.at(x.out, f.mul(n, x.out_n)), f.mul(channel, x.out_c))

        def output(o, sums, plane):
            f.do(f"call void @back(ptr %args, ptr {sums}, ptr {plane}, i64 {self.tiles[0]}, "
                 f"i64 {self.count})")
            return [f.at(sums, x.sum_row), f.at(plane, x.out_c)]

        carry = [("ptr", f.at(self.sums, done, self.t.type)), ("ptr", plane)]
        f.loop(*self.outputs, 1, output, carry, at_least_once=True)
