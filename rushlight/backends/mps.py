"""torch.backends.mps: not there; this version computes on the CPU."""

from __future__ import annotations

from ..answers import finder as _finder
from .mkl import is_available as is_available

is_built = is_available

__getattr__ = _finder(__name__)
