"""Matrix products from register tiles: what a chunk of C does with its part of A and B.

All kinds of products share one argument block: `WORDS`, then `dims` times four words (size, strides
of A, B and C in bytes) for the batch. A chunk is a range of batches, rows, columns and k:

    chunk = ((batch chunk * k_chunks + k chunk) * m_chunks + row chunk) * n_chunks + column chunk
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..llvm.builder import Function, Operand, module
from ..llvm.target import Target
from . import micro
from .micro import Tiles
from .pack import call_pack, packing, panel_packer, tile_packer

# what a product may leave out: nothing; terms above the diagonal of A, or below it, which are zero; what C has above its diagonal
WHOLE, LOWER_A, UPPER_A, LOWER_C = range(4)
POINTERS = ("a", "b", "c", "bias", "scratch", "addend")
WORDS = (
    *POINTERS,
    "m", "n", "k",
    "a_row", "a_k", "b_k", "b_column", "c_row", "c_column",  # strides, in bytes
    "accumulate",  # C += A @ B
    "m_step", "n_step", "k_step", "batch_step",  # of a chunk
    "m_chunks", "n_chunks", "k_chunks",
    "c_part",  # bytes from one k chunk's C to the next one's
    "batches", "dims",
    # tiles: blocks of A and B; their places in a thread's scratch; how A (0 not, 1 rows, 2 as tiles
    # read it, from memory dense along rows) and B (0 not, 1 panel by panel, 2 a group at once, 3 it
    # was before) are packed there; whether panels are kept for all blocks of rows
    "mc", "kc", "group", "scratch_bytes", "panels", "panel_bytes", "pack_a", "pack_b", "keep",
    "addend_row",  # tiles: of the matrix that is added, if there is one
    "triangle",  # tiles: WHOLE and so on
    # dots: strides of bias
    "bias_row", "bias_column",
    # amx: the place of sums in a thread's scratch, and bytes from one block of them to the next
    "sums", "sum_step",
)


class Chunk:
    """A chunk's kernel in the making: its words as attributes, and its ranges."""

    def __init__(self, name: str):
        parameters = [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")]
        self.f = f = Function(name, parameters)
        self.words = {
            w: f.argument("%args", i, "ptr" if w in POINTERS else "i64")
            for i, w in enumerate(WORDS)
        }

    def __getattr__(self, word: str) -> str:
        return self.words[word]

    def each_batch(self, body: Callable) -> Function:
        """Write body(batch, a, b, c, ranges of m, n and k) for the chunk's batches."""
        f = self.f
        over = f.div("%chunk", self.n_chunks)
        n = self._range(f.rem("%chunk", self.n_chunks), self.n_step, self.n)
        m = self._range(f.rem(over, self.m_chunks), self.m_step, self.m)
        over = f.div(over, self.m_chunks)
        part = f.rem(over, self.k_chunks)
        k = self._range(part, self.k_step, self.k)
        batches = self._range(f.div(over, self.k_chunks), self.batch_step, self.batches)
        c = f.at(self.c, f.mul(part, self.c_part))

        def batch(number):
            a_at, b_at, c_at = self._offsets(number)
            body(number, f.at(self.a, a_at), f.at(self.b, b_at), f.at(c, c_at), m, n, k)

        f.loop(batches[0], batches[1], 1, batch)
        f.do("ret void")
        return f

    def _range(self, index: Operand, step: Operand, end: Operand) -> tuple[Operand, Operand]:
        low = self.f.mul(index, step)
        return low, self.f.minimum(self.f.add(low, step), end)

    def _offsets(self, number: Operand) -> list[str]:
        """Where a batch's A, B and C are, in bytes."""
        f, table = self.f, self.f.at("%args", len(WORDS), "i64")

        def dimension(d, rest, *offsets):
            words = f.at(table, f.mul(d, 4), "i64")
            size = f.argument(words, 0)
            at = f.rem(rest, size)
            moved = [
                f.add(o, f.mul(at, f.argument(words, i + 1))) for i, o in enumerate(offsets)
            ]
            return [f.div(rest, size), *moved]

        carry = [("i64", str(number)), *[("i64", "0")] * 3]
        return f.loop(0, self.dims, 1, dimension, carry)[1:]


def tiles_text(target: Target, dtype: np.dtype, pairs: bool = False) -> str:
    """The module of products from tiles: `tiles`; `pack_left`, `pack_right` pack a side before.

    pairs: bfloat16 is multiplied as it is, in pairs along k, which k and its strides count.
    """
    wide = "float64" if dtype.name == "float64" else "float32"
    tiles = Tiles(target, "bfloat16" if pairs else wide)
    whole = np.dtype(np.int32) if pairs else dtype  # of matrices that are dense along k
    functions = [
        tiles.library(), packing(target, whole), panel_packer(tiles, dtype),
        tile_packer(tiles, dtype), _pack_left(), _pack_right(tiles, dtype), _Tiled(tiles).write(),
    ]
    return module(functions, tiles.extra())


PACK_WORDS = ("out", "in", "out_step", "in_row", "in_column", "rows", "columns", "step")


def _packing(name: str, body: Callable) -> Function:
    """A kernel that packs a side of a product: body(f, words, first row or column) of a chunk."""
    f = Function(name, [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    x = {
        w: f.argument("%args", i, "ptr" if w in ("out", "in") else "i64")
        for i, w in enumerate(PACK_WORDS)
    }
    body(f, x, f.mul("%chunk", x["step"]))
    f.do("ret void")
    return f


def _pack_left() -> Function:
    """Rows of A, dense: A's rows are `out_step` bytes apart afterwards."""

    def body(f, x, row):
        rows = f.minimum(x["step"], f.sub(x["rows"], row))
        out = f.at(x["out"], f.mul(row, x["out_step"]))
        source = f.at(x["in"], f.mul(row, x["in_row"]))
        given = x["in_row"], x["in_column"], rows, x["columns"]
        call_pack(f, "pack", out, x["out_step"], source, *given)

    return _packing("pack_left", body)


def _pack_right(tiles: Tiles, dtype: np.dtype) -> Function:
    """Panels of B, for all k: panels are `out_step` bytes apart afterwards."""

    def body(f, x, column):
        columns = f.minimum(x["step"], f.sub(x["columns"], column))
        end = f.add(column, columns)
        given = x["in_row"], x["in_column"], x["rows"]

        def places(j):
            number = f.div(j, tiles.columns)
            out = f.at(x["out"], f.mul(number, x["out_step"]))
            return out, f.at(x["in"], f.mul(j, x["in_column"]))

        def at_once():
            out, source = places(column)
            call_pack(f, "pack_panels", out, x["out_step"], source, *given, columns)

        def one_by_one():
            def panel(j):
                out, source = places(j)
                width = f.minimum(tiles.columns, f.sub(end, j))
                call_pack(f, "pack", out, tiles.columns * tiles.itemsize, source, *given, width)

            f.loop(column, end, tiles.columns, panel)

        f.branch(f.compare("eq", x["in_column"], dtype.itemsize), at_once, one_by_one)

    return _packing("pack_right", body)


class _Tiled:
    """Writes the function `tiles`."""

    def __init__(self, tiles: Tiles):
        self.t, self.chunk = tiles, Chunk("tiles")
        self.f = self.chunk.f

    def write(self) -> Function:
        f, x = self.f, self.chunk
        self.block = f.op(f"alloca [{micro.BLOCK_WORDS} x i64], align 8")
        self.scratch = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
        self.panels = f.at(self.scratch, x.panels)
        self.packs_a, self.tiles_a = f.compare("ne", x.pack_a, 0), f.compare("eq", x.pack_a, 2)
        self.each_b, self.groups_b = f.compare("eq", x.pack_b, 1), f.compare("eq", x.pack_b, 2)
        self.direct_b = f.compare("eq", x.pack_b, 0)
        self.keeps = f.compare("ne", x.keep, 0)
        self.lower_a, self.upper_a = f.compare("eq", x.triangle, LOWER_A), f.compare("eq", x.triangle, UPPER_A)
        self.whole_c = f.compare("ne", x.triangle, LOWER_C)
        self.has_addend = f.op(f"icmp ne ptr {x.addend}, null")
        micro.set_words(f, self.block, {micro.C_ROW: x.c_row})
        return x.each_batch(self._batch)

    def _batch(self, batch, a, b, c, m, n, k) -> None:
        """Blocks of k: a panel of B stays in L1; blocks of rows: A's stays in L2."""
        f, x = self.f, self.chunk

        def k_block(low, _):
            size = f.minimum(x.kc, f.sub(k[1], low))
            first, last = f.compare("eq", low, k[0]), f.compare("sge", f.add(low, size), k[1])
            add = f.op(f"select i1 {first}, i64 {x.accumulate}, i64 1")
            bias = f.op(f"select i1 {last}, ptr {x.bias}, ptr null")
            adds = f.op(f"and i1 {first}, {self.has_addend}")
            micro.set_words(f, self.block, {micro.ADD: add, micro.ADD_ROW: x.addend_row})
            here_a, here_b = f.at(a, f.mul(low, x.a_k)), f.at(b, f.mul(low, x.b_k))

            def m_block(row):
                rows = f.minimum(x.mc, f.sub(m[1], row))
                again = f.compare("ne", row, m[0])
                left = self._left(f.at(here_a, f.mul(row, x.a_row)), rows, size)
                self._columns(left, here_b, c, row, rows, n, (low, size), again, bias, adds)

            f.loop(m[0], m[1], x.mc, m_block, at_least_once=True)
            return [f.add(low, size)]

        # at least once, for the zeros of an empty sum
        end = f.maximum(k[1], f.add(k[0], 1))
        f.loop(k[0], end, x.kc, k_block, [("i64", str(k[0]))], at_least_once=True)

    def _left(self, a: str, rows: Operand, k: Operand) -> tuple[str, str, str, str]:
        """A block of A, packed if that is wanted: its address, bytes from a tile's first row to the
        next one's, and from k to k + 1: so many, and so many more for each row of the tile.
        """
        f, x, item = self.f, self.chunk, self.t.itemsize

        def packed():
            stride = f.mul(f.add(x.kc, 64 // item), item)  # apart from a power of two
            given = self.scratch, stride, a, x.a_row, x.a_k, rows, k
            f.branch(
                self.tiles_a, lambda: call_pack(f, "pack_tiles", *given),
                lambda: call_pack(f, "pack", *given),
            )
            between, each, of_height = (
                f.op(f"select i1 {self.tiles_a}, i64 {x}, i64 {y}")
                for x, y in ((item, stride), (0, item), (item, 0))
            )
            return [self.scratch, stride, between, each, of_height]

        types = ["ptr", *["i64"] * 4]
        direct = [a, x.a_row, x.a_row, x.a_k, "0"]
        left, step, row, each, of_height = f.branch(self.packs_a, packed, lambda: direct, types)
        micro.set_words(f, self.block, {micro.A_ROW: row})
        return left, step, each, of_height

    def _columns(self, left, b, c, row, rows, n, depth, again, bias, adds) -> None:
        """Groups of panels: after a group, the block of C is complete if this was the last of k.

        depth: the first of k, and how many.
        """
        f, x, t = self.f, self.chunk, self.t
        k = depth[1]

        def group(low):
            high = f.minimum(f.add(low, x.group), n[1])

            done = f.op(f"and i1 {again}, {self.keeps}")  # by an earlier block of rows
            first = f.op(f"select i1 {self.keeps}, i64 {n[0]}, i64 {low}")
            source = f.at(b, f.mul(low, x.b_column))

            def pack_group():
                out = self._panel(low, first)
                call_pack(f, "pack_panels", out, x.panel_bytes, source, x.b_k, x.b_column, k,
                          f.sub(high, low))

            wanted = f.op(f"and i1 {self.groups_b}, {f.op(f'xor i1 {done}, true')}")
            f.branch(wanted, pack_group)

            def panel(j):
                width = f.minimum(t.columns, f.sub(high, j))
                right = self._right(b, j, first, width, k, done)
                has_bias = f.op(f"icmp ne ptr {bias}, null")
                here = f.op(f"select i1 {has_bias}, ptr {f.at(bias, j, t.type)}, ptr null")
                f.store("ptr", here, f.at(self.block, micro.BIAS, "i64"), 8)
                vectors = f.div(f.add(width, t.lanes - 1), t.lanes)
                corner = f.at(f.at(c, f.mul(row, x.c_row)), j, t.type)

                def add_here(i):
                    at = f.at(x.addend, f.mul(f.add(row, i), x.addend_row))
                    f.store("ptr", f.at(at, j, t.type), f.at(self.block, micro.ADD, "i64"), 8)

                def tile(i, height):
                    f.branch(adds, lambda: add_here(i))
                    here = f.at(left[0], f.mul(i, left[1]))
                    out = f.at(corner, f.mul(i, x.c_row))
                    step = f.add(left[2], f.mul(left[3], height))
                    micro.set_words(f, self.block, {micro.A_K: step})
                    top = f.add(row, i)
                    skip, terms = self._terms(top, height, *depth)
                    here, there = f.at(here, f.mul(skip, step)), f.at(right[0], f.mul(skip, right[1]))
                    f.branch(
                        self._is_needed(top, height, j),
                        lambda: t.call(f, height, vectors, here, there, out, terms, width, self.block),
                    )

                t.panels(f, rows, tile)

            f.loop(low, high, t.columns, panel, at_least_once=True)

        f.loop(n[0], n[1], x.group, group, at_least_once=True)

    def _terms(self, row: Operand, height: Operand, low: Operand, k: Operand) -> tuple[str, str]:
        """(how many terms of k, which begins at `low`, a tile leaves out at the start, how many it then has)."""
        f = self.f

        def part(at):
            return f.minimum(f.maximum(f.sub(at, low), 0), k)

        def some():
            skip = f.op(f"select i1 {self.upper_a}, i64 {part(row)}, i64 0")
            end = f.op(f"select i1 {self.lower_a}, i64 {part(f.add(row, height))}, i64 {k}")
            return [skip, f.sub(end, skip)]

        either = f.op(f"or i1 {self.upper_a}, {self.lower_a}")
        skip, terms = f.branch(either, some, lambda: ["0", str(k)], ["i64", "i64"])
        return skip, terms

    def _is_needed(self, row: Operand, height: Operand, column: Operand) -> str:
        """Whether a tile of C has an element that is not left out."""
        f = self.f
        seen = f.compare("slt", column, f.add(row, height))
        return f.op(f"or i1 {self.whole_c}, {seen}")

    def _panel(self, column: Operand, first: Operand) -> str:
        """The place of a packed panel."""
        f, x = self.f, self.chunk
        number = f.div(f.sub(column, first), self.t.columns)
        return f.at(self.panels, f.mul(number, x.panel_bytes))

    def _right(self, b, j, first, width, k, done) -> tuple[str, str]:
        """A panel of B, packed if wanted or if its last vector is not whole, and its stride, which is set."""
        f, x, t = self.f, self.chunk, self.t
        source = f.at(b, f.mul(j, x.b_column))
        ragged = f.compare("ne", f.op(f"and i64 {width}, {t.lanes - 1}"), 0)
        row = t.columns * t.itemsize

        def packed():
            out = self._panel(j, first)
            f.branch(
                f.op(f"or i1 {done}, {self.groups_b}"), lambda: None,
                lambda: call_pack(f, "pack", out, row, source, x.b_k, x.b_column, k, width),
            )
            return [out, row]

        wanted = f.op(f"and i1 {ragged}, {self.direct_b}")
        for packs in (self.each_b, self.groups_b):
            wanted = f.op(f"or i1 {wanted}, {packs}")
        right, stride = f.branch(wanted, packed, lambda: [source, x.b_k], ["ptr", "i64"])
        micro.set_words(f, self.block, {micro.B_K: stride})
        return right, stride
