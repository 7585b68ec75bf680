"""torch.autograd.profiler: labels for stretches of code, and the older way to start the profiler.

The profiler itself is `rushlight/profiler/`, loaded when it is first used; a label outside of it costs
next to nothing.
"""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import Any

from ..answers import find

COLLECTING: list = []  # the collectors of active profilers


class record_function(ContextDecorator):
    """Label a stretch of code in the profile: a context manager and decorator.

    While a profiler is active, what is pending runs when the stretch begins and when it ends, so
    that what was recorded inside it also runs inside it. name: the label. args: added to the name's
    details in the exported trace.

    >>> with torch.profiler.profile() as prof:
    ...     with torch.profiler.record_function("double"):
    ...         y = torch.ones(3) * 2
    >>> "double" in [e.name for e in prof.events()]
    True
    """

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self._open: list = []

    def __enter__(self):
        self._open.append([(c, c.begin(self.name, self.args)) for c in COLLECTING])
        return self

    def __exit__(self, *error):
        for collector, token in reversed(self._open.pop()):
            collector.end(token)


class EnforceUnique:
    """Raises RuntimeError at a key that it saw before.

    >>> seen = torch.autograd.profiler.EnforceUnique()
    >>> seen.see("a"), seen.see("b")
    (None, None)
    """

    def __init__(self) -> None:
        self.seen: set = set()

    def see(self, *key: Any) -> None:
        """Note a key."""
        if key in self.seen:
            raise RuntimeError("duplicate key: " + str(key))
        self.seen.add(key)


class emit_nvtx:
    """A name only: it would mark ranges for another vendor's tool. Raises RuntimeError when called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            f"torch.autograd.profiler.{type(self).__name__} marks ranges for other vendors' tools "
            "and is not there; use torch.profiler.profile and export_chrome_trace"
        )


class emit_itt(emit_nvtx):
    """A name only: it would mark ranges for another vendor's tool. Raises RuntimeError when called."""


def __getattr__(name: str) -> Any:
    """`profile` and the kinds of events, which load the profiler."""
    if name == "profile":
        from ..profiler.legacy import profile

        return profile
    if name in ("EventList", "FunctionEvent", "FunctionEventAvg", "Interval"):
        from ..profiler import events

        return getattr(events, name)
    return find("autograd.profiler", name)
