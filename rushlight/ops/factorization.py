"""Matrix factorisations: Cholesky, QR, LU with pivots, Householder reflections."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import IntTensor, Tensor, function, op
from . import rules
from .matrices import LinAlgError, check_matrices, check_square, named
from .pointwise import piecewise
from .triangular import solve_triangular

# ruff: noqa: N803 - A, B, L and so on are PyTorch's names


def each(A):
    """The indices of the matrices of a batch."""
    return np.ndindex(A.shape[:-2])


# ---------------------------------------------------------------- Cholesky


def _cholesky_rule(A: Meta, upper):
    check_square("linalg.cholesky", A)
    return meta(A.shape, A.dtype), meta(A.shape[:-2], dtypes.int32)


def _cholesky_gradient(g, out, upper):
    L, g = (out.mH, g.mH) if upper else (out, g)
    inner = (L.mH @ g).tril()
    inner = (inner + inner.tril(-1).mH) / 2
    return solve_triangular(L, solve_triangular(L.mH, inner, upper=True), upper=False, left=False)


def _lower_factor(A):
    """(L, 0 or the order of the first bad minor for each matrix)."""
    info = np.zeros(A.shape[:-2], np.int32)
    try:
        return np.linalg.cholesky(A), info
    except np.linalg.LinAlgError:
        L = np.zeros_like(A)
    for i in each(A):
        for k in range(1, A.shape[-1] + 1):
            try:
                L[i][:k, :k] = np.linalg.cholesky(A[i][:k, :k])
            except np.linalg.LinAlgError:
                info[i] = k
                break
    return L, info


def _factor(A, upper):
    if not upper:
        return _lower_factor(A)
    L, info = _lower_factor(np.conj(np.swapaxes(A, -1, -2)))
    return np.conj(np.swapaxes(L, -1, -2)), info


@op(lambda A, upper: _cholesky_rule(A, upper)[0], gradient={"A": _cholesky_gradient}, api="")
def _linalg_cholesky(A: Tensor, upper: bool):
    L, info = _factor(A, upper)
    if info.any():
        at = tuple(np.argwhere(info)[0])
        where = f"(Batch element {at[0] if len(at) == 1 else at}): " if at else ""
        raise LinAlgError(
            f"linalg.cholesky: {where}The factorization could not be completed because the input "
            f"is not positive-definite (the leading minor of order {info[at]} is not "
            "positive-definite)."
        )
    return L


@function(api="torch Tensor", out=True)
def cholesky(input: Tensor, upper: bool = False):
    """The lower (or upper) triangular Cholesky factor of positive definite matrices."""
    return _linalg_cholesky(input, upper)


@function(api="linalg", out=True)
def cholesky(A: Tensor, *, upper: bool = False):  # noqa: F811 - linalg's form
    """The lower triangular L with L L^H = A (upper: its adjoint), for positive definite A.

    A: (..., n, n), of which one triangle is read. LinAlgError if A is not positive definite.
    """
    return _linalg_cholesky(A, upper)


@op(
    _cholesky_rule,
    gradient={"A": lambda g, out, upper: None if g[0] is None else _cholesky_gradient(
        g[0], out[0], upper)},
    api="", returns=("L", "info"),
)
def _linalg_cholesky_ex(A: Tensor, upper: bool):
    """The Cholesky factor and, for each matrix, 0 or the order of the first bad minor."""
    return _factor(A, upper)


@function(api="linalg", out=True)
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False):
    """(L, info): the Cholesky factor, and 0 where a matrix is positive definite."""
    if check_errors:
        _linalg_cholesky(A, upper)
    return _linalg_cholesky_ex(A, upper)


# ---------------------------------------------------------------- QR


def _qr_rule(A: Meta, mode):
    check_matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        rules.fail(
            RuntimeError, f"qr received unrecognized mode '{mode}' but expected one of 'reduced' "
            "(default), 'r', or 'complete'"
        )
    m, n = A.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    lead = tuple(A.shape[:-2])
    return meta((0,) if mode == "r" else (*lead, m, k), A.dtype), meta((*lead, k, n), A.dtype)


def _square_qr_gradient(gq, gr, Q, R):
    """Of A = Q R with a square R."""
    inner = -(Q.mH @ gq) if gr is None else gr @ R.mH
    if gr is not None and gq is not None:
        inner = inner - Q.mH @ gq
    inner = inner.triu()
    inner = inner + inner.mH - inner.diagonal(0, -2, -1).real.to(inner.dtype).diag_embed()
    right = Q @ inner if gq is None else gq + Q @ inner
    return solve_triangular(R.mH, right, upper=False, left=False)


def _qr_gradient(g, A, out, mode):
    """Walter, Lehmann and Lamour (2012); further columns of a wide A are Q^H times themselves."""
    (gq, gr), (Q, R) = g, out
    m, n = A.shape[-2:]
    if mode == "r" or mode == "complete" and m > n:
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please "
            "use linalg.qr(A, mode='reduced') if you are going to require gradients."
            if mode == "r" else "The QR decomposition is not differentiable when mode='complete' "
            "and nrows > ncols."
        )
    if m >= n:
        return _square_qr_gradient(gq, gr, Q, R)
    from .shape import cat

    further = None
    if gr is not None:
        further = gr[..., m:]
        gq = A[..., m:] @ further.mH + (0 if gq is None else gq)
        gr = gr[..., :m]
    first = _square_qr_gradient(gq, gr, Q, R[..., :m])
    return cat([first, (Q @ further) if gr is not None else first.new_zeros(R[..., m:].shape)], -1)


@op(_qr_rule, gradient={"A": _qr_gradient}, api="", returns=("Q", "R"))
def _linalg_qr(A: Tensor, mode: str):
    if mode == "r":
        return np.zeros(0, A.dtype), np.linalg.qr(A, "r")
    return np.linalg.qr(A, mode)


@function(api="torch Tensor", out=True)
def qr(input: Tensor, some: bool = True):
    """(Q, R) as `linalg.qr`; some=False: mode "complete"."""
    return named("qr", ("Q", "R"), _linalg_qr(input, "reduced" if some else "complete"))


@function(api="linalg", out=True)
def qr(A: Tensor, mode: str = "reduced"):  # noqa: F811 - linalg's form
    """(Q, R): orthonormal columns and an upper triangular R with Q R = A.

    A: (..., m, n), k = min(m, n). mode: "reduced" (Q is m x k, R is k x n), "complete" (m x m and
    m x n) or "r" (Q is empty). Differentiable where R determines Q.
    """
    return _linalg_qr(A, mode)


# ---------------------------------------------------------------- LU


def _lu_rule(A: Meta, pivot):
    if A.ndim < 2:
        rules.fail(
            RuntimeError, "linalg.lu_factor: Expected tensor with 2 or more dimensions. Got size: "
            f"{list(A.shape)} instead"
        )
    if A.dtype.category < dtypes.FLOAT or A.dtype.is_half:
        shown = dtypes.type_name(A.dtype)
        rules.fail(NotImplementedError, f"\"lu_cpu\" not implemented for '{shown}'")
    if not pivot:
        rules.fail(
            RuntimeError, "linalg.lu_factor: LU without pivoting is not implemented on the CPU"
        )
    lead = tuple(A.shape[:-2])
    pivots = meta((*lead, min(A.shape[-2:])), dtypes.int32)
    return meta(A.shape, A.dtype), pivots, meta(lead, dtypes.int32)


def _square_lu_gradient(gl, gu, L, U):
    """Of the permuted A = L U with square factors."""
    inner = (L.mH @ gl).tril(-1) + (gu @ U.mH).triu()
    left = solve_triangular(L.mH, inner, upper=True, unitriangular=True)
    return solve_triangular(U.mH, left, upper=False, left=False)


def _lu_gradient(g, out):
    """What is beyond the square part is a triangular solution: A2 = L2 U or A2 = L U2."""
    if g[0] is None:
        return None
    from .shape import cat

    g, LU = g[0], out[0]
    m, n = LU.shape[-2:]
    k = min(m, n)
    P, L, U = lu_unpack(LU, out[1])
    if m > n:
        beyond = solve_triangular(U.mH, g[..., k:, :], upper=False, left=False)
        first = _square_lu_gradient(g[..., :k, :], g[..., :k, :] - L[..., k:, :].mH @ beyond,
                                    L[..., :k, :], U)
        return P @ cat([first, beyond], -2)
    if m < n:
        beyond = solve_triangular(L.mH, g[..., k:], upper=True, unitriangular=True)
        first = _square_lu_gradient(g[..., :k] - beyond @ U[..., k:].mH, g[..., :k],
                                    L, U[..., :k])
        return P @ cat([first, beyond], -1)
    return P @ _square_lu_gradient(g, g, L, U)


@op(_lu_rule, gradient={"A": _lu_gradient}, api="", returns=("LU", "pivots", "info"))
def _linalg_lu_factor_ex(A: Tensor, pivot: bool):
    """Gaussian elimination, column by column, of all matrices of the batch at once."""
    m, n = A.shape[-2:]
    made = A.reshape(math.prod(A.shape[:-2]), m, n).copy()
    rows = np.arange(len(made))
    pivots = np.zeros((len(made), min(m, n)), np.int32)
    info = np.zeros(len(made), np.int32)
    for j in range(min(m, n)):
        column = made[:, j:, j]
        at = j + np.argmax(np.abs(column.real) + np.abs(column.imag), 1)
        pivots[:, j] = at + 1
        made[rows, at], made[:, j] = made[:, j].copy(), made[rows, at].copy()
        top = made[:, j, j]
        info[(info == 0) & (top == 0)] = j + 1
        made[:, j + 1 :, j] /= np.where(top == 0, 1, top)[:, None]
        made[:, j + 1 :, j + 1 :] -= made[:, j + 1 :, j, None] * made[:, j, None, j + 1 :]
    lead = A.shape[:-2]
    return made.reshape(A.shape), pivots.reshape(*lead, min(m, n)), info.reshape(lead)


@function(api="linalg", out=True)
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False):
    """(LU, pivots, info): L (its diagonal of ones left out) and U in one matrix; row exchanges
    counted from 1; 0 or the first zero on U's diagonal.
    """
    made = _linalg_lu_factor_ex(A, pivot)
    if check_errors and bool((made[2] != 0).any()):
        _refuse_singular(made[2])
    return made


def _refuse_singular(info):
    k = int(info[info != 0].reshape(-1)[0])
    raise LinAlgError(
        f"torch.linalg.lu_factor: U[{k},{k}] is zero and using it on lu_solve would result in a "
        "division by zero. If you still want to perform the factorization, consider calling "
        "linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
    )


@function(api="linalg", out=True)
def lu_factor(A: Tensor, *, pivot: bool = True):
    """(LU, pivots) as `lu_factor_ex`. LinAlgError if a matrix is singular."""
    LU, pivots, _ = lu_factor_ex(A, pivot=pivot, check_errors=True)
    return named("linalg_lu_factor", ("LU", "pivots"), (LU, pivots))


@function(api="torch Tensor", out=True)
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False):
    """(LU, pivots), with get_infos also info: the older form of `linalg.lu_factor_ex`."""
    made = lu_factor_ex(A, pivot=pivot, check_errors=not get_infos)
    return tuple(made) if get_infos else tuple(made[:2])


@op(
    lambda pivots, rows, dtype: meta((*pivots.shape[:-1], rows, rows), dtype),
    api="",
)
def _pivots_to_permutation(pivots: IntTensor, rows: int, dtype: dtypes.dtype):
    """The matrix P with P^T A = A after the row exchanges."""
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1]) - 1
    order = np.tile(np.arange(rows), (len(flat), 1))
    batch = np.arange(len(flat))
    for j in range(flat.shape[1]):
        at = flat[:, j]
        order[batch, at], order[:, j] = order[:, j].copy(), order[batch, at].copy()
    made = np.eye(rows, dtype=dtype.np)[order]
    return np.swapaxes(made, -1, -2).reshape(*pivots.shape[:-1], rows, rows)


@function(api="torch", out=True)
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True,
              unpack_pivots: bool = True):
    """(P, L, U) with A = P L U from `lu_factor`'s results; parts that are not wanted are empty."""
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    P = L = U = LU_data.new_empty(0)
    if unpack_pivots:
        if LU_pivots.dtype is not dtypes.int32:
            raise RuntimeError(
                "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 "
                f"dtype, but got {LU_pivots.dtype}"
            )
        if LU_pivots.ndim != LU_data.ndim - 1 or LU_pivots.numel() and not bool(((LU_pivots >= 1) & (LU_pivots <= m)).all()):
            raise RuntimeError(
                f"lu_unpack: pivots must lie between 1 and {m} (LU.size(-2)), and have the shape {list(LU_data.shape[:-2])} + "
                f"[{k}], not {list(LU_pivots.shape)}. Are they from lu_factor?"
            )
        P = _pivots_to_permutation(LU_pivots, m, LU_data.dtype)
    if unpack_data:
        from .creation import eye

        L = LU_data[..., :k].tril(-1) + eye(m, k, dtype=LU_data.dtype, device=LU_data.device)
        U = LU_data[..., :k, :].triu()
    return named("lu_unpack", ("P", "L", "U"), (P, L, U))


@function(api="linalg", out=True)
def lu(A: Tensor, *, pivot: bool = True):  # noqa: F811 - linalg's form
    """(P, L, U): a permutation, a lower triangle with ones on its diagonal and an upper triangle.

    A: (..., m, n), k = min(m, n); P is m x m, L m x k and U k x n. A = P L U.
    """
    factors = _linalg_lu_factor_ex(A, pivot)
    return named("linalg_lu", ("P", "L", "U"), lu_unpack(factors[0], factors[1]))


def lu_solved(LU, pivots, B, adjoint):
    """X with A X = B (or A^H X = B) from A's factors."""
    if B.ndim < 2 or LU.ndim < 2:
        raise RuntimeError(
            "linalg.lu_solve: The input tensors LU and B must have at least 2 dimensions, but they have shapes "
            f"{list(LU.shape)} and {list(B.shape)}"
        )
    P, L, U = lu_unpack(LU, pivots)
    if adjoint:
        inner = solve_triangular(U.mH, B, upper=False)
        return P @ solve_triangular(L.mH, inner, upper=True, unitriangular=True)
    inner = solve_triangular(L, P.mT @ B, upper=False, unitriangular=True)
    return solve_triangular(U, inner, upper=True)


@function(api="torch Tensor", out=True)
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor):
    """X with A X = b: the older form of `linalg.lu_solve`."""
    return lu_solved(LU_data, LU_pivots, b, False)


@function(api="linalg", out=True)
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True,  # noqa: F811
             adjoint: bool = False):
    """X with A X = B (X A = B; adjoint: A^H in place of A) from `lu_factor`'s results."""
    if left:
        return lu_solved(LU, pivots, B, adjoint)
    return lu_solved(LU, pivots, B.mH, not adjoint).mH


# ---------------------------------------------------------------- Householder reflections


def _raw_rule(A: Meta):
    check_matrices("geqrf", A, "input")
    return meta(A.shape, A.dtype), meta((*A.shape[:-2], min(A.shape[-2:])), A.dtype)


@op(_raw_rule, returns=("a", "tau"))
def geqrf(A: Tensor):
    """R in the upper triangle, and the reflections that make it: vectors below, and factors tau."""
    h, tau = np.linalg.qr(A, "raw")
    return np.swapaxes(h, -1, -2), tau


def reflected(A, tau, other, adjoint=False):
    """(H_1 H_2 ... H_k) other, of reflections H_i = 1 - tau_i v_i v_i^H; adjoint: of their
    adjoints, reversed.
    """
    from .shape import cat

    k = tau.shape[-1]
    lead = A.shape[:-2]
    if not k:
        return piecewise(other, A)
    for i in range(k) if adjoint else reversed(range(k)):
        head = [A.new_zeros((*lead, i)), A.new_ones((*lead, 1))]
        v = cat([*head, A[..., i + 1 :, i]], -1).unsqueeze(-1)
        factor = tau[..., i, None, None]
        other = other - (factor.conj() if adjoint else factor) * (v @ (v.mH @ other))
    return other


@function(api="linalg", out=True)
def householder_product(A: Tensor, tau: Tensor):
    """The first columns of the product of the reflections that `geqrf` gives.

    A: (..., m, n) with m >= n, tau: (..., k) with k <= n.
    """
    check_matrices("linalg.householder_product", A._s.m, "input")
    m, n = A.shape[-2:]
    if m < n or tau.shape[-1] > n:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            f"input.shape[-1], and this to tau.shape[-1]; got {list(A.shape)} and {list(tau.shape)}"
        )
    if A.dtype is not tau.dtype:
        raise RuntimeError(
            f"torch.linalg.householder_product: tau dtype {tau.dtype} does not match input dtype "
            f"{A.dtype}"
        )
    if tau.shape[:-1] != A.shape[:-2]:
        raise RuntimeError(
            "torch.linalg.householder_product: Expected batch dimensions of tau to be equal to "
            f"input.shape[:-2], but got {list(tau.shape[:-1])}"
        )
    from .creation import eye

    return reflected(A, tau, eye(m, n, dtype=A.dtype, device=A.device).expand(*A.shape[:-2], m, n))


@function(out=True)
def orgqr(input: Tensor, tau: Tensor):
    """`linalg.householder_product`."""
    return householder_product(input, tau)


@function(out=True)
def ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False):
    """`geqrf`'s reflections (transpose: their adjoint) times `other`, from its left or right."""
    check_matrices("torch.ormqr", input._s.m, "input")
    check_matrices("torch.ormqr", other._s.m, "other")
    if left:
        return reflected(input, tau, other, transpose)
    return reflected(input, tau, other.mH, not transpose).mH
