"""Dropout of elements and of channels."""

from __future__ import annotations

import math

from ..trace.operator import Tensor, function
from ..trace.write import write
from .creation import empty_like
from .random import _bernoulli, bernoulli_


def _check_p(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _noise(input, shape, p, generator=None):
    """0 with probability p, else 1 / (1 - p)."""
    if len(shape) == input.ndim and tuple(shape) == tuple(input.shape) \
            and not input.is_contiguous():
        kept = bernoulli_(empty_like(input.detach()), 1 - p)
    else:
        kept = _bernoulli(tuple(shape), 1.0 - p, 0.0, input.dtype, True, generator)
    return kept


def _drop(input, shape, p, inplace):
    if p == 0 or input.numel() == 0:
        return input
    if p == 1:
        result = input * 0.0
    else:
        result = input * (_noise(input, shape, p) / (1 - p))
    return write(input, result, True) if inplace else result


@function(api="nn.functional torch")
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Elements set to 0 with probability p in training, the others scaled by 1 / (1 - p)."""
    _check_p(p)
    return _drop(input, tuple(input.shape), p, inplace) if training else input


def _channels(input, p, training, inplace):
    _check_p(p)
    if not training:
        return input
    if input.ndim < 2 and 0 < p < 1:
        raise RuntimeError(f"Feature dropout requires at least 2 dimensions in the input, not {input.ndim}")
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return _drop(input, shape, p, inplace)


@function(api="nn.functional")
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Whole channels set to 0 with probability p; input (N, C, L) or (C, L)."""
    return _batched(input, 3, p, training, inplace)


@function(api="nn.functional")
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Whole channels set to 0 with probability p; input (N, C, H, W)."""
    return _channels(input, p, training, inplace)


@function(api="nn.functional")
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Whole channels set to 0 with probability p; input (N, C, D, H, W) or (C, D, H, W)."""
    return _batched(input, 5, p, training, inplace)


@function(api="nn.functional torch")
def feature_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Whole channels set to 0 with probability p."""
    return _channels(input, p, training, inplace)


def _batched(input, rank, p, training, inplace):
    if input.ndim == rank - 1:
        return _channels(input.unsqueeze(0), p, training, inplace).squeeze(0)
    return _channels(input, p, training, inplace)


def _alpha(input, p, training, shape):
    _check_p(p)
    if not training or p == 0:
        return input
    if p == 1:
        return input * 0.0
    alpha = 1.7580993408473766
    a = 1 / math.sqrt((alpha * alpha * p + 1) * (1 - p))
    kept = _noise(input, shape, p)
    b = (kept - 1) * (alpha * a) + alpha * a * p
    return input * (kept * a) + b


@function(api="nn.functional torch")
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False):
    """Dropout that keeps mean and variance of SELU activations."""
    result = _alpha(input, p, training, tuple(input.shape))
    return write(input, result, True) if inplace and result is not input else result


@function(api="nn.functional torch")
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False,
                          inplace: bool = False):
    """`alpha_dropout` of whole channels."""
    if training and input.ndim < 2 and 0 < p < 1:
        raise RuntimeError(f"Feature dropout requires at least 2 dimensions in the input, not {input.ndim}")
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    result = _alpha(input, p, training, shape)
    return write(input, result, True) if inplace and result is not input else result
