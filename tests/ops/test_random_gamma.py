"""Gamma, Dirichlet and binomial numbers: PyTorch's for the same seed, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check

from .test_random import seeded

SHAPES = np.array([[0.0, 0.03, 0.5, 1.0], [2.5, 17.0, 300.0, 1e6]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gamma(dtype):
    check(seeded, "_standard_gamma", Given(SHAPES, dtype=dtype), grad=False, rtol=0, atol=0)
    check(seeded, "_sample_dirichlet", Given(SHAPES[:, 1:], dtype=dtype), grad=False, rtol=0, atol=0)


def test_gradients():
    def first(T, a):
        return seeded(T, "_standard_gamma", a)[0]

    check(first, SHAPES[:, 1:3] + 0.1, rtol=5e-3)


def test_binomial():
    n = np.array([0.0, 1.0, 9.0, 40.0, 1000.0, 1e6])
    p = np.array([[0.0], [0.02], [0.4], [0.9], [1.0]])
    n, p = n + 0 * p, p + 0 * n
    for dtype in ("float32", "float64"):
        check(seeded, "binomial", Given(n, dtype=dtype), Given(p, dtype=dtype), grad=False)
