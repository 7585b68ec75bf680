"""Resizing and pixel shuffles against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(3)
F = "nn.functional."
X = {1: rng.standard_normal((2, 3, 7)), 2: rng.standard_normal((2, 3, 5, 6)),
     3: rng.standard_normal((1, 2, 3, 4, 5))}
MODES = [(r, m) for r, modes in {1: ["nearest", "nearest-exact", "linear", "area"],
         2: ["nearest", "nearest-exact", "bilinear", "bicubic", "area"],
         3: ["nearest", "nearest-exact", "trilinear", "area"]}.items() for m in modes]


@pytest.mark.parametrize("rank, mode", MODES)
def test_modes(rank, mode):
    options = {"strides": False, "atol": 1e-9}
    check(F + "interpolate", X[rank], scale_factor=2, mode=mode, **options)
    check(F + "interpolate", X[rank], scale_factor=0.6, mode=mode, **options)
    check(F + "interpolate", X[rank], size=4, mode=mode, **options)
    check(F + "interpolate", X[rank], scale_factor=1.7, mode=mode, recompute_scale_factor=True,
          **options)
    check(F + "interpolate", Given(X[rank], "float32"), size=9, mode=mode, strides=False, atol=1e-5)
    if "linear" in mode or "cubic" in mode:
        check(F + "interpolate", X[rank], size=8, mode=mode, align_corners=True, **options)
        check(F + "interpolate", X[rank], size=1, mode=mode, align_corners=True, **options)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align", [True, False])
def test_antialias(mode, align):
    for options in ({"size": (3, 2)}, {"size": (9, 4)}, {"scale_factor": 0.4}, {"scale_factor": 2}):
        check(F + "interpolate", X[2], mode=mode, align_corners=align, antialias=True,
              strides=False, atol=1e-9, **options)


def test_older_names():
    check(F + "upsample", X[2], scale_factor=2)
    check(F + "upsample_nearest", X[2], size=(7, 8))
    check(F + "upsample_bilinear", X[2], scale_factor=2, strides=False)


def test_errors():
    check_error(F + "interpolate", X[2])
    check_error(F + "interpolate", X[2], size=4, scale_factor=2)
    check_error(F + "interpolate", X[2], size=(4, 5, 6))
    check_error(F + "interpolate", X[2], size=4, mode="linear")
    check_error(F + "interpolate", X[2], size=4, align_corners=True)
    check_error(F + "interpolate", X[1], size=4, mode="linear", antialias=True)


def test_shuffles():
    x = rng.standard_normal((2, 8, 3, 3))
    check("pixel_shuffle", x, 2)
    check("pixel_unshuffle", rng.standard_normal((2, 2, 4, 6)), 2)
    check_error("pixel_shuffle", x[:, :3], 2)
    check(F + "channel_shuffle", x, 4)
    check(F + "channel_shuffle", x[:, :6, :, 0], 3)
    check_error(F + "channel_shuffle", x, 3)
    check_error(F + "channel_shuffle", x[0, 0], 2)
