"""Time the kernels of native programs, one by one, while they do their work."""

from __future__ import annotations

import ctypes
import functools
import time
from collections import defaultdict

import numpy as np

from ..runtime import launch
from .llvm import objects
from .threads import runtime


@functools.cache
def _run_calls():
    """The launcher's loop over calls, as a Python function."""
    from .threads import pool_address

    code = objects.load(launch.TEXT, launch.EXPORTS, {"pool_run": pool_address()})
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
    function = kind(code["run_calls"])
    function.code = code  # it lives as long as this
    return function


class Timed:
    """A native program's function whose launches are timed: `seconds` and `counts` for each call."""

    def __init__(self, native):
        self.native = native
        self.seconds: dict = defaultdict(float)
        self.counts: dict = defaultdict(int)
        self.function = native.bind(self._launch)

    def _launch(self, address, scalars, *lists):
        plan, table, _ = self.native.plans[address]
        calls = self.native.calls_of(address)
        plan[0] = 0  # only the patches
        try:
            runtime().launch(address, scalars, *lists)
        finally:
            plan[0] = len(calls)
        run = _run_calls()
        for j, call in enumerate(calls):
            start = time.perf_counter()
            wrong = run(table.ctypes.data + 40 * j, 1)
            self.seconds[id(call)] += time.perf_counter() - start
            self.counts[id(call)] += 1
            if wrong:
                return j + 1
        return 0


@functools.cache
def most_flops(arithmetic: str) -> float:
    """Floating operations a second that this machine reaches with the threads in use, measured once.

    arithmetic: "float32", "float64" or "bfloat16", as in `Call`. From a product of matrices that stay in the
    cache; larger ones of bfloat16, which are over too soon where there are block registers.
    """
    from .kernels.matmul import Matrix, Product, plan

    n, dtype = {"float32": (384, np.dtype(np.float32)), "float64": (384, np.dtype(np.float64)),
                "bfloat16": (768, None)}[arithmetic]
    if dtype is None:
        import ml_dtypes

        dtype = np.dtype(ml_dtypes.bfloat16)
    a, b, c = (np.ones((n, n), dtype) for _ in range(3))
    matrices = [Matrix(held_address(x), n, 1) for x in (a, b, c)]
    return _best(plan(Product(*matrices, m=n, n=n, k=n, dtype=arithmetic)), 2 * n**3, [a, b, c])


@functools.cache
def most_bytes() -> float:
    """Bytes a second, read and written together, of a copy of 32 MB; measured once."""
    x = np.empty(1 << 23, np.float32)
    y = np.ones(1 << 23, np.float32)
    np.copyto(x, y)  # its pages are given now
    start = time.perf_counter()
    for _ in range(4):
        np.copyto(x, y)
    return 4 * 2 * x.nbytes / (time.perf_counter() - start)


def held_address(array: np.ndarray):
    """An Address of an array that stays where it is."""
    from .kernels.call import Address

    return Address(_Held(array))


class _Held:
    """An array as the buffer of an Address."""

    def __init__(self, array):
        self.array = array


def _best(calls, flops: int, held) -> float:
    from .kernels.call import Address, Workspace

    run = _run_calls()
    tables, keep, spaces = [], [held], dict[Workspace, np.ndarray]()

    def address(w) -> int:
        if isinstance(w, Address):
            return address(w.buffer) + w.offset
        if isinstance(w, _Held):
            return w.array.ctypes.data
        if w not in spaces:
            spaces[w] = np.zeros(w.nbytes * (64 if w.per_thread else 1) + 64, np.uint8)
        return spaces[w].ctypes.data + -spaces[w].ctypes.data % 64

    for call in calls:
        code = objects.load(call.text, call.exports or (call.function,))
        words = np.array([w if isinstance(w, int) else address(w) for w in call.words], np.int64)
        keep += [words, code]
        tables.append(np.array([code[call.function], words.ctypes.data, call.chunks,
                                int(call.parallel), 0], np.int64))
    best = 1e9
    for _ in range(20):
        start = time.perf_counter()
        for t in tables:
            run(t.ctypes.data, 1)
        best = min(best, time.perf_counter() - start)
    del keep
    return flops / best
