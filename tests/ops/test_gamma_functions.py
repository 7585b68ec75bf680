"""Incomplete gamma functions, polygamma, and the implicit gradients of samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import check, check_error

import rushlight

A = np.array([0.1, 0.7, 1.0, 3.5, 12.0, 150.0])
X = np.array([0.05, 0.7, 2.0, 3.0, 20.0, 140.0])
ENDS = np.array([0.0, np.inf, 1.0, -1.0, np.nan])


@pytest.mark.parametrize("name", ["special.gammainc", "special.gammaincc", "igamma", "Tensor.igammac"])
def test_incomplete_gamma(name):
    check(name, A[:, None], X, grad=False, atol=1e-13)
    check(name, A[:, None], ENDS, grad=False)
    check(name, ENDS[:, None], ENDS, grad=False)
    check(name, A.astype(np.float32), X.astype(np.float32), grad=False, rtol=1e-5)
    check_error(name, np.array([1, 2]), np.array([1, 2]))


def test_slopes_of_incomplete_gamma():
    """In x as PyTorch's; in a, where PyTorch has none, by differences."""
    x = rushlight.tensor(X, requires_grad=True)
    a = rushlight.tensor(A, requires_grad=True)
    mine = rushlight.autograd.grad(rushlight.special.gammainc(a, x).sum(), (a, x))
    y = torch.tensor(X, requires_grad=True)
    torch.special.gammainc(torch.tensor(A), y).sum().backward()
    np.testing.assert_allclose(mine[1].numpy(), y.grad.numpy(), rtol=1e-9)
    step = 1e-6 * A
    up, down = [torch.special.gammainc(torch.tensor(A + s), torch.tensor(X)) for s in (step, -step)]
    np.testing.assert_allclose(mine[0].numpy(), (up - down).numpy() / (2 * step), atol=1e-7)


@pytest.mark.parametrize("n", range(5))
def test_polygamma(n):
    x = np.array([0.1, 0.9, 1.0, 4.2, 40.0, -0.4, -2.7])
    check("special.polygamma", n, x, gradgrad=n < 3, rtol=1e-9)
    check("Tensor.polygamma", x, n, rtol=1e-9)
    check_error("special.polygamma", -1 - n, x)


def test_digamma_and_its_derivatives():
    check("digamma", np.array([0.3, 1.0, 5.5, 30.0, -1.5]), gradgrad=True, rtol=1e-9)
    check("lgamma", np.array([0.3, 1.0, 5.5, 30.0]), gradgrad=True, rtol=1e-9)


@pytest.mark.parametrize("p", [1, 2, 4])
def test_mvlgamma(p):
    check("mvlgamma", np.array([2.0, 3.7, 20.0]), p, rtol=1e-9)
    check_error("mvlgamma", np.array([2.0]), 1 - p)


def test_igamma_takes_tensors_only():
    for pair in ((np.array([1.0]), 2.0), (2.0, np.array([1.0]))):
        check_error("igamma", *pair, message="must be Tensor")


def test_implicit_gradients():
    """PyTorch's are approximations to three or four digits."""
    a = np.array([0.05, 0.5, 1.0, 2.5, 8.0, 60.0, 3e4])
    for quantile in (0.3, 1.0, 1.8):
        check("_standard_gamma_grad", a, a * quantile, grad=False, rtol=5e-3)
    x = np.array([0.02, 0.3, 0.5, 0.9])
    check("_dirichlet_grad", x, a[:4], a[:4] + 2.0, grad=False, rtol=5e-3)
