"""The number of threads that kernels run on, and the loaded pool and launcher."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys

from ..interpret.program import AT_START
from ..runtime import launch, pool
from . import cores
from .expressions import NotLowered
from .llvm import objects

MOST_THREADS = 64
_asked: list = [None]


def threads() -> int:
    """What was asked for, else OMP_NUM_THREADS, else the cores that this process may use."""
    if _asked[0]:
        return _asked[0]
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(asked) if asked.isdigit() and int(asked) else cores, MOST_THREADS)


def use(n: int) -> None:
    """Run kernels on `n` threads from now on."""
    _asked[0] = min(n, MOST_THREADS)
    if runtime.cache_info().currsize:
        runtime().use(_asked[0])


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's mallopt
KEPT = 1 << 30


def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed arrays, up to 1 GB, for the next ones.

    By default it returns every large array to the system, and the next step takes fresh pages for the
    same results: for a 16 MB array that costs as much as a pass over it. (glibc only.)
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, KEPT)


def return_freed_memory() -> None:
    """Give the system what was freed so far. (glibc only.)"""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


class Runtime:
    """The pool and the launcher, loaded once in a process."""

    def __init__(self):
        keep_freed_memory()
        text = pool.text(platform.machine(), sys.platform)
        functions = objects.load(text, pool.EXPORTS)
        native = objects.load(launch.TEXT, launch.EXPORTS, {"pool_run": functions["pool_run"]})
        self._code = functions, native
        self.launch = launch.python_function("launch", native["launch"])
        self.pool_address = functions["pool_run"]
        word = ctypes.c_int64
        self._start = ctypes.CFUNCTYPE(None, word, word)(functions["pool_start"])
        self._use = ctypes.CFUNCTYPE(None, word)(functions["pool_use"])
        self._forked = ctypes.CFUNCTYPE(None)(functions["pool_forked"])
        self.started = 0
        self.use(threads())
        os.register_at_fork(after_in_child=self._after_fork)

    def use(self, count: int) -> None:
        """Run kernels on so many threads, the caller's included."""
        workers = count - 1
        if workers > self.started:
            self._start(self.started + 1, workers)
            self.started = workers
        self._use(workers)
        cores.share(count)

    def _after_fork(self):
        """A child has no workers: they start again when it asks for threads."""
        self._forked()
        self.started = 0


@functools.cache
def runtime() -> Runtime:
    """The process's runtime; NotLowered where Python's memory layout is not the expected one."""
    if not launch.verify_layout():
        raise NotLowered("this Python does not lay out its objects as CPython does")
    made = Runtime()
    while AT_START:
        AT_START.pop()(objects.load)
    return made


def pool_address() -> int:
    """Where the pool's `pool_run` lies, for modules that call it."""
    return runtime().pool_address
