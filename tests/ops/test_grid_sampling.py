"""Reading pictures at arbitrary places, against PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(4)
F = "nn.functional."
PICTURE, GRID = rng.standard_normal((2, 3, 5, 6)), rng.random((2, 4, 3, 2)) * 2.6 - 1.3


@pytest.mark.parametrize("mode, padding, align", list(itertools.product(
    ["bilinear", "nearest", "bicubic"], ["zeros", "border", "reflection"], [True, False])))
def test_modes(mode, padding, align):
    check(F + "grid_sample", PICTURE, GRID, mode, padding, align, strides=False)
    check(F + "grid_sample", Given(PICTURE, "float32"), Given(GRID, "float32"), mode, padding,
          align, strides=False, atol=1e-4)
    if mode != "bicubic":
        check(F + "grid_sample", rng.standard_normal((1, 2, 3, 4, 5)),
              rng.random((1, 2, 2, 3, 3)) * 2.4 - 1.2, mode, padding, align, strides=False)


def test_corners():
    exact = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    grid = np.stack(np.meshgrid(exact, exact), -1)[None]
    for align in (True, False):
        check(F + "grid_sample", PICTURE[:1], grid, align_corners=align, strides=False, grad=False)
    outside = np.array([np.nan, np.inf, -np.inf, 1e20, 0.1]).reshape(1, 1, 5, 1)
    outside = np.concatenate([outside, np.zeros_like(outside)], -1)
    check(F + "grid_sample", PICTURE[:1], outside, "nearest", align_corners=False, strides=False,
          grad=False)


@pytest.mark.parametrize("align", [True, False])
def test_affine_grid(align):
    check(F + "affine_grid", rng.standard_normal((2, 2, 3)), (2, 3, 4, 5), align, strides=False)
    check(F + "affine_grid", rng.standard_normal((1, 3, 4)), (1, 2, 3, 1, 2), align, strides=False)
    check(F + "affine_grid", Given(rng.standard_normal((2, 2, 3)), "float32"), [2, 1, 4, 4], align,
          strides=False)


def test_errors():
    check_error(F + "grid_sample", PICTURE, GRID, "cubic")
    check_error(F + "grid_sample", PICTURE, GRID, "bilinear", "wrap")
    check_error(F + "grid_sample", PICTURE, GRID[:1], align_corners=False)
    check_error(F + "grid_sample", PICTURE, GRID[0], align_corners=False)
    check_error(F + "grid_sample", PICTURE, GRID.astype(np.float32), align_corners=False)
    check_error(F + "grid_sample", PICTURE[:, :, :0], GRID, align_corners=False)
    check_error(F + "affine_grid", np.ones((2, 2, 3)), (2, 3, 4))
    check_error(F + "affine_grid", np.ones((2, 3, 3)), (2, 3, 4, 5))
    check_error(F + "affine_grid", np.ones((2, 2, 3)), (2, 3, 0, 5))
