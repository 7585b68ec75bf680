"""Systems, inverses, determinants and least squares against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import check, check_error

import rushlight

rng = np.random.default_rng(33)


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def z(*shape):
    """Complex normal numbers."""
    return n(*shape) + 1j * n(*shape)


LINALG = {"strides": False, "rtol": 1e-6, "atol": 1e-8}
SQUARE = [n(3, 3), n(2, 4, 4), z(3, 3), n(0, 0), n(2, 0, 0), n(1, 1)]


@pytest.mark.parametrize("name", ["linalg.inv", "inverse", "linalg.inv_ex", "linalg.det", "logdet",
                                  "linalg.slogdet", "linalg.pinv"])
def test_of_square_matrices(name):
    for a in SQUARE:
        check(name, a, gradgrad=not np.iscomplexobj(a), **LINALG)
    check_error(name, n(3))
    check_error(name, np.eye(2, dtype=int))


def test_singular_matrices():
    flat = np.array([[1.0, 2.0], [2.0, 4.0]])
    both = np.stack([np.eye(2), flat])
    for name in ("linalg.inv", "inverse", "linalg.tensorinv"):
        check_error(name, both if name != "linalg.tensorinv" else flat, **(
            {"ind": 1} if name == "linalg.tensorinv" else {}))
    check_error("linalg.solve", flat, n(2))
    check(lambda T, a: T.linalg.inv_ex(a).info, both, grad=False)
    check(lambda T, a: T.linalg.solve_ex(a, T.ones(2, 2, dtype=a.dtype)).info, both, grad=False)
    check("linalg.det", both, grad=False, **LINALG)
    x = rushlight.tensor(flat, requires_grad=True)  # the cofactors; PyTorch gives zeros
    rushlight.linalg.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[4, -2], [-2, 1]], atol=1e-9)
    check("linalg.pinv", flat, grad=False, **LINALG)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("a, b", [
    ((3, 3), (3, 2)), ((2, 3, 3), (3, 4)), ((3, 3), (2, 3, 2)), ((2, 3, 3), (2, 3, 2)),
    ((2, 1, 3, 3), (4, 3, 3)), ((0, 0), (0, 2)), ((3, 3), (3, 0)),
], ids=str)
def test_solve(a, b, left):
    b = b if left else (*b[:-2], b[-1], b[-2])
    check("linalg.solve", n(*a), n(*b), left=left, gradgrad=True, **LINALG)
    check(lambda T, a, b: T.linalg.solve(a, b, left=left), z(*a), z(*b), **LINALG)
    check("linalg.solve_ex", n(*a), n(*b), left=left, **LINALG)


def test_vectors():
    for a, b in (((3, 3), (3,)), ((2, 3, 3), (3,)), ((2, 3, 3), (2, 3))):
        check("linalg.solve", n(*a), n(*b), gradgrad=True, **LINALG)
    check_error("linalg.solve", n(3, 3), n(4))
    check_error("linalg.solve", n(3, 2), n(3))
    check_error("linalg.solve", n(2, 2), n(2).astype(np.float32))


def test_tensor_systems():
    check("linalg.tensorsolve", n(2, 3, 6), n(2, 3), gradgrad=True, **LINALG)
    check("linalg.tensorsolve", n(3, 6, 2), n(2, 3), dims=(1,), **LINALG)
    check("linalg.tensorinv", n(4, 6, 8, 3), gradgrad=True, **LINALG)
    check("linalg.tensorinv", n(6, 2, 3), 1, **LINALG)
    check_error("linalg.tensorsolve", n(2, 3, 5), n(2, 3))
    check_error("linalg.tensorinv", n(4, 5, 8, 3))


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 3), (2, 4, 3), (0, 3)], ids=str)
def test_pseudo_inverse(shape):
    check("linalg.pinv", n(*shape), gradgrad=True, **LINALG)
    check("linalg.pinv", z(*shape), **LINALG)
    check(lambda T, a: T.linalg.pinv(a, atol=0.5), n(*shape), grad=False, **LINALG)
    check(lambda T, a, r: T.linalg.pinv(a, rtol=r), n(*shape), np.array(0.5), grad=False, **LINALG)
    check("pinverse", n(*shape), **LINALG)
    if shape[-1] == shape[-2]:
        a = n(*shape)
        check(lambda T, a: T.linalg.pinv(a + a.mT, hermitian=True), a, **LINALG)


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
def test_least_squares(driver):
    for a, b in (((4, 2), (4, 3)), ((4, 2), (4,)), ((2, 4, 3), (2, 4, 2)), ((2, 4, 3), (2, 4)),
                 ((2, 4), (2, 3))):
        check("linalg.lstsq", n(*a), n(*b), driver=driver, **LINALG)
    check("linalg.lstsq", n(4, 1) @ n(1, 2), n(4, 1), driver="gelsd", grad=False, **LINALG)


def test_least_squares_refuses():
    check_error("linalg.lstsq", n(4, 2), n(3, 2))
    check_error("linalg.lstsq", n(4, 2), n(2, 2, 4, 2))
    check_error("linalg.lstsq", n(4, 2), n(4, 2), driver="gelsx")
