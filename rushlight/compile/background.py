"""Programs that keep coming back are compiled while tier 0 goes on running them.

A program is hot once tier 0 has spent a part of the time on it that compiling takes. One daemon thread takes
them in that order, and gives way to whoever needs the interpreter. RUSHLIGHT_COMPILE says when: "background"
(the default), "now" (when it comes back, in the calling thread: for tests) or "never".
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import warnings
from time import perf_counter as clock

from ..interpret import program as tier0_program

MODE = os.environ.get("RUSHLIGHT_COMPILE", "background")
SWITCH = 2e-4  # seconds that a step waits for the compiler to let go of the interpreter (usually 5e-3)
STRETCH, REST = 1e-3, 1e-3  # seconds of work before the compiler looks up, and of rest if it is in the way
MOST_DOUBT = 64  # see `program.DOUBT`
FEW = 8  # operations of a program that is not worth looking for its family
STAY_OUT = [False]  # torch.use_deterministic_algorithms: programs stay in tier 0
_queue: queue.Queue = queue.Queue()
_waiting: set = set()  # programs in the queue
_worker: list = [None]
_at_work: list = [None, 0.0]  # the thread, and when it looks up
_lock = threading.Lock()
failures: list = []  # (program, exception) of builds that went wrong: tier 0 goes on


def hot(program, scalars) -> bool:
    """A program came back: compile it, now or soon. Whether that is settled."""
    if MODE == "never" or STAY_OUT[0]:
        return True
    if MODE == "now":
        compile_now(program, scalars)
        return True
    if not program.worth_compiling:
        return False
    program.pending = threading.Event()
    _waiting.add(program)
    _queue.put((program, list(scalars)))
    if _worker[0] is None or not _worker[0].is_alive():
        with _lock:
            if _worker[0] is None or not _worker[0].is_alive():
                _worker[0] = threading.Thread(target=_work, name="rushlight-compile", daemon=True)
                _worker[0].start()
    return True


def first_run(program, scalars) -> None:
    """A program is run for the first time: it gets a native form if its family has one for it."""
    if MODE == "never" or STAY_OUT[0] or len(program.instructions) < FEW or _checked():
        return
    from . import native, templates

    program.family, made = templates.family_of(program)
    if made is None:
        return
    try:
        found = program.family.planned(made, scalars)
        program.family.learn(made)
        if found is None:
            tier0_program.HOPES[0] -= 1
            if tier0_program.HOPES[0] == 0:
                tier0_program.DOUBT[0] = min(2 * tier0_program.DOUBT[0], MOST_DOUBT)
            return
        tier0_program.HOPES[0], tier0_program.DOUBT[0] = tier0_program.PATIENCE, 1
        results = (*program.wanted, *program.saved)
        steps, conditions = found
        program.native = native.assembled(program, steps, conditions, results)
    except Exception as e:
        _failed(program, e)
        return
    tier0_program.compile_program(program)  # for errors, and for numbers that take other branches
    program.function, program.offered = program.native.function, True


def _checked() -> bool:
    return os.environ.get("RUSHLIGHT_CHECK", "") not in ("", "0")


def _failed(program, e: Exception) -> None:
    """A build went wrong: tier 0 goes on."""
    failures.append((program, e))
    if os.environ.get("RUSHLIGHT_STRICT"):
        raise e
    if len(failures) == 1:
        warnings.warn(f"a program stays in tier 0: {type(e).__name__}: {e}", stacklevel=3)


def at_once() -> None:
    """From now on compile in the calling thread (unless RUSHLIGHT_COMPILE=never)."""
    global MODE
    if MODE == "background":
        MODE = "now"


def compile_now(program, scalars) -> None:
    """Build the native form of a program and let it take over."""
    from . import native

    try:
        if _checked():
            from . import check

            program.function = check.checked(program, scalars)
            return
        made = native.build(program, scalars, pause=breathe)
    except Exception as e:
        _failed(program, e)
        return
    program.native = made
    program.function = made.function


def breathe() -> None:
    """Called often while compiling: the compiler's thread gives way to one that needs the interpreter.

    After each stretch of work it lets go for a moment. If it does not get the interpreter back at
    once, somebody is computing in Python, and it rests.
    """
    if threading.get_ident() != _at_work[0] or clock() < _at_work[1]:
        return
    before = clock()
    time.sleep(1e-5)
    if clock() - before > SWITCH:
        time.sleep(REST)
    _at_work[1] = clock() + STRETCH


def _work():
    _at_work[0] = threading.get_ident()
    while True:
        program, scalars = _queue.get()
        before = sys.getswitchinterval()
        sys.setswitchinterval(min(before, SWITCH))
        try:
            compile_now(program, scalars)
        finally:
            sys.setswitchinterval(before)
            program.pending.set()
            program.pending = None
            _waiting.discard(program)
            _queue.task_done()


def wait() -> None:
    """Until all programs that became hot have been compiled: for measurements."""
    _queue.join()


def after_fork() -> None:
    """In a forked child: the thread did not come along; its programs become hot once more."""
    global _queue
    _worker[0], _queue = None, queue.Queue()
    for program in _waiting:
        program.offered, program.pending = False, None
    _waiting.clear()


os.register_at_fork(after_in_child=after_fork)
tier0_program.TIER1[0], tier0_program.FAMILY[0] = hot, first_run
