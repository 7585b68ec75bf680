"""`OutOfMemoryError`: what could not be had, for which operation, and what holds the memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .live import Row


SPARE = 8 << 20  # bytes (of addresses: nobody touches them) that are given up to say what is alive
_spare = [bytearray(SPARE)]


class OutOfMemoryError(RuntimeError):
    """There is no memory for a result; what was there before is intact, and the program can go on.

    operation: what needed it; shape, dtype, nbytes: of the array that could not be made (its shape and dtype
    may be those of an intermediate value); live: a `Row` for each tensor that was alive, the largest first.

    >>> try:
    ...     torch.zeros(10**15)
    ... except torch.OutOfMemoryError as error:
    ...     print(str(error).splitlines()[0])
    out of memory: 'filled' needs 3.55 PiB for its result float32[1000000000000000]
    """

    operation: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    nbytes: int = 0
    live: list[Row]


def is_shortage(error: BaseException) -> bool:
    """Whether NumPy could not allocate an array, or never could."""
    return isinstance(error, MemoryError) or (isinstance(error, ValueError) and str(error).startswith(
        ("array is too big", "Maximum allowed dimension exceeded")))


def explained(error: BaseException, operation: str, metas=None, site: str = "") -> OutOfMemoryError:
    """The error that a user gets for NumPy's.

    operation: its name, or "" for the temporaries of a compiled program. metas: of the results, if known.
    """
    from .live import rows, size, table

    metas = metas if metas.__class__ is tuple else () if metas is None else (metas,)
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if shape is None and metas:
        shape, dtype = tuple(metas[0].shape), metas[0].dtype.np
    shape = tuple(shape or ())
    nbytes = math.prod(shape) * dtype.itemsize if dtype is not None else 0
    results = ", ".join(f"{m.dtype.name}{list(m.shape)}" for m in metas)
    wanted = "" if dtype is None else f"{dtype.name}{list(shape)}"
    message = f"out of memory: {repr(operation) if operation else 'a compiled program'} needs "
    message += size(nbytes) if nbytes else "more than there is"
    if not operation:
        message += " for its temporaries"
    elif results:
        message += f" for its result {results}" if wanted in ("", results) else (
            f" for an intermediate value {wanted} (its result is {results})")
    elif wanted:
        message += f" for {wanted}"
    if site:
        message += f"\n  (recorded at {site})"
    error.__traceback__ = None  # its frames hold arrays
    told = OutOfMemoryError()
    _spare.clear()
    try:
        told.live = sorted((r for _, r in rows().values()), key=lambda r: -r.nbytes)
        if told.live:
            message += "\nWhat is alive, the largest first:\n" + table(told.live)
        _spare.append(bytearray(SPARE))
    except MemoryError:  # not even for a list
        told.live = getattr(told, "live", [])
    told.operation, told.shape, told.nbytes = operation, shape, nbytes
    told.dtype = "" if dtype is None else dtype.name
    told.args = (message,)
    return told
