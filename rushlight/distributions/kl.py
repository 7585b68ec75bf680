"""Kullback-Leibler divergences: the registry, and the pairs of one family.

`_kl_between.py` holds the pairs of different families. A pair's function is found by the nearest base
classes of both distributions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import rushlight as torch
from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

from .categorical import Categorical, OneHotCategorical
from .compound import Independent, TransformedDistribution
from .counts import Bernoulli, Binomial, Geometric, Poisson
from .distribution import Distribution, ExponentialFamily
from .location_scale import Cauchy, Gumbel, HalfNormal, Laplace, Normal, Uniform
from .multivariate_normal import (
    LowRankMultivariateNormal,
    MultivariateNormal,
    half_log_det,
    mahalanobis,
)
from .positive import Exponential, Gamma, Pareto
from .relaxed import ContinuousBernoulli
from .simplex import Beta, Dirichlet
from .utils import _sum_rightmost, euler_constant

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY: dict[tuple[type, type], Callable] = {}
_KL_MEMOIZE: dict[tuple[type, type], Any] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """A decorator that enters a function of (p, q) for two classes and their subclasses.

    The function of the nearest classes is used; where p's and q's nearest are in different entries,
    a RuntimeWarning asks for one more. TypeError for other than classes of distributions.

    >>> class Mine(Normal):
    ...     pass
    >>> @register_kl(Mine, Normal)
    ... def kl_mine_normal(p, q):
    ...     return torch.tensor(7.0)
    >>> kl_divergence(Mine(0.0, 1.0), Normal(0.0, 1.0))
    tensor(7.)
    """
    for given in (type_p, type_q):
        if not (isinstance(given, type) and issubclass(given, Distribution)):
            raise TypeError(f"Expected a Distribution subclass but got {given}")

    def enter(fun: Callable) -> Callable:
        _KL_REGISTRY[type_p, type_q] = fun
        _KL_MEMOIZE.clear()
        return fun

    return enter


def _nearest(matches: list[tuple[type, type]], first: int) -> tuple[type, type]:
    """The entry with the most derived class at `first`, then at the other place."""
    best = matches[0]
    for other in matches[1:]:
        for i in (first, 1 - first):
            if other[i] is not best[i]:
                best = other if issubclass(other[i], best[i]) else best
                break
    return best


def _dispatch_kl(type_p: type, type_q: type) -> Any:
    """The function for two classes, or NotImplemented."""
    matches = [
        (p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)
    ]
    if not matches:
        return NotImplemented
    left, right = _nearest(matches, 0), _nearest(matches, 1)
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please "
            f"register_kl({left[0].__name__}, {right[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[left]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """`KL(p || q)`, the mean of `log p(x) - log q(x)` over p, of batch shape.

    NotImplementedError if there is no formula for this pair; `register_kl` enters one.

    >>> kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0))
    tensor(0.5000)
    """
    pair = type(p), type(q)
    try:
        fun = _KL_MEMOIZE[pair]
    except KeyError:
        fun = _KL_MEMOIZE[pair] = _dispatch_kl(*pair)
    if fun is NotImplemented:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {pair[0].__name__} and q type "
            f"{pair[1].__name__}; register_kl() enters one"
        )
    return fun(p, q)


def infinite_where(condition: Tensor, value: Tensor) -> Tensor:
    """`value`, and infinity where p has values that q does not."""
    return torch.where(condition, math.inf, value)


# ---------------------------------------------------------------- families of families


@register_kl(ExponentialFamily, ExponentialFamily)
def _kl_expfamily(p, q):
    """The Bregman divergence of the log normaliser."""
    if type(p) is not type(q):
        raise NotImplementedError(
            f"The cross KL-divergence between different exponential families ({type(p).__name__}, "
            f"{type(q).__name__}) cannot be computed using Bregman divergences"
        )
    parameters, value, means = p._normalizer_and_means()
    theirs = q._natural_params
    result = q._log_normalizer(*theirs) - value
    for mine, other, mean in zip(parameters, theirs, means, strict=True):
        result = result - _sum_rightmost((other - mine) * mean, len(q.event_shape))
    return result


@register_kl(TransformedDistribution, TransformedDistribution)
def _kl_transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            f"KL between transformed distributions needs equal transforms and event shapes, but got "
            f"{p.transforms} {p.event_shape} and {q.transforms} {q.event_shape}"
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _kl_independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "KL between Independent distributions needs equal reinterpreted_batch_ndims, but got "
            f"{p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims}"
        )
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


# ---------------------------------------------------------------- discrete


def _kl_event(p, q, sign):
    """The part of an event of log odds `sign * logits`, in the divergence of two Bernoullis."""
    probs_p, probs_q = (p.probs, q.probs) if sign > 0 else (1 - p.probs, 1 - q.probs)
    part = probs_p * (F.softplus(-sign * q.logits) - F.softplus(-sign * p.logits))
    return torch.where(probs_p == 0, 0.0, infinite_where(probs_q == 0, part))


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli(p, q):
    return _kl_event(p, q, 1) + _kl_event(p, q, -1)


@register_kl(Binomial, Binomial)
def _kl_binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    of_one = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return infinite_where(p.total_count > q.total_count, p.total_count * of_one)


@register_kl(Geometric, Geometric)
def _kl_geometric(p, q):
    return -p.entropy() - torch.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _kl_poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Categorical, Categorical)
def _kl_categorical(p, q):
    parts = infinite_where(q.probs == 0, p.probs * (p.logits - q.logits))
    return torch.where(p.probs == 0, 0.0, parts).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _kl_one_hot(p, q):
    return _kl_categorical(p._categorical, q._categorical)


# ---------------------------------------------------------------- continuous


@register_kl(Beta, Beta)
def _kl_beta(p, q):
    return _kl_dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Dirichlet, Dirichlet)
def _kl_dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total_a, total_b = a.sum(-1), b.sum(-1)
    normalizers = total_a.lgamma() - total_b.lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    means = a.digamma() - total_a.digamma().unsqueeze(-1)
    return normalizers + ((a - b) * means).sum(-1)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _kl_continuous_bernoulli(p, q):
    mine = p._cont_bern_log_norm() + torch.log1p(-p.probs)
    other = q._cont_bern_log_norm() + torch.log1p(-q.probs)
    return p.mean * (p.logits - q.logits) + mine - other


@register_kl(Exponential, Exponential)
def _kl_exponential(p, q):
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(Gamma, Gamma)
def _kl_gamma(p, q):
    a, b = p.concentration, q.concentration
    rates = b * (p.rate / q.rate).log() + (q.rate - p.rate) * (a / p.rate)
    return rates + torch.lgamma(b) - torch.lgamma(a) + (a - b) * torch.digamma(a)


@register_kl(Gumbel, Gumbel)
def _kl_gumbel(p, q):
    ratio, shift = p.scale / q.scale, (q.loc - p.loc) / q.scale
    overlap = torch.exp(shift + (1 + ratio).lgamma())
    return ratio * euler_constant - ratio.log() - shift + overlap - (1 + euler_constant)


@register_kl(Normal, Normal)
def _kl_normal(p, q):
    variances = (p.scale / q.scale).pow(2)
    return 0.5 * (variances + ((p.loc - q.loc) / q.scale).pow(2) - 1 - variances.log())


@register_kl(HalfNormal, HalfNormal)
def _kl_half_normal(p, q):
    return _kl_normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _kl_laplace(p, q):
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    overlap = ratio * torch.exp(-distance / p.scale)
    return distance / q.scale + overlap - ratio.log() - 1


@register_kl(Cauchy, Cauchy)
def _kl_cauchy(p, q):
    squares = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return squares.log() - (4 * p.scale * q.scale).log()


@register_kl(Pareto, Pareto)
def _kl_pareto(p, q):
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return infinite_where(p.scale < q.scale, result)


@register_kl(Uniform, Uniform)
def _kl_uniform(p, q):
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return infinite_where((q.low > p.low) | (q.high < p.high), result)


# ---------------------------------------------------------------- normal vectors


def _trace(factor: Tensor) -> Tensor:
    """The trace of `A A^T`."""
    return factor.pow(2).sum((-2, -1))


class _Whole:
    """What a divergence asks of a MultivariateNormal."""

    def __init__(self, d: MultivariateNormal) -> None:
        self.factor = d._unbroadcasted_scale_tril

    def log_det(self) -> Tensor:
        return 2 * half_log_det(self.factor)

    def distance(self, x: Tensor) -> Tensor:
        return mahalanobis(self.factor, x)

    def factors(self) -> list[Tensor]:
        """Matrices whose `A A^T` add up to the covariance."""
        return [self.factor]

    def trace_of(self, factors: list[Tensor]) -> Tensor:
        """The trace of `covariance^-1` times what the factors add up to."""
        solve = torch.linalg.solve_triangular
        return sum(_trace(solve(self.factor, f, upper=False)) for f in factors)


class _LowRank:
    """The same of a LowRankMultivariateNormal."""

    def __init__(self, d: LowRankMultivariateNormal) -> None:
        self.d, self.log_det, self.distance = d, d.log_det, d.distance

    def factors(self) -> list[Tensor]:
        diagonal = self.d._unbroadcasted_cov_diag.sqrt().diag_embed()
        return [self.d._unbroadcasted_cov_factor, diagonal]

    def trace_of(self, factors: list[Tensor]) -> Tensor:
        solved, root = self.d.solved_factor(), self.d._unbroadcasted_cov_diag.rsqrt().unsqueeze(-1)
        return sum(_trace(f * root) - _trace(solved @ f) for f in factors)


def _kl_normal_vectors(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes "
            f"cannot be computed: {p.event_shape} and {q.event_shape}"
        )
    kinds = {True: _LowRank, False: _Whole}
    mine, other = [kinds[isinstance(d, LowRankMultivariateNormal)](d) for d in (p, q)]
    log_dets = other.log_det() - mine.log_det()
    distance = other.distance(q.loc - p.loc)
    return 0.5 * (log_dets + other.trace_of(mine.factors()) + distance - p.event_shape[0])


for _p in (MultivariateNormal, LowRankMultivariateNormal):
    for _q in (MultivariateNormal, LowRankMultivariateNormal):
        register_kl(_p, _q)(_kl_normal_vectors)

from . import _kl_between  # noqa: E402, F401 - enters its pairs
