"""torch._dynamo: the names that libraries use to steer PyTorch's compiler.

Rushlight compiles what repeats without being told (`torch.compile` returns the model as it is), so
the marks are accepted and change nothing: sizes may vary, memory may move, and any function may be
part of a compiled program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import config
from .eval_frame import OptimizedModule

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "graph_break",
    "is_compiling",
    "mark_dynamic",
    "mark_static",
    "mark_static_address",
    "maybe_mark_dynamic",
    "reset",
]


def _unchanged(fn: Callable | None = None, *args: Any, **kwargs: Any) -> Callable:
    """The function itself; without one, a decorator."""
    return fn if callable(fn) else lambda given: given


allow_in_graph = assume_constant_result = disable = _unchanged


def is_compiling() -> bool:
    """False: a program is recorded while it runs, so its Python code always sees real values.

    >>> torch._dynamo.is_compiling()
    False
    """
    return False


def _mark(t: Any, *args: Any, **kwargs: Any) -> None:
    """Accepted: what a tensor's sizes and address will be need not be told."""


mark_dynamic = maybe_mark_dynamic = mark_static = mark_static_address = _mark


def graph_break(msg: str = "") -> None:
    """Accepted: a program is divided where a value is needed, and nowhere else."""


def reset() -> None:
    """Accepted: compiled programs stay, since none of them is bound to what the caller may change."""
