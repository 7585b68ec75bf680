"""Programs that keep coming back are compiled while tier 0 goes on running them.

A program is hot once tier 0 has spent about the time on it that compiling takes. One daemon thread takes
them in that order, in turns with whoever needs the interpreter (`turns.py`). RUSHLIGHT_COMPILE says when:
"background" (the default), "now" (when it comes back, in the calling thread: for tests) or "never".
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import warnings
from contextlib import suppress

from ..interpret import program as tier0_program
from . import cores, turns

MODE = os.environ.get("RUSHLIGHT_COMPILE", "background")
MOST_DOUBT = 64  # see `program.DOUBT`
FEW = 8  # operations of a program that is not worth looking for its family
STAY_OUT = [False]  # torch.use_deterministic_algorithms: programs stay in tier 0
_queue: queue.Queue = queue.Queue()
_waiting: set = set()  # programs in the queue
_worker: list = [None]
_lock = threading.Lock()
_here = [False]  # whether the compiler's modules have been imported
_importing = threading.RLock()  # held meanwhile: a process that is forked then would wait for the import for ever
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
    program.pending = turns.Pending()
    _waiting.add(program)
    _start((program, list(scalars)))
    return True


def _start(job) -> None:
    """Hand a job to the compiler's thread."""
    _queue.put(job)
    if _worker[0] is None or not _worker[0].is_alive():
        with _lock:
            if _worker[0] is None or not _worker[0].is_alive():
                _worker[0] = threading.Thread(target=_work, name="rushlight-compile", daemon=True)
                _worker[0].start()


def first_run(program, scalars) -> bool:
    """A program is run for the first time, or its family has a new form: it gets a native form if there is one for it.

    Whether to ask again when it comes back: the compiler is on its way. (Importing it takes a tenth of a second.)
    """
    if MODE == "never" or STAY_OUT[0] or _checked():
        tier0_program.HOPES[0] = 0  # nothing is going to have a shared form: what is new runs at once
        return False
    if len(program.instructions) < FEW:
        return False
    if MODE == "background" and not _here[0]:
        if _worker[0] is None or not _worker[0].is_alive():
            _start((None, ()))
        return True
    _give_family(program, scalars)
    return False


def _give_family(program, scalars) -> None:
    from . import native, templates

    program.family, made = templates.family_of(program)
    if made is None:
        return
    try:
        program.tried = program.family.newest
        found = program.family.planned(made, scalars)
        program.family.learn(made)
        if found is None:
            if program.runs > 1:
                return
            tier0_program.HOPES[0] -= 1
            if tier0_program.HOPES[0] == 0:
                tier0_program.DOUBT[0] = min(2 * tier0_program.DOUBT[0], MOST_DOUBT)
            return
        tier0_program.HOPES[0], tier0_program.DOUBT[0] = tier0_program.PATIENCE, 1
        made = native.member(program, found)
    except Exception as e:
        _failed(program, e)
        return
    program.function, program.native, program.offered = made.function, made, True


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
        made = native.build(program, scalars, pause=turns.pause)
    except Exception as e:
        _failed(program, e)
        return
    program.function, program.native = made.function, made


def _work():
    with _importing, turns.short():
        turns.begin()
    while (job := _queue.get()) is not None:
        program, scalars = job
        try:
            with turns.short():
                cores.leave_one()
                _import()
                if program is not None:
                    compile_now(program, scalars)
        except turns.Stopped:
            return
        finally:
            if program is not None:
                program.pending.set()
                program.pending = None
                _waiting.discard(program)
            turns.end()
            _queue.task_done()


def _import() -> None:
    """Fetch the compiler's modules, LLVM and the runtime: recording is native from then on."""
    if not _here[0]:
        with _importing:
            try:
                from . import native  # noqa: F401
                from .expressions import NotLowered
                from .threads import runtime

                with suppress(NotLowered):  # (who needs it says why)
                    runtime()
            finally:
                _here[0] = True  # (if it went wrong, who needs it says why)


def stop() -> None:
    """Before the process ends: LLVM's own data then goes away, under a compiler that is still at work."""
    turns.stop()
    _queue.put(None)
    if _worker[0] is not None:
        _worker[0].join()


def wait() -> None:
    """Until all programs that became hot have been compiled: for measurements."""
    _queue.join()


def after_fork() -> None:
    """In a forked child: the thread did not come along; its programs become hot once more."""
    global _queue
    _importing._at_fork_reinit()
    _worker[0], _queue = None, queue.Queue()
    turns.after_fork()
    for program in _waiting:
        program.offered, program.pending = False, None
    _waiting.clear()


os.register_at_fork(before=_importing.acquire, after_in_parent=_importing.release, after_in_child=after_fork)
atexit.register(stop)
tier0_program.TIER1[0], tier0_program.FAMILY[0] = hot, first_run
