"""torch.futures: results that come later, set by another thread. Built on Python's futures."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

__all__ = ["Future", "collect_all", "wait_all"]


class Future:
    """A value that `set_result` gives later.

    devices: accepted; values are where they are.

    >>> f = torch.futures.Future()
    >>> g = f.then(lambda done: done.value() + 1)
    >>> f.set_result(2)
    >>> f.done(), g.wait()
    (True, 3)
    """

    def __init__(self, *, devices: Any = None) -> None:
        self._inner: concurrent.futures.Future = concurrent.futures.Future()

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._inner.done()

    def wait(self) -> Any:
        """The result, when it is there; raises the error that was set instead."""
        return self._inner.result()

    def value(self) -> Any:
        """The result. RuntimeError if it is not there yet."""
        if not self.done():
            raise RuntimeError("Future.value(): the future is not done; wait() waits for it")
        return self._inner.result()

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """The future of `callback(self)`, which is called when this one is done."""
        following = Future()

        def call(_: Any) -> None:
            try:
                following.set_result(callback(self))
            except Exception as e:
                following.set_exception(e)

        self._inner.add_done_callback(call)
        return following

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        """Call `callback(self)` when this future is done, at once if it is."""
        self._inner.add_done_callback(lambda _: callback(self))

    def set_result(self, result: Any) -> None:
        """Give the result. RuntimeError if there is one."""
        try:
            self._inner.set_result(result)
        except concurrent.futures.InvalidStateError:
            raise RuntimeError("Future.set_result(): the future is done already") from None

    def set_exception(self, result: BaseException) -> None:
        """Give an error, which `wait` raises. AssertionError if it is none."""
        assert isinstance(result, Exception), f"{result} is of type {type(result)}, not an Exception."
        self._inner.set_exception(result)


def collect_all(futures: list[Future]) -> Future:
    """A future of the list of futures, done when they all are.

    >>> a = torch.futures.Future()
    >>> both = torch.futures.collect_all([a, a])
    >>> a.set_result(1)
    >>> [f.value() for f in both.wait()]
    [1, 1]
    """
    import threading

    made, lock, left = Future(), threading.Lock(), len(futures)

    def one(_: Future) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            made.set_result(list(futures))

    if not futures:
        made.set_result([])
    for f in futures:
        f.add_done_callback(one)
    return made


def wait_all(futures: list[Future]) -> list:
    """The results of all; raises the first error among them."""
    return [f.wait() for f in futures]
