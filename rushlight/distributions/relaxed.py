"""Continuous relatives of `Bernoulli` and `Categorical`, through whose samples gradients flow."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import rushlight as torch
from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

from . import constraints
from .categorical import CONSTRAINTS, Categorical, OfCategorical
from .compound import TransformedDistribution
from .counts import Odds
from .distribution import ExponentialFamily
from .transforms import ExpTransform, SigmoidTransform
from .utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs

__all__ = [
    "ContinuousBernoulli",
    "ExpRelaxedCategorical",
    "LogitRelaxedBernoulli",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
]


class ContinuousBernoulli(Odds, ExponentialFamily):
    """The density `C probs^x (1 - probs)^(1 - x)` on [0, 1] (Loaiza-Ganem and Cunningham, 2019).

    lims: between these probabilities, Taylor series at 1/2 replace formulas that are 0 / 0 there.

    >>> ContinuousBernoulli(torch.tensor(0.9)).mean > 0.5
    tensor(True)
    """

    support = constraints.unit_interval
    has_rsample = True
    _expanded = ("probs", "logits")
    _kept = ("_given", "_lims")
    _mean_carrier_measure = 0

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._lims = lims
        if probs is not None and logits is None:
            (probs,) = broadcast_all(probs)
            # they are clamped first, so that the base class would find nothing
            if validate_args is not None and not self.arg_constraints["probs"].check(probs).all():
                raise ValueError(
                    f"ContinuousBernoulli: The parameter probs has invalid values:\n{probs}"
                )
            probs = clamp_probs(probs)
        self.take(probs, logits, validate_args)

    @lazy_property
    def probs(self) -> Tensor:
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _stable(self, x: Tensor, centre: float) -> Tensor:
        """Where the exact formulas are used."""
        return (x <= self._lims[0] - centre) | (x > self._lims[1] - centre)

    def _split(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where to use the formula, a probability that is safe in it, and the distance to 1/2."""
        stable = self._stable(self.probs, 0.0)
        return stable, torch.where(stable, self.probs, self._lims[0]), self.probs - 0.5

    def _cont_bern_log_norm(self) -> Tensor:
        """log C, with `C = 2 artanh(1 - 2 probs) / (1 - 2 probs)`."""
        stable, p, d = self._split()
        below, above = torch.where(p <= 0.5, p, 0.0), torch.where(p >= 0.5, p, 1.0)
        width = torch.where(p <= 0.5, torch.log1p(-2.0 * below), torch.log(2.0 * above - 1.0))
        exact = torch.log(torch.abs(torch.log1p(-p) - torch.log(p))) - width
        d2 = d * d
        return torch.where(stable, exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * d2) * d2)

    @property
    def mean(self) -> Tensor:
        stable, p, d = self._split()
        exact = p / (2.0 * p - 1.0) + 1.0 / (torch.log1p(-p) - torch.log(p))
        return torch.where(stable, exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * d * d) * d)

    @property
    def variance(self) -> Tensor:
        stable, p, d = self._split()
        exact = p * (p - 1.0) / (1.0 - 2.0 * p).pow(2)
        exact = exact + 1.0 / (torch.log1p(-p) - torch.log(p)).pow(2)
        d2 = d * d
        return torch.where(stable, exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * d2) * d2)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(torch.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        entropy = F.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return self._cont_bern_log_norm() - entropy

    def cdf(self, value: Tensor) -> Tensor:
        self._check(value)
        stable, p, _ = self._split()
        exact = (p.pow(value) * (1.0 - p).pow(1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = torch.where(stable, exact, value)
        return torch.where(value <= 0.0, 0.0, torch.where(value >= 1.0, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        stable, p, _ = self._split()
        log_other = torch.log1p(-p)
        exact = torch.log1p(-p + value * (2.0 * p - 1.0)) - log_other
        return torch.where(stable, exact / (torch.log(p) - log_other), value)

    def entropy(self) -> Tensor:
        log_other = torch.log1p(-self.probs)
        surprise = self.mean * (log_other - torch.log(self.probs))
        return surprise - self._cont_bern_log_norm() - log_other

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        stable = self._stable(x, 0.5)
        safe = torch.where(stable, x, self._lims[0] - 0.5)
        exact = torch.log(torch.abs(torch.expm1(safe))) - torch.log(torch.abs(safe))
        return torch.where(stable, exact, 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0)


class LogitRelaxedBernoulli(Odds):
    """The logit of `RelaxedBernoulli`, which is more stable.

    >>> LogitRelaxedBernoulli(torch.tensor(0.5), torch.tensor([0.1, 0.9])).batch_shape
    torch.Size([2])
    """

    support = constraints.real
    _expanded = ("probs", "logits")
    _kept = ("_given", "temperature")

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self.take(probs, logits, validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(torch.rand(shape, dtype=probs.dtype))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        diff = logits - value * self.temperature
        return self.temperature.log() + diff - 2 * diff.exp().log1p()


class RelaxedBernoulli(TransformedDistribution):
    """Numbers in (0, 1), close to 0 and 1 at low temperatures, with gradients (Concrete).

    >>> RelaxedBernoulli(torch.tensor(2.2), torch.tensor([0.1, 0.9])).rsample().shape
    torch.Size([2])
    """

    arg_constraints = Odds.arg_constraints
    support = constraints.unit_interval
    has_rsample = True
    _expanded = ()
    temperature = property(attrgetter("base_dist.temperature"))
    probs = property(attrgetter("base_dist.probs"))
    logits = property(attrgetter("base_dist.logits"))

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)


class ExpRelaxedCategorical(OfCategorical):
    """The logarithm of `RelaxedOneHotCategorical`, which is more stable.

    >>> relaxed = ExpRelaxedCategorical(torch.tensor(0.5), logits=torch.zeros(3))
    >>> relaxed.rsample().logsumexp(-1).abs() < 1e-5
    tensor(True)
    """

    support = constraints.real_vector  # its exponentials are on the simplex
    has_rsample = True
    _expanded = ("_categorical",)
    _kept = ("temperature",)

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self._wrap(Categorical(probs, logits), validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        uniform = clamp_probs(torch.rand(shape, dtype=self.logits.dtype))
        gumbel = -(-uniform.log()).log()
        scores = (self.logits + gumbel) / self.temperature
        return scores - scores.logsumexp(dim=-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        n = self._event_shape[0]
        scale = math.lgamma(n) + (n - 1) * self.temperature.log()
        score = logits - value * self.temperature
        return (score - score.logsumexp(dim=-1, keepdim=True)).sum(-1) + scale


class RelaxedOneHotCategorical(TransformedDistribution):
    """Points of the simplex close to its corners, with gradients (Concrete or Gumbel-softmax).

    temperature: the lower, the closer to one-hot (Maddison and others, 2017; Jang and others, 2017).

    >>> relaxed = RelaxedOneHotCategorical(torch.tensor(2.2), probs=torch.tensor([0.1, 0.9]))
    >>> relaxed.rsample().sum().allclose(torch.tensor(1.0))
    True
    """

    arg_constraints = CONSTRAINTS
    support = constraints.simplex
    has_rsample = True
    _expanded = ()
    temperature = property(attrgetter("base_dist.temperature"))
    probs = property(attrgetter("base_dist.probs"))
    logits = property(attrgetter("base_dist.logits"))

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)
