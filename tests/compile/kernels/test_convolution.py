"""Convolutions and their gradients: kernels on arrays, and whole operators, against PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from compile.compiled import check_native
from compile.run_calls import run_calls
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight
from rushlight.compile.kernels import (
    convolution,
    convolution_weight,
    depthwise,
    winograd,
    winograd_weight,
)
from rushlight.compile.kernels.call import Address
from rushlight.compile.kernels.windows import Axis, Image
from rushlight.compile.llvm import objects, target
from rushlight.compile.llvm.builder import libraries_of

HERE = [
    t for t in (target.AVX512, target.AVX2, target.GENERIC)
    if t.triple.split("-")[0] == target.host().triple.split("-")[0]
    and t.vector_bytes <= target.host().vector_bytes
]

SMALL = replace(target.host(), l1_bytes=32 << 10, l2_bytes=512 << 10)  # caches with many blocks


def numbers(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def image_of(x, kernel, out, stride, padding, dilation, groups):
    missing = 3 - len(kernel)
    axes = [
        Axis(n, o, k, s, -p, d)
        for n, o, k, s, p, d in zip(x.shape[2:], out, kernel, stride, padding, dilation)
    ]
    strides = (*x.strides[:2], *(0,) * missing, *x.strides[2:])
    return Image(Address("x"), strides, len(x), x.shape[1] // groups,
                 (*(Axis(1, 1, 1),) * missing, *axes))


def dense(shape, itemsize):
    """Bytes of N, C and depth of a dense array."""
    pixels = itemsize * int(np.prod(shape[-2:] if len(shape) > 3 else shape[2:]))
    depth = shape[2] if len(shape) == 5 else 1
    return shape[1] * depth * pixels, depth * pixels, pixels


def run_forward(x, w, stride, padding, dilation, groups, level=None, planner=convolution, **how):
    wide = [torch.from_numpy(t).double() for t in (x, w)]
    wanted = torch.convolution(*wide, None, stride, padding, dilation, False, [0] * len(stride),
                               groups)
    out = np.full(wanted.shape, np.nan, x.dtype)
    image = image_of(x, w.shape[2:], out.shape[2:], stride, padding, dilation, groups)
    ordered = np.ascontiguousarray(w.swapaxes(1, 2)) if w.ndim == 5 else w
    calls = planner.plan(convolution.Convolution(
        image, groups, len(w) // groups, Address("w"), Address("out"),
        dense(out.shape, x.itemsize), x.dtype.name,
    ), level)
    run_calls(calls, {"x": x, "w": ordered, "out": out}, **how)
    return out, wanted.numpy(), calls


def run_weight(x, w, stride, padding, dilation, groups, level=None, planner=None, tiles=False, **how):
    weight = torch.from_numpy(w).double().requires_grad_()
    y = torch.convolution(torch.from_numpy(x).double(), weight, None, stride, padding, dilation,
                          False, [0] * len(stride), groups)
    g = numbers(*y.shape, dtype=x.dtype, seed=2)
    wanted = torch.autograd.grad(y, weight, torch.from_numpy(g).double())[0].numpy()
    out = np.full(w.shape, np.nan, x.dtype)
    image = image_of(x, w.shape[2:], g.shape[2:], stride, padding, dilation, groups)
    gradient = convolution_weight.WeightGradient(
        image, groups, len(w) // groups, Address("g"), dense(g.shape, x.itemsize), Address("out"),
        x.dtype.name,
    )
    if tiles:
        calls = winograd_weight.plan(
            gradient, lambda guard: convolution_weight.plan(gradient, guard, level), level
        )
    elif planner is depthwise:
        calls = depthwise.plan_weight(gradient, level)
    else:
        calls = convolution_weight.plan(gradient, target=level)
    run_calls(calls, {"x": x, "g": g, "out": out}, **how)
    return out, wanted, calls


def close(found, wanted):
    tolerance = 1e-5 if found.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, wanted, tolerance, tolerance * np.abs(wanted).max())


@st.composite
def geometries(draw, rank):
    """(size, kernel, stride, padding, dilation) of each dimension, with some output."""
    made = []
    for _ in range(rank):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
        padding = draw(st.integers(0, 3))
        least = max(1, dilation * (kernel - 1) + 1 - 2 * padding)
        size = draw(st.integers(least, least + (14 if rank < 3 else 5)))
        made.append((size, kernel, draw(st.integers(1, 3)), padding, dilation))
    return list(zip(*made, strict=True))


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@pytest.mark.parametrize("run", [run_forward, run_weight], ids=["forward", "weight"])
@given(data=st.data())
@settings(max_examples=15)
def test_any_geometry(level, run, data):
    draw = data.draw
    sizes, kernel, stride, padding, dilation = draw(geometries(draw(st.integers(1, 3))))
    groups, dtype = draw(st.integers(1, 3)), draw(st.sampled_from(["float32", "float64"]))
    batch, channels, outputs = (draw(st.integers(1, n)) for n in (3, 5, 9))
    x = numbers(batch, groups * channels, *sizes, dtype=dtype)
    if draw(st.booleans()):  # channels last
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    w = numbers(groups * outputs, channels, *kernel, dtype=dtype, seed=1)
    found, wanted, _ = run(x, w, stride, padding, dilation, groups, level)
    close(found, wanted)


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@pytest.mark.parametrize("run", [run_forward, run_weight], ids=["forward", "weight"])
@given(data=st.data())
@settings(max_examples=15)
def test_depthwise(level, run, data):
    """Planes narrower and lower than a vector, too: nothing beyond the result is written."""
    draw = data.draw
    sizes, kernel, stride, padding, dilation = draw(geometries(draw(st.integers(1, 2))))
    groups, dtype = draw(st.integers(1, 3)), draw(st.sampled_from(["float32", "float64"]))
    batch, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    x = numbers(batch, groups, *sizes, dtype=dtype)
    w = numbers(groups * outputs, 1, *kernel, dtype=dtype, seed=1)
    found, wanted, _ = run(x, w, stride, padding, dilation, groups, level, depthwise)
    close(found, wanted)


MANY_BLOCKS = [  # channels in blocks, panels in L1 or L2, images together, pixels as one row
    ((3, 70, 17, 30), (40, 70, 3, 3), 1, 1), ((5, 160, 4, 4), (250, 160, 3, 3), 1, 1),
    ((2, 600, 7, 7), (130, 600, 1, 1), 1, 0), ((1, 3, 60, 61), (8, 3, 7, 7), 2, 3),
    ((9, 100, 5, 5), (200, 100, 1, 1), 2, 0),
    ((40, 30, 9, 9), (600, 30, 3, 3), 1, 1), ((70, 40, 5, 13), (700, 40, 1, 1), 1, 0),  # 33 and 17 columns beyond panels
]


@pytest.mark.parametrize("shape, weight, stride, padding", MANY_BLOCKS)
@pytest.mark.parametrize("run", [run_forward, run_weight], ids=["forward", "weight"])
def test_blocks(run, shape, weight, stride, padding):
    """The same bits in any order of the chunks and on several threads."""
    x, w = numbers(*shape), numbers(*weight, seed=1)
    given = x, w, (stride,) * 2, (padding,) * 2, (1, 1), 1, SMALL
    found, wanted, calls = run(*given)
    close(found, wanted)
    assert calls[0].chunks > 1
    np.testing.assert_array_equal(run(*given, order="mixed")[0], found)
    np.testing.assert_array_equal(run(*given, workers=2)[0], found)


def run_winograd(x, w, padding, groups=1, backwards=False, level=None, **how):
    """By tiles; backwards: the gradient with respect to the input of a convolution by w."""
    given = [torch.from_numpy(t).double() for t in (x, w)]
    shape = [2 * (p if not backwards else 2 - p) - 2 for p in padding]
    out = np.full((len(x), len(w) if not backwards else groups * w.shape[1],
                   *(n + s for n, s in zip(x.shape[2:], shape))), np.nan, x.dtype)
    if backwards:
        wanted = torch.conv_transpose2d(*given, padding=padding, groups=groups)
        axes = [Axis(n, o, 3, 1, p, -1) for n, o, p in zip(x.shape[2:], out.shape[2:], padding)]
    else:
        wanted = torch.conv2d(*given, padding=padding, groups=groups)
        axes = [Axis(n, o, 3, 1, -p, 1) for n, o, p in zip(x.shape[2:], out.shape[2:], padding)]
    image = Image(Address("x"), (*x.strides[:2], 0, *x.strides[2:]), len(x), x.shape[1] // groups,
                  (Axis(1, 1, 1), *axes))
    each = w.reshape(groups, -1, *w.shape[1:])
    turned = np.ascontiguousarray(each.swapaxes(1, 2) if backwards else each)
    c = convolution.Convolution(image, groups, turned.shape[1], Address("turned"), Address("out"),
                                dense(out.shape, x.itemsize), x.dtype.name)
    steps = each.strides[1], each.strides[2]
    steps = steps[::-1] if backwards else steps
    original = winograd.Weights(Address("w"), each.strides[0], *steps)
    calls = winograd.plan(
        c, original, lambda guard: convolution.plan(replace(c, guard=guard), level), level
    )
    run_calls(calls, {"x": x, "w": w, "turned": turned, "out": out}, **how)
    return out, wanted.numpy(), calls


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=15)
def test_winograd(level, data):
    draw = data.draw
    backwards, groups = draw(st.booleans()), draw(st.integers(1, 2))
    padding = [draw(st.integers(0, 1 if backwards else 3)) for _ in range(2)]
    sizes = [draw(st.integers(3, 20)) for _ in range(2)]
    dtype = draw(st.sampled_from(["float32", "float64"]))
    channels, outputs = (draw(st.integers(1, 20)) for _ in range(2))
    x = numbers(draw(st.integers(1, 5)), groups * channels, *sizes, dtype=dtype)
    shape = (channels, outputs) if backwards else (outputs, channels)
    w = numbers(groups * shape[0], shape[1], 3, 3, dtype=dtype, seed=1)
    found, wanted, _ = run_winograd(x, w, padding, groups, backwards, level)
    close(found, wanted)


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=10)
def test_winograd_gradient_of_weights(level, data):
    draw = data.draw
    groups, padding = draw(st.integers(1, 2)), [draw(st.integers(0, 3)) for _ in range(2)]
    sizes = [draw(st.integers(4, 20)) for _ in range(2)]
    dtype = draw(st.sampled_from(["float32", "float64"]))
    channels, outputs = (draw(st.integers(1, 20)) for _ in range(2))
    x = numbers(draw(st.integers(1, 5)), groups * channels, *sizes, dtype=dtype)
    w = numbers(groups * outputs, channels, 3, 3, dtype=dtype, seed=1)
    found, wanted, _ = run_weight(x, w, (1, 1), padding, (1, 1), groups, level, tiles=True)
    close(found, wanted)


@pytest.mark.parametrize("shape, outputs", [((20, 150, 8, 8), 130), ((2, 40, 30, 60), 24)])
def test_blocks_of_tiles_of_gradients(shape, outputs):
    x, w = numbers(*shape), numbers(outputs, shape[1], 3, 3, seed=1)
    given = x, w, (1, 1), (1, 1), (1, 1), 1, SMALL
    found, wanted, calls = run_weight(*given, tiles=True)
    close(found, wanted)
    assert calls[0].chunks > 1
    np.testing.assert_array_equal(run_weight(*given, tiles=True, order="mixed")[0], found)
    np.testing.assert_array_equal(run_weight(*given, tiles=True, workers=2)[0], found)


@pytest.mark.parametrize("shape, outputs", [
    ((20, 30, 8, 8), 30), ((2, 40, 30, 60), 24), ((17, 300, 4, 4), 120), ((1, 24, 3, 300), 24),
])
def test_blocks_of_tiles(shape, outputs):
    x, w = numbers(*shape), numbers(outputs, shape[1], 3, 3, seed=1)
    found, wanted, calls = run_winograd(x, w, (1, 1))
    close(found, wanted)
    assert any(c.chunks > 1 for c in calls)
    np.testing.assert_array_equal(run_winograd(x, w, (1, 1), order="mixed")[0], found)
    np.testing.assert_array_equal(run_winograd(x, w, (1, 1), workers=2)[0], found)


def test_what_is_not_finite_stays_in_its_windows():
    x, w = numbers(2, 24, 12, 20), numbers(24, 24, 3, 3, seed=1)
    x[0, 3, 5, 5], x[1, 0, 0, 0], x[1, 2, 11, 19] = np.inf, np.nan, 3e38
    found, wanted, calls = run_winograd(x, w, (1, 1))
    direct, _, _ = run_forward(x, w, (1, 1), (1, 1), (1, 1), 1)
    np.testing.assert_array_equal(found, direct)
    tiled, direct = (run_weight(x, w, (1, 1), (1, 1), (1, 1), 1, tiles=t)[0] for t in (True, False))
    np.testing.assert_array_equal(tiled, direct)


def test_another_processor():
    for text in (winograd.tiles_text(target.NEON, "float32"), convolution.convolve_text(target.NEON, "float32")):
        for each in (text, *[x.text for x in libraries_of(text)]):
            assert objects.compile_text(each, target.NEON)


# ---------------------------------------------------------------- operators


CASES = [
    ("conv2d", (2, 3, 9, 10), (4, 3, 3, 3), {"padding": 1}),
    ("conv2d", (2, 3, 19, 42), (4, 3, 3, 3), {"padding": 1, "stride": 2}),
    ("conv2d", (2, 4, 9, 10), (4, 2, 1, 1), {"stride": 2, "groups": 2}),
    ("conv2d", (2, 4, 11, 9), (6, 2, 3, 3),
     {"stride": 3, "groups": 2, "padding": 2, "dilation": 2}),
    ("conv2d", (2, 3, 8, 8), (4, 3, 2, 2), {"padding": 3}),
    ("conv2d", (2, 3, 8, 9), (4, 3, 4, 3), {"padding": "same"}),
    ("conv2d", (2, 5, 12, 45), (5, 1, 3, 3), {"padding": 1, "groups": 5}),
    ("conv2d", (2, 3, 12, 45), (6, 1, 3, 5), {"padding": 2, "groups": 3, "stride": 2}),
    ("conv1d", (2, 3, 40), (3, 1, 5), {"padding": 2, "groups": 3, "dilation": 2}),
    ("conv2d", (2, 48, 12, 14), (48, 48, 3, 3), {"padding": 1}),
    ("conv2d", (8, 30, 14, 14), (24, 30, 5, 5), {"padding": 2, "stride": 2}),  # phases with 3x3 of the taps
    ("conv_transpose2d", (3, 24, 14, 14), (24, 25, 6, 5), {"stride": 2}),
    ("conv2d", (1, 30, 7, 7), (48, 30, 3, 3), {"padding": 1}),  # one column beyond whole vectors
    ("conv2d", (3, 50, 14, 14), (24, 50, 1, 1), {}),  # four of them
    ("conv1d", (2, 4, 23), (4, 2, 5), {"stride": 4, "groups": 2, "padding": 2}),
    ("conv3d", (2, 3, 5, 6, 7), (4, 3, 3, 2, 3), {"stride": (2, 1, 2), "padding": 1}),
    ("conv_transpose2d", (2, 4, 9, 10), (4, 5, 3, 3),
     {"stride": 2, "padding": 1, "output_padding": 1}),
    ("conv_transpose1d", (2, 4, 9), (4, 2, 5), {"stride": 3, "groups": 2, "dilation": 2}),
]


@pytest.mark.parametrize("name, shape, weight, options", CASES)
def test_operators(name, shape, weight, options):
    """Forward, both gradients, and the gradients' gradients."""
    x, w = (rushlight.tensor(numbers(*s, seed=i)).requires_grad_()
            for i, s in enumerate((shape, weight)))
    function = getattr(rushlight.nn.functional, name)

    def steps():
        y = function(x, w, None, **options)
        first = rushlight.autograd.grad(y, (x, w), y * 0.1, create_graph=True)
        second = rushlight.autograd.grad(first, (x, w), [t * 0.1 for t in first])
        return y, *first, *second

    check_native(steps, rtol=1e-4, atol=1e-2, fallbacks=("constant_pad_nd",))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_dtypes(dtype):
    x, w = (rushlight.tensor(numbers(*s)).to(getattr(rushlight, dtype)).requires_grad_()
            for s in ((2, 5, 7, 9), (4, 5, 3, 3)))

    def steps():
        y = rushlight.nn.functional.conv2d(x, w, padding=1, stride=2)
        return [t.float() for t in (y, *rushlight.autograd.grad(y, (x, w), y))]

    half = dtype != "float64"
    check_native(steps, rtol=2e-2 if half else 1e-10, atol=0.2 if half else 1e-10)


def test_channels_last():
    x = rushlight.tensor(numbers(2, 5, 7, 9)).to(memory_format=rushlight.channels_last)
    x.requires_grad_()
    w = rushlight.tensor(numbers(4, 5, 3, 3)).requires_grad_()

    def steps():
        y = rushlight.nn.functional.conv2d(x, w, padding=1)
        return y, *rushlight.autograd.grad(y, (x, w), y)

    check_native(steps, atol=1e-4)
