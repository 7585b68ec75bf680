"""The trace trie: every operation sequence that this process has seen.

A `Node` is one operation in one context: the prefix of a trace, and at once the value that its last
operation made. Recording a known operation is one lookup, `child(node, key)`; the node found holds
all that was inferred the first time (shape, dtype, whether a gradient is needed, what is aliased).

A `Recorder` (one a thread) is where a thread stands in the trie, with what the trie does not hold:
the leaves (tensors from outside), Python scalars and live tensor handles of the running segment.
A `Segment` is what is left of an executed stretch for a later `backward()`.

Read `record.py` next (how operations get here), then `segments.py`.
"""

from __future__ import annotations

import os
import threading

from .meta import Meta, keep_interned, meta

new = object.__new__


class Special:
    """A primitive that is not in the operator table: how values enter, alias and are written.

    shares: its value is in the memory of ins[0].
    """

    __slots__ = ("name", "shares")
    random = False
    view = False

    def __init__(self, name: str, shares: bool = False):
        self.name, self.shares = name, shares

    def __repr__(self) -> str:
        return self.name


ROOT = Special("root")
MODE = Special("mode")  # gradient mode was switched
LEAF = Special("leaf")  # a tensor from outside; number: its place in Recorder.leaves
SCALAR = Special("scalar")  # a Python number; number: its place in Recorder.scalars
GET = Special("get")  # a further output of ins[0]; number: which
WRITE = Special("write", shares=True)  # ins[0]'s memory is overwritten with ins[1]
REBASE = Special("rebase", shares=True)  # base ins[0] after its view ins[1] was written: history only
ALIAS = Special("alias", shares=True)  # the same memory without history (detach, .data)
VARIABLE = Special("variable", shares=True)  # the same memory as a new autograd leaf
RESTRIDE = Special("restride", shares=True)  # a view regenerated from its base after a write
FUNCTION = Special("function")  # output of an autograd.Function; number: its context's place
MACRO = Special("macro")  # key only: backward() or optimizer.step() as one edge
IDLE = Special("idle")  # a tensor outside of any trace

NO_GRAD, TRUE_LEAF, HAS_HISTORY, INFERENCE = range(4)  # how a leaf takes part in autograd


class Node:
    """One operation in one context of the trie; see the module's docstring."""

    __slots__ = (
        "first_key",  # the first child, apart from the others: most nodes have no second one
        "first",
        "next",
        "parent",
        "op",
        "args",
        "ins",
        "m",
        "rg",
        "slot",
        "outs",
        "number",
        "root",
        "grad_on",
        "nbytes",
        "writes",
        "freed",
        "programs",
        "site",
        "call",  # how tier 0 runs it; of a leaf: its node outside of segments
        "frozen",
        "plans",
        "ends",  # the segment ends here: a repeated block follows (`segments.repeats`)
    )

    def __repr__(self) -> str:
        ins = ", ".join(f"%{i.slot}" for i in self.ins)
        grad = " grad" if self.rg else ""
        return f"%{self.slot} = {self.op.name}({ins}): {self.m}{grad}"


def site_of(node: Node) -> tuple[str, int] | None:
    """File and line of the user's code that recorded a node."""
    return None if node.site is None else place(*node.site)


def place(code, at: int) -> tuple[str, int]:
    """File and line of an instruction."""
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if number is not None and start <= at < end:
            line = number
    return code.co_filename, line


class Writes:
    """A linked list of the writes on a path: which root, at which slot."""

    __slots__ = ("root", "slot", "before")

    def __init__(self, root, slot, before):
        self.root, self.slot, self.before = root, slot, before


class Macro:
    """A memoised run of operations: where it ends, what it made, which constants it recorded."""

    __slots__ = ("final", "results", "scalars", "leaves", "plan")


class Storage:
    """The identity of memory shared by tensors: its version, and whether NumPy can see it."""

    __slots__ = ("version", "exposed", "recorder", "segment", "node", "generation", "meta_tag")

    def __init__(self):
        self.version = self.generation = self.segment = 0
        self.exposed = False
        self.recorder = self.node = self.meta_tag = None


class Segment:
    """An executed stretch of a trace: its last node, autograd leaves and saved values."""

    __slots__ = ("final", "leaves", "saved", "versions", "freed", "hooks", "serial", "contexts")


NODES = 0  # nodes made and not pruned
MAX_NODES = 150_000
SOFT_OPS = 4_000  # at a repeating place (backward, mode switch), end a segment longer than this
HARD_OPS = 12_000  # anywhere
SWEPT_OPS = 256  # between the gradients of segments that are alike
MAX_PENDING_BYTES = 1 << 30
PRUNE_BYTES = 32 << 20  # of new results, after which a segment that runs at once drops dead ones
EAGER = os.environ.get("RUSHLIGHT_EAGER", "") not in ("", "0")
LOCK = threading.RLock()  # held by everything but a hit


class Stats:
    """Counters: nodes made (misses), programs built, flushes, bounded-cache prunes."""

    misses = programs = flushes = prunes = executed = 0

    @classmethod
    def snapshot(cls) -> dict[str, int]:
        """The counters now, with the number of nodes held."""
        names = ("misses", "programs", "flushes", "prunes", "executed")
        return {n: getattr(cls, n) for n in names} | {"nodes": NODES}


def make_node(parent: Node, op, args, ins, m: Meta, rg: bool) -> Node:
    """A new node below `parent`; the caller stores it in `parent.next` unless that is frozen."""
    global NODES
    NODES += 1
    v = new(Node)
    v.next, v.first_key, v.first = NO_CHILDREN, None, None
    v.parent, v.op, v.args, v.ins, v.m, v.rg = parent, op, args, ins, m, rg
    v.slot = parent.slot + 1
    v.outs = v.number = v.programs = v.site = v.call = None
    v.root = v
    v.grad_on, v.writes, v.freed, v.frozen = (
        parent.grad_on,
        parent.writes,
        parent.freed,
        parent.frozen,
    )
    v.ends = False
    v.nbytes = parent.nbytes + m.nbytes
    return v


NO_CHILDREN: dict = {}  # shared and never written


def child(node: Node, key):
    """The child of `node` along edge `key`, or None."""
    return node.first if node.first_key == key else node.next.get(key)


def add_child(node: Node, key, v) -> None:
    """Remember `v` as the child along `key`, unless the node is one that never remembers.

    While a segment runs at once, its new nodes stay its own until it ends (`publish`): if another
    thread extended them meanwhile, this one would find an edge that it has not executed.
    """
    if node.frozen:
        return
    tr = RECORDER.tr
    if tr.immediate:
        tr.unpublished.append((node, key, v))
    else:
        _attach(node, key, v)


def publish(tr) -> None:
    """Add the nodes of a segment that ran at once to the trie, where no other thread was faster."""
    for node, key, v in tr.unpublished:
        if child(node, key) is None:
            _attach(node, key, v)
    tr.unpublished = []


def _attach(node: Node, key, v) -> None:
    if node.first_key is None:
        node.first = v
        node.first_key = key
    elif node.next is NO_CHILDREN:
        node.next = {key: v}
    else:
        node.next[key] = v


def children(node: Node):
    """Pairs of key and child."""
    first = () if node.first_key is None else ((node.first_key, node.first),)
    return (*first, *node.next.items())


def set_children(node: Node, pairs: dict) -> None:
    """Replace all children."""
    node.first_key, node.first, node.next = None, None, NO_CHILDREN
    for key, v in pairs.items():
        _attach(node, key, v)


def _root(grad_on: bool | None) -> Node:
    v = new(Node)
    v.next, v.first_key, v.first = NO_CHILDREN, None, None
    v.parent, v.op, v.args, v.ins = None, ROOT, (), ()
    v.m, v.rg, v.slot, v.nbytes = None, False, -1, 0
    v.outs = v.number = v.programs = v.site = v.call = v.writes = None
    v.root, v.grad_on, v.freed, v.frozen, v.ends = v, grad_on, frozenset(), EAGER, False
    return v


# The gradient modes: on, off, and None for inference mode (off, and its tensors are marked).
ROOTS = {mode: _root(mode) for mode in (True, False, None)}
_idle: dict[tuple[Meta, bool | None], Node] = {}


def mode_key(mode: bool | None):
    """The key of the edge to a gradient mode."""
    return "inference" if mode is None else mode


def in_inference(v: Node) -> bool:
    """Whether the memory of value `v` was made in inference mode."""
    root = v.root
    return root.args[0] == INFERENCE if root.op is LEAF else root.grad_on is None


def idle(m: Meta, rg: bool | None) -> Node:
    """The shared node of tensors that are in no trace: it only tells Meta and requires_grad.

    rg None: the tensor was made in inference mode.
    """
    v = _idle.get((m, rg))
    if v is None:
        v = new(Node)
        v.next, v.first_key, v.first = NO_CHILDREN, None, None
        v.parent, v.op, v.args, v.ins, v.m, v.rg = None, IDLE, (), (), m, bool(rg)
        v.grad_on = None if rg is None else True
        v.slot, v.root, v.outs, v.number, v.frozen = -1, v, None, None, False
        _idle[m, rg] = v
    return v


class Recorder(threading.local):
    """Where one thread stands in the trie, and the running segment's dynamic data."""

    def __init__(self):
        self.tr = Position()
        self.owner = _Owner(self.tr)


class _Owner:
    """Goes away with its thread; then another thread may get the same identity."""

    def __init__(self, tr):
        self.tr = tr

    def __del__(self):
        self.tr.thread = 0


class Position:
    """The state of one thread's recording; `RECORDER.tr` is the calling thread's."""

    __slots__ = (
        "st",
        "ts",
        "leaves",
        "bufs",
        "scalars",
        "immediate",
        "likely",  # whether what is new seems to differ from what is known in sizes only; None: nothing is new yet
        "starts",  # {where an operation was recorded: how many came before it, how far from the last time}
        "saved",
        "hooks",
        "serial",
        "grad_on",
        "inference",
        "asked",
        "whole",  # above 0: segments do not end before repeated blocks
        "in_blocks",  # whether a segment has ended before a repeated block since the last optimiser's step
        "executed",
        "sweeping",
        "autocast",
        "prune_at",
        "unpublished",  # (node, key, child) of a segment that runs at once
        "saving",  # (pack, unpack) of the blocks that look at what is saved for gradients
        "thread",  # whose it is: its identity, 0 when it has ended
        "__weakref__",
    )

    def __init__(self):
        self.thread = threading.get_ident()
        self.saving: tuple = ()
        self.grad_on = True
        # inside of backward(), whose recording is replayed as a macro edge: where it was called
        self.sweeping = None
        self.autocast = None  # the half type of autocast, if it is on
        self.inference = self.in_blocks = False
        self.whole = 0
        self.leaves = self.ts = None
        self.asked = True  # what is_grad_enabled() says in inference mode
        self.start()

    def start(self):
        """Begin a segment at the root."""
        global _serial
        _serial += 1
        self.serial = _serial
        self.saved, self.hooks, self.immediate = None, None, EAGER
        self.unpublished: list = []
        self.likely = self.starts = None
        self.executed = -1
        self.prune_at = PRUNE_BYTES
        before = self.leaves, self.ts  # what goes away with them may record: not before all is new
        self.leaves, self.bufs, self.scalars, self.ts, self.st = (
            [],
            [],
            [],
            [],
            ROOTS[self.grad_on],
        )
        del before


_serial = 0
RECORDER = Recorder()
ENDS: dict[Node, None] = {}  # ends of executed segments, least recently used first


def path_of(node: Node) -> list[Node]:
    """The nodes from the root to `node`."""
    path = []
    while node is not None:
        path.append(node)
        node = node.parent
    path.reverse()
    return path


def forget() -> None:
    """Drop the whole trie (a global setting that inference depends on has changed)."""
    global NODES
    from .segments import flush

    flush()
    with LOCK:
        for root in ROOTS.values():
            set_children(root, {})
        ENDS.clear()
        NODES = 0


def set_eager(on: bool) -> None:
    """Switch the debugging mode of RUSHLIGHT_EAGER=1: each operation runs at once, alone."""
    global EAGER
    forget()
    with LOCK:
        EAGER = on
        for root in ROOTS.values():
            root.frozen = on
        RECORDER.tr.start()


def prune() -> None:
    """Keep the most recently executed half of the trie's paths; called between segments."""
    global NODES
    keep: set[Node] = set()
    ends = list(ENDS)
    newest = ends[len(ends) // 2:]
    budget = MAX_NODES // 2
    for end in reversed(newest):
        node = end
        fresh = []
        while node is not None and node not in keep:
            fresh.append(node)
            node = node.parent
        if len(keep) + len(fresh) > budget and keep:
            break
        keep.update(fresh)
    ENDS.clear()
    ENDS.update((e, None) for e in newest if e in keep)
    keep.update(ROOTS.values())
    metas = {k.m for k in keep if k.m is not None}
    for node in keep:
        set_children(
            node,
            {k: v for k, v in children(node) if (v.final if type(v) is Macro else v) in keep},
        )
    for v in _idle.values():
        metas.add(v.m)
    metas.add(meta((), SCALAR_DTYPE()))
    keep_interned(metas)
    NODES = len(keep)
    Stats.prunes += 1


def SCALAR_DTYPE():
    """The default dtype (kept interned: nearly every program has a scalar of it)."""
    from .dtypes import get_default_dtype

    return get_default_dtype()
