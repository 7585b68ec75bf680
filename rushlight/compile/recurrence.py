"""Recurrent layers as calls of kernels: what `ops/recurrent.py` lowers to.

A time step is a product of matrices and a nest. It is planned once for each number of rows, on views
whose roots are `Slot`s; every step is these calls with the slots at its own rows. The matrix of weights
is packed once. Steps of equally many rows are a `Loop`.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import replace

from .emit import emit
from .expressions import NotLowered, Temporary, View
from .groups import Group, drop_dead, group
from .kernels import matmul
from .kernels.call import Address, Call, Loop
from .lowering import Lowering
from .statements import Multiply, packed_once, settled, with_sums
from .symbolic import LOWERING, Symbol


class Slot:
    """Stands for the rows of an array (dense, total x columns) that belong to the step at hand."""

    op = types.SimpleNamespace(name="slot")
    outs: tuple = ()
    ins: tuple = ()

    def __init__(self, array: View):
        self.root, self.array = self, array
        self.row = array.shape[1]

    def view(self, rows: int, first: int = 0, columns: int = 0) -> View:
        """The step's rows; some columns of them."""
        return View(self, (rows, columns or self.row), (self.row, 1), first, self.array.dtype)

    def at(self, start, offset) -> Address:
        """Where a place in the slot lies in the step whose rows begin at `start`."""
        item, v = self.array.dtype.itemsize, self.array
        return Address(v.root, (v.offset + start * self.row) * item + offset)


def forward(build: Lowering, x: Symbol, h, c, w, b, cell, arrays, sizes, reverse: bool, train) -> None:
    """See `ops/recurrent.py`. sizes: the rows of each step, or how many steps of all rows there are."""
    results = _results(build, 6, x.dtype)
    out, state, state_c, before, before_c, saved = results
    build.store(state, h)
    if c is not None:
        build.store(state_c, c)
    given, weights = Slot(build.contiguous(x)), build.memory(w)
    bias = None if b is None else build.contiguous(b)
    out_slot, before_slot, before_c_slot, saved_slot = map(Slot, (out, before, before_c, saved))

    def step(part: Lowering, size: int) -> None:
        old = part.read(_first(state, size))
        old_c = part.read(_first(state_c, size)) if c is not None else None
        own, a = part.read(given.view(size)), None
        product = part.multiply(old.expr.attr, _turned(weights), x.dtype)[0]
        product.bias = bias
        product.reads |= frozenset(() if bias is None else (bias.root,))
        if not cell.own and _takes(product, given.view(size)):
            own = part.multiplied(product)
        else:
            a = part.multiplied(product)
        made, made_c, values = cell.forward(arrays, own, a, old, old_c)
        stores = [(out_slot.view(size), made), (_first(state, size), made)]
        if made_c is not None:
            stores.append((_first(state_c, size), made_c))
        if train:
            stores.append((before_slot.view(size), old))
            stores += _columns(saved_slot, size, values)
            if made_c is not None:
                stores.append((before_c_slot.view(size), old_c))
        part.store_all(stores)

    states = [state] if c is None else [state, state_c]
    read = [given.array, weights, *states] + ([] if bias is None else [bias])
    kept = [before, before_c, saved] if train else []
    _run(build, step, sizes, state.shape[0], reverse, read, [out, *states, *kept])
    _rounded(build, results)


def backward(build: Lowering, grad, grad_h, grad_c, out, before, before_c, saved, w, cell, sizes,
             reverse: bool) -> None:
    """See `ops/recurrent.py`; the steps run backwards."""
    lstm = 0 not in before_c.shape
    results = _results(build, 4, w.dtype)
    dx, da, dh, dc = results
    build.store(dh, 0 if grad_h is None else grad_h)
    if lstm:
        build.store(dc, 0 if grad_c is None else grad_c)
    arrays = [out, before, before_c, saved] + ([] if grad is None else [grad])
    slots = [Slot(build.contiguous(t)) for t in arrays]
    out_slot, before_slot, before_c_slot, saved_slot = slots[:4]
    weights, n = build.memory(w), before.shape[1]
    dx_slot, da_slot = Slot(dx), Slot(da)

    def step(part: Lowering, size: int) -> None:
        now = part.read(_first(dh, size))
        if grad is not None:
            now = now + part.read(slots[4].view(size))
        values = [part.read(saved_slot.view(size, k * n, n)) for k in range(cell.saves)]
        given, own, direct, made_c = cell.backward(
            now, part.read(_first(dc, size)) if lstm else None, part.read(before_slot.view(size)),
            part.read(before_c_slot.view(size)) if lstm else None, part.read(out_slot.view(size)),
            values,
        )
        stores = _columns(dx_slot, size, given)
        if cell.own:
            stores += _columns(da_slot, size, own)
        for target, value in ((dh, direct), (dc, made_c)):
            if value is not None:
                stores.append((_first(target, size), value))
        part.store_all(stores)
        product = part.multiply((da_slot if cell.own else dx_slot).view(size), weights, w.dtype)[0]
        target = _first(dh, size)
        if direct is None:
            part.store(target, part.multiplied(product))
        elif _takes(product, target):
            product.c, product.writes = target, frozenset([target.root])
            part.statements.append(product)
        else:
            part.store(target, part.multiplied(product) + part.read(target))

    states = [dh, dc] if lstm else [dh]
    made = [dx, da] if cell.own else [dx]
    _run(build, step, sizes, dh.shape[0], not reverse, [*(s.array for s in slots), weights, *states], [*made, *states])
    _rounded(build, results)


# ---------------------------------------------------------------- steps


def _results(build: Lowering, count: int, dtype) -> list[View]:
    """Memory for the results in the dtype that is computed in."""
    outs = [build.output(i) for i in range(count)]
    return [o if o.dtype == dtype else build.temporary(o.shape, dtype) for o in outs]


def _rounded(build: Lowering, made: list[View]) -> None:
    """Store results that were computed in another dtype than they have."""
    for i, v in enumerate(made):
        if v != build.output(i):
            build.store(build.output(i), build.read(v))


def _first(v: View, rows: int) -> View:
    """The first rows of an array."""
    return View(v.root, (rows, *v.shape[1:]), v.strides, v.offset, v.dtype)


def _turned(v: View) -> View:
    return View(v.root, v.shape[::-1], v.strides[::-1], v.offset, v.dtype)


def _columns(slot: Slot, rows: int, values) -> list[tuple[View, Symbol]]:
    """Stores of values beside each other."""
    return [(slot.view(rows, k * x.shape[1], x.shape[1]), x) for k, x in enumerate(values)]


def _takes(product: Multiply, addend: View) -> bool:
    """Let a product add a matrix, if its kernel can."""
    product.addend = addend
    if matmul.takes_addend(product.product()):
        product.reads |= {addend.root}
        return True
    product.addend = None
    return False


def _run(build: Lowering, step: Callable, sizes, batch, reverse: bool, reads: list[View], writes: list[View]) -> None:
    """Calls for all steps; step(part, size) writes the statements of one with so many rows."""
    planned: dict = {}
    packed: dict = {}
    calls: list = []

    def plan(size) -> list[_Planned]:
        made = [_Planned(call) for call in _plan(build, step, size, packed)]
        once = [p for p in made if p.call.function == "pack_right" and not p.places]
        calls.extend([p.call for p in once])
        return [p for p in made if p not in once]

    if isinstance(sizes, tuple):
        starts, start = [], 0
        for size in sizes:
            starts.append((start, size))
            start += size
        for start, size in reversed(starts) if reverse else starts:
            if size not in planned:
                planned[size] = plan(size)
            calls += [p.at(start) for p in planned[size]]
    else:
        first, rows = ((sizes - 1) * batch, -batch) if reverse else (0, batch)
        loop = plan(batch)
        calls.append(Loop([p.at(first) for p in loop], sizes, [p.moves(rows) for p in loop]))
    build.call(calls, [v for v in reads if 0 not in v.shape], [v for v in writes if 0 not in v.shape])


class _Planned:
    """A call of a step, and the words that differ from step to step."""

    def __init__(self, call: Call):
        self.call = call
        self.places = [
            (j, word.buffer, word.offset) for j, word in enumerate(call.words)
            if isinstance(word, Address) and isinstance(word.buffer, Slot)
        ]

    def moves(self, rows) -> dict:
        """{word: by how many bytes it moves} where the next step's rows begin `rows` rows further."""
        return {j: rows * slot.row * slot.array.dtype.itemsize for j, slot, _ in self.places}

    def at(self, start) -> Call:
        """The call of the step whose rows begin at `start`."""
        words = list(self.call.words)
        for j, slot, offset in self.places:
            words[j] = slot.at(start, offset)
        return replace(self.call, words=words)


def _plan(build: Lowering, step: Callable, size: int, packed: dict) -> list[Call]:
    """The calls of one step; of what `packed` has, none is packed again."""
    part = Lowering(build.instruction)
    part.node = Slot(build.output())  # none of its results are new memory
    LOWERING.append(part)
    try:
        step(part, size)
    finally:
        LOWERING.pop()
    kept = {r for s in part.statements for r in s.writes if not isinstance(r, Temporary)}
    items = group(with_sums(settled(part.statements, kept), kept), kept)
    drop_dead(items, kept)
    calls: list[Call] = []
    for item in items:
        if isinstance(item, Group):
            calls += emit(item.builder.finish())
        elif isinstance(item, Multiply):
            item.reused = True
            item.plan()
            calls += packed_once(item.calls, packed)
        else:
            raise NotLowered("a recurrent layer's step")
    return calls
