"""Loop nests as LLVM IR: the argument block of the call, and kernels that are written once.

A kernel's text depends on a nest's structure only (`structure`). Addresses, sizes, strides and most numbers
are words of the argument block, in the order in which the writer asks for them (`row_loops.py`); so
one kernel serves all sizes, and nests of the same structure share one.
"""

from __future__ import annotations

import operator

import numpy as np

from . import expressions as ex
from .expressions import View, owned
from .kernels.call import Address, Call, ErrorWord, Scalar, Workspace, arithmetic_of
from .llvm import elements
from .llvm.target import Target, host
from .nest_builder import Builder
from .nests import EXPENSIVE, Access, Nest, Node, Store
from .row_loops import Rows, along_inner, is_literal
from .sizes import Size, later, told

CHUNK = 16_384  # elements that a chunk should have at least, fewer if each takes much memory or arithmetic
MOST_PARTIALS = 64  # chunks of a nest that reduces over rows
MOST_KERNELS = 4096  # texts that are kept
_written: dict = {}  # structure of a nest: (text, what each word is)


def emit(nest: Nest, target: Target | None = None) -> list[Call]:
    """The calls that run a nest.

    A nest that reduces over rows in several chunks leaves partial results, one row for each chunk; a
    call for each such result then combines them in order.
    """
    target = target or host()
    reduced = [o for o in nest.outputs if o.partial]
    chunks = chunking(nest)[2]
    if not reduced or chunks == 1:
        return [_call(nest, None, target)]
    partials, after = [], []
    for o in reduced:
        row = nest.row_size if along_inner(nest, o) else 1
        memory = Workspace(chunks * row * o.node.dtype.itemsize)
        partials.append(View(memory, (chunks, row), (row, 1), 0, o.node.dtype))
        builder = Builder((chunks, row))
        total = ex.reduce(o.partial, ex.value(partials[-1]), (0,))
        builder.add(Store(View(o.view.root, (1, row), (row, 1), o.view.offset, o.view.dtype), total))
        after.append(_call(builder.finish(), None, target, one_chunk=True))
    return [_call(nest, partials, target), *after]


def chunking(nest: Nest) -> tuple[bool, int, int]:
    """(whether a single row is divided, rows or elements of a chunk, number of chunks)."""
    flat = not nest.outer and len(nest.inner) == 1 and not any(n.op == "reduce" for n in nest.nodes)
    cost = 1 + len(nest.walked) // 4 + sum(8 for n in nest.nodes if n.op in EXPENSIVE)
    n, row = (nest.inner[0], 1) if flat else (nest.rows, nest.row_size * nest.tile)
    partial = any(o.partial for o in nest.outputs)
    return flat, *later(_chunks, flat, partial, max(CHUNK // cost, 256), n, row)


def _chunks(flat: bool, partial: bool, least: int, n: int, row: int) -> tuple[int, int]:
    """(rows or elements of a chunk, number of chunks) for n of them; least: elements of a chunk."""
    per = least // 64 * 64 if flat else max(1, least // max(row, 1))
    if partial:
        per = max(per, -(-n // MOST_PARTIALS))
        if flat:
            per = -(-per // 64) * 64
    else:
        per = max(per, (n // 256) // 64 * 64 if flat else n // 256)
        if not flat:
            per = -(-n // -(-n // per)) if n else per  # evenly
    return per, max(1, -(-n // per))


def _worth_sharing(chunks: int, size: int, cost: float) -> bool:
    """Whether the chunks of a nest over so many elements are worth a thread's waking up."""
    return chunks > 1 and size * cost > 40_000


def _call(nest: Nest, partials, target: Target, one_chunk: bool = False) -> Call:
    """One call; partials: where each reduction over rows leaves its chunks' results."""
    flat, per, chunks = chunking(nest)
    if one_chunk:
        per, chunks = (nest.row_size if flat else nest.rows), 1
    lanes = lanes_of(nest, target)
    key = (target, flat, lanes, structure(nest))
    found = _written.get(key)
    if found is None:
        if len(_written) >= MOST_KERNELS:
            _written.clear()
        found = _written[key] = Rows(nest, target, flat, lanes).written()
    text, words = found
    block = _Words(nest, partials, per)
    size = nest.rows * nest.tile * nest.row_size
    cost = 1 + sum(10 if n.op in EXPENSIVE else 1 for n in nest.nodes) / 4
    return Call(text, "nest", [block.word(*w) for w in words], chunks,
                later(_worth_sharing, chunks, size, cost),
                label=describe(nest), flops=size * sum(bool(n.ins) for n in nest.nodes),
                nbytes=sum(_bytes(nest, a) for a in nest.walked), nest=nest,
                arithmetic=_arithmetic(nest))


def _arithmetic(nest: Nest) -> str:
    """The faster of what a nest computes in: it is not limited by the other."""
    found = {arithmetic_of(n.dtype) for n in nest.nodes if n.ins and n.dtype.kind in "fV"}
    return "float64" if found == {"float64"} else "float32"


def lanes_of(nest: Nest, target: Target) -> int:
    """Lanes of one step: several registers, fewer where much is computed or rows are short."""
    along = set(nest.order[-1])
    widest = max([n.dtype.itemsize for n in nest.nodes
                  if n.dtype.itemsize in (4, 8) and n.dims & along] or [4])
    base = target.lanes(widest)
    heavy = sum(n.op in EXPENSIVE for n in nest.nodes)
    several = 1 if heavy > 2 else 2 if heavy or len(nest.accesses) > 6 else 4
    n = nest.inner[-1]
    while several > 1 and base * several > max(n, base):
        several //= 2
    return base * several


def _bytes(nest: Nest, a: Access) -> int:
    n = a.view.dtype.itemsize
    for s, size in zip(a.strides, (*nest.outer, *nest.inner), strict=True):
        n *= size if s else 1
    return n


def structure(nest: Nest) -> tuple:
    """All of a nest that its kernel's text depends on."""
    number = {n: k for k, n in enumerate(nest.nodes)}
    place = {d: j for j, dims in enumerate(nest.order) for d in dims}

    def attr(n: Node):
        if n.op == "const":
            return repr(n.attr) if is_literal(n) else None
        if n.op == "index":
            return place[n.attr]
        if n.op == "inside":
            return place[n.attr[0][0]], n.attr[0][1] == 1
        return n.attr if n.op == "reduce" else len(n.attr) if n.op == "take" else None

    def walk(a: Access):
        last = len(a.strides) - 1
        return tuple(operator.index(s) if s == 0 or (
            j == last and abs(s) == a.view.dtype.itemsize) else None
                     for j, s in enumerate(a.strides))

    return (
        len(nest.outer), len(nest.inner),
        tuple((n.op, tuple(number[x] for x in n.ins), elements.name_of(n.dtype), attr(n),
               tuple(sorted({place[d] for d in n.dims if d in place}))) for n in nest.nodes),
        tuple((number[n], walk(a), a.safe is None) for n, a in nest.accesses.items()),
        tuple((number[o.node], walk(o.access), o.partial, elements.name_of(o.view.dtype)) for o in nest.outputs),
        tuple(number[n] for n in nest.checks), tuple(number[n] for n in nest.kept),
        tuple(number[n] for n in nest.turned), nest.tile,
    )


class _Words:
    """The words of a nest's argument block, by what the writer called them."""

    def __init__(self, nest: Nest, partials, per: int):
        self.nest, self.partials, self.per = nest, partials, per
        self.rooms = [_padded(nest.row_size * n.dtype.itemsize) for n in nest.kept]
        self.tiles = [_padded(nest.row_size * n.dtype.itemsize) for n in nest.turned]

    def word(self, what: str, *at: int):
        """One word; at: numbers that say which of its kind."""
        nest = self.nest
        if what == "base":
            return address(nest.walked[at[0]].view)
        if what == "safe":
            return address(nest.walked[at[0]].safe)
        if what == "stride":
            return nest.walked[at[0]].strides[at[1]]
        if what == "size":
            return (*nest.outer, *nest.inner)[at[0]]
        if what == "node":
            return self._of_node(nest.nodes[at[0]], at[1])
        if what == "partial":
            return address(self.partials[at[0]] if self.partials else nest.reduced[at[0]].view)
        return getattr(self, "_" + what)(*at)

    def _rows(self) -> int:
        return self.nest.rows

    def _row(self, itemsize: int) -> int:
        return self.nest.row_size * itemsize

    def _per(self) -> int:
        return self.per

    def _space(self) -> Workspace:
        return Workspace(self._spaces(), per_thread=True)

    def _spaces(self) -> int:
        return sum(self.rooms) + self.nest.tile * sum(self.tiles)

    def _turned(self, k: int) -> int:
        """Bytes of a row of copied memory."""
        return self.tiles[k]

    def _room(self, k: int) -> int:
        return self.rooms[k]

    def _error(self) -> ErrorWord:
        return ErrorWord()

    def _of_node(self, n: Node, k: int):
        if n.op == "const":
            if elements.register_type(n.dtype) in ("float", "double"):
                return later(_rounded, n.attr, n.dtype)
            return n.attr if n.attr.__class__ is Size else int(n.attr)
        if n.op == "scalar":
            return Scalar(n.attr, n.dtype.kind in "iub")
        if n.op == "inside":
            (_, step, start), size = n.attr
            return (start, size, step)[k]
        return n.attr[k] if n.op == "take" else n.attr


def _rounded(number, dtype) -> float:
    """A number as a dtype holds it."""
    return float(np.asarray(number, dtype).astype(np.float64))


def _padded(nbytes: int) -> int:
    """Bytes of scratch memory: rows do not begin at the same place of a page."""
    return -(-nbytes // 64) * 64 + 64


def address(view) -> Address:
    """Where a view's first element lies."""
    return Address(owned(view.root), view.offset * view.dtype.itemsize)


def describe(nest: Nest) -> str:
    """A nest in a few words, for people."""
    names = [n.op for n in nest.nodes if n.ins and n.op not in ("cast", "view")]
    shown = ", ".join(dict.fromkeys(names)) or "copy"
    sizes = nest.outer + nest.inner
    return told(f"{shown} over {'x'.join(['{}'] * len(sizes))}", *sizes)
