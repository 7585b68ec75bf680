"""Entering tensors into a segment, running what is deferred, and ending segments.

`enter` brings a tensor from outside into the running segment as a leaf. `run_pending` executes what
was deferred, while the segment goes on. `end_segment` does that and starts again at the trie's root;
it happens where values are read, at the end of `optimizer.step()`, and at the bounds of `trie.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import islice
from sys import getrefcount

import numpy as np

from ..interpret import tier0
from ..interpret.placeholder import NO_DATA
from ..interpret.program import DOUBT, HOPES, PATIENCE
from . import out_of_memory, trie
from .meta import Meta, at_offset
from .trie import (
    ENDS,
    HAS_HISTORY,
    INFERENCE,
    LEAF,
    LOCK,
    MODE,
    NO_GRAD,
    RECORDER,
    ROOTS,
    TRUE_LEAF,
    VARIABLE,
    Node,
    Segment,
    Stats,
    add_child,
    child,
    idle,
    make_node,
)

new = object.__new__
ALIKE = 3  # new segments of one kind, after which their programs are looked at
LAST_EDGES = 6  # that a new one is compared with
LONG_SEGMENT = 16  # operations of a segment for which that is worth while
SHORTEST_BLOCK = 16  # operations of a repeated block that is worth a segment of its own
BLOCKS: set = set()  # (operation, code, instruction) where repeated blocks begin
MOST_BLOCKS = 4096
MANY = 1 << 30
SNAPSHOT_BYTES = 1 << 16  # memory that NumPy sees is copied up to this size, else used at once


# ---------------------------------------------------------------- leaves


def enter(tr, t, real: bool = False):
    """Bring tensor `t` into the running segment; returns its node.

    A view whose base was rewritten is regenerated first. Memory that NumPy can see may change at
    any time: small arrays are copied, large ones make the rest of the segment run at once, unless
    `real`: the caller writes to it and ends the segment.
    """
    with LOCK:
        other = t._tr
        if other is not None and other is not tr:
            end_segment(other)  # pending in another thread
        base = t._base
        if base is not None and t._generation != t._storage.generation:
            from .write import regenerate

            return regenerate(tr, t)
        buf = t._buf
        if buf is None:
            raise RuntimeError(
                f"this tensor (shape {list(t.shape)}) has no value: an earlier operation failed "
                "while it was being computed"
            )
        s = t._s
        if not s.rg:
            kind = NO_GRAD if s.grad_on else INFERENCE
        else:
            kind = TRUE_LEAF if t._history is None else HAS_HISTORY
        storage = t._storage
        alias = None
        frozen = False
        if storage is not None:
            if storage.recorder is tr and storage.segment == tr.serial:
                alias = storage.node
            if storage.exposed and not real:
                buf, frozen = _snapshot(tr, t, storage, buf)
        kept = (*t._history, storage or t.storage_identity()) if kind == HAS_HISTORY else t
        key = (LEAF, s.m, kind, alias, frozen)
        st = tr.st
        v = st.first if st.first_key == key else st.next.get(key)
        if v is None:
            if tr.likely is None or HOPES[0] > 0 and not tr.likely:
                _is_alike(tr, key)
            v = make_node(st, LEAF, (kind,), (), s.m, s.rg)
            v.number = len(tr.leaves)
            v.nbytes = st.nbytes  # it is there already
            v.call = s  # what it is outside, again after the segment
            if alias is not None:
                v.root = alias
            add_child(st, key, v)
            v.frozen = st.frozen or frozen
        snapshot = buf is not t._buf
        if storage is not None and alias is None and not snapshot:
            storage.recorder, storage.segment, storage.node = tr, tr.serial, v
        tr.st = v
        tr.leaves.append(kept)  # with history: what made it, and its memory; the handle itself may die
        tr.bufs.append(buf)
        if not snapshot:  # else each use takes a new copy
            t._s, t._tr = v, tr
            tr.ts.append(t)
        return v


def entered(tr, t):
    """A handle on a tensor's value in the running segment: on the copy, if NumPy sees its memory.

    For what is recorded as one macro edge: operations inside would take another copy, a part of the edge.
    """
    if t._tr is tr:
        return t
    v = enter(tr, t)
    if t._s is v:
        return t
    copy = new(t.__class__)
    copy._s, copy._tr, copy._buf = v, tr, tr.bufs[v.number]
    tr.ts.append(copy)
    return copy


def _references(buf) -> tuple[int, int]:
    """Reference counts of an array and of the array that owns its memory; very many if something else than an array does."""
    owner = buf.base
    if owner is not None and (owner.__class__ is not np.ndarray or owner.base is not None):
        return MANY, MANY
    return getrefcount(buf), 0 if owner is None else getrefcount(owner)


def _only_ours(buf) -> bool:
    """Whether no NumPy array of the user's shares this memory (the references are counted)."""
    array, owner = _references(buf)
    return array <= OWN_REFERENCES[0] and owner <= OWN_REFERENCES[1]


def _own_references() -> tuple[int, int]:
    """`_references` of an array that only a tensor holds, as `enter` finds it.

    Counted once, since versions of Python differ in what a call adds: there is the tensor's slot,
    the variables of `enter` and `_snapshot`, and the parameters of `_only_ours` and `_references`.
    """
    def only_ours(buf):
        return _references(buf)

    def snapshot(slot, buf):
        return only_ours(buf)

    slot = [np.empty(2)[1:]]
    buf = slot[0]
    return snapshot(slot, buf)


OWN_REFERENCES = _own_references()


def is_private(t) -> bool:
    """Whether no NumPy array of the user's shares the memory of a tensor that is no view (the references are counted)."""
    array, owner = _references(t._buf)
    return array <= HANDLES_REFERENCES[0] and owner <= HANDLES_REFERENCES[1]


def _handles_references() -> tuple[int, int]:
    """`_references` of an array that only a tensor holds, as `is_private` finds it."""
    def private(t):
        array, owner = _references(t._buf)
        return array, owner

    class Handle:
        pass

    t = Handle()
    t._buf = np.empty(2)[1:]
    return private(t)


HANDLES_REFERENCES = _handles_references()


def _snapshot(tr, t, storage, buf):
    """(private copy, False) of memory that NumPy sees, or (the memory, True) if it is large."""
    if _only_ours(buf):
        storage.exposed = False
        return buf, False
    if trie.EAGER:
        return buf, True
    if buf.nbytes <= SNAPSHOT_BYTES and not t._s.rg:
        if buf.flags.c_contiguous:
            return buf.copy(), False
        span = sum([(n - 1) * s for n, s in zip(buf.shape, buf.strides, strict=True)])
        if span < 4 * SNAPSHOT_BYTES:
            copied = np.empty(span // buf.itemsize + 1, buf.dtype)
            copied = np.lib.stride_tricks.as_strided(copied, buf.shape, buf.strides)
            copied[...] = buf
            return copied, False
    if not tr.immediate:
        run_pending(tr)
    return buf, True


# ---------------------------------------------------------------- running


def _listed() -> int:
    """The reference count of a tensor that only a list holds."""
    ts = [object()]
    return getrefcount(ts[0])


LISTED = _listed()


def live(tr):
    """(leaves, what was made, nodes of what was made): the handles that somebody else holds; the segment forgets the others.

    The last ones first: a view holds its base, which must not live on because of it. What goes away may run a
    destructor that records, or ends this segment; so the list is whole at any time, and who asks looks at `tr` after it.
    (Native code takes over, as for `detach` and `entered`: see `native_hot.py`.)
    """
    ts, leaves, made = tr.ts, [], []
    i = len(ts)
    while i:
        i = min(i, len(ts)) - 1
        if i >= 0 and getrefcount(ts[i]) == LISTED:
            ts[i] = None
    for t in ts:
        if t is not None and t._tr is tr:
            (leaves if t._s.op is LEAF else made).append(t)
    ts[:] = leaves + made
    return leaves, made, tuple([t._s for t in made])


def drop_dead(tr) -> None:
    """Forget the handles that only the segment still holds, and with them their memory.

    For a segment that runs at once; a deferred one has no arrays yet.
    """
    live(tr)
    tr.prune_at = tr.st.nbytes + trie.PRUNE_BYTES


def repeats(tr, o, key, site) -> bool:
    """Whether a new operation begins a block that this program runs again and again; then the segment has to end before it.

    Asked on new paths that differ from known ones in sizes: sentences of any length, text that is written a word at a
    time. The layers of a model are one path then, not one after the other, and only the first of them is new at each
    size; `backward()` and an optimiser's step begin segments of their own, too. A block's start is an operation that
    one line of the program has recorded three times, equally far apart, and that does not join two values of this segment:
    a residual sum is fused with what made them.
    """
    if tr.likely is None:
        _is_alike(tr, key)
    st = tr.st
    if not tr.likely or tr.sweeping or tr.whole or o.mutates or site is None:  # (an update of parameters is one edge)
        return False
    if len([x for x in key[1:] if x.__class__ is Node and x.op is not LEAF]) > 1:
        return False
    start = o, id(site[0]), site[1]
    here = st.slot - len(tr.leaves)  # operations so far
    if start in BLOCKS:
        if here < SHORTEST_BLOCK:
            return False
    else:
        seen = tr.starts
        if seen is None:
            seen = tr.starts = {}
        last, gap = seen.get(start, (here, 0))
        seen[start] = here, here - last
        if gap != here - last or gap < SHORTEST_BLOCK:
            return False
        if len(BLOCKS) > MOST_BLOCKS:
            BLOCKS.clear()
        BLOCKS.add(start)
    st.ends = True
    return True


@contextmanager
def uncut():
    """What is recorded in the block does not end a segment before repeated blocks: its history is dropped, or shown."""
    tr = RECORDER.tr
    tr.whole += 1
    try:
        yield
    finally:
        tr.whole -= 1


def end_before_block(tr) -> None:
    """End the segment where a repeated block begins."""
    end_segment(tr)
    tr.in_blocks = True


def run_unless_deferred(tr, key=None) -> None:
    """Execute what is pending before something new is recorded, which then runs at once.

    Unless new programs have lately got native forms, and this is likely to become another such: since its
    key, or one before it in the segment, differs from a known edge in sizes only. Then what is new is
    deferred, as what is known.
    """
    if not tr.immediate and not (HOPES[0] > 0 and (tr.likely or _is_alike(tr, key))):
        run_pending(tr)


def _is_alike(tr, key) -> bool:
    """Whether a new key differs from one of the last edges here in sizes only; noted in `tr.likely`."""
    st = tr.st
    tr.likely = any([
        known.__class__ is key.__class__ is tuple and len(known) == len(key)
        and all([a is b or a == b or _differ_in_size(a, b) for a, b in zip(known, key, strict=True)])
        for known in (st.first_key, *islice(reversed(st.next), LAST_EDGES))
    ])
    return tr.likely


def _differ_in_size(a, b) -> bool:
    kind = a.__class__
    if kind is not b.__class__:
        return False
    if kind is Meta:
        return a.dtype is b.dtype and a.ndim == b.ndim
    return kind is int or (kind is tuple and len(a) == len(b) and all(
        [x.__class__ is y.__class__ is int or x == y for x, y in zip(a, b, strict=True)]))


def run_pending(tr) -> None:
    """Execute what the running segment has deferred; its live handles get their arrays."""
    if tr.immediate:
        return
    serial = tr.serial
    _, made, wanted = live(tr)
    st = tr.st
    if tr.serial != serial or tr.immediate:
        return run_pending(tr)  # a destructor has recorded
    if st.slot >= 0:
        execute(tr, st, wanted, made, False)
    tr.immediate = True
    tr.executed = st.slot


def execute(tr, st, wanted, handles, ended=True):
    """Run the Program of (where we stand, what is alive); returns it. ended: whether the segment ends."""
    programs = st.programs
    if programs is None:
        programs = st.programs = {}
    key = wanted if tier0.NANS[0] is None else ("looking", ended, wanted)
    p = programs.get(key)
    if p is None:
        from ..compile import background  # noqa: F401 - from now on, hot programs become native
        from ..interpret.program import Program, build
        from .plan import saved_nodes
        from .write import restrider

        if len(programs) > 16:
            programs.clear()
        path = trie.path_of(st)
        if tr.executed >= 0:
            raise AssertionError("a segment that runs at once has nothing deferred")
        kind = Program
        if key is not wanted:
            from ..interpret.nans import LookingProgram

            kind = partial(LookingProgram, ended=ended)
        p = programs[key] = build(path, wanted, saved_nodes(wanted, st.freed), restrider, kind)
        Stats.programs += 1
    Stats.flushes += 1
    try:
        outs = p(tr.bufs, tr.scalars)
    except Exception as e:
        _salvage(tr, p, handles, e)
    for t, a in zip(handles, outs, strict=False):
        t._buf = a
    if p.saved:
        if tr.saved is None:
            tr.saved = {}
        tr.saved.update(zip(p.saved, outs[len(wanted):], strict=True))
    return p


def _salvage(tr, program, handles, error):
    """An operation failed on its values: keep what was computed, tell where it was recorded."""
    done, node = program.after_failure(error)
    for t in handles:
        found = done.get(t._s)
        if found is not None:
            t._buf = found
    place = None if node is None else trie.site_of(node)
    site = "" if place is None else f"{place[0]}:{place[1]}"
    name = "an operation" if node is None else node.op.name.strip("_")
    _restart(tr)
    if out_of_memory.is_shortage(error):
        raise out_of_memory.explained(
            error, "" if node is None else name, None if node is None else node.m, site) from None
    message = str(error)
    if site:
        message += f"\n  (raised by '{name}', recorded at {site})"
    try:
        told = type(error)(message)
    except Exception:
        told = error
    raise told.with_traceback(None) from None


def end_segment(tr) -> None:
    """Run what is deferred and begin a new segment; keep what a later backward() needs."""
    with LOCK:
        st = tr.st
        if st.slot < 0 and not tr.ts:
            tr.immediate = trie.EAGER  # (an operation may have failed before anything was recorded)
            return
        arrays = None
        if not tr.immediate:
            serial = tr.serial
            leaves, made, wanted = live(tr)
            st = tr.st
            if tr.serial != serial or tr.immediate:  # a destructor has recorded
                return end_segment(tr) if tr.serial == serial else None
            program = execute(tr, st, wanted, made)
            if program.facts is None:
                program.facts = _Facts(wanted, program.saved, len(tr.leaves))
            _close(tr, leaves, made, program.facts)
        else:
            if tier0.NANS[0] is not None:
                leaves, made, _ = live(tr)
                arrays = [t._buf for t in leaves + made]
            handles = [t for t in tr.ts if t is not None and t._tr is tr]
            _note_likeness(st, len(handles))
            _restart(tr, handles)
        if not st.frozen:
            ENDS.pop(st, None)
            ENDS[st] = None
        if trie.NODES > trie.MAX_NODES:
            trie.prune()
        if arrays:
            tier0.NANS[0].results(arrays)


_alike: dict = {}  # what new segments of one kind have in common: how many there were


def _note_likeness(st, count: int) -> None:
    """A new segment ends: if there were others like it, they may differ in sizes only.

    Then the next ones are deferred, so that their programs are seen, and can share a native form.
    """
    kind = (st.slot, st.op, count)
    times = _alike[kind] = _alike.get(kind, 0) + 1
    if times >= ALIKE * DOUBT[0] and st.slot >= LONG_SEGMENT:
        _alike[kind] = 0
        HOPES[0] = max(HOPES[0], PATIENCE)
    if len(_alike) > 4096:
        _alike.clear()


def _close(tr, leaves, made, facts) -> None:
    """Detach the live handles from the segment that ended, and start the next one.

    leaves, made: the handles. facts: what happens to those that were made.
    """
    hooks = tr.hooks
    segment = new(Segment) if facts.history or hooks else None
    kept = detach(tr, leaves, made, facts.endings, segment, facts.saves)
    if segment is not None:
        segment.final, segment.hooks, segment.serial, segment.versions = tr.st, hooks, tr.serial, {}
        segment.freed = tr.st.freed
        segment.saved = tr.saved if tr.saved is not None else {}
        segment.leaves = kept
        _note_versions(segment, kept, facts.held)
        for i, saved in facts.shared:
            storage = made[i]._storage or made[i].storage_identity()  # (the tensor itself would make a cycle)
            for v in saved:
                segment.versions[v] = (storage, storage.version)
    trie.publish(tr)
    tr.start()


def detach(tr, leaves, made, endings, segment, saves):
    """Take handles out of the segment that ended. endings, saves: see `_Facts`.

    Returns the segment's leaves (None for those that its history cannot ask for), or None if it has no history.
    """
    for t in leaves:
        if t._tr is tr:  # (it may be listed twice)
            t._tr, t._s = None, t._s.call
    for t, (node, v, offset) in zip(made, endings, strict=True):
        if t._tr is not tr:
            continue
        t._tr = None
        t._history = (segment, v) if v is not None else None
        t._s = moved(t, node, offset) if offset else node
    if segment is None:
        return None
    return tuple([
        x if saved or not isinstance(x, Held) or x._s.rg else None for x, saved in zip(tr.leaves, saves, strict=True)
    ])


def moved(t, node, offset):
    """The node that a view has outside of the segment: its offset is the handle's from now on.

    As `record._view_at_once` does: a loop over parts of a tensor is one path, wherever they lie in it.
    """
    if t._base is None or t._base._s.rg:
        return node
    t._offset += offset
    return idle(at_offset(node.m, 0), None if trie.in_inference(t._s) else False)


class _Facts:
    """What the end of a segment does to its handles, as far as its nodes tell: a Program remembers it.

    endings: for each result (node outside of the segment, node in its history or None, offset to be taken
    out of a view). held: {leaf number: saved node}. saves: whether it is held, for each leaf. shared: (result, saved
    nodes in its memory).
    """

    __slots__ = ("endings", "history", "held", "saves", "shared")

    def __init__(self, wanted, saved, leaves: int):
        self.held, roots = {v.number: v for v in saved if v.op is LEAF}, {}
        self.saves = tuple([i in self.held for i in range(leaves)])
        for v in saved:
            roots.setdefault(v.root, []).append(v)
        self.shared = [(i, roots[v.root]) for i, v in enumerate(wanted) if v.root in roots]
        self.endings = [
            (
                idle(v.m, None if trie.in_inference(v) and not v.rg else v.rg),
                v if v.rg and v.op is not VARIABLE else None,
                0 if v.rg else v.m.offset,
            )
            for v in wanted
        ]
        self.history = any([v is not None for _, v, _ in self.endings])


def _restart(tr, handles=None) -> None:
    """`_close` for a segment that ran at once, or was given up."""
    if handles is None:
        handles = [t for t in tr.ts if t is not None and t._tr is tr]
    made = [t for t in handles if t._s.op is not LEAF]
    outputs = [t._s for t in made if t._s.rg and t._s.op is not VARIABLE]
    tr.saved = _still_needed(tr.saved, outputs, tr.st.freed) if tr.saved else {}
    _close(tr, [t for t in handles if t._s.op is LEAF], made, _Facts([t._s for t in made], tr.saved, len(tr.leaves)))


def _note_versions(segment, leaves, held) -> None:
    """Remember the version of the memory of each saved leaf, to notice later writes."""
    for number, v in held.items():
        x = leaves[number]
        storage = x[2] if v.args[0] == HAS_HISTORY else x._storage or x.storage_identity()
        segment.versions[v] = (storage, storage.version)


def _still_needed(saved, outputs, freed):
    """The saved values that the history of `outputs` can still ask for."""
    from .plan import saved_nodes

    return {n: saved[n] for n in saved_nodes(outputs, freed) if n in saved}


def forget_saved() -> None:
    """Keep only the saved values that the history of a tensor that is alive can still ask for.

    For a segment that runs at once; Programs keep no others.
    """
    tr = RECORDER.tr
    if tr.immediate and tr.saved:
        outputs = [v for v in live(tr)[2] if v.rg]
        tr.saved = _still_needed(tr.saved, outputs, tr.st.freed)


Held: type = object  # trace/tensor.py sets it to Tensor


def flush() -> None:
    """Execute everything that the calling thread has recorded."""
    end_segment(RECORDER.tr)


def settle(t) -> None:
    """Make `t._buf` hold the tensor's value now."""
    with LOCK:
        base = t._base
        if base is not None and t._generation != t._storage.generation:
            from .write import regenerate

            regenerate(RECORDER.tr, t)
        tr = t._tr
        if tr is not None:
            if t._s.op is not LEAF or tr.st.writes is not None or t._buf is None:
                end_segment(tr)
            return
        storage = t._storage
        if storage is not None and storage.recorder is not None:
            tr = storage.recorder
            if storage.segment == tr.serial and tr.st.writes is not None:
                end_segment(tr)


def array(t) -> np.ndarray:
    """The tensor's value as the NumPy array that holds it: flushes; do not write into it.

    NotImplementedError on the meta device.
    """
    if t._s.m.placeholder is not None:
        raise NotImplementedError(NO_DATA)
    settle(t)
    buf = t._buf
    if buf is None:
        raise RuntimeError(
            f"this tensor (shape {list(t.shape)}) has no value: an earlier operation failed while "
            "it was being computed"
        )
    return buf


def set_grad(enabled: bool | None) -> None:
    """Switch gradient recording for this thread (None: inference mode): a mode edge of the trie."""
    tr = RECORDER.tr
    if tr.grad_on is enabled:
        return
    tr.grad_on = enabled
    st = tr.st
    if st.slot < 0:
        tr.st = ROOTS[enabled]
        return
    with LOCK:
        if st.slot > trie.SOFT_OPS:
            end_segment(tr)
            return
        key = trie.mode_key(enabled)
        v = child(st, key)
        if v is None:
            v = make_node(st, MODE, (), (), _NOTHING, False)
            v.grad_on = enabled
            add_child(st, key, v)
        tr.st = v


class _Nothing:
    nbytes = 0


_NOTHING = _Nothing()


def step_end() -> None:
    """The end of an optimiser's step: a place that repeats, so the segment ends here."""
    end_segment(RECORDER.tr)


def after_fork() -> None:
    """In a forked child: forget the parent's recording (its handles stay the parent's)."""
    LOCK._at_fork_reinit()
    RECORDER.tr.thread = 0  # the native recorder may remember it
    RECORDER.tr = trie.Position()

