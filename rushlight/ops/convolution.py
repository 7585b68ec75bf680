"""Convolutions: one operator for all ranks, its two gradients, and the transposed form.

Inputs are (N, C, *space), weights (C_out, C / groups, *kernel). The reference gathers the windows of the
input (im2col) and multiplies matrices.
"""

from __future__ import annotations

import importlib
import itertools
import math

import numpy as np

from ..interpret import products
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules
from .matmul import conj
from .values import zeros


def out_size(n: int, k: int, stride: int, pad: int, dilation: int) -> int:
    """The size of a convolution's output along one dimension."""
    return (n + 2 * pad - dilation * (k - 1) - 1) // stride + 1


def windows(x, kernel, stride, dilation):
    """All windows of a padded input: a view (N, C, *out, *kernel)."""
    space, steps = x.shape[2:], x.strides[2:]
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(space, kernel, stride, dilation, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:2], *out, *kernel),
        (
            *x.strides[:2],
            *(a * s for a, s in zip(steps, stride, strict=True)),
            *(a * d for a, d in zip(steps, dilation, strict=True)),
        ),
        writeable=False,
    )


def padded(x, pad):
    """The input with zeros around its spatial dimensions."""
    if not any(pad):
        return x
    made = zeros((*x.shape[:2], *(n + 2 * p for n, p in zip(x.shape[2:], pad, strict=True))), x.dtype, x)
    made[(slice(None), slice(None), *(slice(p, p + n) for n, p in
                                      zip(x.shape[2:], pad, strict=True)))] = x
    return made


def columns(x, kernel, stride, pad, dilation):
    """im2col: (N, out positions, C * kernel positions), contiguous."""
    w = windows(padded(x, pad), kernel, stride, dilation)
    r = len(kernel)
    n, c, out = x.shape[0], x.shape[1], w.shape[2 : 2 + r]
    w = w.transpose(0, *range(2, 2 + r), 1, *range(2 + r, 2 + 2 * r))
    return w.reshape(n, math.prod(out), c * math.prod(kernel)), out


def scattered(cols, shape, kernel, stride, pad, dilation):
    """col2im: columns (N, *out, C, *kernel) added up where their windows lie; (N, C, *space)."""
    r = len(kernel)
    out = cols.shape[1 : 1 + r]
    space = [n + 2 * p for n, p in zip(shape[2:], pad, strict=True)]
    made = zeros((*shape[:2], *space), cols.dtype, cols)
    for at in itertools.product(*(range(k) for k in kernel)):
        place = tuple(
            slice(a * d, a * d + s * (o - 1) + 1, s)
            for a, d, s, o in zip(at, dilation, stride, out, strict=True)
        )
        part = cols[(slice(None),) * (2 + r) + at]
        place = (slice(None), slice(None), *place)
        made[place] = made[place] + np.moveaxis(part, -1, 1)
    inner = tuple(slice(p, p + n) for n, p in zip(shape[2:], pad, strict=True))
    return made[(slice(None), slice(None), *inner)].copy() if any(pad) else made


def _rule(input: Meta, weight: Meta, stride, padding, dilation, groups) -> Meta:
    r = weight.ndim - 2
    if input.dtype is not weight.dtype:
        rules.fail(
            RuntimeError,
            f"Input type ({input.dtype.name}) and weight type ({weight.dtype.name}) should be the "
            "same",
        )
    if input.shape[1] != weight.shape[1] * groups:
        rules.fail(
            RuntimeError,
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected "
            f"input{list(input.shape)} to have {weight.shape[1] * groups} channels, but got "
            f"{input.shape[1]} channels instead",
        )
    if weight.shape[0] % groups:
        rules.fail(
            RuntimeError,
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {list(weight.shape)} instead",
        )
    space = []
    for i in range(r):
        n = out_size(input.shape[2 + i], weight.shape[2 + i], stride[i], padding[i], dilation[i])
        if n <= 0 and weight.shape[2 + i]:
            padded_sizes = [a + 2 * p for a, p in zip(input.shape[2:], padding, strict=True)]
            rules.fail(
                RuntimeError,
                f"Calculated padded input size per channel: ({' x '.join(map(str, padded_sizes))})."
                f" Kernel size: ({' x '.join(map(str, weight.shape[2:]))}). Kernel size can't be "
                "greater than actual input size",
            )
        space.append(n)
    return rules.images_like(
        (input.shape[0], weight.shape[0], *space), input.dtype, input, weight
    )


def compiled(module, name):
    """What an operator is compiled to: a function of a module in `compile`, imported when it is needed."""

    def lower(build, *args):
        return getattr(importlib.import_module(f"rushlight.compile.{module}"), name)(build, *args)

    return lower


BLOCK = 8 << 20  # bytes of columns at a time: they are many times the images, and stay in the cache


def _blocks(images: int, positions: int, kernel, channels: int, itemsize: int):
    """Slices of images whose columns take about BLOCK bytes."""
    step = max(1, BLOCK // max(positions * channels * math.prod(kernel) * itemsize, 1))
    return [slice(i, i + step) for i in range(0, images, step)]


def _flat(weight):
    """Weights as a matrix (C_out, C / groups * kernel positions)."""
    return weight.reshape(weight.shape[0], math.prod(weight.shape[1:]))


@op(
    _rule,
    gradient={
        "input": lambda g, input_meta, weight, stride, padding, dilation, groups: _conv_input(
            g, conj(weight), tuple(input_meta.shape), stride, padding, dilation, groups
        ),
        "weight": lambda g, input, weight_meta, stride, padding, dilation, groups: _conv_weight(
            g, conj(input), tuple(weight_meta.shape), stride, padding, dilation, groups
        ),
    },
    api="",
    lower=compiled("convolving", "convolution"),
)
def _convolution(input: Tensor, weight: Tensor, stride: tuple, padding: tuple, dilation: tuple,
                 groups: int):
    """The cross-correlation of input and weight."""
    parts = [
        _correlated(x, w, stride, padding, dilation)
        for x, w in zip(np.split(input, groups, 1), np.split(weight, groups, 0), strict=True)
    ]
    return parts[0] if groups == 1 else np.concatenate(parts, 1)


def _correlated(x, w, stride, pad, dilation):
    """The convolution of one group."""
    kernel, space = w.shape[2:], x.shape[2:]
    out = tuple([out_size(*sizes) for sizes in zip(space, kernel, stride, pad, dilation, strict=True)])
    made = np.empty((x.shape[0], w.shape[0], math.prod(out)), np.result_type(x, w))
    for images in _blocks(x.shape[0], math.prod(out), kernel, x.shape[1], made.itemsize):
        cols, _ = columns(x[images], kernel, stride, pad, dilation)
        products.matmul(_flat(w), cols.transpose(0, 2, 1), out=made[images])
    return made.reshape(x.shape[0], w.shape[0], *out)


def _cut(t, shape):
    """The first positions of each dimension: what a transposed convolution's input has of them.

    With output padding, the convolution of its output reaches more positions.
    """
    for d, n in enumerate(shape):
        if t.shape[d] != n:
            t = t.narrow(d, 0, n)
    return t


@op(
    lambda grad, weight, shape, *_: rules.images_like(shape, grad.dtype, grad, weight),
    gradient={
        "grad": lambda g, grad_meta, weight, stride, padding, dilation, groups: _cut(
            _convolution(g, conj(weight), stride, padding, dilation, groups), grad_meta.shape
        ),
        "weight": lambda g, grad, weight_meta, stride, padding, dilation, groups: _conv_weight(
            conj(grad), g, tuple(weight_meta.shape), stride, padding, dilation, groups
        ),
    },
    api="",
    lower=compiled("convolving", "input_gradient"),
)
def _conv_input(grad: Tensor, weight: Tensor, shape: tuple, stride: tuple, padding: tuple,
                dilation: tuple, groups: int):
    """The gradient of a convolution's input (which is also the transposed convolution)."""
    kernel = weight.shape[2:]
    n, out = grad.shape[0], grad.shape[2:]
    parts = []
    for g, w in zip(np.split(grad, groups, 1), np.split(weight, groups, 0), strict=True):
        flat = g.reshape(n, g.shape[1], math.prod(out)).transpose(0, 2, 1)
        made = np.empty((n, w.shape[1], *shape[2:]), np.result_type(g, w))
        for images in _blocks(n, math.prod(out), kernel, w.shape[1], made.itemsize):
            cols = products.matmul(flat[images], _flat(w)).reshape(-1, *out, w.shape[1], *kernel)
            made[images] = scattered(cols, made[images].shape, kernel, stride, padding, dilation)
        parts.append(made)
    return parts[0] if groups == 1 else np.concatenate(parts, 1)


@op(
    lambda grad, input, shape, *_: meta(shape, grad.dtype),
    gradient={
        "grad": lambda g, grad_meta, input, stride, padding, dilation, groups: _cut(
            _convolution(conj(input), g, stride, padding, dilation, groups), grad_meta.shape
        ),
        "input": lambda g, grad, input_meta, stride, padding, dilation, groups: _conv_input(
            conj(grad), g, tuple(input_meta.shape), stride, padding, dilation, groups
        ),
    },
    api="",
    lower=compiled("convolving", "weight_gradient"),
)
def _conv_weight(grad: Tensor, input: Tensor, shape: tuple, stride: tuple, padding: tuple,
                 dilation: tuple, groups: int):
    """The gradient of a convolution's weight."""
    kernel = shape[2:]
    parts = []
    for g, x in zip(np.split(grad, groups, 1), np.split(input, groups, 1), strict=True):
        made = np.zeros((g.shape[1], x.shape[1] * math.prod(kernel)), np.result_type(g, x))
        reached = math.prod(g.shape[2:])
        for images in _blocks(x.shape[0], reached, kernel, x.shape[1], made.itemsize):
            cols, out = columns(x[images], kernel, stride, padding, dilation)
            if out != g.shape[2:]:  # output padding of a transposed convolution adds positions
                every = cols.reshape(-1, *out, cols.shape[2])
                cols = every[(slice(None), *(slice(k) for k in g.shape[2:]))]
            flat = np.moveaxis(g[images], 1, 0).reshape(g.shape[1], -1)
            made += products.matmul(flat, cols.reshape(flat.shape[1], made.shape[1]))
        parts.append(made.reshape(g.shape[1], x.shape[1], *kernel))
    return parts[0] if groups == 1 else np.concatenate(parts, 0)


# ---------------------------------------------------------------- public functions


def tuple_of(x, rank: int, name: str) -> tuple[int, ...]:
    """An int or a sequence as `rank` ints."""
    if isinstance(x, int):
        return (x,) * rank
    x = tuple(int(i) for i in x)
    if len(x) == 1:
        return x * rank
    if len(x) != rank:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {rank} "
                           f"values to match the convolution dimensions, but got {name}={list(x)}")
    return x


def _convolve(name, rank, input, weight, bias, stride, padding, dilation, groups):
    if weight.ndim != rank + 2:
        raise RuntimeError(
            f"Expected {rank + 2}-dimensional weight for {name}, but got weight of size "
            f"{list(weight.shape)}"
        )
    single = input.ndim == rank + 1
    if not single and input.ndim != rank + 2:
        raise RuntimeError(
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, but got "
            f"input of size: {list(input.shape)}"
        )
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    stride = tuple_of(stride, rank, "stride")
    dilation = tuple_of(dilation, rank, "dilation")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError(
            f"Input type ({input.dtype.name}) and bias type ({bias.dtype.name}) should be the same"
        )
    if not weight.shape[0]:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got "
            f"weight of size {list(weight.shape)} instead"
        )
    if single:
        input = input.unsqueeze(0)
    if isinstance(padding, str):
        input, padding = _named_padding(input, weight, padding, stride, dilation, rank)
    padding = tuple_of(padding, rank, "padding")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if bias is not None and bias.shape != (weight.shape[0],):
        raise RuntimeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
            f"{weight.shape[0]} elements, but got bias of size {list(bias.shape)} instead"
        )
    out = _convolution(input, weight, stride, padding, dilation, groups)
    if input.shape[0] and input.shape[1] and 0 in input.shape[2:]:
        raise RuntimeError(
            f"Only zero batch or zero channel inputs are supported, but got input shape: {list(input.shape)}"
        )
    if not input.shape[1]:  # PyTorch's result of no channels has none
        out = (input.sum() + weight.sum()) * out.detach()[:, :0]
        bias = None
    if bias is not None:
        out = out + bias.reshape(1, -1, *(1,) * rank)
    return out.squeeze(0) if single else out


def _named_padding(input, weight, padding, stride, dilation, rank):
    if padding == "valid":
        return input, (0,) * rank
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    uneven = [t % 2 for t in total]
    if any(uneven):
        from .shape import constant_pad_nd

        widths: list[int] = []
        for u in reversed(uneven):
            widths += [0, u]
        input = constant_pad_nd(input, tuple(widths), 0)
    return input, tuple(t // 2 for t in total)


def _public(rank):
    name = f"conv{rank}d"

    def conv(input: Tensor, weight: Tensor, bias=None, stride=1, padding=0, dilation=1,
             groups: int = 1):
        return _convolve(name, rank, input, weight, bias, stride, padding, dilation, groups)

    conv.__name__ = name
    conv.__doc__ = (
        f"{rank}-dimensional cross-correlation of (N, C, *space) or (C, *space) inputs with weights "
        "(C_out, C / groups, *kernel). padding: numbers, 'valid' or 'same'."
    )
    return function(api="nn.functional torch")(conv)


conv1d, conv2d, conv3d = _public(1), _public(2), _public(3)


def _transposed(rank):
    name = f"conv_transpose{rank}d"

    def conv(input: Tensor, weight: Tensor, bias=None, stride=1, padding=0, output_padding=0,
             groups: int = 1, dilation=1):
        if weight.ndim != rank + 2 or 0 in weight.shape[:2]:
            raise RuntimeError(
                f"Expected non-empty {rank + 2}-dimensional weight for {name}, but got weight of size "
                f"{list(weight.shape)}"
            )
        if bias is not None and bias.dtype is not input.dtype:
            raise RuntimeError(
                f"Input type ({input.dtype.name}) and bias type ({bias.dtype.name}) should be the same"
            )
        if bias is not None and bias.shape != (weight.shape[1] * groups,):
            raise RuntimeError(
                f"Given transposed=1, weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
                f"{weight.shape[1] * groups} elements, but got bias of size {list(bias.shape)} instead"
            )
        single = input.ndim == rank + 1
        if single:
            input = input.unsqueeze(0)
        if input.ndim != rank + 2:
            raise RuntimeError(
                f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, but "
                f"got input of size: {list(input.shape)}"
            )
        if input.shape[1] != weight.shape[0]:
            raise RuntimeError(
                f"Given transposed=1, weight of size {list(weight.shape)}, expected "
                f"input{list(input.shape)} to have {weight.shape[0]} channels, but got "
                f"{input.shape[1]} channels instead"
            )
        stride, padding = tuple_of(stride, rank, "stride"), tuple_of(padding, rank, "padding")
        dilation = tuple_of(dilation, rank, "dilation")
        extra = tuple_of(output_padding, rank, "output_padding")
        for e, s, d in zip(extra, stride, dilation, strict=True):
            if e >= s and e >= d:
                raise RuntimeError(
                    "output padding must be smaller than either stride or dilation, but got "
                    f"output_padding: {list(extra)}"
                )
        space = [
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(
                input.shape[2:], stride, padding, dilation, weight.shape[2:], extra, strict=True
            )
        ]
        if any(n <= 0 for n in space):
            raise RuntimeError(
                f"Given input size per channel: {list(input.shape[2:])}. Calculated output size per "
                f"channel: {space}. Output size is too small"
            )
        if input.shape[0] and 0 in input.shape[2:]:
            raise RuntimeError(
                f"Only zero batch or zero channel inputs are supported, but got input shape: {list(input.shape)}"
            )
        shape = (input.shape[0], weight.shape[1] * groups, *space)
        out = _conv_input(input, weight, shape, stride, padding, dilation, groups)
        if bias is not None:
            out = out + bias.reshape(1, -1, *(1,) * rank)
        return out.squeeze(0) if single else out

    conv.__name__ = name
    conv.__doc__ = (
        f"{rank}-dimensional transposed convolution: the gradient of `conv{rank}d` with respect to "
        "its input. Weights are (C, C_out / groups, *kernel)."
    )
    return function(api="nn.functional torch")(conv)


conv_transpose1d, conv_transpose2d, conv_transpose3d = (_transposed(r) for r in (1, 2, 3))


# ---------------------------------------------------------------- windows as columns


@op(
    lambda input, kernel, dilation, padding, stride: meta(
        (input.shape[0], input.shape[1] * math.prod(kernel), math.prod(
            out_size(n, k, s, p, d)
            for n, k, s, p, d in zip(input.shape[2:], kernel, stride, padding, dilation,
                                     strict=True))),
        input.dtype,
    ),
    gradient={
        "input": lambda g, input_meta, kernel, dilation, padding, stride: _fold(
            g, tuple(input_meta.shape[2:]), kernel, dilation, padding, stride
        )
    },
    api="",
)
def _unfold(input: Tensor, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple):
    n, c = input.shape[:2]
    out = [out_size(*sizes) for sizes in zip(input.shape[2:], kernel, stride, padding, dilation, strict=True)]
    x = padded(input, padding)
    parts = []
    for at in itertools.product(*(range(k) for k in kernel)):
        place = tuple(slice(a * d, a * d + s * (o - 1) + 1, s)
                      for a, d, s, o in zip(at, dilation, stride, out, strict=True))
        parts.append(x[(slice(None), slice(None), *place)].reshape(n, c, math.prod(out)))
    return np.stack(parts, 2).reshape(n, c * math.prod(kernel), math.prod(out))


@op(
    lambda input, size, kernel, dilation, padding, stride: meta(
        (input.shape[0], input.shape[1] // math.prod(kernel), *size), input.dtype
    ),
    gradient={
        "input": lambda g, kernel, dilation, padding, stride: _unfold(
            g, kernel, dilation, padding, stride
        )
    },
    api="",
)
def _fold(input: Tensor, size: tuple, kernel: tuple, dilation: tuple, padding: tuple,
          stride: tuple):
    n, c = input.shape[0], input.shape[1] // math.prod(kernel)
    out = [out_size(a, k, s, p, d) for a, k, s, p, d in
           zip(size, kernel, stride, padding, dilation, strict=True)]
    cols = input.reshape(n, c, *kernel, *out)
    r = len(kernel)
    cols = cols.transpose(0, *range(2 + r, 2 + 2 * r), 1, *range(2, 2 + r))
    return scattered(cols, (n, c, *size), kernel, stride, padding, dilation)


def _window_options(name, *given):
    """(kernel, dilation, padding, stride) as pairs, checked."""
    pairs = [tuple_of(a, 2, "argument") for a in given]
    for what, pair, least in zip(("kernel size", "dilation", "padding", "stride"), pairs,
                                 (1, 1, 0, 1), strict=True):
        if min(pair) < least:
            raise RuntimeError(
                f"{name}: {what} should be {'greater than zero' if least else 'non-negative'}, but "
                f"got {list(pair)}"
            )
    return pairs


@function(api="nn.functional")
def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1):
    """Windows of images as columns: (N, C, H, W) to (N, C * kernel, positions)."""
    if input.ndim < 3:
        raise IndexError(
            f"unfold: expected a 3D or 4D input tensor, but got input of size {list(input.shape)}"
        )
    options = _window_options("unfold", kernel_size, dilation, padding, stride)
    single = input.ndim == 3
    x = input.unsqueeze(0) if single else input
    space = _positions(x.shape[2:], *options)
    if min(space) <= 0:
        raise RuntimeError(
            f"unfold: Given input with spatial size {list(x.shape[2:])}, kernel_size="
            f"{list(options[0])}, dilation={list(options[1])}, padding={list(options[2])}, calculated "
            f"shape of the array of sliding blocks as {space}, but its components must be at "
            "least one."
        )
    out = _unfold(x, *options)
    return out.squeeze(0) if single else out


def _positions(size, kernel, dilation, padding, stride) -> list[int]:
    return [out_size(a, k, s, p, d) for a, k, s, p, d in
            zip(size, kernel, stride, padding, dilation, strict=True)]


@function(api="nn.functional")
def fold(input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The reverse of `unfold`: columns (N, C * kernel, positions) added up to images."""
    size = tuple_of(output_size, 2, "output_size")
    options = _window_options("fold", kernel_size, dilation, padding, stride)
    single = input.ndim == 2
    x = input.unsqueeze(0) if single else input
    count, space = math.prod(options[0]), _positions(size, *options)
    if x.ndim != 3 or x.shape[1] % count or x.shape[2] != math.prod(space):
        raise RuntimeError(
            f"fold: an input of size {list(input.shape)} does not hold blocks of kernel_size "
            f"{list(options[0])} at the {space} positions in an output of size {list(size)}"
        )
    out = _fold(x, size, *options)
    return out.squeeze(0) if single else out
