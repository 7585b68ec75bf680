"""How sizes are cut into even steps: what all families that work in blocks have in common."""

from __future__ import annotations

from ..sizes import most


def up(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def even_step(size: int, parts: int, multiple: int) -> int:
    """The size of a part, a multiple, when so many (at least one) should share `size` evenly."""
    return most(up(up(size, most(parts, 1)), multiple), 1) * multiple


def even_most(size: int, most: int, multiple: int) -> int:
    """The same when a part should have about `most`."""
    return even_step(size, up(size, most), multiple)
