"""Who holds memory: an array's owner, and which values a program in tier 0 holds when they take most."""

from __future__ import annotations

import numpy as np

from .program import Program, outputs


def owner(a: np.ndarray) -> np.ndarray:
    """The array whose memory `a` is a view of."""
    while True:
        base = a.base
        if base.__class__.__name__ == "DummyArray":  # of as_strided
            base = base.base
        if not isinstance(base, np.ndarray):
            return a
        a = base


def at_peak(program: Program) -> list:
    """The nodes whose own arrays are alive when these need most memory, results included.

    What a reference needs inside of an operation is not known.
    """
    alive: dict = {}  # node that owns memory: the names that hold it
    size = most = 0
    peak: list = []
    for i in program.instructions:
        if i.kind in ("call", "alias", "restride"):
            for o in outputs(i.node):
                if o.m.weak:
                    continue
                if i.into is not None and alive.get(i.into.root) is not None:
                    taken = alive.pop(i.into.root)  # its memory goes on under another name
                    size -= i.into.root.m.nbytes
                    taken.clear()
                if o.root is o and i.kind == "call":
                    alive[o] = {o}
                    size += o.m.nbytes
                elif o.root in alive:
                    alive[o.root].add(o)
        if size > most:
            most, peak = size, list(alive)
        for n in i.dead:
            names = alive.get(n.root)
            if names is not None:
                names.discard(n)
                if not names:
                    del alive[n.root]
                    size -= n.root.m.nbytes
    return peak
