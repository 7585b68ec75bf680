"""torch.multiprocessing: Python's multiprocessing, with `spawn`. Tensors are copied to other processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from typing import Any

__all__ = [  # noqa: PLE0604
    *multiprocessing.__all__, "ProcessContext", "ProcessExitedException", "get_all_sharing_strategies",
    "get_sharing_strategy", "set_sharing_strategy", "spawn", "start_processes",
]  # fmt: skip


class ProcessExitedException(Exception):
    """A process of `spawn` ended with an error, which it has printed.

    >>> issubclass(torch.multiprocessing.ProcessExitedException, Exception)
    True
    """


class ProcessContext:
    """The processes that `start_processes` began.

    >>> torch.multiprocessing.ProcessContext([]).join()
    True
    """

    def __init__(self, processes: list) -> None:
        self.processes = processes

    def pids(self) -> list[int]:
        """Their numbers in the operating system."""
        return [int(p.pid) for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for the processes, at most `timeout` seconds each; whether all have ended.

        When one fails, the others are ended and ProcessExitedException is raised.
        """
        for p in self.processes:
            p.join(timeout)
        for i, p in enumerate(self.processes):
            if p.exitcode not in (0, None):
                for other in self.processes:
                    other.terminate()
                raise ProcessExitedException(f"process {i} terminated with exit code {p.exitcode}")
        return all(p.exitcode == 0 for p in self.processes)


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run `fn(i, *args)` in `nprocs` processes, i from 0; waits for them if `join`.

    Raises ProcessExitedException if one of them fails.
    """
    made = multiprocessing.get_context(start_method)
    processes = [
        made.Process(target=fn, args=(i, *args), daemon=daemon)  # type: ignore[attr-defined]
        for i in range(nprocs)
    ]
    for p in processes:
        p.start()
    context = ProcessContext(processes)
    if not join:
        return context
    context.join()
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
