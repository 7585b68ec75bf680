"""torch.fx.proxy: names for annotations (see `fx`)."""

from . import Proxy

__all__ = ["Proxy"]
