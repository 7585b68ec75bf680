"""Orthogonal polynomials by their three-term recurrences. PyTorch has no gradients of these."""

from __future__ import annotations

import numpy as np

from ..trace.operator import Tensor, op
from . import rules


def _at_degree(x, n, first, following):
    """The polynomial of degree n (elementwise): p_0 = 1, p_1 = first, p_{k+1} = following(k, p_k,
    p_{k-1}); of negative degree, and of one that no integer can hold, 0.
    """
    n = np.asarray(n, np.float64)
    n = np.trunc(np.where(np.abs(n) < 2.0**63, n, -1.0))
    x, n = np.broadcast_arrays(np.asarray(x, np.float64), n)
    before, here = np.ones(x.shape), first(x)
    made = np.where(n == 0, 1.0, np.where(n == 1, here, 0.0))
    for k in range(1, int(n.max(initial=0))):
        before, here = here, following(k, x, here, before)
        made = np.where(n == k + 1, here, made)
    return np.where(np.isnan(x) & (n > 0), np.nan, made)


def _chebyshev(x, n, first):
    return _at_degree(x, n, first, lambda k, x, p, q: 2 * x * p - q)


def _polynomial(f):
    return op(rules.broadcast_float, compute="result", api="special", numbers="any")(f)


def _first(kind):
    """The polynomial of degree 1 of the four kinds of Chebyshev polynomials."""
    return {"t": lambda x: x, "u": lambda x: 2 * x, "v": lambda x: 2 * x - 1,
            "w": lambda x: 2 * x + 1}[kind]


@_polynomial
def chebyshev_polynomial_t(x: Tensor, n: Tensor):
    """The Chebyshev polynomial of the first kind: `cos(n acos(x))`."""
    return _chebyshev(x, n, _first("t"))


@_polynomial
def chebyshev_polynomial_u(x: Tensor, n: Tensor):
    """The Chebyshev polynomial of the second kind: `sin((n + 1) t) / sin(t)`, t = acos(x)."""
    return _chebyshev(x, n, _first("u"))


@_polynomial
def chebyshev_polynomial_v(x: Tensor, n: Tensor):
    """The Chebyshev polynomial of the third kind: `cos((n + 1/2) t) / cos(t / 2)`, t = acos(x)."""
    return _chebyshev(x, n, _first("v"))


@_polynomial
def chebyshev_polynomial_w(x: Tensor, n: Tensor):
    """The Chebyshev polynomial of the fourth kind: `sin((n + 1/2) t) / sin(t / 2)`, t = acos(x)."""
    return _chebyshev(x, n, _first("w"))


@_polynomial
def shifted_chebyshev_polynomial_t(x: Tensor, n: Tensor):
    """`chebyshev_polynomial_t(2 x - 1, n)`."""
    return _chebyshev(2 * np.asarray(x, np.float64) - 1, n, _first("t"))


@_polynomial
def shifted_chebyshev_polynomial_u(x: Tensor, n: Tensor):
    """`chebyshev_polynomial_u(2 x - 1, n)`."""
    return _chebyshev(2 * np.asarray(x, np.float64) - 1, n, _first("u"))


@_polynomial
def shifted_chebyshev_polynomial_v(x: Tensor, n: Tensor):
    """`chebyshev_polynomial_v(2 x - 1, n)`."""
    return _chebyshev(2 * np.asarray(x, np.float64) - 1, n, _first("v"))


@_polynomial
def shifted_chebyshev_polynomial_w(x: Tensor, n: Tensor):
    """`chebyshev_polynomial_w(2 x - 1, n)`."""
    return _chebyshev(2 * np.asarray(x, np.float64) - 1, n, _first("w"))


@_polynomial
def hermite_polynomial_h(x: Tensor, n: Tensor):
    """The physicists' Hermite polynomial, orthogonal with weight `exp(-x^2)`."""
    return _at_degree(x, n, _first("u"), lambda k, x, p, q: 2 * x * p - 2 * k * q)


@_polynomial
def hermite_polynomial_he(x: Tensor, n: Tensor):
    """The probabilists' Hermite polynomial, orthogonal with weight `exp(-x^2 / 2)`."""
    return _at_degree(x, n, _first("t"), lambda k, x, p, q: x * p - k * q)


@_polynomial
def laguerre_polynomial_l(x: Tensor, n: Tensor):
    """The Laguerre polynomial, orthogonal on x > 0 with weight `exp(-x)`."""
    return _at_degree(x, n, lambda x: 1 - x,
                      lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1))


@_polynomial
def legendre_polynomial_p(x: Tensor, n: Tensor):
    """The Legendre polynomial, orthogonal on [-1, 1] with weight 1."""
    return _at_degree(x, n, _first("t"),
                      lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1))
