"""Transforms of vectors and matrices: simplices, triangular and positive definite matrices, shapes."""

from __future__ import annotations

import math
from typing import Any

import rushlight as torch
from rushlight.nn import functional as F
from rushlight.trace.meta import Size
from rushlight.trace.tensor import Tensor

from .. import constraints
from ..utils import tril_matrix_to_vec, vec_to_tril_matrix
from .base import FixedTransform, Transform, require_dims
from .elementwise import clipped_sigmoid

__all__ = [
    "CorrCholeskyTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "ReshapeTransform",
    "SoftmaxTransform",
    "StickBreakingTransform",
]


class ReshapeTransform(Transform):
    """The last dimensions in another shape. ValueError if the numbers of elements differ.

    >>> ReshapeTransform((4,), (2, 2))(torch.zeros(3, 4)).shape
    torch.Size([3, 2, 2])
    """

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            raise ValueError(
                f"ReshapeTransform: in_shape {tuple(in_shape)} and out_shape {tuple(out_shape)} have "
                "different numbers of elements"
            )
        super().__init__(cache_size=cache_size)

    @constraints.dependent_property
    def domain(self):
        return constraints.independent(constraints.real, len(self.in_shape))

    @constraints.dependent_property
    def codomain(self):
        return constraints.independent(constraints.real, len(self.out_shape))

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return ReshapeTransform(self.in_shape, self.out_shape, cache_size=cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[: x.ndim - len(self.in_shape)] + self.out_shape)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(y.shape[: y.ndim - len(self.out_shape)] + self.in_shape)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[: x.ndim - len(self.in_shape)])

    def forward_shape(self, shape: Any) -> Any:
        return self._replaced(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self._replaced(shape, self.out_shape, self.in_shape)

    def _replaced(self, shape: Any, old: Size, new: Size) -> Any:
        require_dims(shape, len(old))
        cut = len(shape) - len(old)
        if tuple(shape[cut:]) != old:
            raise ValueError(f"ReshapeTransform: expected a shape ending in {old}, but got {shape}")
        return shape[:cut] + new


class _VectorTransform(FixedTransform):
    """A transform of vectors to vectors, which may have another length."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    _longer = 0  # by which the result is longer

    def forward_shape(self, shape: Any) -> Any:
        require_dims(shape, 1)
        return shape[:-1] + (shape[-1] + self._longer,)

    def inverse_shape(self, shape: Any) -> Any:
        require_dims(shape, 1)
        return shape[:-1] + (shape[-1] - self._longer,)


class SoftmaxTransform(_VectorTransform):
    """The softmax, and the logarithm back. No bijection: it forgets the vector's mean.

    >>> SoftmaxTransform()(torch.zeros(2))
    tensor([0.5000, 0.5000])
    """

    def _call(self, x: Tensor) -> Tensor:
        probs = (x - x.max(-1, True)[0]).exp()
        return probs / probs.sum(-1, True)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()


class StickBreakingTransform(_VectorTransform):
    """n real numbers to n + 1 that sum to 1: each breaks its part off the rest of a stick of length 1.

    >>> StickBreakingTransform()(torch.zeros(2))
    tensor([0.3333, 0.3333, 0.3333])
    """

    bijective = True
    _longer = 1

    @staticmethod
    def _log_parts(x: Tensor) -> Tensor:
        """log n, log(n - 1) ... log 1: subtracted, they make zeros the centre of the simplex."""
        return (x.shape[-1] + 1 - x.new_ones(x.shape[-1]).cumsum(-1)).log()

    def _call(self, x: Tensor) -> Tensor:
        broken = clipped_sigmoid(x - self._log_parts(x))
        rest = (1 - broken).cumprod(-1)
        return F.pad(broken, [0, 1], value=1) * F.pad(rest, [1, 0], value=1)

    def _inverse(self, y: Tensor) -> Tensor:
        pieces = y[..., :-1]
        # the rest may be 0 by rounding, where its logarithm would be infinite
        rest = torch.clamp(1 - pieces.cumsum(-1), min=torch.finfo(y.dtype).tiny)
        return pieces.log() - rest.log() + self._log_parts(pieces)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = x - self._log_parts(x)
        return (-x + F.logsigmoid(x) + y[..., :-1].log()).sum(-1)


class CorrCholeskyTransform(Transform):
    """Vectors of length n (n - 1) / 2 to Cholesky factors of n x n correlation matrices.

    With r = tanh(x) in a strictly lower triangle, each row is made by breaking a stick of length 1:
    `y_ij = r_ij sqrt(1 - the sum of y_ik^2 for k < j)`, the diagonal being what is left.

    >>> CorrCholeskyTransform()(torch.zeros(1))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        eps = torch.finfo(x.dtype).eps
        r = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        rest = (1 - r**2).sqrt().cumprod(-1)
        r = r + torch.eye(r.shape[-1], dtype=r.dtype)
        return r * F.pad(rest[..., :-1], [1, 0], value=1)

    def _inverse(self, y: Tensor) -> Tensor:
        rest = 1 - (y * y).cumsum(-1)
        before = F.pad(rest[..., :-1], [1, 0], value=1)
        t = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(before, diag=-1).sqrt()
        return (t.log1p() - t.neg().log1p()) / 2

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor, intermediates: Any = None) -> Tensor:
        rest = 1 - (y * y).cumsum(-1)
        of_stick = 0.5 * tril_matrix_to_vec(rest, diag=-2).log().sum(-1)
        of_tanh = -2 * (x + F.softplus(-2 * x) - math.log(2.0)).sum(-1)
        return of_stick + of_tanh

    def forward_shape(self, shape: Any) -> Any:
        require_dims(shape, 1)
        n = round((0.25 + 2 * shape[-1]) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != shape[-1]:
            raise ValueError(
                f"CorrCholeskyTransform: {shape[-1]} is not a number of elements below a diagonal"
            )
        return shape[:-1] + (n, n)

    def inverse_shape(self, shape: Any) -> Any:
        require_dims(shape, 2)
        n = shape[-1]
        if shape[-2] != n:
            raise ValueError(f"CorrCholeskyTransform: matrices of shape {tuple(shape)} are not square")
        return shape[:-2] + (n * (n - 1) // 2,)


class LowerCholeskyTransform(FixedTransform):
    """Square matrices to lower triangular ones with a positive diagonal (its exponential).

    >>> LowerCholeskyTransform()(torch.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(FixedTransform):
    """Square matrices to positive definite ones: `L L^T` of `LowerCholeskyTransform`'s L.

    >>> PositiveDefiniteTransform()(torch.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(torch.linalg.cholesky(y))
