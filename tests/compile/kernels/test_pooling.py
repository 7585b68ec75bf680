"""Poolings, compiled, against PyTorch: any window, NaN and infinities, planes in several blocks."""

import numpy as np
import pytest
import torch
from compile.compiled import check_native, run
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight


def numbers(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def both(name, values, given, options, indices=False):
    """Compiled values of a pooling and its gradient, and PyTorch's."""

    def steps(framework):
        x = framework.tensor(values).requires_grad_()

        def step():
            made = getattr(framework.nn.functional, name)(x, *given, **options)
            y = made[0] if indices else made
            g = framework.autograd.grad(y, (x,), y * 2)[0]
            return [*(made if indices else (made,)), g]

        return step

    wanted = [t.detach().numpy() for t in steps(torch)()]
    return check_native(steps(rushlight)), run(steps(rushlight), "now"), wanted


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, 1e-5, 1e-6)


@st.composite
def windows(draw, rank, dilated):
    """(sizes, kernel, stride, padding, dilation) with some output."""
    made = []
    for _ in range(rank):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2)) if dilated else 1
        padding = draw(st.integers(0, kernel // 2))
        least = max(1, dilation * (kernel - 1) + 1 - 2 * padding)
        made.append((draw(st.integers(least, least + 20)), kernel, draw(st.integers(1, 4)), padding,
                     dilation))
    return list(zip(*made, strict=True))


@given(data=st.data())
@settings(max_examples=8)
def test_maxima(data):
    draw = data.draw
    rank = draw(st.integers(1, 2))
    sizes, kernel, stride, padding, dilation = draw(windows(rank, True))
    x = numbers(draw(st.integers(1, 3)), draw(st.integers(1, 3)), *sizes,
                dtype=draw(st.sampled_from(["float32", "float64"])))
    _, found, wanted = both(
        f"max_pool{rank}d", x, (kernel, stride, padding, dilation),
        {"ceil_mode": draw(st.booleans()), "return_indices": True}, indices=True,
    )
    same(found, wanted)


@given(data=st.data())
@settings(max_examples=8)
def test_averages(data):
    draw = data.draw
    rank = draw(st.integers(1, 2))
    sizes, kernel, stride, padding, _ = draw(windows(rank, False))
    options = {"ceil_mode": draw(st.booleans()), "count_include_pad": draw(st.booleans())}
    if rank == 2:
        options["divisor_override"] = draw(st.sampled_from([None, 3]))
    x = numbers(2, draw(st.integers(1, 3)), *sizes)
    _, found, wanted = both(f"avg_pool{rank}d", x, (kernel, stride, padding), options)
    same(found, wanted)


def test_strange_values():
    """NaN wins, the last one; of equal values and of -inf alone the first in the plane."""
    x = numbers(2, 3, 9, 11)
    x[0, 0, 2:4, 3:5] = np.nan
    x[0, 1] = -np.inf
    x[0, 2] = 1
    x[1, 0, ::2] = np.inf
    _, found, wanted = both("max_pool2d", x, (3, 2, 1), {"return_indices": True}, indices=True)
    same(found, wanted)
    eager = run(lambda: rushlight.nn.functional.max_pool2d(rushlight.tensor(x), 3, 2, 1,
                                                           return_indices=True), "never")
    same(eager, wanted[:2])


@pytest.mark.parametrize("name, given", [("max_pool2d", (2,)), ("max_pool2d", (3, 2, 1)),
                                         ("avg_pool2d", (2,)), ("avg_pool2d", (3, 1, 1))])
def test_blocks(name, given):
    """Many planes, and rows of a plane in several blocks."""
    for shape in ((8, 40, 24, 20), (1, 2, 300, 400)):
        programs, found, wanted = both(name, numbers(*shape), given, {})
        same(found, wanted)
        assert any(c.chunks > 1 for p in programs for c in p.calls)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types(dtype):
    x = rushlight.tensor(numbers(2, 3, 8, 9)).to(getattr(rushlight, dtype)).requires_grad_()

    def steps():
        values, indices = rushlight.nn.functional.max_pool2d(x, 2, return_indices=True)
        means = rushlight.nn.functional.avg_pool2d(x, 2)
        made = [values, means, *rushlight.autograd.grad(values, (x,), means)]
        return [t.float() for t in made] + [indices]

    check_native(steps, rtol=1e-2, atol=1e-2)
