"""The normal distribution's functions, entropies and the zeta function."""

from __future__ import annotations

import math

import numpy as np

from ..trace.operator import Tensor, function, op
from . import rules
from .elementary import exp, float_unary, log, log1p
from .gamma_functions import _zeta
from .pointwise import ARITHMETIC, where
from .special_functions import _by_parts, _erfc, _erfc_positive, _erfcx_positive, erf

ROOT2 = math.sqrt(2.0)


def _erfcx(x):
    size = np.abs(x)
    tail = _erfcx_positive(size)
    with np.errstate(over="ignore"):
        return np.where(x < 0, 2 * np.exp(np.where(x < 0, x, 0.0) ** 2) - tail, tail)


@float_unary(
    lambda g, input, out: g * (2 * input * out - 2 / math.sqrt(math.pi)),
    real="erfcx", api="special",
)
def erfcx(input: Tensor):
    """`exp(input^2) erfc(input)`, which does not underflow for large inputs."""
    return _by_parts(_erfcx, np.asarray(input))


@function(api="special", out=True)
def ndtr(input: Tensor):
    """The standard normal distribution's cumulative probability."""
    return (1 + erf(input * (1 / ROOT2))) * 0.5


@float_unary(
    lambda g, input: g * math.sqrt(2 / math.pi) / erfcx(input * (-1 / ROOT2)),
    real="log_ndtr", api="special",
)
def log_ndtr(input: Tensor):
    """The logarithm of `ndtr`, precise far below 0."""
    x = np.asarray(input, np.float64)
    low = np.minimum(x, -1.0) / ROOT2
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.log(_erfcx_positive(-low) / 2) - low * low
    made = np.where(x < -1, below, np.log1p(-_erfc(np.maximum(x, -1.0) / ROOT2) / 2))
    return np.where(np.isneginf(x), -np.inf, made)


@float_unary(
    lambda g, out: g * math.sqrt(2 * math.pi) * exp(out * out * 0.5), real="ndtri", api="special"
)
def ndtri(input: Tensor):
    """The inverse of `ndtr` on (0, 1): Halley's method from Winitzki's formula for erf."""
    p = np.asarray(input, np.float64)
    inside = (p > 0) & (p < 1)
    q = np.where(inside, np.minimum(p, 1 - p), 0.5)  # (the lower half: the upper is its mirror)
    left = np.log(4 * q * (1 - q))
    half = 2 / (math.pi * 0.147) + left / 2
    x = -ROOT2 * np.sqrt(np.sqrt(half * half - left / 0.147) - half)
    for _ in range(4):
        miss = (0.5 * _erfc_positive(-x / ROOT2) - q) / (
            np.exp(-x * x / 2) / math.sqrt(2 * math.pi))
        x = x - miss / (1 + x * miss / 2)
    x = np.where(p > 0.5, -x, x)
    ends = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, np.nan))
    return np.where(inside, x, ends)


@float_unary(lambda g, input: g * (-1 - log(input)), real="entr", api="special")
def entr(input: Tensor):
    """`-input log(input)`: 0 at 0, minus infinity for negative numbers."""
    product = -input * np.log(input)
    return np.where(input == 0, 0, np.where(input < 0, -np.inf, product))


@op(
    rules.broadcast_float,
    gradient={
        "input": lambda g, input, other: g * where(
            (input == 0) & (other <= -1), 0.0, log1p(other)),
        "other": lambda g, input, other: g * input / (other + 1),
    },
    api="special",
    **ARITHMETIC,
    numbers="any",
)
def xlog1py(input: Tensor, other: Tensor):
    """`input log(1 + other)`, 0 where input is 0 and other is not NaN."""
    product = input * np.log1p(other)
    return np.where(np.equal(input, 0) & ~np.isnan(other), 0, product)


@op(
    rules.broadcast_float,
    gradient={"other": lambda g, input, other: g * -input * zeta(input + 1.0, other)},
    compute="result", api="special",
    numbers="any",
)
def zeta(input: Tensor, other: Tensor):
    """The Hurwitz zeta function: the sum of `(other + k)^-input` over k = 0, 1, ..."""
    s, q = np.broadcast_arrays(np.asarray(input, np.float64), np.asarray(other, np.float64))
    pole = (q <= 0) & (q == np.floor(q))
    undefined = (s < 1) | (q < 0) & (s != np.floor(s)) & ~pole
    known = undefined | pole | (s == 1)
    made = _zeta(np.where(known, 2.0, s), np.where(known, 1.0, q))
    made = np.where(pole, np.inf, np.where(undefined | np.isinf(q), np.nan, made))
    return np.where(s == 1, np.inf, np.where(s < 1, np.nan, made))
