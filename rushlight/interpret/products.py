"""Matrix products of references: NumPy's, on one core where native programs have the others.

The threads of NumPy's library wait for the next product for some 20 ms, and do not sleep meanwhile: a native
program that runs then has to share its cores with them, which costs more than a small product gains from them.
"""

from __future__ import annotations

import numpy as np

TINY = 9_000  # multiplications: the library itself keeps less on one core
SMALL = 1 << 23  # a tenth of a millisecond, about
ALONE: list = [None]  # the compiler's, while native programs have several cores: a context with NumPy's on one


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """`np.matmul`, also of the compiler's symbols, whose sizes it must not ask for."""
    alone = ALONE[0]
    if alone is None or a.__class__ is not np.ndarray or not TINY < a.size * (b.shape[-1] if b.ndim > 1 else 1) <= SMALL:
        return np.matmul(a, b, out)
    with alone:
        return np.matmul(a, b, out)
