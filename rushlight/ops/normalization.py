"""Normalisation: batch, layer, group, instance and RMS norms."""

from __future__ import annotations

import math

import numpy as np

from ..trace.dtypes import FLOAT, float32, type_name
from ..trace.forms import write_out
from ..trace.meta import Meta, meta
from ..trace.modes import no_grad
from ..trace.operator import Tensor, function, op
from . import rules
from .values import number

NN = "nn.functional"


def _rows_rule(input: Meta, axes, eps):
    small = tuple(1 if i in axes else n for i, n in enumerate(input.shape))
    sources = (input,) if 0 in axes else ()  # over a batch, channels that are innermost stay so
    return rules.images_like(input.shape, input.dtype, *sources), meta(small, input.dtype), \
        meta(small, input.dtype)


def _standardize_gradient(g, input, out1, out2, axes, eps):
    if g[0] is None:  # (the result itself is not read: an activation may be written into it)
        return None
    return _standardize_backward(g[0], input, out1, out2, axes)


def _backward_second(g, grad, input, mean, rstd, axes):
    """Gradients of the backward's inputs, by its formula."""
    x = (input - mean) * rstd
    n = 1
    for d in axes:
        n *= input.shape[d]

    def centre(t):
        return t - t.mean(axes, True) - x * (t * x).mean(axes, True)

    g_grad = rstd * centre(g)
    # derivative of rstd * (grad - mean(grad) - x mean(grad x)) with respect to input
    a = (grad * x).mean(axes, True)
    b = (g * x).mean(axes, True)
    c = (g * grad).mean(axes, True) - g.mean(axes, True) * grad.mean(axes, True) - 3 * a * b
    g_input = -rstd * rstd * (
        x * c + a * (g - g.mean(axes, True)) + b * (grad - grad.mean(axes, True))
    )
    return g_grad, g_input


@op(
    lambda grad, input, mean, rstd, axes: meta(input.shape, input.dtype),
    gradient={
        ("grad", "input"): lambda g, grad, input, mean, rstd, axes: _backward_second(
            g, grad, input, mean, rstd, axes
        )
    },
    api="",
)
def _standardize_backward(grad: Tensor, input: Tensor, mean: Tensor, rstd: Tensor, axes: tuple):
    """The gradient of `(x - mean(x)) / sqrt(var(x) + eps)`."""
    n = 1
    for d in axes:
        n *= input.shape[d]
    x = (input - mean) * rstd
    total = np.add.reduce(grad, axis=axes, keepdims=True)
    along = np.add.reduce(grad * x, axis=axes, keepdims=True)
    scale = number(1.0 / n, input) if n else 0
    return (grad - total * scale - x * (along * scale)) * rstd


@op(_rows_rule, gradient={"input": _standardize_gradient}, api="")
def _standardize(input: Tensor, axes: tuple, eps: float):
    """((x - mean) / sqrt(var + eps), mean, 1 / sqrt(var + eps)) over `axes`."""
    n = 1
    for d in axes:
        n *= input.shape[d]
    scale = number(1.0 / n, input) if n else 0
    mean = np.add.reduce(input, axis=axes, keepdims=True) * scale
    x = input - mean
    var = np.add.reduce(x * x, axis=axes, keepdims=True) * scale
    rstd = 1 / np.sqrt(var + input.dtype.type(eps))
    x *= rstd
    return x, mean, rstd


def _per_channel(t, ndim):
    return t if t is None else t.reshape(1, -1, *(1,) * (ndim - 2))


def _single(t):
    """Half types as float32: one rounding at the end, as PyTorch's kernels do."""
    return t.float() if t is not None and t.dtype.is_half else t


def _affine(x, weight, bias, dtype):
    if x.dtype is not dtype:  # (half types, standardised in float32)
        return _affine(x, _single(weight), _single(bias), x.dtype).to(dtype)
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


def _check_dtypes(input, weight):
    """Weights have the input's dtype, or are float32 next to a half type."""
    if weight is not None and weight.dtype is not input.dtype and not (
        input.dtype.is_half and weight.dtype is float32
    ):
        raise RuntimeError(
            f"mixed dtype (CPU): all inputs must share same datatype, but the input is "
            f"{input.dtype} and the weight {weight.dtype}"
        )


@function(api=NN)
def batch_norm(input: Tensor, running_mean=None, running_var=None, weight=None, bias=None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5):
    """Each channel standardised over the batch (training) or by running statistics.

    Ioffe and Szegedy, 2015. In training the running statistics are updated.
    """
    _check_dtypes(input, weight)
    if input.ndim < 2 and input.numel():
        if input.numel() == input.ndim == training:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
        raise IndexError(f"batch_norm(): the input {list(input.shape)} has no dimension of channels")
    channels = input.shape[1] if input.ndim > 1 else 0
    if training:
        if eps <= 0.0:
            raise ValueError(f"batch_norm eps must be positive, but got {eps}")
        size = input.numel() // channels if input.ndim > 1 and channels else 0
        if size == 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size "
                f"{input.shape}"
            )
    for name, t in (("running_mean", running_mean), ("running_var", running_var),
                    ("weight", weight), ("bias", bias)):
        if t is not None and t.numel() != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {t.numel()}")
        if name.startswith("running") and t is not None and not t.ndim:
            raise RuntimeError(f"{name} should be a vector of {channels} elements, not a tensor without dims")
    n = input.ndim
    if n < 2:  # only empty vectors get here
        return input.clone()
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when "
                               "training=False")
        scale = (_single(running_var) + eps).rsqrt()
        if weight is not None:
            scale = scale * weight
        shift = -running_mean * scale
        if bias is not None:
            shift = shift + bias
        made = _single(input) * _per_channel(scale, n) + _per_channel(shift, n)
        return made.to(input.dtype) if made.dtype is not input.dtype else made
    axes = (0, *range(2, n))
    x, mean, rstd = _standardize(_single(input), axes, eps)
    if running_mean is not None and input.numel():
        size = input.numel() // channels
        with no_grad():
            var = (rstd.detach().pow(-2) - eps).reshape(-1) * (size / max(size - 1, 1))
            running_mean.copy_(running_mean * (1 - momentum) + mean.detach().reshape(-1) * momentum)
            running_var.copy_(running_var * (1 - momentum) + var * momentum)
    return _affine(x, _per_channel(weight, n), _per_channel(bias, n), input.dtype)


@function(api="nn.functional torch")
def layer_norm(input: Tensor, normalized_shape, weight=None, bias=None, eps: float = 1e-5):
    """The last dimensions standardised (Ba, Kiros and Hinton, 2016)."""
    shape = tuple(normalized_shape)
    k = len(shape)
    if tuple(input.shape[input.ndim - k:]) != shape or k == 0:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size{list(input.shape)}"
        )
    if input.dtype.category != FLOAT:
        raise NotImplementedError(
            f"\"LayerNormKernelImpl\" not implemented for '{type_name(input.dtype)}'"
        )
    _check_dtypes(input, weight)
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(t.shape)} and normalized_shape = {list(shape)}"
            )
    x, _, _ = _standardize(_single(input), tuple(range(input.ndim - k, input.ndim)), eps)
    return _affine(x, weight, bias, input.dtype)


@function(api="nn.functional torch")
def group_norm(input: Tensor, num_groups: int, weight=None, bias=None, eps: float = 1e-5):
    """Groups of channels standardised for each sample (Wu and He, 2018)."""
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received "
                           f"{input.ndim}")
    _check_dtypes(input, weight)
    n, c = input.shape[:2]
    if c % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(input.shape)} and num_groups={num_groups}"
        )
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != (c,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but "
                f"got {name} of shape {list(t.shape)} and input of shape {list(input.shape)}"
            )
    if input.numel() == n * num_groups and n:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(input.shape)}"
        )
    rows = input.reshape(n, num_groups, math.prod(input.shape[1:]) // num_groups)
    x, _, _ = _standardize(_single(rows), (2,), eps)
    return _affine(x.reshape(input.shape), _per_channel(weight, input.ndim),
                   _per_channel(bias, input.ndim), input.dtype)


@function(api=NN)
def instance_norm(input: Tensor, running_mean=None, running_var=None, weight=None, bias=None,
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5):
    """Each channel of each sample standardised (Ulyanov et al., 2016)."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if input.ndim < 2:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    for name, t in (("running_mean", running_mean), ("running_var", running_var),
                    ("weight", weight), ("bias", bias)):
        if t is not None and t.numel() != input.shape[1]:
            raise RuntimeError(f"{name} should contain {input.shape[1]} elements not {t.numel()}")
    n = input.ndim
    size = 1
    for d in input.shape[2:]:
        size *= d
    if size == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    x, mean, rstd = _standardize(_single(input), tuple(range(2, n)), eps)
    if running_mean is not None and input.numel():
        with no_grad():
            m = mean.detach().mean(0).reshape(-1)
            var = (rstd.detach().pow(-2) - eps).mean(0).reshape(-1) * (size / max(size - 1, 1))
            running_mean.copy_(running_mean * (1 - momentum) + m * momentum)
            running_var.copy_(running_var * (1 - momentum) + var * momentum)
    return _affine(x, _per_channel(weight, n), _per_channel(bias, n), input.dtype)


@function(api="nn.functional torch")
def rms_norm(input: Tensor, normalized_shape, weight=None, eps: float | None = None):
    """The last dimensions divided by their root mean square (Zhang and Sennrich, 2019)."""
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
            "element, but got normalized_shape = []"
        )
    if tuple(input.shape[input.ndim - len(shape):]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size{list(input.shape)}"
        )
    if eps is None:
        from ..trace.dtypes import finfo

        eps = finfo(input.dtype).eps
    axes = tuple(range(input.ndim - len(shape), input.ndim))
    x = input.float() if input.dtype.is_half else input  # (squares of float16 pass its largest number)
    x = (x * ((x * x).mean(axes, True) + eps).rsqrt()).to(input.dtype)
    if weight is not None and tuple(weight.shape) != shape:
        raise RuntimeError(
            f"Expected weight to be of same shape as normalized_shape, but got weight of shape "
            f"{list(weight.shape)} and normalized_shape = {list(shape)}"
        )
    return x if weight is None else x * weight


@function(api=NN)
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out=None):
    """Vectors along `dim` divided by their p-norm."""
    made = input / input.norm(p, dim, True).clamp(min=eps).expand_as(input)
    return made if out is None else write_out("normalize", made, out)


@function(api=NN)
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75,
                        k: float = 1.0):
    """Each channel divided by a power of the energy of its neighbours (Krizhevsky et al., 2012)."""
    from .shape import pad

    if not input.numel():
        return input
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality                          input (got {input.ndim} "
            "dimensions)"
        )
    square = pad(input * input, (0, 0) * (input.ndim - 2) + (size // 2, (size - 1) // 2))
    energy = square.unfold(1, size, 1).sum(-1)
    energy = energy / size if input.is_floating_point() else energy // size
    return input / (energy * alpha + k).pow(beta)
