"""Products of bfloat16 on Intel's AMX: registers of 16 rows of 64 bytes that multiply each other.

A *block* of C is 32 x 32 sums of float32 in four of the eight registers. A step of 32 along k loads
two registers of A (32 rows of 32 elements) and two of B (16 pairs along k of 32 columns), and
multiplies each with each. A and B are packed to panels in just that order (amx_pack.py): by a
chunk, into its thread's scratch, or before, where several chunks of a large product need them.

With several blocks of k, sums wait in the scratch too. After the last one, they get the bias and
what C held, are rounded once and stored. What a block of 32 x 32 holds beyond the last row or
column is never stored.

The instructions take denormal numbers for zeros and give none (as in oneDNN's kernels, which
PyTorch uses); infinities and NaNs are as in any other product. Linux wants to be asked for the
registers once (target.py). Their shapes are set when a chunk begins, and released when it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, Operand, module, vector
from ..llvm.target import Target
from ..sizes import least, most, several, told
from . import amx_pack
from .amx_pack import LANES, LEFT, RIGHT, SIDE, STEP, TILE, pack, packed, panels_of, prefetch
from .call import Call, Workspace
from .cutting import even_most, up
from .micro import mask_below
from .products import Chunk

if TYPE_CHECKING:
    from .matmul import Grid, Product

BLOCK = SIDE * SIDE * 4  # bytes of a block of sums
NEXT = 128  # bytes that a step asks for of the panels of A, and of B, that come later

LEAST = 1 << 15  # multiplications from which on this is faster than float32
WHOLE, DEPTH = 512, 256  # k that is not cut; of a block, so that a panel of each side fits into L1
SHARED = 1 << 28  # multiplications that make it worth packing a side before, for several chunks
WORTH = 1 << 23  # multiplications that are worth a chunk of their own
CHUNKS = 16  # of a large product; more if otherwise the sums of a chunk would not stay in L2
SUMS = 1 << 18
PACKING, ADDING = 150, 400  # multiplications that take as long, for an element
EXPORTS = ("amx", "amx_pack_a", "amx_pack_b")

# palette 1; of each register, bytes of a row (16 bits, from byte 16) and rows (from byte 48)
_SHAPES = bytes([1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8])


def text(target: Target, dtype: np.dtype) -> str:
    """The module of `amx`, in products' words; dtype: of C and bias, bfloat16 or float32."""
    shapes = "".join(f"\\{x:02x}" for x in _SHAPES)
    extra = f'@shapes = internal constant [64 x i8] c"{shapes}", align 64'
    blocks = [_block(i, j) for i in (1, 2) for j in (1, 2)]
    return module(
        [*amx_pack.packers(), *blocks, _store(dtype), _Chunk(dtype).write(), _entry()], extra
    )


# ---------------------------------------------------------------- the registers


def _tile(f: Function, name: str, *given: Operand) -> None:
    """An instruction on registers; registers are Python integers, then pointer and stride."""
    kinds = ["i8" if isinstance(x, int) else "ptr" for x in given]
    if name.startswith(("tileload", "tilestore")):
        kinds, given = [*kinds, "i64"], (*given, "64")
    f.intrinsic(f"llvm.x86.{name}", "void", *zip(kinds, map(str, given), strict=True))


_BLOCK = [("ptr", p) for p in ("a", "b", "sums", "next_a", "next_b", "next_sums")]
_BLOCK += [("i64", "steps"), ("i1", "first")]


def _block(rows: int, columns: int) -> Function:
    """A block of 16 * rows x 16 * columns sums: those in memory (or 0) plus a panel of each side.

    Meanwhile it asks for the next block's sums, and for parts of panels that come later.
    """
    f = Function(f"block_{rows}x{columns}", _BLOCK, internal=True, inline=False)
    places = [
        (2 * i + j, f.at("%sums", (2 * i + j) * TILE)) for i in range(rows) for j in range(columns)
    ]

    def start(first: bool) -> None:
        for number, place in places:
            if first:
                _tile(f, "tilezero", number)
            else:
                _tile(f, "tileloadd64", number, place)

    f.branch("%first", lambda: start(True), lambda: start(False))

    def step(s):
        a, b = (f.at(p, f.mul(s, STEP)) for p in ("%a", "%b"))
        for p in ("%next_a", "%next_b"):
            prefetch(f, f.at(p, f.mul(s, NEXT)), NEXT, level=2)
        share = BLOCK * SIDE // DEPTH  # of one step of the usual number
        prefetch(f, f.at("%next_sums", f.mul(s, share)), share, write=True)
        for j in range(columns):
            _tile(f, "tileloadd64", 6 + j, f.at(b, j * TILE))
        for i in range(rows):
            _tile(f, "tileloadd64", 4 + i, f.at(a, i * TILE))
            for j in range(columns):
                _tile(f, "tdpbf16ps", 2 * i + j, 4 + i, 6 + j)

    f.loop(0, "%steps", 1, step, at_least_once=True)
    for number, place in places:
        _tile(f, "tilestored64", number, place)
    f.do("ret void")
    return f


# ---------------------------------------------------------------- what is stored


def _store(dtype: np.dtype) -> Function:
    """Rows of a complete block: sums + bias + what C holds, rounded."""
    parameters = [("ptr", "sums"), ("ptr", "c"), ("i64", "c_row"), ("i64", "rows"),
                  ("i64", "columns"), ("ptr", "bias"), ("i64", "add")]
    f = Function("store", parameters, internal=True, inline=False)
    held, v = {"float32": "float", "bfloat16": "bfloat"}[dtype.name], vector("float", SIDE)
    name = f"v{SIDE}{'f32' if held == 'float' else 'bf16'}.p0"
    memory, mask_type = vector(held, SIDE), vector("i1", SIDE)
    mask = mask_below(f, SIDE, "%columns")
    biased, adds = f.op("icmp ne ptr %bias, null"), f.compare("ne", "%add", 0)

    def read(p):
        x = f.intrinsic(
            f"llvm.masked.load.{name}", memory, ("ptr", p), ("i32", "1"), (mask_type, mask),
            (memory, "zeroinitializer"),
        )
        return x if held == "float" else f.op(f"fpext {memory} {x} to {v}")

    bias = f.branch(biased, lambda: [read("%bias")], lambda: ["zeroinitializer"], [v])[0]
    order = ", ".join(f"i32 {i}" for i in range(SIDE))

    def row(r, out):
        # the registers of the lower rows come after the two of the upper ones
        sums = f.at("%sums", f.add(f.mul(r, 64), f.mul(f.div(r, LANES), TILE)))
        half = vector("float", LANES)
        halves = [f.load(half, f.at(sums, j * TILE)) for j in range(2)]
        both = f"{half} {halves[0]}, {half} {halves[1]}"
        total = f.op(f"shufflevector {both}, <{SIDE} x i32> <{order}>")
        for wanted, more in ((biased, lambda: bias), (adds, lambda: read(out))):
            total = f.branch(
                wanted, lambda t=total, m=more: [f.op(f"fadd {v} {t}, {m()}")],
                lambda t=total: [t], [v],
            )[0]
        if held != "float":
            total = f.op(f"fptrunc {v} {total} to {memory}")
        f.intrinsic(f"llvm.masked.store.{name}", "void", (memory, total), ("ptr", out),
                    ("i32", "1"), (mask_type, mask))
        return [f.at(out, "%c_row")]

    f.loop(0, "%rows", 1, row, [("ptr", "%c")])
    f.do("ret void")
    return f


# ---------------------------------------------------------------- a chunk


def _entry() -> Function:
    """The function `amx`: a chunk, with the registers' shapes set before and released after."""
    f = Function("amx", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
    f.intrinsic("llvm.x86.ldtilecfg", "void", ("ptr", "@shapes"))
    f.do("call void @amx_chunk(ptr %args, i64 %chunk, i64 %thread)")
    f.intrinsic("llvm.x86.tilerelease", "void")
    f.do("ret void")
    return f


class _Chunk:
    """Writes a chunk: blocks of k, of rows, groups of columns; then blocks of 32 x 32."""

    def __init__(self, dtype: np.dtype):
        self.chunk = x = Chunk("amx_chunk")
        self.f = f = x.f
        self.left = f.at(x.scratch, f.mul("%thread", x.scratch_bytes))
        self.right, self.sums = f.at(self.left, x.panels), f.at(self.left, x.sums)
        self.packs_a, self.packs_b = (f.compare("ne", w, 0) for w in (x.pack_a, x.pack_b))
        self.across = panels_of(f, x.n_step)  # blocks of sums in a row of them
        self.held = elements.MEMORY[dtype.name]

    def write(self) -> Function:
        return self.chunk.each_batch(self._batch)

    def _batch(self, number, a, b, c, m, n, k) -> None:
        f, x = self.f, self.chunk

        def k_block(low):
            size = f.minimum(x.kc, f.sub(k[1], low))
            first = f.compare("eq", low, k[0])
            last = f.compare("sge", f.add(low, size), k[1])

            def m_block(row):
                rows = f.minimum(x.mc, f.sub(m[1], row))
                a_panels = self._side(True, a, row, rows, low, size)

                def group(column):
                    columns = f.minimum(x.group, f.sub(n[1], column))
                    b_panels = self._side(False, b, column, columns, low, size)
                    origin = f.sub(row, m[0]), f.sub(column, n[0])
                    corner = f.at(f.at(c, f.mul(row, x.c_row)), column, self.held)
                    has_bias = f.op(f"icmp ne ptr {x.bias}, null")
                    bias = f.at(x.bias, column, self.held)
                    bias = f.op(f"select i1 {has_bias}, ptr {bias}, ptr null")
                    self._blocks(
                        (a_panels, b_panels), (rows, columns, size), (first, last), origin,
                        corner, bias,
                    )

                f.loop(n[0], n[1], x.group, group, at_least_once=True)

            f.loop(m[0], m[1], x.mc, m_block, at_least_once=True)

        f.loop(k[0], k[1], x.kc, k_block, at_least_once=True)

    def _side(self, is_a: bool, base: str, at: Operand, count, low, k) -> tuple[str, str]:
        """Panels of a block of A or B, packed here or before: the first one, bytes of each."""
        f, x = self.f, self.chunk
        row, column, size = (x.a_row, x.a_k, x.m) if is_a else (x.b_column, x.b_k, x.n)
        out = self.left if is_a else self.right
        before, panel = packed(f, base, size, low, k, at)

        def pack_here():
            source = f.at(f.at(base, f.mul(at, row)), f.mul(low, column))
            pack(f, LEFT if is_a else RIGHT, out, panel, source, row, column, count, k)
            return [out]

        wanted = self.packs_a if is_a else self.packs_b
        return f.branch(wanted, pack_here, lambda: [before], ["ptr"])[0], panel

    def _blocks(self, panels, sizes, turn, origin, corner, bias) -> None:
        """All blocks of some panels of A and B; turn: whether this is the first and last of k."""
        f, x = self.f, self.chunk
        (a, a_bytes), (b, b_bytes), (rows, columns, size), (first, last) = *panels, sizes, turn
        steps = panels_of(f, size)
        # where A was packed before, its panels for the next k follow those of all rows for this one
        later = f.at(a, f.mul(panels_of(f, x.m), a_bytes))
        share = f.mul(steps, NEXT)

        def panel(j, b, next_a):
            beside = f.div(f.add(origin[1], j), SIDE)

            def block(i, a, next_a, next_b):
                over = f.div(f.add(origin[0], i), SIDE)
                sums = f.at(self.sums, f.mul(f.add(f.mul(over, self.across), beside), x.sum_step))
                next_sums = f.at(sums, f.mul(self.across, x.sum_step))
                height, width = (
                    f.minimum(f.sub(n, at), SIDE) for n, at in ((rows, i), (columns, j))
                )
                self._multiply(height, width, a, b, sums, next_a, next_b, next_sums, steps, first)

                def store():
                    c = f.at(f.at(corner, f.mul(i, x.c_row)), j, self.held)
                    is_null = f.op(f"icmp eq ptr {bias}, null")
                    here = f.op(f"select i1 {is_null}, ptr null, ptr {f.at(bias, j, self.held)}")
                    f.do(f"call void @store(ptr {sums}, ptr {c}, i64 {x.c_row}, i64 {height}, "
                         f"i64 {width}, ptr {here}, i64 {x.accumulate})")

                f.branch(last, store)
                return [f.at(a, a_bytes), f.at(next_a, share), f.at(next_b, share)]

            next_b = f.at(b, b_bytes)
            carry = [("ptr", p) for p in (a, next_a, next_b)]
            return [next_b, f.loop(0, rows, SIDE, block, carry, at_least_once=True)[1]]

        f.loop(0, columns, SIDE, panel, [("ptr", b), ("ptr", later)], at_least_once=True)

    def _multiply(self, height: Operand, width: Operand, *given: Operand) -> None:
        """Call the function for as many registers as the block has rows and columns."""
        f = self.f
        tall, wide = (f.compare("sgt", size, LANES) for size in (height, width))
        typed = ", ".join(f"{t} {v}" for (t, _), v in zip(_BLOCK, given, strict=True))

        def call(i, j):
            f.do(f"call void @block_{i}x{j}({typed})")

        def either(i):
            f.branch(wide, lambda: call(i, 2), lambda: call(i, 1))

        f.branch(tall, lambda: either(2), lambda: either(1))


# ---------------------------------------------------------------- planning


class Sides:
    """Of what number of rows and columns the steps of a grid are multiples."""

    rows = columns = SIDE


def suits(p: Product, target: Target) -> bool:
    """Whether a product is computed here: each side dense in one direction, and not too small."""
    dense = 1 in (p.a.row, p.a.column) and 1 in (p.b.row, p.b.column)
    return target.amx and p.dtype == "bfloat16" and dense and p.m * p.n * p.k >= LEAST


def chunks(p: Product) -> tuple[int, int, int, int]:
    """Into how many parts the batch, rows, columns and k are cut."""
    wanted = min(p.m * p.n * p.k * p.batches // WORTH, CHUNKS)
    if wanted < 2:
        return 1, 1, 1, 1
    if p.batches >= wanted and p.m * p.n <= SUMS:
        return wanted, 1, 1, 1
    each = max(up(wanted, p.batches), up(p.m * p.n, SUMS))
    choices = [
        (p.batches, rows, up(up(each, parts), rows), parts)
        for parts in (1, 2, 4, 8, 16) if parts == 1 or parts <= min(each, p.k // 1024)
        for rows in range(1, min(up(each, parts), 64) + 1)
    ]
    return min(choices, key=lambda cut: _cost(p, *cut[1:]))


def _cost(p: Product, m: int, n: int, k: int) -> int:
    """Time on one, two and four threads together, in multiplications."""
    rows, columns = (up(up(size, parts), SIDE) * SIDE for size, parts in ((p.m, m), (p.n, n)))
    count = up(p.m, rows) * up(p.n, columns) * k * p.batches
    one = (rows * columns + PACKING * (rows + columns)) * up(p.k, k)
    after = ADDING * p.m * p.n * p.batches * k * (k > 1)
    return one * sum(threads * up(count, threads) for threads in (1, 2, 4)) + 3 * after


def words(p: Product, grid: Grid, target: Target, text: str) -> tuple[list[Call], dict]:
    """Calls that pack a side of a large product before, and words.

    Blocks are for the caches; panels of both sides for a block of k should fit into L1.
    """
    rows, columns, k = (
        least(step, n) for step, n in ((grid.m_step, p.m), (grid.n_step, p.n), (grid.k_step, p.k))
    )
    kc = k if k <= WHOLE else even_most(k, DEPTH, SIDE)
    panel = up(kc, SIDE) * STEP
    share = target.l2_bytes // 4 // panel  # panels
    mc, group = least(up(rows, SIDE), most(share, 1)), least(up(columns, SIDE), most(share // 2, 1))
    calls, found = list[Call](), {"pack_a": 1, "pack_b": 1}
    alone = p.batches == grid.k_chunks == 1 and p.m * p.n * p.k >= SHARED
    if alone and grid.n_chunks > 1:
        calls.append(_pack_call("a", p, kc, text))
        found |= {"pack_a": 0, "a": calls[-1].words[0]}
        mc = up(rows, SIDE)
    if alone and grid.m_chunks > 1:
        calls.append(_pack_call("b", p, kc, text))
        found |= {"pack_b": 0, "b": calls[-1].words[0]}
        group = up(columns, SIDE)
    waiting = kc < k
    blocks = up(rows, SIDE) * up(grid.n_step, SIDE) if waiting else 1
    right = mc * panel * found["pack_a"]
    sums = right + group * panel * found["pack_b"]
    nbytes = sums + blocks * BLOCK
    return calls, found | {
        "mc": mc * SIDE, "kc": kc, "group": group * SIDE, "panels": right, "sums": sums,
        "sum_step": BLOCK * waiting, "scratch": Workspace(nbytes, per_thread=True),
        "scratch_bytes": nbytes,
    }


def _pack_call(side: str, p: Product, kc: int, text: str) -> Call:
    """The call that packs a whole side."""
    if side == "a":
        at, count, row, column = p.a.at, p.m, p.a.row, p.a.column
    else:
        at, count, row, column = p.b.at, p.n, p.b.column, p.b.row
    out = Workspace(up(count, SIDE) * up(p.k, SIDE) * STEP)
    step = most(up(up(count, CHUNKS // 2), SIDE), 4) * SIDE
    chunks = up(count, step)
    return Call(
        text, f"amx_pack_{side}", [out, at, 2 * row, 2 * column, count, p.k, kc, step], chunks,
        several(chunks), told("pack {} {}x{} {}", side, count, p.k, p.dtype), nbytes=4 * count * p.k,
        exports=EXPORTS,
    )

