"""Convolutions of a program as calls of kernels: what `ops/convolution.py` lowers to.

Everything is brought to three spatial dimensions. The gradient with respect to the input is a
convolution of the gradient, by taps that step backwards; with a stride s, one for each of the s
phases of the input's positions, whose results are interleaved.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np

from .expressions import NotLowered, View, row_major
from .kernels import convolution as forward
from .kernels import (
    convolution_weight,
    depthwise,
    exchange,
    interleave,
    winograd,
    winograd_weight,
)
from .kernels.call import Address, Call
from .kernels.windows import Axis, Image
from .lowering import Lowering
from .symbolic import Symbol


def convolution(build: Lowering, input: Symbol, weight: Symbol, stride, padding, dilation, groups):
    """The cross-correlation."""
    shape = build.metas[0].shape
    axes = [
        Axis(n, o, k, s, -p, d)
        for n, o, k, s, p, d in zip(input.shape[2:], shape[2:], weight.shape[2:], stride, padding,
                                    dilation, strict=True)
    ]
    out, result = result_of(build, input, shape)
    check(input, weight, out)
    w = build.contiguous(_by_depth(weight) if len(axes) == 3 else weight)
    x = build.memory(input)
    c = _described(x, axes, w, out, groups)
    size = math.prod(weight.shape[2:]) * w.dtype.itemsize
    original = winograd.Weights(c.weights, c.outputs * w.shape[1] * size, w.shape[1] * size, size)
    build.call(_planned(c, original, lambda guard: _direct(c, guard)), [x, w], [out])
    return result


def result_of(build: Lowering, like: Symbol, shape):
    """(dense memory for the result, what `lower` returns: None if that is the output's memory)."""
    out = build.output()
    if out.dtype == like.dtype and out.strides == row_major(out.shape):
        return out, None
    out = build.temporary(shape, like.dtype)
    return out, build.read(out)


def check(*operands) -> None:
    for x in operands:
        if x.dtype.name not in ("float32", "float64"):
            raise NotLowered(f"convolution of {x.dtype}")
        if 0 in x.shape:
            raise NotLowered("convolution of nothing")


def _by_depth(weight: Symbol) -> Symbol:
    """Weights (C_out, C, depth, height, width) with the depth before the channels."""
    return weight.transpose(0, 2, 1, 3, 4)


def image_of(x: View, axes, groups: int) -> Image:
    size, missing = x.dtype.itemsize, 3 - len(axes)
    strides = [s * size for s in x.strides]
    return Image(
        address_of(x), (*strides[:2], *(0,) * missing, *strides[2:]), x.shape[0],
        x.shape[1] // groups, (*(Axis(1, 1, 1),) * missing, *axes),
    )


def address_of(v: View) -> Address:
    return Address(v.root, v.offset * v.dtype.itemsize)


def _image_strides(out: View, rank: int) -> tuple[int, int, int]:
    """Bytes of N, C and depth of dense memory."""
    size = out.dtype.itemsize
    depth = out.strides[2] * size if rank == 3 else 0
    return out.strides[0] * size, out.strides[1] * size, depth


def _described(x: View, axes, weights: View, out: View, groups: int) -> forward.Convolution:
    return forward.Convolution(
        image_of(x, axes, groups), groups, out.shape[1] // groups, address_of(weights),
        address_of(out), _image_strides(out, len(axes)), out.dtype.name,
    )


def _direct(c: forward.Convolution, guard) -> list[Call]:
    if depthwise.suits(c.image, c.outputs):
        return depthwise.plan(c)
    return forward.plan(replace(c, guard=guard))


def _planned(c: forward.Convolution, original: winograd.Weights, directly):
    """The calls of a convolution; directly(guard): of the direct one."""
    if winograd.suits(c):
        return winograd.plan(c, original, directly)
    return directly(0)


# ---------------------------------------------------------------- the gradient of the input


def input_gradient(build: Lowering, grad: Symbol, weight: Symbol, shape, stride, padding, dilation,
                   groups):
    """The gradient with respect to the input: the transposed convolution."""
    out, result = result_of(build, grad, shape)
    check(grad, weight, out)
    x, w = build.memory(grad), build.contiguous(weight)
    made_whole = all(s == 1 for s in stride)
    phases = [
        [_phase(n, o, k, s, p, d, f) for f in range(s)]
        for n, o, k, s, p, d in zip(shape[2:], grad.shape[2:], weight.shape[2:], stride, padding,
                                    dilation, strict=True)
    ]
    made = {}
    for number in itertools.product(*map(range, stride)):
        part = [phases[i][f] for i, f in enumerate(number)]
        if any(taps is None or not axis.out for axis, taps in part):
            continue
        axes = [axis for axis, _ in part]
        to = out if made_whole else build.temporary((*shape[:2], *[a.out for a in axes]), out.dtype)
        made[(0,) * (3 - len(axes)) + number] = to
        _call_exchanged(build, x, axes, w, tuple(taps for _, taps in part), to, groups)
    if not made_whole:
        missing = (1,) * (5 - len(shape))
        build.call(
            interleave.plan(
                address_of(out), shape[0] * shape[1], (*missing, *shape[2:]), (*missing, *stride),
                {f: address_of(v) for f, v in made.items()}, out.dtype.name,
            ),
            made.values(), [out],
        )
    return result


def _phase(size, out, kernel, stride, padding, dilation, f):
    """Positions f, f + stride, ... of the input along a dimension: (axis, the taps that meet them).

    Position f + i * stride meets output (f + padding - tap * dilation) / stride + i, where that is
    whole.
    """
    count = -(-(size - f) // stride)
    taps = [t for t in range(kernel) if (f + padding - t * dilation) % stride == 0]
    if not taps:
        return Axis(out, max(count, 0), 1), None
    period = stride // math.gcd(stride, dilation)
    axis = Axis(out, max(count, 0), len(taps), 1, (f + padding - taps[0] * dilation) // stride,
                -(period * dilation // stride))
    return axis, slice(taps[0], None, period)


def _call_exchanged(build: Lowering, x: View, axes, w: View, taps, out: View, groups: int) -> None:
    """A convolution by some taps of the weights, with input and output channels exchanged."""
    kernel, size = w.shape[2:], w.dtype.itemsize
    numbers = np.arange(math.prod(kernel)).reshape(kernel)[taps]
    offsets = numbers.reshape(numbers.shape[0] if len(kernel) == 3 else 1, -1)
    outputs, channels = w.shape[0] // groups, w.shape[1]
    exchanged = build.temporary((groups * channels, outputs * numbers.size), w.dtype)
    c = _described(x, axes, exchanged, out, groups)

    def directly(guard):
        return [*exchange.plan(
            address_of(w), address_of(exchanged), groups, outputs, channels, math.prod(kernel),
            offsets, w.dtype.name, guard,
        ), *_direct(c, guard)]

    one = math.prod(kernel) * size
    original = winograd.Weights(address_of(w), outputs * channels * one, one, channels * one)
    whole = numbers.size == math.prod(kernel)  # some of the taps may be 3x3, too, but do not lie side by side
    build.call(_planned(c, original, directly) if whole else directly(0), [x, w], [out, exchanged])


# ---------------------------------------------------------------- the gradient of the weights


def weight_gradient(build: Lowering, grad: Symbol, input: Symbol, shape, stride, padding, dilation,
                    groups):
    """The gradient with respect to the weights."""
    out, result = result_of(build, grad, shape)
    check(grad, input, out)
    x, g = build.memory(input), build.contiguous(grad)
    axes = [
        Axis(n, o, k, s, -p, d)
        for n, o, k, s, p, d in zip(x.shape[2:], g.shape[2:], shape[2:], stride, padding, dilation,
                                    strict=True)
    ]
    wanted = convolution_weight.WeightGradient(
        image_of(x, axes, groups), groups, shape[0] // groups, address_of(g),
        _image_strides(g, len(axes)), address_of(out), out.dtype.name,
    )
    if depthwise.suits(wanted.image, wanted.outputs):
        calls = depthwise.plan_weight(wanted)
    elif winograd_weight.suits(wanted):
        calls = winograd_weight.plan(wanted, lambda guard: convolution_weight.plan(wanted, guard))
    else:
        calls = convolution_weight.plan(wanted)
    build.call(calls, [x, g], [out])
    return result
