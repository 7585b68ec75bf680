"""How many cores NumPy's products take, while the compiler or native programs need some."""

from __future__ import annotations

import functools
import threading
from pathlib import Path

from ..interpret import products

_lock = threading.RLock()


class _Cores:
    """The state, and the context of a product that is to stay on one core.

    An exception of a signal's handler may leave the context without its end: the thread's next one makes up for it.
    """

    def __init__(self):
        self.own = None  # how many each library takes otherwise, while that is changed
        self.alone: set = set()  # threads in a product that stays on one core
        self.compiling = False

    def __enter__(self):
        with _lock:
            self.alone.add(threading.get_ident())
            self._apply()

    def __exit__(self, *error):
        with _lock:
            self.alone.discard(threading.get_ident())
            self._apply()

    def _apply(self):
        found = libraries()
        if self.own is None:
            self.own = [x.get_num_threads() for x in found]
        for x, own in zip(found, self.own, strict=True):
            x.set_num_threads(1 if self.alone else max(own - 1, 1) if self.compiling else own)
        if not self.alone and not self.compiling:
            self.own = None


_cores = _Cores()


@functools.cache
def libraries() -> list:
    """NumPy's libraries for products of matrices."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [x for x in found if {"numpy.libs", "numpy"} & set(Path(x.filepath).parts)] or found  # (not SciPy's, if NumPy has its own)


def leave_one() -> None:
    """Until `give_back`, NumPy's products leave a core free.

    A product on all cores waits for the one that the compiler has: some milliseconds, until the system changes threads.
    """
    with _lock:
        _cores.compiling = True
        _cores._apply()


def give_back() -> None:
    """The compiler needs no core."""
    with _lock:
        if _cores.compiling:
            _cores.compiling = False
            _cores._apply()


def take(n: int) -> None:
    """From now on NumPy's products take `n` cores."""
    from threadpoolctl import threadpool_limits

    with _lock:
        threadpool_limits(n)
        _cores.alone.discard(threading.get_ident())
        if _cores.own is not None:
            _cores.own = [n] * len(_cores.own)
            _cores._apply()


def share(threads: int) -> None:
    """Native programs have so many threads."""
    if threads > 1:
        libraries()
    products.ALONE[0] = _cores if threads > 1 else None


def after_fork() -> None:
    """In a forked child: no thread is in a product, there is no compiler."""
    global _lock
    _lock = threading.RLock()
    _cores.alone.clear()
    if _cores.own is not None:
        _cores.compiling = False
        _cores._apply()
