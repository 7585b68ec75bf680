"""Pooling by averages and p-norms over windows; the shapes of all poolings."""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules
from .convolution import compiled, windows
from .pointwise import piecewise

NN = "nn.functional"


def ints(x, rank, name):
    if isinstance(x, int):
        return (x,) * rank
    x = tuple(int(i) for i in x)
    if len(x) == 1:
        return x * rank
    if len(x) != rank:
        raise RuntimeError(f"{name} must either be a single int, or a tuple of {rank} ints")
    return x


def pooled_size(n, k, s, p, d, ceil_mode):
    """The size of a pooling's output along one dimension."""
    span = n + 2 * p - d * (k - 1) - 1
    size = (-(-span // s) if ceil_mode else span // s) + 1
    if ceil_mode and (size - 1) * s >= n + p:
        size -= 1
    return size


def output_space(shape, kernel, stride, padding, dilation, ceil_mode):
    made = []
    for n, k, s, p, d in zip(shape, kernel, stride, padding, dilation, strict=True):
        if p < 0:
            rules.fail(RuntimeError, f"pad must be non-negative, but got pad={p}")
        if p > k // 2:
            rules.fail(
                RuntimeError,
                f"pad should be at most half of effective kernel size, but got pad={p}, "
                f"kernel_size={k} and dilation={d}",
            )
        size = pooled_size(n, k, s, p, d, ceil_mode)
        if size <= 0:
            rules.fail(
                RuntimeError,
                f"Given input size: {list(shape)}. Calculated output size is too small",
            )
        made.append(size)
    return tuple(made)


def framed(x, kernel, stride, padding, dilation, out, value):
    """The input in a frame of `value`, large enough for every window."""
    r = len(kernel)
    need = [
        max((o - 1) * s + d * (k - 1) + 1, n + p)
        for o, s, d, k, n, p in zip(out, stride, dilation, kernel, x.shape[2:], padding,
                                    strict=True)
    ]
    if not any(padding) and tuple(need) == x.shape[2:]:
        return x
    made = np.full((*x.shape[:2], *(max(a, n + p) for a, n, p in
                                    zip(need, x.shape[2:], padding, strict=True))), value, x.dtype)
    inner = tuple(slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True))
    made[(slice(None), slice(None), *inner)] = x
    return made[(slice(None),) * 2 + tuple(slice(0, a) for a in need)] if r else made


def batched(input, rank, name):
    if input.dtype is dtypes.bool_:
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")
    if input.ndim < rank + 1 and name == "avg_pool2d":  # (the others raise RuntimeError)
        raise IndexError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D input tensor, but got input of size "
            f"{list(input.shape)}"
        )
    if input.ndim == rank + 1:
        return input.unsqueeze(0), True
    if input.ndim != rank + 2:
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D input tensor, but got input of size "
            f"{list(input.shape)}"
        )
    return input, False


# ---------------------------------------------------------------- averages


def _average_rule(input: Meta, kernel, stride, padding, ceil_mode, count_pad, divisor) -> Meta:
    one = (1,) * len(kernel)
    space = output_space(input.shape[2:], kernel, stride, padding, one, ceil_mode)
    images = (input,) if len(space) == 2 else ()
    return rules.images_like((*input.shape[:2], *space), input.dtype, *images)


def _divisors(space, out, kernel, stride, padding, count_pad, divisor):
    """The number that each window's sum is divided by."""
    if divisor:
        return np.full(out, divisor, np.float64)
    made = np.ones((1,) * len(out))
    for i, (n, o, k, s, p) in enumerate(zip(space, out, kernel, stride, padding, strict=True)):
        start = np.arange(o) * s - p
        end = np.minimum(start + k, n + p)
        if count_pad:
            size = end - start
        else:
            size = np.minimum(end, n) - np.maximum(start, 0)
        along = [1] * len(out)
        along[i] = o
        made = made * size.reshape(along)
    return made


@op(
    lambda grad, shape, *_: meta(shape, grad.dtype),
    gradient={"grad": lambda g, kernel, stride, padding, ceil_mode, count_pad, divisor: _average(
        g, kernel, stride, padding, ceil_mode, count_pad, divisor)},
    api="",
    lower=compiled("pooling", "average_gradient"),
)
def _average_backward(grad: Tensor, shape: tuple, kernel: tuple, stride: tuple, padding: tuple,
                      ceil_mode: bool, count_pad: bool, divisor: int | None):
    """The gradient of an average pooling."""
    space, out = shape[2:], grad.shape[2:]
    share = grad / _divisors(space, out, kernel, stride, padding, count_pad, divisor).astype(
        grad.dtype)
    frame = [max((o - 1) * s + k, n + 2 * p) for o, s, k, n, p in
             zip(out, stride, kernel, space, padding, strict=True)]
    made = np.zeros((*shape[:2], *frame), grad.dtype)
    for at in itertools.product(*(range(k) for k in kernel)):
        place = tuple(slice(a, a + s * (o - 1) + 1, s) for a, s, o in
                      zip(at, stride, out, strict=True))
        made[(slice(None), slice(None), *place)] += share
    inner = tuple(slice(p, p + n) for p, n in zip(padding, space, strict=True))
    return np.ascontiguousarray(made[(slice(None), slice(None), *inner)])


@op(
    _average_rule,
    gradient={
        "input": lambda g, input, kernel, stride, padding, ceil_mode, count_pad, divisor: piecewise(
            _average_backward(g, tuple(input.shape), kernel, stride, padding, ceil_mode,
                              count_pad, divisor), input)
    },
    api="",
    lower=compiled("pooling", "averages"),
)
def _average(input: Tensor, kernel: tuple, stride: tuple, padding: tuple, ceil_mode: bool,
             count_pad: bool, divisor: int | None):
    """Averages over windows."""
    r = len(kernel)
    one = (1,) * r
    out = output_space(input.shape[2:], kernel, stride, padding, one, ceil_mode)
    x = framed(input, kernel, stride, padding, one, out, 0)
    w = windows(x, kernel, stride, one)[(slice(None),) * 2 + tuple(slice(o) for o in out)]
    total = w.sum(axis=tuple(range(2 + r, 2 + 2 * r)))
    d = _divisors(input.shape[2:], out, kernel, stride, padding, count_pad, divisor)
    return total / d.astype(total.dtype)


def _average_public(rank):
    name = f"avg_pool{rank}d"

    def run(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor):
        x, single = batched(input, rank, name)
        kernel = ints(kernel_size, rank, f"{name}: kernel_size")
        stride = kernel if stride is None or stride == () or stride == [] else ints(stride, rank, "stride")
        if divisor == 0:
            raise RuntimeError("divisor must be not zero")
        if min(stride) <= 0 or min(kernel) <= 0:
            raise RuntimeError(
                f"{name}: kernel_size {list(kernel)} and stride {list(stride)} must be greater than "
                "zero"
            )
        if rank == 3 and any(n < k for n, k in zip(x.shape[2:], kernel, strict=True)):
            raise RuntimeError(f"input image {list(x.shape[2:])} smaller than kernel size {list(kernel)}")
        out = _average(x, kernel, stride, ints(padding, rank, "padding"), ceil_mode,
                       count_include_pad, divisor)
        return out.squeeze(0) if single else out

    if rank == 1:
        def pool(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
                 count_include_pad: bool = True):
            return run(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)
    else:
        def pool(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
                 count_include_pad: bool = True, divisor_override: int | None = None):
            return run(input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                       divisor_override)

    pool.__name__ = name
    pool.__doc__ = f"Averages over {rank}-dimensional windows."
    return function(api="nn.functional torch" if rank == 1 else NN, out=rank > 1)(pool)


avg_pool1d, avg_pool2d, avg_pool3d = (_average_public(r) for r in (1, 2, 3))


# ---------------------------------------------------------------- adaptive


def bounds_of(n, o):
    return [(i * n // o, -(-(i + 1) * n // o)) for i in range(o)]


def adaptive_out(input, size, rank):
    if isinstance(size, int) or size is None:
        size = (size,) * rank
    size = tuple(size) * rank if len(size) == 1 else tuple(size)
    if len(size) != rank or any(s is not None and s < 0 for s in size):
        raise RuntimeError(
            f"output_size must be {rank} non-negative ints, but got {size} for input of size "
            f"{list(input.shape)}"
        )
    return tuple(n if s is None else s for n, s in zip(input.shape[-rank:], size, strict=True))


def _shares(n, o):
    """The (n, o) matrix of averages over windows that give `o` of `n` elements."""
    m = np.zeros((n, o))
    for j, (a, b) in enumerate(bounds_of(n, o)):
        m[a:b, j] = 1.0 / (b - a)
    return m


@op(
    lambda input, size, back: rules.images_like((*input.shape[:2], *size), input.dtype, input),
    gradient={"input": lambda g, input, back: piecewise(
        _adaptive_average(g, tuple(input.shape[2:]), not back), input)},
    api="",
)
def _adaptive_average(input: Tensor, size: tuple, back: bool):
    """Averages by one matrix for each dimension: sizes need not divide. back: the transposed map."""
    for d, o in enumerate(size, 2):
        n = input.shape[d]
        if n != o:
            weights = _shares(o, n).T if back else _shares(n, o)
            part = np.swapaxes(input, d, -1) @ weights.astype(input.dtype)
            input = np.swapaxes(part, d, -1)
    return input


def _adaptive_average_public(rank):
    name = f"adaptive_avg_pool{rank}d"

    def pool(input: Tensor, output_size):
        if rank > 1 and isinstance(output_size, (tuple, list)) and input.ndim <= len(output_size):
            raise ValueError(
                f"Input dimension should be at least {len(output_size) + 1}, got {input.ndim}"
            )
        x, single = batched(input, rank, name)
        out = adaptive_out(x, output_size, rank)
        space = tuple(x.shape[2:])
        if all(o == 1 for o in out):
            made = x.mean(tuple(range(2, x.ndim)), True)
        elif 0 in (space if rank < 3 else input.shape[1:]):
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got "
                f"input of size {list(input.shape)}"
            )
        elif all(o and n % o == 0 for n, o in zip(space, out, strict=True)):
            kernel = tuple(n // o for n, o in zip(space, out, strict=True))
            made = _average(x, kernel, kernel, (0,) * rank, False, True, None)
        else:
            made = _adaptive_average(x, out, False)
        return made.squeeze(0) if single else made

    pool.__name__ = name
    pool.__doc__ = f"Averages over {rank}-dimensional windows that give `output_size`."
    return function(api="nn.functional torch" if rank == 1 else NN)(pool)


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    _adaptive_average_public(r) for r in (1, 2, 3)
)


def _lp_public(rank):
    def pool(input: Tensor, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False):
        p = float(norm_type)
        average = (avg_pool1d, avg_pool2d, avg_pool3d)[rank - 1]
        kernel = ints(kernel_size, rank, "kernel_size")
        mean = average(input.pow(p), kernel, stride, 0, ceil_mode)
        total = mean * math.prod(kernel)
        return (total.sign() * total.abs().relu()).pow(1.0 / p)

    pool.__name__ = f"lp_pool{rank}d"
    pool.__doc__ = f"p-norms over {rank}-dimensional windows."
    return function(api=NN)(pool)


lp_pool1d, lp_pool2d, lp_pool3d = (_lp_public(r) for r in (1, 2, 3))
