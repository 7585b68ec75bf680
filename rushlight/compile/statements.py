"""Statements: what the instructions of a program become, and what memory each of them touches.

A statement is a step: loops over expressions, calls of kernels, or an instruction that tier 0 runs. Their
order is that of the program; `groups.py` makes nests of those that fit together.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import expressions as ex
from .expressions import Expr, View, owned
from .kernels.call import Address, Call
from .llvm import elements
from .nest_builder import SPECIAL, Builder
from .nests import Store
from .sizes import told
from .symbolic import Symbol

if TYPE_CHECKING:
    from .lowering import Lowering


@dataclass(eq=False)
class Statement:
    """One step. reads, writes: the roots (nodes or Temporaries) of the memory it touches."""

    instruction: object
    reads: frozenset = frozenset()
    writes: frozenset = frozenset()

    def adopt(self) -> None:
        """A temporary has got an owner: what stands for it is another root now."""
        self.reads = frozenset(map(hazard_root, self.reads))
        self.writes = frozenset(map(hazard_root, self.writes))


@dataclass(eq=False)
class Loops(Statement):
    """Stores that all read what was there before.

    fresh: their memory is new, so what is written can be used without reading it.
    """

    stores: list[Store] = field(default_factory=list)
    domain: tuple = ()
    fresh: bool = False

    @functools.cached_property
    def nest(self) -> Builder:
        """The stores in a nest of their own; NotLowered if they do not fit."""
        made = Builder(self.domain)
        for s in self.stores:
            made.add(s, self.fresh)
        return made

    @property
    def plain(self) -> bool:
        """Whether they certainly fit: elementwise operations on memory."""
        return all(is_plain(s.expr) and all(
            n == 1 or step for n, step in zip(s.view.shape, s.view.strides, strict=True)
        ) for s in self.stores)

    def adopt(self) -> None:
        """See `Statement`."""
        super().adopt()
        if "nest" in self.__dict__:
            self.nest.values = {owned(r): made for r, made in self.nest.values.items()}
            self.nest.written = set(map(owned, self.nest.written))


@dataclass(eq=False)
class Join(Statement):
    """Several arrays, one after the other in new memory: loops, once it is known that they are read."""

    lowering: Lowering | None = None
    view: View | None = None
    expr: Expr | None = None

    def loops(self) -> list[Statement]:
        """A store for each part, and for what is between them."""
        build, view, e = self.lowering, self.view, self.expr
        dim, starts = e.attr
        before = len(build.statements)
        at = 0
        for start, x in zip((*starts, e.shape[dim]), (*e.ins[:-1], None), strict=True):
            if start > at:
                between = ex.uniform(e.ins[-1]) or ex.value(along(e.ins[-1].attr, dim, at, start))
                build.store(along(view, dim, at, start), Symbol(between), part=True)
            if x is not None:
                at = start + x.shape[dim]
                build.store(along(view, dim, start, at), Symbol(x), part=True)
        return build.statements[before:]


def settled(statements: list, kept: set) -> list:
    """Statements with loops for the joins whose result is read, and without the others."""
    needed, made = set(kept), []
    for s in reversed(statements):
        if not isinstance(s, Join) or s.writes & needed:
            needed |= s.reads
            made.append(s)
    return [t for s in reversed(made) for t in (s.loops() if isinstance(s, Join) else (s,))]


@dataclass(eq=False)
class Native(Statement):
    """Calls of kernels; what an error word means."""

    calls: list[Call] = field(default_factory=list)


BY_NUMBER = "a Python number"  # why tier 0 makes one


@dataclass(eq=False)
class Fallback(Statement):
    """Tier 0 runs the instruction."""

    why: str = ""


@dataclass(eq=False)
class Multiply(Native):
    """A product of matrices whose calls are planned last: until then it may take up what follows.

    a, b, c: Views of at least two dims, the leading ones a batch (a and b may be broadcast there).
    c may have the sums of bfloat16 as float32, where `matmul.takes_bfloat16` says so.
    bias: a View of c's last dim, added to each row. addend: a View of c's shape, added to it.
    reused: whether other products of the program have the same b.
    triangle: what may be left out, see `kernels/products.py`.
    new_sum: whether c is new memory for the sum with addend.
    """

    a: View | None = None
    b: View | None = None
    c: View | None = None
    bias: View | None = None
    addend: View | None = None
    reused: bool = False
    triangle: int = 0
    new_sum: bool = False

    def product(self):
        """What the kernels need to know."""
        from .kernels import matmul

        a, b, c = self.a, self.b, self.c
        batch = c.shape[:-2]
        return matmul.Product(
            *(_matrix(v, len(batch)) for v in (a, b, c)), m=c.shape[-2], n=c.shape[-1],
            k=a.shape[-1], batch=batch, dtype=a.dtype.name, wide=a.dtype != c.dtype,
            bias=None if self.bias is None else _address(self.bias),
            addend=None if self.addend is None else _matrix(self.addend, len(batch)),
            reused=self.reused, triangle=self.triangle,
        )

    def plan(self) -> None:
        """Find the calls."""
        from .kernels import matmul

        self.calls = matmul.plan(self.product())
        sizes = (*self.c.shape[:-1], self.a.shape[-1], self.c.shape[-1])
        size = told("x".join(["{}"] * len(sizes)), *sizes)
        for call in self.calls:
            call.label = told("{} {}", call.label, size)

    def add(self, s: Loops, kept: set) -> bool:
        """Take up a later sum of this product and another matrix, or a row of one, if s is that.

        kept: hazard roots that are needed after the program.
        """
        from .kernels import matmul

        store, c = s.stores[0], self.c
        e = store.expr
        if (
            len(s.stores) > 1 or e.op != "add" or e.shape != c.shape
            or not e.dtype == store.view.dtype == c.dtype or self.addend is not None
            or hazard_root(c.root) in kept or s.writes & self.reads
        ):
            return False
        for x, other in (e.ins, e.ins[::-1]):
            if x.op == other.op == "value" and _same(x.attr, c) and other.dtype == c.dtype:
                break
        else:
            return False
        before = self.c, self.bias, self.addend
        v = other.attr
        if v.shape == c.shape and owned(v.root) is not owned(c.root):
            same = _same(v, store.view) or hazard_root(v.root) not in s.writes
            self.c, self.addend = store.view, v
            fits = same and matmul.takes_addend(self.product())
        else:
            fits = v.shape == c.shape[-1:] and v.strides == (1,) and self.bias is None
            self.c, self.bias = store.view, v
            fits = fits and hazard_root(v.root) not in s.writes and self.c.strides[-1] == 1
        if not fits:
            self.c, self.bias, self.addend = before
            return False
        self.reads, self.writes = self.reads | {hazard_root(v.root)}, s.writes
        self.new_sum = s.fresh and self.addend is not None
        return True


def _same(a: View, b: View) -> bool:
    """Whether two views are of the same memory in the same way."""
    return _key(a) == _key(b)


def _key(v: View) -> tuple:
    return owned(v.root), v.shape, v.strides, v.offset, v.dtype


def with_sums(statements: list, kept: set) -> list:
    """Statements in which products take up the sums that they alone go into.

    Such a product runs where its sum did: nothing in between may write to what it reads.
    """
    readers = Counter(r for s in statements for r in s.reads)
    places: dict = {}  # root -> the product that made it, and where
    for at, s in enumerate(statements):
        if isinstance(s, Multiply):
            places.update((r, (s, at)) for r in s.writes)
        elif isinstance(s, Loops) and s.stores[0].view is not None and s.plain:
            for r in s.reads & places.keys():
                product, since = places[r]
                between = (t for t in statements[since + 1 : at] if t is not None)
                if readers[r] == 1 and not any(t.writes & product.reads for t in between) \
                        and product.add(s, kept):
                    statements[since], statements[at] = None, product
                    places.update((r, (product, at)) for r in product.writes)
                    break
    made = [s for s in statements if s is not None]
    _in_place(made, kept)
    products = [s for s in made if isinstance(s, Multiply)]
    uses = Counter(_key(s.b) for s in products)
    for s in products:
        s.reused = uses[_key(s.b)] >= REUSES
    return made


def _in_place(statements: list, kept: set) -> None:
    """Let products that are summed up one after the other do so in the memory of the last sum.

    That memory is new, so nobody else has touched it before. The sums on the way, which nothing else reads, then take no memory,
    nor, most often, the way out of the cache. (Readers, writers and makers are those of before the changes.)
    """
    readers = Counter(r for s in statements for r in s.reads)
    writers = Counter(r for s in statements for r in s.writes)
    makers = {r: s for s in statements if isinstance(s, Multiply) for r in s.writes}
    for s in reversed(statements):
        if not isinstance(s, Multiply) or not s.new_sum or s.addend.strides != s.c.strides:
            continue
        root = hazard_root(s.addend.root)
        factors = {hazard_root(v.root) for v in (s.a, s.b, s.bias) if v is not None}
        before = makers.get(root) if root not in factors else None
        if before is not None and root not in kept and readers[root] == writers[root] == 1 \
                and _same(before.c, s.addend):
            before.c, before.writes = s.c, s.writes
            s.addend, s.reads = s.c, (s.reads - {root}) | s.writes


def packed_once(calls: list[Call], packed: dict) -> list[Call]:
    """Calls without those that pack what `packed` has already; it learns the others."""
    kept: list[Call] = []
    for call in calls:
        if call.function == "pack_right":
            out, source = call.words[:2]
            key = (call.text, *call.words[1:])
            if key in packed:
                for reader in calls:  # not always the last: a product that is cut along k is finished by another call
                    reader.words = [packed[key][1] if w is out else w for w in reader.words]
                continue
            packed[key] = hazard_root(source.buffer), out
        kept.append(call)
    return kept


def _address(v: View) -> Address:
    return Address(v.root, v.offset * v.dtype.itemsize)


def _matrix(v: View, batches: int):
    from .kernels.matmul import Matrix

    lead = batches - (len(v.shape) - 2)
    batch = (0,) * lead + tuple(
        0 if n == 1 else s for n, s in zip(v.shape[:-2], v.strides[:-2], strict=True)
    )
    return Matrix(_address(v), v.strides[-2], v.strides[-1], batch)


PRODUCTS = ("float32", "float64", "bfloat16", "float16")


def hazard_root(root):
    """What stands for a root's memory when the order of reads and writes is decided."""
    root = owned(root)
    return getattr(root, "root", root)


REUSES = 3  # products with the same second matrix that are worth packing it once
MOVES = ("view", "part", "pad", "joined", "take")  # what reads memory at other places than its result's


def views_read(e: Expr) -> dict:
    """{View: whether it is read just where it lies} of the memory that an expression reads."""
    found: dict = {}
    seen = set()

    def visit(x, here):
        if (id(x), here) in seen:
            return
        seen.add((id(x), here))
        here = here and x.op not in MOVES
        if x.op in ("value", "take"):
            view = x.attr if x.op == "value" else x.attr[0]
            found[view] = found.get(view, True) and here
        for y in x.ins:
            visit(y, here)

    visit(e, True)
    return found


def roots_read(e: Expr) -> set:
    """The hazard roots that an expression reads."""
    return {hazard_root(v.root) for v in views_read(e)}


def is_plain(e: Expr) -> bool:
    """Whether an expression consists of elementwise operations on memory and numbers."""
    known: dict = {}

    def visit(x) -> bool:
        found = known.get(id(x))
        if found is None:
            if x.op in ("value", "const", "scalar"):
                found = elements.is_compiled(x.dtype)
            else:
                found = x.op not in SPECIAL and elements.supported(x.op, x.ins[-1].dtype) \
                    and elements.is_compiled(x.dtype) and all([visit(y) for y in x.ins])
            known[id(x)] = found
        return found

    return visit(e)


def overlap(stores: list[Store], reads: list[dict]) -> bool:
    """Whether memory that is overwritten is read at another place too; reads: of each store."""
    read: dict = {}
    for views in reads:
        for v, here in views.items():
            read.setdefault(hazard_root(v.root), []).append((v, here))
    for s in stores:
        for v, here in read.get(hazard_root(s.view.root), ()):
            same = v.offset == s.view.offset and v.shape == s.view.shape and all(
                n == 1 or a == b
                for n, a, b in zip(v.shape, v.strides, s.view.strides, strict=True)
            )
            if not same or not here:
                return True
    return False


def domain_of(e: Expr) -> tuple[int, ...]:
    """The shape over which an expression loops: that of its widest reduction, or its own."""
    best = e.shape
    seen = set()

    def visit(x):
        nonlocal best
        if id(x) in seen:
            return
        seen.add(id(x))
        if x.op == "reduce" and math.prod(x.ins[0].shape) >= math.prod(best):
            best = x.ins[0].shape
        for y in x.ins:
            visit(y)

    visit(e)
    return tuple(best)


def along(v: View, dim: int, start: int, end: int) -> View:
    """A part of a view along one dim."""
    shape = (*v.shape[:dim], end - start, *v.shape[dim + 1 :])
    return View(v.root, shape, v.strides, v.offset + start * v.strides[dim], v.dtype)
