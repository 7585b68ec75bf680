"""Loop nests as LLVM IR: rows, stages, vectors, and the argument block of the call.

The text depends on the structure only. Addresses, sizes, strides and most numbers are words of the
argument block, in the order in which the writer asks for them; so one kernel serves all sizes. The last
inner dim is walked in vectors, its rest in one masked vector.
"""

from __future__ import annotations

import numpy as np

from . import expressions as ex
from .expressions import View
from .kernels.call import Address, Call, ErrorWord, Scalar, Workspace
from .llvm import elements
from .llvm.builder import Function, module, splat_literal, vector
from .llvm.target import Target, host
from .nests import EXPENSIVE, LITERALS, Access, Builder, Nest, Node, Store, ready

CHUNK = 16_384  # elements that a chunk should have at least
MOST_PARTIALS = 64  # chunks of a nest that reduces over rows


def emit(nest: Nest, target: Target | None = None) -> list[Call]:
    """The calls that run a nest.

    A nest that reduces over rows in several chunks leaves partial results, one row for each chunk; a
    call for each such result then combines them in order.
    """
    target = target or host()
    reduced = [o for o in nest.outputs if o.partial]
    chunks = chunking(nest)[2]
    if not reduced or chunks == 1:
        return [_Writer(nest, None, target).call()]
    partials, after = [], []
    for o in reduced:
        row = nest.row_size if along_inner(nest, o) else 1
        memory = Workspace(chunks * row * o.node.dtype.itemsize)
        partials.append(View(memory, (chunks, row), (row, 1), 0, o.node.dtype))
        builder = Builder((chunks, row))
        total = ex.reduce(o.partial, ex.value(partials[-1]), (0,))
        builder.add(Store(View(o.view.root, (1, row), (row, 1), o.view.offset, o.view.dtype), total))
        after.append(_Writer(builder.finish(), None, target, one_chunk=True).call())
    return [_Writer(nest, partials, target).call(), *after]


def along_inner(nest: Nest, o) -> bool:
    """Whether a result of a reduction over rows is a row (not a single number)."""
    return any(o.access.strides[len(nest.outer):])


def address(view) -> Address:
    """Where a view's first element lies."""
    return Address(view.root, view.offset * view.dtype.itemsize)


def chunking(nest: Nest) -> tuple[bool, int, int]:
    """(whether a single row is divided, rows or elements of a chunk, number of chunks)."""
    flat = not nest.outer and len(nest.inner) == 1 and not any(n.op == "reduce" for n in nest.nodes)
    cost = 1 + sum(8 for n in nest.nodes if n.op in EXPENSIVE)
    least = max(CHUNK // cost, 256)
    if flat:
        n = nest.inner[0]
        per = max(least, 1) // 64 * 64
    else:
        n = nest.rows
        per = max(1, least // max(nest.row_size, 1))
    if any(o.partial for o in nest.outputs):
        per = max(per, -(-n // MOST_PARTIALS))
        if flat:
            per = -(-per // 64) * 64
    else:
        per = max(per, (n // 256) // 64 * 64 if flat else n // 256)
    return flat, per, max(1, -(-n // max(per, 1)))


class _Writer:
    def __init__(self, nest: Nest, partials, target: Target, one_chunk: bool = False):
        self.nest, self.partials, self.target = nest, partials, target
        self.f = Function("nest", [("ptr", "args"), ("i64", "chunk"), ("i64", "thread")])
        self.words: list = []
        self.head: list[str] = []
        self.flat, self.per, self.chunks = chunking(nest)
        if one_chunk:
            self.per, self.chunks = (nest.row_size if self.flat else nest.rows), 1
        self.inner_dims = nest.order[len(nest.outer):]
        self.depth = len(nest.inner)
        self.lanes = self._lanes()
        self.scopes: list[dict] = [{}]
        self.error: str | None = None
        self.mask: str | None = None
        self.stage = 0

    def _lanes(self) -> int:
        """Lanes of one step: several registers, fewer where much is computed or rows are short."""
        widest = max(
            [n.dtype.itemsize for n in self.nest.nodes if n.dtype.itemsize in (4, 8)] or [4]
        )
        base = self.target.lanes(widest)
        heavy = sum(n.op in EXPENSIVE for n in self.nest.nodes)
        several = 1 if heavy > 2 else 2 if heavy or len(self.nest.accesses) > 6 else 4
        n = self.nest.inner[-1]
        while several > 1 and base * several > max(n, base):
            several //= 2
        return base * several

    # ------------------------------------------------------------ words

    def word(self, value, type: str = "i64") -> str:
        """A word of the argument block, read at the function's entry."""
        name = f"%w{len(self.words)}"
        at = len(self.words)
        self.head.append(f"  %a{at} = getelementptr i64, ptr %args, i64 {at}")
        self.head.append(f"  {name} = load {type}, ptr %a{at}, align 8")
        self.words.append(value)
        return name

    # ------------------------------------------------------------ the function

    def call(self) -> Call:
        f, nest = self.f, self.nest
        self.base = {}
        for access in self._accesses():
            self.base[id(access)] = self.word(address(access.view), "ptr")
        self.strides = {
            id(a): [self._stride(a, j) for j in range(len(nest.order))] for a in self._accesses()
        }
        self.sizes = [self.word(n) for n in (*nest.outer, *nest.inner)]
        self._prepare_kept()
        total = self.sizes[-1] if self.flat else self.word(nest.rows)
        per = self.word(self.per)
        low = f.op(f"mul i64 %chunk, {per}")
        high = f.minimum(f.op(f"add i64 {low}, {per}"), total)
        self._prepare_partials()
        self._write_constants()
        self.range = (low, high)
        sums = [(elements.register_type(o.node.dtype), elements.identity(o.partial, o.node.dtype))
                for o in self.scalar_partials]
        if self.flat:
            self.row_index: list = []
            made = self._row(None, [x for _, x in sums])
        else:
            made = f.loop(low, high, 1, self._row, sums)
        for o, x in zip(self.scalar_partials, made, strict=True):
            size = o.node.dtype.itemsize
            where = f.at(self.partial_at[id(o)], f.mul("%chunk", size))
            self._store_value(o.node.dtype, x, where, 1, None)
        f.do("ret void")
        f.lines[:0] = self.head
        text = module([f])
        size = nest.rows * nest.row_size
        moved = sum(self._bytes(a) for a in self._accesses())
        work = size * (1 + sum(10 if n.op in EXPENSIVE else 1 for n in nest.nodes) / 4)
        return Call(text, "nest", self.words, self.chunks, self.chunks > 1 and work > 40_000,
                    label=describe(nest), flops=size * sum(bool(n.ins) for n in nest.nodes),
                    nbytes=moved)

    def _bytes(self, a: Access) -> int:
        n = a.view.dtype.itemsize
        for s, size in zip(a.strides, (*self.nest.outer, *self.nest.inner), strict=True):
            n *= size if s else 1
        return n

    def _accesses(self):
        return [*self.nest.accesses.values(), *[o.access for o in self.nest.outputs
                                                if o.partial is None]]

    def _stride(self, access: Access, j: int):
        """0 and, along the last dim, the element's size are part of the text; others are words."""
        s = access.strides[j]
        last = j == len(self.nest.order) - 1
        if s == 0 or (last and s == access.view.dtype.itemsize):
            return s
        return self.word(s)

    def _prepare_kept(self):
        self.kept = {}
        if not self.nest.kept:
            return
        one = [-(-self.nest.row_size * n.dtype.itemsize // 64) * 64 + 64 for n in self.nest.kept]
        base = self.word(Workspace(sum(one), per_thread=True), "ptr")
        each = self.word(sum(one))
        base = self.f.at(base, self.f.op(f"mul i64 %thread, {each}"))
        for n, size in zip(self.nest.kept, one, strict=True):
            self.kept[n] = base
            base = self.f.at(base, self.word(size))

    def _prepare_partials(self):
        """Where each chunk accumulates its reductions over rows; rows of them begin as identities."""
        f, nest = self.f, self.nest
        reduced = [o for o in nest.outputs if o.partial]
        self.scalar_partials = [o for o in reduced if not along_inner(nest, o)]
        self.partial_at = {}
        for at, o in enumerate(reduced):
            where = address(o.view if self.partials is None else self.partials[at])
            self.partial_at[id(o)] = self.word(where, "ptr")
        for o in reduced:
            if o in self.scalar_partials:
                continue
            size = o.node.dtype.itemsize
            row = self.word(nest.row_size * size)
            where = f.at(self.partial_at[id(o)], f.op(f"mul i64 %chunk, {row}"))
            self.partial_at[id(o)] = where
            start = elements.identity(o.partial, o.node.dtype)
            f.loop(0, self.word(nest.row_size), 1, lambda i, o=o, where=where, start=start, size=size:
                   self._store_value(o.node.dtype, start, f.at(where, f.mul(i, size)), 1, None))

    def _write_constants(self):
        for n in self.nest.nodes:
            if n.op == "const":
                self.scopes[0][n, 1] = self._constant(n)
            elif n.op == "scalar":
                self.scopes[0][n, 1] = self._number(n)

    def _constant(self, n: Node) -> str:
        t = elements.register_type(n.dtype)
        if n.attr in LITERALS or t == "i1":
            return elements.literal(n.attr, n.dtype)
        if t in ("float", "double"):
            x = self.word(float(np.asarray(n.attr, n.dtype).astype(np.float64)), "double")
            return x if t == "double" else self.f.op(f"fptrunc double {x} to float")
        x = self.word(int(n.attr))
        return x if t == "i64" else self.f.op(f"trunc i64 {x} to {t}")

    def _number(self, n: Node) -> str:
        whole = n.dtype.kind in "iub"
        x = self.word(Scalar(n.attr, whole), "i64" if whole else "double")
        t = elements.register_type(n.dtype)
        if t in ("i64", "double"):
            return x
        source = np.dtype(np.int64 if whole else np.float64)
        return elements.cast(self.f, x, source, n.dtype, 1)

    # ------------------------------------------------------------ a row

    def _row(self, r, *sums):
        f, nest = self.f, self.nest
        if self.flat:
            sums = sums[0]
        self.scopes.append({})
        self.row_index = self._indices(r)
        sums = list(sums)
        for stage in range(nest.stages):
            made = self._stage(stage)
            sums = [made.get(o, x) if o not in made else elements.apply(
                f, elements.COMBINE[o.partial], o.node.dtype, 1, x, made[o]
            ) for o, x in zip(self.scalar_partials, sums, strict=True)]
        self.scopes.pop()
        return sums

    def _indices(self, r) -> list:
        """The index of each outer dim, from the row's number."""
        found = []
        for j in reversed(range(len(self.nest.outer))):
            if j == 0:
                found.append(r)
            else:
                found.append(self.f.op(f"urem i64 {r}, {self.sizes[j]}"))
                r = self.f.op(f"udiv i64 {r}, {self.sizes[j]}")
        return found[::-1]

    def _level(self, n: Node) -> int:
        """0: once; 1: once a row; 1 + j: in the loop over inner dim j (from 1)."""
        for j in reversed(range(self.depth)):
            if n.dims & set(self.inner_dims[j]):
                return 2 + j
        return 1

    def _stage(self, stage: int) -> dict:
        """One loop over the row; returns what scalar partials add up to in it."""
        nest = self.nest
        self.stage = stage
        outputs = [o for o in nest.outputs if ready(o.node) == stage]
        reduces = [n for n in nest.nodes if n.op == "reduce" and n.stage == stage]
        sums = [o for o in outputs if o in self.scalar_partials]
        columns = [o for o in outputs if o.partial and o not in self.scalar_partials]
        plain = [o for o in outputs if not o.partial]
        accumulated = [(n.attr, n.dtype, n.ins[0]) for n in reduces]
        accumulated += [(o.partial, o.node.dtype, o.node) for o in sums]
        roots = [x for _, _, x in accumulated] + [o.node for o in (*plain, *columns)]
        roots += [n for n in nest.kept if n.stage == stage]
        order = self._ordered(roots, stage)
        self._emit_level(order, 1)
        self._hoist(order, outputs, 1)
        by_row = [o for o in plain if self._level(o.node) == 1 and not self._spread(o)]
        inside = [o for o in plain if o not in by_row]
        for o in by_row:
            self._write(o.access, o.node, 1, None, 1)
        totals = []
        if accumulated or inside or columns:
            carry = [
                (vector(elements.register_type(d), self.lanes),
                 splat_literal(elements.register_type(d), self.lanes, elements.identity(k, d)))
                for k, d, _ in accumulated
            ]
            totals = self._loops(0, [], order, stage, accumulated, inside, columns, carry)
        found = {}
        for i, (kind, dtype, _) in enumerate(accumulated):
            total = elements.across(self.f, kind, dtype, self.lanes, totals[i])
            if i < len(reduces):
                self.scopes[-1][reduces[i], 1] = total
            else:
                found[sums[i - len(reduces)]] = total
        return found

    def _hoist(self, order, outputs, level) -> None:
        """Write the addresses at this loop level, for the loops in it."""
        for access in [self.nest.accesses[n] for n in order if n in self.nest.accesses] + [
            o.access for o in outputs if o.partial is None
        ]:
            self._pointer(access, level, 1)

    def _spread(self, o) -> bool:
        """Whether a value that is the same all along the row is stored along it."""
        return any(s for s in o.access.strides[len(self.nest.outer):])

    def _ordered(self, roots, stage) -> list[Node]:
        """The nodes that a stage computes, operands first."""
        order, seen = [], set()

        def visit(n):
            if n in seen:
                return
            seen.add(n)
            if n.op in ("reduce", "const", "scalar") or self._found(n, 1) is not None:
                return
            if n in self.kept and n.stage < stage:
                order.append(n)
                return
            for x in n.ins:
                visit(x)
            order.append(n)

        for r in roots:
            visit(r)
        return order

    def _found(self, n: Node, lanes: int):
        for scope in reversed(self.scopes):
            x = scope.get((n, lanes))
            if x is not None:
                return x
        return None

    # ------------------------------------------------------------ loops over a row

    def _loops(self, j, index, order, stage, accumulated, inside, columns, carry):
        """Loop over inner dim j and those in it; returns the accumulated vectors."""
        f = self.f
        if j < self.depth - 1:
            def body(i, *held):
                self.scopes.append({})
                self.row_inner = [*index, i]
                self._emit_level(order, 2 + j)
                self._hoist(order, (*inside, *columns), 2 + j)
                types = [(t, x) for (t, _), x in zip(carry, held, strict=True)]
                made = self._loops(j + 1, [*index, i], order, stage, accumulated, inside, columns,
                                   types)
                self.scopes.pop()
                return made

            size = self.sizes[len(self.nest.outer) + j]
            return f.loop(0, size, 1, body, carry, at_least_once=True)
        for n in order:  # numbers and row values that vectors meet, before the loop
            for x in (n, *n.ins):
                if self._level(x) <= 1 + j and self._found(x, 1) is not None:
                    self._splat(x)

        def step(i, held, mask):
            self.scopes.append({})
            self.row_inner = [*index, i]
            self.mask = mask
            self._emit_level(order, 2 + j)
            self.mask = mask
            made = []
            for (kind, dtype, n), x in zip(accumulated, held, strict=True):
                y = self._operand(n, self.lanes)
                t = elements.register_type(dtype)
                if mask is not None:
                    start = splat_literal(t, self.lanes, elements.identity(kind, dtype))
                    v = vector(t, self.lanes)
                    y = f.op(f"select {vector('i1', self.lanes)} {mask}, {v} {y}, {v} {start}")
                made.append(elements.apply(f, elements.COMBINE[kind], dtype, self.lanes, x, y))
            for o in inside:
                self._write(o.access, o.node, self.lanes, mask, 2 + j)
            for o in columns:
                self._accumulate(o, i, mask)
            self.mask = None
            self.scopes.pop()
            return made

        low, high = self.range if self.flat else (0, self.sizes[-1])
        span = f.sub(high, low)
        whole = f.add(low, f.op(f"and i64 {span}, {-self.lanes}"))
        held = f.loop(low, whole, self.lanes, lambda i, *h: step(i, h, None), carry)
        rest = f.sub(high, whole)

        def tail():
            count = f.splat("i64", self.lanes, rest) if self.lanes > 1 else rest
            return step(whole, held, f.op(
                f"icmp slt {vector('i64', self.lanes)} {self._iota()}, {count}"
            ))

        return f.branch(f.compare("sgt", rest, 0), tail, lambda: held, [t for t, _ in carry])

    def _iota(self) -> str:
        return f"<{', '.join(f'i64 {i}' for i in range(self.lanes))}>" if self.lanes > 1 else "0"

    def _emit_level(self, order, level) -> None:
        """Write the nodes of a stage that belong to one loop level."""
        last = level == 1 + self.depth
        for n in order:
            if self._level(n) == level:
                lanes = self.lanes if last else 1
                if self._found(n, lanes) is None:
                    self.scopes[-1][n, lanes] = self._write_node(n, lanes, level)

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

    # ------------------------------------------------------------ nodes

    def _write_node(self, n: Node, lanes: int, level: int) -> str:
        f = self.f
        if n in self.kept and n.stage < self.stage:
            return self._load_value(n.dtype, self._scratch(n), lanes, self.mask)
        if n.op == "load":
            made = self._load(self.nest.accesses[n], n.dtype, lanes, level)
        elif n.op == "take":
            made = self._take(n, lanes, level)
        elif n.op == "index":
            made = self._index(n, lanes, level)
        elif n.op == "cast":
            x = n.ins[0]
            made = elements.cast(f, self._operand(x, lanes), x.dtype, n.dtype, lanes)
        else:
            given = [self._operand(x, lanes) for x in n.ins]
            made = elements.apply(f, n.op, n.ins[-1].dtype, lanes, *given)
        if n in self.kept:
            self._store_value(n.dtype, made, self._scratch(n), lanes, self.mask)
        return made

    def _scratch(self, n: Node) -> str:
        """The scratch address of the value at the current place of the row."""
        f = self.f
        linear = self.row_inner[0]
        for j in range(1, self.depth):
            linear = f.add(f.mul(linear, self.sizes[len(self.nest.outer) + j]), self.row_inner[j])
        if self.flat:
            linear = f.sub(linear, self.range[0])
        return f.at(self.kept[n], f.mul(linear, n.dtype.itemsize))

    def _index(self, n: Node, lanes: int, level: int) -> str:
        for j, dims in enumerate(self.nest.order):
            if n.attr in dims:
                at = j
        outer = len(self.nest.outer)
        i = self.row_index[at] if at < outer else self.row_inner[at - outer]
        if lanes == 1:
            return str(i)
        v = vector("i64", lanes)
        return self.f.op(f"add {v} {self.f.splat('i64', lanes, str(i))}, {self._iota()}")

    # ------------------------------------------------------------ memory

    def _pointer(self, access: Access, level: int, lanes: int) -> tuple[str, object]:
        """(address at the current place, the stride along the vector if it is walked in lanes)."""
        f = self.f
        strides = self.strides[id(access)]
        p = self.base[id(access)]
        outer = len(self.nest.outer)
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

    def _load(self, access: Access, dtype, lanes: int, level: int) -> str:
        p, step = self._pointer(access, level, lanes)
        if lanes == 1 or step == 0 or step == dtype.itemsize:
            if lanes > 1 and step == 0:
                one = self._load_value(dtype, p, 1, None)
                return self.f.splat(elements.register_type(dtype), lanes, one)
            return self._load_value(dtype, p, lanes, self.mask if lanes > 1 else None)
        return self._gather(p, self._offsets(step), dtype, lanes)

    def _offsets(self, step) -> str:
        v = vector("i64", self.lanes)
        return self.f.op(f"mul {v} {self._iota()}, {self.f.splat('i64', self.lanes, str(step))}")

    def _gather(self, p: str, offsets: str, dtype, lanes: int) -> str:
        f = self.f
        t = elements.MEMORY[dtype.name]
        v = vector(t, lanes)
        places = f.op(f"getelementptr i8, ptr {p}, {vector('i64', lanes)} {offsets}")
        mask = self.mask or splat_literal("i1", lanes, "true")
        short = elements._suffix(t if t != "half" else "f16", lanes)
        name = f"llvm.masked.gather.{short}.v{lanes}p0"
        f.declare(f"declare {v} @{name}({vector('ptr', lanes)}, {vector('i1', lanes)}, {v})")
        x = f.op(f"call {v} @{name}({vector('ptr', lanes)} align 1 {places}, "
                 f"{vector('i1', lanes)} {mask}, {v} zeroinitializer)")
        return elements.to_register(f, x, dtype, lanes)

    def _load_value(self, dtype, p: str, lanes: int, mask) -> str:
        f = self.f
        t = elements.MEMORY[dtype.name]
        v = vector(t, lanes)
        if mask is None:
            x = f.load(v, p, 1 if lanes > 1 else dtype.itemsize)
        else:
            name = f"llvm.masked.load.{elements._suffix(t if t != 'half' else 'f16', lanes)}.p0"
            f.declare(f"declare {v} @{name}(ptr, {vector('i1', lanes)}, {v})")
            x = f.op(f"call {v} @{name}(ptr align 1 {p}, {vector('i1', lanes)} {mask}, "
                     f"{v} zeroinitializer)")
        return elements.to_register(f, x, dtype, lanes)

    def _store_value(self, dtype, x: str, p: str, lanes: int, mask) -> None:
        f = self.f
        t = elements.MEMORY[dtype.name]
        v = vector(t, lanes)
        x = elements.to_memory(f, x, dtype, lanes)
        if mask is None:
            f.store(v, x, p, 1 if lanes > 1 else dtype.itemsize)
            return
        name = f"llvm.masked.store.{elements._suffix(t if t != 'half' else 'f16', lanes)}.p0"
        f.declare(f"declare void @{name}({v}, ptr, {vector('i1', lanes)})")
        f.do(f"call void @{name}({v} {x}, ptr align 1 {p}, {vector('i1', lanes)} {mask})")

    def _write(self, access: Access, n: Node, lanes: int, mask, level: int) -> None:
        """Store a node's value at the current place."""
        f = self.f
        x = self._operand(n, lanes)
        p, step = self._pointer(access, level, lanes)
        size = n.dtype.itemsize
        if lanes == 1 or step == size:
            self._store_value(n.dtype, x, p, lanes, mask)
            return
        t = elements.MEMORY[n.dtype.name]
        v = vector(t, lanes)
        x = elements.to_memory(f, x, n.dtype, lanes)
        places = f.op(f"getelementptr i8, ptr {p}, {vector('i64', lanes)} {self._offsets(step)}")
        mask = mask or splat_literal("i1", lanes, "true")
        name = f"llvm.masked.scatter.{elements._suffix(t if t != 'half' else 'f16', lanes)}.v{lanes}p0"
        f.declare(f"declare void @{name}({v}, {vector('ptr', lanes)}, {vector('i1', lanes)})")
        f.do(f"call void @{name}({v} {x}, {vector('ptr', lanes)} align 1 {places}, "
             f"{vector('i1', lanes)} {mask})")

    def _accumulate(self, o, i, mask) -> None:
        """Combine a vector into the chunk's row of partial results."""
        f = self.f
        linear = self.row_inner[0]
        for j in range(1, self.depth):
            linear = f.add(f.mul(linear, self.sizes[len(self.nest.outer) + j]), self.row_inner[j])
        dtype = o.node.dtype
        p = f.at(self.partial_at[id(o)], f.mul(linear, dtype.itemsize))
        before = self._load_value(dtype, p, self.lanes, mask)
        x = elements.apply(f, elements.COMBINE[o.partial], dtype, self.lanes, before,
                           self._operand(o.node, self.lanes))
        self._store_value(dtype, x, p, self.lanes, mask)

    def _take(self, n: Node, lanes: int, level: int) -> str:
        """Memory at computed places; a place out of range is noted, and place 0 read instead."""
        f = self.f
        access = self.nest.accesses[n]
        p, step = self._pointer(access, level, lanes)
        vectors = lanes > 1 and any(self._level(x) == level for x in n.ins)
        many = lanes if vectors else 1
        v = vector("i64", many)
        offsets = None
        for x, (size, stride) in zip(n.ins, n.attr, strict=True):
            index = self._operand(x, many) if many > 1 else self._found(x, 1)
            bound = self.word_now(size, many)
            fine = f.op(f"icmp ult {v} {index}, {bound}")
            self._note(fine, many)
            zero = splat_literal("i64", many, "0")
            index = f.op(f"select {vector('i1', many)} {fine}, {v} {index}, {v} {zero}")
            move = f.op(f"mul {v} {index}, {self.word_now(stride, many)}")
            offsets = move if offsets is None else f.op(f"add {v} {offsets}, {move}")
        if vectors:
            if step != 0:
                offsets = f.op(f"add {v} {offsets}, {self._offsets(step)}")
            return self._gather(p, offsets, n.dtype, lanes)
        p = f.at(p, offsets)
        if lanes > 1 and step == 0:
            return f.splat(elements.register_type(n.dtype), lanes,
                           self._load_value(n.dtype, p, 1, None))
        if lanes == 1 or step == n.dtype.itemsize:
            return self._load_value(n.dtype, p, lanes, self.mask if lanes > 1 else None)
        return self._gather(p, self._offsets(step), n.dtype, lanes)

    def word_now(self, value, lanes: int) -> str:
        """A word as a vector."""
        w = self.word(value)
        return w if lanes == 1 else self.f.splat("i64", lanes, w)

    def _note(self, fine: str, lanes: int) -> None:
        """Note in the error word that some lane is not fine."""
        f = self.f
        if self.error is None:
            self.error = self.word(ErrorWord(), "ptr")
        wrong = f.op(f"xor {vector('i1', lanes)} {fine}, {splat_literal('i1', lanes, 'true')}")
        if lanes > 1:
            if self.mask is not None:
                wrong = f.op(f"and {vector('i1', lanes)} {wrong}, {self.mask}")
            wrong = f.intrinsic(f"llvm.vector.reduce.or.v{lanes}i1", "i1",
                                (vector("i1", lanes), wrong))
        f.branch(wrong, lambda: f.do(f"store i64 1, ptr {self.error}"))


def describe(nest: Nest) -> str:
    """A nest in a few words, for people."""
    names = [n.op for n in nest.nodes if n.ins and n.op not in ("cast", "view")]
    shown = ", ".join(dict.fromkeys(names)) or "copy"
    sizes = "x".join(map(str, nest.outer + nest.inner))
    return f"{shown} over {sizes}"
