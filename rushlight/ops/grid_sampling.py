"""Reading pictures at arbitrary places: affine_grid and grid_sample (spatial transformers)."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np

from ..trace import dtypes
from ..trace.operator import Tensor, function
from ..trace.tensor import wrap
from .pointwise import where

NN = "nn.functional"


def _corners(align_corners, name):
    if align_corners is None:
        warnings.warn(
            f"Default {name} and affine_grid behavior is align_corners=False. Specify "
            "align_corners=True if the corners' centres are to be aligned.",
            stacklevel=4,
        )
        return False
    return align_corners


@function(api=NN)
def affine_grid(theta: Tensor, size, align_corners: bool | None = None):
    """The places (N, *space, rank) in [-1, 1] that an affine map (N, rank, rank + 1) reads.

    size: (N, C, H, W) or (N, C, D, H, W) of the picture to be made by `grid_sample`.
    """
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    size = tuple(int(n) for n in size)
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}"
        )
    if theta.ndim != 3 or tuple(theta.shape[1:]) != (rank, rank + 1):
        raise ValueError(
            f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size "
            f"{size}. Got {tuple(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    if tuple(theta.shape)[0] != size[0]:
        raise RuntimeError(
            f"Expected a batch of {size[0]} matrices for size {size}, got {theta.shape[0]}"
        )
    align = _corners(align_corners, "grid_sample")
    axes = []
    for n in size[2:]:
        at = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        axes.append(at if align else at * (n - 1) / n)
    places = np.meshgrid(*axes, indexing="ij")[::-1]  # x first
    base = np.stack([*places, np.ones(size[2:])], -1).reshape(-1, rank + 1)
    base = wrap(base.astype(np.float64 if theta.dtype is dtypes.float64 else np.float32))
    grid = base.to(theta.dtype) @ theta.mT
    return grid.view(size[0], *size[2:], rank)


def _inside(at, low, high):
    """Clamped to [low, high]; no gradient at or beyond the borders, as PyTorch's."""
    return where(at <= low, low, where(at >= high, high, at))


def _reflected(at, low2, high2):
    """Reflected at low2 / 2 and high2 / 2 until inside."""
    if low2 == high2:
        return at * 0
    low, span = low2 / 2, (high2 - low2) / 2
    offset = (at - low).abs()
    flips = (offset / span).floor().detach()
    rest = offset - flips * span
    return where(flips % 2 == 0, rest + low, span - rest + low)


def _placed(at, n, padding_mode, align):
    """A coordinate in pixels, brought inside as the padding mode wants it."""
    if padding_mode == "border":
        return _inside(at, 0.0, n - 1.0)
    if padding_mode == "reflection":
        at = _reflected(at, 0, 2 * (n - 1)) if align else _reflected(at, -1, 2 * n - 1)
        return _inside(at, 0.0, n - 1.0)
    return at


def _read(flat, space, index, mask_outside):
    """Values (N, C, *out) of flat pictures (N, C, size) at integer places: float tensors (N, *out)."""
    size = [float(n - 1) for n in space]
    place = None
    valid = None
    for at, n, top in zip(index, space, size, strict=True):
        if mask_outside:
            good = (at >= 0) & (at <= top)
            valid = good if valid is None else valid & good
        # (NaN has no place: it reads pixel 0, and its weights are NaN)
        at = at.nan_to_num(0.0, 0.0, 0.0).clamp(0.0, top).to(dtypes.int64)
        place = at if place is None else place * n + at
    shape = place.shape
    rows = place.reshape(shape[0], 1, math.prod(place.shape[1:])).expand(-1, flat.shape[1], -1)
    values = flat.gather(2, rows).view(shape[0], flat.shape[1], *shape[1:])
    return values if valid is None else values * valid.unsqueeze(1).to(values.dtype)


def _cubic_weights(part, a=-0.75):
    """Four weights of cubic convolution at distances 1 + part, part, 1 - part, 2 - part."""
    def near(d):
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d):
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return far(part + 1), near(part), near(1 - part), far(2 - part)


@function(api=NN)
def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear",
                padding_mode: str = "zeros", align_corners: bool | None = None):
    """The picture (N, C, *space) read at the places of a grid (N, *out, rank) in [-1, 1].

    mode: "bilinear", "nearest" or (2-d only) "bicubic". padding_mode: what is outside: "zeros",
    "border" or "reflection". Differentiable in both arguments (Jaderberg et al., 2015).

    >>> mirror = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> grid = F.affine_grid(mirror, (1, 1, 1, 3), align_corners=False)
    >>> F.grid_sample(torch.tensor([[[[1.0, 2.0, 3.0]]]]), grid, align_corners=False)
    tensor([[[[3., 2., 1.]]]])
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    rank = input.ndim - 2
    if rank not in (2, 3) or grid.ndim != input.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0] or grid.shape[-1] != rank:
        raise RuntimeError(
            f"grid_sampler(): expected grid of batch size {input.shape[0]} and last dimension "
            f"{rank}, but got input with sizes {list(input.shape)} and grid with sizes "
            f"{list(grid.shape)}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    if input.dtype is not grid.dtype:
        raise RuntimeError(
            f"grid_sampler(): expected input and grid to have same dtype, but input has "
            f"{input.dtype} and grid has {grid.dtype}"
        )
    if mode == "bicubic" and rank == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    align = _corners(align_corners, "grid_sample")
    space = tuple(input.shape[2:])
    flat = input.reshape(*input.shape[:2], math.prod(space))
    at = []
    for i, n in enumerate(space):  # the grid's last dimension is (x, y, z), space is (z, y, x)
        g = grid.select(-1, rank - 1 - i)
        if align:
            at.append((g + 1) * ((n - 1) / 2))
        else:  # with one rounding, as PyTorch's fused multiply-add
            at.append(((g + 1).to(dtypes.float64) * (n / 2) - 0.5).to(g.dtype))
    zeros = padding_mode == "zeros"
    if mode == "bicubic":
        base = [a.detach().floor() for a in at]
        weights = [_cubic_weights(a - b) for a, b in zip(at, base, strict=True)]
        total = None
        for steps in itertools.product(range(4), repeat=rank):
            index = [
                _placed(b + (k - 1), n, padding_mode, align).detach()
                for b, k, n in zip(base, steps, space, strict=True)
            ]
            weight = math.prod(w[k] for w, k in zip(weights, steps, strict=True))
            part = _read(flat, space, index, zeros) * weight.unsqueeze(1)
            total = part if total is None else total + part
        return total
    at = [_placed(a, n, padding_mode, align) for a, n in zip(at, space, strict=True)]
    if mode == "nearest":
        return _read(flat, space, [a.detach().round() for a in at], zeros)
    base = [a.detach().floor() for a in at]
    parts = [a - b for a, b in zip(at, base, strict=True)]
    total = None
    for steps in itertools.product(range(2), repeat=rank):
        weight = math.prod(p if k else 1 - p for p, k in zip(parts, steps, strict=True))
        index = [b + k for b, k in zip(base, steps, strict=True)]
        part = _read(flat, space, index, True) * weight.unsqueeze(1)
        total = part if total is None else total + part
    return total
