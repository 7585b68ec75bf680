"""Products of which only a triangle is needed, or one of whose factors is a triangle: causal attention's.

Each is the other's gradient. Compiled, they leave out most of what is zero or unseen: nearly half of the work
(`compile/triangular.py`).
"""

from __future__ import annotations

import numpy as np

from ..interpret import products
from ..trace.meta import Meta
from ..trace.operator import Tensor, op
from .convolution import compiled
from .matmul import _matmul_rule, conj


def _lower_gradient(g, a, b, need):
    g = g.tril()
    return (
        _triangular_matmul(g, conj(b).transpose(-2, -1), False) if need[0] else None,
        _triangular_matmul(g.transpose(-2, -1), conj(a), True).transpose(-2, -1) if need[1] else None,
    )


@op(
    lambda a, b, fill: _matmul_rule(a, b),
    gradient={("a", "b"): _lower_gradient},
    lower=compiled("triangular", "lower_matmul"),
    api="",
)
def _lower_matmul(a: Tensor, b: Tensor, fill: float):
    """`a @ b` on and below the diagonal, `fill` above: (*, n, k), (*, k, m) to (*, n, m)."""
    made = products.matmul(a, b)
    return np.where(np.tri(*made.shape[-2:], dtype=bool), made, made.dtype.type(fill))


def _triangular_rule(t: Meta, b: Meta, upper: bool) -> Meta:
    return _matmul_rule(t, b)


def _triangular_gradient(g, t, b, upper, need):
    if not need[0]:
        dt = None
    elif upper:
        dt = _lower_matmul(conj(b), g.transpose(-2, -1), 0.0).transpose(-2, -1)
    else:
        dt = _lower_matmul(g, conj(b).transpose(-2, -1), 0.0)
    return dt, _triangular_matmul(conj(t).transpose(-2, -1), g, not upper) if need[1] else None


@op(
    _triangular_rule,
    gradient={("t", "b"): _triangular_gradient},
    lower=compiled("triangular", "triangular_matmul"),
    api="",
)
def _triangular_matmul(t: Tensor, b: Tensor, upper: bool):
    """`t @ b` for a triangular `t`: (*, n, k), (*, k, m) to (*, n, m).

    `t` has to be zero above the diagonal (below it, if `upper`): what is there may be read or not.
    Its gradient there is zero. (So a NaN or infinity in `b` at a place that is not seen may or may not spread to what does not see it.)
    """
    return products.matmul(t, b)
