"""torch.special: special functions of mathematics; the operators that are published there."""

from .answers import finder as _finder
from .ops import load_further as _load_further
from .trace.operator import PUBLISHED as _PUBLISHED

_load_further()
globals().update(_PUBLISHED["special"])
globals().update({_n: _PUBLISHED["torch"][_n] for _n in ("exp2", "expm1", "log1p", "round")})
multigammaln = _PUBLISHED["torch"]["mvlgamma"]

__getattr__ = _finder(__name__)
