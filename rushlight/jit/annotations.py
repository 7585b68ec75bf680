"""torch.jit.annotations: types of arguments that are one number or several."""

from . import BroadcastingList2, BroadcastingList3

__all__ = ["BroadcastingList2", "BroadcastingList3"]
