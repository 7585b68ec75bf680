"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

import rushlight as torch
from rushlight.trace.meta import Size
from rushlight.trace.tensor import Tensor

from . import constraints
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A mixture: a `Categorical` picks one of the components in the last batch dimension.

    mixture_distribution: batch shape B, K categories. component_distribution: batch shape
    B + (K,). ValueError if they do not fit.

    >>> pick = Categorical(torch.tensor([0.5, 0.5]))
    >>> parts = torch.distributions.Normal(torch.tensor([-1.0, 1.0]), torch.ones(2))
    >>> MixtureSameFamily(pick, parts).mean
    tensor(0.)
    """

    arg_constraints: Any = {}
    mixture_distribution = property(lambda self: self._mixture_distribution)
    component_distribution = property(lambda self: self._component_distribution)

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        for given, kind in (
            (mixture_distribution, Categorical), (component_distribution, Distribution)
        ):
            if not isinstance(given, kind):
                raise ValueError(
                    "MixtureSameFamily needs a Categorical and a Distribution, but got "
                    f"{type(given).__name__} for the {kind.__name__}"
                )
        picks, parts = mixture_distribution.batch_shape, component_distribution.batch_shape
        if any(
            1 not in pair and pair[0] != pair[1]
            for pair in zip(reversed(picks), reversed(parts[:-1]))
        ):
            raise ValueError(
                f"The batch shape {picks} of mixture_distribution is not compatible with "
                f"{parts[:-1]} of component_distribution"
            )
        count = mixture_distribution.logits.shape[-1]
        if count != parts[-1]:
            raise ValueError(
                f"mixture_distribution has {count} categories, but the last batch dimension of "
                f"component_distribution has the size {parts[-1]}"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        self._num_component = count
        event_shape = component_distribution.event_shape
        self._event_ndims = len(event_shape)
        super().__init__(parts[:-1], event_shape, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """This distribution with its batch expanded."""
        new, batch_shape = self._get_checked_instance(MixtureSameFamily, _instance), Size(batch_shape)
        components = batch_shape + (self._num_component,)
        new._component_distribution = self._component_distribution.expand(components)
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._num_component, new._event_ndims = self._num_component, self._event_ndims
        return self._expand_shapes(new, batch_shape)

    @constraints.dependent_property
    def support(self):
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    def _weighted(self, of_components: Tensor) -> Tensor:
        """The mean over components of what has batch and event shape."""
        probs = self._mixture_distribution.probs
        ndim = len(self._mixture_distribution.batch_shape)
        pad = 0 if ndim == 1 else len(self._batch_shape) - ndim
        ones = (1,) * self._event_ndims
        probs = probs.reshape(probs.shape[:-1] + (1,) * pad + probs.shape[-1:] + ones)
        return (probs * of_components).sum(-1 - self._event_ndims)

    def _pad(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1 - self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return self._weighted(self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        parts = self._component_distribution
        between = (parts.mean - self._pad(self.mean)).pow(2)
        return self._weighted(parts.variance) + self._weighted(between)

    def cdf(self, x: Tensor) -> Tensor:
        below = self._component_distribution.cdf(self._pad(x))
        return (below * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        of_parts = self._component_distribution.log_prob(self._pad(x))
        weights = torch.log_softmax(self._mixture_distribution.logits, -1)
        return torch.logsumexp(of_parts + weights, -1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            dim = len(sample_shape) + len(self._batch_shape)
            picked = self._mixture_distribution.sample(sample_shape)
            values = self._component_distribution.sample(sample_shape)
            index = picked.reshape(picked.shape + (1,) * (self._event_ndims + 1))
            index = index.repeat((1,) * (picked.ndim + 1) + self._event_shape)
            return values.gather(dim, index).squeeze(dim)

    def __repr__(self) -> str:
        return (
            f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
        )
