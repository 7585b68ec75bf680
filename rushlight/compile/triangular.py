"""Products of triangles: what `ops/triangular_products.py` lowers to."""

from __future__ import annotations

import numpy as np

from . import functions
from .kernels.products import LOWER_A, LOWER_C, UPPER_A
from .lowering import Lowering
from .symbolic import Symbol


def lower_matmul(build: Lowering, a: Symbol, b: Symbol, fill):
    """The product on and below the diagonal, and `fill` above."""
    made = build.product(a, b, LOWER_C)
    return np.where(functions.ahead(made) <= 0, made, made.dtype.type(fill))


def triangular_matmul(build: Lowering, t: Symbol, b: Symbol, upper: bool) -> Symbol:
    """The product without most of the terms that are zero."""
    return build.product(t, b, UPPER_A if upper else LOWER_A)
