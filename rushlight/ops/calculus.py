"""Integrals by the trapezoid rule, and derivatives by differences, of samples."""

from __future__ import annotations

from ..trace import dtypes
from ..trace.operator import Tensor, function
from ..trace.tensor import Tensor as TensorClass
from . import rules
from .shape import cat

# ---------------------------------------------------------------- integrals


def _sides(y, dim):
    """All samples but the last, and all but the first."""
    n = y.shape[dim]
    return y.narrow(dim, 0, n - 1), y.narrow(dim, 1, n - 1)


def _distances(x, y, dim):
    """The distances of the sample points `x`, shaped to go with `y`."""
    if not x.ndim:
        return x.new_zeros(0)  # (one point has no distances)
    if x.shape[dim if x.ndim > 1 else 0] != y.shape[dim]:
        raise RuntimeError(
            f"trapezoid: There must be one `x` value for each sample point: {list(x.shape)} along "
            f"dimension {dim} of {list(y.shape)}"
        )
    if x.ndim == 1:
        return (x[1:] - x[:-1]).reshape((-1, *(1,) * (y.ndim - 1 - dim)))
    low, high = _sides(x, dim - y.ndim)
    return high - low


def _areas(name, y, x, dx, dim):
    """The area between each two neighbours along `dim`."""
    if y.dtype is dtypes.bool_ or isinstance(x, TensorClass) and x.dtype is dtypes.bool_:
        raise RuntimeError(f"{name}: bool is not supported for `y` and `x`")
    if isinstance(dx, (bool, complex)):
        raise RuntimeError(f"{name}: Currently, we only support dx as a real number.")
    if not y.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = rules.wrap_dim(dim, y.ndim)
    if not y.shape[dim]:
        return (y * 1.0).narrow(dim, 0, 0)
    low, high = _sides(y, dim)
    width = (1 if dx is None else dx) if x is None else _distances(x, y, dim)
    return (low + high) * width / 2


@function(api="torch")
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx=None, dim: int = -1):
    """The integral along `dim` of samples at distance dx (1), or at the points x, by trapezoids."""
    if y.ndim and not y.shape[rules.wrap_dim(dim, y.ndim)]:
        return y.sum(dim, dtype=y.dtype)
    return _areas("trapezoid", y, x, dx, dim).sum(dim)


@function(api="torch")
def trapz(y: Tensor, x: Tensor | None = None, *, dx=None, dim: int = -1):
    """`trapezoid`."""
    return trapezoid(y, x, dx=None if dx is None else float(dx), dim=dim)


@function(api="torch")
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx=None, dim: int = -1):
    """The integrals from the first sample to each following one: see `trapezoid`."""
    return _areas("cumulative_trapezoid", y, x, dx, dim).cumsum(dim)


# ---------------------------------------------------------------- derivatives


def _part(f, dim, start, stop):
    """`f[start:stop]` along `dim`; stop counts from the end if it is not positive."""
    n = f.shape[dim]
    stop = stop + n if stop <= 0 else stop
    return f.narrow(dim, start, stop - start)


def _inner(f, h, dim):
    """The derivative by the neighbours on both sides; h: the distance, or the distances."""
    before, here, after = _part(f, dim, 0, -2), _part(f, dim, 1, -1), _part(f, dim, 2, 0)
    if not isinstance(h, TensorClass):
        return (after - before) / (2 * h)
    a, b = _part(h, dim, 0, -1), _part(h, dim, 1, 0)
    return before * (-b / (a * (a + b))) + here * ((b - a) / (a * b)) + after * (a / (b * (a + b)))


def _end(f, h, dim, order, last):
    """The derivative at an end, from the order + 1 samples there."""
    def sample(k):
        return f.narrow(dim, f.shape[dim] - 1 - k if last else k, 1)

    def distance(k):
        if not isinstance(h, TensorClass):
            return h
        return h.narrow(dim, h.shape[dim] - 1 - k if last else k, 1)

    a = distance(0)
    if order == 1:
        made = (sample(1) - sample(0)) / a
    else:
        b = distance(1)
        made = sample(0) * (-(2 * a + b) / (a * (a + b))) + sample(1) * ((a + b) / (a * b)) \
            - sample(2) * (a / (b * (a + b)))
    return -made if last else made


def _spacings(spacing, dims):
    """For each dim the distance of its samples (a number) or their coordinates (a vector)."""
    if not isinstance(spacing, (tuple, list)):
        return [1 if spacing is None else spacing] * len(dims)
    if len(spacing) != len(dims):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar or a list of length "
            f"{len(dims)}, one for each dimension, but got a list of length {len(spacing)}"
        )
    return list(spacing)


@function(api="torch")
def gradient(input: Tensor, *, spacing=None, dim=None, edge_order: int = 1):
    """The partial derivatives along dims of samples of a function: a tuple.

    spacing: a distance, or for each dim a distance or a vector of coordinates. edge_order: 1 or 2,
    the order of precision at the ends; inside it is 2.
    """
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    dims = list(rules.wrap_dims(dim, input.ndim))
    for x in spacing if isinstance(spacing, (list, tuple)) else ():
        if isinstance(x, TensorClass) and x.device != input.device:
            raise RuntimeError(
                "torch.gradient expected each tensor to be on the same device, but got devices "
                f"{input.device} and {x.device}!"
            )
    f = input if input.dtype.category >= dtypes.FLOAT else input.to(dtypes.get_default_dtype())
    made = []
    for d, h in zip(dims, _spacings(spacing, dims), strict=True):
        n = f.shape[d]
        if n < edge_order + 1:
            raise RuntimeError(
                f"torch.gradient expected each dimension size to be at least edge_order+1, but "
                f"dimension {d} of {list(f.shape)} is too small for edge_order={edge_order}"
            )
        if isinstance(h, TensorClass):
            h = (h[1:] - h[:-1]).reshape((-1, *(1,) * (f.ndim - 1 - d)))
            h = h.expand([n - 1 if i == d else 1 for i in range(f.ndim)])
        ends = [_end(f, h, d, edge_order, last) for last in (False, True)]
        made.append(cat([ends[0], _inner(f, h, d), ends[1]], d) if n > 2 else cat(ends, d))
    return tuple(made)
