"""torch.utils.benchmark: how long a statement takes, and tables that compare such measurements."""

from __future__ import annotations

import statistics
import textwrap
import timeit
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import rushlight

from ..answers import finder
from ..trace import flush

__all__ = ["Compare", "Measurement", "Timer", "select_unit", "unit_to_english"]
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
ENGLISH = {"ns": "nanosecond", "us": "microsecond", "ms": "millisecond", "s": "second"}
WARM_UP = 0.05  # seconds that a block takes before blocks are counted


def select_unit(t: float) -> tuple[str, float]:
    """The largest unit of which `t` seconds are at least one, and its length.

    >>> torch.utils.benchmark.select_unit(0.002)
    ('ms', 0.001)
    """
    unit = next((u for u in reversed(UNITS) if UNITS[u] <= t), "ns")
    return unit, UNITS[unit]


def unit_to_english(u: str) -> str:
    """A unit's name in full."""
    return ENGLISH[u]


@dataclass(repr=False)
class Measurement:
    """Times of one statement: `raw_times` of blocks of `number_per_run` runs each, in seconds.

    >>> measured = torch.utils.benchmark.Measurement(10, [0.5, 0.7], stmt="f()")
    >>> measured.median, measured.times
    (0.06, [0.05, 0.06999999999999999])
    """

    number_per_run: int
    raw_times: list[float]
    stmt: str = ""
    setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1
    metadata: dict | None = field(default=None, compare=False)

    @property
    def times(self) -> list[float]:
        """Seconds of one run, for each block."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.times)

    @property
    def median(self) -> float:
        """Their median."""
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """The distance of their quartiles."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return high - low

    @property
    def has_warnings(self) -> bool:
        """Whether the times differ so much (quartiles more than a tenth of the median apart) that they say little."""
        return self.iqr > self.median / 10

    @property
    def title(self) -> str:
        """The labels, or the statement."""
        return ": ".join([x for x in (self.label or self.stmt, self.sub_label) if x])

    @property
    def as_row_name(self) -> str:
        """The name of its row in a table."""
        return self.sub_label or self.stmt or "[Unknown]"

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """Measurements of the same statement as one."""
        merged: dict[tuple, Measurement] = {}
        for m in measurements:
            key = (m.number_per_run, m.stmt, m.setup, m.label, m.sub_label, m.description, m.env, m.num_threads)
            if key not in merged:
                merged[key] = Measurement(key[0], [], *key[1:])
            merged[key].raw_times.extend(m.raw_times)
        return list(merged.values())

    def __repr__(self) -> str:
        unit, length = select_unit(self.median)
        lines = [f"<torch.utils.benchmark.Measurement of {self.title}>"]
        if self.description:
            lines.append(self.description)
        if self.setup:
            lines.append(f"setup: {self.setup}")
        spread = f" (quartiles {self.iqr / length:.2f} {unit} apart)" if len(self.times) > 1 else ""
        lines.append(f"  {self.median / length:.2f} {unit}{spread}")
        lines.append(f"  {len(self.times)} block{'s' * (len(self.times) > 1)} of {self.number_per_run} runs, "
                     f"{self.num_threads} thread{'s' * (self.num_threads > 1)}")
        if self.has_warnings:
            lines.append("  WARNING: the times differ much; measure longer, on a quiet machine")
        return "\n".join(lines)


def _computing(stmt: str) -> str:
    """A statement that has its result computed: tensors are otherwise computed when they are read."""
    try:
        compile(stmt, "<stmt>", "eval")
    except SyntaxError:
        return f"{stmt}\n_computed()"
    return f"_computed({stmt})"


class Timer:
    """Times a statement, as Python's `timeit.Timer` does.

    stmt, setup: Python code; global_setup is for C++ only. globals: its names. num_threads: threads while it
    runs. label, sub_label, description: where the result belongs in a `Compare`'s table. Each run ends when
    its value, or the variables that it has assigned, are computed.

    >>> measured = torch.utils.benchmark.Timer("x @ x", globals={"x": torch.ones(8, 8)}).blocked_autorange(min_run_time=0.01)
    >>> measured.title, sum(measured.raw_times) > 0.01
    ('x @ x', True)
    """

    def __init__(
        self, stmt: str = "pass", setup: str = "pass", global_setup: str = "",
        timer: Callable[[], float] = timeit.default_timer, globals: dict | None = None, label: str | None = None,
        sub_label: str | None = None, description: str | None = None, env: str | None = None, num_threads: int = 1,
        language: Any = "python",
    ) -> None:  # fmt: skip
        if str(language).lower() not in ("python", "py"):
            raise NotImplementedError(f"Timer: statements are Python, not {language}")
        if global_setup:
            raise ValueError(f"global_setup is for C++ only, got {global_setup!r}")
        stmt, setup = (textwrap.dedent(code).strip("\n") for code in (stmt, setup))
        names = {**(globals or {}), "_computed": lambda result=None: flush()}
        names.setdefault("torch", rushlight)
        self._timer = timeit.Timer(_computing(stmt), setup, timer, names)
        self._about = (stmt, "" if setup == "pass" else setup, label, sub_label, description, env, num_threads)

    def _time(self, number: int) -> float:
        before = rushlight.get_num_threads()
        rushlight.set_num_threads(self._about[-1])
        try:
            flush()
            return self._timer.timeit(number)
        finally:
            rushlight.set_num_threads(before)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """One block of `number` runs, after some that do not count."""
        self._time(max(number // 100, 2))
        return Measurement(number, [self._time(number)], *self._about)

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """NotImplementedError, as in PyTorch: see `timeit` and `blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    autorange = repeat

    def _runs_of(self, seconds: float) -> int:
        """How many runs take so long."""
        number = 1
        while (taken := self._time(number)) < seconds and number < 1 << 30:
            number *= 2 if not taken else max(2, min(100, int(seconds / taken)))
        return number

    def blocked_autorange(self, callback: Callable[[int, float], None] | None = None,
                          min_run_time: float = 0.2) -> Measurement:  # fmt: skip
        """Blocks of as many runs as make the clock's own time small, for `min_run_time` seconds in all."""
        return self._blocks(callback, min_run_time, min_run_time, 0.0)

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
                           callback: Callable[[int, float], None] | None = None) -> Measurement:  # fmt: skip
        """Blocks until their quartiles are `threshold` of the median apart, for `max_run_time` seconds at most."""
        return self._blocks(callback, min_run_time, max_run_time, threshold)

    def _blocks(self, callback, least: float, most: float, threshold: float) -> Measurement:
        number = self._runs_of(min(WARM_UP, least / 10))
        made = Measurement(number, [], *self._about)
        while True:
            taken = self._time(number)
            made.raw_times.append(taken)
            if callback is not None:
                callback(number, taken)
            total = sum(made.raw_times)
            if total >= most or (total >= least and len(made.raw_times) > 2 and made.iqr <= threshold * made.median):
                return made


class Compare:
    """A table of measurements: a row for each `sub_label`, a column for each `description`.

    >>> from rushlight.utils.benchmark import Compare, Measurement
    >>> print(Compare([Measurement(1, [0.002], label="sum", sub_label="100", description="eager")]))
    [ sum ]
           |   eager
    100    |   2.000
    Times are in milliseconds (ms).
    """

    def __init__(self, results: Iterable[Measurement]) -> None:
        self._results: list[Measurement] = []
        self.extend_results(results)

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Add measurements. ValueError for anything else."""
        for r in results:
            if not isinstance(r, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(r)} instead.")
            self._results.append(r)

    def trim_significant_figures(self) -> None:
        """Accepted: four digits are shown."""

    def colorize(self, rowwise: bool = False) -> None:
        """Accepted, without effect."""

    highlight_warnings = trim_significant_figures

    def __str__(self) -> str:
        results = Measurement.merge(self._results)
        if not results:
            return ""
        unit, length = select_unit(min(r.median for r in results))
        tables = []
        for label in dict.fromkeys(r.label or r.stmt for r in results):
            mine = [r for r in results if (r.label or r.stmt) == label]
            columns = list(dict.fromkeys(r.description or "time" for r in mine))
            found = {(r.as_row_name, r.num_threads, r.description or "time"): f"{r.median / length:.3f}" for r in mine}
            rows = list(dict.fromkeys((r.as_row_name, r.num_threads) for r in mine))
            several = len({n for _, n in rows}) > 1
            names = {r: f"{r[0]} ({r[1]} threads)" if several else r[0] for r in rows}
            left = max(6, *(len(n) for n in names.values()))
            widths = {c: max(len(c), *(len(found.get((*r, c), "")) for r in rows)) for c in columns}
            lines = ["".join([f"{name:<{left}}", *(f" |   {cells[c]:>{widths[c]}}" for c in columns)])
                     for name, cells in (("", {c: c for c in columns}),
                                         *((names[r], {c: found.get((*r, c), "") for c in columns}) for r in rows))]
            tables.append("\n".join([f"[ {label} ]", *lines]))
        return "\n\n".join(tables) + f"\nTimes are in {unit_to_english(unit)}s ({unit})."

    def print(self) -> None:
        """Print the table."""
        print(str(self))


__getattr__ = finder(__name__)
