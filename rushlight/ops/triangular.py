"""Triangular systems, and what is computed with Cholesky factors."""

from __future__ import annotations

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules
from .factorization import _cholesky_gradient, _square, cholesky, inv


def _triangular_rule(A: Meta, B: Meta, upper, left, unitriangular) -> Meta:  # noqa: N803
    _square("solve_triangular")(A)
    if B.ndim < 2 or B.shape[-2 if left else -1] != A.shape[-1]:
        rules.fail(
            RuntimeError,
            "linalg.solve_triangular: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({list(A.shape)} and {list(B.shape)})",
        )
    lead = rules.broadcast_shapes(tuple(A.shape[:-2]), tuple(B.shape[:-2]))
    return meta((*lead, *B.shape[-2:]), A.dtype)


def _triangular_gradient(g, A, out, upper, left, unitriangular):  # noqa: N803
    options = {"upper": not upper, "left": left, "unitriangular": unitriangular}
    gb = solve_triangular(A.mH, g, **options)
    ga = -(gb @ out.mH if left else out.mH @ gb)
    offset = 1 if unitriangular else 0
    return (ga.triu(offset) if upper else ga.tril(-offset)), gb


def _substitute(A, B):  # noqa: N803
    """Forward substitution with a lower triangular A, which may be singular."""
    X = np.zeros(np.broadcast_shapes(A.shape[:-2], B.shape[:-2]) + B.shape[-2:], B.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(A.shape[-1]):
            known = A[..., i : i + 1, :i] @ X[..., :i, :]
            X[..., i, :] = (B[..., i, :] - known[..., 0, :]) / A[..., i, i, None]
    return X


@op(_triangular_rule, gradient={("A", "B"): _triangular_gradient}, compute="result", api="linalg")
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True,  # noqa: N803
                     unitriangular: bool = False):
    """X with A X = B (or X A = B) for a triangular A; the other triangle is not read.

    A: (..., n, n). B: (..., n, k), or (..., k, n) with left=False. A zero on the diagonal gives inf.
    """
    A = np.triu(A) if upper else np.tril(A)
    if unitriangular:
        A = np.where(np.eye(A.shape[-1], dtype=bool), A.dtype.type(1), A)
    if not left:
        A, B, upper = np.swapaxes(A, -1, -2), np.swapaxes(B, -1, -2), not upper
    try:
        X = np.linalg.solve(A, B)
    except np.linalg.LinAlgError:
        if upper:
            X = _substitute(A[..., ::-1, ::-1], B[..., ::-1, :])[..., ::-1, :]
        else:
            X = _substitute(A, B)
    return X if left else np.swapaxes(X, -1, -2)


def _ex_rule(A: Meta):  # noqa: N803
    _square("cholesky_ex")(A)
    return meta(A.shape, A.dtype), meta(A.shape[:-2], dtypes.int32)


@op(
    _ex_rule,
    gradient={"A": lambda g, out: None if g[0] is None else _cholesky_gradient(g[0], out[0])},
    api="", returns=("L", "info"),
)
def _cholesky_ex(A: Tensor):  # noqa: N803
    """The Cholesky factor and, for each matrix, 0 or the order of the first bad minor."""
    L, info = np.zeros_like(A), np.zeros(A.shape[:-2], np.int32)
    for i in np.ndindex(A.shape[:-2]):
        try:
            L[i] = np.linalg.cholesky(A[i])
        except np.linalg.LinAlgError:
            for k in range(1, A.shape[-1] + 1):
                try:
                    L[i][:k, :k] = np.linalg.cholesky(A[i][:k, :k])
                except np.linalg.LinAlgError:
                    info[i] = k
                    break
    return L, info


@function(api="linalg")
def cholesky_ex(A, *, upper: bool = False, check_errors: bool = False):  # noqa: N803
    """(L, info): the Cholesky factor, and 0 where a matrix is positive definite."""
    from ..trace.forms import make_result_type

    L, info = _cholesky_ex(A)
    if check_errors and bool((info != 0).any()):
        cholesky(A)
    return make_result_type("linalg_cholesky_ex", ("L", "info"))(L.mH if upper else L, info)


def _older_name():
    def cholesky(input: Tensor, upper: bool = False):
        """The lower (or upper) triangular Cholesky factor of positive definite matrices."""
        made = factor(input)
        return made.mH if upper else made

    return function(api="torch Tensor", out=True)(cholesky)


factor = cholesky
_older_name()


@function(api="torch Tensor", out=True)
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False):  # noqa: N803
    """X with A X = B, from the Cholesky factor L of A."""
    if upper:
        L = L.mH
    return solve_triangular(L.mH, solve_triangular(L, B, upper=False), upper=True)


@function(api="torch Tensor", out=True)
def cholesky_inverse(L: Tensor, upper: bool = False):  # noqa: N803
    """The inverse of A, from its Cholesky factor L."""
    from .creation import eye

    return cholesky_solve(eye(L.shape[-1], dtype=L.dtype), L, upper)


def _slogdet_rule(A: Meta):  # noqa: N803
    _square("slogdet")(A)
    return meta(A.shape[:-2], A.dtype), meta(A.shape[:-2], A.dtype.to_real())


@op(
    _slogdet_rule,
    gradient={"A": lambda g, A: None if g[1] is None else g[1][..., None, None] * inv(A).mH},
    api="linalg torch Tensor", returns=("sign", "logabsdet"),
)
def slogdet(A: Tensor):  # noqa: N803
    """The sign and the logarithm of the absolute value of the determinant of square matrices."""
    return np.linalg.slogdet(A)


@function()
def logdet(input: Tensor):
    """The logarithm of the determinant: NaN if it is negative."""
    from .pointwise import where

    sign, size = slogdet(input)
    return where(sign < 0, float("nan"), size)


def _eigvalsh_rule(A: Meta) -> Meta:  # noqa: N803
    _square("eigvalsh")(A)
    return meta(A.shape[:-1], A.dtype.to_real())


@op(_eigvalsh_rule, api="")
def _eigvalsh(A: Tensor):  # noqa: N803
    """The eigenvalues of symmetric matrices, ascending."""
    return np.linalg.eigvalsh(A)
