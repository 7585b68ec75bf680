"""Max-pooling, unpooling and fractional pooling against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error, check_program

import rushlight

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


MAX = [
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 2, "dilation": 2}, {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 1, "stride": 3}, {"kernel_size": 2, "stride": []},
]


@pytest.mark.parametrize("options", MAX, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max(rank, options):
    x = n(2, 3, *SPACE[rank])
    check(f"{F}max_pool{rank}d", x, return_indices=True, **options)
    check(f"max_pool{rank}d", square(x), gradgrad=True, **options)
    check(f"{F}max_pool{rank}d_with_indices", x[0], **options)
    check(f"{F}max_pool{rank}d", Given(x, dtype="bfloat16"), atol=0.1, rtol=0.05, **options)


def test_max_forms():
    x = n(2, 3, 7, 9)
    check(F + "max_pool2d", x, (3, 2), (2, 1), (1, 0), (1, 2))
    check(F + "max_pool2d", np.where(x > 0.4, np.nan, x), 3, grad=False)
    check(F + "max_pool2d", np.full((1, 1, 4, 4), -np.inf), 2, grad=False)
    check(F + "max_pool2d", np.zeros((1, 1, 4, 4)), 2, return_indices=True)
    check(F + "max_pool2d", Given(x, view=lambda t: t.mT), 3, strides=False)
    check(F + "max_pool2d", Given(x, view=lambda t: t[:, :, ::2, 1:]), 2)
    check(F + "max_pool2d", np.arange(24).reshape(1, 2, 3, 4) % 5, 2)
    check(F + "max_pool3d", Given(n(1, 2, 4, 4, 4), dtype="float16"), 2)


ADAPTIVE = [(1, 3), (1, 4), (1, 1), (1, (9,)), (2, 1), (2, (3, 4)), (2, (None, 3)), (2, 5),
            (2, (7, 3)), (3, 2), (3, (None, 3, 4)), (3, 1)]


@pytest.mark.parametrize("rank, size", ADAPTIVE, ids=str)
def test_adaptive(rank, size):
    x = n(2, 3, *SPACE[rank])
    check(f"{F}adaptive_max_pool{rank}d", x, size, return_indices=True)
    check(f"{F}adaptive_max_pool{rank}d_with_indices", x[0], size)
    check(f"{F}adaptive_max_pool{rank}d", x[0], size)
    check(f"{F}adaptive_max_pool{rank}d", square(x), size, gradgrad=True)
    check(f"{F}adaptive_max_pool{rank}d", Given(x, dtype="bfloat16"), size)


UNPOOL = [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2}, {"kernel_size": 3, "padding": 1}]


@pytest.mark.parametrize("options", UNPOOL, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpool(rank, options):
    x = np.linspace(-1, 1, 2 * 3 * int(np.prod(SPACE[rank]))).reshape(2, 3, *SPACE[rank])

    def program(torch):
        functional = torch.nn.functional
        a = torch.tensor(x).requires_grad_()
        values, where = getattr(functional, f"max_pool{rank}d")(a, return_indices=True, **options)
        for size in (None, SPACE[rank], (2, 3, *SPACE[rank])):
            try:
                back = getattr(functional, f"max_unpool{rank}d")(values, where, output_size=size,
                                                                 **options)
            except ValueError:
                yield "refused"
                continue
            (back ** 2).sum().backward()
            yield back, a.grad.clone()
        yield getattr(functional, f"max_unpool{rank}d")(values[0], where[0], **options)

    check_program(program)


def test_unpool_errors():
    x, at = n(1, 2, 3, 3), np.arange(18).reshape(1, 2, 3, 3)
    check_error(F + "max_unpool2d", x, at + 100, 2)
    check_error(F + "max_unpool2d", x, at[:, :1], 2)
    check_error(F + "max_unpool2d", x, at.astype(np.int32), 2)
    check_error(F + "max_unpool2d", x, at, 2, output_size=(20, 20))
    check_error(F + "max_unpool2d", x, at, 2, output_size=(6,))
    check_error(F + "max_unpool2d", x, at, 2, stride=0)


@pytest.mark.parametrize("options", [
    {"output_size": (3, 4)}, {"output_ratio": (0.5, 0.6)}, {"output_size": 1}, {"output_ratio": (0.7, 0.4)},
], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fractional(options, dtype):
    x, at = n(2, 3, 9, 8), rng.random((2, 3, 2))
    check(F + "fractional_max_pool2d", Given(x, dtype), 2, return_indices=True,
          _random_samples=Given(at, dtype, grad=False), **options)
    check(F + "fractional_max_pool2d", Given(x[0], dtype), (3, 2),
          _random_samples=Given(at[:1], dtype, grad=False), **options)


def test_fractional_forms():
    x, at = n(2, 3, 6, 5, 7), rng.random((2, 3, 3))
    check(F + "fractional_max_pool3d", x, (2, 1, 3), (3, 2, 4), return_indices=True,
          _random_samples=Given(at, grad=False))
    check_error(F + "fractional_max_pool2d", n(1, 1, 4, 4), 2)
    check_error(F + "fractional_max_pool2d", n(1, 1, 4, 4), 3, output_size=3)

    def seeded(torch):
        torch.manual_seed(3)
        x = torch.arange(2 * 3 * 81.0).view(2, 3, 9, 9).sin()
        yield torch.nn.functional.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.5))
        yield torch.nn.FractionalMaxPool2d(3, output_size=(4, 5))(x)

    check_program(seeded)


X = n(2, 3, 6, 6)


@pytest.mark.parametrize("name, args, options", [
    ("max_pool2d", (X, 3), {"padding": 2}), ("max_pool2d", (X, 7), {}),
    ("max_pool2d", (X[0, 0], 2), {}), ("max_pool2d", (X, (2, 2, 2)), {}),
    ("max_pool2d", (X, 2), {"dilation": 0}), ("max_pool1d", (X, 2), {}),
    ("max_pool3d", (X[0], 2), {}), ("max_pool3d", (X[None, :, :0], 2), {}),
    ("adaptive_max_pool1d", (X, 2), {}), ("adaptive_max_pool2d", (X[0, 0], (2, 2)), {}),
])
def test_errors(name, args, options):
    check_error(F + name, *args, **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_sizes_of_zero(rank):
    for shape in ((0, *SPACE[rank]), (2, 0, *SPACE[rank]), (2, 3, 0, *SPACE[rank][1:])):
        check_error(f"{F}max_pool{rank}d", np.zeros(shape, np.float32), 1)
    check(f"{F}max_pool{rank}d", np.zeros((0, 2, *SPACE[rank]), np.float32), 2)


def test_a_window_of_padding_only_has_no_gradient():
    """PyTorch writes outside of its memory there."""
    x = rushlight.randn(1, 2, 3, 1, 5).requires_grad_()
    y = rushlight.nn.functional.max_pool3d(x, 3, padding=1, ceil_mode=True, dilation=(1, 2, 1))
    assert (y == -float("inf")).all()
    with pytest.raises(RuntimeError, match="a pooling window held padding only"):
        y.sum().backward()
