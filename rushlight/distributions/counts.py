"""Yes or no, and numbers of events: distributions given by `probs` or by `logits` (log odds).
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import rushlight as torch
from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

from . import constraints
from .distribution import Distribution, ExponentialFamily
from .positive import Gamma
from .utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits

__all__ = [
    "Bernoulli",
    "Binomial",
    "Geometric",
    "NegativeBinomial",
    "Poisson",
]


def one_of(probs: Any, logits: Any) -> tuple[str, Any]:
    """The name and the value of the parameter that is given. ValueError unless it is exactly one."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    return ("probs", probs) if logits is None else ("logits", logits)


class Odds(Distribution):
    """A probability for each element, or its log odds; the other is computed when it is used."""

    arg_constraints: Any = {"probs": constraints.unit_interval, "logits": constraints.real}
    _kept: tuple[str, ...] = ("_given",)
    _param = property(lambda self: getattr(self, self._given))
    param_shape = property(lambda self: self._param.size())

    def take(self, probs: Any, logits: Any, validate_args: bool | None) -> None:
        self._given, value = one_of(probs, logits)
        self._broadcast(validate_args, **{self._given: value})

    def take_with_count(self, count: Any, probs: Any, logits: Any, validate_args: Any) -> None:
        self._given, value = one_of(probs, logits)
        count, value = broadcast_all(count, value)
        given = {"total_count": count.type_as(value), self._given: value}
        self._broadcast(validate_args, **given)

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=True)


class Bernoulli(Odds, ExponentialFamily):
    """1 with probability `probs`, else 0.

    >>> torch.distributions.Bernoulli(torch.tensor([0.3])).log_prob(torch.tensor([1.0]))
    tensor([-1.2040])
    """

    support = constraints.boolean
    has_enumerate_support = True
    _expanded = ("probs", "logits")
    _mean_carrier_measure = 0
    mean = property(attrgetter("probs"))

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.take(probs, logits, validate_args)

    @property
    def mode(self) -> Tensor:
        return torch.where(self.probs == 0.5, math.nan, (self.probs >= 0.5).to(self.probs))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._enumerated(torch.arange(2, dtype=self._param.dtype), expand)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (torch.logit(self.probs),)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        return torch.log1p(torch.exp(x))


class Binomial(Odds):
    """The number of successes in `total_count` trials with probability `probs`.

    >>> torch.distributions.Binomial(10, torch.tensor(0.5)).mean
    tensor(5.)
    """

    arg_constraints = {"total_count": constraints.nonnegative_integer, **Odds.arg_constraints}
    has_enumerate_support = True
    _expanded = ("total_count", "probs", "logits")

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.take_with_count(total_count, probs, logits, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            return torch.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        n, logits = self.total_count, self.logits
        # log(1 + exp(logits)) without overflow; max(logits, 0) with the derivative 1/2 at 0
        positive = (logits.clamp(min=0) + logits - logits.clamp(max=0)) / 2
        normalizer = n * (positive + torch.log1p(torch.exp(-torch.abs(logits))))
        ways = torch.lgamma(n + 1) - torch.lgamma(value + 1) - torch.lgamma(n - value + 1)
        return value * logits - normalizer + ways

    def entropy(self) -> Tensor:
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(torch.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        most = int(self.total_count.max())
        if self.total_count.min() != most:
            raise NotImplementedError(
                "Inhomogeneous total count not supported by `entropy` and `enumerate_support`: "
                f"{self.total_count}"
            )
        return self._enumerated(torch.arange(1 + most, dtype=self._param.dtype), expand)


class Geometric(Odds):
    """The number of failures before the first success, which has the probability `probs` in (0, 1].

    >>> torch.distributions.Geometric(torch.tensor(0.25)).mean
    tensor(3.)
    """

    support = constraints.nonnegative_integer
    _expanded = ("probs", "logits")

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.take(probs, logits, validate_args)
        if self._validate_args and probs is not None and not (self.probs > 0).all():
            raise ValueError(
                f"Expected parameter probs (of shape {tuple(self.probs.shape)}) of distribution "
                f"{self!r} to be positive but found invalid values:\n{self.probs}"
            )

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return torch.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        probs = self.probs
        with torch.no_grad():
            u = torch.empty(self._extended_shape(sample_shape), dtype=probs.dtype)
            u.uniform_(torch.finfo(probs.dtype).tiny, 1)
            return (u.log() / (-probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        value, probs = broadcast_all(value, self.probs)
        failing = torch.where((probs == 1) & (value == 0), 0.0, probs)  # 0 * log 0 is 0
        return value * (-failing).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        both = F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return both / self.probs


class NegativeBinomial(Odds):
    """The number of successes, of probability `probs`, before `total_count` failures.

    >>> torch.distributions.NegativeBinomial(torch.tensor(3.0), torch.tensor(0.5)).mean
    tensor(3.)
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    _expanded = ("total_count", "probs", "logits")

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.take_with_count(total_count, probs, logits, validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * torch.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / torch.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self) -> Gamma:
        return Gamma(self.total_count, torch.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return torch.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        n = self.total_count
        chances = n * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        ways = torch.lgamma(n + value) - torch.lgamma(1.0 + value) - torch.lgamma(n)
        return chances + ways.masked_fill(n + value == 0.0, 0.0)


class Poisson(ExponentialFamily):
    """The number of events where `rate` are expected.

    >>> torch.distributions.Poisson(torch.tensor(4.0)).log_prob(torch.tensor(0.0))
    tensor(-4.)
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    _expanded = ("rate",)
    mean = variance = property(attrgetter("rate"))

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self._broadcast(validate_args, rate=rate)

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return torch.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        rate, value = broadcast_all(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (torch.log(self.rate),)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        return torch.exp(x)
