"""`explain()`: what ran inside a with block: programs, kernels, host reads, what was compiled, and its cost."""

from __future__ import annotations

import html
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from ..interpret import program as tier0_program
from ..trace.segments import flush
from ..trace.traceback import PACKAGE
from ..trace.trie import Stats, site_of

_IN_DATA = 3000  # operations of a program that `explain.data` lists


@dataclass
class _Kernel:
    """One kernel: what it computes, for which lines, how often, and how long it took."""

    label: str
    lines: list[str]
    runs: int = 0
    seconds: float = 0.0
    flops: int = 0
    nbytes: int = 0
    arithmetic: str = "float32"

    @property
    def share(self) -> float:
        """The part of the machine's limit (memory, or arithmetic of its kind) that it reached, 0 to 1."""
        from ..compile.timing import most_bytes, most_flops

        if not self.seconds:
            return 0.0
        least = max(self.flops and self.flops / most_flops(self.arithmetic), self.nbytes / most_bytes())
        return least * self.runs / self.seconds


@dataclass
class _Program:
    """One program: its runs, its kernels, and what stayed in tier 0 and why."""

    program: Any
    runs: int = 0
    seconds: float = 0.0
    reads: Counter = field(default_factory=Counter)  # user's line that asked for values
    timed: Any = None

    @property
    def tier(self) -> int:
        return 1 if self.program.native is not None else 0

    def kernels(self) -> list[_Kernel]:
        """Its kernels in the order in which they run."""
        native = self.program.native
        if native is None:
            return []
        from ..compile.kernels.call import distinct

        rows = []
        for step in native.steps:
            lines = [_place(i.node) for i in step.instructions]
            for c in distinct(step.calls):
                row = _Kernel(str(c.label), list(lines), flops=c.flops, nbytes=c.nbytes,
                              arithmetic=c.arithmetic)
                if self.timed is not None:
                    row.runs = self.timed.counts[id(c)]
                    row.seconds = self.timed.seconds[id(c)]
                rows.append(row)
        return rows

    def fallbacks(self) -> list[tuple[str, str, str]]:
        """(operator, line, why) of what tier 0 runs in a native program."""
        native = self.program.native
        if native is None:
            return []
        return [(i.node.op.name, _place(i.node), s.why)
                for s in native.in_tier0 for i in s.instructions]

    def data(self) -> dict[str, Any]:
        """What the dashboard shows of it: steps (kernels, with what tier 0 does between), and operations.

        An operation is [name, value, line, its step or None, the operations that it reads].
        """
        from ..compile.kernels.call import distinct, flat

        p = self.program
        steps: list[dict] = []
        step_of: dict[int, int] = {}
        for at, step in enumerate(p.native.steps if p.native is not None else ()):
            timed = [(c, self.timed.counts[id(c)], self.timed.seconds[id(c)])
                     for c in distinct(step.calls)] if self.timed is not None else []
            instructions = list(dict.fromkeys(step.instructions))
            for i in instructions:
                step_of.setdefault(id(i), at)
            steps.append({
                "label": step.label, "why": step.why,
                "operations": list(dict.fromkeys(i.node.op.name.strip("_") for i in instructions)),
                "lines": [x for x in dict.fromkeys(_place(i.node) for i in instructions) if x],
                "calls": len(flat(step.calls)), "runs": max((n for _, n, _ in timed), default=0),
                "seconds": sum(s for _, _, s in timed),
                "flops": sum(c.flops * n for c, n, _ in timed),
                "bytes": sum(c.nbytes * n for c, n, _ in timed),
            })
        number: dict[Any, int] = {}
        operations: list[list] = []
        for i in p.instructions[:_IN_DATA]:
            ins = dict.fromkeys(x.ins[0] if x.op.name == "get" else x for x in i.node.ins)
            operations.append([i.node.op.name.strip("_"), str(i.node.m), _place(i.node), step_of.get(id(i)),
                               [number[x] for x in ins if x in number]])
            number[i.node] = len(number)
        return {"size": len(p.instructions), "tier": self.tier, "runs": self.runs, "seconds": self.seconds,
                "reads": self.reads.most_common(), "steps": steps, "operations": operations}


def _alike(kernels: list[_Kernel]) -> list[_Kernel]:
    """Kernels of equal labels for the same lines as one, with all their runs."""
    found: dict[tuple, _Kernel] = {}
    for k in kernels:
        one = found.setdefault((k.label, *k.lines), replace(k, runs=0, seconds=0.0))
        one.runs, one.seconds = one.runs + k.runs, one.seconds + k.seconds
    return list(found.values())


def _place(node) -> str:
    found = site_of(node)
    return "" if found is None else f"{os.path.basename(found[0])}:{found[1]}"


def reader() -> str:
    """The user's line that is waiting for values."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((PACKAGE, "<rushlight")):
            return f"{os.path.basename(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


class explain:
    """Watch what runs inside a with block; `str()` of it is a report, `save(path)` an HTML page.

    counts: operations seen for the first time (`misses`), programs run (`flushes`) and made (`programs`).
    Kernels are timed one by one, which costs about a microsecond each. "Of the limit": of the time that memory, or
    arithmetic in its dtype, would take at the speed measured once for this machine (`compile/timing.py`); arrays
    that are in a cache come faster, up to several times the limit.

    >>> for _ in range(3):
    ...     with torch.explain() as report:
    ...         y = (torch.ones(3) * 2).sum().item()
    >>> report.counts["misses"], report.counts["programs"]
    (0, 0)
    """

    def __enter__(self):
        from ..compile.llvm.objects import Counters

        flush()
        self.before = Stats.snapshot()
        self._compiled = Counters.compiled, Counters.reused, Counters.seconds
        self.counts: dict[str, int] = {}
        self.programs: dict[int, _Program] = {}
        self.start = time.perf_counter()
        tier0_program.WATCH.append(self._run)
        return self

    def __exit__(self, *error):
        from ..compile.llvm.objects import Counters

        flush()
        tier0_program.WATCH.remove(self._run)
        self.seconds = time.perf_counter() - self.start
        after = Stats.snapshot()
        self.counts = {k: after[k] - self.before[k] for k in after}
        self.compiled = Counters.compiled - self._compiled[0]
        self.reused = Counters.reused - self._compiled[1]
        self.compile_seconds = Counters.seconds - self._compiled[2]

    def _run(self, program, bufs, scalars):
        row = self.programs.get(id(program))
        if row is None:
            row = self.programs[id(program)] = _Program(program)
        row.runs += 1
        row.reads[reader()] += 1
        native = program.native  # read once: the compiler's thread may set it at any time
        if row.timed is None and native is not None:
            from ..compile.timing import Timed

            row.timed = Timed(native)
        start = time.perf_counter()
        try:
            if native is None:
                return program.run(bufs, scalars)
            return row.timed.function(bufs, scalars, program.consts)
        finally:
            row.seconds += time.perf_counter() - start

    # ------------------------------------------------------------ the report

    def rows(self) -> list[_Program]:
        """The programs, slowest first."""
        return sorted(self.programs.values(), key=lambda r: -r.seconds)

    def __str__(self) -> str:
        c = self.counts
        told = [
            f"{c['misses']} operations seen for the first time (run at once), "
            f"{c['flushes']} programs run, {c['programs']} of them new, "
            f"{c['prunes']} prunings of the trie; the trie grew by {c['nodes']} nodes",
            f"{self.compiled} kernels compiled in {self.compile_seconds * 1e3:.0f} ms, "
            f"{self.reused} taken from the disk; {self.seconds * 1e3:.2f} ms in all",
        ]
        for row in self.rows():
            p = row.program
            told.append("")
            told.append(
                f"program of {len(p.instructions)} operations, tier {row.tier}: {row.runs} runs, "
                f"{row.seconds * 1e3:.3f} ms; values read at "
                + ", ".join(f"{line} ({n})" for line, n in row.reads.most_common(4))
            )
            kernels = _alike(row.kernels())
            for k in sorted(kernels, key=lambda k: -k.seconds)[:12]:
                told.append(
                    f"  {k.runs / max(row.runs, 1):5.0f} x {k.seconds / max(k.runs, 1) * 1e6:9.1f} us"
                    f"  {k.nbytes / 1e6:8.2f} MB "
                    f"{k.flops / 1e6:9.2f} MFLOP  {min(k.share, 9.99):4.0%} of the limit  "
                    f"{k.label[:60]}  [{', '.join(dict.fromkeys(k.lines))[:60]}]"
                )
            if len(kernels) > 12:
                told.append(f"  ... {len(kernels) - 12} more kinds of kernels")
            for name, line, why in row.fallbacks():
                told.append(f"  tier 0: {name} at {line}: {why}")
        return "\n".join(told)

    def data(self, most: int = 12) -> dict[str, Any]:
        """The report as numbers and texts, for JSON: counts, seconds, and the `most` slowest programs."""
        return {"counts": self.counts, "seconds": self.seconds, "compiled": self.compiled,
                "compile_seconds": self.compile_seconds, "programs": [r.data() for r in self.rows()[:most]]}

    def save(self, path: str | os.PathLike) -> None:
        """Write the report as a page that needs nothing else: tables, and the graph before and after."""
        parts = [_HEAD, f"<p>{html.escape(str(self).splitlines()[0])}.<br>"
                 f"{html.escape(str(self).splitlines()[1])}.</p>"]
        for number, row in enumerate(self.rows(), 1):
            parts.append(_program_html(number, row))
        parts.append("</body></html>\n")
        temporary = f"{os.fspath(path)}.tmp"
        with open(temporary, "w", encoding="utf-8") as f:
            f.write("\n".join(parts))
        os.replace(temporary, path)


_HEAD = """<!doctype html><html><head><meta charset="utf-8"><title>explain</title><style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; color: #222 }
table { border-collapse: collapse; width: 100% } td, th { text-align: right; padding: 3px 8px;
border-bottom: 1px solid #e4e4e4; font-variant-numeric: tabular-nums } td.l, th.l { text-align: left }
.bar { background: #d9822b; height: 9px; display: inline-block; border-radius: 2px }
.graph { display: flex; gap: 32px; align-items: flex-start } .graph > div { flex: 1; min-width: 0 }
.op { border-left: 8px solid; padding: 1px 8px; margin: 1px 0; font: 12px monospace;
background: #f6f6f6; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
.kernel { border-left: 8px solid; padding: 4px 8px; margin: 4px 0; font: 12px monospace;
background: #f6f6f6 } h2 { margin-top: 2em } small { color: #777 }
</style></head><body><h1>What ran</h1>"""
_SHOWN = 400  # instructions of a program that the page shows


def _colour(i: int) -> str:
    return f"hsl({i * 67 % 360} 55% 55%)"


def _program_html(number: int, row: _Program) -> str:
    p, escape = row.program, html.escape
    out = [f"<h2>Program {number} <small>{len(p.instructions)} operations, tier {row.tier}, "
           f"{row.runs} runs, {row.seconds * 1e3:.3f} ms</small></h2>"]
    reads = ", ".join(f"{line} ({n})" for line, n in row.reads.most_common())
    out.append(f"<p>Values read at {escape(reads)}</p>")
    kernels = row.kernels()
    if kernels:
        total = sum(k.seconds for k in kernels) or 1.0
        out.append("<table><tr><th class=l>kernel<th class=l>lines<th>runs<th>us<th>MB<th>MFLOP"
                   "<th>of the limit<th class=l>share of the time</tr>")
        for k in kernels:
            width = 160 * k.seconds / total
            out.append(
                f"<tr><td class=l>{escape(k.label[:80])}<td class=l>"
                f"{escape(', '.join(dict.fromkeys(k.lines))[:80])}<td>{k.runs}"
                f"<td>{k.seconds / max(k.runs, 1) * 1e6:.1f}<td>{k.nbytes / 1e6:.2f}"
                f"<td>{k.flops / 1e6:.2f}<td>{min(k.share, 9.99):.0%}"
                f"<td class=l><span class=bar style='width:{width:.0f}px'></span></tr>"
            )
        out.append("</table>")
    if p.native is not None:
        out.append(_graph_html(p))
    return "\n".join(out)


def _graph_html(p) -> str:
    """The operations as recorded, and the kernels and tier-0 steps that they became, in one colour each."""
    escape = html.escape
    group_of: dict = {}
    after = []
    for i, step in enumerate(p.native.steps):
        instructions = list(dict.fromkeys(step.instructions))
        for x in instructions:
            group_of.setdefault(id(x), i)
        names = ", ".join(dict.fromkeys(x.node.op.name.strip("_") for x in instructions))
        after.append(f"<div class=kernel style='border-color:{_colour(i)}'><b>{escape(step.label)}</b><br>"
                     f"{escape(names[:200])}</div>")
    before = [
        f"<div class=op style='border-color:"
        f"{_colour(group_of[id(x)]) if id(x) in group_of else '#ddd'}'>{escape(repr(x.node)[:110])}"
        f" <small>{escape(_place(x.node))}</small></div>"
        for x in p.instructions[:_SHOWN]
    ]
    if len(p.instructions) > _SHOWN:
        before.append(f"<p>... {len(p.instructions) - _SHOWN} more</p>")
    return (f"<div class=graph><div><h3>As recorded</h3>{''.join(before)}</div>"
            f"<div><h3>After fusion</h3>{''.join(after[:_SHOWN])}</div></div>")
