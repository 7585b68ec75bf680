"""Argument blocks: what native code reads of a program's steps, and where the values of the steps are.

Sizes may be in it (`sizes.py`): then a block is the mould of those of a family's members (`templates.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .expressions import Constant, Private, owned
from .kernels.call import Address, Call, ErrorWord, Loop, Scalar, Workspace, distinct, flat
from .llvm import objects
from .sizes import Size, plain
from .steps import Step
from .threads import MOST_THREADS

LONG = 2e-4  # seconds of estimated work from which the GIL is released
FLOPS, BYTES = 3e10, 1e10  # a second, for that estimate


def go_on() -> None:
    """No pause."""


def stretches(steps: list[Step]) -> list:
    """The parts of a program: lists of (call, number of its step) to be launched together, or a step for tier 0."""
    parts: list = []
    stretch: list = []
    for at, step in enumerate(steps):
        if step.why is None:
            stretch += [(c, at) for c in step.calls]
            if step.look is None:
                continue
        if stretch:
            parts.append(stretch)  # (after a look, the program may go on)
            stretch = []
        if step.why is not None:
            parts.append(at)
    return [*parts, stretch] if stretch else parts


class Layout:
    """Where the values of steps are: in arrays that Python sees, in leaves, or in the arena.

    array_of: {root: its place in the list of arrays}. leaf_of: {root: number}. lives: (root, first step, last
    step) of what is in the arena. fallback_made: what tier 0 makes.
    """

    def __init__(self, steps: list[Step], results):
        self.fallback_made: set = set()
        seen: dict = {}

        def see(n):
            if n.op.name in ("leaf", "scalar", "root") or n in seen:
                return
            seen[n] = None
            for x in self._sources(n):
                see(x)

        for i in [s.instructions[0] for s in steps if s.why is not None]:
            if i.kind == "call":
                self.fallback_made |= set(i.node.outs or (i.node,))
            for x in i.node.ins:
                see(x)
        for n in results:
            see(n)
        first: dict = {}
        last: dict = {}
        for at, step in enumerate(steps):
            for c in distinct(step.calls):
                for w in c.words:
                    kind = w.__class__
                    if kind is Address:
                        r = owned(w.buffer)
                    elif kind is Workspace:
                        r = w
                    else:
                        continue
                    first.setdefault(r, at)
                    last[r] = at
        self.array_of: dict = {}
        self.leaf_of: dict = {}
        self.lives: list = []
        for r, began in first.items():
            if isinstance(r, Constant):
                continue
            if not isinstance(r, (Workspace, Private)):
                if r.op.name == "leaf" and not r.m.weak:
                    self.leaf_of[r] = r.number
                    continue
                if r.op.name == "leaf" or r in self.fallback_made or r in seen:
                    self._array(r)
                    continue
            self.lives.append((r, began, last[r]))
        for r in seen:
            if not self._sources(r):
                self._array(r)

    def _sources(self, n):
        """What a value's array is made from: nothing if it has memory of its own."""
        if n in self.fallback_made or n.op.name == "get":
            return ()
        if getattr(n.op, "shares", False) or getattr(n.op, "view", False):
            return (n.ins[0],)
        return ()

    def _array(self, root) -> None:
        self.array_of.setdefault(root, len(self.array_of))


def nbytes_of(r) -> int:
    """Bytes that a root takes in the arena."""
    if isinstance(r, Workspace):
        return r.nbytes * (MOST_THREADS if r.per_thread else 1)
    return r.nbytes if isinstance(r, Private) else max(span(r.m), 1) * r.m.dtype.itemsize


def span(m) -> int:
    """Elements from the first to the last of a dense result."""
    return 1 + sum((n - 1) * s for n, s in zip(m.shape, m.strides, strict=True)) if m.numel else 0


@dataclass
class Launch:
    """What one native call for consecutive kernels reads.

    words: argument blocks. table: a row a call. arrays, numbers: patches as `runtime/launch.py` has them. arena:
    (word, offset in the arena). long: whether it takes so long that the GIL is released. owners: the number of
    each call's step. whole: (root, after how many calls) of results.
    """

    words: np.ndarray
    table: np.ndarray
    arrays: np.ndarray
    numbers: np.ndarray
    arena: np.ndarray
    long: bool
    owners: list[int]
    whole: list


class Block:
    """The argument blocks of consecutive calls, and what is written into them before a launch.

    Words may be `Size`s; these are left open and noted in `sizes`: (word, Size), and so are those of patches,
    `array_sizes` and `arena_sizes`: (which patch, Size), and those of calls, `call_sizes`: (call, column, Size).
    """

    def __init__(self, steps: list[Step], stretch: list, layout: Layout, error_word: np.ndarray, pause=go_on):
        calls = sum(len(flat([c])) for c, _ in stretch)
        self.words = np.zeros(sum(len(c.words) for c in flat([c for c, _ in stretch])) + 1, np.int64)
        self.table = np.zeros((calls, 5), np.int64)
        self.doubles, self.base = self.words.view(np.float64), self.words.ctypes.data
        self.layout, self.error_word = layout, error_word.ctypes.data
        self.at = self.calls = 0
        self.arrays: list = []
        self.numbers: list = []
        self.arena: list = []  # (word, root, offset)
        self.sizes: list = []
        self.array_sizes: list = []
        self.arena_sizes: list = []
        self.call_sizes: list = []
        self.held: list = []  # what the words point at
        self.whole: list = []
        self.owners: list[int] = []
        self.seconds: Any = 0.0  # of estimated work
        self._more: dict[int, list] = {4: [], 3: []}  # of loops' further times, by their columns
        self._more_arena: list = []
        for made, at in stretch:
            pause()
            if isinstance(made, Loop):
                begin = self.at, self.calls, len(self.arrays), len(self.numbers), len(self.arena)
                for call in made.calls:
                    self._call(call)
                self._again(made, *begin)
            else:
                self._call(made)
            for c in flat([made]):
                self.seconds = self.seconds + c.flops / FLOPS + c.nbytes / BYTES
            self.owners += [at] * (self.calls - len(self.owners))
            self.whole += [(r, self.calls) for r in steps[at].writes if r in layout.array_of]

    def _call(self, call: Call) -> None:
        """Write a call's row of the table and its words."""
        code = objects.load(call.text, call.exports or (call.function,))
        self.held.append(code)
        words, at, checked = self.words, self.at, 0
        begin = self.base + 8 * at
        for w in call.words:
            where = self.base + 8 * at
            if isinstance(w, float):
                self.doubles[at] = w
            elif isinstance(w, int):
                words[at] = w
            elif isinstance(w, Size):
                self.sizes.append((at, w))
            elif isinstance(w, Scalar):
                self.numbers.append((w.index, where, int(w.whole)))
            elif isinstance(w, ErrorWord):
                words[at] = checked = self.error_word
            elif isinstance(w, Workspace):
                self.arena.append((at, w, 0))
            elif isinstance(w, Address):
                self._address(w, at, where)
            else:
                raise TypeError(f"word {w!r}")
            at += 1
        row = code[call.function], begin, call.chunks, int(plain(call.parallel)), checked
        self.call_sizes += [(self.calls, k, x) for k, x in ((2, call.chunks), (3, call.parallel)) if x.__class__ is Size]
        self.table[self.calls] = [plain(x) for x in row]
        self.at, self.calls = at, self.calls + 1

    def _address(self, w: Address, at: int, where: int) -> None:
        r, offset = owned(w.buffer), w.offset
        number = self.layout.leaf_of.get(r)
        array = self.layout.array_of.get(r) if number is None else number
        if array is not None:
            if offset.__class__ is Size:
                self.array_sizes.append((len(self.arrays), offset))
            self.arrays.append((int(number is None), array, where, plain(offset)))
        elif isinstance(r, Constant):
            self.words[at] = r.array.ctypes.data + offset
            self.held.append(r.array)
        else:
            if offset.__class__ is Size:
                self.arena_sizes.append((len(self.arena), offset))
            self.arena.append((at, r, plain(offset)))

    def _again(self, loop: Loop, at: int, calls: int, arrays: int, numbers: int, arena: int) -> None:
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
        for patches, where, offset in ((self.arrays[arrays:], 2, 3), (self.numbers[numbers:], 1, None)):
            if patches:
                made = np.repeat(np.array(patches, np.int64)[None], times, 0)
                word = (made[0, :, where] - self.base) // 8
                if offset is not None:
                    made[:, :, offset] += moves[word - at] * k
                made[:, :, where] += 8 * wide * k
                self._more[made.shape[2]].append(made.reshape(-1, made.shape[2]))
        if self.arena[arena:]:
            self._more_arena.append((self.arena[arena:], moves, at, wide, k))
        self.at, self.calls = self.at + times * wide, self.calls + times * count

    def more_arena(self, arena_at: dict) -> list[np.ndarray]:
        """(word, offset in the arena) in the further times of loops, given where roots are in it."""
        found = []
        for patches, moves, at, wide, k in self._more_arena:
            first = np.array([(word, arena_at[r] + offset) for word, r, offset in patches], np.int64)
            made = np.repeat(first[None], len(k), 0)
            made[:, :, 1] += moves[first[:, 0] - at] * k
            made[:, :, 0] += wide * k
            found.append(made.reshape(-1, 2))
        return found

    def _all(self, patches: list, columns: int) -> np.ndarray:
        return np.concatenate([np.array(patches, np.int64).reshape(-1, columns), *self._more[columns]])

    def patches(self) -> np.ndarray:
        """Of arrays."""
        return self._all(self.arrays, 4)

    def scalars(self) -> np.ndarray:
        """Of numbers."""
        return self._all(self.numbers, 3)
