"""Register tiles: the inner loops of matrix products, convolutions, attention, recurrent layers.

A *tile* is a block of C, a few rows and a few vectors of columns, that stays in registers:

    C[i, j] = sum over k of A[i, k] * B[k, j]   (+ C[i, j])   (+ bias[j])

For each k, `vectors` vectors of B are loaded and each of the `rows` elements of A is broadcast. All
strides are runtime bytes, so one kernel reads A by rows, by columns, packed or strided, and B in
place or from packed panels; only the columns of B and C must be contiguous.

**Calling convention.** `Tiles.library()` has the functions that a module calls, one for each height 1..rows
and width 1..vectors; `Tiles.extra()` is the module's text for calls by a height known at run time:

    void @tile(ptr a, ptr b, ptr c, i64 k, i64 columns, ptr block)

- a, b, c: the tile's first element of A, B and C; no alignment is needed.
- k: the length of the sum (in pairs for bfloat16). Zero gives zeros (plus what is added).
- columns: valid columns, from (vectors - 1) * lanes + 1 to vectors * lanes. Of B, `vectors` whole
  vectors are read whatever `columns` is (so a narrow panel of B must be padded; with what, does not
  matter); of C and bias nothing beyond `columns` is touched.
- block: 8-byte words, often the caller's `alloca`, filled once for many tiles:

      A_ROW, A_K     bytes from A[i, k] to A[i + 1, k], and to A[i, k + 1]
      B_K            bytes from B[k, j] to B[k + 1, j]
      C_ROW          bytes from C[i, j] to C[i + 1, j]
      ADD, ADD_ROW   what is added to the product: 0 nothing; 1 what C holds; else the address of the
                     first element that a tile adds, and bytes from its row to the next one
      BIAS           address of bias[j] for the tile's first column, or 0

`Tiles.call` writes a call for a height and width that may be known while writing or not.
`Tiles.panels` writes the loop that splits a number of rows evenly: 64 rows in heights up to 6 are 9
of 6 and 2 of 5.

Types: float32 and float64 as they are. bfloat16: A and B hold *pairs* along k (B is `[k/2][j][2]`;
k, A_K and B_K count pairs), C and bias are float32; one instruction where the processor has it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..llvm.builder import Function, Library, Operand, splat_literal, vector
from ..llvm.target import Target

A_ROW, A_K, B_K, C_ROW, ADD, ADD_ROW, BIAS = range(7)
BLOCK_WORDS = 7
UNROLL = 4
PAGE = 4096
_SUFFIX = {"float": "f32", "double": "f64", "i32": "i32", "i64": "i64"}  # in names of intrinsics


@dataclass(frozen=True)
class Tiles:
    """The tile kernels of one target and type; the module's text has their calling convention."""

    target: Target
    dtype: str = "float32"
    ahead: bool = False  # A is read in place, and may come from memory: the next tile's rows are asked for

    @cached_property
    def type(self) -> str:
        """LLVM's type of the sums, of C and of bias."""
        return "double" if self.dtype == "float64" else "float"

    @cached_property
    def itemsize(self) -> int:
        """Bytes of an element of C."""
        return 8 if self.dtype == "float64" else 4

    @cached_property
    def lanes(self) -> int:
        """Columns in one vector."""
        return self.target.lanes(self.itemsize)

    @cached_property
    def vectors(self) -> int:
        """The widest tile, in vectors."""
        return 2 if self.target.vector_registers <= 16 else 3

    @cached_property
    def rows(self) -> int:
        """The highest tile: sums, the vectors of B and broadcasts fill the registers."""
        # 128-bit x86 multiplies into a register; of 32 there is room for eight rows, as most sizes have
        spare = 2 if self.target.vector_bytes == 32 else 4
        return (self.target.vector_registers - self.vectors - spare) // self.vectors

    @cached_property
    def columns(self) -> int:
        """Columns of the widest tile: the width of a packed panel of B."""
        return self.vectors * self.lanes

    def name(self, rows: int, vectors: int) -> str:
        """The kernel's name in its module."""
        variant = "a" * self.ahead
        return f"tile{variant}_{self.dtype}_{rows}x{vectors}"

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of all kernels, by width, then height."""
        return [(r, v) for v in range(1, self.vectors + 1) for r in range(1, self.rows + 1)]

    def kernels(self) -> list[Function]:
        """Kernels of all heights and widths."""
        return _kernels(self)

    def library(self) -> Library:
        """The kernels as a library: many families need the same."""
        return _library(self)

    def extra(self) -> str:
        """The table of kernels: `call` reads it."""
        names = [self.name(*size) for size in self.sizes]
        held = ", ".join(f"ptr @{n}" for n in names)
        return f"@{self.name(0, 0)} = internal constant [{len(names)} x ptr] [{held}]"

    def call(
        self, f: Function, rows: Operand, vectors: Operand, a: str, b: str, c: str,
        k: Operand, columns: Operand, block: str,
    ) -> None:
        """Write a call of the kernel of a height and width."""
        if isinstance(rows, int) and isinstance(vectors, int):
            kernel = f"@{self.name(rows, vectors)}"
        else:
            index = f.add(f.mul(f.sub(vectors, 1), self.rows), f.sub(rows, 1))
            kernel = f.load("ptr", f.at(f"@{self.name(0, 0)}", index, "ptr"), 8)
        f.do(f"call void {kernel}(ptr {a}, ptr {b}, ptr {c}, i64 {k}, i64 {columns}, ptr {block})")

    def panels(self, f: Function, rows: Operand, body: Callable) -> None:
        """Write body(first row, height) for each of the fewest panels of nearly equal heights."""

        def split():
            count, low, higher = self.split(f, rows)

            def panel(i, row):
                height = f.add(low, f.op(f"zext i1 {f.compare('slt', i, higher)} to i64"))
                body(row, height)
                return [f.add(row, height)]

            f.loop(0, count, 1, panel, carry=[("i64", "0")], at_least_once=True)

        f.branch(f.compare("sgt", rows, 0), split)

    def split(self, f: Function, rows: Operand) -> tuple[Operand, Operand, Operand]:
        """(panels, the lower height, how many, the first ones, are one higher) of rows > 0."""
        count = f.div(f.add(rows, self.rows - 1), self.rows)
        low = f.div(rows, count)
        return count, low, f.sub(rows, f.mul(low, count))


@functools.cache
def _kernels(tiles: Tiles) -> list[Function]:
    return [_Writer(tiles, *size).write() for size in tiles.sizes]


@functools.cache
def _library(tiles: Tiles) -> Library:
    return Library(tiles.name(0, 0), _kernels(tiles))


def set_words(f: Function, block: str, words: dict[int, Operand]) -> None:
    """Store words of a block."""
    for index, value in words.items():
        f.store("i64", str(value), f.at(block, index, "i64"), 8)


class _Writer:
    """Writes one tile kernel."""

    def __init__(self, tiles: Tiles, rows: int, vectors: int):
        self.t, self.rows, self.vectors = tiles, rows, vectors
        self.v = vector(tiles.type, tiles.lanes)
        parameters = [("ptr", n) for n in "abc"] + [("i64", "k"), ("i64", "columns")]
        parameters.append(("ptr", "block"))
        self.f = Function(tiles.name(rows, vectors), parameters, internal=True, inline=False)

    def write(self) -> Function:
        f, t = self.f, self.t
        self.c_row = f.argument("%block", C_ROW)
        self.a_k, self.b_k = f.argument("%block", A_K), f.argument("%block", B_K)
        self.next_b = f.mul(self.b_k, UNROLL)
        if t.ahead:
            step = f.argument("%block", A_ROW)
            # rows a page apart share the few places that a cache has for them: these would drive each other out
            crowd = f.compare("eq", f.op(f"and i64 {step}, {PAGE - 1}"), 0)
            self.next_tile = f.op(f"select i1 {crowd}, i64 0, i64 {f.mul(step, self.rows)}")
        self.a = self._rows_of_a()
        self._prefetch_c()
        self._finish(self._sums())
        f.do("ret void")
        return f

    # ------------------------------------------------------------ addresses

    def _rows_of_a(self) -> list[str]:
        f, found = self.f, ["%a"]
        step = f.argument("%block", A_ROW)
        while len(found) < self.rows:
            found.append(f.at(found[-1], step))
        return [opaque(f, "ptr", row) for row in found]

    def _rows_of_c(self) -> list[str]:
        found = ["%c"]
        while len(found) < self.rows:
            found.append(self.f.at(found[-1], self.c_row))
        return found

    def _prefetch_c(self) -> None:
        """Ask for C early: it is needed when the sums are complete."""
        for row in self._rows_of_c():
            self._prefetch(row, write=True)

    def _prefetch(self, row: str, write: bool) -> None:
        """Ask for the lines of cache with a row of the tile."""
        for at in range(0, self.vectors * self.t.lanes * self.t.itemsize, 64):
            self._ask(self.f.at(row, at), write)

    def _ask(self, where: str, write: bool) -> None:
        self.f.intrinsic(
            "llvm.prefetch.p0", "void", ("ptr", where), ("i32", str(int(write))), ("i32", "3"), ("i32", "1")
        )

    # ------------------------------------------------------------ the sum

    def _sums(self) -> list[str]:
        """The sums of k terms."""
        f = self.f

        def steps(count):
            def body(i, at, b, *sums):
                made = list(sums)
                if self.t.ahead and count == UNROLL:
                    for row in self.a:
                        self._ask(f.at(f.at(row, self.next_tile), at), write=False)
                for _ in range(count):
                    made = self._step(made, at, b)
                    at = opaque(f, "i64", f.add(at, self.a_k))
                    b = opaque(f, "ptr", f.at(b, self.b_k))
                return [at, b, *made]

            return body

        whole = f.op(f"and i64 %k, {-UNROLL}")
        carry = [("i64", "0"), ("ptr", "%b"), *[(self.v, "zeroinitializer")] * (self.rows * self.vectors)]
        values = f.loop(0, whole, UNROLL, steps(UNROLL), carry)
        carry = [(type, value) for (type, _), value in zip(carry, values)]
        return f.loop(whole, "%k", 1, steps(1), carry)[2:]

    def _step(self, sums: list[str], at: Operand, b: str) -> list[str]:
        """One k: every sum gets its product. Rows of B, maybe far apart, are asked for ahead."""
        f, t = self.f, self.t
        self._prefetch(f.at(b, self.next_b), write=False)
        pairs = t.dtype == "bfloat16"
        held = "i32" if pairs else t.type
        loaded = vector(held, t.lanes)
        right = [f.load(loaded, f.at(b, j * t.lanes, held)) for j in range(self.vectors)]
        made = []
        for i in range(self.rows):
            left = f.splat(held, t.lanes, f.load(held, f.at(self.a[i], at)))
            for j in range(self.vectors):
                old = sums[i * self.vectors + j]
                multiply = _add_pairs if pairs else _add_product
                made.append(multiply(f, t, left, right[j], old))
        return made

    # ------------------------------------------------------------ what is added, and the stores

    def _finish(self, sums: list[str]) -> None:
        f, t = self.f, self.t
        rows, last = self._rows_of_c(), (self.vectors - 1) * t.lanes
        types = [self.v] * len(sums)
        valid = f.sub("%columns", last)  # columns in the last vector

        def read(pointer, j):
            where = f.at(pointer, j * t.lanes, t.type)
            if j < self.vectors - 1:
                return f.load(self.v, where)
            return load_part(f, t.target, t.type, t.lanes, where, valid)

        def add(j_of_row):
            return [
                f.op(f"fadd {self.v} {s}, {j_of_row(*divmod(n, self.vectors))}")
                for n, s in enumerate(sums)
            ]

        added = f.argument("%block", ADD)

        def add_rows():
            own = f.compare("eq", added, 1)
            row = f.op(f"select i1 {own}, ptr %c, ptr {f.argument('%block', ADD, 'ptr')}")
            step = f.argument("%block", ADD_ROW)
            step = f.op(f"select i1 {own}, i64 {self.c_row}, i64 {step}")
            others = [row]
            while len(others) < self.rows:
                others.append(f.at(others[-1], step))
            return add(lambda i, j: read(others[i], j))

        sums = f.branch(f.compare("ne", added, 0), add_rows, lambda: sums, types)
        bias = f.argument("%block", BIAS, "ptr")

        def add_bias():
            parts = [read(bias, j) for j in range(self.vectors)]
            return add(lambda i, j: parts[j])

        sums = f.branch(f.op(f"icmp ne ptr {bias}, null"), add_bias, lambda: sums, types)
        for n, s in enumerate(sums):
            i, j = divmod(n, self.vectors)
            if j < self.vectors - 1:
                f.store(self.v, s, f.at(rows[i], j * t.lanes, t.type))
        ends = [f.at(row, last, t.type) for row in rows]
        store_part(f, t.type, t.lanes, sums[self.vectors - 1 :: self.vectors], ends, valid)


def _add_product(f: Function, t: Tiles, a: str, b: str, c: str) -> str:
    return multiply_add(f, t.type, t.lanes, a, b, c)


def _add_pairs(f: Function, t: Tiles, a: str, b: str, c: str) -> str:
    """c + a.low * b.low + a.high * b.high, of pairs of bfloat16 held in 32 bits."""
    v, held = vector("float", t.lanes), vector("i32", t.lanes)
    if "+avx512bf16" in t.target.features:
        pairs = vector("bfloat", 2 * t.lanes)
        given = [(pairs, f.op(f"bitcast {held} {x} to {pairs}")) for x in (a, b)]
        name = f"llvm.x86.avx512bf16.dpbf16ps.{t.target.vector_bytes * 8}"
        return f.intrinsic(name, v, (v, c), *given)
    high = splat_literal("i32", t.lanes, "-65536")
    low = splat_literal("i32", t.lanes, "16")
    for widen in (f"shl {held} {{}}, {low}", f"and {held} {{}}, {high}"):
        x, y = (
            f.op(f"bitcast {held} {f.op(widen.format(value))} to {v}") for value in (a, b)
        )
        c = multiply_add(f, "float", t.lanes, x, y, c)
    return c


def opaque(f: Function, type: str, value: str) -> str:
    """The same value, of which LLVM forgets how it was made.

    Left alone, its loop optimiser replaces `row + index` by a dozen addresses, which spill.
    """
    return f.op(f'call {type} asm "", "=r,0"({type} {value})')


# ---------------------------------------------------------------- parts of vectors


def multiply_add(f: Function, type: str, lanes: int, a: str, b: str, c: str) -> str:
    """a * b + c in every lane, rounded once where the processor can."""
    v = vector(type, lanes)
    suffix = _SUFFIX[type] if lanes == 1 else f"v{lanes}{_SUFFIX[type]}"
    return f.intrinsic(f"llvm.fmuladd.{suffix}", v, (v, a), (v, b), (v, c))


def load_part(
    f: Function, target: Target, type: str, lanes: int, pointer: str, count: Operand
) -> str:
    """The first `count` (0 to lanes) elements of a vector in memory, then zeros; reads no more."""
    v = vector(type, lanes)
    if target.masked and type in _SUFFIX:
        mask = f"<{lanes} x i1>"
        return f.intrinsic(
            f"llvm.masked.load.v{lanes}{_SUFFIX[type]}.p0", v, ("ptr", pointer), ("i32", "1"),
            (mask, mask_below(f, lanes, count)), (v, "zeroinitializer"),
        )

    def one_by_one():
        def lane(i, so_far):
            x = f.load(type, f.at(pointer, i, type))
            return [f.op(f"insertelement {v} {so_far}, {type} {x}, i64 {i}")]

        return f.loop(0, count, 1, lane, carry=[(v, "zeroinitializer")])

    whole = f.compare("eq", count, lanes)
    return f.branch(whole, lambda: [f.load(v, pointer)], one_by_one, types=[v])[0]


def mask_below(f: Function, lanes: int, count: Operand) -> str:
    """The lanes numbered below count, as <lanes x i1>."""
    wide = f.splat("i32", lanes, f.op(f"trunc i64 {count} to i32"))
    numbers = "<" + ", ".join(f"i32 {i}" for i in range(lanes)) + ">"
    return f.op(f"icmp slt <{lanes} x i32> {numbers}, {wide}")


def store_part(
    f: Function, type: str, lanes: int, values: Sequence[str], pointers: Sequence[str],
    count: Operand,
) -> None:
    """Store the first `count` (1 to lanes) elements of each vector: halves, quarters, ...

    AMD's masked stores take a dozen cycles each; this takes one branch a size for all rows.
    """
    v = vector(type, lanes)

    def whole():
        for value, pointer in zip(values, pointers, strict=True):
            f.store(v, value, pointer)

    def pieces():
        left, at, size = list(values), list(pointers), lanes
        while size > 1:
            half = size // 2
            left, at = _store_half(f, type, size, left, at, count, half)
            size = half

    f.branch(f.compare("eq", count, lanes), whole, pieces)


def _store_half(f, type, size, values, pointers, count, half) -> tuple[list[str], list[str]]:
    """Where `half` is a binary digit of count: store the low halves. Returns what is left."""
    v, h = vector(type, size), vector(type, half)

    def part(value, first):
        if half == 1:
            return f.op(f"extractelement {v} {value}, i64 {first}")
        order = ", ".join(f"i32 {first + i}" for i in range(half))
        return f.op(f"shufflevector {v} {value}, {v} poison, <{half} x i32> <{order}>")

    low = [part(value, 0) for value in values]

    def store():
        for value, pointer in zip(low, pointers, strict=True):
            f.store(h, value, pointer)
        return [part(x, half) for x in values] + [f.at(p, half, type) for p in pointers]

    digit = f.compare("ne", f.op(f"and i64 {count}, {half}"), 0)
    types = [h] * len(values) + ["ptr"] * len(values)
    left = f.branch(digit, store, lambda: [*low, *pointers], types)
    return left[: len(values)], left[len(values) :]
