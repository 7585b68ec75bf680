"""torch.fx: the classes' names, for `isinstance` and annotations.

Modules are not rewritten symbolically here; the program that ran is what gets compiled.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..nn import Module

__all__ = ["Graph", "GraphModule", "Interpreter", "Node", "Proxy", "Tracer", "Transformer",
           "graph_module", "node", "proxy", "symbolic_trace", "wrap"]

_REFUSED = (
    "torch.fx is not there: modules are not traced symbolically. Forward hooks give the values in a "
    "model, and `rushlight.show_kernels()` what was compiled"
)


class _Refused:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(_REFUSED)


class Graph(_Refused):
    """A name only. Raises RuntimeError when called."""


class Node(_Refused):
    """A name only. Raises RuntimeError when called."""


class Proxy(_Refused):
    """A name only. Raises RuntimeError when called."""


class Tracer(_Refused):
    """A name only. Raises RuntimeError when called."""


class Interpreter(_Refused):
    """A name only. Raises RuntimeError when called."""


class Transformer(_Refused):
    """A name only. Raises RuntimeError when called."""


class GraphModule(Module):
    """A name only. Raises RuntimeError when called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(_REFUSED)


def symbolic_trace(root: Any, concrete_args: dict | None = None) -> NoReturn:
    """Raises RuntimeError: modules are not traced symbolically."""
    raise RuntimeError(_REFUSED)


def wrap(fn_or_name: Any) -> Any:
    """What is given, unchanged: no tracer looks into functions."""
    return fn_or_name


from . import graph_module, node, proxy  # noqa: E402 (they take the names above)
