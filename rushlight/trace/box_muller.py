"""Normal numbers from uniform ones (Box and Muller, 1958), rounded as PyTorch rounds them.

PyTorch's float32 numbers come from vectorised polynomials: Cephes' logf and sincosf (Moshier), each
multiplication and addition that a compiler fuses rounded once. The same steps are taken here, so
that the numbers are the same bits. A fused step is exact in float64, then rounded.
"""

from __future__ import annotations

import math

import numpy as np

_F = np.float32
_BLOCKS = 1024  # of 16 numbers: intermediate arrays stay in the cache

_LOG = [_F(c) for c in (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)]
_LOG2_HIGH, _LOG2_LOW = _F(0.693359375), _F(-2.12194440e-4)
_SIN = [_F(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)]
_COS = [_F(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)]
_QUARTER_PI = [_F(c) for c in (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)]


def _fused(a, b, c):
    """`a * b + c` of float32 values, rounded once."""
    wide = np.multiply(a, b, dtype=np.float64)
    wide += c
    return wide.astype(_F)


def _polynomial(x, coefficients):
    y = coefficients[0]
    for c in coefficients[1:]:
        y = _fused(y, x, c)
    return y


def _log(x):
    """The logarithm of numbers in (0, 1]."""
    m, e = np.frexp(x)
    small = m < _F(math.sqrt(0.5))
    m = np.where(small, (m - _F(1)) + m, m - _F(1))
    e = e.astype(_F) - small
    z = m * m
    y = _polynomial(m, _LOG) * m
    y = _fused(y, z, e * _LOG2_LOW)
    y = _fused(z, _F(-0.5), y)
    return _fused(e, _LOG2_HIGH, m + y)


def _sincos(x):
    """(sin x, cos x) for x in [0, 2 pi]."""
    octant = (x * _F(4 / math.pi)).astype(np.int32)
    octant = (octant + 1) & ~1
    y = octant.astype(_F)
    for part in _QUARTER_PI:
        x = _fused(y, part, x)
    z = x * x
    cos = _polynomial(z, _COS) * z
    cos = _fused(cos, z, z * _F(-0.5)) + _F(1)
    sin = _fused(_polynomial(z, _SIN) * z, x, x)
    straight = (octant & 2) == 0
    one, other = np.where(straight, sin, cos), np.where(straight, cos, sin)
    np.negative(one, out=one, where=(octant & 4) != 0)
    np.negative(other, out=other, where=(~(octant - 2) & 4) != 0)
    return one, other


def libm(f, x: np.ndarray) -> np.ndarray:
    """`f`, a function of the math module, of each element: the C library's last bit, not NumPy's."""
    try:
        return np.fromiter(map(f, x.reshape(-1).tolist()), np.float64, x.size).reshape(x.shape)
    except (OverflowError, ValueError):
        return getattr(np, f.__name__)(x)


def box_muller(u: np.ndarray) -> np.ndarray:
    """Normal numbers from uniform ones in [0, 1), in blocks of 16: the radius from the first eight."""
    blocks = u.reshape(-1, 16)
    made = np.empty_like(blocks)
    if u.dtype == np.float64:
        radius = np.sqrt(-2.0 * libm(math.log, 1.0 - blocks[:, :8]))
        angle = 2.0 * math.pi * blocks[:, 8:]
        np.multiply(radius, libm(math.cos, angle), out=made[:, :8])
        np.multiply(radius, libm(math.sin, angle), out=made[:, 8:])
        return made.reshape(-1)
    for at in range(0, len(blocks), _BLOCKS):
        part = blocks[at : at + _BLOCKS]
        radius = np.sqrt(_F(-2) * _log(_F(1) - part[:, :8]))
        sin, cos = _sincos(_F(2 * math.pi) * part[:, 8:])
        np.multiply(radius, cos, out=made[at : at + _BLOCKS, :8])
        np.multiply(radius, sin, out=made[at : at + _BLOCKS, 8:])
    return made.reshape(-1)
