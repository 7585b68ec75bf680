"""Triangular systems, and what is solved with Cholesky factors."""

from __future__ import annotations

import numpy as np

from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules
from .matrices import batch_of, check_same_dtype, check_square, named

# ruff: noqa: N803 - A and B are PyTorch's names


def _triangular_rule(A: Meta, B: Meta, upper, left, unitriangular) -> Meta:
    name = "linalg.solve_triangular"
    check_square(name, A)
    check_same_dtype(name, A, B)
    if B.ndim < 2 or B.shape[-2 if left else -1] != A.shape[-1]:
        rules.fail(
            RuntimeError,
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({list(A.shape)} and {list(B.shape)})",
        )
    return meta((*batch_of(A, B), *B.shape[-2:]), A.dtype)


def _triangular_gradient(g, A, out, upper, left, unitriangular):
    options = {"upper": not upper, "left": left, "unitriangular": unitriangular}
    gb = solve_triangular(A.mH, g, **options)
    ga = -(gb @ out.mH if left else out.mH @ gb)
    offset = 1 if unitriangular else 0
    return (ga.triu(offset) if upper else ga.tril(-offset)), gb


def _substitute(A, B):
    """Forward substitution with a lower triangular A, which may be singular."""
    X = np.zeros(np.broadcast_shapes(A.shape[:-2], B.shape[:-2]) + B.shape[-2:], B.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(A.shape[-1]):
            known = A[..., i : i + 1, :i] @ X[..., :i, :]
            X[..., i, :] = (B[..., i, :] - known[..., 0, :]) / A[..., i, i, None]
    return X


def _solved(A, B, upper, unitriangular=False):
    A = np.triu(A) if upper else np.tril(A)
    if unitriangular:
        A = np.where(np.eye(A.shape[-1], dtype=bool), A.dtype.type(1), A)
    try:
        return np.linalg.solve(A, B)
    except np.linalg.LinAlgError:
        if upper:
            return _substitute(A[..., ::-1, ::-1], B[..., ::-1, :])[..., ::-1, :]
        return _substitute(A, B)


@op(_triangular_rule, gradient={("A", "B"): _triangular_gradient}, compute="result", api="linalg")
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True,
                     unitriangular: bool = False):
    """X with A X = B (or X A = B) for a triangular A; the other triangle is not read.

    A: (..., n, n). B: (..., n, k), or (..., k, n) with left=False. A 0 on the diagonal gives inf.
    """
    if left:
        return _solved(A, B, upper, unitriangular)
    turned = _solved(np.swapaxes(A, -1, -2), np.swapaxes(B, -1, -2), not upper, unitriangular)
    return np.swapaxes(turned, -1, -2)


@function(api="torch Tensor", out=True)
def triangular_solve(b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False,
                     unitriangular: bool = False):
    """(X with A X = b, a copy of A): the older form of `linalg.solve_triangular`."""
    matrix, up = (A.mT, not upper) if transpose else (A, upper)
    X = solve_triangular(matrix, b, upper=up, unitriangular=unitriangular)
    copy = A.expand(*X.shape[:-2], *A.shape[-2:]).clone()
    return named("triangular_solve", ("solution", "cloned_coefficient"), (X, copy))


# ---------------------------------------------------------------- with a Cholesky factor


def _factor_gradient(L, common, upper):
    common = common + common.mH
    return -(L @ common) if upper else -(common @ L)


def _cholesky_solve_rule(B: Meta, L: Meta, upper) -> Meta:
    check_square("cholesky_solve", L)
    if B.ndim < 2 or B.shape[-2] != L.shape[-1]:
        rules.fail(
            RuntimeError,
            "cholesky_solve: Incompatible matrix sizes: each A matrix is "
            f"{L.shape[-2]} by {L.shape[-1]} but b has shape {list(B.shape)}",
        )
    return meta((*batch_of(B, L), *B.shape[-2:]), B.dtype)


def _cholesky_solve_gradient(g, L, out, upper):
    gb = cholesky_solve(g, L, upper)
    return gb, _factor_gradient(L, gb @ out.mH, upper)


@op(
    _cholesky_solve_rule,
    gradient={("B", "L"): _cholesky_solve_gradient},
    compute="result",
)
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False):
    """X with A X = B, from the Cholesky factor L of A (upper: A = L^H L)."""
    return _with_factor(L, B, upper)


def _with_factor(L, B, upper):
    H = np.conj(np.swapaxes(L, -1, -2))
    lower, higher = (H, L) if upper else (L, H)
    return _solved(higher, _solved(lower, B, False), True)


def _cholesky_inverse_gradient(g, L, out, upper):
    return _factor_gradient(L, out @ g @ out, upper)


@op(
    lambda L, upper: _cholesky_solve_rule(L, L, upper),
    gradient={"L": _cholesky_inverse_gradient},
    compute="result",
)
def cholesky_inverse(L: Tensor, upper: bool = False):
    """The inverse of A, from its Cholesky factor L (upper: A = L^H L)."""
    return _with_factor(L, np.eye(L.shape[-1], dtype=L.dtype), upper)
