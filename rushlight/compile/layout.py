"""What a native program holds when its arena is fullest: for tables of memory."""

from __future__ import annotations

import numpy as np

from .kernels.call import Workspace
from .threads import MOST_THREADS


def at_peak(native) -> list[tuple]:
    """(node, what it is, bytes) of each temporary that is alive while most of the arena is in use.

    what it is: "" for the value of the node, else what the node's operation needs the memory for.
    """
    total = np.zeros(len(native.steps) + 1, np.int64)
    for _, first, last, nbytes, _ in native.lives:
        total[first : last + 1] += nbytes
    fullest = int(total.argmax())
    found = []
    for root, first, last, nbytes, _ in native.lives:
        if first <= fullest <= last:
            if hasattr(root, "op"):
                found.append((root, "", nbytes))
            else:
                what = " (intermediate)"
                if isinstance(root, Workspace):  # reserved; what no thread touches takes no memory
                    threads = f" for {MOST_THREADS} threads" if root.per_thread else ""
                    what = f" (workspace{threads})"
                found.append((native.steps[first].instructions[0].node, what, nbytes))
    return found
