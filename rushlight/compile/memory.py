"""The memory plan: where each temporary of a program lies in one arena, from its first to its last use."""

from __future__ import annotations

ALIGNMENT = 64


def place(lives: list[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Offsets of buffers and the arena's size, from (first use, last use, bytes) of each.

    Buffers whose lives overlap get disjoint memory. Larger ones are placed first, each at the lowest
    offset that is free during its life (the greedy-by-size order of Pisarchyk and Lee, 2020).
    """
    order = sorted(range(len(lives)), key=lambda i: -lives[i][2])
    offsets = [0] * len(lives)
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    size = 0
    for i in order:
        first, last, nbytes = lives[i]
        nbytes = -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
        at = 0
        for start, end, a, b in placed:  # by offset
            if a > last or b < first:
                continue
            if start - at >= nbytes:
                break
            at = max(at, end)
        offsets[i] = at
        placed.append((at, at + nbytes, first, last))
        placed.sort()
        size = max(size, at + nbytes)
    return offsets, size
