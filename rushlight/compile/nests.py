"""Loop nests: the one shape that maps, row reductions and column reductions are compiled to.

A `Nest` runs over rows: *outer* dims (shared between chunks) and *inner* dims (one row, the last of them
vectorised). Each row goes through *stages*: a stage is a loop over the row that finishes reductions along
it, stores results, or both; later stages use what earlier ones found. Reductions over the outer dims, or over
all, are accumulated chunk by chunk in a buffer of partial results.

In: nodes, loads and outputs over one domain (`nest_builder.py`). Out: a `Nest` that `emit.py` writes as LLVM IR.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .expressions import Expr, View
from .llvm import elements

EXPENSIVE = {n for n in elements.MATHS if n not in ("floor", "ceil", "trunc", "rint", "sqrt")}
MOST_TILE = 256 << 10  # bytes of turned memory that is copied at a time
LITERALS = (0, 1, -1, 2, 0.5)  # numbers worth being part of a kernel's text


Place = tuple  # (dim of the domain or None, step, start): an index is start + step * the dim's index


@dataclass(eq=False)
class Node:
    """A value at a position: `dims` are the domain's dims that it varies along.

    inside: attr is (place, size): whether the place is one of an array of that size.
    """

    op: str
    ins: tuple
    dtype: np.dtype
    attr: Any
    dims: frozenset
    stage: int = 0

    def __repr__(self) -> str:
        return f"{self.op}({', '.join(map(repr, self.ins))})"


def ready(n: Node) -> int:
    """The first stage in which a node's value can be used: a reduction is known after its loop."""
    return n.stage + (n.op == "reduce")


def reachable(roots) -> set:
    """The nodes that some nodes depend on, with themselves."""
    found, todo = set(), list(roots)
    while todo:
        n = todo.pop()
        if n not in found:
            found.add(n)
            todo.extend(n.ins)
    return found


@dataclass
class Access:
    """Memory as the nest walks over it: bytes from one index of each domain dim to the next.

    safe: under a guard, memory that may be read instead.
    """

    view: View
    strides: tuple[int, ...]
    safe: View | None = None


@dataclass
class Store:
    """A result: an expression written to a view of the program's memory.

    Without a view, a condition that may not hold anywhere.
    """

    view: View | None
    expr: Expr


@dataclass(eq=False)
class Output:
    """A store, resolved: `access` says where, `partial` the kind of a reduction over rows."""

    access: Access | None
    node: Node
    view: View
    partial: str | None = None


@dataclass
class Nest:
    """Rows of loops; see the module's docstring. Sizes are numbers here, and words in the text."""

    outer: list[int]
    inner: list[int]
    outputs: list[Output]
    accesses: dict  # load node to Access
    nodes: list[Node]
    order: list[int]  # domain dim of each of outer + inner
    checks: list[Node] = field(default_factory=list)  # conditions that may not hold anywhere
    kept: list[Node] = field(default_factory=list)  # values kept in scratch memory between stages
    turned: list[Node] = field(default_factory=list)  # loads whose memory runs across the rows
    tile: int = 1  # rows of which turned memory is copied at a time

    @property
    def rows(self) -> int:
        """Number of rows, or of tiles of rows."""
        if self.tile == 1:
            return math.prod(self.outer)
        return math.prod(self.outer[:-1]) * -(-self.outer[-1] // self.tile)

    @property
    def row_size(self) -> int:
        """Elements of a row."""
        return math.prod(self.inner)

    @property
    def stages(self) -> int:
        """Number of loops over a row."""
        return 1 + max((ready(n) for n in self.roots), default=0)

    @property
    def reduced(self) -> list[Output]:
        """The outputs that are reductions over rows."""
        return [o for o in self.outputs if o.partial]

    @functools.cached_property
    def walked(self) -> list[Access]:
        """All memory that is read or written along with the rows."""
        return [*self.accesses.values(), *(o.access for o in self.outputs if not o.partial)]

    @property
    def roots(self) -> list[Node]:
        """What is stored or checked."""
        return [*(o.node for o in self.outputs), *self.checks]


def arranged(domain, row: frozenset | None, outputs: list[Output], checks: list[Node],
             accesses: dict[Node, Access], nodes: list[Node]) -> Nest:
    """The nest of what its results need: dims ordered, merged, and divided into outer and inner ones.

    row: the domain's dims that a row consists of, where reductions have decided.
    """
    used = reachable([*(o.node for o in outputs), *checks])
    nodes = [n for n in nodes if n in used]
    accesses = {n: a for n, a in accesses.items() if n in used}
    walks = [o.access.strides for o in outputs if o.partial is None or o.node.dims]
    walks += [a.strides for a in accesses.values()]
    counted = {n.attr if n.op == "index" else n.attr[0][0] for n in nodes
               if n.op in ("index", "inside")}
    real = [d for d, n in enumerate(domain) if n != 1]
    dims = [d for d in real if d not in (row or ())]
    lead = next((w for w in walks if any(w)), None)
    if row is None and lead is not None:
        dims.sort(key=lambda d: -abs(lead[d]))
    outer = _merged(dims, domain, walks, counted)
    inner = _merged([d for d in real if d in (row or ())], domain, walks, counted)
    if not inner:
        inner = [outer.pop()] if outer else [((), 1)]
    across, turned, tile = _turned(outer, inner, accesses)
    if turned:
        outer.append(outer.pop(across))
    nest_dims = [*outer, *inner]
    made = {
        n: Access(a.view, tuple(_stride(a.strides, d) for d in nest_dims), a.safe)
        for n, a in accesses.items()
    }
    stored = [
        Output(Access(o.view, tuple(_stride(o.access.strides, d) for d in nest_dims)), o.node,
               o.view, o.partial)
        for o in outputs
    ]
    nest = Nest([n for _, n in outer], [n for _, n in inner], stored, made, nodes,
                [d[0] for d in nest_dims], checks, turned=turned, tile=tile)
    nest.kept = _kept(nest)
    return nest


def _stride(walk, dim) -> int:
    return walk[dim[0][-1]] if dim[0] else 0


def _turned(outer, inner, accesses):
    """(an outer dim, the loads that are dense along it but not along rows, rows of a tile)."""
    size = inner[0][1]
    found: dict[int, list[Node]] = {}
    for n, a in accesses.items():
        item = a.view.dtype.itemsize
        if n.op == "load" and not n.ins and abs(_stride(a.strides, inner[-1])) > item:
            for j, dim in enumerate(outer):
                if _stride(a.strides, dim) == item and dim[1] >= 4:
                    found.setdefault(j, []).append(n)
                    break
    if len(inner) > 1 or size < 8 or not found:
        return 0, [], 1
    across = max(found, key=lambda j: len(found[j]))
    nbytes = size * max(n.dtype.itemsize for n in found[across]) * len(found[across])
    tile = next((t for t in (16, 8) if t * nbytes <= MOST_TILE), 1)
    return (across, found[across], tile) if tile > 1 else (0, [], 1)


def _merged(dims, domain, walks, counted):
    """Neighbouring dims that every access walks as one: [((domain dims), size)]."""
    made: list = []
    for d in dims:
        if made:
            before, n = made[-1]
            last = before[-1]
            if d not in counted and last not in counted and all(
                w[last] == w[d] * domain[d] for w in walks
            ):
                made[-1] = ((*before, d), n * domain[d])
                continue
        made.append(((d,), domain[d]))
    return made


def _kept(nest: Nest) -> list[Node]:
    """Costly values along a row that several stages need: they are computed once."""
    inner = {d for dims in nest.order[len(nest.outer):] for d in dims}
    if nest.stages == 1:
        return []
    needed: dict[Node, set] = {}

    def visit(node, stage):
        if stage in needed.setdefault(node, set()):
            return
        needed[node].add(stage)
        if node.op == "reduce":
            visit(node.ins[0], node.stage)
            return
        if node.op in EXPENSIVE and node.dims & inner and len(needed[node]) > 1:
            return
        for x in node.ins:
            visit(x, stage)

    for n in nest.roots:
        visit(n, ready(n))
    return [n for n, stages in needed.items()
            if n.op in EXPENSIVE and n.dims & inner and len(stages) > 1]
