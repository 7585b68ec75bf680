"""Collecting events: an observer of the interpreter, and labels."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

import numpy as np

from ..autograd.profiler import COLLECTING
from ..interpret import measure
from ..tools.flops import multiply_adds
from ..trace.record import site
from ..trace.segments import flush
from ..trace.trie import RECORDER
from .events import FunctionEvent, nest

clock = time.perf_counter_ns


class Collector(measure.Observer):
    """Gathers events between `start` and `stop`: what `profile` works with.

    >>> collector = Collector()
    >>> collector.start()
    >>> _ = (torch.ones(2) + 1).sum().item()
    >>> [event.name for event in collector.stop()][-1]
    'sum'
    """

    def __init__(self, shapes=False, memory=False, stack=False, flops=False):
        self.shapes, self.memory, self.stack, self.flops = shapes, memory, stack, flops
        self.rows: list = []
        self.origin = self.began = 0
        self.live = self.peak = 0
        self._held: dict[int, tuple] = {}  # id of an array that owns memory: weak reference, bytes

    def start(self) -> None:
        """Run what is pending, then begin."""
        settle()
        self.began = time.time_ns()
        self.origin = clock()
        measure.watch(self)
        COLLECTING.append(self)

    def stop(self) -> list[FunctionEvent]:
        """Run what is pending, stop, and return the events."""
        settle()
        COLLECTING.remove(self)
        measure.unwatch(self)
        self._held.clear()
        events = []
        for name, kind, start, end, thread, shapes, where, flops, memory, args in self.rows:
            events.append(FunctionEvent(
                name, kind, (start - self.origin) / 1e3, (end - self.origin) / 1e3, thread,
                shapes=shapes, stack=_lines(where), flops=flops, memory=memory, args=args))
        self.rows = []
        nest(events)
        return events

    # -- labels --------------------------------------------------------------------------------

    def begin(self, name: str, args: str | None = None, kind: str = "label") -> tuple:
        """A label begins: what is pending runs first."""
        settle()
        return name, args, kind, clock()

    def end(self, token: tuple) -> None:
        """The label ends, after what is pending has run."""
        settle()
        name, args, kind, start = token
        self.rows.append((name, kind, start, clock(), threading.get_ident(), None, None, 0, 0, args))

    # -- the interpreter -----------------------------------------------------------------------

    def operation(self, operator, node, args, result, start, end):
        shapes = [_shape(a) for a in args] if self.shapes else None
        flops = memory = 0
        where = None
        if self.flops and result.__class__ in (np.ndarray, tuple):
            flops = 2 * multiply_adds(operator.name, args, result)
        if self.memory and not operator.view and result is not None:
            for a in result if result.__class__ is tuple else (result,):
                memory += self._allocated(a, args)
        if self.stack:
            where = node.site if node is not None else RECORDER.tr.sweeping or site(2)
        self.rows.append((operator.name, "operator", start, end, threading.get_ident(), shapes,
                          where, flops, memory, None))

    def program(self, run, start, end):
        self.rows.append(("program", "program", start, end, threading.get_ident(), None, None, 0, 0,
                          None))

    def _allocated(self, a: Any, args) -> int:
        """Bytes that a result took anew; notes when they are given back."""
        if a.__class__ is not np.ndarray:
            return 0
        owner = _owner(a)
        key = id(owner)
        held = self._held.get(key)
        if held is not None and held[0]() is owner:
            return 0  # it was written into memory that was free
        if any(_owner(x) is owner for x in args if x.__class__ is np.ndarray):
            return 0
        size = owner.nbytes

        def freed(_, key=key, size=size):
            if self._held.pop(key, None) is not None:
                now = clock()
                self.live -= size
                self.rows.append(("[memory]", "memory", now, now, threading.get_ident(), None, None,
                                  0, -size, None))

        self._held[key] = weakref.ref(owner, freed), size
        self.live += size
        self.peak = max(self.peak, self.live)
        return size


def settle() -> None:
    """Run what is pending, except inside of backward()."""
    if RECORDER.tr.sweeping is None:
        flush()


def _owner(a):
    while a.base.__class__ is np.ndarray:
        a = a.base
    return a


def _shape(a):
    if isinstance(a, np.ndarray):
        return list(a.shape)
    if a.__class__ is tuple and a and isinstance(a[0], np.ndarray):
        return [list(x.shape) for x in a]
    return []


def _lines(where) -> list[str]:
    """The stack of an event: the line of the user's program that asked for it."""
    if where is None:
        return []
    code, at = where
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if number is not None and start <= at < end:
            line = number
    return [f"{code.co_filename}({line}): {code.co_name}"]
