"""torch.fx.node: names for annotations (see `fx`)."""

from collections.abc import Callable
from typing import Any

from . import Node

Argument = Any
Target = Callable[..., Any] | str

__all__ = ["Argument", "Node", "Target"]
