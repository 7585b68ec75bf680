"""Recording an operation, the plain version: canonical arguments, errors, and the first time.

`record` takes any valid arguments. On an unknown path, `first_time` runs the operator's rule and its
reference and remembers the node. The hot path (`hot.py`) comes here for everything unusual.
"""

from __future__ import annotations

import gc
import os
import sys

import numpy as np

from ..interpret import tier0
from . import dtypes, out_of_memory, overrides, trie
from .device import META
from .meta import Meta, Size, at_offset, on, weak_meta
from .operator import LIST, OPTIONAL, RUNTIME, SCALAR, SIZE, TENSOR, Operator
from .promotion import cast_plan
from .segments import (
    drop_dead,
    end_before_block,
    end_segment,
    enter,
    is_private,
    repeats,
    run_unless_deferred,
    settle,
)
from .tensor import Parameter, Tensor, wrap_shared
from .traceback import PACKAGE, SHOW_INTERNAL
from .trie import GET, LOCK, NO_CHILDREN, RECORDER, Stats, add_child, child, make_node

new = object.__new__
ndarray = np.ndarray
Node = trie.Node
NUMBERS = (bool, int, float, complex)
LAYERS = os.path.join(PACKAGE, "nn")  # whose tensors are the caller's
PLAIN = (Tensor, Parameter)
MOST_REMEMBERED = 4_000  # answers that an operator keeps for inputs of the same kinds
DEFAULT_GENERATOR: list = [None]  # filled by trace/generator.py


def static(x):
    """`x` as part of a key: lists become tuples, NumPy and 0-dim integers become int."""
    c = x.__class__
    if c is int or c is str or c is bool or c is float or x is None:
        return x
    if isinstance(x, (list, tuple)):
        return tuple([static(i) for i in x])
    if isinstance(x, Tensor):
        return x.item()
    if isinstance(x, np.generic):
        return x.item()
    return x


def sizes(x) -> tuple[int, ...]:
    """A shape given as ints, one sequence of ints, or 0-dim tensors."""
    if isinstance(x, (int, np.integer)):
        x = (x,)
    if len(x) == 1 and isinstance(x[0], (list, tuple)):
        x = x[0]
    try:
        return tuple([n if type(n) is int else n.__index__() for n in x])
    except AttributeError:
        kinds = ", ".join(type(n).__name__ for n in x)
        raise TypeError(f"argument 'size' must be tuple of ints, but got ({kinds})") from None


def _wrong_type(o: Operator, i: int, x, expected: str):
    shown = type(x).__name__
    return TypeError(
        f"{o.name.strip('_')}(): argument '{o.names[i]}' (position {i + 1}) must be {expected}, "
        f"not {shown}"
    )


def _number(x):
    """`x` as a Python number, or None."""
    if x.__class__ in NUMBERS:
        return x
    if isinstance(x, NUMBERS):
        return next(k for k in NUMBERS if isinstance(x, k))(x)
    if isinstance(x, np.number) or isinstance(x, np.bool_):
        return x.item()
    return None


def _tensor_of(number):
    """A 0-dim tensor of a Python number, in the dtype that torch.tensor() gives it."""
    from .tensor import wrap

    if number.__class__ is float:
        kind = dtypes.get_default_dtype()
    elif number.__class__ is complex:
        wide = dtypes.get_default_dtype() is dtypes.float64
        kind = dtypes.complex128 if wide else dtypes.complex64
    else:
        kind = dtypes.bool_ if number.__class__ is bool else dtypes.int64
    return wrap(np.array(number, kind.np))


def record(o: Operator, args: tuple, copies: dict | None = None):
    """Record an operator with any valid arguments: the plain version of a compiled recorder.

    copies: {id of an argument: the leaf that a copy of it is} where the caller has entered one.
    """
    if o.view and args and args[0].__class__ in PLAIN and _in_memory(args[0]):
        return _view_at_once(o, args)
    with LOCK:
        tr = RECORDER.tr
        key, values, scalars, held = [o], [], [], []
        for i, (kind, x) in enumerate(zip(o.kinds, args, strict=True)):
            if kind == TENSOR or kind == OPTIONAL:
                if isinstance(x, Tensor):
                    held.append(x)
                elif x is None and kind == OPTIONAL:
                    pass
                else:
                    able = o.numbers and o.casts[i] and (i or o.numbers != "other")
                    number = _number(x) if able else None
                    if number is None:
                        raise _wrong_type(o, i, x, "Tensor")
                    x = number
            elif kind == LIST:
                if isinstance(x, Tensor):
                    raise _wrong_type(o, i, x, "tuple of Tensors")
                x = tuple(x)
                for j, e in enumerate(x):
                    if not isinstance(e, Tensor):
                        raise TypeError(
                            f"expected Tensor as element {j} in argument {i}, but got "
                            f"{type(e).__name__}"
                        )
                held.extend(x)
            elif kind == SCALAR:
                if isinstance(x, Tensor) and x.numel() == 1:
                    x = x.item()
                number = _number(x)
                if number is None:
                    raise _wrong_type(o, i, x, "Number")
                x = number
            elif kind == RUNTIME:
                x = DEFAULT_GENERATOR[0] if x is None else x
            elif kind == SIZE:
                x = sizes(x)
            else:
                x = static(x)
            values.append(x)
        if not held and o.numbers == "any":
            raise _wrong_type(o, 0, values[0], "Tensor")
        if not held and o.numbers == "all":  # the first becomes a tensor
            values[0] = _tensor_of(values[0])
            held.append(values[0])
        entered = copies or {}  # all inside the trace before the state is read: entering may flush
        serial = tr.serial
        for x in held:
            if id(x) not in entered:
                entered[id(x)] = x._s if x._tr is tr else enter(tr, x)
        nodes = []
        for kind, x in zip(o.kinds, values, strict=True):
            if isinstance(x, Tensor) and kind <= OPTIONAL:
                nodes.append(entered[id(x)])
                key.append(nodes[-1])
            elif kind == LIST:
                nodes.append(tuple([entered[id(e)] for e in x]))
                key.append(nodes[-1])
            elif kind == SCALAR or (kind <= OPTIONAL and x is not None):
                nodes.append(x)
                key.append(x.__class__)
                scalars.append(x)
            elif kind == RUNTIME:
                nodes.append(x)
                scalars.append(x)
            else:
                nodes.append(x)
                key.append(x)
        key = tuple(key)
        if tr.serial != serial:  # a destructor has ended the segment meanwhile
            return _undisturbed(o, args)
        try:
            v = child(tr.st, key)
        except TypeError:
            bad = next(n for n, x in zip(o.names, values, strict=True) if not _hashable(x))
            raise TypeError(f"{o.name}(): argument '{bad}' has an unsupported type") from None
        arrays = None
        if v is None:
            try:
                v, arrays = first_time(tr, o, key, nodes, values)
            except _Again:
                raise
            except Exception:
                end_segment(tr)  # what follows must not go on from here as a known path
                raise
        tr.scalars.extend(scalars)
        t = new(Tensor)
        t._tr = tr
        t._s = tr.st = v
        tr.ts.append(t)
        if arrays is not None:
            t._buf = arrays[0] if v.outs else arrays
            if v.nbytes > tr.prune_at:
                drop_dead(tr)
        result = t
        if o.mutates:
            tr.ts.pop()
            result = None
            if written_to([values[i] for i in o.mutates]):
                end_segment(tr)
        elif o.view or v.outs:
            from .forms import finish

            result = finish(o, tr, t, values[0], arrays)
        if trie.EAGER:
            end_segment(tr)
        return result


def _in_memory(t) -> bool:
    """Whether a view of `t` can be made at once: its value is there and has no history."""
    s = t._s
    if s.rg or (t._base is not None and t._base._s.rg):
        return False
    if RECORDER.tr.sweeping:  # the view would be a constant of the macro edge
        return False
    op = s.op
    if op is trie.IDLE:
        return True
    return op is trie.LEAF and t._tr is RECORDER.tr and t._tr.st.writes is None and not s.frozen


_geometries: dict = {}  # (view operator, Meta, arguments): Meta without offset, offset, arguments, bytes: strides, offset; function


def _is_constant(x) -> bool:
    """Whether this consists of numbers and shapes alone: what it says cannot change."""
    c = x.__class__
    return c is int or x is None or ((c is tuple or c is Size) and all([_is_constant(i) for i in x]))


def _in_bytes(m, out):
    """Strides and offset in bytes of a view in a contiguous array of Meta `m`; None if it lies elsewhere or is of another kind."""
    size = m.dtype.itemsize
    start = out.offset - m.offset
    end = start + sum([(n - 1) * s for n, s in zip(out.shape, out.strides, strict=True)])
    if m.placeholder is not None or out.dtype is not m.dtype or not out.numel or start < 0 or end >= m.numel:
        return None, 0
    return tuple([n * size for n in out.strides]), start * size


def _view_at_once(o: Operator, args):
    """A view of memory that is there: made now, outside of the trace.

    So an index that changes from step to step (a loop over batches) is no part of any key, nor is
    the view's offset: it is kept apart from the Meta.
    """
    source = args[0]
    storage = source._storage
    if storage is None:
        storage = source.storage_identity()
    if source._tr is not None or storage.recorder is not None or source._base is not None:
        settle(source)
    if storage.exposed and source._base is None and is_private(source):
        storage.exposed = False
    m = source._s.m
    given = args[1:]
    try:
        known = _geometries.get((o, m, given))
    except TypeError:  # a list among the arguments
        known = None
    if known is None:
        args = (source, *[
            sizes(x) if kind == SIZE else static(x)
            for kind, x in zip(o.kinds[1:], args[1:], strict=True)
        ])
        out = on(o.rule(m, *args[1:]), m.device)
        run = o.reference if out.placeholder is None else tier0.without_values(o, at_offset(out, 0)).function
        known = at_offset(out, 0), out.offset, args[1:], *_in_bytes(m, out), run
        if len(_geometries) > MOST_REMEMBERED:
            _geometries.clear()
        _geometries[o, m, given if _is_constant(given) else args[1:]] = known
    out, offset, statics, strides, start, run = known
    t = new(Tensor)
    t._tr = None
    buf = source._buf
    if strides is not None and buf.flags.c_contiguous:
        t._buf = ndarray(out.shape, buf.dtype, buf, start, strides)  # NumPy's own functions take ten times as long
    else:
        t._buf = run(buf, *statics)
    t._s = trie.idle(out, None if trie.in_inference(source._s) else False)
    before = source._offset
    if before and m.dtype is not out.dtype:
        before = before * m.dtype.itemsize // out.dtype.itemsize
    t._offset = offset + before
    t._storage = storage
    base = source._base
    t._base = source if base is None else base
    t._generation = storage.generation
    return t


def link(t, base):
    """Make `t` a view of `base`: the same storage, and the tensor whose history writes go to."""
    t._storage = base._storage or base.storage_identity()
    owner = base._base
    if owner is None:
        t._base = base
    else:
        t._base = owner
        if base._offset:
            t._offset = base._offset * base._s.m.dtype.itemsize // t._s.m.dtype.itemsize
    t._generation = t._storage.generation
    return t


def _undisturbed(o: Operator, args: tuple):
    """`record` without Python's collector, whose destructors could end the segment between two operands again."""
    on = gc.isenabled()
    gc.disable()
    try:
        return record(o, args)
    finally:
        if on:
            gc.enable()


def view(o: Operator, args):
    """A view operator whose input may be memory that is there: `record` without its detours."""
    if args[0].__class__ in PLAIN and _in_memory(args[0]):
        return _view_at_once(o, args)
    return record(o, args)


def written_to(tensors) -> bool:
    """Note a write into each tensor's memory; whether NumPy can see any of it."""
    exposed = False
    for x in tensors:
        if x is not None:
            storage = x._storage or x.storage_identity()
            storage.version += 1
            exposed = exposed or storage.exposed
    return exposed


def _hashable(x) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def missed(o: Operator, tr, key, args: tuple):
    """A compiled recorder found no edge for a canonical key whose operands are in the segment.

    The first time of operators on plain tensors, without the steps that these do not need; what is
    not plain goes to `record`.
    """
    if tr.st.ends and not tr.whole:
        end_before_block(tr)
        known = o.definition.__code__.co_kwonlyargcount == 0
        return o.record(*args) if known else record(o, args)  # (most of the time the next path is known)
    if o.slow_miss or trie.EAGER:
        return record(o, args)
    nodes = key[1:]
    with LOCK:
        st = tr.st
        if (
            st.slot >= trie.HARD_OPS or st.nbytes > trie.MAX_PENDING_BYTES
            or st.first_key == key or key in st.next
        ):
            return record(o, args)
        metas, ins, arrays, some = [], [], [], False
        for x, value in zip(nodes, args):  # noqa: B905 - as long as the operator's parameters
            if x.__class__ is Node:
                if value._s is not x and not _just_entered(tr, x, value):
                    return record(o, args)  # another thread ended the segment
                metas.append(x.m)
                ins.append(x)
                arrays.append(value._buf)
                some = some or x.rg
            elif x is float or x is int or o.view and not _is_constant(x):
                return record(o, args)
            else:
                metas.append(x)
                arrays.append(x)
        if o.view and ins[0].op is trie.LEAF:
            return record(o, args)  # it may be made at once
        facts = tuple(metas)
        known = o.inferred.get(facts)
        if known is None or known[4] is None:
            return record(o, args, {id(value): x for x, value in zip(nodes, args)  # noqa: B905
                                    if x.__class__ is Node and value._s is not x})
        saving = None
        if some and st.grad_on and known[3]:
            flags = tuple([x.__class__ is Node and x.rg for x in nodes])
            saving = o.saving.get(flags)
            if saving is None:
                saving = o.saving[flags] = _saving(o, flags)
            if saving[2] and any([trie.in_inference(x) for x in ins]):
                return record(o, args)
        place = tr.sweeping or site()
        if repeats(tr, o, key, place):
            end_before_block(tr)
            return record(o, args)
        if not tr.immediate:
            run_unless_deferred(tr, key)
            arrays = [v._buf if x.__class__ is Node else x for x, v in zip(nodes, args)]  # noqa: B905
        out, made = known[1], None
        if tr.immediate:
            try:
                made = tier0.run(known[4], arrays)
            except Exception as e:
                end_segment(tr)
                raise _told(e, o, args) from e.__cause__
        v = new(Node)
        v.next, v.first_key, v.first = NO_CHILDREN, None, None
        v.parent, v.op, v.args, v.m = st, o, nodes, out
        v.ins = nodes if len(ins) == len(nodes) else tuple(ins)
        v.rg = rg = saving is not None and saving[2]
        v.slot = st.slot + 1
        v.outs = v.number = v.programs = None
        v.root = v
        v.grad_on, v.writes, v.freed, v.frozen, v.ends = st.grad_on, st.writes, st.freed, st.frozen, False
        v.nbytes = st.nbytes + out.nbytes
        if o.view:
            v.root, v.nbytes = ins[0].root, st.nbytes
        v.call, v.site = known[4], place
        trie.NODES += 1
        Stats.misses += 1
        add_child(st, key, v)
        if rg and tr.immediate:
            saved = tr.saved
            if saved is None:
                saved = tr.saved = {}
            for i in saving[0]:
                x = nodes[i]
                if x.__class__ is Node:
                    saved[x] = args[i]._buf
            if saving[1]:
                saved[v] = made
        t = new(Tensor)
        t._tr = tr
        t._s = tr.st = v
        t._buf = made
        tr.ts.append(t)
        if v.nbytes > tr.prune_at and tr.immediate:
            drop_dead(tr)
        return link(t, args[0]) if o.view else t


def _just_entered(tr, node, t) -> bool:
    """Whether `node` is a copy of `t` that this call took (memory that NumPy sees)."""
    number = node.number
    return node.op is trie.LEAF and number < len(tr.leaves) and tr.leaves[number] is t


def _saving(o: Operator, flags):
    """(arguments to keep, whether to keep the output, whether any rule applies) for a gradient."""
    keep, out, any_rule = set(), False, False
    for r in o.gradients:
        if any(flags[i] for i in r.params):
            any_rule = True
            keep.update(r.saves)
            out = out or r.saves_out
    return tuple(sorted(keep)), out, any_rule


def first_time(tr, o: Operator, key, nodes, values):
    """Infer, run and remember an operation that was never seen in this context.

    Returns the new node and its result array (a tuple of arrays for several outputs; None where it
    is deferred).
    """
    st = tr.st
    place = tr.sweeping or site()
    if st.ends and not tr.whole or repeats(tr, o, key, place):
        end_before_block(tr)  # then record again from the root
        raise _Again
    if st.slot >= trie.HARD_OPS or st.nbytes > trie.MAX_PENDING_BYTES:
        end_segment(tr)
        raise _Again
    run_unless_deferred(tr, key)
    metas, ins, args, arrays, rg = [], [], [], [], False
    number = len(tr.scalars)
    for kind, x, value in zip(o.kinds, nodes, values, strict=True):
        if x.__class__ is Node:
            metas.append(x.m)
            ins.append(x)
            arrays.append(value._buf)
            rg = rg or x.rg
        elif kind == LIST:
            metas.append(tuple([n.m for n in x]))
            ins.extend(x)
            arrays.append(tuple([e._buf for e in value]))
            rg = rg or any([n.rg for n in x])
        elif kind == RUNTIME or kind == SCALAR or (kind <= OPTIONAL and x is not None):
            m = weak_meta(int if kind == RUNTIME else x.__class__)
            s = make_node(st, trie.SCALAR, (), (), m, False)
            s.number = number
            number += 1
            metas.append(None if kind == RUNTIME else m)
            ins.append(s)
            arrays.append(x)
            x = s
        else:
            metas.append(x)
            arrays.append(x)
        args.append(x)
    inferred = o.inferred
    facts = tuple(metas)
    known = inferred.get(facts)
    if known is None:
        if not tr.sweeping and any([m.placeholder is not None for m in _each(metas)]):
            _refuse_two_devices(o, values)
        known = infer(o, metas)
        if len(inferred) > MOST_REMEMBERED:
            inferred.clear()
        inferred[facts] = known
    outs, out, plan, dtype_differentiable, call = known
    made = None
    if call is None:
        if tr.immediate:
            call, made = tier0.prepare(o, outs, plan, arrays)
        else:
            call = tier0.assumed(o, outs, plan)
        inferred[facts] = (outs, out, plan, dtype_differentiable, call)
    elif tr.immediate:
        made = tier0.run(call, arrays)
    v = make_node(st, o, tuple(args), tuple(ins), out, False)
    v.call = call
    if o.mutates:
        for i in o.mutates:
            if nodes[i] is not None:
                v.writes = trie.Writes(nodes[i].root, v.slot, v.writes)
    else:
        rg = bool(rg and st.grad_on and dtype_differentiable and _differentiable(o, nodes))
        v.rg = rg
        if rg and any([trie.in_inference(x) for x in ins]):
            for r in needed_rules(v):
                _refuse_inference([nodes[i] for i in r.saves])
        if outs.__class__ is tuple:
            rest = []
            for j, m in enumerate(outs[1:], 1):
                w = make_node(v, GET, (), (v,), m, rg and m.dtype.category >= 2)
                w.slot, w.number = v.slot, j
                rest.append(w)
            v.outs = (v, *rest)
        if o.view:
            v.root = ins[0].root
            v.nbytes = st.nbytes
    Stats.misses += 1
    v.site = place
    add_child(st, key, v)
    if rg and tr.immediate:
        _keep_saved(tr, o, v, nodes, values, made)
    return v, made


def infer(o: Operator, metas):
    """(result Metas, first of them, cast plan, whether its dtype has gradients, no Call yet)."""
    if o.mutates:
        out = metas[o.mutates[0]]
        return out, out, cast_plan(o, out, metas), False, None
    outs = o.rule(*[m for m, kind in zip(metas, o.kinds, strict=True) if kind != RUNTIME])
    hollow = any([m.placeholder is not None for m in _each(metas)])
    if hollow:
        outs = tuple([on(m, META) for m in outs]) if outs.__class__ is tuple else on(outs, META)
    out = outs
    if outs.__class__ is tuple:
        out = outs[0]
        if not o.several:
            from .hot import reset

            o.several = o.slow_miss = True
            reset(o)
    plan = () if hollow else cast_plan(o, out, metas)
    return outs, out, plan, out.weak or out.dtype.category >= 2, None


def _each(metas):
    """The Metas among what an operator's rule is given."""
    return [m for x in metas for m in (x if x.__class__ is tuple else (x,)) if m.__class__ is Meta]


def _refuse_two_devices(o: Operator, values) -> None:
    """RuntimeError if an operand that the caller gave is in memory and another is on the meta device.

    As in PyTorch, a 0-dim tensor in memory goes with all, and so do indices. What an operation made
    for itself is a part of it.
    """
    for x, casts in zip(values, o.casts, strict=True):
        for t in x if x.__class__ is tuple else (x,):
            if casts and isinstance(t, Tensor) and t.ndim and not t.is_meta and _given(t):
                raise RuntimeError(
                    f"{o.name.strip('_')}(): Expected all tensors to be on the same device, but found at least two "
                    f"devices, meta and cpu! (the tensor of shape {list(t.shape)} is on the CPU: "
                    "move it with .to('meta'), or make the others there)"
                )


def _given(t) -> bool:
    """Whether a tensor is among the arguments of the call of an operator that is running."""
    f, call = sys._getframe(2), None
    while f is not None and (file := f.f_code.co_filename).startswith((PACKAGE, "<rushlight")) and (
        not file.startswith(LAYERS)
    ):
        call, f = f, f.f_back
    return call is not None and _holds(call.f_locals, t)


def _holds(x, t) -> bool:
    """Whether a tensor is in nested containers."""
    if isinstance(x, (tuple, list, dict)):
        return any([_holds(i, t) for i in (x.values() if isinstance(x, dict) else x)])
    return x is t


def _refuse_inference(saved) -> None:
    for x in saved:
        for n in x if x.__class__ is tuple else (x,):
            if n.__class__ is Node and trie.in_inference(n):
                raise RuntimeError(
                    "Inference tensors cannot be saved for backward. Please do not use Tensors "
                    "created in inference mode in computation tracked by autograd. To work around "
                    "this, you can make a clone to get a normal tensor and use it in autograd, or "
                    "use `torch.no_grad()` instead of `torch.inference_mode()`."
                )


def _differentiable(o: Operator, nodes) -> bool:
    for r in o.gradients:
        for i in r.params:
            x = nodes[i]
            if x.__class__ is tuple:
                if any([n.rg for n in x]):
                    return True
            elif x.__class__ is Node and x.rg:
                return True
    return False


def _keep_saved(tr, o, v, nodes, values, arrays):
    """Hold the arrays that the gradient rules of an immediately executed operation will read."""
    saved = tr.saved
    if saved is None:
        saved = tr.saved = {}
    for r in needed_rules(v):
        for i in r.saves:
            x = nodes[i]
            if x.__class__ is Node:
                saved[x] = values[i]._buf
            elif x.__class__ is tuple:
                for n, t in zip(x, values[i], strict=True):
                    if n.__class__ is trie.Node:
                        saved[n] = t._buf
            elif v.args[i].__class__ is trie.Node:
                saved[v.args[i]] = values[i]  # a Python number
        read = r.outputs(v)
        for node, a in zip(v.outs, arrays, strict=True) if v.outs else ((v, arrays),):
            if node in read:
                saved[node] = a


def needed_rules(v):
    """The gradient rules of node `v` that have an input to serve."""
    rules = []
    for r in v.op.gradients:
        for i in r.params:
            x = v.args[i]
            if (x.__class__ is Node and x.rg) or (
                x.__class__ is tuple and any([n.__class__ is trie.Node and n.rg for n in x])
            ):
                rules.append(r)
                break
    return rules


_internal: dict = {}  # whether a file belongs to this package (strings know their hash, code does not)


def site(depth: int = 2):
    """Where the user's code is recording: (code, instruction); `site_of` tells file and line.

    depth: frames above this one that are known to be internal (each one looked at costs).
    """
    f = sys._getframe(depth)
    while f is not None:
        code = f.f_code
        file = code.co_filename
        ours = _internal.get(file)
        if ours is None:
            ours = _internal[file] = file.startswith((PACKAGE, "<rushlight"))
        if not ours:
            return code, f.f_lasti
        f = f.f_back
    return None


def as_call(o: Operator, args, kwargs):
    """Positional and keyword arguments of a call, without trailing defaults."""
    fn = o.definition
    n = fn.__code__.co_argcount
    defaults = fn.__defaults__ or ()
    positional = list(args[:n])
    spare = len(defaults)
    while spare and positional and _same(positional[-1], defaults[spare - 1]):
        positional.pop()
        spare -= 1
    for name, x in zip(o.names[n:], args[n:], strict=True):
        if not _same(x, (fn.__kwdefaults__ or {}).get(name)):
            kwargs[name] = x
    return tuple(positional), kwargs


def _same(a, b) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, (int, float, str)) and a == b)


class _Again(Exception):
    """The segment was ended; record the operation once more from the root."""


def _with_retry(plain):
    def again(o, args, copies=None):
        try:
            try:
                return plain(o, args, copies)
            except _Again:
                return plain(o, args)
        except overrides.OtherLayout:
            return overrides.by_layout(o.public or o.record, *as_call(o, args, {}))
        except Exception as e:
            if isinstance(e, TypeError) and overrides.found_late(args, None):
                return o.record(*args)
            raise _told(e, o, args) from e.__cause__

    again.__name__, again.__doc__ = plain.__name__, plain.__doc__
    return again


def _told(e, o: Operator, args):
    """An error with a note of the operation and what it was given, and without our own frames.

    (Notes are shown below the message, which stays PyTorch's; Python has them since 3.11. All frames
    are shown with RUSHLIGHT_TRACEBACK=1.)
    """
    if out_of_memory.is_shortage(e):
        e = out_of_memory.explained(
            e, (o.public or o.record).__name__.strip("_"), getattr(e, "rushlight_metas", None))
    if hasattr(e, "add_note") and not hasattr(e, "__notes__"):
        given = ", ".join([_shown(x) for x in args if x is not None])
        e.add_note(f"in {(o.public or o.record).__name__.strip('_')}({given})")
    return e if SHOW_INTERNAL else e.with_traceback(None)


def _shown(x) -> str:
    """An argument in few words: a tensor's dtype and shape, others as they print."""
    if isinstance(x, Tensor):
        return f"{x.dtype.name}{list(x.shape)}"
    if isinstance(x, (tuple, list)) and any(isinstance(i, Tensor) for i in x):
        return "[" + ", ".join([_shown(i) for i in x]) + "]"
    text = repr(x)
    return text if len(text) < 60 else text[:57] + "..."


record = _with_retry(record)


OPERANDS = (Tensor, *NUMBERS, np.number, np.bool_)


def operand(o: Operator, args: tuple):
    """`record` for Python's operators: NotImplemented if the other operand is neither tensor nor number.

    So `x == None` is False, and NumPy's arrays and others' classes get their turn.
    """
    input, other = args
    if not isinstance(input, Tensor) and not overrides.found_late(args, None):
        name = (o.public or o.record).__name__.strip("_")
        raise TypeError(f"__{name}__ of a Tensor called with a '{type(input).__name__}' object first")
    if isinstance(other, np.ndarray) and o.name in ("eq", "ne"):
        return record(o, (input, wrap_shared(other)))
    if isinstance(other, OPERANDS) or overrides.found_late(args, None):
        return record(o, args)
    return NotImplemented
