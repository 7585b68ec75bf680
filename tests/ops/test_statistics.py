"""Order statistics, counts in bins and covariances against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(35)
A = rng.standard_normal((3, 5))
HOLES = np.where(rng.random((3, 5)) < 0.3, np.nan, A)
FEW = rng.integers(0, 3, (4, 6))


@pytest.mark.parametrize("name", ["median", "nanmedian", "mode"])
def test_picked_elements(name):
    for x in (A, FEW, Given(A, view=lambda t: t.t()), np.array(3.0)):
        if name != "mode":
            check(name, x)
        for dim in (-1, 0):
            for keepdim in (False, True):
                if name != "mode" or x is not FEW:
                    check(name, x, dim, keepdim, strides=False)
                check(lambda T, t, d=dim: getattr(T, name)(t, d).values, x, strides=False)
    check_error(name, A, 2)


@pytest.mark.parametrize("name", ["median", "nanmedian"])
def test_missing_numbers(name):
    check(name, HOLES)
    for dim in (0, 1):
        check(name, HOLES, dim)


def test_ties_share_the_median():
    check("median", np.array([1.0, 2.0, 2.0, 2.0, 5.0]))
    check(lambda T, x: T.mode(x, 0).indices, np.array([2, 1, 2, 1, 0]))


@pytest.mark.parametrize("how", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantiles(name, how):
    for x in (A, HOLES):
        for q in (0.4, np.array(0.4), np.array([0.0, 0.3, 1.0])):
            for options in ({}, {"keepdim": True}, {"dim": 1}, {"dim": -2, "keepdim": True},
                            {"dim": 1, "keepdim": True}):
                check(name, x, Given(q, grad=False) if isinstance(q, np.ndarray) else q,
                      interpolation=how, gradgrad=True, strides=False, **options)


def test_quantiles_refuse():
    check_error("quantile", A, 1.5)
    check_error("quantile", A, np.array([1.5]))
    check_error("quantile", FEW, 0.5)
    check_error("quantile", A, np.array([0.5], np.float32))
    check_error("quantile", A, 0.5, interpolation="cubic")
    check_error("quantile", A[:0], 0.5)
    check_error("quantile", A, np.full((2, 2), 0.5))


def test_bins():
    for options in ({}, {"bins": 4}, {"bins": 3, "min": -1, "max": 1}):
        check("histc", A, grad=False, **options)
        check("histc", A.astype(np.float32), grad=False, **options)
    check("histc", np.ones(3), 4, grad=False)
    check("histc", A[:0], 4, grad=False)
    for bins in (4, np.array([-1.0, 0.0, 0.5, 2.0])):
        for density in (False, True):
            check("histogram", A, bins, density=density, grad=False)
            check("histogram", A, bins, weight=np.abs(A), density=density, grad=False)
    check("histogram", A, 3, range=(-1.0, 1.0), grad=False)
    check("histogram", np.ones(3), 3, grad=False)
    check("histogramdd", A[:, :2], 3, grad=False)
    check("histogramdd", A[:, :2], [3, 2], range=[-1.0, 1.0, -2.0, 2.0], density=True, grad=False)
    check("bincount", FEW.reshape(-1), np.arange(24.0), 5, grad=False)
    for name, given in (("histc", (A, 0)), ("histc", (FEW,)), ("histc", (A, 3, 2, 1)),
                        ("histogram", (A, 0)), ("histogramdd", (A[0], 2)),
                        ("histogramdd", (A, [2, 2])), ("bincount", (FEW,))):
        check_error(name, *given)
    check_error(lambda T, x: T.histc(x).sum().item(), HOLES)


def test_covariances():
    counts, weights = np.array([1, 2, 3, 1, 2]), np.abs(A[0])
    for x in (A, A + 1j * A[::-1], A[0], FEW):
        real = not np.iscomplexobj(x)
        check("cov", x, gradgrad=real, strides=False)
        check("corrcoef", x, gradgrad=real, strides=False, atol=1e-9)
        check("cov", x, correction=0, strides=False)
    check("cov", A, fweights=counts, aweights=weights, gradgrad=True, strides=False)
    check("cov", A, fweights=counts, strides=False)
    for options in ({"fweights": counts[:2]}, {"fweights": -counts}, {"aweights": counts}):
        check_error("cov", A, **options)
    check_error("cov", np.zeros((2, 2, 2)))
