"""Norms, ranks, powers and exponentials of matrices, and products of several."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.operator import Tensor, function, op
from ..trace.tensor import Tensor as TensorClass
from . import rules
from .matrices import check_square, square
from .pointwise import piecewise, where
from .reduction import norm as older_norm
from .reduction import vector_norm
from .solving import inv, inv_ex, tolerances
from .spectral import eigvalsh, svdvals

# ruff: noqa: N803 - A is PyTorch's name

# ---------------------------------------------------------------- norms


@function(api="linalg", out=True)
def matrix_norm(A: Tensor, ord="fro", dim=(-2, -1), keepdim: bool = False, *, dtype=None):
    """A norm of matrices: "fro", "nuc" (sum of singular values), 2 and -2 (the extreme singular
    values), 1 and -1 (extreme column sums), inf and -inf (extreme row sums).
    """
    A = A if dtype is None else A.to(dtype)
    if A.ndim < 2 or A.dtype.category < dtypes.FLOAT:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions and a floating "
            f"point or complex dtype; got {list(A.shape)} of {A.dtype}"
        )
    dim = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim}")
    row, column = rules.wrap_dims(dim, A.ndim)
    if ord == "fro":
        return vector_norm(A, 2, (row, column), keepdim)
    if ord == "nuc" or ord in (2, -2):
        values = svdvals(A.movedim((row, column), (-2, -1)))
        made = values.sum(-1) if ord == "nuc" else _extreme(values, -1, ord).squeeze(-1)
    elif ord in (1, -1, math.inf, -math.inf):
        along, other = (column, row) if abs(ord) == math.inf else (row, column)
        made = _extreme(A.abs().sum(along, True), other, ord)
        return made if keepdim else made.squeeze((row, column))
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if not keepdim:
        return made
    for d in sorted((row, column)):
        made = made.unsqueeze(d)
    return made


def _extreme(values, dim, ord):
    """The largest, or with a negative `ord` the smallest of positive values; of none 0."""
    if not values.shape[dim] and ord > 0:
        return values.sum(dim, True)
    return values.amax(dim, True) if ord > 0 else values.amin(dim, True)


@function(api="linalg", out=True)
def norm(A: Tensor, ord=None, dim=None, keepdim: bool = False, *, dtype=None):
    """A vector norm, or a matrix norm where `ord` or two dims ask for one; without both, of all."""
    if ord is not None:
        pair = isinstance(dim, (tuple, list)) and len(dim) == 2
        if not pair and not (dim is None and A.ndim == 2) and isinstance(ord, str):
            raise RuntimeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2, and for ord "
                f"'{ord}' a matrix is needed; got dim={dim} of {list(A.shape)}"
            )
        if dim is None and A.ndim not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{A.ndim}D."
            )
        if pair or dim is None and A.ndim == 2:
            return matrix_norm(A, ord, dim if pair else (0, 1), keepdim, dtype=dtype)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


@function(out=True)
def nuclear_norm(input: Tensor, dim=(-2, -1), keepdim: bool = False):
    """The sum of the singular values of matrices."""
    return matrix_norm(input, "nuc", dim, keepdim)


@function(out=True)
def frobenius_norm(input: Tensor, dim=(), keepdim: bool = False):
    """The root of the sum of squares over `dim`."""
    return older_norm(input, 2, dim, keepdim)


@function(inplace=True, out=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float):
    """Each slice along `dim` whose p-norm is above `maxnorm` scaled down to it."""
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim}")
    if not p > 0:
        raise RuntimeError(f"renorm: non-positive-norm not supported: {p}")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    dim = rules.wrap_dim(dim, input.ndim)
    size = older_norm(input, p, tuple(d for d in range(input.ndim) if d != dim), True)
    return input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


@function(api="linalg", out=True)
def cond(A: Tensor, p=None):
    """The condition number: `norm(A, p)` times that of the inverse; p None means 2."""
    if A.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if 0 in A.shape[-2:]:
        return A.new_zeros(A.shape[:-2], dtype=A.dtype.to_real())
    if p is None or p in (2, -2):
        values = svdvals(A)
        if p == -2:
            return values[..., -1] / values[..., 0]
        return values[..., 0] / values[..., -1]
    check_square("linalg.cond", A._s.m)
    inverse, info = inv_ex(A)
    made = matrix_norm(A, p) * matrix_norm(inverse, p)
    return where(info != 0, math.inf, made)


@function(api="linalg", out=True)
def matrix_rank(A: Tensor, tol=None, hermitian: bool = False, *, atol=None, rtol=None):
    """The number of singular values above max(atol, rtol times the largest)."""
    if A.ndim < 2:
        raise RuntimeError(
            "torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions."
        )
    if A.dtype.category < dtypes.FLOAT or A.dtype.is_half:
        raise RuntimeError("This function doesn't handle types other than float and double")
    if tol is not None:
        atol, rtol = tol, 0.0
    for name, given in (("atol", atol), ("rtol", rtol)):
        if isinstance(given, TensorClass) and given.is_complex():
            raise RuntimeError(
                f"torch.linalg.matrix_rank: {name} tensor of complex type is not supported."
            )
    atol, rtol = tolerances(A, atol, rtol)
    values = eigvalsh(A).abs() if hermitian else svdvals(A)
    if not values.shape[-1]:
        return values.sum(-1).to(dtypes.int64)
    limit = atol.unsqueeze(-1).maximum(rtol.unsqueeze(-1) * values.amax(-1, True))
    return (values > limit).sum(-1)


# ---------------------------------------------------------------- powers and exponentials


@function(api="linalg", out=True)
def matrix_power(A: Tensor, n: int):
    """The n-th power of square matrices by repeated squaring; of the inverse if n is negative."""
    return _power(A, n)


def _power(A, n):
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"linalg.matrix_power: A must be batches of square matrices, but has shape "
            f"{list(A.shape)}"
        )
    if n < 0:
        return _power(inv(A), -n)
    if n == 0:
        from .creation import eye

        return piecewise(eye(A.shape[-1], dtype=A.dtype, device=A.device).expand(A.shape).clone(), A)
    made = None
    while True:
        if n & 1:
            made = A if made is None else made @ A
        n >>= 1
        if not n:
            return made if made is not A else A.clone()
        A = A @ A


@function(api="torch Tensor", out=True)
def matrix_power(input: Tensor, n: int):  # noqa: F811 - torch's form
    """`linalg.matrix_power`."""
    return _power(input, n)


# Coefficients of the Pade approximant of order 13 (Higham, SIAM J. Matrix Anal. 26, 2005).
PADE = [math.factorial(26 - k) * math.factorial(13)
        / (math.factorial(26) * math.factorial(k) * math.factorial(13 - k)) for k in range(14)]


def _exponential_gradient(g, A):
    """The upper right block of exp([[A^H, G], [0, A^H]])."""
    from .shape import cat

    n = A.shape[-1]
    H = A.mH
    top = cat([H, g], -1)
    bottom = cat([g.new_zeros(g.shape), H], -1)
    return matrix_exp(cat([top, bottom], -2))[..., :n, n:]


@op(
    square("linalg.matrix_exp", half=True),
    gradient={"A": _exponential_gradient},
    api="linalg torch Tensor",
)
def matrix_exp(A: Tensor):
    """The exponential of square matrices: by a Pade approximant of A / 2^s, squared s times."""
    if not A.size:
        return A
    size = np.abs(A).sum(-2).max(-1)
    s = np.ceil(np.log2(np.maximum(size / 5.37, 1)))
    s = np.where(np.isfinite(s), s, 0).astype(np.int64)
    X = A / (2.0 ** s)[..., None, None]
    one, X2 = np.eye(A.shape[-1]), X @ X
    X4 = X2 @ X2
    X6 = X4 @ X2
    b = PADE
    odd = X @ (X6 @ (b[13] * X6 + b[11] * X4 + b[9] * X2) + b[7] * X6 + b[5] * X4 + b[3] * X2
               + b[1] * one)
    even = X6 @ (b[12] * X6 + b[10] * X4 + b[8] * X2) + b[6] * X6 + b[4] * X4 + b[2] * X2 \
        + b[0] * one
    made = np.linalg.solve(even - odd, even + odd)
    for k in range(int(s.max(initial=0))):
        made = np.where((k < s)[..., None, None], made @ made, made)
    return made


# ---------------------------------------------------------------- products and others


def _best_order(sizes):
    """For each span of factors, where to split it so that the products cost least."""
    n = len(sizes) - 1
    cost, split = {(i, i): 0 for i in range(n)}, {}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return split


@function(api="linalg", out=True)
def multi_dot(tensors):
    """The product of two or more matrices in the cheapest order; the ends may be vectors."""
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(
            f"multi_dot(): expected at least 2 tensors but got {len(tensors)}"
        )
    first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
    if first:
        tensors[0] = tensors[0].unsqueeze(0)
    if last:
        tensors[-1] = tensors[-1].unsqueeze(-1)
    for i, t in enumerate(tensors):
        if t.ndim != 2:
            raise RuntimeError(
                f"multi_dot(): tensor {i} must be 2D (1D or 2D at the ends) but got {t.ndim}D"
            )
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError("multi_dot(): all tensors must have be the same dtype")
        if i and tensors[i - 1].shape[1] != t.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i - 1} and {i} with shapes {list(tensors[i - 1].shape)} "
                f"and {list(t.shape)} cannot be multiplied"
            )
    split = _best_order([tensors[0].shape[0], *[t.shape[1] for t in tensors]])
    made = _product(tensors, split, 0, len(tensors) - 1)
    if last:
        made = made.squeeze(-1)
    return made.squeeze(0) if first else made


def _product(tensors, split, i, j):
    if i == j:
        return tensors[i]
    return _product(tensors, split, i, split[i, j]) @ _product(tensors, split, split[i, j] + 1, j)


@function(api="torch", out=True)
def chain_matmul(*matrices):
    """The product of matrices: the older form of `linalg.multi_dot`."""
    return multi_dot(matrices) if len(matrices) > 1 else matrices[0].clone()


@function(api="linalg", out=True)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1):
    """The dot products along a dimension; `x` is conjugated."""
    for t in (x, y):
        if t.dtype.category < dtypes.FLOAT and t.dtype is dtypes.bool_:
            raise RuntimeError("linalg.vecdot: Expected a floating point or integer tensor")
    return ((x.conj() if x.is_complex() else x) * y).sum(dim)


@function(api="linalg")
def vander(x: Tensor, *, N: int | None = None):  # noqa: N803
    """Vandermonde matrices: (..., n, N) powers 0 ... N - 1 of (..., n); N is n by default."""
    x = x if x.ndim else x.reshape(1)
    columns = x.shape[-1] if N is None else N
    if columns <= 1:
        raise RuntimeError("N must be greater than 1.")
    if x.dtype is dtypes.bool_:
        x = x.to(dtypes.int64)
    powers = x.unsqueeze(-1).expand(*x.shape, columns - 1).cumprod(-1)
    from .shape import cat

    return cat([powers.new_ones((*x.shape, 1)), powers], -1)


@function(api="linalg")
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1):
    """`torch.diagonal` of matrices: by default of the last two dimensions."""
    return A.diagonal(offset, dim1, dim2)

