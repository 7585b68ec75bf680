"""torch.linalg: factorisations, solutions and norms; the operators that are published there."""

from .answers import finder as _finder
from .ops import load_further as _load_further
from .ops.matrices import LinAlgError  # noqa: F401 - a public name
from .trace.operator import PUBLISHED as _PUBLISHED

_load_further()
globals().update(_PUBLISHED["linalg"])

__getattr__ = _finder(__name__)
