"""Softmax and its logarithm, each with its gradient as one operator."""

from __future__ import annotations

import numpy as np

from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules


def _rule(input: Meta, dim) -> Meta:
    rules.wrap_dim(dim, input.ndim)
    if input.dtype.category < 2:
        from ..trace.dtypes import type_name

        rules.fail(
            NotImplementedError,
            f"\"softmax_lastdim_kernel_impl\" not implemented for '{type_name(input.dtype)}'",
        )
    return meta(input.shape, input.dtype)


def _backward_rule(g: Meta, output: Meta, dim) -> Meta:
    return meta(output.shape, output.dtype)


def _dim(a, dim):
    return dim if a.ndim else None


@op(
    _backward_rule,
    gradient={
        "grad": lambda g, output, dim: _softmax_backward(g, output, dim),
        "output": lambda g, grad, output, dim: g * grad
        - grad * (g * output).sum(dim, True)
        - g * (grad * output).sum(dim, True),
    },
    api="",
)
def _softmax_backward(grad: Tensor, output: Tensor, dim: int):
    """`output * (grad - sum(grad * output))`."""
    product = grad * output
    product -= output * np.add.reduce(product, axis=_dim(grad, dim), keepdims=grad.ndim > 0)
    return product


@op(
    _rule,
    gradient={"input": lambda g, out, dim: _softmax_backward(g, out, dim)},
    api="",
)
def _softmax(input: Tensor, dim: int):
    """exp(input) normalised to sum 1 along `dim`."""
    if not input.size:
        return input.copy()
    ax = _dim(input, dim)
    z = input - np.max(input, axis=ax, keepdims=True)
    if not z.ndim:
        return np.exp(z)
    np.exp(z, out=z)
    z /= np.add.reduce(z, axis=ax, keepdims=True)
    return z


@op(
    _backward_rule,
    gradient={
        "grad": lambda g, output, dim: g - (g * output.exp()).sum(dim, True),
        "output": lambda g, grad, output, dim: -g * output.exp() * grad.sum(dim, True),
    },
    api="",
)
def _log_softmax_backward(grad: Tensor, output: Tensor, dim: int):
    """`grad - exp(output) * sum(grad)`."""
    ax = _dim(grad, dim)
    return grad - np.exp(output) * np.add.reduce(grad, axis=ax, keepdims=grad.ndim > 0)


@op(
    _rule,
    gradient={"input": lambda g, out, dim: _log_softmax_backward(g, out, dim)},
    api="",
)
def _log_softmax(input: Tensor, dim: int):
    """`input - log(sum(exp(input)))` along `dim`, without overflow."""
    if not input.size:
        return input.copy()
    if not input.ndim:
        return input - input
    z = input - np.max(input, axis=dim, keepdims=True)
    z -= np.log(np.add.reduce(np.exp(z), axis=dim, keepdims=True))
    return z


def _implicit(ndim: int) -> int:
    return 0 if ndim in (0, 1, 3) else 1


@function(api="torch Tensor special nn.functional", out=True)
def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """exp(input) normalised to sum 1 along `dim`.

    >>> torch.softmax(torch.tensor([0.0, 1.0]), 0)
    tensor([0.2689, 0.7311])
    """
    if dim is None:
        dim = _implicit(input.ndim)
    return _softmax(input if dtype is None else input.to(dtype), dim)


@function(api="torch Tensor special nn.functional", out=True)
def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """The logarithm of `softmax`, without overflow."""
    if dim is None:
        dim = _implicit(input.ndim)
    return _log_softmax(input if dtype is None else input.to(dtype), dim)


@function(api="nn.functional")
def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """`softmax(-input)`."""
    return softmax(-input, dim, dtype=dtype)
