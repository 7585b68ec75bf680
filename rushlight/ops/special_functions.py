"""Error and gamma functions."""

from __future__ import annotations

import functools
import math

import numpy as np

from ..trace.operator import Tensor
from .elementary import exp, float_unary
from .values import native


def _by_parts(f, x):
    """`f` on pieces of an array that stay in the cache: for functions of many steps."""
    out = np.empty(x.shape, x.dtype)
    flat, made = np.ascontiguousarray(x).reshape(-1), out.reshape(-1)
    for i in range(0, flat.size, 8192):
        made[i : i + 8192] = f(flat[i : i + 8192].astype(np.float64))
    return out


@native("erf")
def _erf(x):
    x = np.asarray(x)
    return _by_parts(_erf_single if x.dtype == np.float32 else _erf_double, x)


def _erf_single(x):
    """erf to the precision of float32: x times a polynomial in x^2 / 8 - 1, for |x| < 4."""
    x = np.clip(x, -4.0, 4.0)
    t = x * x / 8 - 1
    *rest, last = _erf_coefficients()
    total = np.full(x.shape, last)
    for c in reversed(rest):
        total *= t
        total += c
    return total * x


@functools.cache
def _erf_coefficients() -> list[float]:
    """Of the interpolation of erf(x) / x at Chebyshev nodes; its relative error is below 4e-10."""
    def f(t):
        x = [math.sqrt(8 * (v + 1)) for v in t]
        return np.array([math.erf(v) / v for v in x])

    chebyshev = np.polynomial.chebyshev
    return chebyshev.cheb2poly(chebyshev.chebinterpolate(f, 18)).tolist()


def _erf_double(x):
    near = np.abs(x) < 0.7
    series, power = np.zeros(x.shape), np.where(near, x, 0.0) * (2 / math.sqrt(math.pi))
    for n in range(14):  # x - x^3 / 3 + x^5 / 10 - ...
        series += power / (2 * n + 1)
        power *= np.where(near, -x * x, 0.0) / (n + 1)
    return np.where(near, series, np.copysign(1 - _erfc_positive(np.abs(x)), x))


@native("erfc")
def _erfc(x):
    return _by_parts(_erfc_double, np.asarray(x))


def _erfc_double(x):
    tail = _erfc_positive(np.abs(x))
    return np.where(np.abs(x) < 0.7, 1 - _erf_double(x), np.where(x < 0, 2 - tail, tail))


@functools.cache
def _erfc_series():
    """Chebyshev coefficients of `(1 + 2x) exp(x^2) erfc(x)` in t = (x - 3.75) / (x + 3.75).

    The form is that of Shepherd and Laframboise (Math. Comp. 36, 1981); they are computed here, from
    math.erfc and, where that underflows, the asymptotic series.
    """
    def scaled(x):
        if x < 25:
            return (1 + 2 * x) * math.exp(x * x) * math.erfc(x)
        y = 1 / (2 * x * x)
        return (1 + 2 * x) / (x * math.sqrt(math.pi)) * (1 - y + 3 * y * y - 15 * y**3 + 105 * y**4)

    def f(t):
        return np.array([scaled(3.75 * (1 + v) / (1 - v)) for v in t])

    return np.polynomial.chebyshev.chebinterpolate(f, 40)


def _erfcx_positive(x):
    """exp(x^2) erfc(x) for x >= 0."""
    t = (x - 3.75) / (x + 3.75)
    scaled = np.polynomial.chebyshev.chebval(np.where(np.isfinite(t), t, 1.0), _erfc_series())
    return np.where(np.isnan(x), x, scaled / (1 + 2 * x))


def _erfc_positive(x):
    """erfc for x >= 0."""
    return np.exp(-x * x) * _erfcx_positive(x)


@float_unary(
    lambda g, input: g * (2 / math.sqrt(math.pi)) * exp(-(input * input)),
    real="erf", api="torch Tensor special",
)
def erf(input: Tensor):
    """The error function."""
    return _erf(input)


@float_unary(
    lambda g, input: g * (-2 / math.sqrt(math.pi)) * exp(-(input * input)),
    real="erfc", api="torch Tensor special",
)
def erfc(input: Tensor):
    """`1 - erf(input)`."""
    return _erfc(input)


@float_unary(
    lambda g, input: g * digamma(input), real="lgamma", api="torch Tensor special",
    aliases=("gammaln",), lower="lgamma",
)
def lgamma(input: Tensor):
    """The logarithm of the absolute value of the gamma function."""

    def one(x):
        if math.isnan(x):
            return math.nan
        if math.isinf(x) or (x <= 0 and x == math.floor(x)):
            return math.inf
        try:
            return math.lgamma(x)
        except OverflowError:
            return math.inf

    return np.vectorize(one, otypes=[np.float64])(input) if input.size else input.copy()


def _digamma_gradient(g, input):
    from .gamma_functions import _polygamma

    return g * _polygamma(input, 1)


@float_unary(_digamma_gradient, real="digamma", lower="digamma", api="torch Tensor special", aliases=("psi",))
def digamma(input: Tensor):
    """The derivative of lgamma: recurrence to x >= 10, then the asymptotic series."""
    x = np.asarray(input, np.float64)
    reflected = x < 0
    y = np.where(reflected, 1 - x, x)
    total = np.zeros_like(y)
    for _ in range(10):
        small = y < 10
        total = total - np.where(small, 1 / np.where(y == 0, 1, y), 0)
        y = np.where(small, y + 1, y)
    inv = 1 / (y * y)
    series = inv * (1 / 12 - inv * (1 / 120 - inv * (1 / 252 - inv * (1 / 240 - inv / 132))))
    value = total + np.log(y) - 0.5 / y - series
    value = np.where(reflected, value - math.pi / np.tan(math.pi * x), value)
    value = np.where(x == 0, np.copysign(np.inf, -x), value)
    return np.where((x < 0) & (x == np.floor(x)), np.nan, value)
