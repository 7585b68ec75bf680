"""A program as native code: its calls, their argument blocks, its memory, and the Python around them.

`build` lowers a Program, groups its loops, plans memory, loads the kernels and writes one short Python
function: it makes the arrays of results, launches each stretch of kernels with one call, runs in tier 0
what has no loops, and returns the arrays that the program promises.
"""

from __future__ import annotations

import functools

import numpy as np

from ..interpret import program as tier0_program
from ..interpret import tier0
from . import failures, memory, templates
from .expressions import Constant, Temporary, owned
from .kernels.call import Address, Call, ErrorWord, Loop, Scalar, Workspace, distinct, flat
from .llvm import objects
from .lowering import base_of
from .steps import Step, steps_of
from .threads import MOST_THREADS, return_freed_memory, runtime

LONG = 2e-4  # seconds of estimated work from which the GIL is released
FLOPS, BYTES = 3e10, 1e10  # a second, for that estimate


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

    def __init__(self):
        self.source = ""
        self.steps: list[Step] = []
        self.calls: list[Call] = []
        self.arena = 0
        self.held: list = []  # code and blocks whose addresses native code knows
        self.function = None
        self.bind = None  # makes the function, given a launcher
        self.plans: dict = {}  # address of a launch's plan: (plan, table of calls, the calls)
        self.done: dict = {}  # node with an array: (its place, the line that makes it whole, which call)
        self.allocates: dict = {}  # line of the source: the node whose array it makes
        self.arrays: list = []  # nodes whose memory is an array of its own
        self.lives: list = []  # (root, first item, last item, bytes, offset) of what is in the arena

    def __repr__(self) -> str:
        return (f"NativeProgram({len(self.calls)} calls, {len(self.in_tier0)} in tier 0, "
                f"{self.arena} bytes)")

    @property
    def in_tier0(self) -> list[Step]:
        """The steps that tier 0 runs."""
        return [s for s in self.steps if s.why is not None]

    def computed(self, traceback) -> dict:
        """{node: array} of the results that were whole when an error was raised."""
        frame, line = self._raised(traceback)
        if frame is None:
            return {}
        arrays = frame.f_locals.get("arrays", ())
        failed = frame.f_locals.get("r", 0)  # the number of the call, if one was launched before
        return {
            n: arrays[at] for n, (at, whole, call) in self.done.items()
            if whole < line and (not call or whole + 1 < line or call < failed)
        }

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


def _go_on() -> None:
    """No pause."""


def build(program, scalars=(), more=(), pause=_go_on) -> NativeProgram:
    """The native form of a Program; `scalars` are numbers that it was just run with.

    more: nodes whose values are returned after the program's own results.
    pause: called again and again on the way.

    Where its operations branch on such numbers, it holds for numbers that take the same branches.
    """
    results = (*program.wanted, *program.saved, *more)
    found = None if more else templates.planned(program, scalars, pause)
    steps, conditions = found or steps_of(program, scalars, results, pause)
    return assembled(program, steps, conditions, results, pause)


def assembled(program, steps: list[Step], conditions: dict[str, bool], results, pause=_go_on):
    """The NativeProgram of planned steps. conditions: on numbers, under which they hold."""
    return _Assembly(program, steps, conditions, results, pause).made


class _Assembly:
    """Gives a program's steps memory, and writes the function that runs them."""

    def __init__(self, program, steps, conditions, results, pause):
        self.program, self.steps, self.conditions, self.pause = program, steps, conditions, pause
        self.made = NativeProgram()
        self.made.steps = steps
        self.made.calls = [c for s in steps for c in flat(s.calls)]
        self._visible(results)
        self._memory()
        self._write(results)

    # ------------------------------------------------------------ memory

    def _visible(self, results):
        """The nodes whose memory Python must see as arrays: results, and operands of tier 0."""
        self.fallback_made = set()
        seen = set()

        def see(n):
            if n.op.name in ("leaf", "scalar", "root") or n in seen:
                return
            seen.add(n)
            for x in self._sources(n):
                see(x)

        for i in [s.instructions[0] for s in self.steps if s.why is not None]:
            if i.kind == "call":
                self.fallback_made |= set(i.node.outs or (i.node,))
            for x in i.node.ins:
                see(x)
        for n in results:
            see(n)
        self.seen = seen

    def _sources(self, n):
        """What a value's array is made from: nothing if it has memory of its own."""
        if n in getattr(self, "fallback_made", ()):
            return ()
        name = n.op.name
        if name == "get":
            return ()
        if getattr(n.op, "shares", False) or getattr(n.op, "view", False):
            return (n.ins[0],)
        return ()

    def _memory(self):
        """Give every root its place: an array of its own, or a part of the arena."""
        first, last = {}, {}
        sizes = {}
        for at, step in enumerate(self.steps):
            roots = {owned(w.buffer) for c in distinct(step.calls) for w in c.words if isinstance(w, Address)}
            roots |= {w for c in distinct(step.calls) for w in c.words if isinstance(w, Workspace)}
            for r in roots:
                first.setdefault(r, at)
                last[r] = at
        self.array_of: dict = {}  # root -> index into the list of arrays
        self.leaf_of: dict = {}
        lives, order = [], []
        for r in first:
            if isinstance(r, Workspace):
                sizes[r] = r.nbytes * (MOST_THREADS if r.per_thread else 1)
            elif isinstance(r, Temporary):
                sizes[r] = r.nbytes
            elif isinstance(r, Constant):
                continue
            elif r.op.name == "leaf":
                if r.m.weak:
                    self._array(r)
                else:
                    self.leaf_of[r] = r.number
                continue
            elif r in self.fallback_made or r in self.seen:
                self._array(r)
                continue
            else:
                sizes[r] = max(_span(r.m), 1) * r.m.dtype.itemsize
            lives.append((first[r], last[r], sizes[r]))
            order.append(r)
        for r in self.seen:
            if not self._sources(r):
                self._array(r)
        offsets, self.made.arena = memory.place(lives)
        self.arena_at = dict(zip(order, offsets, strict=True))
        self.made.lives = [(r, *life, at) for r, life, at in zip(order, lives, offsets, strict=True)]
        self.made.arrays = list(self.array_of)

    def _array(self, root) -> int:
        return self.array_of.setdefault(root, len(self.array_of))

    # ------------------------------------------------------------ the function

    def _write(self, results):
        emitter = _Emitter(self)
        stretch: list = []
        for step in self.steps:
            if step.why is None:
                stretch += [(c, step) for c in step.calls]
                if step.look is None:
                    continue
            if stretch:
                emitter.launch(stretch)  # (after a look, the program may go on)
                stretch = []
            if step.why is not None:
                emitter.in_tier0(step.instructions[0])
        if stretch:
            emitter.launch(stretch)
        names = [emitter.value(n) for n in results]
        emitter.lines.append(f"return ({''.join(n + ', ' for n in names)})")
        emitter.finish(self.made)


def _span(m) -> int:
    """Elements from the first to the last of a dense result."""
    return 1 + sum((n - 1) * s for n, s in zip(m.shape, m.strides, strict=True)) if m.numel else 0


class _Block:
    """The words of consecutive calls, their table, and what is written into the words before a launch.

    arrays, numbers: patches as `runtime/launch.py` has them. arena: (word, offset in the arena).
    """

    def __init__(self, words: int, calls: int):
        self.words, self.table = np.zeros(words + 1, np.int64), np.zeros((calls, 5), np.int64)
        self.doubles, self.base = self.words.view(np.float64), self.words.ctypes.data
        self.at = self.calls = 0
        self.arrays: list = []
        self.numbers: list = []
        self.arena: list = []
        self._more: dict[int, list] = {4: [], 3: [], 2: []}  # of loops' further times, by their columns

    def again(self, loop: Loop, at: int, calls: int, arrays: int, numbers: int, arena: int) -> None:
        """The further times of a loop, whose first time begins at these places."""
        times, wide, count = loop.times - 1, self.at - at, self.calls - calls
        if times <= 0:
            return
        k = np.arange(1, times + 1)[:, None]
        moves = np.zeros(wide, np.int64)
        start = 0
        for call, by in zip(loop.calls, loop.moves, strict=True):
            for j, n in by.items():
                moves[start + j] = n
            start += len(call.words)
        first = self.words[at : at + wide]
        self.words[self.at : self.at + times * wide].reshape(times, wide)[:] = first + moves * (first != 0) * k
        table = np.repeat(self.table[None, calls : calls + count], times, 0)
        table[:, :, 1] += 8 * wide * k
        self.table[self.calls : self.calls + times * count] = table.reshape(-1, 5)
        for patches, where, unit, offset in (
            (self.arrays[arrays:], 2, 8, 3), (self.numbers[numbers:], 1, 8, None), (self.arena[arena:], 0, 1, 1)
        ):
            if patches:
                made = np.repeat(np.array(patches, np.int64)[None], times, 0)
                word = made[0, :, where] if unit == 1 else (made[0, :, where] - self.base) // 8
                if offset is not None:
                    made[:, :, offset] += moves[word - at] * k
                made[:, :, where] += unit * wide * k
                self._more[made.shape[2]].append(made.reshape(-1, made.shape[2]))
        self.at, self.calls = self.at + times * wide, self.calls + times * count

    def _all(self, patches: list, columns: int) -> np.ndarray:
        return np.concatenate([np.array(patches, np.int64).reshape(-1, columns), *self._more[columns]])

    def patches(self) -> np.ndarray:
        """Of arrays."""
        return self._all(self.arrays, 4)

    def scalars(self) -> np.ndarray:
        """Of numbers."""
        return self._all(self.numbers, 3)

    def in_arena(self) -> np.ndarray:
        """(word, offset) of what lies in the arena."""
        return self._all(self.arena, 2)


class _Emitter:
    """Writes the Python function of a native program."""

    def __init__(self, build: _Assembly):
        self.build = build
        self.lines: list[str] = []
        self.names: dict = {}
        self.consts: list = []
        self.patchers: list = []
        self.done: dict = {}
        self.made_at: dict = {}  # line: node
        self.held: list = build.made.held
        self.plans: list = []
        self.error_words = np.zeros(1, np.int64)
        self.held.append(self.error_words)
        for root, at in build.array_of.items():
            if root in build.fallback_made:
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
        source = self.value(n.ins[0])
        if getattr(n.op, "shares", False) and name != "restride":
            made = source
        else:
            made = f"v{len(self.names)}"
            if name == "restride":
                i = next(i for i in self.build.program.instructions if i.node is n)
                self.lines.append(f"{made} = {self.const(i.args[1][1])}({source})")
            else:
                rest = "".join(
                    ", " + self._operand(tier0_program.operand(a)) for a in n.args[1:]
                )
                self.lines.append(f"{made} = {self.const(n.call.function)}({source}{rest})")
        self.names[n] = made
        return made

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
            at = self.build.array_of.get(o)
            if at is not None:
                self.done[o] = len(self.lines), 0
                self.lines.append(f"arrays[{at}] = {name}")

    # ------------------------------------------------------------ launches

    def launch(self, stretch) -> None:
        """One native call for consecutive kernels, and loops of kernels."""
        calls = flat([c for c, _ in stretch])
        block = _Block(sum(len(c.words) for c in calls), len(calls))
        steps: list[Step] = []
        for made, step in stretch:
            self.build.pause()
            if isinstance(made, Loop):
                begin = block.at, block.calls, len(block.arrays), len(block.numbers), len(block.arena)
                for call in made.calls:
                    self._call(call, block)
                block.again(made, *begin)
            else:
                self._call(made, block)
            steps += [step] * (block.calls - len(steps))
            for r in step.writes:
                if r in self.build.array_of:
                    self.done[r] = len(self.lines), block.calls
        patches, scalars = block.patches(), block.scalars()
        seconds = sum(c.flops / FLOPS + c.nbytes / BYTES for c in calls)
        plan = np.array([len(calls), block.table.ctypes.data, int(seconds > LONG), len(patches),
                         patches.ctypes.data, len(scalars), scalars.ctypes.data], np.int64)
        self.held += [block.words, block.table, patches, scalars, plan]
        self.build.made.plans[plan.ctypes.data] = (plan, block.table, calls)
        self.patchers.append((block.words, block.in_arena()))
        failed = self.const(functools.partial(_failed, self.build.program, self.error_words, steps))
        self.lines.append(f"r = launch({self.const(plan.ctypes.data)}, scalars, bufs, arrays)")
        self.lines.append(f"if r: {failed}(r, bufs, scalars)")

    def _call(self, call: Call, block: _Block) -> None:
        """Write a call's row of the table and its words."""
        code = objects.load(call.text, call.exports or (call.function,))
        self.held.append(code)
        words, at, checked = block.words, block.at, 0
        begin = block.base + 8 * at
        for w in call.words:
            where = block.base + 8 * at
            if isinstance(w, float):
                block.doubles[at] = w
            elif isinstance(w, int):
                words[at] = w
            elif isinstance(w, Scalar):
                block.numbers.append((w.index, where, int(w.whole)))
            elif isinstance(w, ErrorWord):
                words[at] = checked = self.error_words.ctypes.data
            elif isinstance(w, Workspace):
                block.arena.append((at, self.build.arena_at[w]))
            elif isinstance(w, Address):
                self._address(w, words, at, where, block.arrays, block.arena)
            else:
                raise TypeError(f"word {w!r}")
            at += 1
        block.table[block.calls] = code[call.function], begin, call.chunks, int(call.parallel), checked
        block.at, block.calls = at, block.calls + 1

    def _address(self, w: Address, words, at, where, arrays, arena):
        b = self.build
        r = owned(w.buffer)
        if r in b.leaf_of:
            arrays.append((0, b.leaf_of[r], where, w.offset))
        elif r in b.array_of:
            arrays.append((1, b.array_of[r], where, w.offset))
        elif isinstance(r, Constant):
            words[at] = r.array.ctypes.data + w.offset
            self.held.append(r.array)
        else:
            arena.append((at, b.arena_at[r] + w.offset))

    def finish(self, made: NativeProgram) -> None:
        """Compile the function."""
        count = len(self.build.array_of)
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
        conditions = [s if true else f"not {s}" for s, true in self.build.conditions.items()]
        if conditions:
            other = self.const(self.build.program.in_tier0)
            body.insert(0, f"if not ({' and '.join(conditions)}): return {other}(bufs, scalars)")
        parameters = ", ".join(f"c{j}" for j in range(len(self.consts)))
        start = len(body) + 4 if parameters else len(body) + 3  # of self.lines in the source
        made.allocates = {at + start: n for at, n in self.made_at.items()}
        made.done = {n: (self.build.array_of[n], at + start, call)
                     for n, (at, call) in self.done.items()}
        body += self.lines
        source = "def make(launch, empty, strided, array, settle, arena, state, consts):\n"
        if parameters:
            source += f"    {parameters}, = consts\n"
        source += "    " + head + "".join(f"        {line}\n" for line in body)
        source += "    return program\n"
        space: dict = {}
        exec(_code(source), space)
        made.source = source
        made.bind = lambda launch: space["make"](
            launch, np.empty, _strided, np.array, settle, Arena, state, self.consts
        )
        made.function = made.bind(runtime().launch)


@functools.lru_cache(256)
def _code(source: str):
    """The compiled source: programs that differ only in sizes have the same."""
    return compile(source, "<rushlight native program>", "exec")


def _strided(m):
    """An empty array with a Meta's dense strides."""
    flat = np.empty(max(_span(m), 1), m.dtype.np)
    return np.lib.stride_tricks.as_strided(flat, m.shape, m.np_strides)


def _run(i, args):
    """One instruction in tier 0: a tuple of its results."""
    args = list(args)
    if i.kind == "write":
        tier0_program.write(args[0], args[1])
        return ()
    values: dict = {}
    token = tier0.silence(tier0.QUIET)
    try:
        tier0_program.run_instruction(i, args, values)
    except Exception as e:
        e.rushlight_failure = ({}, i.node)
        raise
    finally:
        tier0.restore(token)
    return tuple(values[n] for n in i.node.outs or (i.node,)) if i.kind == "call" else ()


def _failed(program, word, steps, number, bufs, scalars):
    """Raise for the kernel that noted a wrong value; a NaN from outside only gives a warning."""
    word[0] = 0
    step = steps[number - 1]
    if step.look is not None:
        step.look.found(number - 1 - steps.index(step), bufs, scalars)
    else:
        failures.fail(program, step.instructions, bufs, scalars)


__all__ = ["Arena", "NativeProgram", "assembled", "base_of", "build", "runtime"]
