"""Array expressions as nodes of a loop nest: what each load walks over, what is known in which stage.

`Builder` resolves the stores of one group over a common domain: at a position of the nest, loads get a stride
for each dim. Where an expression is shifted, turned or surrounded by another (`part`, `pad`), a *place*
says for each of its dims how it follows a dim of the nest; loads that would leave their memory have a guard.
"""

from __future__ import annotations

import math

import numpy as np

from .expressions import Expr, NotLowered, View, owned
from .llvm import elements
from .nests import Access, Nest, Node, Output, Place, Store, arranged, ready
from .sizes import Size

SPECIAL = {"const", "scalar", "index", "view", "part", "pad", "joined", "value", "reduce", "within",
           "take"}


def _told_apart(number):
    """A number as a key that 1, 1.0 and True do not share, nor 0.0 and -0.0."""
    return (number.name, "") if number.__class__ is Size else (number, str(number))


ONE_ROW = 1 << 13  # elements that are reduced as one row, so that what follows is in the same nest


class Builder:
    """Resolves the stores of one group over a common domain."""

    def __init__(self, domain: tuple[int, ...]):
        self.domain = domain
        self.real = tuple(i for i, n in enumerate(domain) if n != 1)
        self.inner: frozenset | None = None  # domain dims of a row, once a reduction decides
        self.known: dict = {}
        self.values: dict = {}  # program values made in this group: root -> (Expr, View)
        self.accesses: dict[Node, Access] = {}
        self.outputs: list[Output] = []
        self.checks: list[Node] = []
        self.nodes: list[Node] = []
        self.guard: Node | None = None  # where what is being resolved may be read
        self.written: set = set()  # roots of memory that was there before and is overwritten

    # ------------------------------------------------------------ adding a store

    def add(self, store: Store, fresh: bool = True) -> None:
        """Resolve a store; NotLowered if it does not fit into this nest.

        fresh: its memory is new; what is stored can be used in this nest without reading it.
        """
        self._add(store, fresh)

    def state(self):
        """What `restore` goes back to after a failed `add`."""
        return (self.inner, dict(self.known), dict(self.values), dict(self.accesses),
                list(self.outputs), list(self.checks), list(self.nodes), set(self.written))

    def restore(self, state) -> None:
        """Forget everything since `state`."""
        (self.inner, self.known, self.values, self.accesses, self.outputs, self.checks, self.nodes,
         self.written) = state
        self.guard = None

    def _add(self, store: Store, fresh: bool) -> None:
        expr = store.expr
        axes = self._place(expr)
        if axes is None and expr.shape == self.domain:
            axes = tuple(range(len(expr.shape)))
        if axes is None:
            raise NotLowered(f"an expression of shape {expr.shape} over {self.domain}")
        node = self.resolve(expr, tuple(None if d is None else (d, 1, 0) for d in axes))
        if store.view is None:
            if node.op == "partial":
                raise NotLowered("a check of a reduction over rows")
            self.checks.append(node)
            return
        partial = None
        if node.op == "partial":
            partial, node = node.attr, node.ins[0]
        strides = [0] * len(self.domain)
        for d, s, n in zip(axes, store.view.strides, store.view.shape, strict=True):
            if d is not None and n != 1:
                strides[d] = s * store.view.dtype.itemsize
            elif d is None and n != 1:
                raise NotLowered("a result that is broadcast when stored")
        if partial is None and any(strides[d] == 0 for d in node.dims):
            raise NotLowered("a store that loses a dim")
        if node.dtype != store.view.dtype:
            node = self._node("cast", (node,), store.view.dtype, None, node.dims)
        self.outputs.append(Output(Access(store.view, tuple(strides)), node, store.view, partial))
        if fresh:
            self.values[owned(store.view.root)] = (expr, store.view)
        else:
            self.written.add(owned(store.view.root))

    def _place(self, e: Expr):
        """For each dim of `e`, the domain's dim (None: size 1), or None if it does not lie in it."""
        if e.op == "reduce":
            x = e.ins[0]
            if x.shape != self.domain:
                return None
            return tuple(i if e.shape[i] != 1 else None for i in range(len(e.shape)))
        if e.op == "view":
            below = self._place(e.ins[0])
            if below is None:
                return None
            found = []
            for i, d in enumerate(e.attr):
                place = None if d is None else below[d]
                if place is None and e.shape[i] != 1:  # broadcast here: as the domain has it
                    place = len(self.domain) - len(e.shape) + i
                    if place < 0 or self.domain[place] != e.shape[i]:
                        return None
                found.append(place)
            taken = [p for p in found if p is not None]
            return tuple(found) if len(set(taken)) == len(taken) else None
        if e.shape == self.domain:
            return tuple(range(len(e.shape)))
        for x in e.ins:
            if len(x.shape) == len(e.shape) and x.op in ("reduce", "view"):
                found = self._place(x)
                if found is not None and all(
                    (p is not None) == (n != 1) for p, n in zip(found, e.shape, strict=True)
                ):
                    return found
        if len(e.shape) == len(self.domain) and all(
            n in (1, m) for n, m in zip(e.shape, self.domain, strict=True)
        ):
            return tuple(i if n != 1 else None for i, n in enumerate(e.shape))
        return None

    # ------------------------------------------------------------ expressions to nodes

    def resolve(self, e: Expr, axes) -> Node:
        """The node of `e` with a place (or None: index 0) for each of its dims."""
        key = (id(e), axes, self.guard)
        found = self.known.get(key)
        if found is None:
            found = self._resolve(e, axes)
            self.known[key] = found
            self.known[("keep", id(e))] = e  # (an id stays valid while its object lives)
        return found

    def _node(self, op, ins, dtype, attr, dims, key=None) -> Node:
        key = (op, ins, dtype, attr if key is None else key)
        found = self.known.get(key)
        if found is None:
            stage = max((ready(i) for i in ins), default=0)
            found = self.known[key] = Node(op, ins, dtype, attr, frozenset(dims), stage)
            self.nodes.append(found)
        return found

    def _resolve(self, e: Expr, axes) -> Node:
        special = getattr(self, "_" + e.op, None) if e.op in SPECIAL else None
        if special is not None:
            return special(e, axes)
        if not elements.supported(e.op, e.ins[-1].dtype) or elements.name_of(e.dtype) not in elements.REGISTER:
            raise NotLowered(f"{e.op} of {e.ins[-1].dtype}")
        ins = tuple(self.resolve(x, self._aligned(x, axes)) for x in e.ins)
        if any(i.op == "partial" for i in ins):
            raise NotLowered("a reduction over rows is known only after the nest")
        return self._node(e.op, ins, e.dtype, None, frozenset().union(*(i.dims for i in ins)))

    def _aligned(self, x: Expr, axes):
        """The axes of an operand that is broadcast to a result with `axes`."""
        mine = axes[len(axes) - len(x.shape):]
        return tuple(a if n != 1 else None for a, n in zip(mine, x.shape, strict=True))

    def _const(self, e: Expr, axes) -> Node:
        return self._node("const", (), e.dtype, e.attr, (), _told_apart(e.attr))

    def _scalar(self, e: Expr, axes) -> Node:
        return self._node("scalar", (), e.dtype, e.attr, ())

    def _number(self, number, dtype=np.int64) -> Node:
        return self._node("const", (), np.dtype(dtype), number, (), _told_apart(number))

    def _index(self, e: Expr, axes) -> Node:
        dim, step, start = axes[e.attr] or (None, 0, 0)
        if dim is None:
            return self._number(start, e.dtype)
        made = self._node("index", (), e.dtype, dim, (dim,))
        for op, number, neutral in (("multiply", step, 1), ("add", start, 0)):
            if number != neutral:
                made = self._node(op, (made, self._number(number, e.dtype)), e.dtype, None, (dim,))
        return made

    def _view(self, e: Expr, axes) -> Node:
        below: list = [None] * len(e.ins[0].shape)
        for i, d in enumerate(e.attr):
            if d is not None and e.ins[0].shape[d] != 1:
                below[d] = axes[i]
        return self.resolve(e.ins[0], tuple(below))

    def _part(self, e: Expr, axes) -> Node:
        x = e.ins[0]
        below = []
        for a, (start, step), n in zip(axes, e.attr, x.shape, strict=True):
            dim, k, b = a or (None, 0, 0)
            below.append((dim, step * k, start + step * b) if n != 1 else None)
        return self.resolve(x, tuple(below))

    def _pad(self, e: Expr, axes) -> Node:
        """The first operand where the place is inside of it, the second one elsewhere."""
        x, around = e.ins
        below, guard, outer = [], self.guard, self.guard
        for a, start, n, size in zip(axes, e.attr, x.shape, e.shape, strict=True):
            dim, step, b = a or (None, 0, 0)
            place = (dim, step, b - start)
            below.append(place if n != 1 else None)
            if n != size:
                guard = self._both(guard, self._inside(place, n))
        self.guard = guard
        inner = self.resolve(x, tuple(below))
        self.guard = outer
        other = self.resolve(around, self._aligned(around, axes))
        if "partial" in (inner.op, other.op):
            raise NotLowered("a reduction over rows is known only after the nest")
        if guard is outer:
            return inner
        return self._node("where", (guard, inner, other), e.dtype, None,
                          guard.dims | inner.dims | other.dims)

    def _joined(self, e: Expr, axes) -> Node:
        """The part that a place lies in."""
        dim, starts = e.attr
        made = e.ins[-1]
        for start, x in zip(starts, e.ins[:-1], strict=True):
            made = Expr("pad", (x, made), e.shape, e.dtype,
                        tuple(start if d == dim else 0 for d in range(len(e.shape))))
        return self.resolve(made, axes)

    def _inside(self, place: Place, size: int) -> Node:
        if place[0] is None:
            return self._number(0 <= place[2] < size, np.bool_)
        return self._node("inside", (), np.dtype(np.bool_), (place, size), (place[0],))

    def _both(self, a: Node | None, b: Node) -> Node:
        if a is None or a is b:
            return b
        return self._node("logical_and", (a, b), b.dtype, None, a.dims | b.dims)

    def _walk(self, view: View, axes) -> tuple[View, list[int]]:
        """A view from where its places start, and bytes from one index of each domain dim to the next."""
        strides, offset = [0] * len(self.domain), view.offset
        for a, s, n in zip(axes, view.strides, view.shape, strict=True):
            if n == 1 or s == 0:
                continue
            if a is None:
                raise NotLowered("a dim of memory that the nest does not walk")
            dim, step, start = a
            offset += start * s
            if dim is not None:
                strides[dim] += step * s * view.dtype.itemsize
        return View(view.root, view.shape, view.strides, offset, view.dtype), strides

    def _value(self, e: Expr, axes) -> Node:
        view: View = e.attr
        made = self.values.get(owned(view.root))
        if made is not None:
            return self._forwarded(view, made, axes)
        if elements.name_of(view.dtype) not in elements.REGISTER:
            raise NotLowered(f"memory of {view.dtype}")
        return self._load("load", (), view, axes, None)

    def _load(self, op: str, ins: tuple, view: View, axes, attr) -> Node:
        """A read of memory; under a guard, that is its last operand."""
        at, strides = self._walk(view, axes)
        ins = ins if self.guard is None else (*ins, self.guard)
        dims = frozenset(i for i, s in enumerate(strides) if s).union(*(i.dims for i in ins))
        key = (id(at.root), at.offset, tuple(strides), attr)
        node = self._node(op, ins, at.dtype, attr, dims, key)
        safe = view if self.guard is not None else None
        self.accesses.setdefault(node, Access(at, tuple(strides), safe))
        return node

    def _forwarded(self, view: View, made, axes) -> Node:
        """A value made in this group and read through a view of it that only renames dims."""
        expr, whole = made
        below: list = [None] * len(whole.shape)
        if view.offset != whole.offset or view.dtype != whole.dtype:
            raise NotLowered("part of a value made in the same nest")
        free = {i for i, n in enumerate(whole.shape) if n != 1}
        for a, s, n in zip(axes, view.strides, view.shape, strict=True):
            if n == 1 or s == 0:
                continue
            at = next((i for i in free if whole.strides[i] == s and whole.shape[i] == n), None)
            if at is None:
                raise NotLowered("another layout of a value made in the same nest")
            free.discard(at)
            below[at] = a
        if free:
            raise NotLowered("part of a value made in the same nest")
        node = self.resolve(expr, tuple(below))
        if node.op == "partial":
            raise NotLowered("a reduction over rows is known only after the nest")
        if node.dtype != whole.dtype:
            node = self._node("cast", (node,), whole.dtype, None, node.dims)
        return node

    def _within(self, e: Expr, axes) -> Node:
        x = self.resolve(e.ins[0], axes)
        if self.guard is not None:
            raise NotLowered("an index that is read in places only")
        if x.op == "partial":
            raise NotLowered("a reduction over rows is known only after the nest")
        return self._node("within", (x,), e.dtype, e.attr, x.dims)

    def _take(self, e: Expr, axes) -> Node:
        """Memory at computed places; attr: (bytes from one index to the next) of each operand."""
        view, indexed, rest = e.attr
        if owned(view.root) in self.values or elements.name_of(view.dtype) not in elements.REGISTER:
            raise NotLowered("an index into what is made in the same nest")
        ins = tuple(self.resolve(x, self._aligned(x, axes)) for x in e.ins)
        places: list = [None] * len(view.shape)
        for d, at in rest:
            places[d] = axes[at]
        plain = View(view.root, tuple(1 if d in indexed else n for d, n in enumerate(view.shape)),
                     view.strides, view.offset, view.dtype)
        steps = tuple(view.strides[d] * view.dtype.itemsize for d in indexed)
        return self._load("take", ins, plain, tuple(places), steps)

    def _reduce(self, e: Expr, axes) -> Node:
        kind, dims = e.attr
        x = e.ins[0]
        if x.shape != self.domain or self.guard is not None:
            raise NotLowered("a reduction over another domain")
        gone = frozenset(d for d in dims if self.domain[d] != 1)
        if any(axes[i] != (i, 1, 0) for i in self.real if i not in gone):
            raise NotLowered("a reduction whose result is turned, or read at one place")
        child = self.resolve(x, tuple((i, 1, 0) if n != 1 else None for i, n in enumerate(x.shape)))
        if child.op == "partial":
            raise NotLowered("a reduction of a reduction over rows")
        everything = frozenset(self.real)
        rest = everything - gone
        along = self._direction(gone, rest)
        if along == "row":
            return self._node("reduce", (child,), e.dtype, kind, rest, (kind, gone))
        return self._node("partial", (child,), e.dtype, kind, rest, (kind, gone))

    def _direction(self, gone, rest) -> str:
        """Whether a reduction goes along rows; the first one decides what a row is."""
        if self.inner is not None:
            if gone == self.inner:
                return "row"
            if rest == self.inner or not rest:
                return "rows"
            raise NotLowered("reductions in different directions")
        if not rest:
            if math.prod(self.domain) > ONE_ROW:
                return "rows"
            self.inner = gone
            return "row"
        if max(rest) < min(gone) or max(gone) > max(rest):  # the last dim is reduced
            self.inner = gone
            return "row"
        if max(gone) < min(rest):
            self.inner = rest
            return "rows"
        self.inner = gone
        return "row"

    def finish(self) -> Nest:
        """The nest; what nothing needs is left out."""
        return arranged(self.domain, self.inner, self.outputs, self.checks, self.accesses, self.nodes)
