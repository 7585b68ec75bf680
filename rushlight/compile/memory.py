"""The memory plan: where each temporary of a program lies in one arena, from its first to its last use."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort

ALIGNMENT = 64


def place(lives: list[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Offsets of buffers and the arena's size, from (first use, last use, bytes) of each.

    Buffers whose lives overlap get disjoint memory. In the order of their first use, larger ones first,
    each takes the smallest free stretch that holds it, or the end of the arena.
    """
    order = sorted(range(len(lives)), key=lambda i: (lives[i][0], -lives[i][2]))
    offsets = [0] * len(lives)
    ends: list[tuple[int, int, int]] = []  # (last use, offset, bytes) of what is alive
    free: list[tuple[int, int]] = []  # (offset, bytes), never touching each other
    size = 0
    for i in order:
        first, last, nbytes = lives[i]
        nbytes = -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
        while ends and ends[0][0] < first:
            _, at, n = heapq.heappop(ends)
            _release(free, at, n)
        fitting = [f for f in free if f[1] >= nbytes]
        if fitting:
            at, n = min(fitting, key=lambda f: f[1])
            free.remove((at, n))
            if n > nbytes:
                insort(free, (at + nbytes, n - nbytes))
        elif free and sum(free[-1]) == size:  # what is free at the end grows
            at, _ = free.pop()
            size = at + nbytes
        else:
            at, size = size, size + nbytes
        offsets[i] = at
        heapq.heappush(ends, (last, at, nbytes))
    return offsets, size


def _release(free: list[tuple[int, int]], at: int, nbytes: int) -> None:
    """Give a stretch back, joined with free neighbours."""
    i = bisect_left(free, (at, 0))
    if i < len(free) and at + nbytes == free[i][0]:
        nbytes += free.pop(i)[1]
    if i and sum(free[i - 1]) == at:
        at, before = free.pop(i - 1)
        nbytes += before
    insort(free, (at, nbytes))
