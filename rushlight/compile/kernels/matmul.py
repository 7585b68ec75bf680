"""Batched matrix products C = A @ B (+ C) (+ bias), of matrices with any strides: planning.

`plan` turns one product into one or two calls. Four kinds of kernels do the work:

- `tiles` (products.py): blocks of C from register tiles, reading A and B in place or packed.
- `amx` (amx.py): blocks of C from bfloat16, on processors that have instructions for just that.
- `dots` (thin.py): both matrices dense along k, few rows of C: rows of A times rows of B.
- `sweeps` (thin.py): few rows of C, B dense along its columns: C's rows += multiples of B's rows.

A product that has little C but a long k is cut along k: chunks make partial C's in a workspace, and
`finish` (finish.py) adds them in order. It also ends products whose C has a half type or odd
strides. Everything here depends on sizes only, never on the number of threads.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from ..llvm import elements
from ..llvm.target import Target, host
from ..sizes import later, several, told
from . import amx, finish, products, thin
from .call import Address, Call, Workspace, arithmetic_of
from .cutting import even_most, up
from .micro import Tiles

TILES = ("tiles", "pack_left", "pack_right")  # the functions of products.py
EXPORTS = {"tiles": TILES, "amx": amx.EXPORTS}
WORTH = 1 << 18  # multiplications that are worth a chunk of their own
CHUNKS = 16  # of a large product
GROUP = 8  # panels of B that are packed together
READING_A, READING_B, PACKING, ADDING = 6, 12, 18, 72  # multiplications that take as long, for an element
CALL = 1 << 17  # multiplications that take as long as one more call
MOST_DOTS = 24  # rows of C for which rows of A times rows of B may be faster than tiles
SHARED = 64 << 20  # bytes of a side that are packed before, at most


@dataclass(frozen=True)
class Matrix:
    """Where the matrices of a batch lie: strides of rows, columns and the batch, in elements."""

    at: Address
    row: int
    column: int
    batch: tuple[int, ...] = ()

    @property
    def transposed(self) -> Matrix:
        """The same memory, rows and columns exchanged."""
        return replace(self, row=self.column, column=self.row)


@dataclass(frozen=True)
class Product:
    """C = A @ B with C m x n and A m x k, for every place in a batch of sizes `batch`."""

    a: Matrix
    b: Matrix
    c: Matrix
    m: int
    n: int
    k: int
    batch: tuple[int, ...] = ()
    dtype: str = "float32"
    accumulate: bool = False  # C = C + A @ B
    bias: Address | None = None  # n values, added to every row
    pairs: bool = False  # k and its strides count pairs of bfloat16 (set while planning)
    wide: bool = False  # C and bias are float32 and the rest bfloat16
    addend: Matrix | None = None  # C = E + A @ B, where `takes_addend` says so
    reused: bool = False  # other products have the same B: it is packed by a call that they share
    triangle: int = products.WHOLE  # what may be left out, see products.py

    @property
    def batches(self) -> int:
        return math.prod(self.batch)

    @property
    def half(self) -> bool:
        return self.dtype in elements.HALF

    @property
    def itemsize(self) -> int:
        return _dtype(self.dtype).itemsize

    @property
    def sum_bytes(self) -> int:
        """Bytes of an element while it is summed up."""
        return 8 if self.dtype == "float64" else 4


@functools.cache
def _dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


@functools.cache
def _text(kind: str, target: Target, dtype: str) -> str:
    write = {
        "tiles": products.tiles_text, "pairs": functools.partial(products.tiles_text, pairs=True),
        "dots": thin.dots_text, "sweeps": thin.sweeps_text, "finish": finish.finish_text,
        "amx": amx.text,
    }[kind]
    return write(target, _dtype(dtype))


def plan(product: Product, target: Target | None = None) -> list[Call]:
    """The calls that compute a product; none if C has no elements.

    dtypes: float32, float64; float16 and bfloat16, summed up in float32; of A, B, C and bias alike.
    """
    target = target or host()
    p = _simplified(product)
    if 0 in (p.m, p.n, p.batches):
        return []
    kind, swapped = ("tiles", False) if p.wide else _kind(p, target)
    if kind == "tiles" and amx.suits(p, target):
        kind, swapped = "amx", _turned(p)
    work = _swapped(p) if swapped else p
    if kind == "tiles" and target.bfloat16_dot:
        work = _paired(work)
    tiles = Tiles(target, "float64" if p.dtype == "float64" else "float32")
    if kind == "amx":
        batch, m, n, k = later(amx.chunks, _nowhere(work))
        grid = _steps(work, batch, m, n, k, amx.Sides)
    else:
        grid = later(_grid, _nowhere(work), kind, tiles)
    before, words = _sides(work, grid, tiles) if kind == "tiles" else ([], {})
    if kind == "amx":
        before, words = amx.words(work, grid, target, _text("amx", target, p.dtype))
    rounds = kind == "amx" or not p.half or p.wide  # or stores sums as they are
    direct = work.c.column == 1 and rounds and not (swapped and p.bias)
    if kind == "dots" or (direct and grid.k_chunks == 1):
        return [*before, _call(kind, work, grid, target, swapped, words, p.sum_bytes * p.wide)]
    end = p if p.n == 1 else work  # a single column lies like a single row
    end = replace(end, dtype="float32") if p.wide else end
    shape = (grid.k_chunks, *p.batch, work.m, work.n)
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    part = strides[0] * p.sum_bytes
    parts = Matrix(Address(Workspace(shape[0] * part)), work.n, 1, tuple(strides[1:-2]))
    plain = replace(work, c=parts, accumulate=False, bias=None)
    words["c_part"] = part
    return [
        *before, _call(kind, plain, grid, target, False, words, p.sum_bytes),
        _finish(end, parts, grid.k_chunks, part, target),
    ]


def takes_addend(p: Product, target: Target | None = None) -> bool:
    """Whether another matrix can be added on the way: tiles that write C, dense along its rows."""
    e = p.addend
    return (
        e is not None and not p.batch and not p.half and e.column == 1 and p.c.column == 1
        and 0 not in (p.m, p.n, p.k) and _kind(_simplified(p), target or host()) == ("tiles", False)
    )


def takes_bfloat16(p: Product, target: Target | None = None) -> bool:
    """Whether a product of bfloat16 is fast as it is; else its factors are better as float32."""
    target, p = target or host(), _simplified(p)
    if _kind(p, target)[0] != "tiles":
        return False
    return amx.suits(p, target) or (target.bfloat16_dot and _paired(p).pairs)


# ---------------------------------------------------------------- the shape of a product


def _swapped(p: Product) -> Product:
    """The transposed product: C' = B' A'."""
    return replace(p, a=p.b.transposed, b=p.a.transposed, c=p.c.transposed, m=p.n, n=p.m, triangle=products.WHOLE)


def _paired(p: Product) -> Product:
    """A product of bfloat16 with k in pairs, where the layouts allow it."""
    dense = 1 in (p.a.column, p.a.row) and 1 in (p.b.row, p.b.column)
    if p.dtype != "bfloat16" or p.k % 2 or not dense:
        return p
    a, b = replace(p.a, column=2 * p.a.column), replace(p.b, row=2 * p.b.row)
    return replace(p, a=a, b=b, k=p.k // 2, pairs=True)


def _simplified(p: Product) -> Product:
    """The batch with fewer dimensions: merged where strides agree, and into rows of A and C."""
    dims: list[list[int]] = []  # size, strides of A, B and C
    for dim in zip(p.batch, p.a.batch, p.b.batch, p.c.batch, strict=True):
        if dim[0] == 1:
            continue
        if dims and all(dims[-1][i] == dim[i] * dim[0] for i in (1, 2, 3)):
            dims[-1] = [dims[-1][0] * dim[0], *dim[1:]]
        else:
            dims.append(list(dim))
    m = p.m
    if dims:
        size, a, b, c = dims[-1]
        if b == 0 and not p.triangle and (m == 1 or (a == m * p.a.row and c == m * p.c.row)):
            m *= dims.pop()[0]
            p = replace(p, a=replace(p.a, row=a // p.m), c=replace(p.c, row=c // p.m)) if p.m else p
    size, a, b, c = (tuple(d[i] for d in dims) for i in range(4))
    return replace(
        p, m=m, batch=size, a=_alone(p.a, m, p.k, a), b=_alone(p.b, p.k, p.n, b),
        c=_alone(p.c, m, p.n, c),
    )


def _alone(x: Matrix, rows: int, columns: int, batch: tuple[int, ...]) -> Matrix:
    """A matrix with harmless strides where there is only one row or column."""
    row, column = x.row, x.column
    if columns == 1:
        column = 1
    if rows == 1:
        row = columns
    return replace(x, row=row, column=column, batch=batch)


def _kind(p: Product, target: Target) -> tuple[str, bool]:
    """Which kernels compute a product, and whether rows and columns change places for them."""
    if p.a.column == 1 and p.b.row == 1 and p.k:
        few, many = (p.m, p.n) if p.m < p.n else (p.n, p.m)
        if few <= MOST_DOTS and few <= (2 if p.k < 64 else 4 if p.k < 128 else 12 if (
            p.k * many * p.itemsize <= target.l2_bytes) else MOST_DOTS
        ):
            return "dots", p.n < p.m
    if p.b.column == 1 and p.m <= (4 if p.b.row * p.itemsize % 2048 == 0 else 2):
        return "sweeps", False
    if p.n == 1 and p.a.row == 1:
        return "sweeps", True
    return "tiles", _turned(p) and not p.half


def _turned(p: Product) -> bool:
    """Whether C is dense along its rows, and nothing keeps it from being computed transposed."""
    return p.c.column != 1 and p.c.row == 1 and not p.bias


# ---------------------------------------------------------------- chunks


@dataclass(frozen=True)
class Grid:
    """How a product is cut: steps of a chunk along each dimension, and their numbers."""

    m_step: int
    n_step: int
    k_step: int
    batch_step: int
    m_chunks: int
    n_chunks: int
    k_chunks: int
    batch_chunks: int

    @property
    def chunks(self) -> int:
        return self.m_chunks * self.n_chunks * self.k_chunks * self.batch_chunks


def _nowhere(p: Product) -> Product:
    """A product without its addresses: what a grid depends on."""
    a, b, c = (replace(x, at=_NOWHERE) for x in (p.a, p.b, p.c))
    addend = p.addend and replace(p.addend, at=_NOWHERE)
    return replace(p, a=a, b=b, c=c, addend=addend, bias=p.bias and _NOWHERE)


_NOWHERE = Address(None)


@functools.cache
def _grid(p: Product, kind: str, tiles: Tiles) -> Grid:
    """Chunks of about the same work: of batches, else of C's rows and columns, else of k."""
    work = p.m * p.n * max(p.k, 1) * p.batches
    if kind == "tiles":
        wanted = min(max(work // (8 * WORTH), min(work // WORTH, 4)), CHUNKS)
    else:
        wanted = min(work // (WORTH // 4), CHUNKS)
    if wanted < 2:
        return _steps(p, 1, 1, 1, 1, tiles)
    if p.batches >= wanted:
        return _steps(p, wanted, 1, 1, 1, tiles)
    each = up(wanted, p.batches)
    if kind == "dots":
        return _steps(p, p.batches, 1, each, 1, tiles)
    if kind == "sweeps":  # rows of B from end to end, if there are enough
        parts = max(1, min(each, p.k // 64))
        return _steps(p, p.batches, 1, up(each, parts), parts, tiles)
    grids = [
        _steps(p, p.batches, rows, up(up(each, parts), rows), parts, tiles)
        for parts in (1, 2, 4, 8, 16)
        if parts == 1 or parts <= min(each, p.k // 256) and p.addend is None
        for rows in (1, 2, 3, 4, 6, 8, 12, 16) if rows <= up(each, parts)
    ]
    return min(grids, key=lambda grid: _cost(p, grid, tiles))


def _cost(p: Product, grid: Grid, tiles: Tiles) -> int:
    """Time on one, two and four threads together, in multiplications of a register tile."""
    rows, columns = min(grid.m_step, p.m), min(grid.n_step, p.n)
    left, right = _packs(p, tiles, columns)
    shared_left, shared_right = _shared(p, grid, tiles, left, right)
    one = up(rows, tiles.rows) * tiles.rows * up(columns, tiles.columns) * tiles.columns
    if not left and _scattered(p, tiles):
        one += one // 4
    one += READING_A * rows + READING_B * columns
    one += PACKING * (rows * (left and not shared_left) + columns * (right and not shared_right))
    packs = shared_right and not p.reused
    before = 2 * PACKING * p.k * (p.m * shared_left + p.n * packs)
    before += CALL * (shared_left + packs)
    after = (ADDING * p.m * p.n * grid.k_chunks + CALL) * (grid.k_chunks > 1)
    turns = sum(threads * up(grid.chunks, threads) for threads in (1, 2, 4))
    return one * grid.k_step * grid.batch_step * turns + 3 * (before + after * p.batches)


def _shared(p: Product, grid: Grid, tiles: Tiles, left: int, right: int) -> tuple[bool, bool]:
    """Whether A and B, which several chunks would pack, are packed before, as a whole."""
    most = SHARED // (max(p.k, 1) * tiles.itemsize) if p.m * p.n * p.k >= 128 * WORTH else 0
    alone = p.batches == 1
    return (
        alone and (left == 1 or left == 2 and not p.pairs) and grid.n_chunks > 1 and p.m <= most,
        alone and (right == 1 and p.reused or right > 0 and grid.m_chunks > 1 and p.n <= most),
    )


def _packs(p: Product, tiles: Tiles, columns: int) -> tuple[int, int]:
    """How to pack A and B for a block of C with so many columns: pack_a and pack_b of products.py."""
    left = 0
    if p.a.row == 1 and p.m > 1:
        left = 2 * (p.half or (columns >= 48 and _scattered(p, tiles)))
    elif p.half and not p.pairs:
        left = 1
    if p.b.column == 1:
        crowded = p.b.row * tiles.itemsize % (64 * tiles.target.vector_bytes) == 0  # rows that compete for few places of caches
        return left, 2 * (p.half or p.m > (3 if crowded else 16) * tiles.rows)
    return left, 1


def _scattered(p: Product, tiles: Tiles) -> bool:
    """Whether a block of A makes poor use of caches where it lies: each k is elsewhere.

    Where a tile has so many multiplications for each k as with vectors of 64 bytes, that takes less time than packing.
    """
    far = p.a.row == 1 and p.m > 1 and p.a.column * tiles.itemsize > 512
    return far and tiles.target.vector_bytes < 64


def _steps(p: Product, batch: int, m: int, n: int, k: int, tiles: Tiles) -> Grid:
    """The grid with about so many chunks along each dimension."""
    m_step = up(up(p.m, m), tiles.rows) * tiles.rows
    n_step = up(up(p.n, n), tiles.columns) * tiles.columns
    k_step, batch_step = max(up(p.k, k), 1), up(p.batches, batch)
    return Grid(
        m_step, n_step, k_step, batch_step, up(p.m, m_step), up(p.n, n_step),
        max(up(p.k, k_step), 1), up(p.batches, batch_step),
    )


# ---------------------------------------------------------------- argument words


def _call(
    kind: str, p: Product, grid: Grid, target: Target, swapped: bool, special: dict,
    c_bytes: int = 0,
) -> Call:
    """The call of a product's kernel; rows and columns are already swapped."""
    c_bytes = c_bytes or p.itemsize
    words = _words(p, grid, c_bytes)
    words |= {"bias_row": p.itemsize * swapped, "bias_column": p.itemsize * (not swapped)}
    words |= {"group": 4096, **special}
    dtype = "float32" if kind == "amx" and c_bytes > p.itemsize else p.dtype
    text = _text("pairs" if p.pairs else kind, target, dtype)
    return _filled(text, kind, words, p, c_bytes, grid.chunks)


def _filled(text: str, function: str, words: dict, p: Product, c_bytes: int, chunks: int) -> Call:
    item, table = p.itemsize, list[int]()
    for size, a, b, c in zip(p.batch, p.a.batch, p.b.batch, p.c.batch, strict=True):
        table = [size, a * item, b * item, c * c_bytes, *table]  # the innermost dimension first
    k = p.k * (2 if p.pairs else 1)
    sizes = ([p.batches] if p.batch else []) + [p.m, k, p.n]
    terms = p.m * p.n * k
    if p.triangle:  # about half of them
        terms = p.m * k * (p.n + 1) // 2 if p.triangle == products.LOWER_C else p.m * p.n * (k + 1) // 2
    label = told(f"{function} {'x'.join(['{}'] * len(sizes))} {p.dtype}", *sizes)
    return Call(
        text, function, [words.get(w, 0) for w in products.WORDS] + table, chunks, several(chunks),
        label, 2 * p.batches * terms,
        p.batches * p.itemsize * (p.m * k + k * p.n + p.m * p.n),
        EXPORTS.get(function, (function,)),
        arithmetic="bfloat16" if function == "amx" or (p.pairs and function == "tiles")
        else arithmetic_of(p.dtype),
    )


def _words(p: Product, grid: Grid, c_bytes: int) -> dict:
    """What all kernels read."""
    item = p.itemsize
    return {
        "a": p.a.at, "b": p.b.at, "c": p.c.at, "bias": p.bias or 0,
        "m": p.m, "n": p.n, "k": p.k,
        "a_row": p.a.row * item, "a_k": p.a.column * item,
        "b_k": p.b.row * item, "b_column": p.b.column * item,
        "c_row": p.c.row * c_bytes, "c_column": p.c.column * c_bytes,
        "accumulate": int(p.accumulate),
        "addend": 0 if p.addend is None else p.addend.at,
        "addend_row": 0 if p.addend is None else p.addend.row * item,
        "triangle": products.WHOLE if p.pairs else p.triangle,
        "m_step": grid.m_step, "n_step": grid.n_step, "k_step": grid.k_step,
        "batch_step": grid.batch_step, "m_chunks": grid.m_chunks, "n_chunks": grid.n_chunks,
        "k_chunks": grid.k_chunks, "batches": p.batches, "dims": len(p.batch),
    }


def _sides(p: Product, grid: Grid, tiles: Tiles) -> tuple[list[Call], dict]:
    """How tiles read A and B: calls that pack them as a whole, and words.

    In a large product, a side that several chunks would pack is packed before by a call of its own.
    """
    left, right, shared_left, shared_right = later(_packing, _nowhere(p), grid, tiles)
    item, calls, words = tiles.itemsize, list[Call](), dict[str, object]()
    depth = up(p.k, tiles.lanes) * tiles.lanes
    if shared_left:
        row = (up(depth, 16) * 16 + 16) * item
        row += 64 * (row % 2048 == 0)
        place = Workspace((p.m + tiles.lanes) * row)
        calls.append(_pack("pack_left", p, tiles, place, row, 8 * tiles.lanes))
        words |= {"a": place, "a_row": row, "a_k": item}
        left, p = 0, replace(p, a=replace(p.a, row=row // item, column=1))
    if shared_right:
        panel = depth * tiles.columns * item
        place = Workspace(up(p.n, tiles.columns) * panel)
        calls.append(_pack("pack_right", p, tiles, place, panel, 4 * tiles.columns))
        words |= {"b": place, "b_k": tiles.columns * item, "b_column": depth * item}
        right = 3
    numbers = later(_blocks, _nowhere(p), grid, tiles, left, right)
    found = dict(zip(BLOCK_WORDS, numbers, strict=True))
    scratch = Workspace(found["scratch_bytes"], per_thread=True)
    return calls, words | found | {"scratch": scratch, "pack_a": left, "pack_b": right}


def _packing(p: Product, grid: Grid, tiles: Tiles) -> tuple[int, int, bool, bool]:
    """How A and B are packed, and whether each is packed before, as a whole."""
    left, right = _packs(p, tiles, min(grid.n_step, p.n))
    return left, right, *_shared(p, grid, tiles, left, right)


def _pack(name: str, p: Product, tiles: Tiles, out: Workspace, out_step: int, step: int) -> Call:
    """The call that packs a whole side."""
    x, rows, columns = (p.a, p.m, p.k) if name == "pack_left" else (p.b, p.k, p.n)
    words = [out, x.at, out_step, x.row * p.itemsize, x.column * p.itemsize, rows, columns, step]
    chunks = up(rows if name == "pack_left" else columns, step)
    text = _text("pairs" if p.pairs else "tiles", tiles.target, p.dtype)
    return Call(
        text, name, words, chunks, several(chunks),
        told("{} {}x{} {}", name, rows, columns, p.dtype),
        nbytes=rows * columns * (p.itemsize + tiles.itemsize), exports=TILES,
    )


BLOCK_WORDS = ("mc", "kc", "group", "scratch_bytes", "panels", "panel_bytes", "keep")


def _blocks(p: Product, grid: Grid, tiles: Tiles, pack_a: int, pack_b: int) -> tuple[int, ...]:
    """Blocks for the caches, and places in the scratch of a thread: BLOCK_WORDS."""
    item, target = tiles.itemsize, tiles.target
    # a wide tile uses each vector of B so often that a panel may come from L2; C is visited less
    depth = max(target.l1_bytes * 3 // (4 * tiles.columns * item), 16 * target.vector_bytes, 256)
    if p.a.row == 1 and not pack_a:  # each k is another line of the cache
        depth = 256
    k, rows = min(grid.k_step, p.k), min(grid.m_step, p.m)
    columns = min(grid.n_step, p.n)
    kc = even_most(k, depth, tiles.lanes)
    most = target.l2_bytes // (2 * kc * item)  # a block of A in half of L2; one of many, a quarter
    mc = even_most(rows, max(most if rows <= most else most // 2, tiles.rows), tiles.rows)
    panels, many = up(columns, tiles.columns), rows > mc
    keep = many and pack_b in (1, 2)
    # of a group, the block of C stays in L2, and the panels of B beside A's block
    group = min(GROUP, max((128 << 10) // (min(mc, rows) * item) // tiles.columns, 1))
    panel_bytes = (kc * tiles.columns + 64 // item) * item
    held = panels if keep else group if pack_b == 2 else 1
    a_bytes = (mc + tiles.lanes) * (kc * item + 64) + 64 if pack_a else 0
    if pack_b < 2 and not keep:
        panel_bytes = 0  # the same place again and again: it stays in L1 (what is read in place has one at most, the last)
    start = up(a_bytes, 64) * 64
    nbytes = start + (kc + tiles.lanes) * tiles.columns * item + held * panel_bytes
    nbytes = up(nbytes, 64) * 64
    return mc, kc, group * tiles.columns, nbytes, start, panel_bytes, int(bool(keep))


def _finish_steps(m: int, n: int, count: int) -> tuple[int, int]:
    """Rows and matrices of a chunk that adds `count` parts of m x n."""
    rows = max(1, min(m, (1 << 16) // (n * count) or 1))
    return rows, max(1, (1 << 16) // (n * m * count)) if rows == m else 1


def _finish(p: Product, parts: Matrix, count: int, part: int, target: Target) -> Call:
    """The call that adds the parts and stores C."""
    rows, batch_step = later(_finish_steps, p.m, p.n, count)
    grid = Grid(rows, p.n, 1, batch_step, up(p.m, rows), 1, 1, up(p.batches, batch_step))
    sums = replace(p, a=parts, b=replace(parts, batch=(0,) * len(p.batch)), k=count)
    words = _words(sums, grid, p.itemsize)
    words |= {"a_row": p.n * p.sum_bytes, "c_part": part}
    call = _filled(_text("finish", target, p.dtype), "finish", words, sums, p.itemsize, grid.chunks)
    call.flops = p.batches * p.m * p.n * count
    return call
