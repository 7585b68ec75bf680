"""Modified Bessel functions, and the inverse of the error function."""

from __future__ import annotations

import math

import numpy as np

from .elementary import exp, float_unary
from .pointwise import where
from .special_functions import Tensor, _erf_double, _erfc


def _scaled(order: int, x):
    """`exp(-|x|) I_order(x)`: the integral of `exp(x cos t) cos(order t)` over a circle.

    The trapezoid rule converges exponentially for periodic functions: 64 nodes are exact to the last
    bits for |x| <= 50. Beyond, the asymptotic series.
    """
    x = np.asarray(x, np.float64)
    y = np.abs(x)
    near = np.minimum(y, 50.0)
    total = np.zeros(x.shape)
    for k in range(65):
        t = math.pi * k / 64
        weight = math.cos(order * t) * (0.5 if k in (0, 64) else 1.0) / 64
        total += weight * np.exp(near * (math.cos(t) - 1))
    far = np.maximum(y, 50.0)
    term = series = np.ones(x.shape)
    for k in range(1, 16):
        term = term * -(4 * order * order - (2 * k - 1) ** 2) / (8 * k * far)
        series = series + term
    total = np.where(y > 50, series / np.sqrt(2 * math.pi * far), total)
    if order:  # near 0, the sum above is small terms' difference
        q, small = np.minimum(y, 1.0) ** 2 / 4, np.zeros(x.shape)
        for k in range(10, 0, -1):
            small = (small + 1) * q / (k * (k + 1))
        total = np.where(y < 1, y / 2 * (small + 1) * np.exp(-y), total)
    total = np.where(np.isnan(x), x, total)
    return total * np.sign(x) if order else total


def _whole(order: int, x):
    x = np.asarray(x, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # NaN at infinity, as PyTorch
        large = np.exp(np.abs(x))
        made = _scaled(order, x) * large
    return np.where(np.isfinite(x) & np.isinf(large), np.inf * (np.sign(x) if order else 1.0), made)


@float_unary(lambda g, input: g * i1(input), real="i0", api="torch Tensor special")
def i0(input: Tensor):
    """The modified Bessel function of the first kind of order 0."""
    return _whole(0, input)


@float_unary(lambda g, input, out: g * (i1e(input) - input.sgn() * out), real="i0e", api="special")
def i0e(input: Tensor):
    """`exp(-|input|) i0(input)`, which does not overflow."""
    return _scaled(0, input)


def _over(value, input):
    """`value / input`, and its limit 1/2 at 0."""
    return where(input == 0, 0.5, value / where(input == 0, 1.0, input))


@float_unary(lambda g, input, out: g * (i0(input) - _over(out, input)), real="i1", api="special")
def i1(input: Tensor):
    """The modified Bessel function of the first kind of order 1."""
    return _whole(1, input)


@float_unary(
    lambda g, input, out: g * (i0e(input) - input.sgn() * out - _over(out, input)),
    real="i1e", api="special",
)
def i1e(input: Tensor):
    """`exp(-|input|) i1(input)`, which does not overflow."""
    return _scaled(1, input)


@float_unary(
    lambda g, out: g * (math.sqrt(math.pi) / 2) * exp(out * out),
    real="erfinv", api="torch Tensor special", lower="erfinv",
)
def erfinv(input: Tensor):
    """The inverse of the error function on (-1, 1): Halley's method from Winitzki's formula."""
    y = np.asarray(input, np.float64)
    size = np.abs(y)
    inner = np.where(size < 1, size, 0.0)
    left = np.log1p(-inner * inner)
    half = 2 / (math.pi * 0.147) + left / 2
    x = np.sqrt(np.sqrt(half * half - left / 0.147) - half)
    for _ in range(3):
        miss = np.where(inner < 0.5, _erf_double(x) - inner, (1 - inner) - _erfc(x))
        u = miss * (math.sqrt(math.pi) / 2) * np.exp(x * x)
        x = x - u / (1 + x * u)
    x = np.where(size == 1, np.inf, np.where(size < 1, x, np.nan))
    return np.copysign(x, y)
