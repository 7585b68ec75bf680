"""Reverse-mode differentiation over the trace: `backward` and `grad`.

The autograd graph is the trie itself: a node knows its inputs, an operator its gradient rules, and
rules are written with ordinary operators, so gradients are recorded like everything else. A `Plan`
says, for one set of roots in one stretch of the trie, which operations are differentiated in which
order and which saved values that needs. `sweep` (in sweep.py) follows a plan once; the operations it
recorded are remembered as one macro edge, so that the next backward() at the same place is one
lookup.

History that lies in executed segments is swept segment by segment, newest first; each of those is
a macro edge of its own.
"""

from __future__ import annotations

from heapq import heappop, heappush

from . import overrides, segments, trie
from .meta import at_offset
from .plan import make_plan, op_node, rule_saves
from .record import needed_rules, site
from .segments import end_segment, enter
from .sweep import ANOMALY, fitted, handles_here, handles_of, hooked, sweep, total
from .tensor import Tensor
from .trie import (
    FUNCTION,
    HAS_HISTORY,
    LEAF,
    LOCK,
    MACRO,
    MODE,
    RECORDER,
    TRUE_LEAF,
    VARIABLE,
    Macro,
    add_child,
    child,
    make_node,
)

new = object.__new__
ENDINGS: list = []  # what is to be called when backward() or grad() is over
FREED = trie.Special("freed")  # saved values of the swept operations are gone


def _switch(tr, enabled):
    """`set_grad` that never ends the segment."""
    if tr.grad_on is enabled:
        return
    tr.grad_on = enabled
    st = tr.st
    if st.slot < 0:
        tr.st = trie.ROOTS[enabled]
        return
    with LOCK:
        key = trie.mode_key(enabled)
        v = child(st, key)
        if v is None:
            from .segments import _NOTHING

            v = make_node(st, MODE, (), (), _NOTHING, False)
            v.grad_on = enabled
            add_child(st, key, v)
        tr.st = v


def origin(tr, t):
    """Where a tensor's history is: (None, node) here, (Segment, node) executed, or (leaf, None)."""
    base = t._base
    if base is not None and t._s.rg and t._generation != t._storage.generation:
        enter(tr, t)
    if t._tr is not None and t._tr is not tr:
        end_segment(t._tr)
    s = t._s
    if t._tr is tr and s.op is not LEAF and s.op is not VARIABLE:
        return None, s
    if t._history is not None and s.op is not VARIABLE:
        return t._history
    return t, None


def _seeds(tr, tensors, gradients):
    """Pairs of root tensor and its cotangent (None for an implicit one)."""
    if gradients is None:
        gradients = (None,) * len(tensors)
    if len(gradients) != len(tensors):
        raise RuntimeError("got {} tensors and {} gradients".format(len(tensors), len(gradients)))
    pairs = []
    for i, (t, g) in enumerate(zip(tensors, gradients, strict=True)):
        if not t._s.rg:
            raise RuntimeError(
                f"element {i} of tensors does not require grad and does not have a grad_fn"
            )
        if g is None:
            if t._s.m.numel != 1:
                raise RuntimeError(
                    "grad can be implicitly created only for scalar outputs, not for shape "
                    f"{list(t.shape)}: pass gradient="
                )
            if t._s.m.dtype.is_complex:
                raise RuntimeError(
                    "grad can be implicitly created only for real scalar outputs but got "
                    f"torch.{t.dtype.name}"
                )
        else:
            if not isinstance(g, Tensor):
                raise TypeError("gradients can be either Tensors or None, but got "
                                + type(g).__name__)
            if g.shape != t.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and "
                    f"output[{i}] has a shape of {t.shape}."
                )
        pairs.append((t, g))
    return pairs


def run(tensors, gradients, retain, create, wanted=None, leaf_ids=None):
    """Differentiate; returns ({id(leaf): (leaf, gradient)}, {(segment, node): gradient})."""
    tr = RECORDER.tr
    if tr.st.slot > trie.SOFT_OPS:
        end_segment(tr)
    pairs = _seeds(tr, tensors, gradients)
    retain = create if retain is None else retain
    frontier: dict = {}
    newest: list = []  # (-serial, segment) of those in the frontier that were executed: a heap
    leaf_grads: dict = {}
    found: dict = {}

    def to_leaf(leaf, g):
        if not leaf._s.rg:
            return
        known = leaf_grads.get(id(leaf))
        leaf_grads[id(leaf)] = (leaf, g if known is None else total(known[1], g))

    def to_node(segment, node, g):
        seeds = frontier.get(segment)
        if seeds is None:
            seeds = frontier[segment] = []
            if segment is not None:
                heappush(newest, (-segment.serial, id(segment), segment))
        seeds.append((node, g))

    previous = tr.grad_on
    places = [origin(tr, t) for t, _ in pairs]
    for (t, g), (segment, node) in zip(pairs, places, strict=True):
        if node is None:
            _switch(tr, create)
            to_leaf(t, _ones(t) if g is None else g)
        else:
            to_node(segment, node, g)
    here_wanted = None if wanted is None else {}
    if wanted is not None:
        for segment, node in wanted:
            if node is not None:
                here_wanted.setdefault(segment, set()).add(node)
    swept: set = set()  # ends of segments whose gradients the running segment has
    try:
        while frontier:
            segment = None if None in frontier else heappop(newest)[2]
            seeds = frontier.pop(segment)
            if segment is not None:
                final = segment.final
                repeats = final in swept and tr.st.slot > trie.SWEPT_OPS and not (tr.sweeping or tr.whole)
                if (final.ends or repeats) and tr.st.slot >= 0:
                    end_segment(tr)  # so that the gradients of blocks are one path, as the blocks are
                    swept.clear()
                swept.add(final)
            nodes_wanted = None
            if wanted is not None:
                nodes_wanted = frozenset(here_wanted.get(segment, ())) | _leaf_nodes(
                    tr if segment is None else segment, leaf_ids
                ) | {None}
            results, captured, leaves = _sweep_segment(
                tr, segment, seeds, nodes_wanted, retain, create
            )
            for n, g in captured:
                key = (segment, n)
                found[key] = g if key not in found else total(found[key], g)
            for v, g in results:
                target = leaves[v.number]
                if v.op is LEAF and v.args[0] == HAS_HISTORY:
                    to_node(target[0], target[1], g)
                else:
                    to_leaf(target, g)
            _switch(tr, create)
        return leaf_grads, found, previous
    except BaseException:
        _switch(tr, previous)
        raise


def at_end(call) -> None:
    """Call `call()` when the differentiation that runs is over."""
    ENDINGS.append(call)


def _end() -> None:
    while ENDINGS:
        ENDINGS.pop(0)()


def leaves_of(tensors):
    """The leaf tensors that the gradients of `tensors` reach."""
    tr = RECORDER.tr
    found, seen = {}, set()
    stack = [origin(tr, t) if t._s.rg else (t, None) for t in tensors]
    while stack:
        segment, node = stack.pop()
        if node is None:
            if segment._s.rg:
                found[id(segment)] = segment
        elif (segment, node) not in seen:
            seen.add((segment, node))
            leaves = (segment or tr).leaves
            for v in (make_plan((node,)) if segment is None else
                      _plan_of(segment.final, (node,), None)).nodes:
                if v.op is LEAF or v.op is VARIABLE:
                    x = leaves[v.number]
                    history = v.op is LEAF and v.args[0] == HAS_HISTORY
                    stack.append(x[:2] if history else (x, None))
    return list(found.values())


def _leaf_nodes(where, ids):
    """The leaf nodes of the tensors with these ids in a segment."""
    if not ids or where.leaves is None:
        return frozenset()
    numbers = {i for i, x in enumerate(where.leaves) if id(x) in ids}
    if not numbers:
        return frozenset()
    v = where.st if hasattr(where, "st") else where.final
    found = set()
    while v is not None:
        if v.op in (LEAF, VARIABLE) and v.number in numbers:
            found.add(v)
        v = v.parent
    return frozenset(found)


def _ones(t):
    from .layouts import filled_like

    return filled_like(t._s.m, 1)


def _sweep_segment(tr, segment, seeds, wanted, retain, create):
    """Sweep the running segment (None) or an executed one, as a macro edge when possible."""
    if segment is None:
        hooks, leaves = tr.hooks, tr.leaves
    else:
        hooks, leaves = segment.hooks, segment.leaves
    roots = tuple([n for n, _ in seeds])
    if segment is None:
        plan = None
        source = "here"
    else:
        plan = _plan_of(segment.final, roots, wanted)
        source = plan
        held = handles_of(segment, plan, create)
    saves = ()
    if segment is not None:
        held = {n: segments.entered(tr, h) for n, h in held.items()}
        saves = tuple([h._s for h in held.values()])
    seeds = [(n, g if g is None else segments.entered(tr, _at_start(g))) for n, g in seeds]
    cotangents = tuple([None if g is None else g._s for _, g in seeds])
    key = None
    if not hooks and not ANOMALY[0]:
        key = (MACRO, source, roots, cotangents, saves, wanted, create, retain)
        macro = child(tr.st, key)
        if macro is not None:
            if segment is not None and not retain:
                _free(segment, macro.plan)
            return (*_replay(tr, macro), leaves)
    if plan is None:
        plan = make_plan(roots, wanted)
        held = handles_here(tr, plan, tr.st.freed)
    st0 = tr.st
    serial = tr.serial
    scalars0, leaves0 = len(tr.scalars), len(tr.leaves)
    frozen = st0.frozen
    previous = tr.grad_on
    _switch(tr, create)
    grads: dict = {}
    for n, g in seeds:
        if g is None:
            from .layouts import filled_like

            g = filled_like(n.m, 1)
        g = fitted(g, n.m)
        slots = grads.setdefault(op_node(n), {})
        slots[n] = slots[n] + g if n in slots else g
    nested, tr.sweeping = tr.sweeping, tr.sweeping or site()
    half, tr.autocast = tr.autocast, None  # gradients keep the dtypes of the forward pass
    try:
        results, captured = sweep(plan, grads, held, hooks, leaves, segment)
    finally:
        tr.sweeping, tr.autocast = nested, half
    results = [(v, _owned(g, v.m, results, captured, hooks)) if v.op is VARIABLE or
               v.args[0] == TRUE_LEAF else (v, g) for v, g in results]
    _switch(tr, previous)
    if not retain:
        for v in plan.nodes if plan.functions else ():
            if v.op is FUNCTION:
                leaves[v.number].free()
        if segment is None:
            if tr.serial == serial:
                _free_here(tr, plan, roots)
        else:
            _free(segment, plan)
    if key is not None and not plan.functions and tr.serial == serial and not frozen:
        macro = new(Macro)
        macro.final = tr.st
        macro.results = (
            [(v, _nodes(g)) for v, g in results],
            [(v, _nodes(g)) for v, g in captured],
        )
        macro.scalars = tr.scalars[scalars0:]
        macro.leaves = [(x, b) for x, b in zip(tr.leaves[leaves0:], tr.bufs[leaves0:], strict=True)]
        macro.plan = plan
        if all(x._tr is tr for _, g in (*results, *captured) for x in _parts(g)):
            add_child(st0, key, macro)
    return results, captured, leaves


def _at_start(g):
    """A gradient that is a part of another one, which an earlier segment made, as memory of its own.

    Where it lies is no part of a key then: gradients of the parts of one tensor (of an episode's losses) are one path.
    """
    m = g._s.m
    if g._tr is not None or not m.offset or g._s.rg or g._base is not None or g._storage is not None or g.is_sparse:
        return g
    t = new(Tensor)
    t._s, t._tr, t._buf = trie.idle(at_offset(m, 0), None if trie.in_inference(g._s) else False), None, g._buf
    return t


def _plan_of(final, roots, wanted):
    """The cached plan for these roots of an executed segment."""
    try:
        plans = final.plans
    except AttributeError:
        plans = final.plans = {}
    plan = plans.get((roots, wanted))
    if plan is None:
        if len(plans) > 16:
            plans.clear()
        plan = plans[roots, wanted] = make_plan(roots, wanted)
    return plan


def _parts(g):
    """The dense tensors that a gradient consists of."""
    return (*g._at, g._entries) if g.is_sparse else (g,)


def _nodes(g):
    """What a macro edge remembers of a gradient: its node; of a sparse one, its maker and nodes."""
    return (g._maker, *[x._s for x in _parts(g)]) if g.is_sparse else g._s


def _handle(tr, node):
    if node.__class__ is tuple:
        maker, *nodes = node
        return maker(*[_handle(tr, n) for n in nodes])
    t = new(Tensor)
    t._s, t._tr = node, tr
    if node.op is LEAF or node.op is VARIABLE:  # a gradient that was passed on as it came: what it is, or with its history
        x = tr.leaves[node.number]
        if isinstance(x, Tensor) and x._s is node:
            return x
        if node.op is LEAF:
            t._buf = tr.bufs[node.number]
            if node.args[0] == HAS_HISTORY:
                t._history = x[:2]
    tr.ts.append(t)
    return t


def _replay(tr, macro):
    """Follow a macro edge: handles for its results."""
    tr.scalars.extend(macro.scalars)
    for x, b in macro.leaves:
        tr.leaves.append(x)
        tr.bufs.append(b)
    tr.st = macro.final
    tr.grad_on = macro.final.grad_on
    return [[(v, _handle(tr, g)) for v, g in pairs] for pairs in macro.results]


def _free_here(tr, plan, roots):
    """Mark the swept operations of the running segment as freed: a path event."""
    st = tr.st
    key = (FREED, roots)
    v = child(st, key)
    if v is None:
        from .segments import _NOTHING

        v = make_node(st, MODE, (), (), _NOTHING, False)
        v.freed = st.freed | plan.swept
        add_child(st, key, v)
    tr.st = v


def _free(segment, plan):
    """Drop the saved values of an executed segment that only swept operations needed."""
    before = segment.freed
    known = plan.freeing.get(before)
    if known is None:
        freed, users = before | plan.swept, _users(segment.final)
        known = freed, [n for n in plan.saves if all(u in freed for u in users.get(n, ()))]
        if len(plan.freeing) > 16:
            plan.freeing.clear()
        plan.freeing[before] = known
    segment.freed, gone = known
    saved = segment.saved
    for n in gone:
        saved.pop(n, None)


def _users(final):
    """{saved value: operations that read it} of a segment; remembered at its last node."""
    try:
        plans = final.plans
    except AttributeError:
        plans = final.plans = {}
    users = plans.get("users")
    if users is None:
        users = plans["users"] = {}
        for v in trie.path_of(final):
            if v.rg and hasattr(v.op, "kinds"):
                for r in needed_rules(v):
                    for n in rule_saves(v, r):
                        users.setdefault(n, []).append(v)
    return users


def _owned(g, m, results, captured, hooks):
    """A leaf's gradient in memory of its own (a hook may have kept it), laid out as the leaf."""
    if g.is_sparse:
        from .layouts import dense_clone

        return g._maker(*[dense_clone(x, x._s.m) for x in _parts(g)])
    s = g._s
    shared = sum(1 for _, other in results if not other.is_sparse and other._s.root is s.root) > 1
    shared = shared or any(not x.is_sparse and x._s.root is s.root for _, x in captured)
    if (
        s.root is not s
        or not hasattr(s.op, "kinds")
        or s.op.view
        or shared
        or s.m.strides != m.strides
        or hooks
    ):
        from .layouts import dense_clone

        return dense_clone(g, m)
    return g


def backward(tensors, gradients=None, retain_graph=None, create_graph=False, inputs=None):
    """torch.autograd.backward on sequences: accumulate into the leaves' `grad`."""
    if overrides.OTHERS:
        tensors, gradients = _entries(tensors, gradients)
        if inputs is not None:
            inputs, _ = _entries((inputs,) if isinstance(inputs, Tensor) else inputs)
    tr = RECORDER.tr
    wanted = ids = None
    if inputs is not None:
        inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        wanted = [origin(tr, t) for t in inputs]
        ids = {id(t) for t, (_, node) in zip(inputs, wanted, strict=True) if node is None}
    leaf_grads, found, previous = run(
        tensors, gradients, retain_graph, create_graph, wanted, ids
    )
    try:
        for leaf, g in leaf_grads.values():
            if ids is None or id(leaf) in ids:
                accumulate(leaf, g, create_graph)
        if inputs is not None:
            for t, place in zip(inputs, wanted, strict=True):
                g = found.get(place)
                if g is not None:
                    accumulate(t, g, create_graph)
        if ENDINGS:
            _end()
    finally:
        _switch(RECORDER.tr, previous)
    if trie.EAGER:
        end_segment(tr)


def _entries(tensors, gradients=None):
    """Sparse tensors' entries in their place, and their cotangents'."""
    pairs = zip(tensors, gradients or (None,) * len(tensors), strict=True)
    pairs = [
        (t, g) if t.__class__ not in overrides.OTHERS else
        (t._entries, None if g is None else t._aligned(g)) for t, g in pairs
    ]
    return tuple([t for t, _ in pairs]), None if gradients is None else tuple([g for _, g in pairs])


def accumulate(leaf, g, create_graph=False) -> None:
    """Add a gradient to a leaf's `grad`, after its hooks."""
    if leaf._hooks:
        from .layouts import dense_clone

        g = hooked(leaf._hooks, g)
        g = g.clone() if g.is_sparse else dense_clone(g, leaf._s.m)
    before = leaf._grad
    if before is None:
        leaf._grad = g
    elif create_graph or before.is_sparse and not g.is_sparse:
        leaf._grad = total(before, g)
    else:
        before.add_(g)
    for hook in list(leaf._post_hooks.values()) if leaf._post_hooks else ():
        hook(leaf)


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False,
         allow_unused=None, materialize_grads=False):
    """torch.autograd.grad on sequences: gradients of `outputs` with respect to `inputs`."""
    if overrides.OTHERS and overrides.in_other_layout((*outputs, *inputs), {}) is not None:
        outputs, grad_outputs = _entries(outputs, grad_outputs)
        made = grad(outputs, _entries(inputs)[0], grad_outputs, retain_graph, create_graph,
                    allow_unused, materialize_grads)
        return tuple([
            g if g is None or t.__class__ not in overrides.OTHERS else t._gradient(g)
            for t, g in zip(inputs, made, strict=True)
        ])
    tr = RECORDER.tr
    for t in inputs:
        if not t._s.rg:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    wanted = [origin(tr, t) for t in inputs]
    ids = {id(t) for t, (_, node) in zip(inputs, wanted, strict=True) if node is None}
    leaf_grads, found, previous = run(
        outputs, grad_outputs, retain_graph, create_graph, wanted, ids
    )
    made = []
    try:
        for t, place in zip(inputs, wanted, strict=True):
            if place[1] is None:
                g = leaf_grads[id(t)][1] if id(t) in leaf_grads else None
                if t._hooks and g is not None:
                    g = hooked(t._hooks, g)
            else:
                g = found.get(place)
            if g is None and materialize_grads:
                from .layouts import filled_like

                g = filled_like(t._s.m, 0)
            if g is None and not allow_unused:
                raise RuntimeError(
                    "One of the differentiated Tensors appears to not have been used in the graph. "
                    "Set allow_unused=True if this is the desired behavior."
                )
            made.append(g)
        if ENDINGS:
            _end()
    finally:
        _switch(RECORDER.tr, previous)
    if trie.EAGER:
        end_segment(tr)
    return tuple(made)
