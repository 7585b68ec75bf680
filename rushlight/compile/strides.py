"""Strides of memory that is looked at in another shape."""

from __future__ import annotations

import math


def row_major(shape) -> tuple[int, ...]:
    """Strides in elements of an array stored row by row."""
    strides, step = [], 1
    for n in reversed(tuple(shape)):
        strides.append(step)
        step *= n if n > 1 else 1
    return tuple(reversed(strides))


def reshaped(shape, strides, wanted) -> tuple[int, ...] | None:
    """The strides (in elements) of the same memory in another shape; None if that takes a copy.

    shape and wanted have equally many elements. The rule is NumPy's: stretches of dims with the same
    number of elements correspond, and the old dims of a stretch must be one dim by their strides.
    """
    if math.prod(shape) == 0:
        return row_major(wanted)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    made: list[int] = []
    at = 0  # the first old dim that has not been used
    while len(made) < len(wanted):
        first = len(made)
        end = first + 1
        if at == len(old):  # only dims of size 1 are left
            made.append(made[-1] if made else 1)
            continue
        size, have = wanted[first], old[at][0]
        at += 1
        while size != have:
            if size < have:
                size, end = size * wanted[end], end + 1
            else:
                (n, s), before = old[at], old[at - 1][1]
                if before != n * s:
                    return None
                have, at = have * n, at + 1
        step, stretch = old[at - 1][1], []
        for n in reversed(wanted[first:end]):
            stretch.append(step)
            step *= n
        made += reversed(stretch)
    return tuple(made)
