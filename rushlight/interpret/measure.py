"""Watch operations as they run, at no cost while nobody watches.

`watch(observer)` puts measuring versions of the three entrances of this layer in place (an operation
that is seen for the first time, one whose Call is known, a whole Program) and `unwatch` takes them
out again when the last observer goes. Programs are then run instruction by instruction; they reuse
memory as their compiled form does, so the operators' own times are those of an ordinary run.
"""

from __future__ import annotations

from time import perf_counter_ns as clock

from . import program, tier0
from .program import Program

OBSERVERS: list = []
_plain = tier0.prepare, tier0.run, Program.__call__


class Observer:
    """What a watcher implements; times are of `time.perf_counter_ns`.

    inside: whether it must see the operations of a program one by one; without such a watcher, programs
    run as ever.
    """

    inside = True

    def operation(self, operator, node, args, result, start: int, end: int) -> None:
        """`operator` ran on `args` (arrays, tuples of them, numbers and other arguments).

        node: its node when it ran as part of a Program, None when it ran alone. result: an array or
        a tuple of arrays; None for operators that write into their arguments.
        """

    def writing(self, operator, args) -> None:
        """`operator` is about to run alone, and to write into some of its arguments."""

    def program(self, run: Program, start: int, end: int) -> None:
        """A whole Program ran, its operations included."""


class CopyOperator:
    """Stands for the primitive that writes into memory, which has no definition in `ops/`."""

    name = "copy_"
    view = False
    mutates = (0,)


COPY = CopyOperator()


def watch(observer: Observer) -> None:
    """From now on tell `observer` about everything that runs, in any thread."""
    if not OBSERVERS:
        tier0.prepare, tier0.run = _prepare, _run
        Program.__call__ = _run_program  # type: ignore[method-assign]
    OBSERVERS.append(observer)


def unwatch(observer: Observer) -> None:
    """Tell `observer` nothing more."""
    OBSERVERS.remove(observer)
    if not OBSERVERS:
        tier0.prepare, tier0.run = _plain[:2]
        Program.__call__ = _plain[2]  # type: ignore[method-assign]


def _prepare(o, outs, plan, arrays):
    _before(o, arrays)
    start = clock()
    call, result = _plain[0](o, outs, plan, arrays)
    end = clock()
    for w in tuple(OBSERVERS):
        w.operation(o, None, arrays, result, start, end)
    return call, result


def _before(operator, arrays):
    if operator.mutates:
        for w in tuple(OBSERVERS):
            w.writing(operator, arrays)


def _run(call, arrays):
    _before(call.operator, arrays)
    start = clock()
    result = _plain[1](call, list(arrays))  # (its casts go into the list)
    end = clock()
    for w in tuple(OBSERVERS):
        w.operation(call.operator, None, arrays, result, start, end)
    return result


def _run_program(self, bufs, scalars):
    """`Program.__call__`, one instruction after the other with a clock around each."""
    watching = tuple(OBSERVERS)
    if not any([w.inside for w in watching]):
        return _plain[2](self, bufs, scalars)
    values: dict = {}
    places = values, bufs, scalars
    fetch = program._fetch
    i = None
    began = clock()
    token = tier0.silence(tier0.QUIET)
    try:
        for i in self.instructions:
            node, args = i.node, [fetch(a, places) for a in i.args]
            start = clock()
            if i.into is not None:
                call = i.call
                for at, d in call.casts:
                    args[at] = tier0.cast(args[at], d)
                values[node] = call.function(*args, values[i.into])
            else:
                program.run_instruction(i, args, values)
            end = clock()
            if i.kind == "call" or i.kind == "mutate":
                result = None
                if i.kind == "call":
                    several = i.call.several
                    result = tuple([values[n] for n in node.outs]) if several else values[node]
                for w in watching:
                    w.operation(node.op, node, args, result, start, end)
                result = None
            elif i.kind == "write":
                for w in watching:
                    w.operation(COPY, node, args, None, start, end)
            args = None
            for n in i.dead:
                values.pop(n, None)
    except Exception as e:
        e.rushlight_failure = (values, i.node)  # type: ignore[attr-defined, union-attr]
        raise
    finally:
        tier0.restore(token)
    ends = clock()
    for w in watching if self.instructions else ():
        w.program(self, began, ends)
    return tuple([fetch(program.operand(n), places) for n in (*self.wanted, *self.saved)])
