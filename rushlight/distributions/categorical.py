"""Distributions over a finite set of categories, given by probabilities or logits."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import rushlight as torch
from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

from . import constraints
from .counts import Binomial, one_of
from .distribution import Distribution
from .utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits

__all__ = [
    "Categorical",
    "Multinomial",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
]

CONSTRAINTS = {"probs": constraints.simplex, "logits": constraints.real_vector}


class Categorical(Distribution):
    """The index of a category; the last dimension of `probs` or `logits` holds their weights.

    probs are divided by their sum; logits are log weights.

    >>> policy = torch.distributions.Categorical(logits=torch.zeros(5, 4))
    >>> action = policy.sample()
    >>> policy.log_prob(action)
    tensor([-1.3863, -1.3863, -1.3863, -1.3863, -1.3863])
    """

    arg_constraints = CONSTRAINTS
    has_enumerate_support = True
    _expanded = ("probs", "logits")
    _kept = ("_num_events", "_given")
    _param = property(lambda self: getattr(self, self._given))
    param_shape = property(lambda self: self._param.size())

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._given, weights = one_of(probs, logits)
        if weights.dim() < 1:
            raise ValueError(f"`{self._given}` parameter must be at least one-dimensional.")
        if logits is None:
            self.probs = weights / weights.sum(-1, keepdim=True)
        else:
            self.logits = weights - weights.logsumexp(dim=-1, keepdim=True)
        self._num_events = weights.shape[-1]
        super().__init__(weights.shape[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits)

    @property
    def mean(self) -> Tensor:
        return torch.full(self._batch_shape, math.nan, dtype=self._param.dtype)

    variance = mean

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        probs, count = self.probs, math.prod(sample_shape)
        if not sample_shape and probs.ndim <= 2:  # as in a policy's loop: nothing to be reshaped
            return torch.multinomial(probs, 1, True).squeeze(-1)
        drawn = torch.multinomial(probs.reshape(-1, self._num_events), count, True)
        return (drawn if count == 1 else drawn.T).reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        logits, batch, index = self.logits, self._batch_shape, value.long()
        if not value.shape:  # as in a policy's loop: one view
            return logits.gather(-1, index.expand(*batch, 1)).squeeze(-1)
        if value.shape != batch:  # most often one of them has the common shape already
            shape = torch.broadcast_shapes(value.shape, batch)
            index = index if value.shape == shape else index.expand(shape)
            logits = logits if batch == shape else logits.expand(*shape, self._num_events)
        return logits.gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        logits = self.logits.clamp(min=torch.finfo(self.logits.dtype).min)  # 0 * -inf is 0
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._enumerated(torch.arange(self._num_events), expand)


class OfCategorical(Distribution):
    """Vectors that stand for a category, drawn by a `Categorical`."""

    arg_constraints: Any = CONSTRAINTS
    probs = property(attrgetter("_categorical.probs"))
    logits = property(attrgetter("_categorical.logits"))
    param_shape = property(attrgetter("_categorical.param_shape"))
    _param = property(attrgetter("_categorical._param"))

    def _wrap(self, categorical: Categorical, validate_args: bool | None) -> None:
        self._categorical = categorical
        event_shape = categorical.param_shape[-1:]
        Distribution.__init__(self, categorical.batch_shape, event_shape, validate_args)


class OneHotCategorical(OfCategorical):
    """Like `Categorical`, with one-hot vectors as values.

    >>> torch.distributions.OneHotCategorical(torch.tensor([0.1, 0.9])).mode
    tensor([0., 1.])
    """

    support = constraints.one_hot
    has_enumerate_support = True
    _expanded = ("_categorical",)
    mean = property(attrgetter("probs"))

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._wrap(Categorical(probs, logits), validate_args)

    def _one_hot(self, index: Tensor) -> Tensor:
        return F.one_hot(index, self._event_shape[0]).to(self.probs)

    @property
    def mode(self) -> Tensor:
        return self._one_hot(self._categorical.mode)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self._one_hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        return self._categorical.log_prob(value.max(-1)[1])

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = self._event_shape[0]
        values = torch.eye(n, dtype=self._param.dtype)
        return self._enumerated(values, expand)


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot samples with the gradient of the probabilities (Bengio and others, 2013).

    >>> weights = torch.tensor([0.1, 0.9], requires_grad=True)
    >>> torch.distributions.OneHotCategoricalStraightThrough(weights).rsample().requires_grad
    True
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Multinomial(OfCategorical):
    """How often each category comes in `total_count` (an int) draws.

    `log_prob` takes values of any total. ValueError for a negative total_count, NotImplementedError
    for one that is not an int.

    >>> torch.distributions.Multinomial(10, torch.tensor([0.2, 0.8])).mean
    tensor([2., 8.])
    """

    _expanded = ("_categorical",)
    _kept = ("total_count",)

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError(
                f"inhomogeneous total_count is not supported: expected an int, got {total_count!r}"
            )
        if total_count < 0:
            raise ValueError(f"Multinomial: total_count must not be negative, but got {total_count}")
        self.total_count = total_count
        self._wrap(Categorical(probs, logits), validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        drawn = self._categorical.sample((self.total_count, *sample_shape)).movedim(0, -1)
        counts = torch.zeros(self._extended_shape(sample_shape), dtype=drawn.dtype)
        return counts.scatter_add(-1, drawn, torch.ones_like(drawn)).type_as(self.probs)

    def entropy(self) -> Tensor:
        n = self.total_count
        of_draws = n * self._categorical.entropy() - math.lgamma(n + 1)
        one = Binomial(n, self.probs)
        counts = one.enumerate_support(expand=False)[1:]
        orders = torch.exp(one.log_prob(counts)) * torch.lgamma(counts + 1)
        return of_draws + orders.sum([0, -1])

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        ways = torch.lgamma(value.sum(-1) + 1) - torch.lgamma(value + 1).sum(-1)
        logits = torch.where((value == 0) & (logits == -math.inf), 0.0, logits)
        return ways + (logits * value).sum(-1)
