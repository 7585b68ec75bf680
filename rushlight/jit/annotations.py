"""torch.jit.annotations: types of arguments that are one number or several."""

from typing import Any, Dict, List, Optional, Tuple, Union  # (packages take them from here)

from . import BroadcastingList2, BroadcastingList3

__all__ = ["Any", "Dict", "List", "Optional", "Tuple", "Union", "BroadcastingList2", "BroadcastingList3"]
