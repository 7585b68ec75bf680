"""Reductions against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(2)
A = rng.standard_normal((2, 3, 4))
I = rng.integers(-5, 6, (2, 3, 4))
N = np.array([[1.0, np.nan, 3.0], [np.inf, 2.0, -1.0]])
DIMS = [{}, {"dim": 1}, {"dim": -1, "keepdim": True}, {"dim": (0, 2)}, {"dim": (0, 2), "keepdim": True}]
SINGLE = DIMS[:3]


@pytest.mark.parametrize("options", DIMS, ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "logsumexp", "nansum", "nanmean",
                                  "var", "std"])
def test_over_dims(name, options):
    if name == "logsumexp" and not options:
        return
    check(name, A, gradgrad=True, **options)
    check(name, Given(A, view=lambda t: t.transpose(0, 2)), strides=False, **options)
    check(name, Given(A.astype(np.float32), "float16"), rtol=2e-3, **options)
    check(name, np.array(1.5), **({} if name != "logsumexp" else {"dim": 0}))


@pytest.mark.parametrize("options", SINGLE, ids=str)
@pytest.mark.parametrize("name", ["prod", "max", "min", "median", "nanmedian", "argmax", "argmin",
                                  "all", "any", "count_nonzero"])
def test_over_a_dim(name, options):
    if name == "count_nonzero" and "keepdim" in options:
        return
    check(name, A, **options)
    check(name, I, **options)
    if name not in ("prod", "max", "min", "median", "nanmedian", "argmax", "argmin"):
        check(name, A > 0, **options)


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "max", "min", "prod", "nansum", "argmax",
                                  "median", "nanmedian", "logsumexp"])
def test_not_a_number(name):
    check(name, N, 1, grad=False)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "bfloat16", "complex64"])
@pytest.mark.parametrize("name", ["sum", "prod", "any", "all"])
def test_dtypes(name, dtype):
    check(name, Given(np.array([[1, 0, 1], [1, 1, 1]]), dtype=dtype), 1)
    check(name, Given(np.array([[1, 0, 1], [1, 1, 1]]), dtype=dtype))


def test_wanted_dtype():
    check("sum", I, dtype=__import__("torch").float32)
    check("mean", I, dtype=__import__("torch").float64)
    check_error("mean", I)
    check_error("sum", A, 3)
    check_error("sum", A, (0, 0))
    check_error("max", A, 5)


def test_empty():
    for name in ("sum", "prod", "any", "all", "mean"):
        check(name, np.zeros((0, 3)), grad=False)
        check(name, np.zeros((0, 3)), 0, grad=False)
        check(name, np.zeros((0, 3)), 1, grad=False)
    for name in ("max", "argmax", "amax"):
        check_error(name, np.zeros((0, 3)), 0)
        check_error(name, np.zeros(0))


@pytest.mark.parametrize("correction", [0, 1, 2])
@pytest.mark.parametrize("name", ["var", "std", "var_mean", "std_mean"])
def test_spread(name, correction):
    check(name, A, dim=1, correction=correction)
    check(name, A, unbiased=False)
    check(name, np.ones_like(A), dim=1, correction=correction)  # where nothing varies


@pytest.mark.parametrize("p", [0, 1, 2, 3, 0.5, np.inf, -np.inf])
def test_norms(p):
    check("norm", A, p, grad=p != 0.5)
    check("norm", A, p, 1, True, grad=p != 0.5)
    check("linalg.vector_norm", A, p, (0, 2), grad=p != 0.5)
    check("dist", A, A[::-1].copy(), 2)


def test_extremes_of_two():
    check("max", A, A[::-1].copy())
    check("min", A, A[0])
    check("aminmax", A, dim=1)
    check("aminmax", A)


def test_ties_share_or_choose():
    ties = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])
    for name in ("max", "amax", "min", "amin"):
        check(name, ties)
        check(name, ties, 1)


def test_counts_and_traces():
    check("trace", A[0])
    check("bincount", np.array([0, 3, 1, 3]))
    check("bincount", np.array([0, 3, 1, 3]), np.array([0.5, 1.0, 2.0, 3.0]), minlength=6, grad=False)
    check_error("bincount", np.array([-1]))
    check("Tensor.sum_to_size", A, 1, 4)
