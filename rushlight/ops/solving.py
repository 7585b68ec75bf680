"""Linear systems, inverses, determinants and least squares, by NumPy's LAPACK."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from ..trace.tensor import Tensor as TensorClass
from . import rules
from .factorization import each
from .matrices import LinAlgError, batch_of, check_matrices, check_same_dtype, check_square, named
from .matrices import square as square_rule

# ruff: noqa: N803 - A and B are PyTorch's names

# ---------------------------------------------------------------- inverses and determinants


def _inverse_gradient(g, out):
    return -(out.mH @ g @ out.mH)


@op(square_rule("linalg.inv"), gradient={"A": _inverse_gradient}, api="linalg")
def inv(A: Tensor):
    """The inverse of square matrices. LinAlgError if one is singular."""
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        at = _first_zero(A)
        raise LinAlgError(
            f"linalg.inv: The diagonal element {at} is zero, the inversion could not be completed "
            "because the input matrix is singular."
        ) from None


def _first_zero(A):
    from .factorization import _linalg_lu_factor_ex

    info = _linalg_lu_factor_ex.__wrapped__(A, True)[2]
    return int(info[info != 0][0]) if info.any() else A.shape[-1]


@function(api="torch Tensor", out=True)
def inverse(input: Tensor):
    """The inverse of square matrices."""
    return inv(input)


def _with_info(f, A, *others):
    """`f` of each matrix on its own; 1 and NaN where it fails."""
    info = np.zeros(A.shape[:-2], np.int32)
    try:
        return f(A, *others), info
    except np.linalg.LinAlgError:
        results = []
    for i in each(A):
        try:
            results.append(f(A[i], *[x[i] for x in others]))
        except np.linalg.LinAlgError:
            info[i] = _first_zero(A[i])
            results.append(np.full((others or (A,))[-1][i].shape, np.nan, A.dtype))
    return np.array(results).reshape(*A.shape[:-2], *results[0].shape), info


@op(
    lambda A: (square_rule("linalg.inv")(A), meta(A.shape[:-2], dtypes.int32)),
    gradient={"A": lambda g, out: None if g[0] is None else _inverse_gradient(g[0], out[0])},
    api="", returns=("inverse", "info"),
)
def _linalg_inv_ex(A: Tensor):
    return _with_info(np.linalg.inv, A)


@function(api="linalg", out=True)
def inv_ex(A: Tensor, *, check_errors: bool = False):
    """(inverse, info): not 0 where a matrix is singular."""
    if check_errors:
        inv(A)
    return _linalg_inv_ex(A)


def _det_rule(A: Meta) -> Meta:
    check_square("linalg.det", A)
    return meta(A.shape[:-2], A.dtype)


def _det_gradient(g, A, out):
    """det(A) times the inverse; of a singular matrix the cofactors, by its singular vectors."""
    from .pointwise import where
    from .spectral import svd

    if bool((out != 0).all()):
        return (g * out.conj())[..., None, None] * inv(A).mH
    U, S, Vh = svd(A)
    n = S.shape[-1]
    others = [(S[..., :i].prod(-1) * S[..., i + 1 :].prod(-1)).unsqueeze(-1) for i in range(n)]
    from .shape import cat

    turn = (det(U) * det(Vh)).conj()
    products = where(S == S, cat(others, -1), S).to(A.dtype) if n else S.to(A.dtype)
    return (g * turn)[..., None, None] * (U * products.unsqueeze(-2)) @ Vh


@op(_det_rule, gradient={"A": _det_gradient}, api="linalg torch Tensor")
def det(A: Tensor):
    """The determinant of square matrices."""
    return np.linalg.det(A)


def _slogdet_rule(A: Meta):
    check_square("linalg.slogdet", A)
    return meta(A.shape[:-2], A.dtype), meta(A.shape[:-2], A.dtype.to_real())


def _slogdet_gradient(g, A, out):
    factor = g[1]
    if A.is_complex() and g[0] is not None:
        turn = (g[0].conj() * out[0]).imag * 1j
        factor = -turn if factor is None else factor - turn
    return None if factor is None else factor[..., None, None] * inv(A).mH


@op(
    _slogdet_rule, gradient={"A": _slogdet_gradient}, api="linalg torch Tensor",
    returns=("sign", "logabsdet"),
)
def slogdet(A: Tensor):
    """The sign and the logarithm of the absolute value of the determinant of square matrices."""
    return np.linalg.slogdet(A)


@function()
def logdet(input: Tensor):
    """The logarithm of the determinant: NaN if it is negative."""
    from .pointwise import where

    sign, size = slogdet(input)
    return size + sign.log() if input.is_complex() else where(sign < 0, math.nan, size)


# ---------------------------------------------------------------- systems


def is_vector(A, B) -> bool:
    """Whether B is a batch of vectors (and not of matrices) for A X = B."""
    return B.ndim == 1 or B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1])


def _solve_rule(A: Meta, B: Meta, left) -> Meta:
    check_square("linalg.solve", A)
    check_same_dtype("linalg.solve", A, B)
    if not B.ndim:
        rules.fail(RuntimeError, "linalg.solve: The input tensor B must have at least 1 dimension.")
    vector = is_vector(A, B)
    rows = B.shape[-1 if vector or not left else -2]
    if rows != A.shape[-1]:
        rules.fail(
            RuntimeError,
            f"linalg.solve: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({list(A.shape)} and {list(B.shape)})",
        )
    if vector:
        lead = rules.broadcast_shapes(tuple(A.shape[:-2]), tuple(B.shape[:-1]))
        return meta((*lead, A.shape[-1]), A.dtype)
    return meta((*batch_of(A, B), *B.shape[-2:]), A.dtype)


def _solve_gradient(g, A, B_meta, out, left):
    if not left:
        gb = solve(A.mH, g, left=False)
        return -(out.mH @ gb), gb
    if is_vector(A, B_meta):
        gb = solve(A.mH, g.unsqueeze(-1))
        return -(gb @ out.unsqueeze(-1).mH), gb.squeeze(-1)
    gb = solve(A.mH, g)
    return -(gb @ out.mH), gb


def _solved(A, B, left):
    if not left:
        t = np.linalg.solve(np.swapaxes(A, -1, -2), np.swapaxes(B, -1, -2))
        return np.swapaxes(t, -1, -2)
    if is_vector(A, B):
        return np.linalg.solve(A, B[..., None])[..., 0]
    return np.linalg.solve(A, B)


@op(_solve_rule, gradient={("A", "B"): _solve_gradient}, api="linalg")
def solve(A: Tensor, B: Tensor, *, left: bool = True):
    """X with A X = B (or X A = B). LinAlgError if A is singular.

    A: (..., n, n). B: (..., n, k), a vector (n), or vectors (..., n) for each matrix.
    """
    try:
        return _solved(A, B, left)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            "torch.linalg.solve: The solver failed because the input matrix is singular."
        ) from None


@op(
    lambda A, B, left: (_solve_rule(A, B, left), meta(A.shape[:-2], dtypes.int32)),
    gradient={("A", "B"): lambda g, A, B_meta, out, left: (None, None) if g[0] is None else
              _solve_gradient(g[0], A, B_meta, out[0], left)},
    api="", returns=("result", "info"),
)
def _linalg_solve_ex(A: Tensor, B: Tensor, left: bool):
    return _with_info(lambda a, b: _solved(a, b, left), A, B)


@function(api="linalg", out=True)
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False):
    """(X, info): not 0 where a matrix is singular."""
    if check_errors:
        solve(A, B, left=left)
    return _linalg_solve_ex(A, B, left)


@function(api="linalg", out=True)
def tensorsolve(A: Tensor, B: Tensor, dims=None):
    """X with `tensordot(A, X, X.ndim) = B`; dims: dimensions of A to move to its end first."""
    if dims is not None:
        dims = [rules.wrap_dim(d, A.ndim) for d in dims]
        A = A.permute([d for d in range(A.ndim) if d not in dims] + dims)
    shape = tuple(A.shape[B.ndim :])
    if math.prod(shape) != math.prod(A.shape[: B.ndim]):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {math.prod(shape)} != "
            f"{math.prod(A.shape[: B.ndim])}"
        )
    n = math.prod(shape)
    return solve(A.reshape(n, n), B.reshape(-1)).reshape(shape)


@function(api="linalg", out=True)
def tensorinv(A: Tensor, ind: int = 2):
    """The inverse of `X -> tensordot(A, X, ind)`; ind: how many dims of A are the result's."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    if ind > A.ndim:
        raise RuntimeError(f"tensorinv: 'ind' is {ind}, but A has {A.ndim} dims: {list(A.shape)}")
    rows, columns = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    n = math.prod(columns)
    if n != math.prod(rows):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {n} != {math.prod(rows)}"
        )
    return inv(A.reshape(n, n)).reshape((*columns, *rows))


# ---------------------------------------------------------------- least squares


def _pinv_gradient(g, A, out):
    """Golub and Pereyra (1973): of -P dA P + P P^H dA^H (1 - A P) + (1 - P A) dA^H P^H P."""
    P, adjoint = out, out.mH
    gh = g.mH
    left, right = gh @ P @ adjoint, adjoint @ P @ gh
    return left - A @ (P @ left) + right - (right @ P) @ A - adjoint @ g @ adjoint


@op(
    lambda A, atol, rtol, hermitian: meta((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype),
    gradient={"A": _pinv_gradient},
    api="",
)
def _pinv(A: Tensor, atol: Tensor, rtol: Tensor, hermitian: bool):
    if not A.size:
        return np.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    atol, rtol = np.asarray(atol)[..., None], np.asarray(rtol)[..., None]
    if hermitian:
        w, V = np.linalg.eigh(A)
        size = np.abs(w)
        keep = size > np.maximum(atol, rtol * size.max(-1, keepdims=True))
        return (V * np.where(keep, 1 / np.where(keep, w, 1), 0)[..., None, :]) @ np.conj(
            np.swapaxes(V, -1, -2))
    U, S, Vh = np.linalg.svd(A, False)
    keep = S > np.maximum(atol, rtol * S.max(-1, keepdims=True))
    inverse = np.where(keep, 1 / np.where(keep, S, 1), 0)
    return np.conj(np.swapaxes(Vh, -1, -2)) @ (
        inverse[..., None] * np.conj(np.swapaxes(U, -1, -2)))


def tolerances(A, atol, rtol):
    """(atol, rtol) as tensors: by default 0, and the dtype's precision times the larger size."""
    from .creation import as_tensor

    real = A.dtype.to_real()
    if rtol is None:
        epsilon = dtypes.finfo(real).eps * max(A.shape[-2:])
        if isinstance(atol, TensorClass):
            rtol = (atol <= 0).to(real) * epsilon
        else:
            rtol = 0.0 if atol else epsilon
    atol = 0.0 if atol is None else atol
    return [as_tensor(t, dtype=real) if not isinstance(t, TensorClass) else t for t in (atol, rtol)]


@function(api="linalg", out=True)
def pinv(A: Tensor, rcond=None, hermitian: bool = False, *, atol=None, rtol=None):
    """The pseudo-inverse (Moore-Penrose) of (..., m, n) matrices.

    Singular values up to max(atol, rtol times the largest) count as 0. hermitian: A is symmetric or
    Hermitian, which is not checked.
    """
    if A.ndim < 2 or A.dtype.category < dtypes.FLOAT or A.dtype.is_half:
        raise RuntimeError(
            f"linalg.pinv({dtypes.type_name(A.dtype)}{{{list(A.shape)}}}): expected a tensor with "
            "2 or more dimensions of float, double, cfloat or cdouble types"
        )
    atol, rtol = tolerances(A, atol, rcond if rtol is None else rtol)
    return _pinv(A, atol, rtol, hermitian)


@function(api="torch Tensor")
def pinverse(input: Tensor, rcond: float = 1e-15):
    """The pseudo-inverse: the older form of `linalg.pinv`."""
    return pinv(input, rcond)


def _lstsq_rule(A: Meta, B: Meta, rcond):
    name = "torch.linalg.lstsq"
    check_matrices(name, A)
    check_same_dtype(name, A, B)
    m, n = A.shape[-2:]
    vector = B.ndim == A.ndim - 1
    if not vector and B.ndim != A.ndim:
        rules.fail(
            RuntimeError, f"{name}: input.dim() must be greater or equal to other.dim() and "
            f"(input.dim() - other.dim()) <= 1, but got {list(A.shape)} and {list(B.shape)}"
        )
    if B.shape[-1 if vector else -2] != m:
        rules.fail(
            RuntimeError,
            f"{name}: input.size(-2) should match other.size({-1 if vector else -2}), but got "
            f"{list(A.shape)} and {list(B.shape)}",
        )
    lead = tuple(A.shape[:-2]) if vector else batch_of(A, B)
    columns, real = () if vector else (B.shape[-1],), A.dtype.to_real()
    return (
        meta((*lead, n, *columns), A.dtype), meta((*lead, *(columns or (1,))), real),
        meta(lead, dtypes.int64), meta((*lead, min(m, n)), real),
    )


def _lstsq_gradient(g, A, B, out):
    """Through the pseudo-inverse P: X = P B, and the squares of B - A X, at a minimum in X."""
    gx, gr = g[:2]
    vector = B.ndim == A.ndim - 1
    X, columns = (out[0].unsqueeze(-1), B.unsqueeze(-1)) if vector else (out[0], B)
    ga = gb = None
    if gx is not None:
        P = pinv(A)
        gx = gx.unsqueeze(-1) if vector else gx
        ga, gb = _pinv_gradient(gx @ columns.mH, A, P), P.mH @ gx
    if gr is not None:
        pull = 2 * gr.unsqueeze(-2) * (columns - A @ X)
        ga = -(pull @ X.mH) if ga is None else ga - pull @ X.mH
        gb = pull if gb is None else gb + pull
    return ga, gb.squeeze(-1) if vector and gb is not None else gb


@op(
    _lstsq_rule, gradient={("A", "B"): _lstsq_gradient}, api="",
    returns=("solution", "residuals", "rank", "singular_values"),
)
def _linalg_lstsq(A: Tensor, B: Tensor, rcond: float | None):
    m, n = A.shape[-2:]
    columns = B[..., None] if B.ndim == A.ndim - 1 else B
    lead = np.broadcast_shapes(A.shape[:-2], columns.shape[:-2])
    A, columns = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (A, columns))
    X = np.zeros((*lead, n, columns.shape[-1]), A.dtype)
    rank, values = np.zeros(lead, np.int64), np.zeros((*lead, min(m, n)))
    for i in np.ndindex(lead):
        X[i], _, rank[i], values[i] = np.linalg.lstsq(A[i], columns[i], rcond)
    residuals = np.sum(np.abs(columns - A @ X) ** 2, -2)
    return X if columns.ndim == B.ndim else X[..., 0], residuals, rank, values


@function(api="linalg", out=True)
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None):
    """(solution, residuals, rank, singular_values): X with the least |A X - B|.

    A: (..., m, n). B: (..., m, k) or (..., m). driver: LAPACK's name of a method ("gelsy"); it
    decides which of the last three are not empty, as in PyTorch.
    """
    driver = driver or "gelsy"
    if driver not in ("gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), "
            f"but got '{driver}'"
        )
    made = list(_linalg_lstsq(A, B, rcond))
    m, n = A.shape[-2:]
    if driver == "gelsy" or m <= n or driver != "gels" and bool((made[2] != n).any()):
        made[1] = made[1].reshape(-1)[:0]
    if driver == "gels":
        made[2] = made[2].reshape(-1)[:0]
    made[3] = made[3].detach()
    if driver not in ("gelsd", "gelss"):
        made[3] = made[3].reshape(-1)[:0]
    fields = ("solution", "residuals", "rank", "singular_values")
    return named("linalg_lstsq", fields, made)
