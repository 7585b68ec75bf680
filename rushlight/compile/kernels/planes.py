"""Kernels that go plane by plane (N, channel): prepare it, then make vectors of neighbouring
outputs.

Poolings and depthwise convolutions are such kernels; they share the words `WORDS` and the class
`Planes`.
"""

from __future__ import annotations

from ..llvm.builder import Function, Operand, vector
from .call import Address
from .convolution import range_of, scratch
from .micro import Tiles, store_part
from .windows import GEOMETRY, Image, Windows, Words, call_prepare

POINTERS = ("x", "out", "other", "scratch")
WORDS = (
    *GEOMETRY,
    "out", "other", "out_height",  # dense (N, C, out_height, out_width); one more array
    "each",  # planes of the output for one of the input
    "step_h", "step_w",  # dilation
    "window_h", "window_w", "pad_h", "pad_w", "count_pad", "divisor",  # of averages
    "scratch", "scratch_bytes", "table", "columns", "prepared",
    "planes", "plane_step", "plane_chunks", "row_block", "row_chunks",
)
BLOCK_BYTES = 128 << 10  # of prepared rows


def words_of(
    tiles: Tiles, image: Image, out: Address, other: Address | int, *, whole: bool = False,
    each: int = 1, planes: int = 0, count_pad: bool = True, divisor: int = 0,
) -> tuple[dict, int]:
    """(the words, the number of chunks).

    whole: planes are not divided. planes: their number, if not all of the output.
    """
    _, h, w = image.axes
    item, every = tiles.itemsize, image.batch * image.channels * each
    planes = planes or every
    row_bytes = image.geometry(tiles.lanes, item, 1, tiles.lanes)["row_bytes"]
    rows = h.out if whole else max(1, min(h.out, BLOCK_BYTES // (row_bytes * h.stride)))
    row_chunks = -(-h.out // rows)
    taps = h.kernel * w.kernel
    plane_step = max(1, 16384 * planes // (every * rows * w.out * taps))
    plane_chunks = -(-planes // plane_step)
    geometry = image.geometry(tiles.lanes, item, rows, tiles.lanes)
    columns = max(2 * (w.out + tiles.lanes), taps * tiles.lanes) * item
    sizes = [taps * 16, columns, geometry["channel_bytes"]]
    return {
        **geometry, "plain": 0, "out": out, "other": other, "out_height": h.out, "each": each,
        "step_h": h.step, "step_w": w.step, "window_h": h.kernel, "window_w": w.kernel,
        "pad_h": -h.first, "pad_w": -w.first, "count_pad": int(count_pad), "divisor": divisor,
        "planes": planes, "plane_step": plane_step, "plane_chunks": plane_chunks,
        "row_block": rows, "row_chunks": row_chunks,
        **scratch(("table", "columns", "prepared"), sizes),
    }, row_chunks * plane_chunks


class Planes:
    """What a chunk does: planes of the output, and for each a block of rows."""

    def __init__(self, kind: str, tiles: Tiles, windows: Windows):
        self.t, self.windows = tiles, windows
        self.v = vector(tiles.type, tiles.lanes)
        self.f = Function(kind, [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.x = Words(self.f, WORDS, POINTERS)

    def write(self) -> Function:
        f, x = self.f, self.x
        rows, rest = range_of(f, "%chunk", x.row_chunks, x.row_block, x.out_height)
        planes, _ = range_of(f, rest, x.plane_chunks, x.plane_step, x.planes)
        self.rows = rows
        self.table = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
        self.columns, self.prepared = f.at(self.table, x.columns), f.at(self.table, x.prepared)
        self.windows.tap_table(f, x, self.table)
        self.start()
        f.loop(*planes, 1, self.plane, at_least_once=True)
        return x.finish()

    def start(self) -> None:
        """Write what is needed once in a chunk."""

    def plane(self, p) -> None:
        """Write what is done with a plane."""
        f, x = self.f, self.x
        self.prepare(self.input(p))
        self.each_row(self.prepared, f.mul(p, f.mul(x.out_height, x.out_width)))

    def each_row(self, image: str, out) -> None:
        """Write the rows of a prepared plane, whose outputs begin `out` elements from the first."""
        f, x = self.f, self.x

        def row(r):
            here = f.at(image, f.mul(f.sub(r, self.rows[0]), x.row_advance))
            to = f.add(out, f.mul(r, x.out_width))
            self.each_vector(lambda w, count: self.outputs(r, w, f.at(here, w, self.t.type),
                                                           f.add(to, w), count))

        f.loop(*self.rows, 1, row, at_least_once=True)

    def outputs(self, row, column, image, out, count) -> None:
        """Write what makes the outputs from a column on, `out` elements from the first."""
        raise NotImplementedError

    def input(self, p) -> str:
        """The plane of the input that an output's plane is made of."""
        f, x = self.f, self.x
        p = f.div(p, x.each)
        at = f.add(f.mul(f.div(p, x.channels), x.x_n), f.mul(f.rem(p, x.channels), x.x_c))
        return f.at(x.x, at)

    def prepare(self, plane: str) -> None:
        """Write the preparation of a plane."""
        f, x = self.f, self.x
        prepared = f.sub(f.sub(self.rows[1], self.rows[0]), 1)
        prepared = f.add(f.mul(prepared, x.advance), x.tap_rows)
        call_prepare(f, x, self.prepared, plane, 1, self.rows[0], prepared, "true")

    def each_vector(self, body) -> None:
        """body(column, count) for the vectors of a row."""
        f, x, lanes = self.f, self.x, self.t.lanes
        f.loop(0, x.out_width, lanes, lambda w: body(
            w, f.minimum(f.sub(x.out_width, w), lanes)), at_least_once=True)

    def each_tap(self, body, carry):
        """body(offset of the tap in a prepared plane, its number, values)."""
        f = self.f
        return f.loop(0, self.x.taps, 1, lambda k, *held: body(
            f.argument(self.table, k), k, *held), carry, at_least_once=True)

    def store(self, value: str, pointer: str, count: Operand, type: str = "") -> None:
        """The first `count` elements of a vector."""
        store_part(self.f, type or self.t.type, self.t.lanes, [value], [pointer], count)
