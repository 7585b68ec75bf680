"""Copies a block of a matrix to where kernels like to read it: dense rows, widened for sums.

    void @pack(ptr out, i64 out_row, ptr in, i64 in_row, i64 in_column, i64 rows, i64 columns)

    out[r * out_row + c] = in[r * in_row + c * in_column]    (strides in bytes; out is dense in c)

Where `in` is dense along c, rows are copied; where it is dense along r, squares of lanes x lanes
are transposed in registers; otherwise elements go one by one. Whole vectors are written: `out`
needs room for columns rounded up to lanes in every row, and (transposed) for as many rows more as
there are lanes. What is written there is undefined. Of `in`, nothing outside of the block is read.

Packing B is pack(panel, panel row, B, B's k stride, B's column stride, k, columns of the panel);
packing rows of A is pack(block, block row, A, A's row stride, A's k stride, rows, k).
"""

from __future__ import annotations

import functools

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, Library, Operand, splat_literal, vector
from ..llvm.target import Target
from .micro import Tiles, load_part

PARAMETERS = [
    ("ptr", "out"), ("i64", "out_row"), ("ptr", "in"), ("i64", "in_row"), ("i64", "in_column"),
    ("i64", "rows"), ("i64", "columns"),
]


def packers(target: Target, dtype: np.dtype, name: str = "pack") -> list[Function]:
    """The function `name` and those that it calls."""
    return [
        _dispatch(dtype, name), _copy(target, dtype, f"{name}_copy"),
        _transpose(target, dtype, f"{name}_transpose"), _one_by_one(dtype, f"{name}_each"),
    ]


@functools.cache
def packing(target: Target, dtype: np.dtype) -> Library:
    """The function `pack`, for several families."""
    return Library(f"pack_{dtype}", packers(target, dtype), ("pack",))


def call_pack(f: Function, name: str, *arguments: Operand) -> None:
    """Write a call of a packer; arguments as in PARAMETERS."""
    given = ", ".join(f"{t} {a}" for (t, _), a in zip(PARAMETERS, arguments, strict=True))
    f.do(f"call void @{name}({given})")


def _function(name: str) -> Function:
    return Function(name, PARAMETERS, internal=True, inline=False)


def _dispatch(dtype: np.dtype, name: str) -> Function:
    f = _function(name)
    given = [f"%{n}" for _, n in PARAMETERS]

    def otherwise():
        dense = f.compare("eq", "%in_row", dtype.itemsize)
        f.branch(
            dense, lambda: call_pack(f, f"{name}_transpose", *given),
            lambda: call_pack(f, f"{name}_each", *given),
        )

    dense = f.compare("eq", "%in_column", dtype.itemsize)
    f.branch(dense, lambda: call_pack(f, f"{name}_copy", *given), otherwise)
    f.do("ret void")
    return f


def _load(f: Function, target: Target, dtype: np.dtype, p: str, count: Operand | None) -> str:
    """A vector (its first `count` elements), as it is computed with."""
    lanes, held = _lanes(target, dtype), elements.MEMORY[dtype.name]
    if count is None:
        x = f.load(vector(held, lanes), p)
    else:
        x = load_part(f, target, held, lanes, p, count)
    return elements.to_register(f, x, dtype, lanes)


def _load_pair(f: Function, target: Target, places: tuple[str, str], count: Operand | None) -> str:
    """Two vectors of 16-bit elements as one of pairs in 32 bits."""
    lanes = target.lanes(4)
    v, found = vector("i32", lanes), []
    for p in places:
        if count is None:
            x = f.load(vector("i16", lanes), p)
        else:
            x = load_part(f, target, "i16", lanes, p, count)
        found.append(f.op(f"zext {vector('i16', lanes)} {x} to {v}"))
    high = f.op(f"shl {v} {found[1]}, {splat_literal('i32', lanes, '16')}")
    return f.op(f"or {v} {found[0]}, {high}")


def _lanes(target: Target, dtype: np.dtype) -> int:
    return target.lanes(max(dtype.itemsize, 4))


def _copy(target: Target, dtype: np.dtype, name: str) -> Function:
    f, lanes = _function(name), _lanes(target, dtype)
    register = elements.register_type(dtype)
    whole = f.op(f"and i64 %columns, {-lanes}")
    rest = f.sub("%columns", whole)
    ragged = f.compare("ne", rest, 0)

    def row(r, source, out):
        def one(c, count=None):
            x = _load(f, target, dtype, f.at(source, f.mul(c, dtype.itemsize)), count)
            f.store(vector(register, lanes), x, f.at(out, c, register))

        f.loop(0, whole, lanes, one)
        f.branch(ragged, lambda: one(whole, rest))
        return [f.at(source, "%in_row"), f.at(out, "%out_row")]

    f.loop(0, "%rows", 1, row, carry=[("ptr", "%in"), ("ptr", "%out")])
    f.do("ret void")
    return f


def panel_packer(tiles: Tiles, dtype: np.dtype, name: str = "pack_panels") -> Function:
    """Packs several panels of a matrix that is dense along its columns: reads whole rows.

    out_row: bytes from one panel to the next. With tiles of bfloat16, a row is a pair of rows.
    """
    f, lanes, target, vectors = _function(name), tiles.lanes, tiles.target, tiles.vectors
    pairs = tiles.dtype == "bfloat16"
    register = "i32" if pairs else tiles.type
    half = f.div("%in_row", 2)

    def load(p, count=None):
        if pairs:
            return _load_pair(f, target, (p, f.at(p, half)), count)
        return _load(f, target, dtype, p, count)

    width = vectors * lanes
    whole = f.sub("%columns", f.rem("%columns", width))
    ragged = f.compare("ne", whole, "%columns")
    v = vector(register, lanes)

    def row(r, source, out):
        def panel(c, out):
            for q in range(vectors):
                at = f.at(source, f.mul(f.add(c, q * lanes), dtype.itemsize))
                f.store(v, load(at), f.at(out, q * lanes, register))
            return [f.at(out, "%out_row")]

        last = f.loop(0, whole, width, panel, carry=[("ptr", out)])[0]

        def rest():
            def one(c):
                at = f.at(source, f.mul(c, dtype.itemsize))
                x = load(at, f.minimum(lanes, f.sub("%columns", c)))
                f.store(v, x, f.at(last, f.sub(c, whole), register))

            f.loop(whole, "%columns", lanes, one)

        f.branch(ragged, rest)
        return [f.at(source, "%in_row"), f.at(out, width, register)]

    f.loop(0, "%rows", 1, row, carry=[("ptr", "%in"), ("ptr", "%out")])
    f.do("ret void")
    return f


def tile_packer(tiles: Tiles, dtype: np.dtype, name: str = "pack_tiles") -> Function:
    """Packs A, dense along its rows, as tiles will read it: panels of h rows as [k][h].

    The panel that begins with row r begins at r * out_row; heights are those of `Tiles.panels`. A
    vector more is written after each panel. With tiles of bfloat16, a column is a pair of columns.
    """
    f, lanes, target, item = _function(name), tiles.lanes, tiles.target, tiles.itemsize
    pairs = tiles.dtype == "bfloat16"
    v = vector("i32" if pairs else tiles.type, lanes)
    vectors = -(-tiles.rows // lanes)
    half = f.div("%in_column", 2)

    def load(p, count=None):
        if pairs:
            return [_load_pair(f, target, (p, f.at(p, half)), count)]
        return [_load(f, target, dtype, p, count)]

    count, low, higher = tiles.split(f, "%rows")

    def column(k, source, out):
        def panels(number, height, source, out, left):
            """Of equal heights; returns where the next ones are."""
            at = f.at(out, f.mul(f.mul(k, height), item))
            step_in, step_out = f.mul(height, dtype.itemsize), f.mul(height, "%out_row")

            def panel(_, source, at, left):
                for q in range(vectors):
                    here = f.at(source, q * lanes * dtype.itemsize)
                    valid = f.sub(left, q * lanes)
                    x = f.branch(
                        f.compare("sge", valid, lanes), lambda p=here: load(p),
                        lambda p=here, n=valid: load(p, f.maximum(n, 0)), [v],
                    )
                    f.store(v, x[0], f.at(at, q * lanes * item))
                return [f.at(source, step_in), f.at(at, step_out), f.sub(left, height)]

            carry = [("ptr", source), ("ptr", at), ("i64", str(left))]
            source, _, left = f.loop(0, number, 1, panel, carry)
            return source, f.at(out, f.mul(number, step_out)), left

        rest = panels(higher, f.add(low, 1), source, out, "%rows")
        panels(f.sub(count, higher), low, *rest)
        return [f.at(source, "%in_column")]

    f.loop(0, "%columns", 1, lambda k, source: column(k, source, "%out"), carry=[("ptr", "%in")])
    f.do("ret void")
    return f


def _transpose(target: Target, dtype: np.dtype, name: str) -> Function:
    f, lanes = _function(name), _lanes(target, dtype)
    register = elements.register_type(dtype)
    whole = f.op(f"and i64 %rows, {-lanes}")
    rest = f.sub("%rows", whole)

    def strip(c):
        """`lanes` columns; those beyond the last are copies of the last."""
        sources = [f.at("%in", f.mul(c, "%in_column"))]
        for q in range(1, lanes):
            inside = f.compare("slt", f.add(c, q), "%columns")
            step = f.op(f"select i1 {inside}, i64 %in_column, i64 0")
            sources.append(f.at(sources[-1], step))

        def square(r, out, count=None):
            offset = f.mul(r, dtype.itemsize)
            places = [f.at(s, offset) for s in sources]
            if count is None and register == elements.MEMORY[dtype.name]:
                read = load_crossed(f, register, places)
            else:
                read = crossed(f, register, [_load(f, target, dtype, p, count) for p in places])
            for x in transposed_in_lanes(f, register, read):
                f.store(vector(register, lanes), x, out)
                out = f.at(out, "%out_row")
            return [out]

        out = f.at("%out", c, register)
        end = f.loop(0, whole, lanes, square, carry=[("ptr", out)])[0]
        f.branch(f.compare("ne", rest, 0), lambda: square(whole, end, rest) and None)

    f.loop(0, "%columns", lanes, strip)
    f.do("ret void")
    return f


def _one_by_one(dtype: np.dtype, name: str) -> Function:
    f = _function(name)
    held, register = elements.MEMORY[dtype.name], elements.register_type(dtype)

    def row(r, source, out):
        def column(c, at):
            x = elements.to_register(f, f.load(held, at), dtype, 1)
            f.store(register, x, f.at(out, c, register))
            return [f.at(at, "%in_column")]

        f.loop(0, "%columns", 1, column, carry=[("ptr", source)])
        return [f.at(source, "%in_row"), f.at(out, "%out_row")]

    f.loop(0, "%rows", 1, row, carry=[("ptr", "%in"), ("ptr", "%out")])
    f.do("ret void")
    return f


# ---------------------------------------------------------------- transposing a square of n vectors
#
# First, blocks of 128 bits change places ("crossed"): vector b * s + r gets block b of rows r,
# r + s, r + 2s, ..., where s elements make a block. Then every block of every s vectors is
# transposed within its 128-bit lane, by the cheap unpack instructions.


def _shuffle(f: Function, type: str, lanes: int, a: str, b: str, order: list[int]) -> str:
    v, numbers = vector(type, lanes), ", ".join(f"i32 {i}" for i in order)
    return f.op(f"shufflevector {v} {a}, {v} {b}, <{len(order)} x i32> <{numbers}>")


def _block(type: str) -> int:
    """Elements in 128 bits."""
    return 2 if type == "double" else 4


def crossed(f: Function, type: str, rows: list[str]) -> list[str]:
    """Blocks across, in registers: halves change places, then quarters, ..."""
    n, rows = len(rows), list(rows)
    half = n // 2
    while half >= _block(type):
        for top in (i for i in range(n) if not i & half):
            pair = rows[top], rows[top + half]
            low = [i if not i & half else n + i - half for i in range(n)]
            high = [i + half if not i & half else n + i for i in range(n)]
            rows[top] = _shuffle(f, type, n, *pair, low)
            rows[top + half] = _shuffle(f, type, n, *pair, high)
        half //= 2
    return rows


def load_crossed(f: Function, type: str, places: list[str]) -> list[str]:
    """Rows from memory with their blocks across; for two blocks, by loads alone."""
    n, size = len(places), _block(type)
    if n != 2 * size:
        return crossed(f, type, [f.load(vector(type, n), p) for p in places])
    halves = [
        [f.load(vector(type, size), f.at(p, b * size, type)) for p in places] for b in range(2)
    ]
    order = list(range(n))
    return [
        _shuffle(f, type, size, halves[b][r], halves[b][r + size], order)
        for b in range(2) for r in range(size)
    ]


def transposed_in_lanes(f: Function, type: str, rows: list[str]) -> list[str]:
    """Every square block within its 128-bit lane."""
    n, size = len(rows), _block(type)

    def unpack(a, b, piece):
        """In every lane, pieces of a and b alternate: of its lower half, and of its upper half."""
        return [
            _shuffle(f, type, n, a, b, [
                lane + part + at + p + other
                for lane in range(0, n, size)
                for at in range(0, size // 2, piece)
                for other in (0, n)
                for p in range(piece)
            ])
            for part in (0, size // 2)
        ]

    made = []
    for i in range(0, n, size):
        if size == 2:
            made += unpack(rows[i], rows[i + 1], 1)
            continue
        (a, b), (c, d) = unpack(rows[i], rows[i + 1], 1), unpack(rows[i + 2], rows[i + 3], 1)
        made += [*unpack(a, c, 2), *unpack(b, d, 2)]
    return made
