"""3x3 convolutions with less than half of the multiplications (Winograd; Lavin and Gray, 2015).

An output tile of 2x2 pixels meets an input tile of 4x4. With small matrices A, B and G,

    tile = A^T [ sum over channels of (G w G^T) * (B^T input B) ] A

where * multiplies the 16 places one by one: sums over channels are 16 products of matrices, one for each
place, over channels and tiles. Weights are transformed; chunks of tiles are transformed, multiplied and
transformed back (if there are few tiles, the input is transformed before, and chunks share it); and
because what is not finite spreads over a tile, the last call does everything again, directly, if there was
any.

Tiles are the outputs of a convolution with kernel 4 and stride 2: images are prepared as for that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..llvm.builder import Function, Operand, module
from ..llvm.target import Target, host
from . import convolution, micro
from . import winograd_transforms as transforms
from .call import Address, Call, Workspace
from .convolution import Convolution, even_step, range_of, scratch
from .micro import Tiles
from .windows import GEOMETRY, Axis, Image, Windows, Words, call_prepare
from .winograd_transforms import PLACES

POINTERS = ("x", "w", "out", "flag", "scratch", "shared")
WORDS = (
    *GEOMETRY,
    "w", "w_place", "w_row",  # transformed weights: (place, group * output, channel)
    "out", "out_n", "out_c", "out_height", "out_columns",  # sizes of the result's images
    "outputs", "flag",
    "scratch", "scratch_bytes", "table", "runs", "prepared", "inputs", "sums",
    "input_row", "input_place", "sum_row", "sum_place",
    "channel_step", "channel_blocks", "output_step", "output_chunks", "tile_step", "tile_chunks",
    "image_step", "image_chunks",
    "shared",  # not zero: where the transformed input is, for all tiles
)


@dataclass(frozen=True)
class Weights:
    """Where the original weights (3x3 taps, dense) of a row and a column of the products are."""

    address: Address
    group_bytes: int
    row_bytes: int
    column_bytes: int


def suits(c: Convolution) -> bool:
    """Whether a convolution has the form for this, and gains."""
    d, h, w = c.image.axes
    if (d.kernel, d.out, d.size) != (1, 1, 1) or any(
        (a.kernel, a.stride, abs(a.step)) != (3, 1, 1) for a in (h, w)
    ):
        return False
    pixels = c.image.batch * h.out * w.out
    return h.step == w.step and min(c.outputs, c.image.channels) >= 24 and pixels >= 256 \
        and h.out > 1 and w.out > 1


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
        transforms.weights_text(tiles.target, c.dtype), "weights", [words[n] for n in transforms.WEIGHT_WORDS],
        c.groups * chunks, c.groups * chunks > 1 and nbytes > 1 << 18, label="transform weights",
        nbytes=nbytes,
    )


def tile_image(image: Image) -> Image:
    """The image that has tiles as its outputs."""
    d, h, w = image.axes
    return replace(image, axes=(d, *(Axis(a.size, -(-a.out // 2), 4, 2, a.low) for a in (h, w))))


def blocks(
    h: Axis, w: Axis, images: int, row_bytes: int, reading: int, columns: int
) -> tuple[int, int]:
    """(tiles, images) of a block: rows of tiles, or several images.

    They should fill panels of `columns`; their memory (row_bytes a tile) should be half a MB or little more;
    they should share few prepared rows with their neighbours, read the weights for many tiles (`reading`:
    what that costs), and be as many as there should be chunks.
    """
    count = h.out * w.out
    if w.out > 128:
        return even_step(count, -(-count // 64), columns), 1
    rows = {-(-h.out // -(-h.out // r)) for r in range(1, h.out + 1)}
    found = [(r * w.out, 1, r) for r in rows]
    found += [(count, i, h.out) for i in range(2, 1 + min(images, max(1, 128 // count)))]

    def cost(block):
        tiles, several, rows = block
        size = tiles * several
        whole, rest = divmod(size, columns)
        passes = whole + (1 if 2 * rest > columns else 0.7 if rest else 0)
        beyond = max(0, math.log2(size * row_bytes / (512 << 10)))
        few = -(-count // tiles) * -(-images // several) < convolution.BLOCKS
        return (passes * columns / size * (1 + 0.1 * beyond) + 0.1 / rows + reading / size
                + 0.15 * few)

    return min(found, key=cost)[:2]


def _tiles_calls(c, transformed, row, flag, tiles) -> list[Call]:
    item = tiles.itemsize
    image = tile_image(c.image)
    _, h, w = image.axes
    channels, count = image.channels, h.out * w.out
    channel_step = even_step(channels, -(-channels // 256), 1)
    reading = 2 if PLACES * c.outputs * channels * item < tiles.target.l2_bytes // 2 else 8
    row_bytes = PLACES * (channel_step + c.outputs) * item
    tile_step, image_step = blocks(h, w, image.batch, row_bytes, reading, tiles.columns)
    tile_chunks, image_chunks = -(-count // tile_step), -(-image.batch // image_step)
    wanted = -(-convolution.BLOCKS // (c.groups * image_chunks * tile_chunks))
    output_step = even_step(c.outputs, min(wanted, c.outputs // convolution.ROWS), tiles.rows)
    output_chunks = -(-c.outputs // output_step)
    rows = min(h.out, (tile_step - 2) // w.out + 2)
    geometry = image.geometry(tiles.lanes, item, rows)
    pitch = _pitch(image_step * tile_step, tiles)
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
                 PLACES * words["sum_place"] * (function == "winograd")]
        words |= scratch(("table", "runs", "prepared", "inputs", "sums"), sizes)
        return Call(text, function, [words[n] for n in WORDS], chunks, chunks > 1, nbytes=nbytes,
                    exports=("winograd", "inputs"), **known)

    calls = []
    if output_chunks > 1:
        rows = h.out
        words["input_row"] = row_bytes = _pitch(image_chunks * (image_step * count + tiles.lanes), tiles)
        words["input_place"] = c.groups * channels * row_bytes + 64
        words["shared"] = Address(Workspace(PLACES * words["input_place"] + 64 * tiles.lanes))
        geometry = image.geometry(tiles.lanes, item, rows)
        step = max(1, min(channels, (tiles.target.l2_bytes // 4) // geometry["channel_bytes"], 32))
        before = {**words, **geometry, "channel_step": step, "channel_blocks": -(-channels // step),
                  "tile_step": count, "tile_chunks": 1}
        calls.append(call("inputs", before, c.groups * image_chunks * before["channel_blocks"],
                          label="transform inputs"))
    chunks = c.groups * image_chunks * tile_chunks * output_chunks
    return [*calls, call("winograd", words, chunks, label=f"winograd {c.outputs}x{channels}",
                         flops=flops)]


def _pitch(count: int, tiles: Tiles) -> int:
    """Bytes of a row of tiles, with room for a vector beyond it, apart from powers of two."""
    pitch = (count // tiles.lanes + 2) * tiles.lanes * tiles.itemsize
    return pitch + 64 * (pitch % 128 == 0)


# ---------------------------------------------------------------- the tiles


def tiles_text(target: Target, dtype: str) -> str:
    """The module of `winograd`."""
    tiles = Tiles(target, dtype)
    windows = Windows(tiles, WORDS)
    functions = [*tiles.kernels(), windows.fill(), windows.runs(), transforms.input_function(tiles, WORDS),
                 transforms.output_function(tiles, WORDS), _Inputs("inputs", tiles).write(),
                 _Winograd("winograd", tiles).write()]
    return module(functions, tiles.extra())


class _Tiled:
    """What the functions that walk over tiles of images share."""

    def __init__(self, name: str, tiles: Tiles):
        self.t = tiles
        self.f = Function(name, [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.x = Words(self.f, WORDS, POINTERS)

    def start(self, chunk: Operand) -> None:
        """Ranges of tiles and images, and the places in the scratch."""
        f, x = self.f, self.x
        self.tiles, rest = range_of(f, chunk, x.tile_chunks, x.tile_step, x.pixels)
        self.images, self.group = range_of(f, rest, x.image_chunks, x.image_step, x.images)
        self.count = f.sub(self.tiles[1], self.tiles[0])
        base = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
        self.runs, self.prepared = f.at(base, x.runs), f.at(base, x.prepared)
        self.inputs, self.sums = f.at(base, x.inputs), f.at(base, x.sums)
        self.first_row = f.div(self.tiles[0], x.out_width)
        rows = f.sub(f.div(f.sub(self.tiles[1], 1), x.out_width), self.first_row)
        self.rows = f.add(f.mul(rows, x.advance), x.tap_rows)
        self.found = f.op(
            f"call i64 @runs(ptr %args, ptr {self.runs}, i64 {self.tiles[0]}, i64 {self.count}, "
            f"i64 {self.first_row})"
        )

    def transform(self, inputs: str, first: Operand, channels: Operand) -> None:
        """Transform some channels of the images into rows at `inputs`."""
        f, x = self.f, self.x
        channel = f.add(f.mul(self.group, x.channels), first)

        def image(n, inputs):
            plane = f.at(f.at(x.x, f.mul(n, x.x_n)), f.mul(channel, x.x_c))
            call_prepare(f, x, self.prepared, plane, channels, self.first_row, self.rows, "true")
            f.do(f"call void @transform(ptr %args, ptr {inputs}, ptr {self.prepared}, "
                 f"i64 {channels}, ptr {self.runs}, i64 {self.found})")
            return [f.at(inputs, self.count, self.t.type)]

        f.loop(*self.images, 1, image, [("ptr", inputs)], at_least_once=True)

    def in_shared(self, first: Operand) -> str:
        """Where the shared transformed input of a channel has the chunk's tiles."""
        f, x = self.f, self.x
        block = f.add(f.mul(x.image_step, x.pixels), self.t.lanes)  # apart: whole vectors are written
        tile = f.add(f.mul(f.div(self.images[0], x.image_step), block), self.tiles[0])
        channel = f.add(f.mul(self.group, x.channels), first)
        return f.at(f.at(x.shared, f.mul(channel, x.input_row)), tile, self.t.type)


class _Inputs(_Tiled):
    """Writes the function `inputs`: some channels of some images, transformed for all chunks."""

    def write(self) -> Function:
        f, x = self.f, self.x
        channels, rest = range_of(f, "%chunk", x.channel_blocks, x.channel_step, x.channels)
        self.start(rest)
        self.transform(self.in_shared(channels[0]), channels[0], f.sub(channels[1], channels[0]))
        return x.finish()


class _Winograd(_Tiled):
    """Writes the function `winograd`."""

    def write(self) -> Function:
        f, x = self.f, self.x
        self.outputs, rest = range_of(f, "%chunk", x.output_chunks, x.output_step, x.outputs)
        self.start(rest)
        self.block = f.op(f"alloca [{micro.BLOCK_WORDS} x i64], align 8")
        micro.set_words(f, self.block, {
            micro.A_ROW: x.w_row, micro.A_K: self.t.itemsize, micro.B_K: x.input_row,
            micro.C_ROW: x.sum_row, micro.BIAS: 0,
        })
        f.loop(0, x.channel_blocks, 1, self._channels, at_least_once=True)
        f.loop(*self.images, 1, self._back, at_least_once=True)
        return x.finish()

    def _channels(self, number) -> None:
        """Transform a block of channels, if that is not done, and multiply."""
        f, x = self.f, self.x
        first = f.mul(number, x.channel_step)
        channels = f.minimum(x.channel_step, f.sub(x.channels, first))
        is_shared = f.op(f"icmp ne ptr {x.shared}, null")

        def own():
            self.transform(self.inputs, first, channels)
            return [self.inputs]

        inputs = f.branch(is_shared, lambda: [self.in_shared(first)], own, ["ptr"])[0]
        micro.set_words(f, self.block, {micro.ADD: number})
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

        def panel(j):
            columns = f.minimum(f.sub(width, j), t.columns)
            vectors = f.div(f.add(columns, t.lanes - 1), t.lanes)
            right, out = f.at(b, j, t.type), f.at(c, j, t.type)
            t.panels(f, f.sub(self.outputs[1], self.outputs[0]), lambda i, height: t.call(
                f, height, vectors, f.at(a, f.mul(i, x.w_row)), right,
                f.at(out, f.mul(i, x.sum_row)), k, columns, self.block,
            ))

        f.loop(0, width, t.columns, panel, at_least_once=True)

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

        f.loop(*self.outputs, 1, output, [("ptr", f.at(self.sums, done, self.t.type)), ("ptr", plane)],
               at_least_once=True)
