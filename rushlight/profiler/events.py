"""What a profile is made of: events with times in microseconds, sums of them by key, and the table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any


class Interval:
    """A stretch of time; start and end in microseconds since the profile began.

    >>> torch.profiler.Interval(10.0, 12.5).elapsed_us()
    2.5
    """

    __slots__ = ("start", "end")

    def __init__(self, start: float, end: float):
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        """Its length in microseconds."""
        return self.end - self.start

    def __repr__(self) -> str:
        return f"Interval({self.start:.3f}, {self.end:.3f})"


class _NoDevice:
    """PyTorch's columns for accelerators: there is none, so all are 0."""

    device_time = device_time_total = self_device_time_total = 0.0
    device_memory_usage = self_device_memory_usage = 0
    cuda_time = cuda_time_total = self_cuda_time_total = 0.0
    is_async = is_remote = is_legacy = False


class FunctionEvent(_NoDevice):
    """One operator call, program, label or step.

    name = key; category: "operator", "program", "label", "step" or "memory"; time_range:
    `Interval`; thread: its id; input_shapes: a list for each argument, [] for what is no tensor;
    stack: lines "file(line): function"; flops: 2 for each multiply-add; cpu_memory_usage: bytes
    allocated, less bytes freed, during the event; cpu_parent, cpu_children: by containment in time.

    >>> with torch.profiler.profile() as prof:
    ...     y = (torch.ones(4) * 3).sum().item()
    >>> [(event.name, event.category) for event in prof.events() if event.name == "sum"]
    [('sum', 'operator')]
    """

    count = 1

    def __init__(self, name: str, category: str, start: float, end: float, thread: int, *,
                 shapes: Any = None, stack: list[str] | None = None, flops: int = 0,
                 memory: int = 0, args: str | None = None):
        self.id = 0
        self.name = self.key = name
        self.category = category
        self.time_range = Interval(start, end)
        self.thread = thread
        self.input_shapes = shapes if shapes is not None else []
        self.stack = stack or []
        self.flops = flops
        self.self_cpu_memory_usage = memory
        self.args = args
        self.cpu_parent: FunctionEvent | None = None
        self.cpu_children: list[FunctionEvent] = []

    @property
    def is_user_annotation(self) -> bool:
        return self.category in ("label", "step")

    @property
    def cpu_time_total(self) -> float:
        """Microseconds, with everything inside."""
        return self.time_range.end - self.time_range.start

    cpu_time = cpu_time_total

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds, without the events inside."""
        return self.cpu_time_total - sum([c.cpu_time_total for c in self.cpu_children])

    @property
    def cpu_memory_usage(self) -> int:
        """Bytes, with everything inside."""
        return self.self_cpu_memory_usage + sum([c.cpu_memory_usage for c in self.cpu_children])

    cpu_time_str = property(lambda self: format_time(self.cpu_time))
    cpu_time_total_str = property(lambda self: format_time(self.cpu_time_total))
    self_cpu_time_total_str = property(lambda self: format_time(self.self_cpu_time_total))

    def __repr__(self) -> str:
        return f"<FunctionEvent {self.name} {format_time(self.cpu_time_total)}>"


class FunctionEventAvg(_NoDevice):
    """The sum of the events of one key; `cpu_time` is the mean for each of `count` calls.

    >>> with torch.profiler.profile() as prof:
    ...     y = (torch.ones(4) * 3 * 3).sum().item()
    >>> [(row.key, row.count) for row in prof.key_averages() if row.key == "mul"]
    [('mul', 2)]
    """

    def __init__(self, first: FunctionEvent):
        self.key = self.name = first.key
        self.category = first.category
        self.input_shapes, self.stack = first.input_shapes, first.stack
        self.is_user_annotation = first.is_user_annotation
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = self.flops = 0

    def add(self, e: Any) -> FunctionEventAvg:
        """Add an event or another sum."""
        self.count += e.count
        self.cpu_time_total += e.cpu_time_total
        self.self_cpu_time_total += e.self_cpu_time_total
        self.cpu_memory_usage += e.cpu_memory_usage
        self.self_cpu_memory_usage += e.self_cpu_memory_usage
        self.flops += e.flops
        return self

    @property
    def cpu_time(self) -> float:
        return self.cpu_time_total / self.count if self.count else 0.0

    cpu_time_str = property(lambda self: format_time(self.cpu_time))
    cpu_time_total_str = property(lambda self: format_time(self.cpu_time_total))
    self_cpu_time_total_str = property(lambda self: format_time(self.self_cpu_time_total))

    def __repr__(self) -> str:
        return (f"<FunctionEventAvg {self.key} count={self.count} "
                f"self={self.self_cpu_time_total_str} total={self.cpu_time_total_str}>")


def nest(events: list[FunctionEvent]) -> None:
    """Find each event's parent and children: the innermost event of its thread that contains it."""
    threads: dict[int, list] = {}
    for e in events:
        threads.setdefault(e.thread, []).append(e)
    for of_thread in threads.values():
        of_thread.sort(key=lambda e: (e.time_range.start, -e.time_range.end))
        open_: list[FunctionEvent] = []
        for e in of_thread:
            e.cpu_parent, e.cpu_children = None, []
            while open_ and open_[-1].time_range.end < e.time_range.end:
                open_.pop()
            if open_:
                e.cpu_parent = open_[-1]
                open_[-1].cpu_children.append(e)
            open_.append(e)
    events.sort(key=lambda e: (e.time_range.start, -e.time_range.end))
    for number, e in enumerate(events):
        e.id = number


class EventList(list):
    """A list of events or of their sums, which prints as a table.

    >>> with torch.profiler.profile() as prof:
    ...     y = (torch.ones(4) * 3).sum().item()
    >>> "Self CPU" in prof.key_averages().table(sort_by="cpu_time_total", row_limit=5)
    True
    """

    def __init__(self, events: Iterable = (), *, with_memory: bool = False,
                 with_flops: bool = False, with_shapes: bool = False, with_stack: bool = False,
                 note: str = ""):
        super().__init__(events)
        self.columns = {"memory": with_memory, "flops": with_flops, "shapes": with_shapes,
                        "stack": with_stack}
        self.note = note

    def _options(self) -> dict:
        return {f"with_{k}": v for k, v in self.columns.items()} | {"note": self.note}

    @property
    def self_cpu_time_total(self) -> float:
        """The sum of all events' own microseconds."""
        return sum([e.self_cpu_time_total for e in self])

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """Sums by name, and by input shapes and the innermost `group_by_stack_n` stack lines."""
        found: dict = {}
        for e in self:
            shapes = str(e.input_shapes) if group_by_input_shape else ""
            key = e.key, shapes, tuple(e.stack[:group_by_stack_n])
            if key not in found:
                found[key] = FunctionEventAvg(e)
                if not group_by_input_shape:
                    found[key].input_shapes = ""
                found[key].stack = e.stack[:group_by_stack_n]
            found[key].add(e)
        options = self._options()
        options["with_shapes"] = group_by_input_shape
        options["with_stack"] = group_by_stack_n > 0
        return EventList(found.values(), **options)

    def total_average(self) -> FunctionEventAvg:
        """One sum of everything."""
        total = FunctionEventAvg(FunctionEvent("Total", "operator", 0, 0, 0))
        for e in self:
            total.add(e)
        return total

    def table(self, sort_by: str | None = None, row_limit: int = 100,
              max_src_column_width: int = 75, max_name_column_width: int = 55,
              max_shapes_column_width: int = 80, header: str | None = None,
              top_level_events_only: bool = False, time_unit: str | None = None) -> str:
        """The events as text; sort_by: the name of a field such as "self_cpu_time_total".

        row_limit: rows shown, -1 for all. time_unit: "s", "ms" or "us" instead of what fits best.
        Raises ValueError for a field that does not exist.

        >>> with torch.profiler.profile() as prof:
        ...     y = (torch.ones(4) * 3).sum()
        >>> text = prof.key_averages().table(sort_by="cpu_time_total", row_limit=5)
        >>> "Self CPU" in text
        True
        """
        rows = list(self)
        if sort_by is not None:
            if sort_by not in SORTABLE:
                raise ValueError(f"table: cannot sort by '{sort_by}'; fields are {list(SORTABLE)}")
            rows.sort(key=lambda e: getattr(e, sort_by), reverse=True)
        if top_level_events_only:
            rows = [e for e in rows if getattr(e, "cpu_parent", None) is None]
        whole = self.self_cpu_time_total
        left = 0 if row_limit < 0 else max(0, len(rows) - row_limit)
        rows = rows if row_limit < 0 else rows[:row_limit]

        def share(t: float) -> str:
            return f"{100 * t / whole:.2f}%" if whole else "-"

        def time(t: float) -> str:
            return format_time(t, time_unit)

        columns: list[tuple[str, Any]] = [
            ("Name", lambda e: _cut(e.key, max_name_column_width)),
            ("Self CPU %", lambda e: share(e.self_cpu_time_total)),
            ("Self CPU", lambda e: time(e.self_cpu_time_total)),
            ("CPU total %", lambda e: share(e.cpu_time_total)),
            ("CPU total", lambda e: time(e.cpu_time_total)),
            ("CPU time avg", lambda e: time(e.cpu_time)),
        ]
        if self.columns["memory"]:
            columns += [("CPU Mem", lambda e: format_bytes(e.cpu_memory_usage)),
                        ("Self CPU Mem", lambda e: format_bytes(e.self_cpu_memory_usage))]
        columns.append(("# of Calls", lambda e: str(e.count)))
        if self.columns["flops"]:
            columns.append(("Total MFLOPs", lambda e: f"{e.flops / 1e6:.3f}" if e.flops else "--"))
        if self.columns["shapes"]:
            columns.append(("Input Shapes", lambda e: _cut(str(e.input_shapes or "[]"),
                                                           max_shapes_column_width)))
        if self.columns["stack"]:
            columns.append(("Source Location", lambda e: _cut_left(e.stack[0] if e.stack else "",
                                                                   max_src_column_width)))
        cells = [[title for title, _ in columns]] + [[f(e) for _, f in columns] for e in rows]
        text_columns = {"Name", "Input Shapes", "Source Location"}
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        lines = []
        for row in cells:
            lines.append("  ".join(
                c.ljust(w) if columns[i][0] in text_columns else c.rjust(w)
                for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip())
        rule = "  ".join("-" * w for w in widths)
        out = [header] if header else []
        out += [rule, lines[0], rule, *lines[1:], rule]
        if left:
            out.append(f"({left} more rows)")
        out.append(f"Self CPU time total: {time(whole)}")
        if self.note:
            out.append(self.note)
        return "\n".join(out) + "\n"

    def __str__(self) -> str:
        return self.table()

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write the events as JSON for chrome://tracing and ui.perfetto.dev."""
        with open(path, "w") as f:
            json.dump({"traceEvents": chrome_events(self)}, f)

    def export_stacks(self, path: str | os.PathLike, metric: str = "self_cpu_time_total") -> None:
        """Write lines `label;file(line): function;operator microseconds` for flame graphs.

        metric: "self_cpu_time_total" (there is no other device). Needs with_stack=True.
        """
        if metric not in ("self_cpu_time_total", "self_cuda_time_total", "self_xpu_time_total"):
            raise ValueError(f"export_stacks: metric should be self_cpu_time_total, got {metric}")
        sums: dict[str, float] = {}
        for e in self:
            if not e.stack:
                continue
            labels, at = [], e.cpu_parent
            while at is not None:
                if at.is_user_annotation:
                    labels.append(at.name)
                at = at.cpu_parent
            frames = [f.replace(";", ",") for f in (*reversed(labels), *reversed(e.stack), e.name)]
            line = ";".join(f.replace(" ", "_") for f in frames)
            sums[line] = sums.get(line, 0.0) + getattr(e, metric)
        with open(path, "w") as f:
            for line, value in sums.items():
                if round(value) > 0:
                    f.write(f"{line} {round(value)}\n")


SORTABLE = (
    "cpu_time", "cpu_time_total", "self_cpu_time_total", "cpu_memory_usage",
    "self_cpu_memory_usage", "count", "flops", "key",
    "device_time", "device_time_total", "self_device_time_total", "cuda_time", "cuda_time_total",
    "self_cuda_time_total", "device_memory_usage", "self_device_memory_usage",
)  # fmt: skip
_CATEGORIES = {"operator": "cpu_op", "program": "cpu_op", "label": "user_annotation",
               "step": "user_annotation"}


def chrome_events(events: list[FunctionEvent], origin: float = 0.0) -> list[dict]:
    """Events in the Trace Event Format; origin: microseconds added to all times."""
    pid, made = os.getpid(), []
    threads = {t: n for n, t in enumerate(dict.fromkeys(e.thread for e in events))}
    made.append({"ph": "M", "name": "process_name", "pid": pid, "tid": 0,
                 "args": {"name": "Rushlight"}})
    for number in threads.values():
        made.append({"ph": "M", "name": "thread_name", "pid": pid, "tid": number,
                     "args": {"name": f"thread {number}"}})
    total = 0
    for e in events:
        at = origin + e.time_range.start
        if e.self_cpu_memory_usage:
            total += e.self_cpu_memory_usage
            made.append({"ph": "C", "name": "memory of results", "pid": pid, "tid": 0,
                         "ts": origin + e.time_range.end, "args": {"bytes": total}})
        if e.category == "memory":
            continue
        args: dict = {}
        if e.input_shapes:
            args["Input Dims"] = e.input_shapes
        if e.stack:
            args["Call stack"] = ";".join(e.stack)
        if e.flops:
            args["flops"] = e.flops
        if e.args:
            args["args"] = e.args
        made.append({"ph": "X", "cat": _CATEGORIES[e.category], "name": e.name, "pid": pid,
                     "tid": threads[e.thread], "ts": at, "dur": e.cpu_time_total, "args": args})
    return made


def format_time(us: float, unit: str | None = None) -> str:
    """Microseconds as text, in seconds, milliseconds or microseconds."""
    if unit == "s" or (unit is None and abs(us) >= 1e6):
        return f"{us / 1e6:.3f}s"
    if unit == "ms" or (unit is None and abs(us) >= 1e3):
        return f"{us / 1e3:.3f}ms"
    return f"{us:.3f}us"


def format_bytes(n: int) -> str:
    """A number of bytes as text, in powers of 1024."""
    for power, name in ((3, "GB"), (2, "MB"), (1, "KB")):
        if abs(n) >= 1024**power:
            return f"{n / 1024**power:.2f} {name}"
    return f"{n} B"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _cut_left(text: str, width: int) -> str:
    return text if len(text) <= width else "..." + text[3 - width:]
