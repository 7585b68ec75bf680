"""Integrals and derivatives of samples against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import check, check_error

rng = np.random.default_rng(38)
A = rng.standard_normal((3, 4, 5))
X = np.cumsum(rng.random(5)) + 1


@pytest.mark.parametrize("name", ["trapezoid", "trapz", "cumulative_trapezoid"])
def test_integrals(name):
    check(name, A, gradgrad=True)
    check(name, A, dx=0.5, dim=1)
    check(name, A, X, gradgrad=True)
    check(name, A, X[:3], dim=0)
    check(name, A, np.abs(A), dim=1)
    check(name, A[0], np.abs(A[0, :1]))
    check(name, np.arange(5))
    check(name, A[:, :, :0])
    check(name, A[:, :, :1])
    check_error(name, A, X[:2])
    check_error(name, A > 0)
    if name != "trapz":
        check_error(name, A, dx=True)
    check_error(name, np.array(1.0))


def test_derivatives():
    for order in (1, 2):
        for options in ({}, {"spacing": 2.0}, {"dim": 1}, {"dim": (2, 0), "spacing": (0.5, 2)}):
            check("gradient", A, edge_order=order, gradgrad=True, **options)
        check("gradient", A, spacing=(X[:3], X[:4], X), edge_order=order, gradgrad=True)
        check("gradient", np.arange(6) ** 2, edge_order=order)
    check("gradient", A[:2, 0, 0])
    for options in ({"edge_order": 3}, {"spacing": [1.0, 2.0]}, {"dim": 5}, {"dim": (0, 0)}):
        check_error("gradient", A, **options)
    check_error("gradient", A[:1, 0, 0])
    check_error(lambda T, x: T.gradient(x, spacing=[T.arange(3), T.arange(4, device="meta")], dim=[1, 2]), A[0])
