"""The normal distribution's relative on the circle."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import rushlight as torch
from rushlight.trace.tensor import Tensor

from . import constraints
from .distribution import Distribution
from .utils import lazy_property

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles in radians around `loc`, with a density proportional to `exp(c cos(x - loc))`.

    concentration (c): near 0 nearly uniform, large ones nearly normal with variance 1 / c.

    >>> VonMises(torch.tensor(0.0), torch.tensor(4.0)).log_prob(torch.tensor(0.0))
    tensor(-0.2628)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    _expanded = ("loc", "concentration")
    mean = mode = property(attrgetter("loc"))

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self._broadcast(validate_args, loc=loc, concentration=concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        c = self.concentration
        log_i0 = torch.special.i0e(c).log() + c
        return c * torch.cos(value - self.loc) - math.log(2 * math.pi) - log_i0

    @lazy_property
    def variance(self) -> Tensor:
        """The circular variance: 1 minus the length of the mean direction."""
        c = self.concentration
        return 1 - torch.special.i1e(c) / torch.special.i0e(c)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples by rejection from a wrapped Cauchy distribution, in float64 (Best and Fisher, 1979)."""
        shape = self._extended_shape(sample_shape)
        loc, c = self.loc.double(), self.concentration.double()
        tau = 1 + (1 + 4 * c**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * c)
        r = torch.where(c < 1e-5, 1 / c + c, (1 + rho**2) / (2 * rho))
        x = torch.zeros(shape, dtype=loc.dtype)
        done = torch.zeros(shape, dtype=torch.bool)
        while not done.all():  # all elements are drawn again, as PyTorch does
            u1, u2, u3 = torch.rand((3,) + shape, dtype=loc.dtype).unbind()
            z = torch.cos(math.pi * u1)
            f = (1 + r * z) / (r + z)
            d = c * (r - f)
            accept = (d * (2 - d) - u2 > 0) | ((d / u2).log() + 1 - d >= 0)
            x = torch.where(accept, (u3 - 0.5).sign() * f.acos(), x)
            done = done | accept
        return ((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)
