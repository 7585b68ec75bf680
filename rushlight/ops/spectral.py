"""Singular values and eigenvalues, with their vectors; approximations of low rank."""

from __future__ import annotations

import numpy as np

from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules
from .matrices import LinAlgError, check_matrices, check_square, named

# ruff: noqa: N803 - A is PyTorch's name


def _diagonal(M):
    return M.diagonal(0, -2, -1)


def _differences(x):
    """x_j - x_i at (i, j), and 1 on the diagonal."""
    from .creation import eye

    return x.unsqueeze(-2) - x.unsqueeze(-1) + eye(x.shape[-1], dtype=x.dtype)


# ---------------------------------------------------------------- singular values


def _svd_rule(A: Meta, full_matrices):
    check_matrices("linalg.svd", A)
    *lead, m, n = A.shape
    k = min(m, n)
    return (
        meta((*lead, m, m if full_matrices else k), A.dtype),
        meta((*lead, k), A.dtype.to_real()),
        meta((*lead, n if full_matrices else k, n), A.dtype),
    )


def _svd_gradient(g, out):
    """Townsend (2016): rotations of the vectors from the off-diagonal, S from the diagonal."""
    (gu, gs, gvh), (U, S, Vh) = g, out
    if gu is None and gvh is None:
        return None if gs is None else (U[..., : S.shape[-1]] * gs.unsqueeze(-2)) @ \
            Vh[..., : S.shape[-1], :]
    m, n, k = U.shape[-2], Vh.shape[-1], S.shape[-1]
    U, Vh = U[..., :k], Vh[..., :k, :]
    gaps = _differences(S * S)
    row, column = S.unsqueeze(-2), S.unsqueeze(-1)
    inner = 0
    if gu is not None:
        gu = gu[..., :k]
        turn = U.mH @ gu
        turn = turn - turn.mH
        inner = turn / gaps * row
        if U.is_complex() and gvh is not None:
            inner = inner + (_diagonal(turn) / (2 * S)).diag_embed()
    if gvh is not None:
        gvh = gvh[..., :k, :]
        turn = Vh @ gvh.mH
        inner = inner + column * ((turn - turn.mH) / gaps)
    if gs is not None:
        inner = inner + gs.diag_embed()
    if gu is not None and m > k:  # the part of U's gradient outside of its span
        scaled = gu / row
        return (U @ inner + scaled - U @ (U.mH @ scaled)) @ Vh
    if gvh is not None and n > k:
        scaled = gvh / column
        return U @ (inner @ Vh + scaled - (scaled @ Vh.mH) @ Vh)
    return U @ inner @ Vh


@op(_svd_rule, gradient={"A": _svd_gradient}, api="", returns=("U", "S", "Vh"))
def _linalg_svd(A: Tensor, full_matrices: bool):
    if not A.size:
        *lead, m, n = A.shape
        k = min(m, n)
        u, vh = np.eye(m, m if full_matrices else k), np.eye(n if full_matrices else k, n)
        return (np.broadcast_to(u, (*lead, *u.shape)), np.zeros((*lead, k)),
                np.broadcast_to(vh, (*lead, *vh.shape)))
    try:
        return np.linalg.svd(A, full_matrices)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            "linalg.svd: The algorithm failed to converge because the input matrix contained "
            "non-finite values."
        ) from None


@function(api="linalg", out=True)
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None):
    """(U, S, Vh): orthonormal columns, singular values in descending order, orthonormal rows.

    A = U[..., :k] diag(S) Vh[..., :k, :]. A: (..., m, n), k = min(m, n); full_matrices: U is m x m
    and Vh n x n, else m x k and k x n. Gradients need distinct singular values.
    """
    _no_driver("linalg.svd", driver)
    return _linalg_svd(A, full_matrices)


def _no_driver(name, driver):
    if driver is not None:
        raise RuntimeError(f"torch.{name}: keyword argument `driver=` is only supported on CUDA")


@function(api="linalg", out=True)
def svdvals(A: Tensor, *, driver: str | None = None):
    """The singular values in descending order: (..., min(m, n)) of (..., m, n)."""
    _no_driver("linalg.svdvals", driver)
    return _linalg_svd(A, False)[1]


@function(api="torch Tensor", out=True)
def svd(input: Tensor, some: bool = True, compute_uv: bool = True):  # noqa: F811 - torch's form
    """(U, S, V): the older form of `linalg.svd`, with V in place of its adjoint."""
    U, S, Vh = _linalg_svd(input, not some and compute_uv)
    V = Vh.mH
    if not compute_uv:
        lead, (m, n) = input.shape[:-2], input.shape[-2:]
        U, V = input.new_zeros((*lead, m, m)), input.new_zeros((*lead, n, n))
    return named("svd", ("U", "S", "V"), (U, S, V))


# ---------------------------------------------------------------- eigenvalues


def _eigh_rule(A: Meta, UPLO):
    check_square("linalg.eigh", A)
    if UPLO.upper() not in ("L", "U"):
        rules.fail(RuntimeError, f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return meta(A.shape[:-1], A.dtype.to_real()), meta(A.shape, A.dtype)


def _eigh_gradient(g, out):
    (gw, gv), (w, V) = g, out
    inner = 0
    if gv is not None:
        from .creation import eye

        inner = (V.mH @ gv) / _differences(w)
        inner = inner * (1 - eye(w.shape[-1], dtype=w.dtype))
        inner = (inner + inner.mH) / 2
    if gw is not None:
        inner = inner + gw.diag_embed()
    return None if gv is None and gw is None else V @ inner.to(V.dtype) @ V.mH


@op(_eigh_rule, gradient={"A": _eigh_gradient}, api="", returns=("eigenvalues", "eigenvectors"))
def _linalg_eigh(A: Tensor, UPLO: str):
    return np.linalg.eigh(A, UPLO)


@function(api="linalg", out=True)
def eigh(A: Tensor, UPLO: str = "L"):
    """(eigenvalues, eigenvectors) of symmetric or Hermitian matrices, in ascending order.

    A: (..., n, n), of which the lower (UPLO "L") or upper ("U") triangle is read.
    A = V diag(w) V^H. Gradients need distinct eigenvalues.
    """
    return _linalg_eigh(A, UPLO)


@function(api="linalg", out=True)
def eigvalsh(A: Tensor, UPLO: str = "L"):
    """The eigenvalues of symmetric or Hermitian matrices, in ascending order."""
    return _linalg_eigh(A, UPLO)[0]


def _eig_rule(A: Meta):
    check_square("linalg.eig", A)
    dtype = A.dtype.to_complex()
    return meta(A.shape[:-1], dtype), meta(A.shape, dtype)


def _eig_gradient(g, out, A_meta):
    from .creation import eye
    from .solving import solve

    (gw, gv), (w, V) = g, out
    if gv is None and gw is None:
        return None
    inner = 0
    if gv is not None:
        turn = V.mH @ gv
        turn = turn - V.mH @ (V * _diagonal(turn).real.unsqueeze(-2))  # V's columns have length 1
        inner = turn / _differences(w).conj() * (1 - eye(w.shape[-1], dtype=w.real.dtype))
    if gw is not None:
        inner = inner + gw.diag_embed()
    made = solve(V.mH, inner @ V.mH)
    return made if A_meta.dtype.is_complex else made.real


@op(_eig_rule, gradient={"A": _eig_gradient}, api="", returns=("eigenvalues", "eigenvectors"))
def _linalg_eig(A: Tensor):
    if not np.isfinite(A).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    return np.linalg.eig(A)


@function(api="linalg", out=True)
def eig(A: Tensor):
    """(eigenvalues, eigenvectors) of square matrices; both are complex. A V = V diag(w)."""
    return _linalg_eig(A)


@function(api="linalg", out=True)
def eigvals(A: Tensor):
    """The eigenvalues of square matrices, complex."""
    return _linalg_eig(A)[0]


# ---------------------------------------------------------------- low rank


def _range_of(A, q, rounds):
    """Orthonormal columns that nearly span A's: Halko and others (2009), algorithm 4.4."""
    from .factorization import qr
    from .random import randn

    Q = qr(A @ randn(A.shape[-1], q, dtype=A.dtype))[0]
    for _ in range(rounds):
        Q = qr(A @ qr(A.mH @ Q)[0])[0]
    return Q


@function(api="torch")
def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None):
    """(U, S, V) with A - M about U diag(S) V^H, of rank q: by random projections."""
    A = A if M is None else A - M.expand(A.shape)
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    wide = m < n
    B = A.mH if wide else A
    Q = _range_of(B, q, 2 if niter is None else niter)
    U, S, Vh = _linalg_svd(Q.mH @ B, False)
    U, V = Q @ U, Vh.mH
    return (V, S, U) if wide else (U, S, V)


@function(api="torch")
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2):
    """(U, S, V) of the principal components of the rows of A, centred first: see `svd_lowrank`."""
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than {min(m, n)}")
    return svd_lowrank(A - A.mean(-2, True) if center else A, q, niter)
