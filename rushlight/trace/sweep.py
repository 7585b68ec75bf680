"""Following a plan of differentiation once: saved values, gradient rules, hooks.

`handles_here` and `handles_of` give handles on the saved values that a plan needs, in the running
segment or in an executed one; `sweep` calls the rules with them, newest operation first, and hands
gradients on. Everything is recorded: `engine.py` remembers it as a macro edge.
"""

from __future__ import annotations

import numpy as np

from . import overrides, trie
from .meta import on, weak_meta
from .names import grad_name
from .plan import AS_TENSORS, FUNCTION_OUT, differentiable, rule_saves
from .tensor import Parameter, Tensor, array, without_values
from .trie import (
    FUNCTION,
    HAS_HISTORY,
    LEAF,
    REBASE,
    RECORDER,
    RESTRIDE,
    SCALAR,
    VARIABLE,
    WRITE,
    add_child,
    child,
    make_node,
)

new = object.__new__
BEFORE, AFTER = "before", "after"  # (one of these, operation): the hooks of a gradient node

ANOMALY = [False]
FREED_MESSAGE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they "
    "have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


# ---------------------------------------------------------------- saved values


def _check_unwritten(v, slot, writes):
    while writes is not None and writes.slot > slot:
        if writes.root is v.root:
            raise _modified(v)
        writes = writes.before


def _modified(v, versions=None):
    made = f"[{v.m.dtype.name} {list(v.m.shape)}]"
    place = trie.site_of(v)
    site = f", recorded at {place[0]}:{place[1]}" if place else ""
    was = f" is at version {versions[1]}; expected version {versions[0]} instead" if versions else ""
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: {made}, output of {v.op.name}{site}{was}. Hint: clone() the tensor before "
        "writing to it."
    )


def handles_here(tr, plan, freed):
    """Handles on the saved values of a plan in the running segment."""
    held = {}
    writes = tr.st.writes
    for v, rules in plan.rules.items():
        for r in rules:
            for n in rule_saves(v, r):
                if v in freed:
                    raise RuntimeError(FREED_MESSAGE)
                if n.op is SCALAR:
                    if n not in held:
                        held[n] = _weak_handle(tr, n)
                    continue
                _check_unwritten(n, v.slot, writes)
                if n in held:
                    continue
                x = tr.leaves[n.number] if n.op is LEAF or n.op is VARIABLE else None
                if x.__class__ in (Tensor, Parameter) and x._s is n:
                    held[n] = x  # (so that it stays the leaf if a rule ends the segment)
                    continue
                t = new(Tensor)
                t._s, t._tr = n, tr
                if n.op is LEAF:
                    t._buf = tr.bufs[n.number]
                    if n.args[0] == HAS_HISTORY:
                        t._history = x[:2]
                elif tr.immediate:
                    t._buf = tr.saved.get(n)
                tr.ts.append(t)
                held[n] = t
    return held


def _weak_handle(tr, n):
    t = new(Tensor)
    t._s, t._tr, t._buf = n, tr, tr.scalars[n.number]
    tr.ts.append(t)
    return t


def handles_of(segment, plan, create):
    """Handles on the saved values of a plan in an executed segment."""
    tr = RECORDER.tr
    held = {}
    saved, versions, leaves, writes = segment.saved, segment.versions, segment.leaves, segment.final.writes
    if segment.freed and not plan.savers.isdisjoint(segment.freed):
        raise RuntimeError(FREED_MESSAGE)
    idle = trie.idle
    for n, slot in plan.saves.items():
        try:
            value, op = saved[n], n.op
        except KeyError:
            raise RuntimeError(FREED_MESSAGE) from None
        if op is SCALAR:
            held[n] = scalar_entry(tr, value)
            continue
        if writes is not None:
            _check_unwritten(n, slot, writes)
        known = versions.get(n)
        if known is not None:
            storage, version = known
            if storage.version != version:
                raise _modified(n, (version, storage.version))
            if op is LEAF and n.args[0] != HAS_HISTORY:
                t = leaves[n.number]
                if t._buf is value or not t._storage or not t._storage.exposed:
                    held[n] = t
                    continue
        t = held[n] = new(Tensor)
        t._tr = t._base = t._storage = None
        t._buf = value
        if create and n.rg:
            t._s = idle(n.m, True)
            history = leaves[n.number] if op is LEAF else (segment, n)
            if not isinstance(history, Tensor):
                t._history = history[:2]
        else:
            t._s = idle(n.m, False)
    return held


def scalar_entry(tr, value):
    """A saved Python number as a runtime scalar of the running segment."""
    key = (SCALAR, value.__class__)
    v = child(tr.st, key)
    if v is None:
        from .segments import run_unless_deferred

        run_unless_deferred(tr, key)
        st = tr.st
        v = make_node(st, SCALAR, (), (), weak_meta(value.__class__), False)
        v.number = len(tr.scalars)
        add_child(st, key, v)
    tr.st = v
    tr.scalars.append(value)
    t = new(Tensor)
    t._s, t._tr, t._buf = v, tr, value
    tr.ts.append(t)
    return t


# ---------------------------------------------------------------- the sweep


def call_rule(v, r, g, held):
    """Gradients of the inputs that rule `r` of operation `v` serves."""
    arguments = []
    for what, i in r.reads:
        if what == "g":
            x = g
        elif what == "value":
            x = v.args[i]
            if x.__class__ is trie.Node:
                x = held[x]
            elif x.__class__ is tuple and x and x[0].__class__ is trie.Node:
                x = tuple([held[n] for n in x])
        elif what == "out":
            x = tuple([held[n] for n in v.outs]) if v.outs else held[v]
        elif what == "one":
            x = held[v.outs[i]]
        elif what == "out_meta":
            x = tuple([n.m for n in v.outs]) if v.outs else v.m
        elif what == "need":
            x = tuple([_needs(v.args[j]) for j in r.params])
        else:
            x = v.args[i]
            if x.__class__ is trie.Node:
                x = x.m
            elif x.__class__ is tuple and x and x[0].__class__ is trie.Node:
                x = tuple([n.m for n in x])
        arguments.append(x)
    if overrides.ACTIVE[0] and any([isinstance(x, Tensor) and type(x) not in (Tensor, Parameter) for x in arguments]):
        with overrides.DisableTorchFunction():  # rules know nothing of subclasses
            return r.fn(*arguments)
    return r.fn(*arguments)


def fitted(gradient, m):
    """A gradient summed to the shape, and cast to the dtype, of the value it belongs to."""
    if gradient.is_sparse:
        return gradient if gradient.dtype is m.dtype else gradient.to(m.dtype)
    gm = gradient._s.m
    if gm is m:
        return gradient
    if gm.device is not m.device:  # made of constants
        gradient = without_values(on(gm, m.device))
    if gm.shape != m.shape:
        gradient = gradient.sum_to_size(m.shape)
    if gm.dtype is not m.dtype:
        if gm.dtype.is_complex and not m.dtype.is_complex:
            gradient = gradient.real
        if gradient.dtype is not m.dtype:
            gradient = gradient.to(m.dtype)
    return gradient


def total(a, b):
    """The sum of two gradients of one value; each may be sparse (a table's: the rows that were read)."""
    return b + a if a.is_sparse and not b.is_sparse else a + b


def hooked(hooks, g):
    """A gradient after a tensor's hooks: each may return another one of the same type and size.

    Raises TypeError and RuntimeError for what is not.
    """
    for hook in list(hooks.values()):
        changed = hook(g)
        if changed is None:
            continue
        if not isinstance(changed, Tensor):
            raise TypeError(f"expected Variable, but hook returned '{type(changed).__name__}'")
        name = getattr(hook, "__name__", type(hook).__name__)
        if changed.dtype is not g.dtype:
            raise RuntimeError(
                f"hook '{name}' has changed the type of value (was {g.dtype} got {changed.dtype})"
            )
        if changed.shape != g.shape:
            raise RuntimeError(
                f"hook '{name}' has changed the size of value: {list(g.shape)} became "
                f"{list(changed.shape)}"
            )
        g = changed
    return g


def _call_before(hooks, v, slots):
    """Hooks on the gradients of a node's outputs, those of its tensors and its own."""
    for n in list(slots):
        found = hooks.get(n)
        if found is not None:
            slots[n] = hooked(found, slots[n])
    outs = _outputs(v, slots)
    for hook in list(hooks.get((BEFORE, v), {}).values()):
        changed = hook(tuple([slots.get(n) for n in outs]))
        if changed is not None:
            slots.update((n, g) for n, g in zip(outs, changed, strict=True) if g is not None)
    for n in list(slots):
        last = getattr(hooks.get(n), "last", None)
        if last is not None:
            last(slots[n])


def _outputs(v, slots):
    return range(max(slots) + 1) if v.op is FUNCTION else v.outs or (v,)


def _call_after(hooks, v, slots, given):
    """The gradients of a node's inputs after its hooks. given: [(input, gradient or None)]."""
    after = hooks.get((AFTER, v)) if hooks else None
    if not after:
        return given
    outs = tuple([slots.get(n) for n in _outputs(v, slots)])
    for hook in list(after.values()):
        changed = hook(tuple([g for _, g in given]), outs)
        if changed is not None:
            changed = changed if isinstance(changed, tuple) else (changed,)
            given = [(n, g) for (n, _), g in zip(given, changed, strict=True)]
    return given


def sweep(plan, grads, held, hooks, leaves, segment=None):
    """Follow a plan. grads: {operation: {output: gradient}}. Returns [(leaf or wanted node, gradient)]."""
    results, captured = [], []
    wanted = plan.wanted

    def give(n, gradient):
        if gradient is None:
            return
        target = n.ins[0] if n.op is trie.GET else n
        gradient = fitted(gradient, n.m)
        slots = grads.get(target)
        if slots is None:
            grads[target] = {n: gradient}
            return
        before = slots.get(n)
        slots[n] = gradient if before is None else total(before, gradient)

    for v in plan.nodes:
        slots = grads.pop(v, None)
        if slots is None:
            continue
        if v.op is not VARIABLE and (v.op is not LEAF or v.args[0] == HAS_HISTORY):
            for n, g in slots.items():
                if g is not None and g.is_sparse:  # only a leaf's gradient stays so
                    slots[n] = g.to_dense()
        if hooks:
            _call_before(hooks, v, slots)
        if wanted is not None:
            for n, g in slots.items():
                if n in wanted:
                    captured.append((n, g))
        op = v.op
        if op is LEAF or op is VARIABLE:
            results.append((v, slots[v]))
        elif op is WRITE:
            give(v.ins[1], slots[v])
        elif op is RESTRIDE:
            give(v.ins[0], _restride_gradient(slots[v], v))
        elif op is REBASE:
            if v.args[2] is not None:
                kept, written = _rebase_gradients(slots[v], v)
                give(v.ins[0], kept)
                give(v.ins[1], written)
        elif op is FUNCTION_OUT:
            grads.setdefault(v.ins[1], {})[v.number] = slots[v]
        elif op is FUNCTION:
            given = leaves[v.number].run_backward(slots, segment)
            if ANOMALY[0]:
                _check_nan(v, given)
            for n, gradient in _call_after(hooks, v, slots, given):
                give(n, gradient)
        else:
            g = tuple([slots.get(n) for n in v.outs]) if v.outs else slots[v]
            parts = {}
            for r in plan.rules[v]:
                made = call_rule(v, r, g, held)
                if r.joint:
                    parts.update(zip(r.params, made, strict=True))
                else:
                    parts[r.params[0]] = made
            given = _by_input(v, parts)
            if ANOMALY[0]:
                _check_nan(v, given)
            if hooks:
                given = _call_after(hooks, v, slots, given)
            for n, gradient in given:
                if gradient is not None and n is not None and n.rg:
                    give(n, gradient)
    return results, captured


def _by_input(v, parts):
    """[(input, gradient or None)] in the order of `edges`, from {argument: gradient}."""
    given = []
    for i in differentiable(v.op):
        x, gradient = v.args[i], parts.get(i)
        if x.__class__ is tuple:
            given.extend(zip(x, (None,) * len(x) if gradient is None else gradient, strict=True))
        elif x.__class__ is trie.Node and x.rg:
            given.append((x, None if gradient is None else fitted(gradient, x.m)))
        elif x is None or x.op is not SCALAR or v.op.name in AS_TENSORS:
            given.append((None, None))
    return given


def _needs(x) -> bool:
    if x.__class__ is tuple:
        return any([n.__class__ is trie.Node and n.rg for n in x])
    return x.__class__ is trie.Node and x.rg


def _check_nan(v, given):
    for j, (_, g) in enumerate(given):
        if g is not None and np.isnan(array(g._entries if g.is_sparse else g)).any():
            place = trie.site_of(v)
            site = f" The forward call was at {place[0]}:{place[1]}." if place else ""
            name = v.args[0].__name__ + "Backward" if v.op is FUNCTION else grad_name(v.op, v.args)
            raise RuntimeError(
                f"Function '{name}' returned nan values in its {j}th output.{site}"
            )


def _as_base(g, m):
    """A gradient laid out in memory as its value (Meta `m`) is, in a copy of its own."""
    from .layouts import dense_clone

    return dense_clone(g, m)


def _restride_gradient(g, v):
    """Gradient of a regenerated view: scattered into zeros of the base."""
    base = v.ins[0].m
    m = v.m
    from .layouts import scatter_into_zeros

    return scatter_into_zeros(g, base, m.shape, m.strides, m.offset - base.offset)


def _rebase_gradients(g, v):
    """(gradient of the old base: zero where it was overwritten; gradient of what was written)."""
    shape, strides, offset = v.args[2]
    whole = _as_base(g, v.m)
    region = whole.as_strided(shape, strides, offset)
    written = region.clone()
    kept = None
    if v.ins[0].rg:
        kept = _as_base(g, v.m)
        kept.as_strided(shape, strides, offset).zero_()
    return kept, written
