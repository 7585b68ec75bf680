"""torch.fx.graph_module: names that packages import for the graphs they would make (see `fx`)."""

from typing import Any, NoReturn

from . import _REFUSED, GraphModule

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"


class _CodeOnlyModule(GraphModule):
    """A name only. Raises RuntimeError when called."""


def _copy_attr(from_module: Any, to_module: Any, target: str) -> NoReturn:
    """Raises RuntimeError: there are no graph modules to copy to."""
    raise RuntimeError(_REFUSED)


__all__ = ["GraphModule"]
