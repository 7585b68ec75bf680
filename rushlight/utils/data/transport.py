"""How batches travel from workers: arrays through shared memory, the rest pickled.

Arrays lie in one block of shared memory a slot: the worker copies a batch into a free slot and sends
only where its arrays are; the parent copies them out and returns the slot. Batches that do not fit
are pickled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...trace.tensor import Tensor, array, wrap
from .collate import rebuild_mapping

ALIGNMENT = 64


class Place:
    """Where an array lies in shared memory."""

    __slots__ = ("offset", "shape", "dtype")

    def __init__(self, offset, shape, dtype):
        self.offset, self.shape, self.dtype = offset, shape, dtype

    def __repr__(self) -> str:
        return f"Place({self.offset}, {self.shape}, {self.dtype})"


class Loose:
    """A batch that is pickled as a whole."""

    def __init__(self, batch):
        self.batch = batch


def walk(batch, leaf):
    """The batch with `leaf` applied to everything that is no container."""
    kind = type(batch)
    if kind is list or kind is tuple:
        return kind([walk(v, leaf) for v in batch])
    if isinstance(batch, Mapping):
        return rebuild_mapping(batch, {k: walk(v, leaf) for k, v in batch.items()})
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return kind(*(walk(v, leaf) for v in batch))
    return leaf(batch)


def pack(batch, memory, start: int, size: int):
    """The batch with its tensors copied into memory[start:start + size]; Loose if they are too large."""
    at = 0

    def move(x):
        nonlocal at
        if not isinstance(x, Tensor):
            return x
        a = array(x.detach())
        at = -(-at // ALIGNMENT) * ALIGNMENT
        end = at + a.nbytes
        if end > size:
            raise MemoryError
        target = np.ndarray(a.shape, a.dtype, memory, start + at)
        target[...] = a
        place = Place(start + at, a.shape, x.dtype.name)
        at = end
        return place

    try:
        return walk(batch, move) if memory is not None else loose(batch)
    except MemoryError:
        return loose(batch)


def loose(batch) -> Loose:
    """The batch without autograd history, to be pickled."""
    return Loose(walk(batch, lambda x: x.detach() if isinstance(x, Tensor) else x))


def unpack(batch, memory):
    """The reverse of `pack`: tensors in memory of their own."""
    from ...trace.dtypes import ALL

    if isinstance(batch, Loose):
        return batch.batch

    def fetch(x):
        if not isinstance(x, Place):
            return x
        return wrap(np.ndarray(x.shape, ALL[x.dtype].np, memory, x.offset).copy())

    return walk(batch, fetch)


__all__ = ["Loose", "Place", "pack", "unpack"]
