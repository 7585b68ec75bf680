"""Matrix factorisations and solutions of linear systems, by NumPy's LAPACK."""

from __future__ import annotations

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules


def _square(name):
    def rule(A: Meta, *_) -> Meta:  # noqa: N803 - PyTorch's name
        if A.ndim < 2:
            rules.fail(
                RuntimeError,
                f"linalg.{name}: The input tensor A must have at least 2 dimensions.",
            )
        if A.shape[-1] != A.shape[-2]:
            rules.fail(
                RuntimeError,
                f"linalg.{name}: A must be batches of square matrices, but they are "
                f"{A.shape[-2]} by {A.shape[-1]} matrices",
            )
        if A.dtype.category < dtypes.FLOAT:
            rules.fail(
                RuntimeError,
                f"linalg.{name}: Expected a floating point or complex tensor as input. Got "
                f"{A.dtype.name}",
            )
        return meta(A.shape, A.dtype)

    return rule


@op(
    _square("inv"),
    gradient={"A": lambda g, out: -(out.mH @ g @ out.mH)},
    api="linalg",
)
def inv(A: Tensor):  # noqa: N803 - PyTorch's name
    """The inverse of square matrices. RuntimeError if one is singular."""
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        raise RuntimeError(
            "linalg.inv: The diagonal element is zero, the inversion could not be completed "
            "because the input matrix is singular."
        ) from None


@function(api="torch Tensor", out=True)
def inverse(input: Tensor):
    """The inverse of square matrices."""
    return inv(input)


def _det_rule(A: Meta) -> Meta:  # noqa: N803 - PyTorch's name
    _square("det")(A)
    return meta(A.shape[:-2], A.dtype)


@op(
    _det_rule,
    gradient={"A": lambda g, A, out: (g * out.conj())[..., None, None] * inv(A).mH},
    api="linalg torch Tensor",
)
def det(A: Tensor):  # noqa: N803 - PyTorch's name
    """The determinant of square matrices."""
    return np.linalg.det(A)


def _solve_rule(A: Meta, B: Meta, left) -> Meta:  # noqa: N803 - PyTorch's names
    _square("solve")(A)
    rows = B.shape[-2 if B.ndim > 1 and left else -1]
    if rows != A.shape[-1]:
        rules.fail(
            RuntimeError,
            f"linalg.solve: Incompatible shapes of A and B for the equation AX = B: "
            f"{list(A.shape)} and {list(B.shape)}",
        )
    if B.ndim == 1:
        return meta((*A.shape[:-2], A.shape[-1]), A.dtype)
    lead = rules.broadcast_shapes(tuple(A.shape[:-2]), tuple(B.shape[:-2]))
    return meta((*lead, *B.shape[-2:]), A.dtype)


def _solve_gradient(g, A, out, left, need):  # noqa: N803 - PyTorch's name
    if not left:
        gb = solve(A.mH, g, left=False)
        return -(out.mH @ gb), gb
    vector = g.ndim == A.ndim - 1
    gb = solve(A.mH, g)
    ga = -(gb.unsqueeze(-1) @ out.unsqueeze(-1).mH if vector else gb @ out.mH)
    return ga, gb


@op(_solve_rule, gradient={("A", "B"): _solve_gradient}, api="linalg")
def solve(A: Tensor, B: Tensor, *, left: bool = True):  # noqa: N803 - PyTorch's names
    """X with A X = B (or X A = B). RuntimeError if A is singular."""
    try:
        if not left:
            t = np.linalg.solve(np.swapaxes(A, -1, -2), np.swapaxes(B, -1, -2))
            return np.swapaxes(t, -1, -2)
        if B.ndim == 1:
            return np.linalg.solve(A, B[..., None])[..., 0]
        return np.linalg.solve(A, B)
    except np.linalg.LinAlgError:
        raise RuntimeError(
            "linalg.solve: The solver failed because the input matrix is singular."
        ) from None


def _cholesky_gradient(g, out):
    inner = (out.mH @ g).tril()
    middle = inner - 0.5 * inner.diagonal(0, -2, -1).diag_embed()
    back = inv(out)
    s = back.mH @ middle @ back
    return (s + s.mH) / 2


@op(_square("cholesky"), gradient={"A": _cholesky_gradient}, api="linalg")
def cholesky(A: Tensor):  # noqa: N803 - PyTorch's name
    """The lower triangular L with L L^H = A, for positive definite A."""
    try:
        return np.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        raise RuntimeError(
            "linalg.cholesky: The factorization could not be completed because the input is not "
            "positive-definite."
        ) from None


def _qr_rule(A: Meta, mode):  # noqa: N803 - PyTorch's name
    if A.ndim < 2:
        rules.fail(
            RuntimeError, "linalg.qr: The input tensor A must have at least 2 dimensions."
        )
    m, n = A.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    lead = tuple(A.shape[:-2])
    return meta((*lead, m, k), A.dtype), meta((*lead, k, n), A.dtype)


@op(_qr_rule, api="linalg", returns=("Q", "R"))
def qr(A: Tensor, mode: str = "reduced"):  # noqa: N803 - PyTorch's name
    """Q with orthonormal columns and upper triangular R with Q R = A. Not differentiable yet."""
    return np.linalg.qr(A, "complete" if mode == "complete" else "reduced")
