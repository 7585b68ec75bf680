"""torch.compiler: what PyTorch's compiler is told and asked; here it needs no telling (`_dynamo/`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._dynamo import allow_in_graph, assume_constant_result, disable, is_compiling, reset

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable",
    "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "reset",
]  # fmt: skip

is_dynamo_compiling = is_exporting = is_compiling


def compile(*args: Any, **kwargs: Any) -> Callable:
    """`torch.compile`."""
    import rushlight

    return rushlight.compile(*args, **kwargs)


def cudagraph_mark_step_begin() -> None:
    """Accepted: there are no CUDA graphs."""


def list_backends(exclude_tags: tuple = ()) -> list[str]:
    """No back end can be chosen.

    >>> torch.compiler.list_backends()
    []
    """
    return []
