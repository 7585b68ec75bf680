"""The factorisation A = L D L^T of symmetric (L^H: Hermitian) matrices, and what it solves.

Diagonal pivoting by Bunch and Kaufman (Math. Comp. 31, 1977), as LAPACK's sytrf does it on the lower triangle:
D has blocks of one or two rows. L and D lie in one matrix; `pivots` counts from 1, twice negative for a block of two.
"""

from __future__ import annotations

import math

import numpy as np

from ..trace.dtypes import int32
from ..trace.meta import meta
from ..trace.operator import IntTensor, Tensor, function, op
from . import rules
from .matrices import LinAlgError, check_matrices, check_square, named

# ruff: noqa: N803 - A, B and LD are PyTorch's names

BOUND = (1 + math.sqrt(17)) / 8  # of a pivot's size against its column: keeps the growth of entries smallest


def _size(x):
    return np.abs(x.real) + np.abs(x.imag)


def _swap(A, k, other, hermitian):
    """Exchange rows and columns k and other > k of the lower triangle."""
    flip = np.conj if hermitian else np.asarray
    A[other + 1 :, k], A[other + 1 :, other] = A[other + 1 :, other].copy(), A[other + 1 :, k].copy()
    A[k + 1 : other, k], A[other, k + 1 : other] = flip(A[other, k + 1 : other]).copy(), flip(A[k + 1 : other, k]).copy()
    A[other, k] = flip(A[other, k])
    A[k, k], A[other, other] = A[other, other], A[k, k]


def _factor(A, pivots, hermitian):
    """Factor a lower triangle in place; returns 0 or the number of the first pivot that is zero."""
    n, k, info = len(A), 0, 0
    flip = np.conj if hermitian else np.asarray
    while k < n:
        if hermitian:
            A[k, k] = A[k, k].real
        here, step, at = _size(A[k, k]), 1, k
        most = k + 1 + int(np.argmax(_size(A[k + 1 :, k]))) if k + 1 < n else k
        below = _size(A[most, k]) if most > k else 0.0
        if max(here, below) == 0:
            info = info or k + 1
        else:
            if here < BOUND * below:
                row = np.concatenate([A[most, k:most], A[most + 1 :, most]])
                widest = _size(row).max()
                if here < BOUND * below * (below / widest):
                    at, step = most, 1 if _size(A[most, most]) >= BOUND * widest else 2
            last = k + step - 1
            if at != last:
                _swap(A, last, at, hermitian)
                if step == 2:
                    A[k + 1, k], A[at, k] = A[at, k], A[k + 1, k]
            rest = A[k + step :, k : k + step].copy()
            D = A[k : k + step, k : k + step].copy()
            if step == 2:
                D[0, 1] = flip(D[1, 0])
            weights = np.linalg.solve(D.T, rest.T).T  # the columns of L
            A[k + step :, k + step :] -= np.tril(weights @ flip(rest).T)
            A[k + step :, k : k + step] = weights
        pivots[k : k + step] = at + 1 if step == 1 else -(at + 1)
        k += step
    return info


def _factor_rule(A, hermitian):
    check_matrices("torch.linalg.ldl_factor_ex", A)
    check_square("torch.linalg.ldl_factor_ex", A)
    return meta(A.shape, A.dtype), meta(A.shape[:-1], int32), meta(A.shape[:-2], int32)


@op(_factor_rule, api="", returns=("LD", "pivots", "info"))
def _ldl_factor(A: Tensor, hermitian: bool):
    """The factorisation of each lower triangle."""
    made = np.tril(A).reshape(math.prod(A.shape[:-2]), *A.shape[-2:]).copy()
    pivots = np.zeros(made.shape[:2], np.int32)
    info = np.array([_factor(m, p, hermitian and A.dtype.kind == "c") for m, p in zip(made, pivots, strict=True)], np.int32)
    return made.reshape(A.shape), pivots.reshape(A.shape[:-1]), info.reshape(A.shape[:-2])


@function(api="linalg", out=True)
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False):
    """(LD, pivots, info) of symmetric matrices, or of Hermitian ones; their lower triangles are read.

    info is 0, or the number of the first pivot that is zero; with check_errors that is a LinAlgError.
    """
    made = _ldl_factor(A.detach(), hermitian)
    if check_errors and bool((made[2] != 0).any()):
        raise LinAlgError("torch.linalg.ldl_factor_ex: the factorization could not be completed: a pivot is exactly zero")
    return named("linalg_ldl_factor_ex", ("LD", "pivots", "info"), tuple(made))


@function(api="linalg", out=True)
def ldl_factor(A: Tensor, *, hermitian: bool = False):
    """(LD, pivots) as `ldl_factor_ex`. LinAlgError for a pivot that is zero."""
    LD, pivots, _ = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return named("linalg_ldl_factor", ("LD", "pivots"), (LD, pivots))


def _solve(LD, pivots, X, hermitian):
    """Solve for the columns of X in place."""
    flip = np.conj if hermitian else np.asarray
    n, k, starts = len(LD), 0, []
    while k < n:
        step = 1 if pivots[k] > 0 else 2
        at, last = abs(int(pivots[k])) - 1, k + step - 1
        starts.append((k, step))
        if at != last:
            X[[last, at]] = X[[at, last]]
        X[k + step :] -= LD[k + step :, k : k + step] @ X[k : k + step]
        D = LD[k : k + step, k : k + step].copy()
        if step == 2:
            D[0, 1] = flip(D[1, 0])
        X[k : k + step] = np.linalg.solve(D, X[k : k + step])
        k += step
    for k, step in reversed(starts):
        at, last = abs(int(pivots[k])) - 1, k + step - 1
        X[k : k + step] -= flip(LD[k + step :, k : k + step]).T @ X[k + step :]
        if at != last:
            X[[last, at]] = X[[at, last]]


def _solve_rule(LD, pivots, B, hermitian):
    check_matrices("torch.linalg.ldl_solve", LD)
    check_square("torch.linalg.ldl_solve", LD)
    if B.ndim < 2:
        rules.fail(RuntimeError, f"torch.linalg.ldl_solve: Expected B to have at least 2 dimensions, but it has {B.ndim} "
                                 "dimensions instead")
    if B.shape[-2] != LD.shape[-1]:
        rules.fail(RuntimeError, f"torch.linalg.ldl_solve: B of shape {tuple(B.shape)} does not fit LD of shape {tuple(LD.shape)}")
    if pivots.shape != LD.shape[:-1]:
        rules.fail(RuntimeError, f"torch.linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots "
                                 f"with shape {tuple(pivots.shape)} instead")
    if pivots.dtype.category > 1:
        rules.fail(RuntimeError, "torch.linalg.ldl_solve: Expected pivots to be integers. "
                                 f"Got {pivots.dtype}")
    if B.dtype is not LD.dtype:
        rules.fail(RuntimeError, f"torch.linalg.ldl_solve: LD dtype {LD.dtype} does not match b dtype {B.dtype}")
    batch = rules.broadcast_shapes(tuple(B.shape[:-2]), tuple(LD.shape[:-2]))
    return meta((*batch, *B.shape[-2:]), B.dtype)


def _solve_gradient(g, LD, pivots, hermitian):
    return ldl_solve(LD, pivots, g, hermitian=True) if hermitian else ldl_solve(LD, pivots, g.conj()).conj()


@op(_solve_rule, api="", gradient={"B": _solve_gradient})
def _ldl_solve(LD: Tensor, pivots: IntTensor, B: Tensor, hermitian: bool):
    """Solve each system of the batch."""
    batch = np.broadcast_shapes(B.shape[:-2], LD.shape[:-2])
    made = np.broadcast_to(B, (*batch, *B.shape[-2:])).copy()
    LD = np.broadcast_to(LD, (*batch, *LD.shape[-2:]))
    pivots = np.broadcast_to(pivots, (*batch, pivots.shape[-1]))
    for i in np.ndindex(*batch):
        _solve(LD[i], pivots[i], made[i], hermitian and LD.dtype.kind == "c")
    return made


@function(api="linalg", out=True)
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False):
    """X with A X = B, from the results of `ldl_factor` of A (the same `hermitian`). Gradients flow to B."""
    return _ldl_solve(LD.detach(), pivots, B, hermitian)
