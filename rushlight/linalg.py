"""torch.linalg: filled from the operators that are published there."""

from .trace.operator import PUBLISHED as _PUBLISHED

globals().update(_PUBLISHED["linalg"])
