"""Kullback-Leibler divergences between distributions of different families."""

from __future__ import annotations

import math

import rushlight as torch

from .counts import Bernoulli, Binomial, Poisson
from .kl import infinite_where, register_kl
from .location_scale import Gumbel, Laplace, Normal, Uniform
from .positive import Exponential, Gamma, Pareto
from .relaxed import ContinuousBernoulli
from .simplex import Beta
from .utils import euler_constant

# p, and the q that give none of p's values in some region where p has mass
INFINITE = {
    Beta: (Pareto,),
    ContinuousBernoulli: (Pareto,),
    Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Uniform),
    Poisson: (Bernoulli, Binomial),
}


def _infinite(p, q):
    return torch.full_like(p.mean, math.inf)


for _p, _others in INFINITE.items():
    for _q in _others:
        register_kl(_p, _q)(_infinite)


def _cross_gamma(q, mean, mean_log):
    """`-E log q(x)` of a Gamma q, from the means of x and log x."""
    a, rate = q.concentration, q.rate
    return a.lgamma() - a * rate.log() - (a - 1) * mean_log + rate * mean


def _cross_normal(q, mean, variance):
    """`-E log q(x)` of a Normal q, from the mean and the variance of x."""
    squares = variance + (mean - q.loc).pow(2)
    return 0.5 * math.log(2 * math.pi) + q.scale.log() + 0.5 * squares / q.scale.pow(2)


def _cross_exponential(q, mean):
    """`-E log q(x)` of an Exponential q."""
    return q.rate * mean - q.rate.log()


def _cross_gumbel(q, mean, mean_exp):
    """`-E log q(x)` of a Gumbel q, from the mean of x and that of `exp(-x / q.scale)`."""
    return q.scale.log() + (mean - q.loc) / q.scale + torch.exp(q.loc / q.scale) * mean_exp


def _cross_continuous_bernoulli(q, mean):
    """`-E log q(x)` of a ContinuousBernoulli q."""
    return -mean * q.logits - torch.log1p(-q.probs) - q._cont_bern_log_norm()


def _mean_log_uniform(p):
    """The mean of log x for x of a Uniform p."""
    width = p.high - p.low
    return (torch.xlogy(p.high, p.high) - torch.xlogy(p.low, p.low)) / width - 1


# ---------------------------------------------------------------- p on a bounded interval


@register_kl(Bernoulli, Poisson)
def _kl_bernoulli_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
def _kl_beta_continuous_bernoulli(p, q):
    return -p.entropy() + _cross_continuous_bernoulli(q, p.mean)


@register_kl(Beta, Exponential)
@register_kl(ContinuousBernoulli, Exponential)
def _kl_to_exponential(p, q):
    return -p.entropy() + _cross_exponential(q, p.mean)


@register_kl(Beta, Gamma)
def _kl_beta_gamma(p, q):
    mean_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    return -p.entropy() + _cross_gamma(q, p.mean, mean_log)


@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
@register_kl(Gamma, Normal)
@register_kl(Laplace, Normal)
@register_kl(Exponential, Normal)
@register_kl(Uniform, Normal)
@register_kl(Gumbel, Normal)
def _kl_to_normal(p, q):
    return -p.entropy() + _cross_normal(q, p.mean, p.variance)


@register_kl(Beta, Uniform)
def _kl_beta_uniform(p, q):
    result = -p.entropy() + (q.high - q.low).log()
    return infinite_where((q.low > 0) | (q.high < 1), result)


@register_kl(ContinuousBernoulli, Uniform)
def _kl_continuous_bernoulli_uniform(p, q):
    # PyTorch's condition, which also makes uniforms infinite that reach further
    result = -p.entropy() + (q.high - q.low).log()
    return infinite_where((q.low >= 0) | (q.high <= 1), result)


@register_kl(Uniform, Beta)
def _kl_uniform_beta(p, q):
    a, b = q.concentration1, q.concentration0
    mean_log_rest = _mean_log_uniform(Uniform(1 - p.high, 1 - p.low, validate_args=False))
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    powers = (a - 1) * _mean_log_uniform(p) + (b - 1) * mean_log_rest
    return infinite_where((p.high > 1) | (p.low < 0), -p.entropy() + log_beta - powers)


@register_kl(Uniform, ContinuousBernoulli)
def _kl_uniform_continuous_bernoulli(p, q):
    result = -p.entropy() + _cross_continuous_bernoulli(q, p.mean)
    return infinite_where((p.high >= 1) | (p.low <= 0), result)  # PyTorch's condition


@register_kl(Uniform, Exponential)
def _kl_uniform_exponential(p, q):
    return infinite_where(p.low < 0, -p.entropy() + _cross_exponential(q, p.mean))


@register_kl(Uniform, Gamma)
def _kl_uniform_gamma(p, q):
    result = -p.entropy() + _cross_gamma(q, p.mean, _mean_log_uniform(p))
    return infinite_where(p.low < 0, result)


@register_kl(Uniform, Gumbel)
def _kl_uniform_gumbel(p, q):
    width = (p.high - p.low) / q.scale
    mean_exp = (torch.exp(-p.low / q.scale) - torch.exp(-p.high / q.scale)) / width
    return -p.entropy() + _cross_gumbel(q, p.mean, mean_exp)


@register_kl(Uniform, Pareto)
def _kl_uniform_pareto(p, q):
    normalizer = (q.alpha * q.scale.pow(q.alpha)).log()
    result = -p.entropy() + (q.alpha + 1) * _mean_log_uniform(p) - normalizer
    return infinite_where(p.low < q.scale, result)


# ---------------------------------------------------------------- p on a half line


@register_kl(Exponential, Gamma)
def _kl_exponential_gamma(p, q):
    return -p.entropy() + _cross_gamma(q, p.mean, -p.rate.log() - euler_constant)


@register_kl(Exponential, Gumbel)
def _kl_exponential_gumbel(p, q):
    product = p.rate * q.scale
    return -p.entropy() + _cross_gumbel(q, p.mean, product / (product + 1))


@register_kl(Gamma, Exponential)
def _kl_gamma_exponential(p, q):
    return -p.entropy() + _cross_exponential(q, p.mean)


@register_kl(Gamma, Gumbel)
def _kl_gamma_gumbel(p, q):
    mean_exp = (1 + (p.rate * q.scale).reciprocal()).pow(-p.concentration)
    return -p.entropy() + _cross_gumbel(q, p.mean, mean_exp)


@register_kl(Pareto, Exponential)
def _kl_pareto_exponential(p, q):
    result = -p.entropy() + _cross_exponential(q, p.mean)
    return infinite_where(p.alpha <= 1, result)


@register_kl(Pareto, Gamma)
def _kl_pareto_gamma(p, q):
    mean_log = p.scale.log() + p.alpha.reciprocal()
    result = -p.entropy() + _cross_gamma(q, p.mean, mean_log)
    return infinite_where(p.alpha <= 1, result)


@register_kl(Pareto, Normal)
def _kl_pareto_normal(p, q):
    return infinite_where(p.alpha <= 2, _kl_to_normal(p, q))


# ---------------------------------------------------------------- p on the whole line


@register_kl(Normal, Gumbel)
def _kl_normal_gumbel(p, q):
    mean_exp = torch.exp(-p.loc / q.scale + 0.5 * (p.scale / q.scale).pow(2))
    return -p.entropy() + _cross_gumbel(q, p.mean, mean_exp)


@register_kl(Normal, Laplace)
def _kl_normal_laplace(p, q):
    distance = p.loc - q.loc
    z = distance / p.scale
    folded = math.sqrt(2 / math.pi) * p.scale * torch.exp(-0.5 * z.pow(2))  # E |x - q.loc|
    folded = folded + distance * torch.erf(math.sqrt(0.5) * z)
    return -p.entropy() + torch.log(2 * q.scale) + folded / q.scale
