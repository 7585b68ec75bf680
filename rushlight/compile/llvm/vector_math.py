"""Mathematical functions on vectors, written into a `builder.Function` (no calls, no tables).

`emit` is the interface. Results are within 2 ulp; NaN, infinities, zeros and denormals are right.
Lanes do not influence each other: any number of lanes gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

from . import vector_exponential as exponential
from . import vector_logarithm as logarithm
from . import vector_special as special
from . import vector_trigonometric as trigonometric
from .builder import Function
from .vector_values import Value

FUNCTIONS: dict[str, Callable[..., Value]] = {
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "sigmoid": exponential.sigmoid,
    "tanh": exponential.tanh,
    "sinh": exponential.sinh,
    "cosh": exponential.cosh,
    "log": logarithm.log,
    "log2": logarithm.log2,
    "log10": logarithm.log10,
    "log1p": logarithm.log1p,
    "pow": logarithm.pow,
    "sqrt": logarithm.sqrt,
    "rsqrt": logarithm.rsqrt,
    "cbrt": logarithm.cbrt,
    "asinh": logarithm.asinh,
    "acosh": logarithm.acosh,
    "atanh": logarithm.atanh,
    "fmod": logarithm.fmod,
    "erf": special.erf,
    "erfc": special.erfc,
    "erfinv": special.erfinv,
    "lgamma": special.lgamma,
    "digamma": special.digamma,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    "tan": trigonometric.tan,
    "asin": trigonometric.asin,
    "acos": trigonometric.acos,
    "atan": trigonometric.atan,
    "atan2": trigonometric.atan2,
    "floor": lambda x: x.call("floor"),
    "ceil": lambda x: x.call("ceil"),
    "trunc": lambda x: x.call("trunc"),
    "rint": Value.round,
}


def emit(f: Function, name: str, type: str, lanes: int, *operands: str) -> str:
    """Write `name` of `lanes` values of `type` (float or double); returns the result's name."""
    return FUNCTIONS[name](*(Value(f, type, lanes, v) for v in operands)).name
