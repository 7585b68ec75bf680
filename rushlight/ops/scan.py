"""Cumulative operations along a dimension."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules
from .pointwise import log_sum_of_two, where
from .sorting import scatter_back
from .values import native


def _rule(input: Meta, dim, dtype=None) -> Meta:
    rules.wrap_dim(dim, input.ndim)
    if dtype is None:
        dtype = input.dtype if input.dtype.category >= dtypes.FLOAT else dtypes.int64
    return meta(input.shape, dtype)


def _along(f, a, dim, dtype=None):
    return f(a, axis=dim, dtype=dtype) if a.ndim else a.copy()


def _kind(a, dtype):
    if dtype is not None and not dtype.is_half:
        return dtype.np
    return np.int64 if a.dtype.kind in "biu" else None


@op(
    _rule,
    gradient={"input": lambda g, dim: g.flip(dim).cumsum(dim).flip(dim) if g.ndim else g},
    inplace=True,
)
def cumsum(input: Tensor, dim: int, *, dtype=None):
    """The running sum along `dim`.

    >>> torch.cumsum(torch.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    return _along(np.cumsum, input, dim, _kind(input, dtype))


def _cumprod_gradient(g, input, out, dim):
    if g.ndim == 0:
        return g

    def from_here(t):
        return t.flip(dim).cumsum(dim).flip(dim)

    # Through the first zero z, d out_j / d x_z is the product without it; further ones stay zero.
    if input.is_complex():
        input, out = input.conj(), out.conj()
    zero = input == 0
    first = zero & (zero.to(g.dtype).cumsum(dim) == 1)
    without = where(first, 1.0, input).cumprod(dim)
    return where(first, from_here(g * without), from_here(g * out) / where(zero, 1.0, input))


@op(_rule, gradient={"input": _cumprod_gradient}, inplace=True)
def cumprod(input: Tensor, dim: int, *, dtype=None):
    """The running product along `dim`."""
    return _along(np.cumprod, input, dim, _kind(input, dtype))


def _extreme_rule(input: Meta, dim):
    rules.wrap_dim(dim, input.ndim)
    return meta(input.shape, input.dtype), meta(input.shape, dtypes.int64)


def _running(a, dim, better):
    if a.ndim == 0:
        return a.copy(), np.zeros((), np.int64)
    return _extremes(a, better.__name__, dim)


@native("running")
def _extremes(a, how, dim):
    better = getattr(np, how)
    m = np.moveaxis(a, dim, 0)
    values, index = m.copy(), np.zeros(m.shape, np.int64)
    for i in range(1, len(m)):
        take = better(m[i], values[i - 1]) | (np.isnan(m[i]) if m.dtype.kind == "f" else False)
        values[i] = np.where(take, m[i], values[i - 1])
        index[i] = np.where(take, i, index[i - 1])
    return np.moveaxis(values, 0, dim), np.moveaxis(index, 0, dim)


@op(_extreme_rule, gradient={"input": scatter_back}, returns=("values", "indices"))
def cummax(input: Tensor, dim: int):
    """The running maximum along `dim`, and where it is (the last of equal ones)."""
    return _running(input, dim, np.greater_equal)


@op(_extreme_rule, gradient={"input": scatter_back}, returns=("values", "indices"))
def cummin(input: Tensor, dim: int):
    """The running minimum along `dim`, and where it is (the last of equal ones)."""
    return _running(input, dim, np.less_equal)


def _logcumsumexp_gradient(g, input, out, dim):
    """`sum over j >= k of g_j exp(x_k - out_j)`, in logarithms, apart for positive and negative g."""
    if g.is_complex():
        if not g.ndim or not g.numel():
            return g
        # differences of logarithms: exp(input) alone overflows
        largest = out.real.amax(dim, True)
        scaled = g * (largest - out).exp().conj()
        return scaled.flip(dim).cumsum(dim).flip(dim) * (input - largest).exp().conj()

    def part(g):
        some = (g > 0) & ~out.isneginf()
        size = where(some, where(some, g, 1.0).log() - where(some, out, 0.0), -math.inf)
        total = size.flip(dim).logcumsumexp(dim).flip(dim) + input
        return where(input.isneginf(), 0.0, total.exp())

    return part(g) - part(-g) if g.ndim else g


@op(lambda input, dim: _rule(input, dim), gradient={"input": _logcumsumexp_gradient})
def logcumsumexp(input: Tensor, dim: int):
    """`log(cumsum(exp(input)))` along `dim`."""
    if not input.ndim:
        return input
    if input.dtype.kind != "c":
        return np.logaddexp.accumulate(input, axis=dim)
    made = np.moveaxis(input.copy(), dim, 0)
    for i in range(1, len(made)):
        made[i] = log_sum_of_two(made[i - 1], made[i])
    return np.moveaxis(made, 0, dim)


@function(out=True)
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend=None, append=None):
    """The n-th difference of neighbours along `dim`."""
    from .shape import cat

    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional, got a 0-dim tensor")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    for name, x in (("prepend", prepend), ("append", append)):
        if x is not None and x.ndim != input.ndim:
            raise RuntimeError(f"diff expects prepend or append to be the same dimension as input, but {name} has {x.ndim} dims and the input {input.ndim}")
    if n == 0:
        return input.clone()
    parts = [p for p in (prepend, input, append) if p is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(n):
        size = max(x.shape[dim] - 1, 0)
        high, low = x.narrow(dim, min(1, x.shape[dim]), size), x.narrow(dim, 0, size)
        x = high ^ low if x.dtype is dtypes.bool_ else high - low
    return x
