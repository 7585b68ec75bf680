"""How a loop nest's kernel reads and writes memory: pointers, vectors, strides, guards, single lanes."""

from __future__ import annotations

import operator

from .llvm import elements
from .llvm.builder import Function, Operand, splat_literal, vector
from .llvm.target import Target
from .nests import Access, Nest, Node


class Memory:
    """The part of `row_loops.Rows` that deals with memory; and what is known where (`scopes`)."""

    def __init__(self, nest: Nest, target: Target, lanes: int):
        self.nest, self.target, self.lanes = nest, target, lanes
        self.f = Function("nest", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.words: list = []
        self.head: list[str] = []
        self.inner_dims = nest.order[len(nest.outer):]
        self.depth = len(nest.inner)
        self.scopes: list[dict] = [{}]
        self.mask: str | None = None  # which lanes are there, and how many, in the last step of a row
        self.count: str | None = None
        self.row_index: list = []
        self.row_inner: list = []
        self.known_words: dict = {}
        self.number = {n: k for k, n in enumerate(nest.nodes)}
        self.turned: dict = {}  # of an access: (its copy, bytes of a row of that)
        self.tile_row: Operand = 0

    # ------------------------------------------------------------ words

    def word(self, *what, type: str = "i64") -> str:
        """A word of the argument block, read at the function's entry."""
        at = len(self.words)
        self.head.append(f"  %a{at} = getelementptr i64, ptr %args, i64 {at}")
        self.head.append(f"  %w{at} = load {type}, ptr %a{at}, align 8")
        self.words.append(what)
        return f"%w{at}"

    def node_word(self, n: Node, at: int, type: str = "i64") -> str:
        """Word number `at` of a node, which may be written in several places."""
        found = self.known_words.get((n, at))
        if found is None:
            found = self.known_words[n, at] = self.word("node", self.number[n], at, type=type)
        return found

    def _prepare_accesses(self):
        walked = self.nest.walked
        self.base = {id(a): self.word("base", k, type="ptr") for k, a in enumerate(walked)}
        self.safe = {id(a): self.word("safe", k, type="ptr") for k, a in enumerate(walked)
                     if a.safe is not None}
        self.strides = {id(a): [self._stride(k, a, j) for j in range(len(self.nest.order))]
                        for k, a in enumerate(walked)}

    def _stride(self, k: int, access: Access, j: int):
        """0 and, along the last dim, the element's size are part of the text; others are words."""
        s = access.strides[j]
        last = j == len(self.nest.order) - 1
        if s == 0 or (last and abs(s) == access.view.dtype.itemsize):
            return operator.index(s)
        return self.word("stride", k, j)

    # ------------------------------------------------------------ what is known

    def _found(self, n: Node, lanes: int):
        for scope in reversed(self.scopes):
            x = scope.get((n, lanes))
            if x is not None:
                return x
        return None

    def _operand(self, n: Node, lanes: int) -> str:
        found = self._found(n, lanes)
        return found if found is not None else self._splat(n)

    def _splat(self, n: Node) -> str:
        found = self._found(n, self.lanes)
        if found is None:
            one = self._found(n, 1)
            t = elements.register_type(n.dtype)
            if one.startswith("%"):
                found = self.f.splat(t, self.lanes, one)
            else:
                found = splat_literal(t, self.lanes, one)
            self.scopes[-1][n, self.lanes] = found
        return found

    def _iota(self, type: str = "i64") -> str:
        return f"<{', '.join(f'{type} {i}' for i in range(self.lanes))}>"

    # ------------------------------------------------------------ memory

    def _pointer(self, access: Access, level: int, lanes: int) -> tuple[str, object]:
        """(address at the current place, the stride along the vector if it is walked in lanes)."""
        f = self.f
        strides = self.strides[id(access)]
        p = self.base[id(access)]
        outer = len(self.nest.outer)
        if id(access) in self.turned:
            copy, row = self.turned[id(access)]
            size = access.view.dtype.itemsize
            p = f.at(copy, f.mul(self.tile_row, row))
            return (f.at(p, f.mul(self.row_inner[0], size)) if level > 1 else p), size
        for depth in range(level):  # 0: outer dims; then each inner dim but the vector's
            key = ("pointer", id(access), depth)
            found = self._found(key, 0)
            if found is None:
                found = p
                if depth == 0:
                    for j in range(outer):
                        if strides[j] != 0:
                            found = f.at(found, f.mul(self.row_index[j], strides[j]))
                elif strides[outer + depth - 1] != 0:
                    found = f.at(found, f.mul(self.row_inner[depth - 1], strides[outer + depth - 1]))
                self.scopes[-1][key, 0] = found
            p = found
        step = strides[-1] if lanes > 1 or level == 1 + self.depth else 0
        return p, step

    def _load(self, n: Node, lanes: int, level: int) -> str:
        """A load, or a take at computed places; under a guard, only where that holds."""
        f, access, dtype = self.f, self.nest.accesses[n], n.dtype
        p, step = self._pointer(access, level, lanes)
        moves = None
        for k in range(len(n.attr or ())):
            stride = self.node_word(n, k)
            index = n.ins[k]
            if lanes > 1 and self._found(index, 1) is None:
                v = vector("i64", lanes)
                move = f.op(f"mul {v} {self._operand(index, lanes)}, {f.splat('i64', lanes, stride)}")
                moves = move if moves is None else f.op(f"add {v} {moves}, {move}")
            else:
                p = f.at(p, f.mul(self._found(index, 1), stride))
        guard = n.ins[-1] if len(n.ins) > len(n.attr or ()) else None
        if guard is None and moves is None and lanes > 1 and step == -dtype.itemsize \
                and self.mask is None:
            return self._load_backwards(dtype, p, lanes)
        vectors = lanes > 1 and (moves is not None or step not in (0, dtype.itemsize))
        if guard is None and not vectors:
            one = 1 if step == 0 else lanes
            x = self._load_value(dtype, p, one, self.mask if one > 1 else None)
            return x if one == lanes else f.splat(elements.register_type(dtype), lanes, x)
        if vectors and step != 0:
            ahead = self._offsets(step)
            v = vector("i64", lanes)
            moves = ahead if moves is None else f.op(f"add {v} {moves}, {ahead}")
        if guard is not None:
            return self._load_guarded(n, guard, p, step, moves, lanes)
        if self.mask is not None:
            zero = splat_literal("i64", lanes, "0")
            moves = self._chosen("i64", lanes, self.mask, moves, zero)
        return self._gather(f.op(f"getelementptr i8, ptr {p}, {vector('i64', lanes)} {moves}"),
                            dtype, lanes)

    def _load_backwards(self, dtype, p: str, lanes: int) -> str:
        x = self._load_value(dtype, self.f.at(p, (1 - lanes) * dtype.itemsize), lanes, None)
        v = vector(elements.register_type(dtype), lanes)
        order = ", ".join(f"i32 {k}" for k in reversed(range(lanes)))
        return self.f.op(f"shufflevector {v} {x}, {v} poison, <{lanes} x i32> <{order}>")

    def _load_guarded(self, n: Node, guard: Node, p: str, step, moves, lanes: int) -> str:
        f, dtype = self.f, n.dtype
        safe = self.safe[id(self.nest.accesses[n])]
        if lanes == 1 or (moves is None and step == 0):
            inside = self._found(guard, 1)
            if inside is None:
                inside = f.intrinsic(f"llvm.vector.reduce.or.v{lanes}i1", "i1",
                                     (vector("i1", lanes), self._operand(guard, lanes)))
            p = self._chosen("ptr", 1, inside, p, safe)
            x = self._load_value(dtype, p, 1, None)
            return f.splat(elements.register_type(dtype), lanes, x)
        mask = self._operand(guard, lanes)
        if self.mask is not None:
            mask = f.op(f"and {vector('i1', lanes)} {mask}, {self.mask}")
        if moves is None and self._maskable(dtype):
            return self._load_masked(dtype, p, lanes, mask)
        if moves is None:
            moves = self._offsets(step)
        places = f.op(f"getelementptr i8, ptr {p}, {vector('i64', lanes)} {moves}")
        places = self._chosen("ptr", lanes, mask, places, f.splat("ptr", lanes, safe))
        return self._gather(places, dtype, lanes)

    def _chosen(self, type: str, lanes: int, condition: str, a: str, b: str) -> str:
        v = vector(type, lanes)
        return self.f.op(f"select {vector('i1', lanes)} {condition}, {v} {a}, {v} {b}")

    def _offsets(self, step) -> str:
        v = vector("i64", self.lanes)
        return self.f.op(f"mul {v} {self._iota()}, {self.f.splat('i64', self.lanes, str(step))}")

    def _gather(self, places: str, dtype, lanes: int) -> str:
        """Loads from a vector of addresses, each of which may be read."""
        f = self.f
        t = elements.MEMORY[elements.name_of(dtype)]
        x = "poison"
        for k in range(lanes):
            p = f.op(f"extractelement {vector('ptr', lanes)} {places}, i64 {k}")
            one = f.load(t, p, dtype.itemsize)
            x = f.op(f"insertelement {vector(t, lanes)} {x}, {t} {one}, i64 {k}")
        return elements.to_register(f, x, dtype, lanes)

    def _copy_turned(self, n: Node, copy: str, row: str, count) -> None:
        """Copy a tile of memory that runs across the rows: each of its rows is dense then."""
        f, access, size = self.f, self.nest.accesses[n], n.dtype.itemsize
        strides, t = self.strides[id(access)], f"i{8 * size}"
        p = self.base[id(access)]
        for index, stride in zip(self.row_index, strides, strict=False):
            p = f.at(p, f.mul(index, stride)) if stride != 0 else p
        step, n_row, tile = strides[-1], self.sizes[-1], self.nest.tile

        def single(k, j):
            x = f.load(t, f.at(f.at(p, f.mul(j, step)), k, t), size)
            f.store(t, x, f.at(f.at(copy, f.mul(k, row)), j, t), size)

        def square(j):
            for first in range(0, tile, 8):
                rows = [f.load(vector(t, 8), f.at(f.at(p, f.mul(f.add(j, i), step)), first, t), size)
                        for i in range(8)]
                for i, x in enumerate(self._transposed(rows, t)):
                    at = f.at(copy, f.mul(first + i, row))
                    f.store(vector(t, 8), x, f.at(at, j, t), size)

        def whole():
            squares = f.op(f"and i64 {n_row}, -8")
            f.loop(0, squares, 8, square)
            f.loop(squares, n_row, 1, lambda j: f.loop(
                0, tile, 1, lambda k: single(k, j), at_least_once=True) and None)

        f.branch(f.compare("eq", count, tile), whole, lambda: f.loop(
            0, n_row, 1, lambda j: f.loop(0, count, 1, lambda k: single(k, j)) and None) and None)

    def _transposed(self, rows: list[str], t: str) -> list[str]:
        """Eight vectors of eight lanes, rows and lanes exchanged."""
        f, v = self.f, vector(t, 8)
        for apart in (1, 2, 4):
            for i in range(8):
                if i & apart:
                    continue
                low, high = rows[i], rows[i + apart]
                for at, lanes in (
                    (i, [k if not k & apart else 8 + k - apart for k in range(8)]),
                    (i + apart, [k + apart if not k & apart else 8 + k for k in range(8)]),
                ):
                    order = ", ".join(f"i32 {k}" for k in lanes)
                    rows[at] = f.op(f"shufflevector {v} {low}, {v} {high}, <8 x i32> <{order}>")
        return rows

    def _maskable(self, dtype) -> bool:
        """Whether the processor has masked loads and stores of a dtype."""
        return self.target.masked and dtype.itemsize >= 4

    def _load_masked(self, dtype, p: str, lanes: int, mask: str) -> str:
        f, t = self.f, elements.MEMORY[elements.name_of(dtype)]
        v = vector(t, lanes)
        name = f"llvm.masked.load.{elements._suffix(t, lanes)}.p0"
        f.declare(f"declare {v} @{name}(ptr, {vector('i1', lanes)}, {v})")
        x = f.op(f"call {v} @{name}(ptr align 1 {p}, {vector('i1', lanes)} {mask}, "
                 f"{v} zeroinitializer)")
        return elements.to_register(f, x, dtype, lanes)

    def _load_value(self, dtype, p: str, lanes: int, mask) -> str:
        f = self.f
        t = elements.MEMORY[elements.name_of(dtype)]
        v = vector(t, lanes)
        if mask is not None and self._maskable(dtype):
            return self._load_masked(dtype, p, lanes, mask)
        if mask is not None:
            p = self._copied(dtype, p, self._beside(dtype))
        x = f.load(v, p, 1 if lanes > 1 else dtype.itemsize)
        return elements.to_register(f, x, dtype, lanes)

    def _store_value(self, dtype, x: str, p: str, lanes: int, mask) -> None:
        f = self.f
        t = elements.MEMORY[elements.name_of(dtype)]
        v = vector(t, lanes)
        x = elements.to_memory(f, x, dtype, lanes)
        if mask is not None and self._maskable(dtype):
            name = f"llvm.masked.store.{elements._suffix(t, lanes)}.p0"
            f.declare(f"declare void @{name}({v}, ptr, {vector('i1', lanes)})")
            f.do(f"call void @{name}({v} {x}, ptr align 1 {p}, {vector('i1', lanes)} {mask})")
            return
        beside = self._beside(dtype) if mask is not None else p
        f.store(v, x, beside, 1 if lanes > 1 else dtype.itemsize)
        if mask is not None:
            self._copied(dtype, beside, p)

    def _beside(self, dtype) -> str:
        """Memory on the stack for one vector, where there are no masked loads and stores."""
        name = f"%beside{dtype.itemsize}"
        line = f"  {name} = alloca [{self.lanes * dtype.itemsize} x i8], align 64"
        if line not in self.head:
            self.head.append(line)
            self.head.append(f"  store [{self.lanes * dtype.itemsize} x i8] zeroinitializer, "
                             f"ptr {name}")
        return name

    def _copied(self, dtype, source: str, to: str) -> str:
        """Copy the elements that are there from one address to another; returns that."""
        f, t = self.f, f"i{8 * dtype.itemsize}"
        f.loop(0, self.count, 1, lambda i: f.store(
            t, f.load(t, f.at(source, i, t), dtype.itemsize), f.at(to, i, t), dtype.itemsize
        ), at_least_once=True)
        return to

    def _write(self, access: Access, n: Node, lanes: int, mask, level: int) -> None:
        """Store a node's value at the current place."""
        f = self.f
        x = self._operand(n, lanes)
        p, step = self._pointer(access, level, lanes)
        size = n.dtype.itemsize
        if lanes == 1 or step == size:
            self._store_value(n.dtype, x, p, lanes, mask)
            return
        t = elements.MEMORY[elements.name_of(n.dtype)]
        x = elements.to_memory(f, x, n.dtype, lanes)
        beside = self._beside(n.dtype)
        f.store(vector(t, lanes), x, beside, 1)
        f.loop(0, self.count if mask is not None else lanes, 1, lambda i: f.store(
            t, f.load(t, f.at(beside, i, t), size), f.at(p, f.mul(i, step)), size
        ), at_least_once=True)
