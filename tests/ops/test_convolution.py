"""Convolutions, transposed convolutions, unfold and fold against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(4)
F = "nn.functional."


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def z(*shape):
    """Complex normal numbers."""
    return n(*shape) + 1j * n(*shape)


CONV = [  # rank, input, weight, options
    (1, (2, 3, 8), (4, 3, 3), {}), (1, (3, 8), (4, 3, 3), {}), (1, (2, 3, 8), (4, 3, 1), {}),
    (1, (2, 3, 9), (4, 3, 3), {"stride": 2, "padding": 1}),
    (1, (2, 3, 9), (4, 3, 2), {"padding": "same", "dilation": 3}),
    (1, (2, 4, 9), (4, 2, 3), {"groups": 2, "padding": "valid"}),
    (1, (2, 3, 3), (4, 3, 3), {"stride": 5}),
    (2, (2, 3, 6, 7), (4, 3, 3, 2), {}), (2, (3, 6, 7), (4, 3, 3, 3), {"padding": 1}),
    (2, (2, 3, 6, 7), (4, 3, 1, 1), {}), (2, (2, 3, 6, 7), (4, 3, 1, 1), {"stride": 2}),
    (2, (2, 3, 6, 7), (4, 3, 3, 3), {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)}),
    (2, (2, 3, 6, 7), (4, 3, 2, 3), {"padding": "same"}),
    (2, (2, 4, 6, 7), (8, 1, 3, 3), {"groups": 4, "padding": 1, "stride": 2}),
    (2, (2, 6, 5, 5), (4, 3, 3, 3), {"groups": 2}),
    (2, (1, 1, 1, 1), (1, 1, 3, 3), {"padding": 1}),
    (3, (2, 2, 4, 5, 4), (3, 2, 2, 3, 2), {}), (3, (2, 4, 5, 4), (3, 2, 2, 3, 2), {"padding": 1}),
    (3, (1, 2, 4, 5, 6), (2, 1, 2, 2, 2),
     {"groups": 2, "stride": (1, 2, 2), "dilation": (1, 1, 2)}),
    (3, (1, 2, 4, 4, 4), (2, 2, 3, 3, 3), {"padding": "same"}),
]


@pytest.mark.parametrize("rank, x, w, options", CONV, ids=str)
def test_convolution(rank, x, w, options):
    simple = options.get("groups", 1) == 1
    check(f"{F}conv{rank}d", n(*x), n(*w), n(w[0]), gradgrad=simple, **options)
    check(f"conv{rank}d", n(*x).astype("f"), n(*w).astype("f"), atol=1e-4, rtol=1e-4, **options)


TRANSPOSED = [
    (1, (2, 3, 5), (3, 4, 3), {}), (1, (3, 5), (3, 4, 3), {"stride": 2, "output_padding": 1}),
    (1, (2, 4, 5), (4, 3, 3), {"groups": 2, "padding": 1, "dilation": 2}),
    (2, (2, 3, 4, 5), (3, 4, 3, 2), {}),
    (2, (3, 4, 5), (3, 4, 2, 2), {"stride": 2}),
    (2, (2, 3, 4, 4), (3, 2, 3, 3), {"stride": (2, 3), "padding": 1, "output_padding": (1, 2)}),
    (2, (2, 4, 4, 4), (4, 1, 3, 3), {"groups": 4, "dilation": (1, 2)}),
    (3, (1, 2, 3, 3, 3), (2, 3, 2, 2, 2), {"stride": 2}),
    (3, (2, 3, 3, 3), (2, 1, 3, 3, 3), {"groups": 2, "padding": (1, 0, 1), "stride": (1, 2, 2),
                                        "output_padding": (0, 1, 0)}),
]


@pytest.mark.parametrize("rank, x, w, options", TRANSPOSED, ids=str)
def test_transposed(rank, x, w, options):
    groups = options.get("groups", 1)
    check(f"{F}conv_transpose{rank}d", n(*x), n(*w), n(w[1] * groups), gradgrad=groups == 1,
          strides=False, **options)
    check(f"conv_transpose{rank}d", n(*x).astype("f"), n(*w).astype("f"), atol=1e-4, rtol=1e-4,
          strides=False, **options)


def test_dtypes():
    for dtype, near in (("float16", 1e-2), ("bfloat16", 1e-1)):
        x, w, b = (Given(n(*s), dtype=dtype) for s in ((2, 3, 5, 5), (4, 3, 3, 3), (4,)))
        check("conv2d", x, w, b, padding=1, grad=False, rtol=near, atol=near)
    check("conv2d", z(2, 3, 5, 5), z(4, 3, 3, 3), z(4), strides=False, grad=False)
    check("conv1d", z(2, 3, 5), z(4, 3, 3), padding=1, strides=False, grad=False)


def test_layouts():
    turned = Given(n(2, 5, 6, 3), view=lambda t: t.permute(0, 3, 1, 2))
    check("conv2d", turned, n(4, 3, 3, 3), padding=1, strides=False)
    every = Given(n(2, 3, 9), view=lambda t: t[..., ::2])
    check("conv1d", every, Given(n(3, 4, 3), view=lambda t: t.transpose(0, 1)))
    wide = Given(n(2, 1, 6, 6), view=lambda t: t.expand(2, 3, 6, 6))
    check("conv2d", wide, n(4, 3, 3, 3), stride=2)


@pytest.mark.parametrize("name, args, options", [
    ("conv2d", (n(2, 3, 5, 5), n(4, 2, 3, 3)), {}), ("conv2d", (n(5, 5), n(4, 3, 3, 3)), {}),
    ("conv2d", (n(2, 3, 5, 5), n(4, 3, 3)), {}), ("conv1d", (n(2, 3, 2), n(4, 3, 3)), {}),
    ("conv1d", (n(2, 3, 5), n(4, 3, 3), n(3)), {}),
    ("conv1d", (n(2, 3, 5), n(4, 3, 3), n(4, 1)), {}),
    ("conv1d", (n(2, 3, 5), n(4, 3, 3)), {"stride": 0}),
    ("conv1d", (n(2, 3, 5), n(4, 3, 3)), {"padding": -1}),
    ("conv1d", (n(2, 3, 5), n(4, 3, 3)), {"padding": "other"}),
    ("conv1d", (n(2, 3, 5), n(4, 3, 3)), {"padding": "same", "stride": 2}),
    ("conv1d", (n(2, 4, 5), n(3, 2, 3)), {"groups": 2}),
    ("conv1d", (n(2, 3, 5), n(4, 3, 3)), {"groups": 0}),
    ("conv2d", (n(2, 3, 5, 5), n(4, 3, 3, 3)), {"stride": (1, 1, 1)}),
    ("conv1d", (n(2, 3, 5), n(4, 3, 3).astype("f")), {}),
    ("conv_transpose1d", (n(2, 4, 5), n(3, 4, 3)), {}),
    ("conv_transpose1d", (n(2, 3, 5), n(3, 4, 3)), {"output_padding": 1}),
    ("conv_transpose2d", (n(3, 5), n(3, 4, 3, 3)), {}),
    ("conv_transpose1d", (n(2, 3, 5), n(3, 4, 3), n(3)), {}),
])
def test_errors(name, args, options):
    check_error(name, *args, **options)


@pytest.mark.parametrize("kernel, options", [
    (2, {}), ((2, 3), {}), (2, {"stride": 2}), (3, {"padding": 1, "dilation": (1, 2)}),
    ((1, 2), {"stride": (2, 1), "padding": (0, 1)})], ids=str)
def test_columns(kernel, options):
    x = n(2, 3, 5, 6)
    check(F + "unfold", x, kernel, gradgrad=True, **options)
    check(F + "unfold", x[0], kernel, strides=False, **options)

    def back(framework, t):
        f = framework.nn.functional
        return f.fold(f.unfold(t, kernel, **options), (5, 6), kernel, **options)

    check(back, x, gradgrad=True)
    check(back, x[0])
    check(back, z(2, 3, 5, 6))
    check(back, Given(n(2, 3, 6, 5), dtype="float32", view=lambda t: t.mT), strides=False)


def test_corners():
    n = rng.standard_normal
    check("nn.functional.conv1d", n((0, 3, 8)), n((4, 3, 3)))
    check("nn.functional.conv_transpose1d", n((0, 3, 5)), n((3, 4, 3)))
    check("nn.functional.conv_transpose2d", n((2, 3, 4, 4)), n((3, 2, 3, 3)), dilation=3,
          output_padding=2, gradgrad=True, strides=False)
    check("nn.functional.conv1d", n((2, 3, 5)) + 1j * n((2, 3, 5)), n((4, 3, 3)) + 0.5j,
          strides=False)
    check_error("nn.functional.conv_transpose1d", n((2, 3, 1)), n((3, 4, 1)), padding=1)
    check_error("nn.functional.unfold", n((2, 3, 2, 2)), 3)
    check_error("nn.functional.unfold", n((2, 3)), 1)
    check_error("nn.functional.unfold", n((2, 3, 4, 4)), 2, stride=0)
    check_error("nn.functional.fold", n((2, 12, 10)), (4, 5), 2)
    check_error("nn.functional.fold", n((2, 11, 12)), (4, 5), 2)
