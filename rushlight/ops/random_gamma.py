"""Random numbers made by rejection: gamma, Dirichlet and binomial, PyTorch's for the same seed.

One element after the other, as each takes an unknown number of draws.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np

from ..trace.meta import meta
from ..trace.operator import Generator, Tensor, op
from . import rules
from .gamma_functions import _dirichlet_grad, _standard_gamma_grad


@contextlib.contextmanager
def _sources(generator):
    """Functions that give the next uniform and the next standard normal number."""
    with generator.one_by_one() as uniform:

        def normal() -> float:
            kept, generator._next_normal = generator._next_normal, None
            if kept is not None:
                return kept
            angle = 2 * math.pi * uniform()
            radius = math.sqrt(-2 * math.log1p(-uniform()))
            generator._next_normal = radius * math.sin(angle)
            return radius * math.cos(angle)

        yield uniform, normal


THIRD, SQUEEZE = float(np.float32(1) / np.float32(3)), float(np.float32(0.0331))  # as PyTorch's


def _gamma(a: float, d: float, power: float, uniform, normal) -> float:
    """A gamma number of shape a (Marsaglia and Tsang, 2000); a < 1 by a power of a uniform one.

    d: a - 1/3, or a + 2/3 for a < 1; power: 1 / a.
    """
    if not a > 0:
        return 0.0 if a == 0 else math.nan
    scale = (1 - uniform()) ** power if a < 1 else 1.0
    c = 1 / math.sqrt(9 * d)
    while True:
        x = normal()
        y = 1 + c * x
        while y <= 0:
            x = normal()
            y = 1 + c * x
        v, u, xx = y * y * y, 1 - uniform(), x * x
        if u < 1 - SQUEEZE * xx * xx or math.log(u) < 0.5 * xx + d * (1 - v + math.log(v)):
            return scale * d * v


def _gammas(a, generator):
    """Gamma numbers in float64; what follows from the shapes is rounded to their dtype."""
    flat = a.reshape(-1)
    with np.errstate(divide="ignore"):
        d, power = np.where(flat < 1, flat + 1, flat) - flat.dtype.type(THIRD), 1 / flat
    shapes = zip(flat.tolist(), d.tolist(), power.tolist(), strict=True)
    with _sources(generator) as (uniform, normal):
        made = [_gamma(*shape, uniform, normal) for shape in shapes]
    return np.array(made, np.float64).reshape(a.shape)


@op(
    lambda input: meta(input.shape, input.dtype), random=True, compute="storage", api="torch",
    gradient={"input": lambda g, input, out: g * _standard_gamma_grad(input, out)},
)
def _standard_gamma(input: Tensor, generator: Generator | None = None):
    """Gamma numbers with the shapes that `input` gives and rate 1; gradient: implicit."""
    return np.maximum(_gammas(input, generator), np.finfo(input.dtype).tiny).astype(input.dtype)


def _dirichlet_gradient(g, input, out):
    total = input.sum(-1, keepdim=True).expand_as(input)
    slope = _dirichlet_grad(out, input, total)
    return slope * (g - (out * g).sum(-1, keepdim=True))


@op(
    lambda input: meta(input.shape, input.dtype), random=True, compute="storage", api="torch",
    gradient={"input": _dirichlet_gradient},
)
def _sample_dirichlet(input: Tensor, generator: Generator | None = None):
    """Dirichlet vectors in the last dimension; gradient: implicit, of each marginal."""
    made = _gammas(input.astype(np.float64), generator)
    made = made / made.sum(axis=-1, keepdims=True)
    info, one = np.finfo(input.dtype), input.dtype.type(1)
    return np.clip(made, info.tiny, np.nextafter(one, one * 0)).astype(input.dtype)


_STIRLING = [  # of log k! - (its main terms), for k < 10
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.0207906721037650,
    0.0166446911898211, 0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
    0.0092554621827127, 0.0083305634333631,
]


def _tail(k: float) -> float:
    if k <= 9:
        return _STIRLING[int(k)]
    q = (k + 1) * (k + 1)
    return (1 / 12 - (1 / 360 - 1 / 1260 / q) / q) / (k + 1)


def _binomial(n: float, p: float, uniform) -> float:
    """Few successes: geometric gaps; many: transformed rejection (Hörmann, 1993)."""
    if math.isnan(n) or math.isnan(p):
        return math.nan
    if n <= 0 or p <= 0:
        return 0.0
    if p >= 1:
        return n
    if p > 0.5:
        return n - _binomial(n, 1 - p, uniform)
    if n * p < 10:
        rate, used, count = math.log1p(-p), 0.0, 0
        while True:
            used += math.ceil(math.log(uniform() or 1e-320) / rate)
            if used > n:
                return count
            count += 1
    spread = math.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    certain, r, mode = 0.92 - 4.2 / b, p / (1 - p), math.floor((n + 1) * p)
    alpha = (2.83 + 5.1 / b) * spread
    while True:
        u, v = uniform() - 0.5, uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + n * p + 0.5) if us else -1
        if us >= 0.07 and v <= certain:
            return k
        if k < 0 or k > n:
            continue
        bound = (
            (mode + 0.5) * math.log((mode + 1) / (r * (n - mode + 1)))
            + (n + 1) * math.log((n - mode + 1) / (n - k + 1))
            + (k + 0.5) * math.log(r * (n - k + 1) / (k + 1))
            + _tail(mode) + _tail(n - mode) - _tail(k) - _tail(n - k)
        )
        if not v or math.log(v * alpha / (a / (us * us) + b)) <= bound:
            return k


@op(rules.broadcast, random=True, compute="result", api="torch")
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None):
    """Numbers of successes in `count` trials of probability `prob`."""
    n, p = np.broadcast_arrays(count, prob)
    with generator.one_by_one() as uniform:
        made = [
            _binomial(a, b, uniform)
            for a, b in zip(n.reshape(-1).tolist(), p.reshape(-1).tolist(), strict=True)
        ]
    return np.array(made, p.dtype).reshape(p.shape)
