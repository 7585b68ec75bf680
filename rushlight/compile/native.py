"""A program as native code: its calls, their argument blocks, its memory, and the Python around them.

`build` lowers a Program, groups its loops, plans memory, loads the kernels and writes one short Python
function: it makes the arrays of results, launches each stretch of kernels with one call, runs in tier 0
what has no loops, and returns the arrays that the program promises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from ..interpret import program as tier0_program
from ..interpret import tier0
from . import failures, memory, templates
from .blocks import LONG, Block, Launch, Layout, go_on, nbytes_of, span, stretches
from .kernels.call import Call, flat
from .lowering import base_of
from .steps import Step, steps_of
from .threads import return_freed_memory, runtime


class Arena:
    """Memory for temporaries: one block that all programs use in turn, and that only grows."""

    block = np.empty(0, np.uint8)
    address = 0
    room = 0  # bytes from the address on

    @classmethod
    def reserve(cls, nbytes: int) -> int:
        """The address of at least so many bytes; an earlier block lives as long as a program runs in it."""
        if nbytes > cls.room:
            cls.block, cls.address, cls.room = np.empty(0, np.uint8), 0, 0
            return_freed_memory()  # of tier 0, most often
            cls.block = np.empty(nbytes + 4096, np.uint8)
            start = cls.block.ctypes.data
            cls.address = -(-start // 64) * 64
            cls.room = start + cls.block.nbytes - cls.address
        return cls.address


class NativeProgram:
    """What `build` makes; called like a Program's function."""

    def __init__(self, planned: Callable[[], list[Step]]):
        """planned: tells its steps, when somebody asks."""
        self._planned = planned
        self.source = ""
        self.arena = 0
        self.held: list = []  # code and blocks whose addresses native code knows
        self.function = None
        self.bind = None  # makes the function, given a launcher
        self.plans: dict = {}  # address of a launch's plan: (plan, table of calls, the step of each call)
        self.done: dict = {}  # node with an array: (its place, the line that makes it whole, which call)
        self.allocates: dict = {}  # line of the source: the node whose array it makes
        self.arrays: list = []  # nodes whose memory is an array of its own
        self.lives: list = []  # (root, first item, last item, bytes, offset) of what is in the arena

    def __repr__(self) -> str:
        return (f"NativeProgram({len(self.calls)} calls, {len(self.in_tier0)} in tier 0, "
                f"{self.arena} bytes)")

    @functools.cached_property
    def steps(self) -> list[Step]:
        """What it does, in order."""
        return self._planned()

    @property
    def calls(self) -> list[Call]:
        """All calls, those of loops as often as they are made."""
        return [c for s in self.steps for c in flat(s.calls)]

    def calls_of(self, address: int) -> list[Call]:
        """The calls of the launch whose plan is at this address."""
        return [c for at in dict.fromkeys(self.plans[address][2]) for c in flat(self.steps[at].calls)]

    @property
    def in_tier0(self) -> list[Step]:
        """The steps that tier 0 runs."""
        return [s for s in self.steps if s.why is not None]

    def computed(self, traceback, program, failed) -> dict:
        """{node: array} of the results that were whole when an error was raised, and of their views. failed: the node."""
        frame, line = self._raised(traceback)
        if frame is None:
            return {}
        arrays = frame.f_locals.get("arrays", ())
        number = frame.f_locals.get("r", 0)  # of the call that failed, if one was launched before
        values = {
            n: arrays[at] for n, (at, whole, call) in self.done.items()
            if whole < line and (not call or whole + 1 < line or call < number)
        }
        tier0_program.add_what_lies_there(program, values, failed, frame.f_locals["bufs"], frame.f_locals["scalars"])
        return values

    def raised(self, traceback) -> bool:
        """Whether an error came through the native form."""
        return self._raised(traceback)[0] is not None

    def allocating(self, traceback):
        """The node whose array was being made when an error was raised, or None."""
        return self.allocates.get(self._raised(traceback)[1])

    def _raised(self, traceback) -> tuple:
        """(frame of the function, line) that an error came through; (None, 0) if it did not."""
        while traceback is not None:
            if traceback.tb_frame.f_code is self.function.__code__:
                return traceback.tb_frame, traceback.tb_lineno
            traceback = traceback.tb_next
        return None, 0


def build(program, scalars=(), more=(), pause=go_on) -> NativeProgram:
    """The native form of a Program; `scalars` are numbers that it was just run with.

    more: nodes whose values are returned after the program's own results.
    pause: called again and again on the way.

    Where its operations branch on such numbers, it holds for numbers that take the same branches.
    """
    results = (*program.wanted, *program.saved, *more)
    found = None if more else templates.planned(program, scalars, pause)
    if found is not None:
        return member(program, found)
    steps, conditions = steps_of(program, scalars, results, pause)
    return _assembled(program, steps, conditions, results, pause)


def member(program, found: templates.Member) -> NativeProgram:
    """The native form of a member of a family."""
    results, template = (*program.wanted, *program.saved), found.template
    if template.layout is None:
        return _assembled(program, template.steps(found.outline), template.conditions, results)
    nodes = found.outline.nodes
    made = NativeProgram(lambda: template.steps(templates.outline(program)))
    made.held.append(template)
    made.lives, offsets, made.arena = template.places(found)
    emitter = _Emitter(made, program, {nodes[at]: k for k, at in enumerate(template.arrays)},
                       {nodes[at] for at in template.fallback_made}, template.error_word)
    for part in template.parts:
        if isinstance(part, int):
            emitter.in_tier0(program.instructions[part])
        else:
            emitter.launch(part.cast(found, offsets))
    emitter.finish(results, template.conditions)
    return made


def _assembled(program, steps: list[Step], conditions: dict[str, bool], results, pause=go_on):
    """The NativeProgram of planned steps. conditions: on numbers, under which they hold."""
    made = NativeProgram(lambda: steps)
    layout = Layout(steps, results)
    sizes = [nbytes_of(r) for r, _, _ in layout.lives]
    offsets, made.arena = memory.place([(first, last, n) for (_, first, last), n in zip(layout.lives, sizes, strict=True)])
    made.lives = [(*life, n, at) for life, n, at in zip(layout.lives, sizes, offsets, strict=True)]
    arena_at = {r: at for (r, _, _), at in zip(layout.lives, offsets, strict=True)}
    error_word = np.zeros(1, np.int64)
    made.held.append(error_word)
    emitter = _Emitter(made, program, layout.array_of, layout.fallback_made, error_word)
    for part in stretches(steps):
        if isinstance(part, int):
            emitter.in_tier0(steps[part].instructions[0])
        else:
            block = Block(steps, part, layout, error_word, pause)
            made.held += block.held
            in_arena = np.array([(at, arena_at[r] + offset) for at, r, offset in block.arena], np.int64).reshape(-1, 2)
            more = block.more_arena(arena_at)
            emitter.launch(Launch(
                block.words, block.table, block.patches(), block.scalars(), np.concatenate([in_arena, *more]),
                block.seconds > LONG, block.owners, block.whole,
            ))
    emitter.finish(results, conditions)
    return made


class _Emitter:
    """Writes the Python function of a native program."""

    def __init__(self, made: NativeProgram, program, array_of: dict, fallback_made, error_word: np.ndarray):
        self.made, self.program, self.array_of, self.error_word = made, program, array_of, error_word
        self.fallback_made = fallback_made
        self.lines: list[str] = []
        self.names: dict = {}
        self.consts: list = []
        self.patchers: list = []
        self.done: dict = {}
        self.made_at: dict = {}  # line: node
        made.arrays = list(array_of)
        for root, at in array_of.items():
            if root in fallback_made:
                continue
            m = root.m
            shape, dtype = self.const(tuple(m.shape)), self.const(m.dtype.np)
            self.made_at[len(self.lines)] = root
            if root.op.name == "leaf":  # a Python number that an earlier segment has saved
                self.lines.append(f"arrays[{at}] = array(bufs[{root.number}], {dtype})")
                continue
            if m.contiguous:
                self.lines.append(f"arrays[{at}] = empty({shape}, {dtype})")
            else:
                self.lines.append(f"arrays[{at}] = strided({self.const(m)})")
            self.names[root] = f"arrays[{at}]"

    def const(self, x) -> str:
        self.consts.append(x)
        return f"c{len(self.consts) - 1}"

    def value(self, n) -> str:
        """The Python expression of a value's array; writes what makes it."""
        found = self.names.get(n)
        if found is not None:
            return found
        name = n.op.name
        if name == "leaf":
            return f"bufs[{n.number}]"
        if name == "scalar":
            return f"scalars[{n.number}]"
        if getattr(n.op, "shares", False) and name != "restride":
            made = self.value(n.ins[0])
        else:
            line = self._view(n, name)
            made = f"v{len(self.names)}"
            self.lines.append(f"{made} = {line}")
        self.names[n] = made
        return made

    def _view(self, n, name: str) -> str:
        """What makes a view: NumPy's array at its place, however many views led there, if that is in an array of the program.

        (NumPy's own functions take ten times as long.)
        """
        m, root = n.m, n.root
        mine = root.op.name != "leaf" and root in self.array_of and root not in self.fallback_made
        if mine and root.m.contiguous and m.dtype is root.m.dtype and m.numel:
            start = (m.offset - root.m.offset) * m.dtype.itemsize
            shape, dtype, start, strides = map(self.const, (tuple(m.shape), m.dtype.np, start, m.np_strides))
            return f"view({shape}, {dtype}, {self.value(root)}, {start}, {strides})"
        source = self.value(n.ins[0])
        if name == "restride":
            i = next(i for i in self.program.instructions if i.node is n)
            return f"{self.const(i.args[1][1])}({source})"
        rest = "".join(", " + self._operand(tier0_program.operand(a)) for a in n.args[1:])
        return f"{self.const(n.call.function)}({source}{rest})"

    def _operand(self, a) -> str:
        kind, what = a
        if kind == "value":
            return self.value(what)
        if kind == "leaf":
            return f"bufs[{what}]"
        if kind == "scalar":
            return f"scalars[{what}]"
        if kind == "list":
            return f"({''.join(self._operand(x) + ', ' for x in what)})"
        return self.const(what)

    def in_tier0(self, i) -> None:
        """One instruction in tier 0."""
        n = i.node
        args = "".join(self._operand(a) + ", " for a in i.args)
        step = self.const(functools.partial(_run, i))
        outs = n.outs or (n,)
        if i.kind in ("write", "mutate"):
            self.lines.append(f"{step}(({args}))")
            return
        made = [f"v{len(self.names)}_{j}" for j in range(len(outs))]
        self.lines.append(f"{', '.join(made)}, = {step}(({args}))")
        for o, name in zip(outs, made, strict=True):
            self.names[o] = name
            at = self.array_of.get(o)
            if at is not None:
                self.done[o] = len(self.lines), 0
                self.lines.append(f"arrays[{at}] = {name}")

    # ------------------------------------------------------------ launches

    def launch(self, x: Launch) -> None:
        """One native call for consecutive kernels, and loops of kernels."""
        made = self.made
        plan = np.array([len(x.table), x.table.ctypes.data, int(x.long), len(x.arrays), x.arrays.ctypes.data,
                         len(x.numbers), x.numbers.ctypes.data], np.int64)
        made.held += [x.words, x.table, x.arrays, x.numbers, plan]
        made.plans[plan.ctypes.data] = plan, x.table, x.owners
        self.patchers.append((x.words, x.arena))
        for r, calls in x.whole:
            self.done[r] = len(self.lines), calls
        failed = self.const(functools.partial(_failed, self.program, made, self.error_word, x.owners))
        self.lines.append(f"r = launch({self.const(plan.ctypes.data)}, scalars, bufs, arrays)")
        self.lines.append(f"if r: {failed}(r, bufs, scalars)")

    def finish(self, results, conditions: dict[str, bool]) -> None:
        """Compile the function, which returns `results` and holds under `conditions` on numbers."""
        made = self.made
        names = [self.value(n) for n in results]
        self.lines.append(f"return ({''.join(n + ', ' for n in names)})")
        count = len(self.array_of)
        patchers = [(words, a[:, 0].astype(np.intp), a[:, 1].copy()) for words, a in self.patchers if len(a)]
        state = [0]

        def settle():
            """Point at the arena, if it has moved since the last run."""
            address = Arena.reserve(made.arena)
            if address != state[0]:
                for words, places, offsets in patchers:
                    words[places] = offsets + address
                state[0] = address

        head = "def program(bufs, scalars, _):\n"
        body = [f"if arena.address != state[0] or arena.room < {self.const(made.arena)}: settle()",
                "block = arena.block", f"arrays = [None] * {count}"] if patchers else [f"arrays = [None] * {count}"]
        held = [s if true else f"not {s}" for s, true in conditions.items()]
        if held:
            other = self.const(self.program.in_tier0)
            body.insert(0, f"if not ({' and '.join(held)}): return {other}(bufs, scalars)")
        parameters = ", ".join(f"c{j}" for j in range(len(self.consts)))
        start = len(body) + 4 if parameters else len(body) + 3  # of self.lines in the source
        made.allocates = {at + start: n for at, n in self.made_at.items()}
        made.done = {n: (self.array_of[n], at + start, call)
                     for n, (at, call) in self.done.items()}
        body += self.lines
        source = "def make(launch, empty, view, strided, array, settle, arena, state, consts):\n"
        if parameters:
            source += f"    {parameters}, = consts\n"
        source += "    " + head + "".join(f"        {line}\n" for line in body)
        source += "    return program\n"
        space: dict = {}
        exec(_code(source), space)
        made.source = source
        made.bind = lambda launch: space["make"](
            launch, np.empty, np.ndarray, _strided, _array, settle, Arena, state, self.consts
        )
        made.function = made.bind(runtime().launch)


@functools.lru_cache(256)
def _code(source: str):
    """The compiled source: programs that differ only in sizes have the same."""
    return compile(source, "<rushlight native program>", "exec")


def _strided(m):
    """An empty array with a Meta's dense strides."""
    flat = np.empty(max(span(m), 1), m.dtype.np)
    return np.lib.stride_tricks.as_strided(flat, m.shape, m.np_strides)


def _array(number, dtype):
    """A Python number as an array; one that is too large is infinite."""
    token = tier0.silence(tier0.QUIET)
    try:
        return np.array(number, dtype)
    finally:
        tier0.restore(token)


def _run(i, args):
    """One instruction in tier 0: a tuple of its results."""
    call, values = i.call, {}
    token = tier0.silence(tier0.QUIET)
    try:
        if i.kind == "call" and not (call.casts or call.fixes or call.several):  # the usual case, sooner
            return (call.function(*args),)
        args = list(args)
        if i.kind == "write":
            tier0_program.write(args[0], args[1])
        else:
            tier0_program.run_instruction(i, args, values)
    except Exception as e:
        e.rushlight_failure = ({}, i.node)
        raise
    finally:
        tier0.restore(token)
    return tuple(values[n] for n in i.node.outs or (i.node,)) if i.kind == "call" else ()


def _failed(program, native, word, owners, number, bufs, scalars):
    """Raise for the kernel that noted a wrong value; a NaN from outside only gives a warning."""
    word[0] = 0
    owner = owners[number - 1]
    step = native.steps[owner]
    token = tier0.silence(tier0.QUIET)
    try:
        if step.look is not None:
            step.look.found(number - 1 - owners.index(owner), bufs, scalars)
        else:
            failures.fail(program, step.instructions, bufs, scalars)
    finally:
        tier0.restore(token)


__all__ = ["Arena", "NativeProgram", "base_of", "build", "member", "runtime"]
