"""What a kernel family hands to the program: calls with argument words, and where results go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Address:
    """A place in memory, known when the program runs: a buffer of the program and bytes into it."""

    buffer: object
    offset: int = 0

    def __add__(self, nbytes: int) -> Address:
        return Address(self.buffer, self.offset + nbytes)


@dataclass(frozen=True, eq=False)
class Workspace:
    """Scratch memory: `nbytes` (for each thread, if so said), shared by the calls that name it.

    An Address may have a Workspace as its buffer.
    """

    nbytes: int
    per_thread: bool = False


@dataclass(frozen=True)
class Scalar:
    """A number of the program given at run time, stored as an integer (whole) or a double."""

    index: int
    whole: bool


@dataclass(frozen=True)
class ErrorWord:
    """The address of a word in which a kernel notes that a value was wrong (an index out of range)."""


@dataclass
class Call:
    """One native call: `function` of the module `text`, for each of `chunks` chunks.

    words: the argument block, each an int, a float (stored as a double), an Address, a Workspace or
    a `Scalar`. parallel: whether the chunks are worth sharing between threads. arithmetic: what limits its
    operations: "float32", "float64" (half as many lanes) or "bfloat16" (instructions for products of it).
    """

    text: str
    function: str
    words: list
    chunks: int = 1
    parallel: bool = False
    label: object = ""  # whose str() is for people
    flops: int = 0
    nbytes: int = 0
    exports: tuple[str, ...] = field(default=())  # all functions of the module that may be called
    nest: object = None  # the loops, for people
    arithmetic: str = "float32"


@dataclass(eq=False)
class Loop:
    """Calls that are made again and again, `times` times: an int, or a `Size`.

    moves: for each call, by how many bytes its addresses go on from one time to the next, {word: bytes}.
    """

    calls: list[Call]
    times: Any
    moves: list[dict[int, Any]]


def flat(calls: list) -> list[Call]:
    """The calls with those of loops as often as they are made (each time the first time's words)."""
    made: list[Call] = []
    for c in calls:
        made += c.calls * c.times if isinstance(c, Loop) else [c]
    return made


def distinct(calls: list) -> list[Call]:
    """The calls with those of loops once."""
    return [x for c in calls for x in (c.calls if isinstance(c, Loop) else [c])]


def arithmetic_of(dtype) -> str:
    """The arithmetic of loops over a dtype, or its name: half types and integers are as fast as float32."""
    return "float64" if str(dtype) == "float64" else "float32"
