"""Turns: the compiler's thread and the thread that records programs take the interpreter one after the other.

Two threads that both want Python's interpreter lock take it from each other again and again, and every change
waits for another core to wake up: a step then takes twice as long, and compiling three times. So the compiler
works in stretches. If somebody waited for the interpreter meanwhile, it rests until it is offered another
stretch, where a program is about to run (`OFFER`): whoever offers waits for its end. Nobody offers while it
rests for the first time after a stretch, nor if the interpreter is free, in kernels or in input.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from time import perf_counter as clock

from ..interpret import program as tier0_program
from . import cores

STRETCH = 2e-3  # seconds of work before the compiler looks up
REST = 3e-3  # seconds between two stretches that others wait for: two fifths at most are lost to the compiler
CHANGE = 2e-4  # seconds that a thread keeps the interpreter while the compiler waits for it
LATE = 1.5e-4  # seconds after which to get the interpreter back: somebody had it
_thread: list = [None, 0.0]  # the compiler's, and when it looks up
_owing: list = [False]  # whether somebody waits for the end of this stretch
_waited: set = set()  # for whom the compiler goes on without rests
_interval: list = []  # Python's own, while it is shorter
_stopping: list = []  # not empty once the process ends
_rests: list = []  # when the rest is over, while there is one
_go, _done = threading.Lock(), threading.Lock()
_go.acquire()
_done.acquire()


class Stopped(BaseException):
    """The process ends: the compiler leaves what it was doing."""


class Pending(threading.Event):
    """Set when a program has been compiled."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for that; meanwhile the compiler need not rest."""
        me = object()
        _waited.add(me)
        try:
            _wake()
            return super().wait(timeout)
        finally:
            _waited.discard(me)


@contextmanager
def short():
    """Meanwhile threads change after `CHANGE` seconds, not Python's 5 ms.

    Each call of LLVM and each read of a file lets the interpreter go, and would wait so long to get it back.
    """
    _interval.append(sys.getswitchinterval())
    sys.setswitchinterval(min(_interval[0], CHANGE))
    try:
        yield
    finally:
        _as_before()


class _BeforeModules:
    """An import hook that finds nothing, and lets the compiler's thread look up before each module.

    It stays: another thread that goes through `sys.meta_path` would skip one if it went away.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        pause()


def _as_before() -> None:
    cores.give_back()
    while _interval:
        sys.setswitchinterval(_interval.pop())


def begin() -> None:
    """The calling thread is the compiler's."""
    from .llvm import builder, objects

    cores.libraries()
    _thread[0] = threading.get_ident()
    if _BeforeModules not in sys.meta_path:
        sys.meta_path.insert(0, _BeforeModules)
    builder.WHILE_WRITING[:], objects.BEFORE_LLVM[:] = [pause], [away]


def away() -> None:
    """The compiler works outside of the interpreter for a while: nobody waits for it."""
    if threading.get_ident() == _thread[0]:
        end()


def pause() -> None:
    """Called often while compiling; outside the compiler's thread it does nothing."""
    if threading.get_ident() != _thread[0] or clock() < _thread[1]:
        return
    if _stopping:
        raise Stopped
    others = _owing[0]
    end()
    if not _waited:
        if not others:
            before = clock()
            time.sleep(1e-5)
            others = clock() - before > LATE
        if others:
            _rest()
    _thread[1] = clock() + STRETCH


def stop() -> None:
    """The compiler has no further stretches, if it is at work."""
    _stopping.append(True)
    _thread[1] = 0.0
    _wake()


def end() -> None:
    """A stretch is over: who waits for that goes on."""
    if _owing[0]:
        _owing[0] = False
        _release(_done)


def _rest() -> None:
    _rests.append(clock() + REST)
    tier0_program.OFFER[0] = offer
    _owing[0] = _go.acquire(timeout=3 * REST)  # if nobody comes by, it takes a stretch in between
    tier0_program.OFFER[0] = None
    if _rests:
        _rests.clear()
    else:
        _owing[0] = _owing[0] or _go.acquire(False)


def offer() -> None:
    """Let the compiler have a stretch, if it has rested enough; wait for its end."""
    due = _rests[-1:]  # a copy: the compiler's thread may go on by itself, and clear the list, at any time
    if not due or clock() < due[0] or threading.get_ident() == _thread[0]:
        return
    _done.acquire(False)  # what an earlier offer, that gave up, has left
    if _wake():
        _done.acquire(timeout=2 * STRETCH)


def _wake() -> bool:
    """End the compiler's rest; whether there was one."""
    try:
        _rests.pop()
    except IndexError:
        return False
    _release(_go)
    return True


def _release(lock) -> None:
    try:
        lock.release()
    except RuntimeError:
        pass  # who waited for it has given up


def after_fork() -> None:
    """In a forked child there is no compiler yet."""
    global _go, _done
    _thread[0], _owing[0], tier0_program.OFFER[0] = None, False, None
    cores.after_fork()
    _as_before()
    _waited.clear()
    _rests.clear()
    _go, _done = threading.Lock(), threading.Lock()
    _go.acquire()
    _done.acquire()
