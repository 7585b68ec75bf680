"""The update rules of the optimisers: operators that write into parameters and state in place.

Each works through its arrays in blocks that stay in the cache, in PyTorch's order of operations,
so that memory is read and written once and no temporary is larger than a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from rushlight.trace.operator import Scalar, Tensor, op

BLOCK = 131072  # elements: the arrays and temporaries of one block fit into the L2 cache
SMALL = 4096  # elements: below this, fresh temporaries cost less than views of kept ones
MOST = 3  # blocks of temporary memory that an update asks for

_scratch: dict = {}  # dtype to blocks of temporary memory; updates run one at a time


def blocks(temporaries: int, *arrays: np.ndarray | None) -> Iterable[tuple]:
    """Matching blocks of `arrays` (None stays None), then `temporaries` blocks of scratch memory.

    Complex arrays are seen as real ones of twice the length. Small arrays come as one block, and so
    do large ones that are not all contiguous.
    """
    first = arrays[0]
    dtype = first.dtype
    if first.__class__ is not np.ndarray:  # symbols of the compiler, which makes the blocks itself
        return ((*arrays, *[first.scratch() for _ in range(temporaries)]),)
    if dtype.kind == "c":
        arrays = tuple([None if a is None else _as_real(a) for a in arrays])
        first = arrays[0]
        dtype = first.dtype
    size, shape = first.size, first.shape
    if size <= SMALL:
        return ((*arrays, *[np.empty(shape, dtype) for _ in range(temporaries)]),)
    held = _scratch.get(dtype)
    if held is None:
        held = _scratch[dtype] = [np.empty(BLOCK, dtype) for _ in range(MOST)]
    if size <= BLOCK:
        return ((*arrays, *[h[:size].reshape(shape) for h in held[:temporaries]]),)
    if not all([a is None or a.flags.c_contiguous for a in arrays]):
        return ((*arrays, *[np.empty(shape, dtype) for _ in range(temporaries)]),)
    return _parts(temporaries, arrays, size, held)


def _parts(temporaries: int, arrays: tuple, size: int, held: list) -> Iterator[tuple]:
    """Large contiguous arrays, block by block."""
    flat = [None if a is None else a.reshape(-1) for a in arrays]
    for start in range(0, size, BLOCK):
        part = [None if a is None else a[start : start + BLOCK] for a in flat]
        rest = min(size - start, BLOCK)
        yield (*part, *[h[:rest] for h in held[:temporaries]])


def _as_real(a: np.ndarray) -> np.ndarray:
    real = a.real.dtype
    if a.ndim == 0:
        return a.reshape(1).view(real)
    if a.flags.c_contiguous:
        return a.view(real)
    both = np.lib.stride_tricks.as_strided(
        a.real, (*a.shape, 2), (*a.strides, real.itemsize), writeable=True
    )
    return both


def _gradient(g, p, out, weight_decay, maximize):
    """`g`, negated to maximise, plus `weight_decay * p`; in `out` unless it is `g` itself."""
    if maximize:
        g = np.negative(g, out=out)
    if weight_decay != 0:
        if g is out:
            return np.add(g, weight_decay * p, out=out)
        np.multiply(p, weight_decay, out=out)
        return np.add(out, g, out=out)
    return g


@op(None, mutates=("param", "momentum_buffer"), compute="storage", api="")
def _sgd_step(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor | None,
    lr: Scalar,
    momentum: Scalar,
    dampening: Scalar,
    weight_decay: Scalar,
    nesterov: bool,
    maximize: bool,
    first: bool,
):
    """`g += weight_decay p; b = momentum b + (1 - dampening) g; p -= lr (b or g + momentum b)`.

    In the first step the buffer becomes the gradient.
    """
    for p, g, b, t in blocks(1, param, grad, momentum_buffer):
        g = _gradient(g, p, t, weight_decay, maximize)
        if b is not None:
            if first:
                np.copyto(b, g)
            else:
                np.multiply(b, momentum, out=b)
                if dampening == 0:
                    np.add(b, g, out=b)
                else:
                    np.add(b, g * (1 - dampening), out=b)
            if nesterov:
                g = np.add(g, np.multiply(b, momentum), out=t)
            else:
                g = b
        fused_subtract(p, g, lr, t)


def fused_subtract(p, g, lr, t):
    """`p -= lr * g` rounded once, as PyTorch's fused multiply-add does; `t` is scratch memory.

    float32 products are exact in float64, so rounding their difference to float32 is one rounding.
    """
    if p.__class__ is not np.ndarray:
        p.assign(p.fma(g, -lr))
        return
    if p.dtype != np.float32:
        np.multiply(g, lr, out=t)
        np.subtract(p, t, out=p)
        return
    wide = _scratch.get("wide")
    if wide is None:
        wide = _scratch["wide"] = np.empty(BLOCK, np.float64)
    wide = wide[: p.size].reshape(p.shape) if p.size <= BLOCK else np.empty(p.shape)
    np.multiply(g, np.float64(np.float32(lr)), out=wide)
    np.subtract(p, wide, out=p, casting="same_kind")


def _moments(g, m, v, t, beta1, beta2):
    """`m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g g`."""
    _mean(g, m, t, beta1)
    _second_moment(g, v, t, beta2)


def _mean(g, m, t, beta):
    """`m = beta m + (1 - beta) g`, as lerp: from the nearer end."""
    weight = 1 - beta
    np.subtract(g, m, out=t)
    if weight < 0.5:
        np.multiply(t, weight, out=t)
        np.add(m, t, out=m)
    else:
        np.multiply(t, beta, out=t)
        np.subtract(g, t, out=m)


def _second_moment(g, v, t, beta2):
    """`v = beta2 v + (1 - beta2) g g`."""
    np.multiply(v, beta2, out=v)
    np.multiply(g, 1 - beta2, out=t)
    np.multiply(t, g, out=t)
    np.add(v, t, out=v)


@op(
    None,
    mutates=("param", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    compute="storage",
    api="",
)
def _adam_step(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max_exp_avg_sq: Tensor | None,
    step_size: Scalar,
    root_correction: Scalar,
    beta1: Scalar,
    beta2: Scalar,
    eps: Scalar,
    weight_decay: Scalar,
    shrink: Scalar,
    maximize: bool,
):
    """`p = shrink p; m, v = moments; p -= step_size m / (sqrt(v) / root_correction + eps)`.

    `step_size` is `lr / (1 - beta1**step)`, `root_correction` is `sqrt(1 - beta2**step)`, `shrink`
    is `1 - lr * weight_decay` in AdamW and 1 otherwise. `max_exp_avg_sq` keeps the largest v
    (AMSGrad).
    """
    for p, g, m, v, top, t, d in blocks(2, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq):
        if shrink != 1:
            np.multiply(p, shrink, out=p)
        g = _gradient(g, p, d, weight_decay, maximize)
        _moments(g, m, v, t, beta1, beta2)
        if top is not None:
            v = np.maximum(top, v, out=top)
        np.sqrt(v, out=d)
        np.divide(d, root_correction, out=d)
        np.add(d, eps, out=d)
        np.multiply(m, -step_size, out=t)
        np.divide(t, d, out=t)
        np.add(p, t, out=p)


@op(None, mutates=("param", "total"), compute="storage", api="")
def _adagrad_step(
    param: Tensor,
    grad: Tensor,
    total: Tensor,
    step_size: Scalar,
    weight_decay: Scalar,
    eps: Scalar,
    maximize: bool,
):
    """`total += g g; p -= step_size g / (sqrt(total) + eps)`."""
    for p, g, s, t, d in blocks(2, param, grad, total):
        g = _gradient(g, p, d, weight_decay, maximize)
        np.multiply(g, g, out=t)
        np.add(s, t, out=s)
        np.multiply(g, -step_size, out=t)
        np.sqrt(s, out=d)
        np.add(d, eps, out=d)
        np.divide(t, d, out=t)
        np.add(p, t, out=p)


@op(None, mutates=("param", "square_avg", "grad_avg", "momentum_buffer"), compute="storage", api="")
def _rmsprop_step(
    param: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    grad_avg: Tensor | None,
    momentum_buffer: Tensor | None,
    lr: Scalar,
    alpha: Scalar,
    eps: Scalar,
    weight_decay: Scalar,
    momentum: Scalar,
    maximize: bool,
):
    """`v = alpha v + (1 - alpha) g g; p -= lr g / (sqrt(v) + eps)`, by way of a momentum buffer.

    With `grad_avg` (centered) the root is that of `v - mean(g)**2`.
    """
    for p, g, v, c, b, t, d, e in blocks(3, param, grad, square_avg, grad_avg, momentum_buffer):
        g = _gradient(g, p, e, weight_decay, maximize)
        _second_moment(g, v, t, alpha)
        if c is None:
            np.sqrt(v, out=d)
        else:
            _mean(g, c, t, alpha)
            np.multiply(c, c, out=t)
            np.subtract(v, t, out=d)
            np.sqrt(d, out=d)
        np.add(d, eps, out=d)
        if b is None:
            np.multiply(g, -lr, out=t)
            np.divide(t, d, out=t)
        else:
            np.multiply(b, momentum, out=b)
            np.divide(g, d, out=t)
            np.add(b, t, out=b)
            np.multiply(b, -lr, out=t)
        np.add(p, t, out=p)


@op(None, mutates=("param", "square_avg", "acc_delta"), compute="storage", api="")
def _adadelta_step(
    param: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    acc_delta: Tensor,
    lr: Scalar,
    rho: Scalar,
    eps: Scalar,
    weight_decay: Scalar,
    maximize: bool,
):
    """`v = mean(g g); d = sqrt(u + eps) / sqrt(v + eps) g; u = mean(d d); p -= lr d`."""
    for p, g, v, u, t, d, e in blocks(3, param, grad, square_avg, acc_delta):
        g = _gradient(g, p, e, weight_decay, maximize)
        _second_moment(g, v, t, rho)
        np.add(v, eps, out=t)
        np.sqrt(t, out=t)
        np.add(u, eps, out=d)
        np.sqrt(d, out=d)
        np.divide(d, t, out=d)
        np.multiply(d, g, out=d)
        _second_moment(d, u, t, rho)
        np.multiply(d, lr, out=d)
        np.subtract(p, d, out=p)


@op(None, mutates=("param", "exp_avg", "exp_inf"), compute="storage", api="")
def _adamax_step(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_inf: Tensor,
    step_size: Scalar,
    beta1: Scalar,
    beta2: Scalar,
    eps: Scalar,
    weight_decay: Scalar,
    maximize: bool,
):
    """`m = mean(g); u = max(beta2 u, |g| + eps); p -= step_size m / u`."""
    for p, g, m, u, t, d in blocks(2, param, grad, exp_avg, exp_inf):
        g = _gradient(g, p, d, weight_decay, maximize)
        _mean(g, m, t, beta1)
        np.abs(g, out=t)
        np.add(t, eps, out=t)
        np.multiply(u, beta2, out=u)
        np.maximum(u, t, out=u)
        np.multiply(m, -step_size, out=t)
        np.divide(t, u, out=t)
        np.add(p, t, out=p)


@op(None, mutates=("param", "exp_avg", "exp_avg_sq"), compute="storage", api="")
def _nadam_step(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    gradient_size: Scalar,
    moment_size: Scalar,
    correction: Scalar,
    beta1: Scalar,
    beta2: Scalar,
    eps: Scalar,
    weight_decay: Scalar,
    shrink: Scalar,
    maximize: bool,
):
    """`m, v = moments; p -= (gradient_size g + moment_size m) / (sqrt(v / correction) + eps)`."""
    for p, g, m, v, t, d, e in blocks(3, param, grad, exp_avg, exp_avg_sq):
        if shrink != 1:
            np.multiply(p, shrink, out=p)
        g = _gradient(g, p, e, weight_decay, maximize)
        _moments(g, m, v, t, beta1, beta2)
        np.divide(v, correction, out=d)
        np.sqrt(d, out=d)
        np.add(d, eps, out=d)
        for a, size in ((g, gradient_size), (m, moment_size)):
            np.multiply(a, -size, out=t)
            np.divide(t, d, out=t)
            np.add(p, t, out=p)


@op(None, mutates=("param", "exp_avg", "exp_avg_sq"), compute="storage", api="")
def _radam_step(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    lr: Scalar,
    correction1: Scalar,
    adapt: Scalar,
    beta1: Scalar,
    beta2: Scalar,
    eps: Scalar,
    weight_decay: Scalar,
    shrink: Scalar,
    maximize: bool,
):
    """`m, v = moments; p -= lr m / correction1 * adapt / (sqrt(v) + eps)`.

    `adapt` is the rectification times `sqrt(1 - beta2**step)`; 0 means a step without the root.
    """
    for p, g, m, v, t, d in blocks(2, param, grad, exp_avg, exp_avg_sq):
        if shrink != 1:
            np.multiply(p, shrink, out=p)
        g = _gradient(g, p, d, weight_decay, maximize)
        _moments(g, m, v, t, beta1, beta2)
        np.divide(m, correction1, out=t)
        np.multiply(t, lr, out=t)
        if adapt != 0:
            np.sqrt(v, out=d)
            np.add(d, eps, out=d)
            np.divide(adapt, d, out=d)
            np.multiply(t, d, out=t)
        np.subtract(p, t, out=p)
