"""Normal vectors, with a whole covariance matrix or one of low rank."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import rushlight as torch
from rushlight.trace.tensor import Tensor

from . import constraints
from .distribution import Distribution
from .utils import _standard_normal, lazy_property

__all__ = ["LowRankMultivariateNormal", "MultivariateNormal"]

LOG_TWO_PI = math.log(2 * math.pi)
MATRICES: Any = {
    "covariance_matrix": constraints.positive_definite,
    "precision_matrix": constraints.positive_definite,
    "scale_tril": constraints.lower_cholesky,
}


def matrix_vector(matrix: Tensor, vector: Tensor) -> Tensor:
    """Products of matrices (..., m, n) and vectors (..., n)."""
    return torch.matmul(matrix, vector.unsqueeze(-1)).squeeze(-1)


def half_log_det(factor: Tensor) -> Tensor:
    """`log det(L)` of triangular matrices L."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def mahalanobis(factor: Tensor, x: Tensor) -> Tensor:
    """`|L^-1 x|^2` of L (*B, n, n) and x (*S, *B, n): all of S are columns of one right side."""
    outer = x.shape[: x.ndim + 1 - factor.ndim]
    columns = x.reshape((math.prod(outer),) + x.shape[len(outer) :]).movedim(0, -1)
    squares = torch.linalg.solve_triangular(factor, columns, upper=False).pow(2).sum(-2)
    return squares.movedim(-1, 0).reshape(x.shape[:-1])


def _scale_tril_of_precision(precision: Tensor) -> Tensor:
    """The lower triangular L with `L L^T P = 1`."""
    # turned by 180 degrees, the Cholesky factor of the turned matrix is upper triangular
    upper = torch.linalg.cholesky(precision.flip((-2, -1))).flip((-2, -1))
    eye = torch.eye(precision.shape[-1], dtype=precision.dtype)
    return torch.linalg.solve_triangular(upper.mT, eye, upper=False)


class OfCovariance(Distribution):
    """A distribution with a positive definite matrix, given itself, inverted, or as its factor L."""

    _kept = ("_unbroadcasted_scale_tril",)

    def _given_matrix(self, error: type[Exception], **matrices: Any) -> tuple[str, Tensor]:
        """The name and the value of the one that is given; `error` unless it is exactly one."""
        given = [(name, m) for name, m in matrices.items() if m is not None]
        if len(given) != 1:
            raise error(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                f"specified, but {len(given)} are"
            )
        name, matrix = given[0]
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions, "
                f"but its shape is {tuple(matrix.shape)}"
            )
        return name, matrix

    def _keep_factor(self, name: str, matrix: Tensor) -> None:
        if name == "covariance_matrix":
            matrix = torch.linalg.cholesky(matrix)
        elif name == "precision_matrix":
            matrix = _scale_tril_of_precision(matrix)
        self._unbroadcasted_scale_tril = matrix

    def _expanded_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape[-1:] * 2)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular L with `L L^T` the covariance matrix."""
        return self._expanded_matrix(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """`L L^T`."""
        factor = self._unbroadcasted_scale_tril
        return self._expanded_matrix(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix."""
        return self._expanded_matrix(torch.cholesky_inverse(self._unbroadcasted_scale_tril))


class MultivariateNormal(OfCovariance):
    """Normal vectors of mean `loc` (..., n), with exactly one of three (..., n, n) matrices.

    scale_tril (a lower triangular factor of the covariance) is the cheapest; the factors of
    covariance_matrix and precision_matrix are computed.

    >>> normal = MultivariateNormal(torch.zeros(2), torch.eye(2))
    >>> normal.log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {"loc": constraints.real_vector, **MATRICES}
    support = constraints.real_vector
    has_rsample = True
    _expanded = ("loc", *MATRICES)
    mean = mode = property(attrgetter("loc"))

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = self._given_matrix(
            ValueError, covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )  # fmt: skip
        batch_shape = torch.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        self.loc = loc.expand(batch_shape + (-1,))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._keep_factor(name, matrix)

    @property
    def variance(self) -> Tensor:
        squares = self._unbroadcasted_scale_tril.pow(2).sum(-1)
        return squares.expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        eps = _standard_normal(self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + matrix_vector(self._unbroadcasted_scale_tril, eps)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        factor = self._unbroadcasted_scale_tril
        distance = mahalanobis(factor, value - self.loc)
        return -0.5 * (self._event_shape[0] * LOG_TWO_PI + distance) - half_log_det(factor)

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1.0 + LOG_TWO_PI)
        entropy = constant + half_log_det(self._unbroadcasted_scale_tril)
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy


class LowRankMultivariateNormal(Distribution):
    """Normal vectors with the covariance `W W^T + diag(d)`, W = cov_factor (..., n, m), m small.

    loc, cov_diag (d): (..., n). Determinant and inverse need only the capacitance matrix
    `1 + W^T diag(1 / d) W`, which is m x m.

    >>> normal = LowRankMultivariateNormal(torch.zeros(2), torch.ones(2, 1), torch.ones(2))
    >>> normal.variance
    tensor([2., 2.])
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _expanded = ("loc", "cov_factor", "cov_diag")
    _kept = ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril")
    mean = mode = property(attrgetter("loc"))

    def __init__(
        self,
        loc: Tensor,
        cov_factor: Tensor,
        cov_diag: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2 or cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(
                f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m, but its "
                f"shape is {tuple(cov_factor.shape)}"
            )
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(
                f"cov_diag must be a batch of vectors with shape {event_shape}, but its shape is "
                f"{tuple(cov_diag.shape)}"
            )
        try:
            column, self.cov_factor, diag = torch.broadcast_tensors(
                loc.unsqueeze(-1), cov_factor, cov_diag.unsqueeze(-1)
            )
        except RuntimeError as e:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, "
                f"cov_diag {cov_diag.shape}"
            ) from e
        self.loc, self.cov_diag = column[..., 0], diag[..., 0]
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        eye = torch.eye(cov_factor.shape[-1], dtype=cov_factor.dtype)
        capacitance = self._weighted_factor() @ cov_factor + eye
        self._capacitance_tril = torch.linalg.cholesky(capacitance)
        super().__init__(self.loc.shape[:-1], event_shape, validate_args=validate_args)

    def _weighted_factor(self) -> Tensor:
        """`W^T diag(1 / d)`."""
        return self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2)

    def solved_factor(self) -> Tensor:
        """A with `diag(1 / d) - A^T A` the inverse of the covariance."""
        weighted = self._weighted_factor()
        return torch.linalg.solve_triangular(self._capacitance_tril, weighted, upper=False)

    def log_det(self) -> Tensor:
        """`log det(covariance)`, by the matrix determinant lemma."""
        return 2 * half_log_det(self._capacitance_tril) + self._unbroadcasted_cov_diag.log().sum(-1)

    def distance(self, x: Tensor) -> Tensor:
        """`x^T covariance^-1 x`, by the Woodbury formula."""
        projected = matrix_vector(self._weighted_factor(), x)
        squares = (x.pow(2) / self._unbroadcasted_cov_diag).sum(-1)
        return squares - mahalanobis(self._capacitance_tril, projected)

    @lazy_property
    def variance(self) -> Tensor:
        rows = self._unbroadcasted_cov_factor.pow(2).sum(-1)
        return (rows + self._unbroadcasted_cov_diag).expand(self._batch_shape + self._event_shape)

    def _expanded_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape * 2)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance: of `diag(1/s) covariance diag(1/s)`, scaled by s."""
        scale = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        factor = self._unbroadcasted_cov_factor / scale
        eye = torch.eye(self._event_shape[0], dtype=factor.dtype)
        return self._expanded_matrix(scale * torch.linalg.cholesky(factor @ factor.mT + eye))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """`W W^T + diag(d)`."""
        factor = self._unbroadcasted_cov_factor
        diagonal = torch.diag_embed(self._unbroadcasted_cov_diag)
        return self._expanded_matrix(factor @ factor.mT + diagonal)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix."""
        solved = self.solved_factor()
        diagonal = torch.diag_embed(self._unbroadcasted_cov_diag.reciprocal())
        return self._expanded_matrix(diagonal - solved.mT @ solved)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        of_factor = _standard_normal(shape[:-1] + self.cov_factor.shape[-1:], self.loc.dtype)
        of_diag = _standard_normal(shape, self.loc.dtype)
        common = matrix_vector(self._unbroadcasted_cov_factor, of_factor)
        return self.loc + common + self._unbroadcasted_cov_diag.sqrt() * of_diag

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        distance = self.distance(value - self.loc)
        return -0.5 * (self._event_shape[0] * LOG_TWO_PI + self.log_det() + distance)

    def entropy(self) -> Tensor:
        entropy = 0.5 * (self._event_shape[0] * (1.0 + LOG_TWO_PI) + self.log_det())
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy
