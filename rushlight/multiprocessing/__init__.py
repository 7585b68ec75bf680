"""torch.multiprocessing: Python's multiprocessing, with `spawn`. Tensors are copied to other processes."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import *  # noqa: F403
from multiprocessing import connection
from typing import Any, NoReturn

__all__ = [  # noqa: PLE0604
    *multiprocessing.__all__, "ProcessContext", "ProcessException", "ProcessExitedException", "ProcessRaisedException",
    "SpawnContext", "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn", "start_processes",
]  # fmt: skip


class ProcessException(Exception):
    """A process of `spawn` failed: `error_index` is its number, `error_pid` that in the operating system.

    >>> torch.multiprocessing.ProcessRaisedException("text", 1, 4711).error_index
    1
    """

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg, self.error_index, self.pid, self.error_pid = msg, error_index, pid, pid

    def __reduce__(self) -> tuple:
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """The function raised an exception, whose traceback is in the message.

    >>> issubclass(torch.multiprocessing.ProcessRaisedException, Exception)
    True
    """


class ProcessExitedException(ProcessException):
    """The process ended with an exit code or by a signal.

    >>> torch.multiprocessing.ProcessExitedException("text", 0, 4711, exit_code=3).exit_code
    3
    """

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self) -> tuple:
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def _run(fn: Callable, i: int, args: tuple, told: Any) -> None:
    """The function in its process; `told` gets the traceback of an exception."""
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass  # the user ended the parent, too
    except Exception:
        told.send(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """The processes that `start_processes` began.

    >>> torch.multiprocessing.ProcessContext([]).join()
    True
    """

    def __init__(self, processes: list, told: Sequence = ()) -> None:
        self.processes, self._told = processes, told
        self.sentinels = {p.sentinel: i for i, p in enumerate(processes)}

    def pids(self) -> list[int]:
        """Their numbers in the operating system."""
        return [int(p.pid) for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait, at most `timeout` seconds, until a process ends; whether all have ended.

        When one failed, the others are ended: they are asked to, and killed after `grace_period` seconds (30 without it). Then
        ProcessRaisedException is raised if its function raised an exception, else ProcessExitedException.
        """
        failed = None
        for sentinel in connection.wait(list(self.sentinels), timeout) if self.sentinels else ():
            i = self.sentinels.pop(sentinel)  # type: ignore[call-overload]
            self.processes[i].join()
            if self.processes[i].exitcode != 0:
                failed = i
                break
        if failed is None:
            return not self.sentinels
        for how, wait in (("terminate", 30 if grace_period is None else grace_period), ("kill", None)):
            for p in self.processes:
                if p.is_alive():
                    getattr(p, how)()
            until = None if wait is None else time.monotonic() + wait
            for p in self.processes:
                p.join(None if until is None else max(0, until - time.monotonic()))
        self._raise(failed)

    def _raise(self, i: int) -> NoReturn:
        p, where = self.processes[i], f"process {i}"
        if self._told and self._told[i].poll():
            try:
                text = self._told[i].recv()
            except EOFError:
                text = None
            if text is not None:
                raise ProcessRaisedException(f"\n\n-- Process {i} terminated with the following error:\n{text}", i, p.pid)
        if p.exitcode < 0:
            try:
                name = signal.Signals(-p.exitcode).name
            except ValueError:
                name = f"<Unknown signal {-p.exitcode}>"
            raise ProcessExitedException(f"{where} terminated with signal {name}", i, p.pid, p.exitcode, name)
        raise ProcessExitedException(f"{where} terminated with exit code {p.exitcode}", i, p.pid, p.exitcode)


SpawnContext = ProcessContext  # the name of the first versions


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run `fn(i, *args)` in `nprocs` processes, i from 0; waits for them if `join`.

    Raises ProcessRaisedException, with the traceback, if one of the functions raises an exception, and
    ProcessExitedException if one of the processes ends otherwise; both end the other processes.
    """
    made = multiprocessing.get_context(start_method)
    processes, told = [], []
    for i in range(nprocs):
        ours, theirs = made.Pipe(duplex=False)
        p = made.Process(target=_run, args=(fn, i, args, theirs), daemon=daemon)  # type: ignore[attr-defined]
        p.start()
        theirs.close()
        processes.append(p)
        told.append(ours)
    context = ProcessContext(processes, told)
    if not join:
        return context
    while not context.join():
        pass
    return None


def spawn(
    fn: Callable, args: tuple = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """`start_processes` with new interpreters."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)


def get_all_sharing_strategies() -> set[str]:
    """Of tensors between processes: there is one, copies in files."""
    return {"file_system"}


def get_sharing_strategy() -> str:
    """The way tensors reach other processes."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted if it is the one that is there; AssertionError for others."""
    assert new_strategy in get_all_sharing_strategies(), f"no sharing strategy {new_strategy!r}"
