"""torch.cpu: what programs ask of the CPU as a device."""

from __future__ import annotations

import contextlib
import time
from typing import Any


def is_available() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """"cpu"."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Nothing to wait for: reading a tensor waits for it."""


class Stream:
    """The order in which the CPU works: there is one.

    >>> torch.cpu.Stream(priority=0).query()
    True
    """

    def __init__(self, device: Any = None, *, priority: int = -1) -> None:
        pass

    def wait_stream(self, stream: Any) -> None:
        """Nothing to wait for."""

    wait_event = wait_stream

    def synchronize(self) -> None:
        """Nothing to wait for: reading a tensor waits for it."""

    def record_event(self, event: Event | None = None) -> Event:
        """An event that is over."""
        made = event or Event()
        made.record(self)
        return made

    def query(self) -> bool:
        """True: nothing is under way."""
        return True


class Event:
    """A point in the CPU's work, with its time.

    >>> a, b = torch.cpu.Event(enable_timing=True), torch.cpu.Event(enable_timing=True)
    >>> a.record(), b.record(), a.elapsed_time(b) >= 0
    (None, None, True)
    """

    def __init__(self, device: Any = None, *, enable_timing: bool = False, blocking: bool = False,
                 interprocess: bool = False) -> None:
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        """Note the time; what is pending runs first."""
        from ..trace import flush

        flush()
        self.time = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another one."""
        return (end_event.time - self.time) * 1e3

    def query(self) -> bool:
        """True: nothing is under way."""
        return True

    def wait(self, stream: Any = None) -> None:
        """Nothing to wait for."""

    synchronize = wait


class StreamContext(contextlib.nullcontext):
    """Without effect: the CPU has one stream.

    >>> with torch.cpu.StreamContext(torch.cpu.current_stream()):
    ...     torch.cpu.current_device()
    'cpu'
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()


stream = StreamContext


def current_stream(device: Any = None) -> Stream:
    """The one stream."""
    return Stream()


def is_initialized() -> bool:
    """True."""
    return True


def set_device(device: Any) -> None:
    """Accepted: there is one CPU."""


def get_capabilities() -> dict[str, Any]:
    """What the processor has, by LLVM's names, e.g. "avx2", and its "architecture"."""
    import platform

    import llvmlite.binding as llvm

    return {"architecture": platform.machine(), **dict(llvm.get_host_cpu_features())}


def __getattr__(name: str) -> Any:
    if name == "amp":
        import importlib

        return importlib.import_module("rushlight.cpu.amp")
    from ..answers import find

    return find("cpu", name)
