"""The text of a loop nest's kernel: rows, stages, and vectors along a row.

A chunk runs over its rows; each row goes through the nest's stages, each a loop over the inner dims. The last
inner dim is walked in vectors, its rest in one masked vector. What the kernel needs to know of sizes and
addresses are words of its argument block, named when they are asked for: `emit.py` finds their values.
"""

from __future__ import annotations

import numpy as np

from .llvm import elements
from .llvm.builder import module, splat_literal, vector
from .llvm.target import Target
from .nests import LITERALS, Nest, Node, ready
from .row_memory import Memory
from .sizes import Size


def along_inner(nest: Nest, o) -> bool:
    """Whether a result of a reduction over rows is a row (not a single number)."""
    return any(o.access.strides[len(nest.outer):])


def is_literal(n: Node) -> bool:
    """Whether a constant is part of the text."""
    return n.attr.__class__ is not Size and n.attr in LITERALS or elements.register_type(n.dtype) == "i1"


class Rows(Memory):
    """Writes the kernel of one nest."""

    def __init__(self, nest: Nest, target: Target, flat: bool, lanes: int):
        super().__init__(nest, target, lanes)
        self.flat = flat
        self.error: str | None = None
        self.stage = 0

    # ------------------------------------------------------------ the function

    def written(self) -> tuple[str, list]:
        """(the module of `nest`, what each of its words is)."""
        f = self.f
        self._prepare_accesses()
        self.sizes = [self.word("size", j) for j in range(len(self.nest.order))]
        self._prepare_kept()
        total = self.sizes[-1] if self.flat else self.word("rows")
        per = self.word("per")
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
        return module([f]), self.words

    def _prepare_kept(self):
        self.kept = {}
        if not self.nest.kept and not self.nest.turned:
            return
        base = self.word("space", type="ptr")
        base = self.f.at(base, self.f.op(f"mul i64 %thread, {self.word('spaces')}"))
        for k, n in enumerate(self.nest.kept):
            self.kept[n] = base
            base = self.f.at(base, self.word("room", k))
        for k, n in enumerate(self.nest.turned):
            row = self.word("turned", k)
            self.turned[id(self.nest.accesses[n])] = base, row
            base = self.f.at(base, self.f.mul(row, self.nest.tile))

    def _prepare_partials(self):
        """Where each chunk accumulates its reductions over rows; rows of them begin as identities."""
        f, nest = self.f, self.nest
        self.scalar_partials = [o for o in nest.reduced if not along_inner(nest, o)]
        self.partial_at = {id(o): self.word("partial", k, type="ptr")
                           for k, o in enumerate(nest.reduced)}
        for o in nest.reduced:
            if o in self.scalar_partials:
                continue
            size = o.node.dtype.itemsize
            where = f.at(self.partial_at[id(o)], f.op(f"mul i64 %chunk, {self.word('row', size)}"))
            self.partial_at[id(o)] = where
            start = elements.identity(o.partial, o.node.dtype)
            f.loop(0, self.word("row", 1), 1, lambda i, o=o, where=where, start=start, size=size:
                   self._store_value(o.node.dtype, start, f.at(where, f.mul(i, size)), 1, None))

    def _write_constants(self):
        for n in self.nest.nodes:
            if n.op == "const":
                self.scopes[0][n, 1] = self._constant(n)
            elif n.op == "scalar":
                self.scopes[0][n, 1] = self._number(n)

    def _constant(self, n: Node) -> str:
        t = elements.register_type(n.dtype)
        if is_literal(n):
            return elements.literal(n.attr, n.dtype)
        if t in ("float", "double"):
            x = self.node_word(n, 0, "double")
            return x if t == "double" else self.f.op(f"fptrunc double {x} to float")
        x = self.node_word(n, 0)
        return x if t == "i64" else self.f.op(f"trunc i64 {x} to {t}")

    def _number(self, n: Node) -> str:
        whole = n.dtype.kind in "iub"
        x = self.node_word(n, 0, "i64" if whole else "double")
        t = elements.register_type(n.dtype)
        if t in ("i64", "double"):
            return x
        source = np.dtype(np.int64 if whole else np.float64)
        return elements.cast(self.f, x, source, n.dtype, 1)

    # ------------------------------------------------------------ a row

    def _rows(self, low, high, sums):
        """The loop over a chunk's rows. The index of each outer dim is counted on from row to row."""
        f, sizes = self.f, list(self.sizes)
        dims = len(self.nest.outer)
        if self.nest.tile > 1:
            more = f.add(sizes[dims - 1], self.nest.tile - 1)
            sizes[dims - 1] = f.op(f"sdiv i64 {more}, {self.nest.tile}")
        if dims < 2:
            def row(r, *held):
                self.row_index = [r][:dims]
                return self._row_or_tile(held)

            return f.loop(low, high, 1, row, sums)
        start, r = [], low
        for j in reversed(range(1, dims)):
            start.append(f.op(f"urem i64 {r}, {sizes[j]}"))
            r = f.op(f"udiv i64 {r}, {sizes[j]}")
        start = [r, *reversed(start)]

        def counted(_, *held):
            index = self.row_index = list(held[:dims])
            made = self._row_or_tile(held[dims:])
            following, carry = [], 1
            for j in reversed(range(1, dims)):
                more = f.add(index[j], carry)
                full = f.compare("eq", more, sizes[j])
                following.append(f.op(f"select i1 {full}, i64 0, i64 {more}"))
                carry = f.op(f"zext i1 {full} to i64")
            return [f.add(index[0], carry), *reversed(following), *made]

        return f.loop(low, high, 1, counted, [("i64", i) for i in start] + sums)[dims:]

    def _row_or_tile(self, sums):
        """A row; or the rows of a tile, after memory that runs across them has been copied."""
        f, tile = self.f, self.nest.tile
        if tile == 1:
            return self._row(sums)
        first = f.mul(self.row_index[-1], tile)
        outside = self.row_index[:-1]
        self.row_index = [*outside, first]
        count = f.minimum(f.sub(self.sizes[len(outside)], first), tile)
        for n in self.nest.turned:
            self._copy_turned(n, *self.turned[id(self.nest.accesses[n])], count)

        def row(k, *held):
            self.row_index, self.tile_row = [*outside, f.add(first, k)], k
            return self._row(held)

        types = [(elements.register_type(o.node.dtype), x)
                 for o, x in zip(self.scalar_partials, sums, strict=True)]
        return f.loop(0, count, 1, row, types, at_least_once=True)

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

    def _emit_level(self, order, level) -> None:
        """Write the nodes of a stage that belong to one loop level."""
        last = level == 1 + self.depth
        for n in order:
            if self._level(n) == level:
                lanes = self.lanes if last else 1
                if self._found(n, lanes) is None:
                    self.scopes[-1][n, lanes] = self._write_node(n, lanes, level)

    # ------------------------------------------------------------ nodes

    def _write_node(self, n: Node, lanes: int, level: int) -> str:
        f = self.f
        mask = self.mask if lanes > 1 else None
        if n in self.kept and n.stage < self.stage:
            return self._load_value(n.dtype, self._scratch(n), lanes, mask)
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
            self._store_value(n.dtype, made, self._scratch(n), lanes, mask)
        return made

    def _scratch(self, n: Node) -> str:
        """The scratch address of the value at the current place of the row.

        Of a value that is the same along the inner dims: of its first place there.
        """
        f = self.f
        index = [*self.row_inner, *["0"] * (self.depth - len(self.row_inner))]
        linear = index[0]
        for j in range(1, self.depth):
            linear = f.add(f.mul(linear, self.sizes[len(self.nest.outer) + j]), index[j])
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
        dim, step = n.attr[0][:2]
        start, size = self.node_word(n, 0), self.node_word(n, 1)
        i = self._count_of(dim)
        if step != 1:
            step = self.node_word(n, 2)
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
        bound = f.splat("i64", lanes, self.node_word(n, 0))
        wrong = f.op(f"icmp uge {v} {x}, {bound}")
        self._note(wrong, lanes)
        zero = splat_literal("i64", lanes, "0")
        return f.op(f"select {vector('i1', lanes)} {wrong}, {v} {zero}, {v} {x}")

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
            self.error = self.word("error", type="ptr")
        if lanes > 1:
            if self.mask is not None:
                wrong = f.op(f"and {vector('i1', lanes)} {wrong}, {self.mask}")
            wrong = f.intrinsic(f"llvm.vector.reduce.or.v{lanes}i1", "i1",
                                (vector("i1", lanes), wrong))
        f.branch(wrong, lambda: f.do(f"store i64 1, ptr {self.error}"))
