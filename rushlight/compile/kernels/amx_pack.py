"""Packs sides of products for AMX (amx.py) to panels, which registers read from end to end.

    A's panel, of 32 rows:     [k / 32][32 rows][32 of k]
    B's panel, of 32 columns:  [k / 32][2 halves][16 pairs of k][16 columns][2 of k]

Panels are padded with zeros along k; rows and columns that are not there may hold anything.

    void @pack_rows(ptr out, i64 panel, ptr in, i64 stride, i64 count, i64 k)

packs `count` rows of A or columns of B, each of `k` elements; panels are `panel` bytes apart.
"rows": elements are dense along k, and `stride` bytes lie between rows; "columns": rows (B's
columns) are dense, and `stride` bytes lie between one k and the next. A from what is dense along k
and B from what is dense along columns are nearly copies; "crossed" packers exchange rows and
columns in registers.
"""

from __future__ import annotations

from ..llvm.builder import Function, Operand, vector
from .micro import mask_below
from .pack import crossed, transposed_in_lanes

SIDE = 32  # rows of A's panels and columns of B's, and k of a step
STEP = 2048  # bytes of a panel for one step
TILE = 1024  # bytes of a register
LANES = 16
AHEAD_ROWS, AHEAD = 2, 8  # rows that packers ask for before they need them

_PACKING = [("ptr", "out"), ("i64", "panel"), ("ptr", "in"), ("i64", "stride"), ("i64", "count"),
            ("i64", "k")]


def _packer(name: str) -> Function:
    return Function(name, _PACKING, internal=True, inline=False)


def _read(f: Function, lanes: int, p: str, count: Operand) -> str:
    """The first `count` 16-bit elements of a vector (any number), then zeros."""
    v, mask = vector("i16", lanes), f"<{lanes} x i1>"
    return f.intrinsic(
        f"llvm.masked.load.v{lanes}i16.p0", v, ("ptr", p), ("i32", "1"),
        (mask, mask_below(f, lanes, count)), (v, "zeroinitializer"),
    )


def _place(f: Function, i: Operand) -> str:
    """Where the panel of row or column `i` (a multiple of 16) begins, or its second half."""
    panel = f.at("%out", f.mul(f.div(i, SIDE), "%panel"))
    return f.at(panel, f.mul(f.rem(i, SIDE), STEP // SIDE))


def _pack_rows() -> Function:
    """A, dense along k: 64 bytes of a row at a time."""
    f = _packer("pack_rows")
    whole = f.op(f"and i64 %k, {-SIDE}")

    def row(r, source):
        out = f.at(f.at("%out", f.mul(f.div(r, SIDE), "%panel")), f.mul(f.rem(r, SIDE), 64))
        ahead = f.at(source, f.mul("%stride", AHEAD_ROWS))

        def copy(k, out):
            prefetch(f, f.at(ahead, k, "i16"))
            f.store("<32 x i16>", f.load("<32 x i16>", f.at(source, k, "i16")), out)
            return [f.at(out, STEP)]

        end = f.loop(0, whole, SIDE, copy, [("ptr", out)])[0]

        def rest():
            x = _read(f, SIDE, f.at(source, whole, "i16"), f.sub("%k", whole))
            f.store("<32 x i16>", x, end)

        f.branch(f.compare("ne", whole, "%k"), rest)
        return [f.at(source, "%stride")]

    f.loop(0, "%count", 1, row, [("ptr", "%in")])
    f.do("ret void")
    return f


def _pack_rows_crossed() -> Function:
    """B, dense along k: squares of 16 columns x 16 pairs change rows and columns."""
    f = _packer("pack_rows_crossed")

    def strip(i):
        places = [f.at("%in", f.mul(i, "%stride"))]
        for q in range(1, LANES):  # columns beyond the last are copies of the last
            inside = f.compare("slt", f.add(i, q), "%count")
            places.append(f.at(places[-1], f.op(f"select i1 {inside}, i64 %stride, i64 0")))

        def square(k, out):
            left = f.sub("%k", k)
            whole = f.compare("sge", left, SIDE)

            def rows(load):
                found = [load(f.at(p, k, "i16")) for p in places]
                return [f.op(f"bitcast <32 x i16> {x} to <16 x i32>") for x in found]

            found = f.branch(
                whole, lambda: rows(lambda p: f.load("<32 x i16>", p)),
                lambda: rows(lambda p: _read(f, SIDE, p, left)), ["<16 x i32>"] * LANES,
            )
            _store_square(f, found, out)
            return [f.at(out, STEP)]

        f.loop(0, "%k", SIDE, square, [("ptr", _place(f, i))])

    f.loop(0, "%count", LANES, strip)
    f.do("ret void")
    return f


def _store_square(f: Function, rows: list[str], out: str) -> None:
    """A transposed square of 16 x 16 pairs."""
    for q, x in enumerate(transposed_in_lanes(f, "i32", crossed(f, "i32", rows))):
        f.store("<16 x i32>", x, f.at(out, 64 * q))


def _pairs(f: Function, low: str, high: str, first: int) -> str:
    """16 elements each of two vectors of 32, from `first` on, alternating."""
    order = ", ".join(f"i32 {x}" for i in range(first, first + LANES) for x in (i, SIDE + i))
    return f.op(f"shufflevector <32 x i16> {low}, <32 x i16> {high}, <32 x i32> <{order}>")


def _pack_columns() -> Function:
    """B, dense along its columns: two rows alternate."""
    f = _packer("pack_columns")

    def pair(k, source, out):
        low, high = source, f.at(source, "%stride")
        both, some = (f.compare("slt", f.add(k, q), "%k") for q in (1, 0))

        ahead = [f.at(p, f.mul("%stride", AHEAD)) for p in (low, high)]

        def panel(i, out):
            for p in ahead:
                prefetch(f, f.at(p, i, "i16"))

            def store(x, y):
                for half in range(2):
                    f.store("<32 x i16>", _pairs(f, x, y, half * LANES), f.at(out, half * TILE))

            def part():
                left = f.sub("%count", i)
                counts = (f.op(f"select i1 {is_there}, i64 {left}, i64 0")
                          for is_there in (some, both))
                store(*(_read(f, SIDE, f.at(p, i, "i16"), n)
                        for p, n in zip((low, high), counts, strict=True)))

            whole = f.op(f"and i1 {both}, {f.compare('sle', f.add(i, SIDE), '%count')}")
            f.branch(
                whole,
                lambda: store(*(f.load("<32 x i16>", f.at(p, i, "i16")) for p in (low, high))),
                part,
            )
            return [f.at(out, "%panel")]

        f.loop(0, "%count", SIDE, panel, [("ptr", out)])
        last = f.compare("eq", f.rem(k, SIDE), SIDE - 2)  # of its step
        step = f.op(f"select i1 {last}, i64 {STEP - 15 * 64}, i64 64")
        return [f.at(high, "%stride"), f.at(out, step)]

    f.loop(0, f.mul(panels_of(f, "%k"), SIDE), 2, pair, [("ptr", "%in"), ("ptr", "%out")])
    f.do("ret void")
    return f


def _pack_columns_crossed() -> Function:
    """A, dense along its rows: two columns alternate, then squares change rows and columns."""
    f = _packer("pack_columns_crossed")

    def strip(i):
        left = f.minimum(f.sub("%count", i), LANES)

        def square(k, source, out):
            found = []
            for q in range(LANES):
                halves = []
                for p in range(2):
                    inside = f.compare("slt", f.add(k, 2 * q + p), "%k")
                    x = _read(f, LANES, source, f.op(f"select i1 {inside}, i64 {left}, i64 0"))
                    halves.append(f.op(f"zext <16 x i16> {x} to <16 x i32>"))
                    source = f.at(source, "%stride")
                sixteen = ", ".join(["i32 16"] * LANES)
                high = f.op(f"shl <16 x i32> {halves[1]}, <{sixteen}>")
                found.append(f.op(f"or <16 x i32> {halves[0]}, {high}"))
            _store_square(f, found, out)
            return [source, f.at(out, STEP)]

        f.loop(0, "%k", SIDE, square, [("ptr", f.at("%in", i, "i16")), ("ptr", _place(f, i))])

    f.loop(0, "%count", LANES, strip)
    f.do("ret void")
    return f


# ---------------------------------------------------------------- sides of a product


def pack(f: Function, packers: tuple[str, str], *given: Operand) -> None:
    """Pack a block by where it is dense: along k (the first packer), or along the other side.

    given: where to, bytes of a panel, from where, strides of rows (B's columns) and k, counts.
    """
    out, panel, source, row, column, count, k = given

    def call(name: str, stride: Operand) -> None:
        f.do(f"call void @{name}(ptr {out}, i64 {panel}, ptr {source}, i64 {stride}, "
             f"i64 {count}, i64 {k})")

    f.branch(
        f.compare("eq", column, 2), lambda: call(packers[0], row), lambda: call(packers[1], column)
    )


def packers() -> list[Function]:
    """All that this module calls."""
    return [
        _pack_rows(), _pack_rows_crossed(), _pack_columns(), _pack_columns_crossed(),
        _pack_side("amx_pack_a", LEFT), _pack_side("amx_pack_b", RIGHT),
    ]


LEFT, RIGHT = ("pack_rows", "pack_columns_crossed"), ("pack_rows_crossed", "pack_columns")
PACK_WORDS = ("out", "in", "in_row", "in_column", "count", "k", "kc", "step")


def _pack_side(name: str, packers: tuple[str, str]) -> Function:
    """The function `name`, which packs a whole side before: blocks of k one after the other."""
    f = Function(name, [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    x = {
        w: f.argument("%args", i, "ptr" if w in ("out", "in") else "i64")
        for i, w in enumerate(PACK_WORDS)
    }
    first = f.mul("%chunk", x["step"])
    count = f.minimum(x["step"], f.sub(x["count"], first))
    source = f.at(x["in"], f.mul(first, x["in_row"]))

    def block(low):
        size = f.minimum(x["kc"], f.sub(x["k"], low))
        out, panel = packed(f, x["out"], x["count"], low, size, first)
        here = f.at(source, f.mul(low, x["in_column"]))
        pack(f, packers, out, panel, here, x["in_row"], x["in_column"], count, size)

    f.loop(0, x["k"], x["kc"], block, at_least_once=True)
    f.do("ret void")
    return f


def panels_of(f: Function, size: Operand) -> Operand:
    """Panels of so many rows or columns; steps of so many k."""
    return f.div(f.add(size, SIDE - 1), SIDE)


def packed(f: Function, base: str, count: Operand, low: Operand, k: Operand, at: Operand):
    """Of a side that was packed before: where the panel of row `at` begins, and its bytes.

    In the block of k that begins at `low`; count: of all rows.
    """
    panel = f.mul(panels_of(f, k), STEP)
    block = f.at(base, f.mul(f.mul(low, panels_of(f, count)), STEP // SIDE))
    return f.at(block, f.mul(f.div(at, SIDE), panel)), panel


def prefetch(f: Function, p: str, nbytes: int = 64, level: int = 1, write: bool = False) -> None:
    """Ask for lines that are needed soon, in L1 or L2."""
    for at in range(0, nbytes, 64):
        f.intrinsic("llvm.prefetch.p0", "void", ("ptr", f.at(p, at)), ("i32", str(int(write))),
                    ("i32", str(4 - level)), ("i32", "1"))
