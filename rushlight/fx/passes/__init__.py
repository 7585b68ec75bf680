"""torch.fx.passes: analyses of graphs."""

from . import shape_prop

__all__ = ["shape_prop"]
