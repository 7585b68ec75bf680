"""Modified Bessel functions and the inverse error function."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import check

X = np.array([0.0, 1e-3, 0.3, -0.8, 2.0, 7.9, -8.1, 49.9, 50.1, 300.0])
ENDS = np.array([np.inf, -np.inf, np.nan, 1e3, -1e3])


@pytest.mark.parametrize("name", ["i0", "special.i0e", "special.i1", "special.i1e"])
def test_bessel_functions(name):
    check(name, X, gradgrad=True, rtol=1e-8)
    check(name, ENDS, grad=False)
    check(name, X.astype(np.float32), grad=False, rtol=2e-6)


def test_erfinv():
    check("erfinv", np.array([0.0, 1e-12, 0.3, -0.5, 0.999, -1 + 1e-12]), gradgrad=True, rtol=1e-9)
    check("erfinv", np.array([1.0, -1.0, 1.5, np.nan]), grad=False)
