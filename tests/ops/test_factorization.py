"""Cholesky, QR, LU, Householder reflections and triangular systems against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import check, check_error

rng = np.random.default_rng(31)


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def z(*shape):
    """Complex normal numbers."""
    return n(*shape) + 1j * n(*shape)


def positive(a):
    """Positive definite matrices from any."""
    return a @ np.conj(np.swapaxes(a, -1, -2)) + 2 * np.eye(a.shape[-1])


LINALG = {"strides": False, "rtol": 1e-6, "atol": 1e-8}
SHAPES = [(3, 3), (4, 2), (2, 4), (2, 3, 3), (0, 3), (3, 0), (2, 0, 3), (1, 1)]


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(upper):
    for a in (positive(n(3, 3)), positive(n(2, 4, 4)), positive(z(3, 3)), n(0, 0)):
        check("linalg.cholesky", a, upper=upper, gradgrad=not np.iscomplexobj(a), **LINALG)
        check("cholesky", a, upper, **LINALG)
        check("linalg.cholesky_ex", a, upper=upper, **LINALG)
    bad = positive(n(2, 3, 3))
    bad[1, 2, 2] = -5
    check(lambda T, a: T.linalg.cholesky_ex(a).info, bad, grad=False)
    check_error("linalg.cholesky", bad, message="leading minor of order 3")
    check_error("linalg.cholesky", n(2, 3))
    check_error("linalg.cholesky", n(3))
    check_error("linalg.cholesky", np.eye(2, dtype=np.int64))


@pytest.mark.parametrize("upper", [False, True])
def test_with_a_cholesky_factor(upper):
    factor = np.triu(n(3, 3)) if upper else np.tril(n(3, 3))
    check("cholesky_solve", n(3, 2), factor + 3 * np.eye(3), upper, gradgrad=True, **LINALG)
    check("cholesky_solve", n(2, 3, 2), factor + 3 * np.eye(3), upper, **LINALG)
    check("cholesky_inverse", factor + 3 * np.eye(3), upper, gradgrad=True, **LINALG)
    check_error("cholesky_solve", n(2, 2), factor)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_triangular_systems(upper, left, unit):
    options = {"upper": upper, "left": left, "unitriangular": unit}
    a, b = n(2, 3, 3) + 2 * np.eye(3), n(3, 4) if left else n(4, 3)
    check("linalg.solve_triangular", a, b, gradgrad=True, **options, **LINALG)
    check("linalg.solve_triangular", z(3, 3), z(*b.shape), **options, **LINALG)
    check("triangular_solve", n(3, 2), a, upper, left, unit, **LINALG)
    check("linalg.solve_triangular", np.diag([1.0, 0, 2]), np.ones((3, 3)), grad=False, **options,
          **LINALG)
    check_error("linalg.solve_triangular", a, n(5, 5), **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_qr(shape):
    wide = shape[-1] >= shape[-2]
    for a in (n(*shape), z(*shape)):
        check("linalg.qr", a, gradgrad=not np.iscomplexobj(a), **LINALG)
        check("linalg.qr", a, "complete", grad=wide, **LINALG)
        check("linalg.qr", a, "r", grad=False, **LINALG)
    check("qr", n(*shape), False, grad=False, **LINALG)


def test_qr_refuses():
    check_error("linalg.qr", n(3))
    check_error("linalg.qr", n(3, 3), "thin")
    check_error(lambda T, a: T.linalg.qr(a.requires_grad_(), "r").R.sum().backward(), n(3, 3))
    check_error(lambda T, a: T.linalg.qr(a.requires_grad_(), "complete").R.sum().backward(), n(4, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lu(shape):
    for a in (n(*shape), z(*shape)):
        check("linalg.lu", a, gradgrad=not np.iscomplexobj(a), **LINALG)
        check("linalg.lu_factor", a, **LINALG)
        check("linalg.lu_factor_ex", a, **LINALG)
    check(lambda T, a: T.lu_unpack(*T.linalg.lu_factor(a), unpack_pivots=False), n(*shape), **LINALG)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("adjoint", [False, True])
def test_lu_solve(left, adjoint):
    def solved(T, a, b):
        return T.linalg.lu_solve(*T.linalg.lu_factor(a), b, left=left, adjoint=adjoint)

    check(solved, n(2, 3, 3), n(2, 3, 3), gradgrad=True, **LINALG)
    check(solved, z(3, 3), z(2, 3, 3), **LINALG)
    check(lambda T, a, b: T.lu_solve(b, *T.linalg.lu_factor(a)), n(3, 3), n(3, 2), **LINALG)


def test_singular_lu():
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    check("linalg.lu_factor_ex", a, grad=False, **LINALG)
    check_error("linalg.lu_factor", a)
    check_error("linalg.lu_factor_ex", a, check_errors=True)
    check_error("linalg.lu", a, pivot=False)
    check_error("linalg.lu", a.astype(int))


def test_householder_reflections():
    a = n(2, 4, 3)
    check("geqrf", a, grad=False, **LINALG)
    packed, tau = (x.numpy() for x in torch.geqrf(torch.tensor(a)))
    check("linalg.householder_product", packed, tau, gradgrad=True, **LINALG)
    check("linalg.householder_product", packed, tau[..., :0], **LINALG)
    for left, transpose in ((False, False), (False, True), (True, False), (True, True)):
        other = n(2, 4, 5) if left else n(2, 5, 4)
        check("ormqr", packed, tau, other, left, transpose, gradgrad=True, **LINALG)
    check_error("linalg.householder_product", n(2, 3), n(2))
    check_error("linalg.householder_product", n(3, 2), n(3))
