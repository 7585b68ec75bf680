"""Products with few rows of C, which read B once and are bound by memory: no packing.

`dots`: A and B are dense along k. A few rows of A meet four columns of B; sums are vectors along k,
folded at the end. With rows and columns swapped, the same is done for few columns of C.
`sweeps`: B is dense along its columns. Eight rows of B at a time are read from end to end and added
to a row of C, so that memory sees long runs.
"""

from __future__ import annotations

import functools

import numpy as np

from ..llvm import elements
from ..llvm.builder import Function, Library, Operand, module, vector
from ..llvm.target import Target
from . import micro
from .micro import load_part, multiply_add, store_part
from .products import Chunk

COLUMNS = 4  # of a tile of dots
LINE = 64  # bytes of the processor's cache
DEPTH = 8  # rows of B that a sweep reads at once


def dot_rows(target: Target) -> int:
    """Rows of A in the highest tile of dots."""
    return 3 if target.vector_registers <= 16 else 5


def dots_text(target: Target, dtype: np.dtype) -> str:
    """The module of `dots`, in products' words."""
    dots = Dots(target, dtype)
    return module([dots.library(), _dots(dots)], dots.extra())


_DOT_WORDS = (
    "a_row", "b_column", "c_row", "c_column", "bias_row", "bias_column", "accumulate", "bias"
)


class Dots:
    """The kernels for tiles of dots, and calls of them."""

    def __init__(self, target: Target, dtype: np.dtype):
        self.target, self.dtype = target, dtype
        self.rows = dot_rows(target)

    def library(self) -> Library:
        """Kernels of all heights, which a module has to name."""
        return _library(self.target, self.dtype)

    def extra(self) -> str:
        """The table of kernels: `call` reads it."""
        names = ", ".join(f"ptr @dot_{rows}" for rows in range(1, self.rows + 1))
        return f"@dot_table = internal constant [{self.rows} x ptr] [{names}]"

    def block(self, f: Function) -> str:
        """Write a block of words, at the function's entry."""
        return f.op(f"alloca [{len(_DOT_WORDS)} x i64], align 8")

    def set(self, f: Function, block: str, words: dict[str, Operand]) -> None:
        """Store words of a block; what is not given is zero."""
        micro.set_words(f, block, {i: words.get(w, 0) for i, w in enumerate(_DOT_WORDS)})

    def call(self, f: Function, rows: Operand, a: str, b: str, c: str, k: Operand, columns: Operand,
             block: str, bias: str = "null") -> None:
        """Write a call: rows of A from a on, columns of B from b on, at most `COLUMNS`."""
        f.store("ptr", bias, f.at(block, len(_DOT_WORDS) - 1, "i64"), 8)
        kernel = f.load("ptr", f.at("@dot_table", f.sub(rows, 1), "ptr"), 8)
        f.do(f"call void {kernel}(ptr {a}, ptr {b}, ptr {c}, i64 {k}, i64 {columns}, ptr {block})")


@functools.cache
def _library(target: Target, dtype: np.dtype) -> Library:
    kernels = [_Dot(target, dtype, rows).write() for rows in range(1, dot_rows(target) + 1)]
    return Library(f"dots_{dtype}", kernels)


def _dots(dots: Dots) -> Function:
    """For each four columns of B: all rows of A, in tiles."""
    x = Chunk("dots")
    f, most = x.f, dots.rows
    block = dots.block(f)
    dots.set(f, block, {w: x.words[w] for w in _DOT_WORDS[:-1]})

    def batch(number, a, b, c, m, n, k):
        def four(j):
            columns = f.minimum(COLUMNS, f.sub(n[1], j))
            right = f.at(b, f.mul(j, x.b_column))

            def tile(i):
                rows = f.minimum(most, f.sub(m[1], i))
                out = f.at(f.at(c, f.mul(i, x.c_row)), f.mul(j, x.c_column))
                bias = f.at(f.at(x.bias, f.mul(i, x.bias_row)), f.mul(j, x.bias_column))
                has_bias = f.op(f"icmp ne ptr {x.bias}, null")
                bias = f.op(f"select i1 {has_bias}, ptr {bias}, ptr null")
                left = f.at(f.at(a, f.mul(i, x.a_row)), f.mul(k[0], x.a_k))
                here = f.at(right, f.mul(k[0], x.b_k))
                dots.call(f, rows, left, here, out, f.sub(k[1], k[0]), columns, block, bias)

            f.loop(m[0], m[1], most, tile)

        f.loop(n[0], n[1], COLUMNS, four)

    return x.each_batch(batch)


class _Dot:
    """Writes one kernel: `rows` rows of A times up to four columns of B."""

    def __init__(self, target: Target, dtype: np.dtype, rows: int):
        self.target, self.dtype, self.rows = target, dtype, rows
        self.held, self.type = elements.MEMORY[dtype.name], elements.register_type(dtype)
        self.lanes = target.lanes(max(dtype.itemsize, 4))
        self.v, self.four = vector(self.type, self.lanes), vector(self.type, COLUMNS)
        parameters = [("ptr", n) for n in "abc"] + [("i64", "k"), ("i64", "columns")]
        self.f = Function(
            f"dot_{rows}", [*parameters, ("ptr", "block")], internal=True, inline=False
        )

    def write(self) -> Function:
        f = self.f
        self.words = {
            w: f.argument("%block", i, "ptr" if w == "bias" else "i64")
            for i, w in enumerate(_DOT_WORDS)
        }
        self.scratch = f.op(f"alloca {self.four}, align {8 * COLUMNS}")
        self.a, self.b = ["%a"], ["%b"]
        while len(self.a) < self.rows:
            self.a.append(f.at(self.a[-1], self.words["a_row"]))
        for j in range(1, COLUMNS):  # columns that are not there are copies of the last
            inside = f.compare("slt", j, "%columns")
            step = f.op(f"select i1 {inside}, i64 {self.words['b_column']}, i64 0")
            self.b.append(f.at(self.b[-1], step))
        self.a, self.b = ([micro.opaque(f, "ptr", p) for p in ps] for ps in (self.a, self.b))
        self.next = f.at(self.b[0], f.mul(self.words["b_column"], COLUMNS))
        sums = self._sums()
        for i in range(self.rows):
            self._store_row(i, fold_four(f, self.type, self.lanes, sums[i * COLUMNS :][:COLUMNS]))
        f.do("ret void")
        return f

    def _sums(self) -> list[str]:
        """Row by column, the sums in lanes.

        A single row reads one column of B after another: memory is fastest when read from end to end.
        """
        if self.rows > 1:
            return self._together(self.b, 1)
        return [x for column in self.b for x in self._together([column], 4)]

    def _together(self, columns: list[str], sets: int) -> list[str]:
        """The sums of all rows and these columns; as many terms as `sets` are added up apart from each other."""
        f, count = self.f, self.rows * len(columns)
        step = self.lanes * sets
        whole, steps = f.op(f"and i64 %k, {-step}"), f.op(f"and i64 %k, {-self.lanes}")

        def many(k, *sums):
            made = []
            for s in range(sets):
                made += self._add(columns, f.add(k, s * self.lanes), sums[s * count : (s + 1) * count])
            return made

        carry = [(self.v, "zeroinitializer")] * (count * sets)
        sums = f.loop(0, whole, step, many, carry)
        if sets > 1:
            while len(sums) > count:
                half = len(sums) // 2
                sums = [f.op(f"fadd {self.v} {x}, {y}") for x, y in zip(sums[:half], sums[half:])]
            carry = [(self.v, s) for s in sums]
            sums = f.loop(whole, steps, self.lanes, lambda k, *sums: self._add(columns, k, sums), carry)
        rest = f.sub("%k", steps)
        ragged = f.compare("ne", rest, 0)
        return f.branch(
            ragged, lambda: self._add(columns, steps, sums, rest), lambda: sums, [self.v] * count
        )

    def _add(self, columns: list[str], k, sums, count=None) -> list[str]:
        f = self.f
        left = [self._load(row, k, count) for row in self.a]
        made = list(sums)
        if len(columns) > 1 and count is None:
            self._ask_for_next(k)
        for j, column in enumerate(columns):
            right = self._load(column, k, count)
            for i, x in enumerate(left):
                n = i * len(columns) + j
                made[n] = multiply_add(f, self.type, self.lanes, x, right, made[n])
        return made

    def _ask_for_next(self, k) -> None:
        """Bring the columns of the next tile near, as one run of memory: four that are read side by side are too short
        for the processor to foresee (a cold matrix of 1536 by 384 came in at 10 GB/s, and at 20 with this)."""
        for i in range(max(1, COLUMNS * self.lanes * self.dtype.itemsize // LINE)):
            where = self.f.at(self.f.at(self.next, self.f.mul(k, COLUMNS), self.held), i * LINE)
            self.f.intrinsic("llvm.prefetch.p0", "void", ("ptr", where), ("i32", "0"), ("i32", "2"), ("i32", "1"))

    def _load(self, row: str, k, count) -> str:
        f, where = self.f, self.f.at(row, k, self.held)
        if count is None:
            x = f.load(vector(self.held, self.lanes), where)
        else:
            x = load_part(f, self.target, self.held, self.lanes, where, count)
        return elements.to_register(f, x, self.dtype, self.lanes)

    def _store_row(self, i: int, sums: str) -> None:
        """Four sums, or fewer: at once where C is dense and nothing is added, else one by one."""
        f, w = self.f, self.words
        out = f.at("%c", f.mul(i, w["c_row"]))
        bias = f.at(w["bias"], f.mul(i, w["bias_row"]))
        has_bias, adds = f.op(f"icmp ne ptr {w['bias']}, null"), f.compare("ne", w["accumulate"], 0)

        def at_once():
            f.store(
                vector(self.held, COLUMNS), elements.to_memory(f, sums, self.dtype, COLUMNS), out
            )

        def added(total, wanted, where):
            def add():
                found = elements.to_register(f, f.load(self.held, where), self.dtype, 1)
                return [f.op(f"fadd {self.type} {total}, {found}")]

            return f.branch(wanted, add, lambda: [total], [self.type])[0]

        def one(j):
            total = f.load(self.type, f.at(self.scratch, j, self.type))
            total = added(total, has_bias, f.at(bias, f.mul(j, w["bias_column"])))
            where = f.at(out, f.mul(j, w["c_column"]))
            total = added(total, adds, where)
            f.store(self.held, elements.to_memory(f, total, self.dtype, 1), where)

        def one_by_one():
            f.store(self.four, sums, self.scratch)
            f.loop(0, "%columns", 1, one)

        changes = f.op(f"or i1 {has_bias}, {adds}")
        whole = f.compare("eq", "%columns", COLUMNS)
        dense = f.compare("eq", w["c_column"], self.dtype.itemsize)
        plain = f.op(f"xor i1 {changes}, true")
        simple = f.op(f"and i1 {f.op(f'and i1 {whole}, {dense}')}, {plain}")
        f.branch(simple, at_once, one_by_one)


def fold_four(f: Function, type: str, lanes: int, vectors: list[str]) -> str:
    """The sums over the lanes of four vectors, as a vector of four."""

    def pick(a, b, order):
        v, numbers = vector(type, lanes), ", ".join(f"i32 {i}" for i in order)
        return f.op(f"shufflevector {v} {a}, {v} {b}, <{len(order)} x i32> <{numbers}>")

    def add(a, b, first, second):
        x, y = pick(a, b, first), pick(a, b, second)
        return f.op(f"fadd {vector(type, len(first))} {x}, {y}")

    while lanes > 4:
        half = lanes // 2
        vectors = [add(x, x, range(half), range(half, lanes)) for x in vectors]
        lanes = half
    even, odd = range(0, 2 * lanes, 2), range(1, 2 * lanes, 2)
    x, y = (add(vectors[i], vectors[i + 1], even, odd) for i in (0, 2))
    return add(x, y, even, odd) if lanes == 4 else pick(x, y, range(4))


def sweeps_text(target: Target, dtype: np.dtype) -> str:
    """The module of `sweeps`, in products' words; C's type is float32 for half types."""
    return module([_Sweeps(target, dtype).write()])


class _Sweeps:
    """Writes the function `sweeps`."""

    def __init__(self, target: Target, dtype: np.dtype):
        self.target, self.dtype = target, dtype
        self.held, self.type = elements.MEMORY[dtype.name], elements.register_type(dtype)
        self.lanes = target.lanes(max(dtype.itemsize, 4))
        self.v = vector(self.type, self.lanes)
        self.chunk = Chunk("sweeps")
        self.f = self.chunk.f

    def write(self) -> Function:
        f, x = self.f, self.chunk

        def batch(number, a, b, c, m, n, k):
            def block(low):
                """Columns of which a row of C stays in L1."""
                high = f.minimum(f.add(low, x.group), n[1])
                whole = f.add(low, f.op(f"and i64 {f.sub(high, low)}, {-self.lanes}"))
                columns = (low, whole, f.sub(high, whole))
                f.loop(m[0], m[1], 1, lambda i: self._start(f.at(c, f.mul(i, x.c_row)), columns))
                deep = f.add(k[0], f.op(f"and i64 {f.sub(k[1], k[0])}, {-DEPTH}"))
                for first, end, depth in ((k[0], deep, DEPTH), (deep, k[1], 1)):
                    body = functools.partial(self._rows, a, b, c, m, columns, depth)
                    f.loop(first, end, depth, body)

            f.loop(n[0], n[1], x.group, block)

        return x.each_batch(batch)

    def _each(self, columns, body) -> None:
        """body(column, None) for whole vectors, then body(column, count) for the rest."""
        f = self.f
        low, whole, rest = columns
        f.loop(low, whole, self.lanes, lambda j: body(j, None))
        f.branch(f.compare("ne", rest, 0), lambda: body(whole, rest))

    def _read(self, pointer: str, j, count, held: str) -> str:
        where = self.f.at(pointer, j, held)
        if count is None:
            return self.f.load(vector(held, self.lanes), where)
        return load_part(self.f, self.target, held, self.lanes, where, count)

    def _write(self, value: str, pointer: str, j, count) -> None:
        where = self.f.at(pointer, j, self.type)
        if count is None:
            self.f.store(self.v, value, where)
        else:
            store_part(self.f, self.type, self.lanes, [value], [where], count)

    def _start(self, out: str, columns) -> None:
        """A row of C: what is there or zeros, and bias."""
        f, x = self.f, self.chunk
        adds = f.compare("ne", x.accumulate, 0)
        biased = f.op(f"icmp ne ptr {x.bias}, null")

        def start(j, count):
            old = lambda: [self._read(out, j, count, self.type)]  # noqa: E731
            total = f.branch(adds, old, lambda: ["zeroinitializer"], [self.v])[0]

            def add():
                return [f.op(f"fadd {self.v} {total}, {self._read(x.bias, j, count, self.type)}")]

            self._write(f.branch(biased, add, lambda: [total], [self.v])[0], out, j, count)

        self._each(columns, start)

    def _rows(self, a, b, c, m, columns, depth, k) -> None:
        """Add `depth` rows of B to every row of C."""
        f, x = self.f, self.chunk
        rows = [f.at(b, f.mul(k, x.b_k))]
        while len(rows) < depth:
            rows.append(f.at(rows[-1], x.b_k))
        rows = [micro.opaque(f, "ptr", row) for row in rows]

        def one(i):
            out = f.at(c, f.mul(i, x.c_row))
            left = f.at(f.at(a, f.mul(i, x.a_row)), f.mul(k, x.a_k))
            factors = []
            for _ in range(depth):
                value = elements.to_register(f, f.load(self.held, left), self.dtype, 1)
                factors.append(f.splat(self.type, self.lanes, value))
                left = f.at(left, x.a_k)

            def sweep(j, count):
                total = self._read(out, j, count, self.type)
                for factor, row in zip(factors, rows):
                    read = self._read(row, j, count, self.held)
                    right = elements.to_register(f, read, self.dtype, self.lanes)
                    total = multiply_add(f, self.type, self.lanes, factor, right, total)
                self._write(total, out, j, count)

            self._each(columns, sweep)

        f.loop(m[0], m[1], 1, one)
