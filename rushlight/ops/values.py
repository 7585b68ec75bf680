"""What references ask of arrays that, while a program is compiled, are only symbols."""

from __future__ import annotations

import functools

import numpy as np


def native(name: str):
    """Decorator of a function of arrays that the compiler has under a name: a kernel or elementwise."""

    def define(f):
        @functools.wraps(f)
        def either(*given):
            for x in given:
                compiled = getattr(x, "function", None)
                if compiled is not None:
                    return compiled(name, *given)
            return f(*given)

        return either

    return define


def zeros(shape, dtype, like) -> np.ndarray:
    """Zeros, of the kind of array that `like` is."""
    compiled = getattr(like, "function", None)
    return np.zeros(shape, dtype) if compiled is None else compiled("zeros", shape, dtype)


def counted(n: int, like, dtype=np.int64) -> np.ndarray:
    """0, 1, ... n - 1, as the kind of array that `like` is."""
    compiled = getattr(like, "function", None)
    return np.arange(n, dtype=dtype) if compiled is None else compiled("counted", n, dtype)


def number(x, like):
    """A number (perhaps made of sizes) as `like` has them: a NumPy scalar of its dtype."""
    compiled = getattr(like, "function", None)
    return like.dtype.type(x) if compiled is None else compiled("number", x, like.dtype)


def found(bad) -> bool:
    """Whether a condition holds anywhere. A compiled operator fails if it does, and False is given."""
    ask = getattr(bad, "found", None)
    return bool(np.any(bad)) if ask is None else ask()


def bounded(index, n: int, error):
    """`index`, whose elements must lie in [0, n); else raise what error(wrong elements) makes."""
    compiled = getattr(index, "within", None)
    if compiled is not None:
        return compiled(n)
    if index.size and index.view(f"u{index.itemsize}").max() >= n:
        raise error(index[(index < 0) | (index >= n)])
    return index
