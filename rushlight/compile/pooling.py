"""Poolings of a program as calls of kernels: what `ops/pooling.py` and `max_pooling.py` lower to."""

from __future__ import annotations

import math

from .convolving import address_of, check, image_of, result_of
from .expressions import NotLowered, row_major
from .kernels import pooling as kernels
from .kernels.windows import Axis
from .lowering import Lowering
from .symbolic import Symbol


def _axes(space, out, kernel, stride, padding, dilation) -> list[Axis]:
    if len(space) > 2:
        raise NotLowered("pooling in three dimensions")
    return [
        Axis(n, o, k, s, -p, d)
        for n, o, k, s, p, d in zip(space, out, kernel, stride, padding, dilation, strict=True)
    ]


def maxima(build: Lowering, input: Symbol, kernel, stride, padding, dilation, ceil_mode):
    """(maxima, their flat spatial indices)."""
    shape = build.metas[0].shape
    axes = _axes(input.shape[2:], shape[2:], kernel, stride, padding, dilation)
    check(input)
    if math.prod(input.shape[2:]) >= 1 << 31:
        raise NotLowered("planes of 2^31 elements")
    x = build.memory(input)
    values, index = build.temporary(shape, x.dtype), build.output(1)
    if index.strides != row_major(shape):
        index = build.temporary(shape, index.dtype)
    if build.output().dtype == x.dtype and build.output().strides == row_major(shape):
        values = build.output()
    calls = kernels.plan(
        "max", image_of(x, axes, 1), address_of(values), address_of(index), x.dtype.name
    )
    build.call(calls, [x], [values, index])
    for made, wanted in ((values, build.output()), (index, build.output(1))):
        if made != wanted:
            build.store(wanted, build.read(made))


def averages(build: Lowering, input: Symbol, kernel, stride, padding, ceil_mode, count_pad,
             divisor):
    """Averages over windows."""
    shape = build.metas[0].shape
    axes = _axes(input.shape[2:], shape[2:], kernel, stride, padding, (1,) * len(kernel))
    check(input)
    x = build.memory(input)
    out, result = result_of(build, input, shape)
    calls = kernels.plan("average", image_of(x, axes, 1), address_of(out), 0, x.dtype.name,
                         count_pad, divisor or 0)
    build.call(calls, [x], [out])
    return result


def average_gradient(build: Lowering, grad: Symbol, shape, kernel, stride, padding, ceil_mode,
                     count_pad, divisor):
    """The gradient of averages."""
    axes = _axes(shape[2:], grad.shape[2:], kernel, stride, padding, (1,) * len(kernel))
    check(grad)
    g = build.contiguous(grad)
    out, result = result_of(build, grad, shape)
    check(out)
    calls = kernels.plan("spread", image_of(out, axes, 1), address_of(g), 0, g.dtype.name,
                         count_pad, divisor or 0)
    build.call(calls, [g], [out])
    return result


def put_flat(build: Lowering, grad: Symbol, indices: Symbol, shape):
    """Values added at flat spatial indices of each plane."""
    check(grad)
    g, index = build.contiguous(grad), build.contiguous(indices)
    out, result = result_of(build, grad, shape)
    check(out)
    build.call(kernels.put(
        address_of(g), address_of(index), address_of(out), shape[0] * shape[1],
        math.prod(shape[2:]), math.prod(g.shape[2:]), g.dtype.name,
    ), [g, index], [out])
    return result
