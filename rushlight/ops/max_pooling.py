"""Pooling by maxima over windows: fixed, adaptive and random windows, and the way back."""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import IntTensor, Tensor, function, op
from . import rules
from .convolution import compiled, windows
from .pointwise import piecewise
from .pooling import adaptive_out, batched, bounds_of, framed, ints, output_space
from .scatter import combined
from .values import bounded, counted, zeros

NN = "nn.functional"


def _max_gradient(g, out, input_meta):
    """Gradients go to where the maxima were."""
    if g[0] is None:
        return None
    return piecewise(_put_flat(g[0], out[1], tuple(input_meta.shape)), out[0])


def _both(shape, input: Meta):
    """The Metas of maxima and of where they are."""
    return rules.images_like(shape, input.dtype, input), rules.images_like(
        shape, dtypes.int64, input
    )


def _max_rule(input: Meta, kernel, stride, padding, dilation, ceil_mode):
    space = output_space(input.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    return _both((*input.shape[:2], *space), input)


@op(
    lambda grad, indices, shape: meta(shape, grad.dtype),
    gradient={"grad": lambda g, indices: _take_flat(g, indices)},
    api="",
    lower=compiled("pooling", "put_flat"),
)
def _put_flat(grad: Tensor, indices: IntTensor, shape: tuple):
    """Values added at flat spatial indices of each channel, zeros elsewhere."""
    n, c = shape[:2]
    size = math.prod(shape[2:])
    count = math.prod(indices.shape[2:])
    indices = bounded(indices, size, lambda wrong: RuntimeError(
        f"max index {wrong.flat[0]} lies outside of an input of size {'x'.join(map(str, shape[2:]))}: a pooling window "
        "held padding only"))
    at = (indices.reshape(n * c, count) + np.arange(n * c)[:, None] * size).reshape(-1)
    made = np.bincount(at, grad.reshape(-1), n * c * size) if at.size else np.zeros(n * c * size)
    return made.astype(grad.dtype).reshape(shape)


@op(
    lambda input, indices: meta(indices.shape, input.dtype),
    gradient={"input": lambda g, input_meta, indices: _put_flat(
        g, indices, tuple(input_meta.shape))},
    api="",
)
def _take_flat(input: Tensor, indices: IntTensor):
    """Values at flat spatial indices of each channel."""
    n, c = input.shape[:2]
    size = math.prod(indices.shape[2:])
    flat = input.reshape(n, c, math.prod(input.shape[2:]))
    return np.take_along_axis(flat, indices.reshape(n, c, size), 2).reshape(indices.shape)


@op(
    _max_rule,
    gradient={"input": _max_gradient},
    api="",
    lower=compiled("pooling", "maxima"),
)
def _max_pool(input: Tensor, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple,
              ceil_mode: bool):
    """(maxima over windows, their flat spatial indices)."""
    r = len(kernel)
    space = input.shape[2:]
    out = output_space(space, kernel, stride, padding, dilation, ceil_mode)
    low = -np.inf if input.dtype.kind == "f" else np.iinfo(input.dtype).min
    x = framed(input, kernel, stride, padding, dilation, out, low)
    w = windows(x, kernel, stride, dilation)[(slice(None),) * 2 + tuple(slice(o) for o in out)]
    first = np.zeros((1,) * r, np.int64)  # each window's first tap that is not in the frame
    for i in range(r):
        ahead = np.maximum(padding[i] - np.arange(out[i]) * stride[i], 0)
        along = [1] * r
        along[i] = out[i]
        first = first * kernel[i] + -(-ahead // dilation[i]).reshape(along)
    best = np.full(w.shape[: 2 + r], low, input.dtype)
    which = np.broadcast_to(first, best.shape).copy()
    for k, at in enumerate(itertools.product(*(range(a) for a in kernel))):
        part = w[(slice(None),) * (2 + r) + at]
        better = part > best
        if input.dtype.kind == "f":
            better |= np.isnan(part)
        best[better] = part[better]
        which[better] = k
    offsets = np.array(list(itertools.product(*(range(a) for a in kernel))), np.int64).T
    index = np.zeros(best.shape, np.int64)
    for i in range(r):
        start = np.arange(out[i]) * stride[i] - padding[i]
        along = [1] * best.ndim
        along[2 + i] = out[i]
        position = start.reshape(along) + offsets[i][which] * dilation[i]
        index = index * space[i] + position
    return best, index


def _max_public(rank):
    name = f"max_pool{rank}d"

    def pool(input: Tensor, kernel_size, stride=None, padding=0, dilation=1,
             ceil_mode: bool = False, return_indices: bool = False):
        x, single = batched(input, rank, name)
        kernel = ints(kernel_size, rank, f"{name}: kernel_size")
        stride = kernel if stride is None or stride == () or stride == [] else ints(stride, rank, "stride")
        dilation = ints(dilation, rank, "dilation")
        for given, sizes in (("stride", stride), ("dilation", dilation)):
            if any(s <= 0 for s in sizes):
                raise RuntimeError(
                    f"{name}() {given} must be greater than zero, but got {list(sizes)}"
                )
        if 0 in x.shape[1:]:
            raise RuntimeError(
                f"{name}: Expected input's non-batch dimensions to have positive length, but got "
                f"input of size {list(input.shape)}"
            )
        values, indices = _max_pool(
            x, kernel, stride, ints(padding, rank, "padding"),
            dilation, ceil_mode,
        )
        if single:
            values, indices = values.squeeze(0), indices.squeeze(0)
        return (values, indices) if return_indices else values

    pool.__name__ = name
    pool.__doc__ = f"Maxima over {rank}-dimensional windows; with return_indices also where."
    made = function(api="nn.functional torch")(pool)

    def with_indices(input: Tensor, kernel_size, stride=None, padding=0, dilation=1,
                     ceil_mode: bool = False, return_indices: bool = True):
        return pool(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    with_indices.__name__ = name + "_with_indices"
    with_indices.__doc__ = pool.__doc__
    function(api="nn.functional")(with_indices)
    return made


max_pool1d, max_pool2d, max_pool3d = (_max_public(r) for r in (1, 2, 3))


# ---------------------------------------------------------------- adaptive


def _adaptive_rule(input: Meta, out):
    return _both((*input.shape[:2], *out), input)


@op(
    _adaptive_rule,
    gradient={"input": _max_gradient},
    api="",
)
def _adaptive_max(input: Tensor, size: tuple):
    """(maxima over windows that give `size`, their flat spatial indices)."""
    n, c = input.shape[:2]
    space = input.shape[2:]
    values = np.empty((n, c, *size), input.dtype)
    index = np.empty((n, c, *size), np.int64)
    flat = np.arange(math.prod(space)).reshape(space)
    bounds = [list(enumerate(bounds_of(a, o))) for a, o in zip(space, size, strict=True)]
    for cell in itertools.product(*bounds):
        at = tuple(i for i, _ in cell)
        part = tuple(slice(a, b) for _, (a, b) in cell)
        window = input[(slice(None), slice(None), *part)].reshape(n, c, flat[part].size)
        which = np.argmax(window, axis=2)
        place = (slice(None), slice(None), *at)
        values[place] = np.take_along_axis(window, which[..., None], 2)[..., 0]
        index[place] = flat[part].reshape(-1)[which]
    return values, index


def _adaptive_max_public(rank):
    name = f"adaptive_max_pool{rank}d"

    def pool(input: Tensor, output_size, return_indices: bool = False):
        if input.ndim not in (rank + 1, rank + 2):
            raise (ValueError if rank > 1 else RuntimeError)(
                f"{name}: Input dimension should be at least {rank + 1}, got input of size "
                f"{list(input.shape)}"
            )
        x, single = batched(input, rank, name)
        if 0 in input.shape[1:]:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got "
                f"input of size {list(input.shape)}"
            )
        space, out = tuple(x.shape[2:]), adaptive_out(x, output_size, rank)
        if all(o and n % o == 0 for n, o in zip(space, out, strict=True)):  # equal windows
            kernel = tuple(n // o for n, o in zip(space, out, strict=True))
            values, index = _max_pool(x, kernel, kernel, (0,) * rank, (1,) * rank, False)
        else:
            values, index = _adaptive_max(x, out)
        if single:
            values, index = values.squeeze(0), index.squeeze(0)
        return (values, index) if return_indices else values

    pool.__name__ = name
    pool.__doc__ = f"Maxima over {rank}-dimensional windows that give `output_size`."
    return function(api=NN)(pool)


adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _adaptive_max_public(r) for r in (1, 2, 3)
)


def _adaptive_with_indices(rank):
    pool = (adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d)[rank - 1]

    def with_indices(input: Tensor, output_size, return_indices: bool = False):
        return pool(input, output_size, True)

    with_indices.__name__ = f"adaptive_max_pool{rank}d_with_indices"
    with_indices.__doc__ = f"(maxima, flat indices) as `adaptive_max_pool{rank}d`."
    return function(api=NN)(with_indices)


for _rank in (1, 2, 3):
    _adaptive_with_indices(_rank)


# ---------------------------------------------------------------- the way back


def _unpool_rule(input: Meta, indices: Meta, space) -> Meta:
    if indices.dtype is not dtypes.int64:
        rules.fail(
            RuntimeError,
            f"elements in indices should be type int64 but got: {dtypes.type_name(indices.dtype)}",
        )
    if indices.shape != input.shape:
        rules.fail(
            RuntimeError,
            f"Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}",
        )
    if 0 in input.shape[1:]:
        rules.fail(
            RuntimeError,
            "max_unpool: Expected input to have non-zero size for non-batch dimensions, but got "
            f"input of size {list(input.shape)}",
        )
    return meta((*input.shape[:2], *space), input.dtype)


@op(
    _unpool_rule,
    gradient={"input": lambda g, indices: _take_flat(g, indices)},
    api="",
)
def _unpool(input: Tensor, indices: IntTensor, space: tuple):
    """Values put at flat spatial indices of each channel, zeros elsewhere."""
    n, c = input.shape[:2]
    size = math.prod(space)
    indices = bounded(indices, size, lambda wrong: RuntimeError(
        f"Found an invalid max index: {wrong.flat[0]} (output volumes are of size {'x'.join(map(str, space))})"
    ))
    count = math.prod(input.shape[2:])
    at = (indices.reshape(n * c, count) + counted(n * c, indices)[:, None] * size).reshape(-1)
    if not count * n * c:
        return zeros((n, c, *space), input.dtype, input)
    made = combined(zeros((n * c * size, 1), input.dtype, input), at, input.reshape(-1, 1), "set")
    return made.reshape(n, c, *space)


def _unpool_size(input, kernel, stride, padding, output_size, rank):
    """The spatial size before the pooling: as computed, or as given within a stride of that."""
    space = input.shape[-rank:]
    default = [
        (n - 1) * s + k - 2 * p for n, k, s, p in zip(space, kernel, stride, padding, strict=True)
    ]
    if output_size is None:
        return tuple(default)
    size = list(output_size)
    if len(size) == rank + 2:
        size = size[2:]
    if len(size) != rank:
        raise ValueError(
            f"output_size should be a sequence containing {rank} or {rank + 2} elements, but it "
            f"has a length of '{len(size)}'"
        )
    for d, (n, base, s) in enumerate(zip(size, default, stride, strict=True)):
        if not base - s < n < base + s:
            raise ValueError(
                f'invalid output_size "{size}" (dim {d} must be between {base - s} and {base + s})'
            )
    return tuple(size)


def _unpool_public(rank):
    name = f"max_unpool{rank}d"

    def unpool(input: Tensor, indices: IntTensor, kernel_size, stride=None, padding=0,
               output_size=None):
        kernel = ints(kernel_size, rank, "kernel_size")
        stride = kernel if stride is None else ints(stride, rank, "stride")
        padding = ints(padding, rank, "padding")
        if input.ndim not in (rank + 1, rank + 2):
            raise RuntimeError(
                f"Input to {name} should be a {rank + 1}d or {rank + 2}d Tensor, but got tensor of "
                f"shape: {list(input.shape)}"
            )
        if any(s <= 0 for s in stride):
            raise RuntimeError(
                f"{name}: strides should be greater than zero, but got stride: {list(stride)}"
            )
        space = _unpool_size(input, kernel, stride, padding, output_size, rank)
        if input.ndim == rank + 1:
            return _unpool(input.unsqueeze(0), indices.unsqueeze(0), space).squeeze(0)
        return _unpool(input, indices, space)

    unpool.__name__ = name
    unpool.__doc__ = f"The values of `max_pool{rank}d` back at their indices; zeros elsewhere."
    return function(api=NN)(unpool)


max_unpool1d, max_unpool2d, max_unpool3d = (_unpool_public(r) for r in (1, 2, 3))


# ---------------------------------------------------------------- random windows


def _starts(sample, size, out, kernel):
    """The start of each window along a dimension of `size`; sample: (N, C) numbers in [0, 1)."""
    at = np.zeros((*sample.shape, out), np.int64)
    if out > 1:
        alpha = sample.dtype.type((size - kernel) / (out - 1))
        steps = np.arange(out).astype(sample.dtype) + sample[..., None]
        at = (steps * alpha).astype(np.int64) - (sample * alpha).astype(np.int64)[..., None]
    at[..., -1:] = size - kernel
    return at


def _fractional_rule(input: Meta, samples: Meta, kernel, out):
    for k, o, n in zip(kernel, out, input.shape[2:], strict=True):
        if o + k - 1 > n:
            rules.fail(
                RuntimeError,
                f"fractional_max_pool(): pool size {k} with output size {o} is too large for input "
                f"of size {list(input.shape[2:])}",
            )
    r = len(kernel)
    if samples.dtype is not input.dtype:
        rules.fail(RuntimeError, "Expect _random_samples to have the same dtype as input")
    if samples.ndim != 3 or samples.shape[0] < input.shape[0] or \
            samples.shape[1] < input.shape[1] or samples.shape[2] != r:
        rules.fail(
            RuntimeError,
            f"Expect _random_samples to have shape {[*input.shape[:2], r]}, but got "
            f"{list(samples.shape)}",
        )
    shape = (*input.shape[:2], *out)
    return meta(shape, input.dtype), meta(shape, dtypes.int64)


@op(
    _fractional_rule,
    gradient={"input": _max_gradient},
    api="",
)
def _fractional_max(input: Tensor, samples: Tensor, kernel: tuple, out: tuple):
    """(maxima over windows at pseudo-random places, their flat spatial indices)."""
    n, c, *space = input.shape
    r = len(kernel)
    samples = samples[:n, :c]
    order = (1, 0) if r == 2 else (0, 1, 2)  # PyTorch's first sample is the width's in 2-d
    starts = [
        _starts(samples[..., order[i]], space[i], out[i], kernel[i]).reshape(
            n, c, *(out[i] if j == i else 1 for j in range(r)))
        for i in range(r)
    ]
    flat = input.reshape(n, c, math.prod(space))
    best = which = None
    for at in itertools.product(*(range(k) for k in kernel)):
        index = np.zeros((n, c, *out), np.int64)
        for i in range(r):
            index = index * space[i] + starts[i] + at[i]
        part = np.take_along_axis(flat, index.reshape(n, c, math.prod(out)), 2).reshape(index.shape)
        if best is None:
            best, which = part.copy(), index
            continue
        better = (part > best) | np.isnan(part)
        best[better], which[better] = part[better], index[better]
    return best, which


def _fractional_public(rank):
    name = f"fractional_max_pool{rank}d"

    def with_indices(input: Tensor, kernel_size, output_size=None, output_ratio=None,
                     return_indices: bool = False, _random_samples: Tensor | None = None):
        if output_size is None and output_ratio is None:
            raise ValueError(
                f"{name} requires specifying either an output_size or an output_ratio"
            )
        kernel = ints(kernel_size, rank, "kernel_size")
        if output_size is None:
            ratio = (output_ratio,) * rank if isinstance(output_ratio, (int, float)) \
                else tuple(output_ratio)
            size = tuple(int(n * a) for n, a in zip(input.shape[-rank:], ratio, strict=True))
        else:
            size = ints(output_size, rank, "output_size")
        x, single = batched(input, rank, name)
        if 0 in x.shape[1:]:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got "
                f"input of size {list(input.shape)}"
            )
        if _random_samples is None:
            from .random import rand

            _random_samples = rand(*x.shape[:2], rank, dtype=x.dtype)
        values, indices = _fractional_max(x, _random_samples, kernel, size)
        return (values.squeeze(0), indices.squeeze(0)) if single else (values, indices)

    def pool(input: Tensor, kernel_size, output_size=None, output_ratio=None,
             return_indices: bool = False, _random_samples: Tensor | None = None):
        values, indices = with_indices(input, kernel_size, output_size, output_ratio, True,
                                       _random_samples)
        return (values, indices) if return_indices else values

    pool.__name__, with_indices.__name__ = name, name + "_with_indices"
    pool.__doc__ = with_indices.__doc__ = (
        f"Maxima over {rank}-dimensional windows at pseudo-random places (Graham, 2014)."
    )
    function(api=NN)(with_indices)
    return function(api=NN)(pool)


fractional_max_pool2d, fractional_max_pool3d = (_fractional_public(r) for r in (2, 3))
