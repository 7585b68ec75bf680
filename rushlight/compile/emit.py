"""Loop nests as LLVM IR: rows, stages, vectors, and the argument block of the call.

The text depends on the structure only. Addresses, sizes, strides and most numbers are words of the
argument block, in the order in which the writer asks for them; so one kernel serves all sizes. The last
inner dim is walked in vectors, its rest in one masked vector.
"""

from __future__ import annotations

import numpy as np

from . import expressions as ex
from .expressions import View, owned
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
    return Address(owned(view.root), view.offset * view.dtype.itemsize)


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
        self.mask: str | None = None  # which lanes are there, and how many, in the last step of a row
        self.count: str | None = None
        self.known_words: dict = {}
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

    def node_word(self, n: Node, at: int, value) -> str:
        """Word number `at` of a node, which may be written in several places."""
        found = self.known_words.get((n, at))
        if found is None:
            found = self.known_words[n, at] = self.word(value)
        return found

    # ------------------------------------------------------------ the function

    def call(self) -> Call:
        f, nest = self.f, self.nest
        self.base = {id(a): self.word(address(a.view), "ptr") for a in self._accesses()}
        self.safe = {id(a): self.word(address(a.safe), "ptr") for a in self._accesses()
                     if a.safe is not None}
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
        self.row_index: list = []
        made = self._row([x for _, x in sums]) if self.flat else self._rows(low, high, sums)
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

    def _rows(self, low, high, sums):
        """The loop over a chunk's rows. The index of each outer dim is counted on from row to row."""
        f, sizes = self.f, self.sizes
        dims = len(self.nest.outer)
        if dims < 2:
            def row(r, *held):
                self.row_index = [r][:dims]
                return self._row(held)

            return f.loop(low, high, 1, row, sums)
        start, r = [], low
        for j in reversed(range(1, dims)):
            start.append(f.op(f"urem i64 {r}, {sizes[j]}"))
            r = f.op(f"udiv i64 {r}, {sizes[j]}")
        start = [r, *reversed(start)]

        def counted(_, *held):
            index = self.row_index = list(held[:dims])
            made = self._row(held[dims:])
            following, carry = [], 1
            for j in reversed(range(1, dims)):
                more = f.add(index[j], carry)
                full = f.compare("eq", more, sizes[j])
                following.append(f.op(f"select i1 {full}, i64 0, i64 {more}"))
                carry = f.op(f"zext i1 {full} to i64")
            return [f.add(index[0], carry), *reversed(following), *made]

        return f.loop(low, high, 1, counted, [("i64", i) for i in start] + sums)[dims:]

    def _row(self, sums):
        f, nest = self.f, self.nest
        self.scopes.append({})
        sums = list(sums)
        for stage in range(nest.stages):
            made = self._stage(stage)
            sums = [made.get(o, x) if o not in made else elements.apply(
                f, elements.COMBINE[o.partial], o.node.dtype, 1, x, made[o]
            ) for o, x in zip(self.scalar_partials, sums, strict=True)]
        self.scopes.pop()
        return sums

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
        checks = [n for n in nest.checks if ready(n) == stage]
        roots += [*(n for n in nest.kept if n.stage == stage), *checks]
        order = self._ordered(roots, stage)
        self._emit_level(order, 1)
        self._hoist(order, outputs, 1)
        by_row = [o for o in plain if self._level(o.node) == 1 and not self._spread(o)]
        inside = [o for o in plain if o not in by_row]
        self.checks = [n for n in checks if self._level(n) > 1]
        for n in checks:
            if n not in self.checks:
                self._note(self._found(n, 1), 1)
        for o in by_row:
            self._write(o.access, o.node, 1, None, 1)
        totals = []
        if accumulated or inside or columns or self.checks:
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
                self._note_checks(2 + j)
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
            self._note_checks(2 + j)
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
            self.count = rest
            count = f.splat("i32", self.lanes, f.op(f"trunc i64 {rest} to i32"))
            return step(whole, held, f.op(
                f"icmp slt {vector('i32', self.lanes)} {self._iota('i32')}, {count}"
            ))

        return f.branch(f.compare("sgt", rest, 0), tail, lambda: held, [t for t, _ in carry])

    def _note_checks(self, level: int) -> None:
        """Note the conditions of one loop level that may not hold."""
        lanes = self.lanes if level == 1 + self.depth else 1
        for n in self.checks:
            if self._level(n) == level:
                self._note(self._operand(n, lanes), lanes)

    def _iota(self, type: str = "i64") -> str:
        return f"<{', '.join(f'{type} {i}' for i in range(self.lanes))}>"

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
        if n.op in ("load", "take"):
            made = self._load(n, lanes, level)
        elif n.op in ("index", "inside", "within"):
            made = getattr(self, "_" + n.op)(n, lanes)
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

    def _count_of(self, dim: int) -> str:
        """The index of a domain dim at the current place (of the first lane)."""
        at = next(j for j, dims in enumerate(self.nest.order) if dim in dims)
        outer = len(self.nest.outer)
        return str(self.row_index[at] if at < outer else self.row_inner[at - outer])

    def _index(self, n: Node, lanes: int) -> str:
        i, t = self._count_of(n.attr), elements.register_type(n.dtype)
        if t != "i64":
            i = self.f.op(f"trunc i64 {i} to {t}")
        if lanes == 1:
            return i
        return self.f.op(f"add {vector(t, lanes)} {self.f.splat(t, lanes, i)}, {self._iota(t)}")

    def _inside(self, n: Node, lanes: int) -> str:
        """Whether the place is one of an array of a size."""
        f = self.f
        (dim, step, start), size = n.attr
        start, size = self.node_word(n, 0, start), self.node_word(n, 1, size)
        i = self._count_of(dim)
        if step != 1:
            step = self.node_word(n, 2, step)
            i = f.mul(i, step)
        i = f.add(i, start)
        if lanes == 1:
            return f.compare("ult", i, size)
        if step == 1:  # lanes from low to high
            first = f.minimum(f.maximum(f.sub(0, i), 0), lanes)
            last = f.minimum(f.maximum(f.sub(size, i), 0), lanes)
            first, span = (f.op(f"trunc i64 {x} to i32") for x in (first, f.sub(last, first)))
            v = vector("i32", lanes)
            at = f.op(f"sub {v} {self._iota('i32')}, {f.splat('i32', lanes, first)}")
            return f.op(f"icmp ult {v} {at}, {f.splat('i32', lanes, span)}")
        v = vector("i64", lanes)
        moves = f.op(f"mul {v} {self._iota()}, {f.splat('i64', lanes, step)}")
        at = f.op(f"add {v} {moves}, {f.splat('i64', lanes, i)}")
        return f.op(f"icmp ult {v} {at}, {f.splat('i64', lanes, size)}")

    def _within(self, n: Node, lanes: int) -> str:
        """An index in its bounds; what is not is noted, and counts as 0."""
        f, v = self.f, vector("i64", lanes)
        x = self._operand(n.ins[0], lanes)
        bound = f.splat("i64", lanes, self.node_word(n, 0, n.attr))
        wrong = f.op(f"icmp uge {v} {x}, {bound}")
        self._note(wrong, lanes)
        zero = splat_literal("i64", lanes, "0")
        return f.op(f"select {vector('i1', lanes)} {wrong}, {v} {zero}, {v} {x}")

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

    def _load(self, n: Node, lanes: int, level: int) -> str:
        """A load, or a take at computed places; under a guard, only where that holds."""
        f, access, dtype = self.f, self.nest.accesses[n], n.dtype
        p, step = self._pointer(access, level, lanes)
        moves = None
        for k, stride in enumerate(n.attr or ()):
            stride = self.node_word(n, k, stride)
            index = n.ins[k]
            if lanes > 1 and self._found(index, 1) is None:
                v = vector("i64", lanes)
                move = f.op(f"mul {v} {self._operand(index, lanes)}, {f.splat('i64', lanes, stride)}")
                moves = move if moves is None else f.op(f"add {v} {moves}, {move}")
            else:
                p = f.at(p, f.mul(self._found(index, 1), stride))
        guard = n.ins[-1] if len(n.ins) > len(n.attr or ()) else None
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

    def _note(self, wrong: str, lanes: int) -> None:
        """Note in the error word that some lane is wrong."""
        f = self.f
        if self.error is None:
            self.error = self.word(ErrorWord(), "ptr")
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
