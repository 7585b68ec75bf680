"""Poolings against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(5)
F = "nn.functional."
SPACE = {1: (9,), 2: (7, 9), 3: (4, 5, 6)}


def n(*shape):
    """Distinct numbers in random order: maxima have no ties."""
    size = int(np.prod(shape))
    return (rng.permutation(size).reshape(shape) - size / 3) / max(size, 1)


def square(x):
    """Squares of an array: their second gradients are not zero."""
    return Given(x, view=lambda t: t * t)


AVERAGE = [
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 2, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 1, "stride": 2},
]


@pytest.mark.parametrize("options", AVERAGE, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_average(rank, options):
    x = n(2, 3, *SPACE[rank])
    check(f"{F}avg_pool{rank}d", square(x), gradgrad=True, **options)
    check(f"{F}avg_pool{rank}d", x[0], **options)
    if rank < 3:
        check(f"{F}avg_pool{rank}d", Given(x, dtype="bfloat16"), atol=2e-2, **options)
    if rank > 1:
        check(f"{F}avg_pool{rank}d", x, divisor_override=2, **options)


def test_average_forms():
    x = n(2, 3, 7, 9)
    check("avg_pool1d", x[0], 3, 1)
    check(F + "avg_pool2d", x, (3, 2), (2, 1), (1, 0))
    check(F + "avg_pool2d", Given(x, view=lambda t: t.mT), 3, strides=False)
    check(F + "avg_pool2d", x, 3, 1, 1, True, False, 7)
    check(F + "avg_pool1d", n(0, 3, 8), 2)


ADAPTIVE = [(1, 3), (1, 4), (1, 1), (1, (9,)), (2, 1), (2, (3, 4)), (2, (None, 3)), (2, 5),
            (2, (7, 3)), (3, 2), (3, (None, 3, 4)), (3, 1)]


@pytest.mark.parametrize("rank, size", ADAPTIVE, ids=str)
def test_adaptive(rank, size):
    x = n(2, 3, *SPACE[rank])
    check(f"{F}adaptive_avg_pool{rank}d", square(x), size, gradgrad=True, strides=False)
    check(f"{F}adaptive_avg_pool{rank}d", x[0], size, strides=False)


def test_adaptive_forms():
    check("adaptive_avg_pool1d", n(2, 3, 8), 5)
    check(F + "adaptive_avg_pool2d", Given(n(2, 3, 5, 6), dtype="float32"), (3, 4), strides=False)
    check(F + "adaptive_avg_pool2d", Given(n(2, 3, 5, 6), view=lambda t: t.mT), 2, strides=False)


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_power(rank, p):
    x = np.abs(n(2, 3, *SPACE[rank])) + 0.1
    check(f"{F}lp_pool{rank}d", x, p, 2, gradgrad=True)
    check(f"{F}lp_pool{rank}d", x, p, 3, 2, rtol=1e-6)
    check(f"{F}lp_pool{rank}d", x, p, kernel_size=3, stride=1, ceil_mode=True)


X = n(2, 3, 6, 6)


@pytest.mark.parametrize("name, args, options", [
    ("avg_pool2d", (X, 3), {"padding": 2}),
    ("avg_pool2d", (X, 9), {}), ("avg_pool2d", (X, 2), {"divisor_override": 0}),
    ("avg_pool1d", (X, 2), {}), ("avg_pool2d", (X, (2, 2, 2)), {}), ("avg_pool3d", (X[0], 2), {}),
    ("adaptive_avg_pool2d", (X[0, 0], 2), {}), ("adaptive_avg_pool2d", (X, -1), {}),
])
def test_errors(name, args, options):
    check_error(F + name, *args, **options)


def test_corners():
    x = np.random.default_rng(9).standard_normal((2, 3, 6, 6))
    check("nn.functional.max_pool2d", np.full((1, 1, 2, 2), np.nan), 2, return_indices=True,
          grad=False)
    for name in ("max_pool2d", "avg_pool2d"):
        check_error("nn.functional." + name, x, 2, stride=0)
        check_error("nn.functional." + name, x > 0, 2)
    check_error("nn.functional.max_pool1d", x[0], 2, padding=-1)
    check_error("nn.functional.avg_pool2d", x[0, 0], 2)
    for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        check_error("nn.functional." + name, x, (2, 2, 2))
    check_error("nn.functional.adaptive_max_pool2d", x, (2, -3))
    check_error("nn.functional.adaptive_max_pool2d", x[:, :, :0], 2)
