"""torch.profiler: which operators run, how often, how long, on what.

What is measured: the time inside of each operator's reference as tier 0 runs it, on the CPU, with its
casts. Programs run instruction by instruction while they are profiled ("program" is such a run; its own
time is the interpreter's). What Python spends on recording operations belongs to no event, nor do
views and copies of memory that is there, which are made at once. Since operations are deferred, they
run where a value is needed: after backward, most of a training step runs in `optimizer.step()`. Labels
(`record_function`) and `profile.step()` run what is pending at their ends. `with_stack` tells the line
of the program that recorded an operation (for gradients: the call of backward), first seen there.

Read `collect.py` first, then `events.py`; `interpret/measure.py` is the hook.
"""

from __future__ import annotations

import enum
import gzip
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from ..answers import finder as _finder
from ..autograd.profiler import record_function
from .collect import Collector
from .events import (
    EventList,
    FunctionEvent,
    FunctionEventAvg,
    Interval,
    chrome_events,
    format_bytes,
)


def kineto_available() -> bool:
    """True: schedules, `step` and traces work. (They are not made by PyTorch's Kineto.)"""
    return True


class KinetoStepTracker:
    """Counts the steps of several loops; the largest count is the program's step.

    >>> torch.profiler.KinetoStepTracker.init_step_count("loop")
    >>> torch.profiler.KinetoStepTracker.increment_step("loop")
    1
    """

    _counts: dict[str, int] = {}

    @classmethod
    def init_step_count(cls, requester: str) -> None:
        """Begin to count for `requester`."""
        cls._counts[requester] = cls.current_step()

    @classmethod
    def erase_step_count(cls, requester: str) -> bool:
        """Forget a count; whether there was one."""
        return cls._counts.pop(requester, None) is not None

    @classmethod
    def increment_step(cls, requester: str) -> int:
        """One step more; returns the program's step."""
        cls._counts[requester] = cls._counts.get(requester, 0) + 1
        return cls.current_step()

    @classmethod
    def current_step(cls) -> int:
        """The program's step."""
        return max(cls._counts.values(), default=0)


class ProfilerActivity(enum.Enum):
    """What to watch; only the CPU is there.

    >>> torch.profiler.supported_activities()
    {<ProfilerActivity.CPU: 0>}
    """

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What a profiler does in a step.

    >>> torch.profiler.schedule(wait=0, warmup=0, active=1)(0).name
    'RECORD_AND_SAVE'
    """

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """The activities that can be watched on this machine."""
    return {ProfilerActivity.CPU}


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
             skip_first_wait: int = 0) -> Callable[[int], ProfilerAction]:
    """Cycles of `wait` idle steps, `warmup` unused ones and `active` recorded ones.

    After `skip_first` steps; repeat: number of cycles, 0 for no end; skip_first_wait: nonzero to
    leave out the first cycle's wait. ValueError for negative numbers, or no active step.

    >>> s = torch.profiler.schedule(wait=1, warmup=1, active=2)
    >>> [s(n).name for n in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        raise ValueError(
            "schedule: wait, warmup, repeat and skip_first must not be negative and active must be "
            f"positive, got wait={wait}, warmup={warmup}, active={active}, repeat={repeat}, "
            f"skip_first={skip_first}"
        )

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise ValueError(f"schedule: a step cannot be negative, got {step}")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        cycle, at = divmod(step, wait + warmup + active)
        if (repeat and cycle >= repeat) or at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        last = at == wait + warmup + active - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


def _always(_: int) -> ProfilerAction:
    return ProfilerAction.RECORD


RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None,
                              use_gzip: bool = False) -> Callable[[Any], None]:
    """An `on_trace_ready` that writes `<worker>.<time>.pt.trace.json` into a folder."""

    def handle(prof) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        end = ".pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}{end}"))

    return handle


class profile:
    """Measure the operators that run inside a with block, or in the steps that a schedule names.

    activities: accepted; the CPU is always watched, and it is an error to ask for nothing else.
    schedule: step number to `ProfilerAction`; then call `step()` after each step.
    on_trace_ready: called with this profiler at the end of each cycle.
    record_shapes: keep shapes of inputs. profile_memory: bytes of results, and their peak.
    with_stack: the line that recorded each operator. with_flops: of products and convolutions.
    acc_events: keep the events of all cycles, not only the last one's.
    See the module's docstring for what is measured.

    >>> x = torch.randn(8, 16)
    >>> with torch.profiler.profile(record_shapes=True, with_flops=True) as prof:
    ...     y = (x @ x.T).relu().sum().item()
    >>> row = next(r for r in prof.key_averages() if r.key == "matmul")
    >>> row.count, row.flops
    (1, 2048)
    """

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None,
                 schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[[Any], Any] | None = None, record_shapes: bool = False,
                 profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
                 with_modules: bool = False, experimental_config: Any = None,
                 execution_trace_observer: Any = None, acc_events: bool = False,
                 use_cuda: bool | None = None, custom_trace_id_callback: Any = None,
                 post_processing_timeout_s: float | None = None):
        asked = set(activities) if activities else {ProfilerActivity.CPU}
        if ProfilerActivity.CPU not in asked:
            raise ValueError(
                f"profile: activities {sorted(a.name for a in asked)} are not there; "
                "Rushlight computes on the CPU: use ProfilerActivity.CPU"
            )
        if asked != {ProfilerActivity.CPU}:
            missing = sorted(a.name for a in asked if a is not ProfilerActivity.CPU)
            warnings.warn(f"profile: no {', '.join(missing)} on this machine; only the CPU is "
                          "profiled", stacklevel=2)
        self.schedule = schedule or _always
        self.with_steps = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.options = {"shapes": record_shapes, "memory": profile_memory, "stack": with_stack,
                        "flops": with_flops}
        self.acc_events = acc_events
        self.step_num = 0
        self.current_action = self.schedule(0)
        self.peak_memory = 0
        self._metadata: dict[str, str] = {}
        self._collector: Collector | None = None
        self._step: tuple | None = None
        self._events: EventList | None = None
        self._began = 0

    # -- life ----------------------------------------------------------------------------------

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self) -> None:
        """Begin, as entering the with block does."""
        if self.current_action in RECORDING:
            self._open()

    def stop(self) -> None:
        """End, as leaving the with block does."""
        if self._collector is not None:
            self._close()
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)

    def step(self) -> None:
        """A step of the program ends, and the next one begins."""
        before = self.current_action
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._close()
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)
        elif before is ProfilerAction.RECORD and self.current_action not in RECORDING:
            warnings.warn("profile: the schedule ends a recording without RECORD_AND_SAVE; "
                          "what was recorded is dropped", stacklevel=2)
            self._close(keep=False)
        if self.current_action in RECORDING:
            if self._collector is None:
                self._open()
            else:
                self._end_step()
                self._begin_step()

    def _open(self) -> None:
        self._collector = Collector(**self.options)
        self._collector.start()
        self._began = self._collector.began
        self._begin_step()

    def _begin_step(self) -> None:
        if self.with_steps and self._collector is not None:
            self._step = self._collector.begin(f"ProfilerStep#{self.step_num}", None, "step")

    def _end_step(self) -> None:
        if self._step is not None and self._collector is not None:
            self._collector.end(self._step)
            self._step = None

    def _close(self, keep: bool = True) -> None:
        collector = self._collector
        assert collector is not None
        self._end_step()
        found = collector.stop()
        self._collector = None
        self.peak_memory = max(collector.peak, self.peak_memory if self.acc_events else 0)
        if not keep:
            return
        if self.acc_events and self._events is not None:
            found = [*self._events, *found]
        o = self.options
        note = ""
        if o["memory"]:
            note = f"Peak memory of results made in the profile: {format_bytes(self.peak_memory)}"
        self._events = EventList(found, with_memory=o["memory"], with_flops=o["flops"],
                                 with_shapes=o["shapes"], with_stack=o["stack"], note=note)

    def toggle_collection_dynamic(self, enable: bool,
                                  activities: Iterable[ProfilerActivity] = ()) -> None:
        """Refused: use a schedule, or several with blocks."""
        raise RuntimeError("profile: collection cannot be toggled; use a schedule")

    # -- results -------------------------------------------------------------------------------

    def events(self) -> EventList:
        """All events of the last recorded cycle, by start. AssertionError before there is one."""
        assert self._events is not None, "profile: nothing was recorded, or it is still running"
        return self._events

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """Sums of the events by name; see `EventList.table` for printing them."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write the events as JSON for ui.perfetto.dev or chrome://tracing; `.gz` compresses."""
        whole = {
            "schemaVersion": 1,
            "displayTimeUnit": "ms",
            "deviceProperties": [],
            "traceName": os.fspath(path),
            **self._metadata,
            "traceEvents": chrome_events(self.events(), self._began / 1e3),
        }
        text = json.dumps(whole)
        if os.fspath(path).endswith(".gz"):
            with gzip.open(path, "wt") as f:
                f.write(text)
        else:
            with open(path, "w") as f:
                f.write(text)

    def export_stacks(self, path: str | os.PathLike, metric: str = "self_cpu_time_total") -> None:
        """Write lines for flame graphs; RuntimeError without with_stack=True."""
        if not self.options["stack"]:
            raise RuntimeError("export_stacks needs profile(with_stack=True)")
        self.events().export_stacks(path, metric)

    def export_memory_timeline(self, path: str, device: str | None = None) -> None:
        """Write [[microseconds], [bytes of results]] as JSON; needs profile_memory=True."""
        if not self.options["memory"]:
            raise RuntimeError("export_memory_timeline needs profile(profile_memory=True)")
        if not path.endswith(".json"):
            raise ValueError(f"export_memory_timeline: path should end in .json, got '{path}'")
        times, sizes, total = [], [], 0
        for e in self.events():
            if e.self_cpu_memory_usage:
                total += e.self_cpu_memory_usage
                times.append(e.time_range.end)
                sizes.append(total)
        with open(path, "w") as f:
            json.dump([times, sizes], f)

    def add_metadata(self, key: str, value: str) -> None:
        """Add a text to the exported trace."""
        self._metadata[key] = str(value)

    def add_metadata_json(self, key: str, value: str) -> None:
        """Add a value, given as JSON, to the exported trace."""
        self._metadata[key] = json.loads(value)

    preset_metadata_json = add_metadata_json

    @property
    def profiler(self):
        """Itself, where PyTorch keeps the autograd profiler inside."""
        return self

    def table(self, *args: Any, **options: Any) -> str:
        """`events().table(...)`."""
        return self.events().table(*args, **options)

    @property
    def self_cpu_time_total(self) -> float:
        """The sum of all events' own microseconds."""
        return self.events().self_cpu_time_total

    def __repr__(self) -> str:
        if self._events is None:
            return f"<profile {self.current_action.name}, step {self.step_num}, no events yet>"
        return f"<profile of {len(self._events)} events>"

    def __str__(self) -> str:
        return repr(self) if self._events is None else self.key_averages().table()


__all__ = [
    "EventList",
    "FunctionEvent",
    "FunctionEventAvg",
    "Interval",
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]

__getattr__ = _finder(__name__)
