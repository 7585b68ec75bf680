"""For tests: runs a piece of generated code over arrays, on this machine's target or a smaller one."""

from __future__ import annotations

import contextlib
import ctypes

import numpy as np
import pytest

from rushlight.compile.llvm import objects, target
from rushlight.compile.llvm.builder import Function, module, vector

BYTES = {"float": 4, "double": 8, "half": 2, "i16": 2}


def loop_text(write, source: str, result: str, lanes: int, operands: int = 1) -> str:
    """A module `go(a, b, r, n)` with r[i] = write(function, lanes, a[i], b[i])."""
    f = Function("go", [("ptr", "a"), ("ptr", "b"), ("ptr", "r"), ("i64", "n")])

    def body(i: str) -> None:
        given = [
            f.load(vector(source, lanes), f.at(p, i, source), BYTES[source])
            for p in ("%a", "%b")[:operands]
        ]
        made = write(f, lanes, *given)
        f.store(vector(result, lanes), made, f.at("%r", i, result), BYTES[result])

    f.loop(0, "%n", lanes, body)
    f.do("ret void")
    return module([f])


def run(text: str, lanes: int, dtype, *arrays: np.ndarray) -> np.ndarray:
    """The results for arrays of any length."""
    n = arrays[0].size
    padded = [np.resize(x, max(-(-n // lanes) * lanes, lanes)) for x in arrays]
    result = np.empty(padded[0].size, dtype)
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    code = objects.load(text, ("go",))
    call = signature(code["go"])
    call(padded[0].ctypes.data, padded[-1].ctypes.data, result.ctypes.data, result.size)
    return result[:n]


def executable() -> list[str]:
    """The levels that this machine can run."""
    host = target.host()
    if not host.triple.startswith("x86_64"):
        return [name for name, t in target.LEVELS.items() if host.name == t.name]
    order = ["generic128", "avx2", "avx512"]
    return order[: order.index(host.name) + 1]


@contextlib.contextmanager
def level(name: str):
    """Compile for this level."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUSHLIGHT_TARGET", name)
        target.host.cache_clear()
        try:
            yield
        finally:
            patch.undo()
            target.host.cache_clear()
