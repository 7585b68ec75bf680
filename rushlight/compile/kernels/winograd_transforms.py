"""The transforms of Winograd's convolutions (see `winograd.py`), on vectors of tiles or channels."""

from __future__ import annotations

import functools

import numpy as np

from ..llvm.builder import Function, Operand, float_literal, module, splat_literal, vector
from ..llvm.target import Target
from . import micro
from .convolution import range_of
from .micro import Tiles, mask_below, store_part
from .pack import call_pack, packing
from .windows import GEOMETRY, Words

PLACES = 16
WEIGHT_WORDS = (
    "w", "w_group", "w_row", "w_column", "tap", "tap_step", "out", "out_place", "out_row", "rows",
    "columns", "flag", "row_step", "row_chunks", "scratch", "scratch_bytes", "buffer_row",
)


# ---------------------------------------------------------------- small matrices, on vectors


def transformed_weights(f: Function, v: str, half: str, w: list) -> list[str]:
    """G w G^T, row by row, of the nine taps."""
    def each(a, b, c):
        total = f.op(f"fmul {v} {f.op(f'fadd {v} {a}, {c}')}, {half}")
        b = f.op(f"fmul {v} {b}, {half}")
        return [a, f.op(f"fadd {v} {total}, {b}"), f.op(f"fsub {v} {total}, {b}"), c]

    return _both_ways(each, [w[3 * i : 3 * i + 3] for i in range(3)])


def transformed_input(f: Function, v: str, x: list) -> list[str]:
    """B^T x B of the sixteen elements of a tile."""
    def each(a, b, c, d):
        return [f.op(f"fsub {v} {a}, {c}"), f.op(f"fadd {v} {b}, {c}"),
                f.op(f"fsub {v} {c}, {b}"), f.op(f"fsub {v} {b}, {d}")]

    return _both_ways(each, [x[4 * i : 4 * i + 4] for i in range(4)])


def transformed_sums(f: Function, v: str, m: list) -> list[str]:
    """A^T m A: the four pixels of a tile."""
    def each(a, b, c, d):
        return [f.op(f"fadd {v} {f.op(f'fadd {v} {a}, {b}')}, {c}"),
                f.op(f"fsub {v} {f.op(f'fsub {v} {b}, {c}')}, {d}")]

    return _both_ways(each, [m[4 * i : 4 * i + 4] for i in range(4)])


def transformed_gradient(f: Function, v: str, y: list) -> list[str]:
    """A y A^T of a tile's four pixels."""
    def each(a, b):
        return [a, f.op(f"fadd {v} {a}, {b}"), f.op(f"fsub {v} {a}, {b}"), f.op(f"fneg {v} {b}")]

    return _both_ways(each, [y[:2], y[2:]])


def weight_gradient(f: Function, v: str, half: str, u: list) -> list[str]:
    """G^T u G: the nine taps."""
    def each(a, b, c, d):
        total = f.op(f"fmul {v} {f.op(f'fadd {v} {b}, {c}')}, {half}")
        middle = f.op(f"fmul {v} {f.op(f'fsub {v} {b}, {c}')}, {half}")
        return [f.op(f"fadd {v} {a}, {total}"), middle, f.op(f"fadd {v} {total}, {d}")]

    return _both_ways(each, [u[4 * i : 4 * i + 4] for i in range(4)])


def _both_ways(each, rows: list[list[str]]) -> list[str]:
    """A transform of every row, then of every column; the results row by row."""
    columns = list(zip(*[each(*row) for row in rows], strict=True))
    made = [each(*column) for column in columns]
    return [x for row in zip(*made, strict=True) for x in row]


# ---------------------------------------------------------------- the weights


@functools.cache
def weights_text(target: Target, dtype: str) -> str:
    """The module of `weights`: the transformed weights, row by row of the products."""
    t = Tiles(target, dtype)
    f = Function("weights", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    x = Words(f, WEIGHT_WORDS, ("w", "out", "flag", "scratch"))
    v = vector(t.type, t.lanes)
    half = splat_literal(t.type, t.lanes, float_literal(0.5, t.type))
    rows, group = range_of(f, "%chunk", x.row_chunks, x.row_step, x.rows)
    buffer = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
    f.branch(f.compare("eq", "%chunk", 0), lambda: f.store("i64", "0", x.flag, 8))

    def row(r):
        source = f.at(f.at(x.w, f.mul(group, x.w_group)), f.mul(r, x.w_row))
        call_pack(f, "pack", buffer, x.buffer_row, source, t.itemsize, x.w_column, 9, x.columns)
        out = f.at(x.out, f.mul(f.add(f.mul(group, x.rows), r), x.out_row))

        def columns(k):
            taps = []
            for i in range(9):
                place = f.mul(f.add(x.tap, f.mul(x.tap_step, i)), x.buffer_row)
                taps.append(f.load(v, f.at(f.at(buffer, place), k, t.type)))
            to = f.at(out, k, t.type)
            for made in transformed_weights(f, v, half, taps):
                f.store(v, made, to)
                to = f.at(to, x.out_place)

        f.loop(0, x.columns, t.lanes, columns, at_least_once=True)

    f.loop(*rows, 1, row, at_least_once=True)
    return module([packing(target, np.dtype(dtype)), x.finish()])


# ---------------------------------------------------------------- tiles


def tile_function(t: Tiles, name: str, size: int, transform) -> Function:
    """Transform runs of tiles of channels of a prepared image, `size` elements wide and high.

    `out` holds rows of tiles for each place and channel, `place` and `row` bytes apart.
    """
    f = Function(
        name, [("ptr", n) for n in ("args", "out", "image", "runs")]
        + [("i64", n) for n in ("channels", "count", "row", "place")], internal=True, inline=False,
    )
    x, v = Words(f, GEOMETRY, ("x",)), vector(t.type, t.lanes)

    def channel(c, out, image):
        def run(i):
            words = f.at("%runs", f.mul(i, 3), "i64")
            source, to = f.at(image, f.argument(words, 0)), f.at(out, f.argument(words, 1))

            def tile(j):
                at = f.mul(j, t.lanes)
                row, elements = f.at(source, at, t.type), []
                for _ in range(size):
                    phases = row, f.at(row, x.phase_bytes)
                    elements += [
                        f.load(v, f.at(phases[k % 2], k // 2, t.type)) for k in range(size)
                    ]
                    row = f.at(row, x.row_bytes)
                place = f.at(to, at, t.type)
                for made in transform(f, v, elements):
                    f.store(v, made, place)
                    place = f.at(place, "%place")

            f.loop(0, f.argument(words, 2), 1, tile, at_least_once=True)

        f.loop(0, "%count", 1, run, at_least_once=True)
        return [f.at(out, "%row"), f.at(image, x.channel_bytes)]

    f.loop(0, "%channels", 1, channel, [("ptr", "%out"), ("ptr", "%image")])
    return x.finish()


def output_function(t: Tiles, names: tuple[str, ...]) -> Function:
    """Transform a row of sums back and store its pixels of a plane, tile by tile from `tile` on."""
    f = Function(
        "back", [("ptr", "args"), ("ptr", "sums"), ("ptr", "plane"), ("i64", "tile"),
                 ("i64", "count")], internal=True, inline=False,
    )
    x, v = Words(f, names, ("x", "flag")), vector(t.type, t.lanes)
    row_bytes = f.mul(x.out_columns, t.itemsize)
    first = f.div("%tile", x.out_width)
    last = f.div(f.sub(f.add("%tile", "%count"), 1), x.out_width)
    nothing = splat_literal(t.type, t.lanes, "0.0")

    def row(h, column, sums, done, wrong):
        length = f.minimum(f.sub(x.out_width, column), f.sub("%count", done))
        plane = f.at(f.at("%plane", f.mul(f.mul(h, 2), row_bytes)), f.mul(column, 2), t.type)
        columns = f.minimum(f.mul(length, 2), f.sub(x.out_columns, f.mul(column, 2)))
        both = f.compare("slt", f.add(f.mul(h, 2), 1), x.out_height)

        def tile(j, wrong):
            here, m = f.at(sums, j, t.type), []
            for _ in range(PLACES):
                m.append(f.load(v, here))
                here = f.at(here, x.sum_place)
            pixels = transformed_sums(f, v, m)
            out, left = f.at(plane, f.mul(j, 2), t.type), f.sub(columns, f.mul(j, 2))
            _store_pairs(f, t, pixels[:2], out, left)
            f.branch(both, lambda: _store_pairs(f, t, pixels[2:], f.at(out, row_bytes), left))
            total = pixels[0]
            for p in pixels[1:]:
                total = f.op(f"fadd {v} {total}, {p}")
            mask = mask_below(f, t.lanes, f.minimum(f.sub(length, j), t.lanes))
            total = f.op(f"select <{t.lanes} x i1> {mask}, {v} {total}, {v} {nothing}")
            return [micro.multiply_add(f, t.type, t.lanes, total, nothing, wrong)]

        wrong = f.loop(0, length, t.lanes, tile, [(v, wrong)], at_least_once=True)[0]
        return ["0", f.at(sums, length, t.type), f.add(done, length), wrong]

    carry = [("i64", f.rem("%tile", x.out_width)), ("ptr", "%sums"), ("i64", "0"), (v, nothing)]
    wrong = f.loop(first, f.add(last, 1), 1, row, carry, at_least_once=True)[3]
    mask = f"<{t.lanes} x i1>"
    lanes = f.op(f"fcmp uno {v} {wrong}, {wrong}")
    some = f.intrinsic(f"llvm.vector.reduce.or.v{t.lanes}i1", "i1", (mask, lanes))
    f.branch(some, lambda: f.store("i64", "1", x.flag, 8))
    return x.finish()


def _store_pairs(f: Function, t: Tiles, pixels, out: str, count: Operand) -> None:
    """Two vectors, element by element in turn; the first `count` of them."""
    v, lanes = vector(t.type, t.lanes), t.lanes
    parts = []
    for half in range(2):
        order = ", ".join(f"i32 {(i + half * lanes) // 2 + i % 2 * lanes}" for i in range(lanes))
        parts.append(f.op(
            f"shufflevector {v} {pixels[0]}, {v} {pixels[1]}, <{lanes} x i32> <{order}>"
        ))
    after = f.at(out, lanes, t.type)

    def whole():
        f.store(v, parts[0], out)
        f.store(v, parts[1], after)

    def some():
        rest = f.sub(count, lanes)
        store_part(f, t.type, lanes, parts[:1], [out], f.minimum(count, lanes))
        f.branch(f.compare("sgt", rest, 0),
                 lambda: store_part(f, t.type, lanes, parts[1:], [after], rest))

    f.branch(f.compare("sge", count, 2 * lanes), whole, some)
