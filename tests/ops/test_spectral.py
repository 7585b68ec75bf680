"""Singular values and eigenvalues against PyTorch: vectors up to their phase."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import check, check_error

rng = np.random.default_rng(32)


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def z(*shape):
    """Complex normal numbers."""
    return n(*shape) + 1j * n(*shape)


LINALG = {"strides": False, "rtol": 1e-6, "atol": 1e-8}
SHAPES = [(3, 3), (4, 2), (2, 4), (2, 3, 3), (0, 3), (3, 0)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("full", [False, True])
def test_svd(shape, full):
    k = min(shape[-2:])

    def parts(T, a):  # what does not depend on the vectors' phases
        U, S, Vh = T.linalg.svd(a, full)
        U, Vh = U[..., :k], Vh[..., :k, :]
        return [S, U.abs(), Vh.abs(), (U * S.unsqueeze(-2).pow(2)) @ Vh]

    check(parts, n(*shape), gradgrad=True, **LINALG)
    check(lambda T, a: [parts(T, a)[0], parts(T, a)[3]], z(*shape), **LINALG)
    check(lambda T, a: [x.shape for x in T.linalg.svd(a, full)], n(*shape))
    check(lambda T, a: [x.abs() for x in T.svd(a, True)], n(*shape), **LINALG)
    check("svd", n(*shape), full, False, grad=False, **LINALG)
    check("linalg.svdvals", n(*shape), gradgrad=True, **LINALG)
    check("linalg.svdvals", z(*shape), **LINALG)


@pytest.mark.parametrize("triangle", ["L", "U"])
def test_eigh(triangle):
    for a in (n(3, 3), n(2, 4, 4), z(3, 3), n(0, 0)):
        real = not np.iscomplexobj(a)
        check("linalg.eigvalsh", a, triangle, gradgrad=real, **LINALG)
        check(lambda T, a: T.linalg.eigh(a, triangle)[1].abs().pow(2), a, gradgrad=real, **LINALG)
    check_error("linalg.eigh", n(3, 3), "X")
    check_error("linalg.eigh", n(2, 3))


def test_eig():
    for a in (n(3, 3), n(2, 4, 4), z(3, 3)):
        def values(T, a):
            w = T.linalg.eigvals(a)
            order = [w.real.round(decimals=8), w.imag.round(decimals=8)]
            return [(w**k).sum(-1) for k in (1, 2, 3)] + [o.sort(-1).values for o in order]

        check(values, a, grad=False, **LINALG)
        check(lambda T, a: values(T, a)[:3], a, gradgrad=True, **LINALG)
        check(lambda T, a: (lambda w, V: (V * w.unsqueeze(-2)) @ T.linalg.inv(V))(*T.linalg.eig(a)), a,
              gradgrad=True, **LINALG)
    check_error("linalg.eig", np.full((2, 2), np.nan))
    check_error("linalg.eig", n(2, 3))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 5, 5)], ids=str)
def test_low_rank(shape):
    a = n(*shape[:-1], 2) @ n(*shape[:-2], 2, shape[-1])
    for name in ("svd_lowrank", "pca_lowrank"):
        def product(T, a, name=name):
            U, S, V = getattr(T, name)(a, 2 if name == "svd_lowrank" else 3)
            return [(U * S.unsqueeze(-2)) @ V.mT, S[..., :2]]

        check(product, a, grad=False, **LINALG)
    check_error("pca_lowrank", a, 7)
