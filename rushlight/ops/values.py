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
