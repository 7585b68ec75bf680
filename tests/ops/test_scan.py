"""Running sums, products and extremes, and differences, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(3)
A = rng.standard_normal((2, 3, 4))
ZEROS = np.array([[1.5, 0.0, 2.0, -1.0], [0.0, 3.0, 0.0, 2.0], [1.0, 2.0, 3.0, 4.0]])


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"])
def test_along_a_dim(name, dim):
    check(name, A, dim, gradgrad=name in ("cumsum", "cumprod"))
    check(name, Given(A, view=lambda t: t.transpose(0, 2)), dim, strides=False)
    check(name, np.array(2.0), 0)
    if name != "logcumsumexp":
        check(name, (A * 3).astype(np.int64), dim)
    check_error(name, A, 3)


def test_products_through_zeros():
    check("cumprod", ZEROS, 1)
    check("cumprod", ZEROS, 0)


def test_logarithms_of_sums():
    wide = np.array([[5.0, -900.0, 3.0, 800.0], [800.0, -np.inf, 5.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
    for dim in (0, 1):
        check("logcumsumexp", wide, dim, gradgrad=True)
        check("logcumsumexp", A[0] + 1j * A[1], dim, atol=1e-8)
    check("logsumexp", A[0] * 900 + 1j * A[1], 1, grad=False)
    check("logaddexp", A[0] + 1j * A[1], A[1] * 9 + 1j * A[0], grad=False)


def test_differences():
    for options in ({}, {"n": 2}, {"dim": 0}, {"n": 0}, {"n": 9}):
        check("diff", A, **options)
    check("diff", A, prepend=A[:, :, :1], append=A[:, :, :2])
    check("diff", A > 0)


def test_in_place():
    check(lambda T, a: a.clone().cumsum_(1), A)
    check(lambda T, a: a.clone().cumprod_(0), A)
