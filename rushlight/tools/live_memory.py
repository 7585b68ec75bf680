"""`memory()`: what memory a with block takes: which tensors and temporaries are alive at its peak."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any

import numpy as np

from ..interpret import liveness, measure
from ..interpret import program as tier0_program
from ..trace.live import Row, line_of, owner, row_of, rows, size, table
from ..trace.record import site
from ..trace.segments import flush
from ..trace.trie import RECORDER, place
from .explain import reader


def process_peak() -> int:
    """The most bytes that this process has had in memory so far; 0 if that cannot be told."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows
        return 0
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024


def process_now() -> int:
    """Bytes of this process that are in memory now; the most so far where that cannot be told."""
    try:
        with open("/proc/self/statm", "rb") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return process_peak()


def arena() -> int:
    """Bytes of the memory that all compiled programs use for their temporaries in turn."""
    native = sys.modules.get("rushlight.compile.native")
    made = getattr(native, "Arena", None)  # (None while another thread imports it)
    return made.room if made else 0


class memory(measure.Observer):
    """Watch what memory a with block takes; `str()` of it is a table of its peak, the largest first.

    peak, before, after: bytes of arrays that are held at the peak, at the start and at the end; `rows()`:
    a `Row` (name, shape, dtype, nbytes, line) for each at the peak. Temporaries of compiled programs are
    named as they lie in the arena where it is fullest. What was there before has no line,
    unless it has gradient history. Memory inside of one NumPy operation is not seen; the process's peak has it.

    >>> with torch.tools.memory() as report:
    ...     x = torch.ones(256, 256)
    ...     y = (x + 1).exp()
    >>> report.peak - report.before >= 2 * 256 * 256 * 4
    True
    >>> [row.name for row in report.rows() if row.shape == (256, 256)]
    ['filled', 'add', 'exp']
    """

    inside = False  # programs run as they always do

    def __enter__(self):
        flush()
        self._held: dict[int, tuple[Any, Row]] = {}  # id of an array that owns memory
        self._live = self.peak = 0
        self._at_peak: list[Row] | None = []
        self._extra: list[Row] = []
        self._known: dict = {}  # program and whether it is native: what it holds at its peak
        self.where = "the start"
        for a, row in rows().values():
            self._hold(a, row, "the start")
        self.before = self.peak
        measure.watch(self)
        tier0_program.WATCH.append(self._run)
        return self

    def __exit__(self, *error):
        flush()
        tier0_program.WATCH.remove(self._run)
        measure.unwatch(self)
        self.after = self._live + arena()
        self._freeze()
        self._held.clear()
        self._known.clear()
        self.process_peak = process_peak()

    # ------------------------------------------------------------ what happens

    def operation(self, operator, node, args, result, start, end):
        where = RECORDER.tr.sweeping or site(2) if node is None else node.site
        line = ""
        if where is not None:
            file, number = place(*where)
            line = f"{os.path.basename(file)}:{number}"
        for x in args:
            if isinstance(x, np.ndarray):
                self._hold(owner(x), None, line)
        if not operator.view and result is not None:
            for a in result if result.__class__ is tuple else (result,):
                if isinstance(a, np.ndarray):
                    a = owner(a)
                    row = Row(operator.name.strip("_"), a.shape, a.dtype.name, a.nbytes, line)
                    self._hold(a, row, line)

    def _run(self, program, bufs, scalars):
        where = reader()
        for b in bufs:
            if isinstance(b, np.ndarray):
                self._hold(owner(b), None, where)
        extra = self._inner(program)
        self._reach(self._live + _arena_with(program) + sum(
            r.nbytes for r in extra if r.name[:6] != "arena:"), extra, where)
        outs = tier0_program.below(self._run, program, bufs, scalars)
        saved = len(program.wanted)
        for k, (node, a) in enumerate(zip((*program.wanted, *program.saved), outs, strict=True)):
            if isinstance(a, np.ndarray):
                self._hold(owner(a), row_of(node, a, " (saved for backward)" * (k >= saved)), where)
        return outs

    def _inner(self, program) -> list[Row]:
        """What a program's run holds at its peak besides what was there before."""
        native = program.native
        known = self._known.get(id(program))
        if known is None or known[0] is not native:
            if native is None:
                made = [_value(n) for n in liveness.at_peak(program)]
            else:
                from ..compile.layout import at_peak

                made = [_value(n) for n in native.arrays if not n.m.weak]
                made += [_value(n, what, nbytes) for n, what, nbytes in at_peak(native)]
            known = self._known[id(program)] = native, made, program  # (which keeps its id)
        return known[1]

    # ------------------------------------------------------------ the books

    def _hold(self, a: np.ndarray, row: Row | None, where: str) -> None:
        """Note an array that owns memory, until it goes."""
        key = id(a)
        known = self._held.get(key)
        if known is not None and known[0]() is a:
            return
        row = row or Row("tensor", a.shape, a.dtype.name, a.nbytes)
        if self._live + row.nbytes + arena() <= self.peak:
            self._freeze()
        self._held[key] = weakref.ref(a, lambda _: self._freed(key)), row
        self._live += row.nbytes
        self._reach(self._live + arena(), [], where)

    def _freed(self, key: int) -> None:
        if key in self._held:
            self._freeze()
            self._live -= self._held.pop(key)[1].nbytes

    def _reach(self, nbytes: int, extra: list[Row], where: str) -> None:
        """This much is held now; the table of a new peak is made before anything changes."""
        if nbytes > self.peak:
            self.peak, self.where, self._extra, self._at_peak = nbytes, where, extra, None

    def _freeze(self) -> None:
        if self._at_peak is None:
            self._at_peak = [row for _, row in list(self._held.values())] + self._extra
            rest = self.peak - sum(r.nbytes for r in self._at_peak)
            if rest > 0:
                self._at_peak.append(Row("arena: not in use", (rest,), "uint8", rest))

    # ------------------------------------------------------------ the report

    def rows(self) -> list[Row]:
        """What is alive at the peak, the largest first."""
        self._freeze()
        return sorted(self._at_peak or [], key=lambda r: -r.nbytes)

    def __str__(self) -> str:
        process = f"; the process has had {size(self.process_peak)} at most" if self.process_peak else ""
        return (f"{size(self.before)} at the start, {size(self.peak)} at the peak, {size(self.after)} "
                f"at the end{process}\nat the peak, at {self.where}:\n{table(self.rows())}")


def _arena_with(program) -> int:
    """The arena's bytes, once a program has run."""
    return max(arena(), program.native.arena if program.native is not None else 0)


def _value(node, what: str | None = None, nbytes: int = 0) -> Row:
    """The row of a node's value; what, nbytes: of something in the arena."""
    m, name = node.m, node.op.name.strip("_")
    if what is None:
        return Row(name, tuple(m.shape), m.dtype.name, m.nbytes, line_of(node))
    if what:
        return Row(f"arena: {name}{what}", (nbytes,), "uint8", nbytes, line_of(node))
    return Row(f"arena: {name}", tuple(m.shape), m.dtype.name, nbytes, line_of(node))
