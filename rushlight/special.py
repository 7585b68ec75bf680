"""torch.special: special functions of mathematics; the operators that are published there."""

from .ops import load_further as _load_further
from .trace.operator import PUBLISHED as _PUBLISHED

_load_further()
globals().update(_PUBLISHED["special"])
