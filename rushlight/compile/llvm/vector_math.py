"""Mathematical functions on vectors, written into a `builder.Function` (no calls, no tables).

`emit` is the interface. Results are within 2 ulp; NaN, infinities, zeros and denormals are right.
Lanes do not influence each other: any number of lanes gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

from . import vector_exponential, vector_special, vector_trigonometric
from .builder import Function
from .vector_values import Value


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "exp": vector_exponential.exp,
    "log": vector_exponential.log,
    "tanh": vector_exponential.tanh,
    "sigmoid": vector_exponential.sigmoid,
    "erf": vector_special.erf_float,
    "sqrt": vector_exponential.sqrt,
    "rsqrt": vector_exponential.rsqrt,
    "pow": vector_exponential.pow_float,
    "sin": vector_trigonometric.sin,
    "cos": vector_trigonometric.cos,
}


def emit(f: Function, name: str, type: str, lanes: int, *operands: str) -> str:
    """Write `name` of `lanes` values of `type` (float or double); returns the result's name."""
    return FUNCTIONS[name](*(Value(f, type, lanes, v) for v in operands)).name
