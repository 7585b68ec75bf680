"""Programs: an executed stretch of a trace as straight-line Python.

`build` turns (path in the trie, values wanted at its end) into a `Program`: dead operations are left
out, inputs are cast as tier 0 learnt, and results of plain NumPy functions go into memory that is
free. The first runs interpret the list of instructions; a program that comes back is compiled to a
Python function. The source text holds no shapes or constants, so programs that differ only in
those share one compiled function.

A node is taken as it is (this layer imports nothing from the trace): `op`, `args`, `ins`, `root`,
`call`, `number`, `m`.
"""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter as clock

import numpy as np

from . import tier0

HOT_AFTER = 2
COST = 2e-4  # seconds in tier 0, for each operation, after which a program is compiled: about what that takes
SHARED = 5  # times as much, for a form that programs of many sizes share
LONG = 5e-3  # seconds: a program that takes longer may be compiled after its first run, and waits for it
WATCH: list = []  # functions that see each run of a program first (`tools/explain.py`)
TIER1: list = [None]  # the compiler's: takes a program and its numbers, says whether that is settled
OFFER: list = [None]  # the compiler's, while it rests: called before a program runs
AT_START: list = []  # functions that are called once with the compiler's loader, when there is native code
FAMILY: list = [None]  # the compiler's: told of a program's first run, may give it a native form at once; whether to tell it again
PATIENCE = 6  # new programs without a shared form after which what is new runs at once again
HOPES = [0]  # above 0: new programs may find a shared form, so they are deferred; each that does not takes one
DOUBT = [1]  # doubles when hopes were in vain: so many times as many like segments until there are new ones
MOST_COMPILED = 512  # functions that are kept for programs with the same source
_COMPILED: dict[str, object] = {}


class Instruction:
    """One step of a program: what to run, where its operands are, what dies after it."""

    __slots__ = ("node", "kind", "call", "args", "out", "dead", "into", "writes", "consts")

    def __repr__(self) -> str:
        return f"{self.kind} {self.node!r}"


class Program:
    """The executable form of a path; called with leaf buffers and scalars, returns arrays."""

    __slots__ = (
        "instructions", "wanted", "saved", "runs", "function", "source", "consts", "lines", "facts",
        "native", "plain", "seconds", "spent", "offered", "pending", "family",
        "tried", "early",
    )
    points: dict = {}  # where it looks for NaN: see `nans.py`

    def __init__(self, instructions, wanted, saved):
        self.instructions, self.wanted, self.saved = instructions, wanted, saved
        self.runs = 0
        self.function = self.source = self.consts = self.lines = self.facts = self.native = self.plain = None
        self.seconds = self.spent = 0.0  # that a run in tier 0 takes, and all of them took
        # whether tier 1 has got it, or would have nothing to do
        self.offered = not instructions or any([_on_meta(i.node) for i in instructions])
        self.pending = None  # an event while the compiler has it
        self.family = None  # of programs that differ only in sizes: `runs` and `spent` of all of them
        self.tried = None  # the family's newest form when this looked for one
        self.early = False  # whether the compiler was on its way then

    def __repr__(self) -> str:
        return f"Program({len(self.instructions)} instructions, {len(self.wanted)} results)"

    def __call__(self, bufs, scalars):
        if WATCH:
            return WATCH[-1](self, bufs, scalars)
        if self.native is not None and OFFER[0] is None:  # sooner: what of it is in tier 0 silences NumPy itself
            return self.function(bufs, scalars, self.consts)
        return self.run(bufs, scalars)

    def run(self, bufs, scalars):
        """The results of one run; HOT_AFTER runs are interpreted, then it is compiled to Python.

        While the compiler makes native code, a long program waits, no longer than tier 0 would take.
        """
        offer = OFFER[0]  # read once: the compiler's thread may take it away at any time
        if offer is not None:
            offer()
        token = tier0.silence(tier0.QUIET)
        try:
            if not self.offered or self.function is None:
                return self._on_trial(bufs, scalars)
            pending = self.pending
            if pending is not None and self.seconds > LONG:
                pending.wait(self.seconds)
                if self.native is None:
                    return self._timed(bufs, scalars)
            return self.function(bufs, scalars, self.consts)
        finally:
            tier0.restore(token)

    def _on_trial(self, bufs, scalars):
        """A run in tier 0 that is timed; at its end, tier 1 may take the program."""
        self.runs += 1
        if not self.offered and FAMILY[0] is not None and (
            self.runs == 1 or self.early or self.family is not None and self.family.newest is not self.tried
        ):
            self.early = FAMILY[0](self, scalars)
            if self.native is not None:
                return self.function(bufs, scalars, self.consts)
        if not self.offered and (self.runs > HOT_AFTER or self._in_a_large_family):
            self._offer(scalars)
        made = self._timed(bufs, scalars)
        if self.family is not None:
            self.family.runs += 1
            self.family.spent += self.seconds
        again = self.runs > 1 or HOPES[0] <= 0 or self._in_a_large_family or (
            self.spent > SHARED * COST * len(self.instructions))  # then a form of its own has paid, whatever comes
        if not self.offered and self.seconds > LONG and self.worth_compiling and again:
            self._offer(scalars)
        return made

    def _timed(self, bufs, scalars):
        """A run in tier 0, and how long such a run takes at least: one may have been disturbed."""
        begin = clock()
        if self.function is None:
            made = self.interpret(bufs, scalars)
        else:
            made = self.function(bufs, scalars, self.consts)
        took = clock() - begin
        self.seconds = min(self.seconds or took, took)
        self.spent += self.seconds
        return made

    @property
    def worth_compiling(self) -> bool:
        """Whether so much time was spent in tier 0 that compiling it will probably pay."""
        return self.spent > COST * len(self.instructions) or self._in_a_large_family

    @property
    def _in_a_large_family(self) -> bool:
        """Whether a form that all of its family share will probably pay: planning one takes longer."""
        f = self.family
        return (f is not None and not f.hopeless and f.runs > HOT_AFTER
                and f.spent > f.price * SHARED * COST * len(self.instructions))

    def _offer(self, scalars):
        if self.function is None:
            self._as_python()
        self.offered = TIER1[0] is None or TIER1[0](self, scalars)

    def _as_python(self):
        compile_program(self)
        self.function = self.plain

    def in_tier0(self, bufs, scalars):
        """Run as straight-line Python, also when there is a native form."""
        if self.plain is None:  # the native form came first
            compile_program(self)
        token = tier0.silence(tier0.QUIET)
        try:
            return self.plain(bufs, scalars, self.consts)
        finally:
            tier0.restore(token)

    def interpret(self, bufs, scalars):
        """Run the instructions one by one, without reuse of memory: the plain version."""
        values: dict = {}
        places = values, bufs, scalars
        i = None
        try:
            for i in self.instructions:
                run_instruction(i, [_fetch(a, places) for a in i.args], values)
                for n in i.dead:
                    values.pop(n, None)
        except Exception as e:
            e.rushlight_failure = (values, i.node)
            raise
        return tuple([_fetch(operand(n), places) for n in (*self.wanted, *self.saved)])

    def after_failure(self, error):
        """({node: array} of what was computed before an error, the node that failed)."""
        found = getattr(error, "rushlight_failure", None)
        if found is not None:
            if self.native is not None:
                return self.native.computed(error.__traceback__, self, found[1]) or found[0], found[1]
            return found
        if self.native is not None and self.native.raised(error.__traceback__):  # (it may have come meanwhile)
            return {}, self.native.allocating(error.__traceback__)
        tb, frame = error.__traceback__, None
        while tb is not None:
            if tb.tb_frame.f_code.co_filename == "<rushlight program>":
                frame, line = tb.tb_frame, tb.tb_lineno
            tb = tb.tb_next
        if frame is None or self.lines is None:
            return {}, None
        done, names = {}, frame.f_locals
        for i, number in zip(self.instructions, self.lines, strict=True):
            if number >= line:
                return done, i.node
            for n in outputs(i.node):
                value = names.get(f"v{n.slot}_{n.number or 0}" if n.op.name == "get"
                                  else f"v{n.slot}")
                if value is not None:
                    done[n] = value
        return done, None


def add_what_lies_there(program: Program, values: dict, failed, bufs, scalars) -> None:
    """Add to {node: array} of whole results, for the instructions before `failed`, their views and what has no elements."""
    places = values, bufs, scalars
    for i in program.instructions:
        n = i.node
        if n is failed:
            return
        if n in values or n.outs:
            continue
        if i.kind in ("alias", "restride") or n.op.view or i.kind == "write" and n.root in values:
            with suppress(KeyError):  # of something that is not whole
                args = [_fetch(a, places) for a in i.args]
                if i.kind == "write":  # it has been done
                    values[n] = args[0]
                else:
                    run_instruction(i, args, values)
        elif i.kind == "call" and 0 in n.m.shape:
            values[n] = np.empty(n.m.shape, n.m.dtype.np)


def _on_meta(node) -> bool:
    """Whether an operation computes nothing: its result is on the meta device."""
    return node.m.placeholder is not None


def below(watcher, program: Program, bufs, scalars):
    """A run as an entry of WATCH finds it: the entry before it makes it, or the program itself."""
    at = WATCH.index(watcher)
    return WATCH[at - 1](program, bufs, scalars) if at else program.run(bufs, scalars)


def aside(scalars) -> list:
    """A program's numbers, with each generator as a copy that goes on from its state: for running it once more."""
    copies: dict = {}
    return [copies.setdefault(x, x._aside()) if hasattr(x, "_aside") else x for x in scalars]


def _fetch(x, places):
    """The value of an operand; places: (values, leaf buffers, scalars)."""
    kind, what = x
    if kind == "value":
        return places[0][what]
    if kind == "leaf":
        return places[1][what]
    if kind == "scalar":
        return places[2][what]
    if kind == "list":
        return tuple([_fetch(i, places) for i in what])
    return what


def outputs(node):
    """The nodes that an instruction defines."""
    return node.outs or (node,)


def operand(x):
    """Where an argument is: ("value", node), ("leaf", number), ("scalar", number), ("const", x)."""
    if hasattr(x, "root"):
        name = x.op.name
        if name == "leaf":
            return "leaf", x.number
        if name == "scalar":
            return "scalar", x.number
        return "value", x
    return "const", x


SILENT = {"root", "mode", "leaf", "scalar", "get", "idle", "function"}


def run_instruction(i: Instruction, args, values) -> None:
    """Execute one instruction into `values`."""
    node, kind = i.node, i.kind
    if kind == "alias":
        values[node] = args[0]
    elif kind == "write":
        write(args[0], args[1])
        values[node] = args[0]
    elif kind == "restride":
        values[node] = args[1](args[0])
    else:
        call = i.call
        for at, d in call.casts:
            args[at] = tier0.cast(args[at], d)
        result = call.function(*args)
        if call.fixes:
            fixed = fix_each(result, call.metas, args) if call.several else tier0.rerun_fix(
                result, call.metas, args)
            if call.fixes is tier0.UNKNOWN:
                tier0.learnt(call, result, fixed)
            result = fixed
        if call.several:
            for n, r in zip(node.outs, result, strict=True):
                values[n] = r
        elif kind == "call":
            values[node] = result


def write(dst, src) -> None:
    """Overwrite `dst` with `src`, broadcast and cast to it."""
    if src.__class__ is np.ndarray and src.dtype.kind == "c" and dst.dtype.kind != "c":
        src = src.real
    np.copyto(dst, src, casting="unsafe")


def fix_each(results, metas, args):
    """`tier0.rerun_fix` for several outputs."""
    return [tier0.rerun_fix(r, m, args) for r, m in zip(results, metas, strict=True)]


def build(path, wanted, saved, restride, kind=Program) -> Program:
    """The Program that runs `path` and returns the values of `wanted` and `saved`.

    Pure operations whose result is not needed are dropped; writes are kept if the memory is needed
    later or comes from outside. restride(args) makes the function of a regenerated view. kind: the class.
    """
    needed, roots, kept = set(), set(), []
    for n in (*wanted, *saved):
        needed.add(n)
        roots.add(n.root)
    for n in reversed(path):
        name = n.op.name
        if name in SILENT:
            continue
        special = not hasattr(n.op, "kinds")
        targets = (n.ins[0],) if name == "write" and special else ()
        if not special and n.op.mutates:
            targets = tuple(n.args[j] for j in n.op.mutates if n.args[j] is not None)
        if targets:
            keep = n in needed or any(
                t.root in roots or t.root.op.name == "leaf" for t in targets
            )
        elif n.op.random:
            keep = True
        else:
            keep = any(o in needed for o in outputs(n))
        if not keep:
            continue
        kept.append(n)
        for x in n.ins:
            needed.add(x)
            roots.add(x.root)
            if x.op.name == "get":
                needed.add(x.ins[0])
    kept.reverse()
    return kind(plan(kept, (*wanted, *saved), restride), tuple(wanted), tuple(saved))


def plan(kept, results, restride):
    """Instructions of the kept nodes, with what dies after each and which memory it may reuse."""
    last: dict = {}
    for at, n in enumerate(kept):
        for x in (*n.ins, n):
            last[x.root] = at
    for n in results:
        last[n.root] = len(kept)
    own: dict = {}  # last use of the node itself: after it, the variable is dropped
    for at, n in enumerate(kept):
        for x in (*n.ins, *outputs(n)):
            own[x] = at
    for n in results:
        own[n] = len(kept)
    instructions = []
    for at, n in enumerate(kept):
        i = Instruction()
        i.node, i.call, i.into, i.writes, i.consts = n, n.call, None, None, ()
        name = n.op.name
        if hasattr(n.op, "kinds"):
            i.kind = "mutate" if n.op.mutates else "call"
            i.args = [
                ("list", tuple([operand(e) for e in a]))
                if a.__class__ is tuple and a and hasattr(a[0], "root")
                else operand(a)
                for a in n.args
            ]
        elif name == "write":
            i.kind, i.args = "write", [operand(n.ins[0]), operand(n.ins[1])]
        elif name == "restride":
            i.kind, i.args = "restride", [operand(n.ins[0]), ("const", restride(n))]
        else:
            i.kind, i.args = "alias", [operand(n.ins[0])]
        if n.op.__class__.__name__ == "Operator" and n.op.ufunc is not None and not n.outs:
            i.into = _reusable(n, at, last)
        i.dead = [x for x in dict.fromkeys((*n.ins, *outputs(n))) if own[x] == at]
        instructions.append(i)
    return instructions


def _reusable(n, at, last):
    """An input whose memory the result may take: an own, dying buffer of the same layout."""
    if n.call.fixes or n.m.weak or n.m.ndim == 0:
        return None
    for x in n.ins:
        r = x.root
        if (
            x is r
            and r.op.__class__.__name__ == "Operator"
            and last[r] == at
            and r.m is n.m
            and not r.op.view
        ):
            return x
    return None


def compile_program(p: Program) -> None:
    """Write the program as Python source, and compile it (once for each distinct source) as its `plain` function."""
    emit = _Emitter()
    for i in p.instructions:
        emit.instruction(i)
    names = [emit.name(operand(n)) for n in (*p.wanted, *p.saved)]
    emit.lines.append(f"return ({''.join(n + ', ' for n in names)})")
    parameters = ", ".join(f"c{j}" for j in range(len(emit.consts)))
    head = ["def program(bufs, scalars, consts):"]
    if parameters:
        head.append(f"    {parameters}, = consts")
    p.lines = [number + len(head) + 1 for number in emit.starts]
    source = "\n".join(head + ["    " + line for line in emit.lines]) + "\n"
    function = _COMPILED.get(source)
    if function is None:
        space = {"cast": tier0.cast, "fix": tier0.rerun_fix, "fix_each": fix_each, "write": write}
        exec(compile(source, "<rushlight program>", "exec"), space)
        function = space["program"]
        if len(_COMPILED) > MOST_COMPILED:
            _COMPILED.clear()
        _COMPILED[source] = function
    p.source, p.plain, p.consts = source, function, tuple(emit.consts)


class _Emitter:
    """Writes instructions as Python; constants and functions are parameters c0, c1, ..."""

    def __init__(self):
        self.lines, self.consts, self.starts = [], [], []
        self.known: dict = {}

    def const(self, x) -> str:
        at = self.known.get(id(x))
        if at is None:
            at = self.known[id(x)] = len(self.consts)
            self.consts.append(x)
        return f"c{at}"

    def name(self, x) -> str:
        kind, what = x
        if kind == "value":
            if what.op.name == "get":
                return f"v{what.slot}_{what.number}"
            return f"v{what.slot}"
        if kind == "leaf":
            return f"bufs[{what}]"
        if kind == "scalar":
            return f"scalars[{what}]"
        if kind == "list":
            return f"({''.join(self.name(i) + ', ' for i in what)})"
        if what is None or what is True or what is False:
            return repr(what)
        return self.const(what)

    def instruction(self, i: Instruction) -> None:
        self.starts.append(len(self.lines))
        n = i.node
        args = [self.name(a) for a in i.args]
        out = f"v{n.slot}"
        if i.kind == "alias":
            self.lines.append(f"{out} = {args[0]}")
        elif i.kind == "write":
            self.lines.append(f"write({args[0]}, {args[1]})")
            if n not in i.dead:
                self.lines.append(f"{out} = {args[0]}")
        elif i.kind == "restride":
            self.lines.append(f"{out} = {args[1]}({args[0]})")
        else:
            call = i.call
            for at, d in call.casts:
                args[at] = f"cast({args[at]}, {self.const(d)})"
            reuse = ""
            if i.into is not None:
                reuse = f", {self.name(operand(i.into))}"
            expression = f"{self.const(call.function)}({', '.join(args)}{reuse})"
            if i.kind == "mutate":
                self.lines.append(expression)
            elif call.several:
                if call.fixes:
                    operands = "".join(a + ", " for a in args if a[0] == "v" or a[0] == "b")
                    expression = f"fix_each({expression}, {self.const(call.metas)}, ({operands}))"
                names = [self.name(operand(o)) for o in n.outs]
                self.lines.append(f"{', '.join(names)}, = {expression}")
            else:
                if call.fixes:
                    operands = "".join(a + ", " for a in args if a[0] == "v" or a[0] == "b")
                    expression = f"fix({expression}, {self.const(call.metas)}, ({operands}))"
                self.lines.append(f"{out} = {expression}")
        hidden = i.kind == "mutate" or (i.kind == "write" and n in i.dead)
        gone = [
            self.name(operand(x))
            for x in i.dead
            if x.op.name not in ("leaf", "scalar", "root") and not (hidden and x is n)
        ]
        if gone:
            self.lines.append(" = ".join(gone) + " = None")
