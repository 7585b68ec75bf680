"""Bessel functions of the first and second kind, modified ones of the second kind, and Airy's.

PyTorch has no gradients of these, nor have we.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..trace import dtypes
from ..trace.operator import Tensor, op
from . import rules
from .bessel import _whole

EULER = 0.57721566490153286  # the Euler-Mascheroni constant
FAR = 25.0  # where the asymptotic series are precise to the last bits: their error is exp(-2 x)
ORDERS = 80  # J_80(25) is below 1e-33


def _function(f):
    """`@op` of a special function of one number, without a gradient."""
    rule = rules.only(rules.float_unary, f.__name__ + "_cpu", dtypes.BOOL, dtypes.FLOAT)
    return op(rule, compute="result", api="special")(f)


def _by_recurrence(x):
    """(J0, J1, Y0, Y1) for 0 < x <= FAR: Miller's recurrence, and Neumann's series for Y."""
    high, low = np.zeros_like(x), np.full_like(x, 1e-250)
    norm, even, odd = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for n in range(ORDERS, 0, -1):  # high, low: multiples of J_{n + 1}, J_n
        k = n // 2
        sign = -1.0 if k % 2 else 1.0
        if n % 2 == 0:
            norm, even = norm + 2 * low, even + sign * low / k
        elif k:
            odd = odd + sign * (2 * k + 1) / (k * (k + 1)) * low
        high, low = low, 2 * n / x * low - high
        size = np.where(np.abs(low) > 1e200, 1e-200, 1.0)
        high, low, norm, even, odd = (v * size for v in (high, low, norm, even, odd))
    norm = norm + low
    j0, j1 = low / norm, high / norm
    log = np.log(x / 2) + EULER
    y0 = 2 / math.pi * log * j0 - 4 / math.pi * even / norm
    y1 = -2 / (math.pi * x) * j0 + 2 / math.pi * (log - 1) * j1 - 2 / math.pi * odd / norm
    return j0, j1, y0, y1


def _asymptotic(order, x):
    """(J, Y) of order 0 or 1 for x >= FAR, by Hankel's expansions."""
    p = term = np.ones_like(x)
    q = np.zeros_like(x)
    for k in range(1, 26):
        term = term * (4 * order * order - (2 * k - 1) ** 2) / (8 * k * x)
        if k % 2:
            q = q + (term if k % 4 == 1 else -term)
        else:
            p = p + (term if k % 4 == 0 else -term)
    angle = x - (2 * order + 1) * math.pi / 4
    size = np.sqrt(2 / (math.pi * x))
    return (size * (p * np.cos(angle) - q * np.sin(angle)),
            size * (p * np.sin(angle) + q * np.cos(angle)))


def _bessel(kind, order, x):
    """kind 0: J, 1: Y. NaN at infinities, as in PyTorch; Y of negative numbers is NaN."""
    x = np.asarray(x, np.float64)
    size = np.abs(x)
    near = np.minimum(np.where(size == 0, 1.0, size), FAR)
    made = np.where(size <= FAR, _by_recurrence(near)[2 * kind + order],
                    _asymptotic(order, np.maximum(size, FAR))[kind])
    if kind:
        return np.where(x > 0, made, np.where(x == 0, -np.inf, np.nan))
    made = np.where(size == 0, 1.0 - order, made)
    return np.where(x < 0, -made, made) if order else made


@_function
def bessel_j0(input: Tensor):
    """The Bessel function of the first kind of order 0."""
    return _bessel(0, 0, input)


@_function
def bessel_j1(input: Tensor):
    """The Bessel function of the first kind of order 1."""
    return _bessel(0, 1, input)


@_function
def bessel_y0(input: Tensor):
    """The Bessel function of the second kind of order 0."""
    return _bessel(1, 0, input)


@_function
def bessel_y1(input: Tensor):
    """The Bessel function of the second kind of order 1."""
    return _bessel(1, 1, input)


@_function
def spherical_bessel_j0(input: Tensor):
    """`sin(input) / input`, 1 at 0."""
    x = np.asarray(input, np.float64)
    return np.where(np.isinf(x), 0.0, np.sinc(x / math.pi))


# ---------------------------------------------------------------- modified


def _scaled_second(order, x):
    """`exp(x) K_order(x)` for x >= 1: the integral of `exp(x - x cosh t) cosh(order t)`.

    The trapezoid rule converges exponentially; beyond the last node the integrand is below 1e-20.
    """
    step = 0.35 / np.sqrt(x)
    total = np.full_like(x, 0.5)
    for k in range(1, 33):
        total = total + np.exp(-2 * x * np.sinh(step * (k / 2)) ** 2) * np.cosh(order * k * step)
    return total * step


def _second_near(order, x):
    """K_0 or K_1 for 0 < x < 2, by their power series."""
    z = x * x / 4
    term, total = np.ones_like(x), np.zeros_like(x)
    harmonic = 0.0
    for k in range(20):
        digammas = harmonic - EULER + (harmonic + 1 / (k + 1) - EULER if order else 0)
        total = total + term * (digammas / (2 * (k + 1)) if order else digammas)
        harmonic += 1 / (k + 1)
        term = term * z / ((k + 1) * (k + 1))
    if order:
        return 1 / x + np.log(x / 2) * _whole(1, x) - x / 2 * total
    return total - np.log(x / 2) * _whole(0, x)


def _second(order, x, scaled):
    x = np.asarray(x, np.float64)
    near = np.where((x > 0) & (x < 2), x, 1.0)
    far = np.maximum(x, 2.0)
    low = _second_near(order, near) * (np.exp(near) if scaled else 1.0)
    high = _scaled_second(order, far)
    high = np.where(np.isinf(x), 0.0, high if scaled else high * np.exp(-far))
    return np.where(x > 0, np.where(x < 2, low, high), np.where(x == 0, np.inf, np.nan))


@_function
def modified_bessel_i0(input: Tensor):
    """The modified Bessel function of the first kind of order 0."""
    return _whole(0, input)


@_function
def modified_bessel_i1(input: Tensor):
    """The modified Bessel function of the first kind of order 1."""
    return _whole(1, input)


@_function
def modified_bessel_k0(input: Tensor):
    """The modified Bessel function of the second kind of order 0."""
    return _second(0, input, False)


@_function
def modified_bessel_k1(input: Tensor):
    """The modified Bessel function of the second kind of order 1."""
    return _second(1, input, False)


@_function
def scaled_modified_bessel_k0(input: Tensor):
    """`exp(input) modified_bessel_k0(input)`, which does not underflow."""
    return _second(0, input, True)


@_function
def scaled_modified_bessel_k1(input: Tensor):
    """`exp(input) modified_bessel_k1(input)`, which does not underflow."""
    return _second(1, input, True)


# ---------------------------------------------------------------- Airy


@functools.cache
def _airy_series() -> tuple[list[float], list[float]]:
    """Coefficients in x^3 of the two solutions of y'' = x y that start as 1 and as x."""
    f, g = [1.0], [1.0]
    for k in range(1, 60):
        f.append(f[-1] / ((3 * k - 1) * (3 * k)))
        g.append(g[-1] / ((3 * k) * (3 * k + 1)))
    return f, g


def _airy_waves(x):
    """Ai(-x) for x >= 7: the asymptotic series in 1 / zeta."""
    zeta = 2 / 3 * x * np.sqrt(x)
    term, sums = np.ones_like(x), [np.ones_like(x), np.zeros_like(x)]
    for k in range(1, 24):
        term = term * (6 * k - 5) * (6 * k - 3) * (6 * k - 1) / (216 * k * (2 * k - 1) * zeta)
        sums[k % 2] = sums[k % 2] + (-term if k // 2 % 2 else term)
    angle = zeta - math.pi / 4
    return (np.cos(angle) * sums[0] + np.sin(angle) * sums[1]) / np.sqrt(math.pi * np.sqrt(x))


@_function
def airy_ai(input: Tensor):
    """The Airy function Ai: the solution of `y'' = x y` that vanishes for large x."""
    x = np.asarray(input, np.float64)
    f, g = _airy_series()
    near = np.clip(x, -7.0, 2.0)
    cube = near**3
    start, slope = 0.35502805388781723926, 0.25881940379280679840
    series = start * np.polynomial.polynomial.polyval(cube, f) \
        - slope * near * np.polynomial.polynomial.polyval(cube, g)
    far = np.maximum(x, 2.0)
    zeta = 2 / 3 * far * np.sqrt(far)
    decaying = np.sqrt(far / 3) / math.pi * _scaled_second(1 / 3, zeta) * np.exp(-zeta)
    waves = _airy_waves(np.maximum(-x, 7.0))
    made = np.where(x > 2, decaying, np.where(x < -7, waves, series))
    return np.where(np.isinf(x), np.nan, made)
