"""Order statistics, counts in bins, covariances."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from ..trace.tensor import Tensor as TensorClass
from ..trace.tensor import array, wrap
from . import rules
from .matrices import named
from .reduction import _put_back, _same_reduced

# ---------------------------------------------------------------- medians and modes


def _pick_rule(name):
    check = _same_reduced(name)

    def rule(input: Meta, dim, keepdim, *_):
        out = check(input, dim, keepdim)
        return out, meta(out.shape, dtypes.int64)

    return rule


def _picked(a, index, dim, keepdim):
    """(the elements at `index` along `dim`, index); both have size 1 there."""
    values = np.take_along_axis(a, index, dim)
    return (values, index) if keepdim else (np.squeeze(values, dim), np.squeeze(index, dim))


def _middle(a, dim, skip_nan):
    """Where the lower median along `dim` is; the first NaN if there is one and it counts."""
    order = np.argsort(a, axis=dim, kind="stable")
    isnan = a != a
    n = np.count_nonzero(~isnan, axis=dim, keepdims=True)
    index = np.take_along_axis(order, np.maximum(n - 1, 0) // 2, axis=dim)
    if skip_nan:
        return index
    first = np.argmax(isnan, axis=dim, keepdims=True)
    return np.where(isnan.any(axis=dim, keepdims=True), first, index)


@op(
    _pick_rule("median"),
    gradient={"input": _put_back},
    api="", returns=("values", "indices"),
)
def _median_dim(input: Tensor, dim: int, keepdim: bool, skip_nan: bool):
    if input.ndim == 0:
        return input, np.zeros((), np.int64)
    return _picked(input, _middle(input, dim, skip_nan), dim, keepdim)


def _even_share(g, input, out):
    mask = (input == out) | (input.isnan() & out.isnan())
    return g * mask / mask.sum()


@op(
    lambda input, skip_nan: meta((), input.dtype),
    gradient={"input": _even_share},
    api="",
)
def _median(input: Tensor, skip_nan: bool):
    if not input.size:
        return np.asarray(math.nan).astype(input.dtype)
    flat = input.reshape(-1)
    return flat[_middle(flat, 0, skip_nan)[0]]


def _median_form(name, skip_nan):
    def median(input: Tensor, dim: int | None = None, keepdim: bool = False):
        if dim is None:
            return _median(input, skip_nan)
        return named(name, ("values", "indices"), _median_dim(input, dim, keepdim, skip_nan))

    median.__name__ = name
    median.__doc__ = "The lower median; with `dim`, (values, indices)."
    if skip_nan:
        median.__doc__ = "The lower median of what is not NaN; with `dim`, (values, indices)."
    return function(out=True)(median)


median, nanmedian = _median_form("median", False), _median_form("nanmedian", True)


@op(
    _pick_rule("mode"),
    gradient={"input": _put_back},
    api="", returns=("values", "indices"),
)
def _mode(input: Tensor, dim: int, keepdim: bool):
    if input.ndim == 0:
        return input, np.zeros((), np.int64)
    order = np.argsort(input, axis=dim, kind="stable")
    ordered = np.moveaxis(np.take_along_axis(input, order, dim), dim, -1)
    at = np.arange(ordered.shape[-1])
    new = np.ones(ordered.shape, bool)
    new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    length = at - np.maximum.accumulate(np.where(new, at, 0), -1)
    last = np.moveaxis(np.argmax(length, -1)[..., None], -1, dim)
    return _picked(input, np.take_along_axis(order, last, dim), dim, keepdim)


@function(out=True)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False):
    """(the most frequent elements along `dim`, where each is last); of several the smallest."""
    return _mode(input, dim, keepdim)


# ---------------------------------------------------------------- quantiles


def _check_quantile(name, input, q, interpolation):
    def fail(what):
        raise RuntimeError(f"{name}() {what}")

    if input.numel() == 0:
        fail(f"input tensor must be non-empty, but its shape is {list(input.shape)}")
    if input.dtype not in (dtypes.float32, dtypes.float64):
        fail(f"input tensor must be either float or double dtype, but got {input.dtype}")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        fail("interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
             f"{interpolation}")
    if isinstance(q, TensorClass):
        if q.ndim > 1:
            fail(f"q must be a scalar or 1D tensor, but its shape is {list(q.shape)}")
        if q.dtype is not input.dtype:
            fail(f"q tensor must be same dtype as the input tensor, {input.dtype}, not {q.dtype}")
        numbers = array(q.detach())
        if not ((numbers >= 0) & (numbers <= 1)).all():
            fail("q values must be in the range [0, 1]")
    elif not 0 <= q <= 1:
        fail(f"q must be in the range [0, 1] but got {q}")


def _quantile(name, input, q, dim, keepdim, interpolation, skip_nan):
    from .creation import tensor
    from .pointwise import lerp, where

    _check_quantile(name, input, q, interpolation)
    if not isinstance(q, TensorClass):
        q = tensor(float(q), dtype=input.dtype)
    rank = input.ndim
    dim = None if dim is None else rules.wrap_dim(dim, rank)
    flat = dim is None or rank == 0
    x = input.reshape(-1) if flat else input.movedim(dim, -1)
    ordered = x.sort(-1).values
    count = x.shape[-1]
    missing = x.isnan()
    ranks = q.reshape(-1)
    if skip_nan:  # NaN comes last in the order
        ranks = ranks * ((~missing).sum(-1, True) - 1).clamp(min=0)
    else:
        ranks = where(missing.any(-1, True), float(count - 1), ranks * (count - 1))
    if interpolation == "nearest":
        ranks = ranks.round()
    elif interpolation in ("lower", "higher"):
        ranks = ranks.floor() if interpolation == "lower" else ranks.ceil()
    low = ranks.floor()
    made = ordered.gather(-1, low.to(dtypes.int64))
    if interpolation in ("linear", "midpoint"):
        weight = ranks - low if interpolation == "linear" else (ranks > low) * 0.5
        above = ordered.gather(-1, ranks.ceil().to(dtypes.int64))
        made = lerp(made, above, weight.to(made.dtype))
    scalar = not q.ndim
    made = made.squeeze(-1) if scalar else made.movedim(-1, 0)
    if not keepdim:
        return made
    if flat:
        return made.reshape((*made.shape, *(1,) * rank))
    return made.unsqueeze(dim % rank + (0 if scalar else 1))


@function(out=True)
def quantile(input: Tensor, q, dim: int | None = None, keepdim: bool = False, *,
             interpolation: str = "linear"):
    """The q-th quantiles along `dim` (of all elements without); NaN where there is one.

    q: a number in [0, 1] or a vector of them, whose dimension then comes first. interpolation:
    "linear", "lower", "higher", "midpoint" or "nearest".
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@function(out=True)
def nanquantile(input: Tensor, q, dim: int | None = None, keepdim: bool = False, *,
                interpolation: str = "linear"):
    """`quantile` of the elements that are not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# ---------------------------------------------------------------- counts


@function()
def bincount(input: Tensor, weights=None, minlength: int = 0):
    """How often each non-negative integer occurs (or the sum of its weights)."""
    a = array(input)
    if a.ndim != 1 or (a.size and a.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    w = None if weights is None else array(weights)
    if w is not None and a.size and w.shape != a.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input, but their shapes are "
                           f"{list(w.shape)} and {list(a.shape)}")
    counts = np.bincount(a, w if a.size else None, minlength)
    if w is None or not a.size:  # (without elements, PyTorch does not look at the weights)
        return wrap(counts.astype(np.int64))
    return wrap(counts.astype(np.float32 if w.dtype == np.float32 else np.float64))


def _bounds(name, a, low, high, margin):
    """The range of bins: as given, or of the data where both are equal; never empty."""
    if low == high and a.size:
        low, high = a.min(), a.max()
    if not np.isfinite(low) or not np.isfinite(high):
        raise RuntimeError(f"{name}: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}: max must be larger than min, but got [{low:g}, {high:g}]")
    return (low - margin, high + margin) if low == high else (low, high)


def _histc_rule(input: Meta, bins, *_) -> Meta:
    if input.dtype.category != dtypes.FLOAT:
        shown = dtypes.type_name(input.dtype)
        rules.fail(NotImplementedError, f"\"histogram_cpu\" not implemented for '{shown}'")
    if bins <= 0:
        rules.fail(
            RuntimeError,
            f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0",
        )
    return meta((bins,), input.dtype)


@op(_histc_rule)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0):
    """How many elements are in each of `bins` equal parts of [min, max] (if 0, 0: the data's)."""
    low, high = _bounds("torch.histc", input, min, max, 1)
    a = input[(input >= low) & (input <= high)]
    at = ((a - low) / (high - low) * bins).astype(np.int64)
    return np.bincount(np.minimum(at, bins - 1), minlength=bins)


def _edges(name, a, bins, span, dimension):
    """The edges of bins along one column of data."""
    if isinstance(bins, TensorClass):
        edges = array(bins.detach())
        if edges.ndim != 1 or not edges.size:
            raise RuntimeError(
                f"{name}(): bins tensor should have one dimension and be non-empty, but got "
                f"{list(edges.shape)} for dimension {dimension}"
            )
        return edges
    if bins <= 0:
        raise RuntimeError(f"{name}(): bins must be > 0, but got {bins} for dimension {dimension}")
    low, high = _bounds(name, a, *span, 0.5) if a.size or span != (0, 0) else (0, 1)
    return wrap(np.linspace(low, high, bins + 1).astype(a.dtype)).numpy()


def _histogram(name, rows, bins, span, weight, density):
    """(hist, edges) of the rows (n, d) of an array."""
    d = rows.shape[1]
    span = [(0, 0)] * d if span is None else list(zip(span[::2], span[1::2], strict=True))
    edges = [_edges(name, rows[:, i], bins[i], span[i], i) for i in range(d)]
    for i, e in enumerate(edges):
        if len(e) < 2:
            raise RuntimeError(f"{name}(): bins must be > 0, but got 0 for dimension {i}")
    counts, _ = np.histogramdd(rows, edges, weights=weight)
    if density:
        counts = counts / counts.sum()
        for i, e in enumerate(edges):
            counts = counts / np.diff(e).reshape([-1 if j == i else 1 for j in range(d)])
    return wrap(counts.astype(rows.dtype)), [wrap(e.astype(rows.dtype)) for e in edges]


def _floating(name, input):
    if input.dtype.category != dtypes.FLOAT:
        shown = dtypes.type_name(input.dtype)
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{shown}'")
    return array(input.detach())


@function(out=True)
def histogram(input: Tensor, bins, *, range=None, weight: Tensor | None = None,
              density: bool = False):
    """(hist, bin_edges): counts, or sums of weights, of all elements between neighbouring edges.

    bins: a number of equal bins over `range` (by default the data's), or increasing edges.
    """
    rows = _floating("torch.histogram", input).reshape(-1, 1)
    weights = None if weight is None else array(weight.detach()).reshape(-1)
    hist, edges = _histogram("torch.histogram", rows, [bins], range, weights, density)
    return named("histogram", ("hist", "bin_edges"), (hist, edges[0]))


@function(api="torch")
def histogramdd(input: Tensor, bins, *, range=None, weight: Tensor | None = None,
                density: bool = False):
    """(hist, bin_edges): as `histogram` for points (..., d), with bins along each dimension."""
    a = _floating("torch.histogramdd", input)
    if a.ndim < 2:
        raise RuntimeError(
            f"torch.histogramdd: input tensor should have at least 2 dimensions, but got {a.ndim}"
        )
    d = a.shape[-1]
    bins = [bins] * d if isinstance(bins, int) else list(bins)
    if len(bins) != d:
        raise RuntimeError(
            f"torch.histogramdd: The size of bins must be equal to the innermost dimension of the "
            f"input: {len(bins)} and {d}"
        )
    weights = None if weight is None else array(weight.detach()).reshape(-1)
    hist, edges = _histogram("torch.histogramdd", a.reshape(-1, d), bins, range, weights, density)
    return named("histogramdd", ("hist", "bin_edges"), (hist, tuple(edges)))


# ---------------------------------------------------------------- covariances


def _observation_weights(name, w, n, integral):
    if w is None:
        return None
    if w.ndim > 1 or w.numel() != n:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input "
            f"and at most one dimension, but got {list(w.shape)} for {n} observations"
        )
    if integral != (w.dtype.category < dtypes.FLOAT):
        kind = "integral" if integral else "floating point"
        raise RuntimeError(f"cov(): expected {name} to have {kind} dtype but got {w.dtype}")
    if bool((w < 0).any()):
        raise RuntimeError(f"cov(): {name} cannot be negative")
    return w


@function()
def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None,
        aweights: Tensor | None = None):
    """The covariances of variables (rows) over observations (columns).

    fweights: how often each observation counts. aweights: how important each is.
    """
    if input.ndim > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    if input.dtype is dtypes.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if input.ndim < 2 else input
    n = x.shape[1]
    f = _observation_weights("fweights", fweights, n, True)
    a = _observation_weights("aweights", aweights, n, False)
    w = f if a is None else a if f is None else f * a
    total = n if w is None else w.sum()
    if w is None:
        x = x - x.sum(1, True) / total
        degrees = max(n - correction, 0)
        product = x @ x.t().conj()
        made = product / degrees if degrees else product / product.new_zeros(())
    else:
        x = x - (x * w).sum(1, True) / total
        degrees = total - correction * (1 if a is None else (w * a).sum() / total)
        made = x @ (x * w).t().conj() / degrees.clamp(min=0)
    return made.squeeze()


@function()
def corrcoef(input: Tensor):
    """The correlation coefficients of variables (rows) over observations (columns)."""
    c = cov(input)
    if c.ndim == 0:
        return c / c
    spread = c.diagonal()
    spread = (spread.real if c.is_complex() else spread).sqrt()
    made = c / spread.unsqueeze(-1) / spread
    if not made.is_complex():
        return made.clamp(-1, 1)
    from .complex_numbers import complex as join

    return join(made.real.clamp(-1, 1), made.imag.clamp(-1, 1))
