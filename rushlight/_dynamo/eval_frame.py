"""The class of PyTorch's compiled modules."""

from __future__ import annotations

from typing import Any


class OptimizedModule:
    """A name for `isinstance`; no module here is one.

    Raises TypeError when called: `torch.compile(model)` is the way, and gives `model`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("OptimizedModule cannot be made: torch.compile(model) returns the model")
