"""Distributions of matrices: covariances (Wishart) and correlations (LKJ)."""

from __future__ import annotations

import math
import warnings
from typing import Any

import rushlight as torch
from rushlight.trace.meta import Size
from rushlight.trace.tensor import Tensor

from . import constraints
from .distribution import Distribution, ExponentialFamily
from .multivariate_normal import MATRICES, OfCovariance, half_log_det
from .positive import Chi2
from .simplex import Beta
from .utils import broadcast_all, is_number

__all__ = ["LKJCholesky", "Wishart"]


class Wishart(OfCovariance, ExponentialFamily):
    """The sum of outer products of `df` normal vectors: positive definite n x n matrices.

    df: greater than n - 1. Exactly one of the covariance of the vectors, its inverse or its lower
    triangular factor, (..., n, n). AssertionError unless it is one; ValueError for a small df.

    >>> Wishart(torch.tensor(3.0), covariance_matrix=torch.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True
    _expanded = ("df", *MATRICES, "_dist_chi2")
    _mean_carrier_measure = 0

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = self._given_matrix(
            AssertionError, covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix, scale_tril=scale_tril,
        )  # fmt: skip
        if is_number(df):
            df = torch.tensor(df, dtype=matrix.dtype)
        batch_shape = torch.broadcast_shapes(matrix.shape[:-2], df.shape)
        self.df, n = df.expand(batch_shape), matrix.shape[-1]
        lowest = float(self.df.min())
        if lowest <= n - 1:
            raise ValueError(
                f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}."
            )
        if lowest < n:
            warnings.warn(
                f"Wishart: samples with df={lowest}, below {n}, are likely to be singular",
                stacklevel=2,
            )
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        self._keep_factor(name, matrix)
        self._dist_chi2 = Chi2(self.df.unsqueeze(-1) - torch.arange(n, dtype=matrix.dtype))

    @property
    def arg_constraints(self) -> Any:
        return {**MATRICES, "df": constraints.greater_than(self._event_shape[-1] - 1)}

    def _of_batch(self, value: Tensor) -> Tensor:
        return value.reshape(self._batch_shape + (1, 1))

    @property
    def mean(self) -> Tensor:
        return self._of_batch(self.df) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self._event_shape[-1] - 1
        factor = torch.where(factor <= 0, math.nan, factor)
        return self._of_batch(factor) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        matrix = self.covariance_matrix
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self._of_batch(self.df) * (matrix.pow(2) + products)

    def _bartlett(self, sample_shape: Size) -> Tensor:
        """`L A A^T L^T`, A of chi and normal numbers (Bartlett, 1933): nearly never singular."""
        n = self._event_shape[-1]
        eps = torch.finfo(self.df.dtype).eps
        noise = self._dist_chi2.rsample(sample_shape).sqrt().clamp(min=eps).diag_embed()
        i, j = torch.tril_indices(n, n, offset=-1)
        below = sample_shape + self._batch_shape + (n * (n - 1) // 2,)
        noise[..., i, j] = torch.randn(below, dtype=noise.dtype)
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def _in_batch(self, found: Tensor) -> Tensor:
        """Whether any of the batch is."""
        n = len(self._batch_shape)
        return found.any(dim=tuple(range(-n, 0))) if n else found

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Tensor:
        sample = self._bartlett(Size(sample_shape))
        # PyTorch draws the first time again what is *not* singular: so do we, for equal numbers
        again = self._in_batch(self.support.check(sample))
        for _ in range(10 if max_try_correction is None else max_try_correction):
            if not again.any():
                break
            new = self._bartlett(again[again].shape)
            sample[again] = new
            again[again.clone()] = self._in_batch(~self.support.check(new))
        return sample

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        df, n, factor = self.df, self._event_shape[-1], self._unbroadcasted_scale_tril
        normalizer = df * (n * math.log(2) / 2 + half_log_det(factor)) + torch.mvlgamma(df / 2, n)
        log_det = torch.linalg.slogdet(value).logabsdet
        trace = torch.cholesky_solve(value, factor).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (df - n - 1) / 2 * log_det - trace / 2 - normalizer

    def entropy(self) -> Tensor:
        df, n = self.df, self._event_shape[-1]
        halves = torch.arange(n, dtype=df.dtype) / 2
        digammas = torch.digamma((df / 2).unsqueeze(-1) - halves).sum(-1)
        scale = (n + 1) * (n * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril))
        return scale + torch.mvlgamma(df / 2, n) - (df - n - 1) / 2 * digammas + df * n / 2

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:
        n = self._event_shape[-1]
        half_df = y + (n + 1) / 2
        log_det = n * math.log(2) - torch.linalg.slogdet(-2 * x).logabsdet
        return half_df * log_det + torch.mvlgamma(half_df, n)


class LKJCholesky(Distribution):
    """Cholesky factors L of correlation matrices, `p(L L^T)` proportional to `det^(concentration - 1)`.

    concentration: 1 makes all matrices alike, larger ones favour the identity (Lewandowski,
    Kurowicka and Joe, 2009). ValueError if dim < 2.

    >>> LKJCholesky(3, 0.5).sample().shape
    torch.Size([3, 3])
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _expanded = ("concentration", "_beta")
    _kept = ("dim",)

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        # the squared length of each row below the diagonal, in the onion method
        rows = torch.arange(-1, dim - 1, dtype=self.concentration.dtype).clamp(min=0)
        marginal = (self.concentration + 0.5 * (dim - 2)).unsqueeze(-1)
        self._beta = Beta(rows + 0.5, marginal - 0.5 * rows)
        super().__init__(self.concentration.shape, Size((dim, dim)), validate_args)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        y = self._beta.sample(sample_shape).unsqueeze(-1)
        direction = torch.randn(self._extended_shape(sample_shape), dtype=y.dtype).tril(-1)
        direction = direction / direction.norm(dim=-1, keepdim=True)
        direction[..., 0, :] = 0.0  # of no length
        below = torch.sqrt(y) * direction
        rest = (1 - (below**2).sum(-1)).clamp(min=torch.finfo(y.dtype).tiny)
        return below + rest.sqrt().diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        n, c = self.dim - 1, self.concentration
        order = 2 * (c - 1).unsqueeze(-1) + self.dim - torch.arange(2, self.dim + 1)
        powers = (order * value.diagonal(dim1=-1, dim2=-2)[..., 1:].log()).sum(-1)
        alpha = c + 0.5 * n
        normalizer = torch.mvlgamma(alpha - 0.5, n) - torch.lgamma(alpha) * n
        return powers - (0.5 * n * math.log(math.pi) + normalizer)
