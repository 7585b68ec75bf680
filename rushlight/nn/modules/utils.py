"""Small helpers of the layers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any


def ntuple(count: int, value: Any) -> tuple:
    """`value` as a tuple: an iterable's items, or one number repeated `count` times."""
    if isinstance(value, Iterable):
        return tuple(value)
    return tuple(repeat(value, count))


def _single(value: Any) -> tuple:
    return ntuple(1, value)


def _pair(value: Any) -> tuple:
    return ntuple(2, value)


def _triple(value: Any) -> tuple:
    return ntuple(3, value)


def _quadruple(value: Any) -> tuple:
    return ntuple(4, value)


def reversed_twice(values: tuple) -> list[int]:
    """Each value twice, last one first: a convolution's padding as `pad` wants it."""
    return [value for value in reversed(values) for _ in range(2)]


def assert_int_or_pair(arg: Any, arg_name: str, message: str) -> None:
    """AssertionError unless `arg` is an int or has two parts; `message` has a place for the name."""
    if not isinstance(arg, int) and len(arg) != 2:
        raise AssertionError(message.format(arg_name))
