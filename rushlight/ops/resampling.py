"""Resizing pictures and signals: interpolate, and shuffling channels into pixels and back."""

from __future__ import annotations

import math

import numpy as np

from ..trace.dtypes import float64, type_name, uint8
from ..trace.operator import Tensor, function
from ..trace.tensor import wrap
from .view import permute

RANK = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}


def _positions(n, o, scale, align, half=True):
    """Where output samples lie in the input's coordinates."""
    at = np.arange(o, dtype=np.float64)
    if align:
        return at * ((n - 1) / (o - 1) if o > 1 else 0.0)
    ratio = 1.0 / scale if scale is not None else n / o
    return (at + 0.5) * ratio - 0.5 if half else at * ratio


def _linear(n, o, scale, align):
    at = np.maximum(_positions(n, o, scale, align), 0.0)
    low = np.minimum(at.astype(np.int64), n - 1)
    high = np.minimum(low + 1, n - 1)
    part = at - low
    m = np.zeros((n, o))
    np.add.at(m, (low, np.arange(o)), 1 - part)
    np.add.at(m, (high, np.arange(o)), part)
    return m


def _cubic(n, o, scale, align, a=-0.75):
    at = _positions(n, o, scale, align)
    base = np.floor(at).astype(np.int64)
    part = at - base
    m = np.zeros((n, o))
    for k in range(-1, 3):
        d = np.abs(part - k)
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        w = np.where(d <= 1, near, np.where(d < 2, far, 0.0))
        np.add.at(m, (np.clip(base + k, 0, n - 1), np.arange(o)), w)
    return m


def _smooth(n, o, scale, align, cubic):
    """Antialiased weights: the filter is stretched when shrinking (as PyTorch's and Pillow's)."""
    if align:
        ratio = (n - 1) / (o - 1) if o > 1 else 0.0
    else:
        ratio = 1.0 / scale if scale is not None else n / o
    stretch = max(ratio, 1.0)
    support = (2.0 if cubic else 1.0) * stretch
    centre = ratio * (np.arange(o) + 0.5)
    low = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    high = np.minimum((centre + support + 0.5).astype(np.int64), n)
    at = np.arange(n)[:, None]
    d = np.abs((at - centre + 0.5) / stretch)
    if cubic:
        a = -0.5
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = (((d - 5) * d + 8) * d - 4) * a
        w = np.where(d < 1, near, np.where(d < 2, far, 0.0))
    else:
        w = np.maximum(1 - d, 0.0)
    w = np.where((at >= low) & (at < high), w, 0.0)
    return w / w.sum(0)


def by_matrix(x, dim: int, m):
    """A dim of `x` multiplied by a matrix, an array of float64."""
    weights = wrap(m if x.dtype is float64 else m.astype(np.float32)).to(x.dtype)
    return (x.transpose(dim, -1) @ weights).transpose(dim, -1)


@function(api="nn.functional")
def interpolate(input: Tensor, size=None, scale_factor=None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False):
    """(N, C, *space) resized: "nearest", "nearest-exact", "linear", "bilinear", "bicubic",
    "trilinear" or "area". Linear modes are one matrix for each dimension.

    >>> x = torch.tensor([[[1.0, 4.0]]])
    >>> F.interpolate(x, scale_factor=2), F.interpolate(x, 4, mode="linear", align_corners=True)
    (tensor([[[1., 1., 4., 4.]]]), tensor([[[1., 2., 3., 4.]]]))
    """
    rank = input.ndim - 2
    space = tuple(input.shape[2:])
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined"
                         if size is not None else
                         "either size or scale_factor should be defined")
    if align_corners is not None and mode not in RANK:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor "
            "as input"
        )
    scales: list = [None] * rank
    if scale_factor is not None:
        factors = list(scale_factor) if isinstance(scale_factor, (tuple, list)) \
            else [scale_factor] * rank
        if len(factors) != rank:
            raise ValueError(
                f"scale_factor shape must match input shape. Input is {rank}D, scale_factor size is "
                f"{len(factors)}"
            )
        out = tuple(math.floor(n * f) for n, f in zip(space, factors, strict=True))
        if not recompute_scale_factor:
            scales = factors
    else:
        out = tuple(size) if isinstance(size, (tuple, list)) else (size,) * rank
        if len(out) != rank:
            raise ValueError(
                f"Input and output must have the same number of spatial dimensions, but got input "
                f"with spatial dimensions of {list(space)} and output size of {list(out)}."
            )
    if rank > 0 and mode != "area" and (0 in out or 0 in space):
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input {list(space)} and output "
            f"{list(out)}"
        )
    if mode in RANK and RANK[mode] != rank:
        raise NotImplementedError(
            f"Got {input.ndim}D input, but {mode} mode needs {RANK[mode] + 2}D input"
        )
    if mode == "area":
        from . import pooling

        pool = (pooling.adaptive_avg_pool1d, pooling.adaptive_avg_pool2d,
                pooling.adaptive_avg_pool3d)[rank - 1]
        return pool(input, out)
    x = input
    if mode in RANK and not (x.is_floating_point() or x.is_complex()):
        if x.dtype is not uint8:
            raise NotImplementedError(f'"upsample_{mode}" not implemented for \'{type_name(x.dtype)}\'')
        return interpolate(x.float(), size, scale_factor, mode, align_corners, recompute_scale_factor,
                           antialias).add(0.5).floor().clamp(0, 255).to(uint8)
    for i, (n, o, f) in enumerate(zip(space, out, scales, strict=True)):
        if mode in ("nearest", "nearest-exact"):
            at = _positions(n, o, f, False, half=False)
            if mode == "nearest-exact":
                at = (np.arange(o) + 0.5) * (1.0 / f if f is not None else n / o)
            index = np.minimum(np.floor(at + 1e-9).astype(np.int64), n - 1)
            x = x.index_select(2 + i, wrap(index))
        elif mode in RANK:
            if antialias:
                m = _smooth(n, o, f, bool(align_corners), mode == "bicubic")
            else:
                m = (_cubic if mode == "bicubic" else _linear)(n, o, f, bool(align_corners))
            x = by_matrix(x, 2 + i, m)
        else:
            raise NotImplementedError(
                f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for "
                f"the modes: nearest | linear | bilinear | bicubic | trilinear | area | "
                f"nearest-exact (got {mode})"
            )
    return x.contiguous()


@function(api="nn.functional")
def upsample(input: Tensor, size=None, scale_factor=None, mode: str = "nearest",
             align_corners: bool | None = None):
    """An older name of `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


@function(api="nn.functional")
def upsample_nearest(input: Tensor, size=None, scale_factor=None):
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


@function(api="nn.functional")
def upsample_bilinear(input: Tensor, size=None, scale_factor=None):
    """`interpolate` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


@function(api="nn.functional torch")
def pixel_shuffle(input: Tensor, upscale_factor: int):
    """(*, C r^2, H, W) to (*, C, H r, W r)."""
    r = upscale_factor
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    n = len(lead)
    x = input.reshape(*lead, c // (r * r), r, r, h, w)
    x = permute(x, *range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*lead, c // (r * r), h * r, w * r)


@function(api="nn.functional torch")
def pixel_unshuffle(input: Tensor, downscale_factor: int):
    """(*, C, H r, W r) to (*, C r^2, H, W)."""
    r = downscale_factor
    *lead, c, h, w = input.shape
    n = len(lead)
    x = input.reshape(*lead, c, h // r, r, w // r, r)
    x = permute(x, *range(n), n, n + 2, n + 4, n + 1, n + 3)
    return x.reshape(*lead, c * r * r, h // r, w // r)


@function(api="nn.functional torch")
def channel_shuffle(input: Tensor, groups: int):
    """(*, g k, H, W) with its channels interleaved: of each group the first, then the second ..."""
    if input.ndim < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input.shape)}"
        )
    c = input.shape[1]
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Got {groups}")
    if c % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups."
        )
    x = input.reshape(input.shape[0], groups, c // groups, *input.shape[2:])
    return x.transpose(1, 2).reshape(tuple(input.shape))
