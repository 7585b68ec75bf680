"""Writing into tensors: the one primitive behind in-place operations, `out=` and assignment.

Memory is really written, in the order of the program. History is functional: a written tensor gets a
new node whose gradient goes to what was written. When a view is written, its base gets a REBASE node
(the base with that region replaced), and every other view of that memory is regenerated from the
base when next used, as PyTorch does.
"""

from __future__ import annotations

import numpy as np

from ..interpret.placeholder import NO_DATA
from ..interpret.tier0 import NANS, converted
from . import trie
from .meta import at_offset, is_dense
from .segments import end_segment, enter, run_unless_deferred
from .trie import (
    ALIAS,
    HAS_HISTORY,
    LEAF,
    LOCK,
    REBASE,
    RECORDER,
    RESTRIDE,
    VARIABLE,
    WRITE,
    Writes,
    add_child,
    child,
    make_node,
)

new = object.__new__


def become_view(t, view):
    """Make `t` itself the tensor that `view`, a fresh view of it, is: other shape, same memory."""
    t.storage_identity()
    joins = view._tr is not None and view._tr is not t._tr
    t._s, t._tr, t._buf, t._history = view._s, view._tr, view._buf, view._history
    t._offset, t._generation = view._offset, t._storage.generation
    if joins:
        view._tr.ts.append(t)
    return t


def node_of(tr, t):
    """The node of tensor `t` in the running segment."""
    return t._s if t._tr is tr else enter(tr, t)


def edge(tr, op, args, m, rg, root=None, ins=None):
    """Follow or make the edge of a primitive; returns (node, whether it is new).

    What is new runs at once if `tr.immediate` says so.
    """
    key = (op, *args)
    v = child(tr.st, key)
    if v is not None:
        tr.st = v
        return v, False
    run_unless_deferred(tr, key)
    st = tr.st
    v = make_node(st, op, tuple(args), ins if ins is not None else tuple(args), m, rg)
    if root is not None:
        v.root = root
        v.nbytes = st.nbytes
    add_child(st, key, v)
    tr.st = v
    return v, True


def alias(t, op=ALIAS):
    """A new tensor on the same memory without history; an autograd leaf if `op` is VARIABLE."""
    from .tensor import Tensor

    with LOCK:
        tr = RECORDER.tr
        if t._tr is None and op is ALIAS and (t._base is None or (
            t._storage.exposed and t._generation == t._storage.generation
        )):  # (in a trace, a view of memory that NumPy sees would be a copy)
            return _idle_alias(t)
        a = node_of(tr, t)
        v, fresh = edge(tr, ALIAS, (a,), a.m, False, a.root)
        made = new(Tensor)
        made._s, made._tr = v, tr
        made._storage = t.storage_identity()
        if fresh and tr.immediate:
            made._buf = t._buf
        tr.ts.append(made)
        if trie.EAGER:
            end_segment(tr)
        return made


def _idle_alias(t):
    """`alias` of a tensor outside of the running segment: nothing to record."""
    from .tensor import Tensor

    made = new(Tensor)
    marked = None if trie.in_inference(t._s) else False
    made._s, made._tr, made._buf = trie.idle(t._s.m, marked), None, t._buf
    made._storage = t.storage_identity()
    return made


def set_leaf(t, requires_grad: bool):
    """Make `t` an autograd leaf that requires grad, or not; its memory stays."""
    with LOCK:
        tr = RECORDER.tr
        if t._tr is None:
            t._s = trie.idle(t._s.m, requires_grad)
            t._history = None
            return t
        a = node_of(tr, t)
        if a.op is LEAF or not requires_grad:
            # a leaf that already takes part in this segment: its earlier uses keep their meaning
            end_segment(tr)
            t._s = trie.idle(t._s.m, requires_grad)
            t._history = None
            return t
        key = (VARIABLE, a)
        v = child(tr.st, key)
        if v is None:
            run_unless_deferred(tr, key)
            v, _ = edge(tr, VARIABLE, (a,), a.m, True, a.root)
            v.number = len(tr.leaves)
        tr.st = v
        tr.leaves.append(t)
        tr.bufs.append(None)
        t._s = v
        t._history = None
        if trie.EAGER:
            end_segment(tr)
        return t


def refuse_overlap(out, inputs, whole: bool = False, size: int = 0) -> None:
    """RuntimeError if `out` shares some memory with an input, but not all of it in the same order.

    As PyTorch, this looks at tensors without gaps only. whole: refuse all of the memory, too. size: the
    bytes that `out` is going to have, if these are more.
    """
    storage = out._storage
    if storage is None and not whole:
        return
    for x in inputs:
        if whole and isinstance(x, (tuple, list)):
            refuse_overlap(out, x, True, size)
        if whole and x is out:
            raise _overlap(out, x)
        if getattr(x, "_storage", None) is not storage or x is out or storage is None:
            continue
        a, b = out._s.m, x._s.m
        if not (a.numel and b.numel and is_dense(a.shape, a.strides)
                and is_dense(b.shape, b.strides)):
            continue
        start, other = (t.storage_offset() * t._s.m.dtype.itemsize for t in (out, x))
        if start == other and a.nbytes == b.nbytes:
            if a.strides == b.strides and not whole:
                continue
        elif start + max(a.nbytes, size) <= other or other + b.nbytes <= start:
            continue
        raise _overlap(out, x)


def _overlap(out, x) -> RuntimeError:
    return RuntimeError(
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to "
        f"a single memory location (shapes {list(x.shape)} and {list(out.shape)}). Please clone() the "
        "tensor before performing the operation."
    )


def _rests(t) -> bool:
    """Whether a tensor's memory is there and no running segment reads or writes it."""
    if t._tr is not None or t._buf is None:
        return False
    storage = t._storage
    return storage is None or (
        (t._base is None or t._generation == storage.generation)
        and (storage.recorder is None or storage.segment != storage.recorder.serial)
    )


def silent(t) -> bool:
    """Whether autograd does not notice writes into `t`: it was made by `.data`, or is a view of that."""
    return t._silent or (t._base is not None and t._base._silent)


def write(t, source, in_place: bool = False):
    """Overwrite tensor `t` with `source` (broadcast and cast to it); returns `t`.

    in_place: `source` is the result of an in-place operation on `t`, which the graph then shows.

    Raises RuntimeError for leaves that require grad, for memory that overlaps itself and for shapes
    that do not broadcast.
    """
    with LOCK:
        t.check_writable("copy_")
        if source._storage is not None:
            refuse_overlap(t, (source,))
        tr = RECORDER.tr
        m, sm = t._s.m, source._s.m
        if sm.placeholder is not None and m.placeholder is None:
            raise NotImplementedError(NO_DATA)
        if sm.shape != m.shape:
            _check_expands(m, sm)
        base = t._base
        if tr.sweeping is None and _rests(t) and _rests(source) and not (
            tr.grad_on and (source._s.rg or t._s.rg or (base is not None and base._s.rg))
        ):  # as with views: an index that changes from step to step is no part of any path
            _copy(t._buf, source._buf)
            if not silent(t):
                (t._storage or t.storage_identity()).version += 1
            return t
        if t._storage is not None and t._storage.exposed:
            end_segment(tr)  # leaves that NumPy sees are copies there; this write needs the memory
            enter(tr, t, real=True)
            if t._base is not None and t._base._tr is not tr:
                enter(tr, t._base, real=True)
        elif t._tr is not tr:
            enter(tr, t)
        src = source._s if source._tr is tr else enter(tr, source)
        dst = t._s
        if base is not None and base._tr is not tr:
            enter(tr, base)
        history = bool(tr.grad_on) and (src.rg or dst.rg or (base is not None and base._s.rg))
        rg = history and src.rg
        unseen = silent(t)
        args = (dst, src, unseen, True) if in_place else (dst, src, True) if unseen else (dst, src)
        v, fresh = edge(tr, WRITE, args, m, rg, dst.root, ins=(dst, src))
        if fresh:
            v.writes = Writes(None if unseen else dst.root, v.slot, v.writes)
            if tr.immediate:
                if NANS[0] is not None:
                    NANS[0].copying(t._buf, source._buf, dst.root.op is LEAF)
                _copy(t._buf, source._buf)
        storage = t._storage or t.storage_identity()
        if not unseen:
            storage.version += 1
        if history:
            _rewrite_history(tr, t, base, v, storage)
        if storage.exposed or trie.EAGER:
            end_segment(tr)
        return t


def _copy(dst, src) -> None:
    if dst.__class__ is not np.ndarray:  # the meta device
        return
    if src.dtype.kind == "c" and dst.dtype.kind != "c":
        src = src.real
    if dst.dtype.char == "e":
        src = converted(src, dst.dtype)
    with np.errstate(all="ignore"):
        np.copyto(dst, src, casting="unsafe")


def _check_expands(m, sm) -> None:
    ok = sm.ndim <= m.ndim and all(
        a == b or a == 1
        for a, b in zip(sm.shape, m.shape[m.ndim - sm.ndim:], strict=True)
    )
    if not ok:
        for i in range(1, min(m.ndim, sm.ndim) + 1):
            if sm.shape[-i] not in (1, m.shape[-i]):
                raise RuntimeError(
                    f"The size of tensor a ({m.shape[-i]}) must match the size of tensor b "
                    f"({sm.shape[-i]}) at non-singleton dimension {m.ndim - i}: cannot write shape "
                    f"{list(sm.shape)} into shape {list(m.shape)}"
                )
        raise RuntimeError(
            f"output with shape {list(m.shape)} doesn't match the broadcast shape {list(sm.shape)}"
        )


def _rewrite_history(tr, t, base, v, storage) -> None:
    """After write `v` into `t`: new history for `t`, its base and, lazily, all other views."""
    storage.generation += 1
    if base is None:
        t._s = v
        if not v.rg:  # the history ends here, but the tensor goes on requiring grad
            node, _ = edge(tr, REBASE, (v, v, None), v.m, True, v.root, ins=(v, v))
            t._s = node
        t._history = None
        t._generation = storage.generation
        owner = t
    else:
        b = base._s
        start = t.storage_offset() - base.storage_offset()
        geometry = (t._s.m.shape, t._s.m.strides, start)
        node, fresh = edge(tr, REBASE, (b, v, geometry), b.m, True, b.root, ins=(b, v))
        base._s = node
        base._history = None
        base._generation = storage.generation
        if fresh and tr.immediate and base._buf is None:
            raise AssertionError("a base has no memory")
        owner = base
        regenerate(tr, t)
    for other in tr.ts:
        if other is not None and other._storage is storage and other is not t and other is not owner:
            if other._base is not None and other._tr is tr:
                other._tr = None


def regenerate(tr, t):
    """Give a view whose base was rewritten a new node made from the base; returns the node."""
    base = t._base
    b = base._s if base._tr is tr else enter(tr, base)
    m = t._s.m
    if t._offset != base._offset:
        m = at_offset(m, m.offset + t._offset - base._offset)
        t._offset = base._offset
    geometry = (m.shape, m.strides, m.offset, m.dtype)
    v, fresh = edge(tr, RESTRIDE, (b, geometry), m, b.rg, b.root, ins=(b,))
    if fresh and tr.immediate and t._buf is None:
        t._buf = restrided(base._buf, b.m, m)
    t._s, t._history = v, None
    t._generation = t._storage.generation
    if t._tr is not tr:
        t._tr = tr
        tr.ts.append(t)
    return v


def restrider(node):
    """The function that makes a regenerated view's array from its base's array."""
    base, m = node.ins[0].m, node.m
    return lambda buf: restrided(buf, base, m)


def restrided(buf: np.ndarray, base, m) -> np.ndarray:
    """The view with Meta `m` of the memory that `buf` shows with Meta `base`."""
    if m.placeholder is not None:
        return m.placeholder
    if m.dtype is not base.dtype:
        raise RuntimeError("a view with another dtype cannot be regenerated from its base")
    move = (m.offset - base.offset) * base.dtype.itemsize
    if move == 0 or m.numel == 0:
        return np.lib.stride_tricks.as_strided(buf, m.shape, m.np_strides)
    return _moved(buf, move, m)


def _moved(buf: np.ndarray, move: int, m) -> np.ndarray:
    """As-strided at `move` bytes from the start of `buf`, also before it."""
    owner = buf
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    at = buf.__array_interface__["data"][0] - owner.__array_interface__["data"][0] + move
    return np.ndarray(m.shape, buf.dtype, _bytes_of(owner), at, m.np_strides)


def _bytes_of(owner: np.ndarray):
    """All memory of an array, from its first element to its last one."""
    count = 1 + sum((n - 1) * s for n, s in zip(owner.shape, owner.strides, strict=True)) // owner.itemsize
    return np.lib.stride_tricks.as_strided(owner, (count,), (owner.itemsize,)).view(np.uint8)


__all__ = ["HAS_HISTORY", "alias", "node_of", "regenerate", "set_leaf", "write"]
