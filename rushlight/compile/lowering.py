"""Instructions of a program as statements: loops over expressions, native calls, or tier 0.

An operator is lowered by running its NumPy reference on symbols, or by its own `lower` function, which gets
a `Lowering` and its arguments (a `Symbol` for each tensor and number that changes) and either returns symbols or
adds statements itself. Whatever raises NotLowered stays a `Fallback`.
"""

from __future__ import annotations

import math

import numpy as np

from . import expressions as ex
from . import functions, scattering, symbolic  # noqa: F401 - what references may call
from .expressions import Expr, NotLowered, Temporary, View, is_dense, owned, row_major
from .kernels.call import Call
from .nests import Store
from .overwriting import Overwrites, memory_now
from .statements import (
    MOVES,
    PRODUCTS,
    Fallback,
    Join,
    Loops,
    Multiply,
    Native,
    Statement,
    domain_of,
    hazard_root,
    overlap,
    roots_read,
    views_read,
)
from .symbolic import LOWERING, Symbol


def array_strides(m) -> tuple[int, ...]:
    """A Meta's strides in elements."""
    return tuple(m.strides)


def base_of(node):
    """The node that owns a value's address: the end of a chain of views, aliases and writes."""
    while True:
        name = node.op.name
        if getattr(node.op, "shares", False):
            node = node.ins[0]
        elif getattr(node.op, "view", False) and not node.outs and name != "get":
            if getattr(node.op, "absolute", False):
                raise NotLowered("as_strided")
            node = node.ins[0]
        elif name == "function":
            raise NotLowered("output of an autograd.Function")
        else:
            return node


def view_of(node) -> View:
    """The memory of a value."""
    m = node.m
    base, size = base_of(node), m.dtype.itemsize
    start = base.m.offset * base.m.dtype.itemsize if base.op.name == "leaf" else 0
    if start % size:
        raise NotLowered("a view between the elements of its dtype")
    return View(memory_now(base), tuple(m.shape), array_strides(m), m.offset - start // size, m.dtype.np)


class Lowering:
    """The statements of one instruction in the making; what an operator's `lower` works with."""

    def __init__(self, instruction):
        self.instruction = instruction
        self.node = instruction.node
        self.statements: list[Statement] = []
        self.overwrites = None  # the memory of a result that a write overwrites as a whole

    # ------------------------------------------------------------ for `lower` functions

    @property
    def metas(self):
        """The Metas of the operator's results."""
        return [n.m for n in self.node.outs or (self.node,)]

    def output(self, i: int = 0) -> View:
        """The memory of result `i`."""
        node = (self.node.outs or (self.node,))[i]
        return View(memory_now(node), tuple(node.m.shape), array_strides(node.m), 0, node.m.dtype.np)

    def memory(self, x: Symbol) -> View:
        """The memory of a tensor argument; what is computed goes into a temporary first."""
        if x.expr.op == "value":
            return x.expr.attr
        made = self.temporary(x.shape, x.dtype)
        self.store(made, x)
        return made

    def contiguous(self, x: Symbol) -> View:
        """The memory of a tensor argument in row-major order, copied if need be."""
        v = self.memory(x)
        if is_dense(v):
            return v
        made = self.temporary(v.shape, v.dtype)
        self.store(made, Symbol(ex.value(v)))
        return made

    def temporary(self, shape, dtype) -> View:
        """New memory, row-major."""
        dtype = np.dtype(dtype)
        root = Temporary(math.prod(shape) * dtype.itemsize)
        return View(root, tuple(shape), row_major(shape), 0, dtype)

    def filled(self, number) -> Symbol:
        """One number everywhere in the result."""
        return functions.filled(self.metas[0].shape, number, self.metas[0].dtype.np)

    def counted(self, start, step, n) -> Symbol:
        """start, start + step, ... as int64, or as float64 for a result that is floating."""
        made = ex.index(n)
        if ex.is_float(self.metas[0].dtype.np):
            made = ex.cast(made, np.float64)
        if step != 1:
            made = ex.apply("multiply", made, ex.const(step, made.dtype))
        return Symbol(made if start == 0 else ex.apply("add", made, ex.const(start, made.dtype)))

    def read(self, view: View) -> Symbol:
        """What is in memory, as an operand."""
        return Symbol(ex.value(view))

    def store(self, view: View, x, part: bool = False) -> None:
        """Write a symbol (broadcast and cast) into memory.

        part: other stores of this operator write other parts of a new array, none this one.
        """
        self.store_all([(view, x)], part)

    def check(self, bad: Symbol) -> None:
        """Fail, as the operator's reference does, if a condition holds anywhere."""
        if 0 not in bad.shape:
            store = Store(None, ex.cast(bad.expr, np.bool_))
            made = Loops(self.instruction, frozenset(roots_read(bad.expr)), frozenset(), [store],
                         domain_of(bad.expr), True)
            made.nest  # noqa: B018 - it may not fit
            self.statements.append(made)

    def store_all(self, pairs, part: bool = False) -> None:
        """Several stores, whose values are all computed from what memory holds before them."""
        stores = [Store(v, _fitted(x, v)) for v, x in pairs if 0 not in v.shape]
        if not stores or (len(stores) == 1 and self._absorbed(stores[0])):
            return
        reads = [views_read(s.expr) for s in stores]
        if overlap(stores, reads):
            copies = [(s.view, self.temporary(s.view.shape, s.view.dtype)) for s in stores]
            for s, (_, copy) in zip(stores, copies, strict=True):
                self.store(copy, Symbol(s.expr))
            self.store_all([(view, self.read(copy)) for view, copy in copies])
            return
        mine = [memory_now(n) for n in self.node.outs or (self.node,)] if self.overwrites is None else [self.overwrites]
        fresh = all(
            (isinstance(owned(s.view.root), Temporary) or owned(s.view.root) in mine)
            and (part or not any(hazard_root(s.view.root) in done.writes for done in self.statements))
            for s in stores
        )
        made = Loops(
            self.instruction, frozenset(hazard_root(v.root) for read in reads for v in read),
            frozenset(hazard_root(s.view.root) for s in stores), stores,
            max((domain_of(s.expr) for s in stores), key=math.prod), fresh,
        )
        try:
            if not made.plain:
                made.nest  # noqa: B018 - it may not fit
        except NotLowered:
            if len(stores) > 1:
                raise
            self.store(stores[0].view, Symbol(self._split(stores[0].expr)))
            return
        self.statements.append(made)

    def _split(self, e: Expr) -> Expr:
        """`e` with its innermost reductions (or what it reduces) computed into temporaries first."""
        found = _innermost(e)
        if not found:
            found = _moved(e)
        elif found == [e]:
            found = [] if e.ins[0].op == "value" else [e.ins[0]]
        if not found:
            raise NotLowered(f"no loops for {e.op}")
        known = {}
        for r in found:
            view = self.temporary(r.shape, r.dtype)
            self.store(view, Symbol(r))
            known[id(r)] = ex.value(view)
        return _replaced(e, known)

    # ------------------------------------------------------------ products

    def product(self, x: Symbol, y: Symbol, triangle: int = 0) -> Symbol:
        """np.matmul; of bfloat16 as it is, where the processor has instructions for that.

        triangle: what may be left out, see `kernels/products.py`.
        """
        from .kernels import matmul

        halves = _bfloat16(x.expr), _bfloat16(y.expr)
        if None not in halves and 0 not in (*x.shape, *y.shape):
            made, shape = self.multiply(*halves, x.dtype)
            if matmul.takes_bfloat16(made.product()):
                return self.multiplied(made, shape)
        a, b = self.memory(x), self.memory(y)
        if a.dtype != b.dtype or a.dtype.name not in PRODUCTS:
            raise NotLowered(f"product of {a.dtype} and {b.dtype}")
        made, shape = self.multiply(a, b, a.dtype)
        made.triangle = triangle
        if 0 in (*a.shape, *b.shape):
            return functions.filled(shape, 0, a.dtype)
        return self.multiplied(made, shape)

    def multiply(self, a: View, b: View, dtype) -> tuple[Multiply, tuple[int, ...]]:
        """The product of two matrices or vectors, and its shape."""
        row, column = len(a.shape) == 1, len(b.shape) == 1
        a = _with_dim(a, 0) if row else a
        b = _with_dim(b, 1) if column else b
        batch = ex.broadcast(a.shape[:-2], b.shape[:-2])
        shape = (*batch, *(() if row else (a.shape[-2],)), *(() if column else (b.shape[-1],)))
        c = self.temporary((*batch, a.shape[-2], b.shape[-1]), dtype)
        made = Multiply(
            self.instruction, frozenset((hazard_root(a.root), hazard_root(b.root))),
            frozenset([c.root]), a=a, b=b, c=c,
        )
        return made, shape

    def multiplied(self, made: Multiply, shape: tuple[int, ...] | None = None) -> Symbol:
        """The result of a product, which is computed here."""
        self.statements.append(made)
        return Symbol(ex.reshape(ex.value(made.c), made.c.shape if shape is None else shape))

    def _absorbed(self, store: Store) -> bool:
        """Let the last product write its result (perhaps with a bias added) where it is stored."""
        last = self.statements[-1] if self.statements else None
        if not isinstance(last, Multiply) or not isinstance(last.c.root, Temporary):
            return False
        e, bias, dtype = store.expr, None, last.c.dtype
        if e.op == "cast" and e.dtype == last.a.dtype != dtype:  # the kernel may round its sums
            e, dtype = e.ins[0], e.dtype
        elif e.op == "cast" and e.ins[0].dtype == np.float32 and e.dtype.name in PRODUCTS:
            return False
        if e.op == "add" and last.bias is None:
            e, bias = e.ins if _is_whole(e.ins[0], last.c) else e.ins[::-1]
            if dtype != last.c.dtype:
                bias = _bfloat16(bias)
            else:
                bias = bias.attr if bias.op == "value" else None
            if bias is None or bias.shape != last.c.shape[-1:] or bias.strides != (1,):
                return False
        if not _is_whole(e, last.c) or store.view.dtype != dtype:
            return False
        try:
            target = ex.reshape(ex.value(store.view), last.c.shape).attr
        except NotLowered:
            return False
        root = hazard_root(target.root)
        if root in last.reads:
            return False
        last.c, last.writes = target, frozenset([root])
        if bias is not None:
            last.bias, last.reads = bias, last.reads | {hazard_root(bias.root)}
        return True

    def call(self, calls: list[Call], reads, writes) -> None:
        """Add calls of kernels, with the Views that they read and write."""
        self.statements.append(Native(
            self.instruction, frozenset(hazard_root(v.root) for v in reads),
            frozenset(hazard_root(v.root) for v in writes), calls,
        ))

    # ------------------------------------------------------------ an instruction

    def lower(self, overwrites: Overwrites | None) -> list[Statement]:
        """The statements; NotLowered if tier 0 must run the instruction."""
        i, node = self.instruction, self.node
        if i.kind == "write":
            value = self._symbol(i.args[1])  # (may be made of what is overwritten)
            self.overwrites = None if overwrites is None else overwrites.comes(i)
            self.store(view_of(node.ins[0]), value)
        elif i.kind in ("alias", "restride"):
            return []
        elif node.op.view:
            if node.outs:
                raise NotLowered("a view with several results")
            view_of(node)
            return []
        else:
            LOWERING.append(self)
            try:
                self._operator()
            finally:
                LOWERING.pop()
        return self.statements

    def _operator(self):
        i, node = self.instruction, self.node
        o = node.op
        if o.random or any(m.dtype.np.kind == "c" for m in self.metas):
            raise NotLowered("random numbers" if o.random else "complex numbers")
        args = [self._symbol(a) for a in i.args]
        for at, d in i.call.casts:
            args[at] = _cast(args[at], d)
        own = getattr(o, "lower", None)
        if isinstance(own, str):
            made = Symbol.function(own, *args)
        elif own is not None:
            made = own(self, *args)
        else:
            made = self._reference(args)
        if made is None:
            return
        outs = node.outs or (node,)
        several = made if isinstance(made, tuple) else (made,)
        if len(several) != len(outs):
            raise NotLowered("another number of results")
        pairs = []
        for j, (m, x) in enumerate(zip(self.metas, several, strict=True)):
            x = functions.symbol(x)
            if x.shape != tuple(m.shape):
                x = x.reshape(tuple(m.shape))
            self._remember(outs[j], x.expr)
            if x.expr.op == "joined":
                self.statements.append(Join(
                    i, frozenset(roots_read(x.expr)), frozenset([hazard_root(self.output(j).root)]),
                    self, self.output(j), x.expr,
                ))
            elif not self._adopted(self.output(j), x.expr):
                pairs.append((self.output(j), x))
        try:  # several results share what they are computed from
            self.store_all(pairs)
        except NotLowered:
            for view, x in pairs:
                self.store(view, x)

    def _remember(self, node, e: Expr) -> None:
        """Note a result that is one number everywhere: who reads it need not read memory."""
        if not symbolic.GUARDS or node.root in symbolic.GUARDS[-1].written:
            return
        parts = ex.as_joined(e)
        if parts is not None and not roots_read(parts) & symbolic.GUARDS[-1].written:
            symbolic.GUARDS[-1].joined[node] = view_of(node), parts
        one = ex.uniform(e)
        if one is not None:
            one = ex.cast(one, node.m.dtype.np)
            symbolic.GUARDS[-1].uniform[node] = Expr(
                one.op, one.ins, (), one.dtype, one.attr, node.m.weak
            )

    def _adopted(self, view: View, e: Expr) -> bool:
        """Let a result that fills a temporary have its memory as its own."""
        if e.op != "value" or not isinstance(e.attr.root, Temporary):
            return False
        root, dense = e.attr.root, row_major(view.shape)
        if e.dtype != view.dtype or e.attr.offset or root.owner is not None \
                or root.nbytes != math.prod(view.shape) * view.dtype.itemsize \
                or any(n != 1 and (a, b) != (c, c) for n, a, b, c in zip(
                    view.shape, view.strides, e.attr.strides, dense, strict=True)):
            return False
        root.owner = view.root
        for s in self.statements:
            s.adopt()
        return True

    def _reference(self, args):
        """The reference, run on symbols; what it writes into its arguments is stored at its end."""
        o = self.node.op
        written = [args[j] for j in o.mutates if args[j] is not None]
        before = [x.expr for x in written]
        try:
            made = o.reference(*args)
        except NotLowered:
            raise
        except Exception as e:
            raise NotLowered(f"{type(e).__name__}: {e}") from None
        if not written:
            return made
        self.store_all([
            (e.attr, x) for e, x in zip(before, written, strict=True) if x.expr is not e
        ])
        return None

    def _symbol(self, a):
        """An operand as a symbol; static arguments as they are."""
        kind, what = a
        if kind == "list":
            return tuple(self._symbol(x) for x in what)
        if kind == "scalar":
            node_kind = _scalar_dtype(self.node, what)
            return Symbol(Expr("scalar", (), (), node_kind, what, True))
        if kind == "leaf":
            what = next(n for n in self.node.ins if n.op.name == "leaf" and n.number == what)
            kind = "value"
        if kind != "value":
            return what
        view = view_of(what)
        if view.dtype.kind == "c":
            raise NotLowered("complex numbers")
        known = symbolic.GUARDS[-1].uniform.get(view.root) if symbolic.GUARDS else None
        if known is not None and known.dtype == view.dtype:
            shape = view.shape
            return Symbol(known if shape == () else ex.rename(known, (None,) * len(shape), shape))
        e = ex.value(view)
        e.weak = what.m.weak
        return Symbol(e)


def _fitted(x, view: View) -> Expr:
    """A symbol or number cast and broadcast to the memory that it is written to."""
    e = x.expr if isinstance(x, Symbol) else ex.const(x, view.dtype)
    e = ex.cast(e, view.dtype)
    lead = len(view.shape) - len(e.shape)
    if lead < 0:
        e, lead = ex.reshape(e, e.shape[-lead:]), 0
    if e.shape == view.shape:
        return e
    return ex.rename(e, (None,) * lead + tuple(range(len(e.shape))), view.shape)


def _with_dim(v: View, at: int) -> View:
    """A vector as a matrix of one row (at 0) or one column (at 1)."""
    shape, strides = list(v.shape), list(v.strides)
    shape.insert(at, 1)
    strides.insert(at, 0)
    return View(v.root, tuple(shape), tuple(strides), v.offset, v.dtype)


def _bfloat16(e: Expr) -> View | None:
    """The memory of bfloat16 of which `e` are the values in float32, if that is all it is."""
    if e.op == "view":
        inner = _bfloat16(e.ins[0])
        return None if inner is None else ex.rename(ex.value(inner), e.attr, e.shape).attr
    if e.op != "cast" or e.dtype != np.float32 or e.ins[0].op != "value":
        return None
    return e.ins[0].attr if e.ins[0].dtype.name == "bfloat16" else None


def _is_whole(e: Expr, c: View) -> bool:
    """Whether an expression is just all of the memory `c`, in its order."""
    return (e.op == "value" and e.attr.root is c.root and e.attr.offset == c.offset
            and math.prod(e.shape) == math.prod(c.shape)
            and all(n == 1 or s == t for n, s, t in zip(
                e.shape, e.attr.strides, row_major(e.shape), strict=True)))


def _innermost(e: Expr) -> list[Expr]:
    """The reductions below which there are none."""
    found: dict = {}
    seen: dict = {}

    def visit(x) -> bool:
        """Whether there is a reduction in `x`."""
        if id(x) not in seen:
            below = [visit(y) for y in x.ins]
            if x.op == "reduce" and not any(below):
                found[id(x)] = x
            seen[id(x)] = x.op == "reduce" or any(below)
        return seen[id(x)]

    visit(e)
    return list(found.values())


def _moved(e: Expr) -> list[Expr]:
    """What is computed and then read at other places, nearest to the top."""
    if e.op in MOVES:
        return [x for x in e.ins if x.op != "value" and (x.ins or x.op == "index")]
    return list({id(x): x for y in e.ins for x in _moved(y)}.values())


def _replaced(e: Expr, known: dict) -> Expr:
    """`e` with some of its nodes exchanged."""
    if id(e) in known:
        return known[id(e)]
    ins = [_replaced(x, known) for x in e.ins]
    if all(a is b for a, b in zip(ins, e.ins, strict=True)):
        known[id(e)] = e
    elif e.op == "part":
        starts, steps = zip(*e.attr, strict=True)
        known[id(e)] = ex.part(ins[0], starts, steps, e.shape)
    elif e.op == "view":
        known[id(e)] = ex.rename(ins[0], e.attr, e.shape)
    else:
        known[id(e)] = Expr(e.op, ins, e.shape, e.dtype, e.attr, e.weak)
    return known[id(e)]


def _cast(x, d):
    if isinstance(d, tuple):
        return tuple(a if e is None else _cast(a, e) for a, e in zip(x, d, strict=True))
    return x.astype(d)


def _scalar_dtype(node, number):
    """float64 or int64: what kind of number a runtime scalar is."""
    for x in node.ins:
        if x.op.name == "scalar" and x.number == number:
            if x.m.dtype.np.kind == "c":
                raise NotLowered("complex numbers")
            return x.m.dtype.np
    raise NotLowered("a generator")


def lower(instruction, overwrites: Overwrites | None = None) -> list[Statement]:
    """The statements of one instruction: `Fallback` where there is no other way."""
    try:
        made = Lowering(instruction).lower(overwrites)
    except NotLowered as e:
        made = [fallback(instruction, str(e))]
    if overwrites is not None:
        overwrites.lowered(instruction, made)
    return made


def fallback(instruction, why: str) -> Fallback:
    """Tier 0 for one instruction, with the memory that it touches."""
    node = instruction.node
    reads = {hazard_root(x) for x in node.ins if x.op.name not in ("scalar", "root")}
    writes = set(n.root for n in node.outs or (node,))
    if instruction.kind == "write":
        writes.add(node.ins[0].root)
    mutates = getattr(node.op, "mutates", ())
    writes |= {node.args[j].root for j in mutates if node.args[j] is not None}
    return Fallback(instruction, frozenset(reads), frozenset(writes), why)
