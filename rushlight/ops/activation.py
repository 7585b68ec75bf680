"""Activation functions."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.layouts import dense_clone
from ..trace.meta import Meta
from ..trace.modes import is_grad_enabled
from ..trace.operator import Tensor, function, op
from ..trace.write import write
from . import rules
from .creation import empty_like, ones_like, zeros_like
from .pointwise import piecewise, where
from .random import rand
from .softmax import softmax

NN = "nn.functional"


def _apply(operator, input, inplace, *args):
    """`operator(input, *args)`, written into `input` if `inplace`."""
    if not inplace:
        return operator(input, *args)
    input.check_writable(operator.__name__)
    # gradients read the input as it was: the operator gets a copy, the memory the result
    if input.requires_grad and is_grad_enabled():
        return write(input, operator(dense_clone(input, input._s.m), *args), True)
    return write(input, operator(input, *args), True)


def floating(name: str, too=dtypes.FLOAT, highest=dtypes.FLOAT):
    """The rule of an activation that PyTorch has for real floating dtypes (from `too` to `highest`)."""

    @rules.cached
    def rule(input: Meta, *_) -> Meta:
        if not too <= input.dtype.category <= highest:
            shown = dtypes.type_name(input.dtype)
            rules.fail(NotImplementedError, f'"{name}_cpu" not implemented for \'{shown}\'')
        return rules.same(input)

    return rule


@op(rules.broadcast, gradient={"grad": lambda g, output: _relu_backward(g, output)}, api="")
def _relu_backward(grad: Tensor, output: Tensor):
    """0 where the output is not positive, else `grad` (also beside NaN)."""
    return np.where(output <= 0, 0, grad)


@op(
    floating("relu", dtypes.INTEGER),
    gradient={"input": lambda g, out: piecewise(_relu_backward(g, out), out)},
    compute="result",
    api="",
)
def _relu(input: Tensor):
    """`max(input, 0)`."""
    return np.maximum(input, 0)


@function(api="torch Tensor nn.functional")
def relu(input: Tensor, inplace: bool = False):
    """`max(input, 0)`."""
    return input.relu_() if inplace else _relu(input)


@function(api="torch Tensor nn.functional")
def relu_(input: Tensor):
    """`relu` in place."""
    input.check_writable("relu_")  # (its gradient reads the result, which stays)
    return write(input, _relu(input), True)


def _unary(gradient, rule):
    return op(rule, gradient={"input": gradient}, compute="result", api="")


@function(api=NN)
def relu6(input: Tensor, inplace: bool = False):
    """`min(max(input, 0), 6)`."""
    return _apply(hardtanh, input, inplace, 0.0, 6.0)


@function(api=NN)
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
    """`input` limited to [min_val, max_val]; the gradient is 0 at the limits."""
    if min_val > max_val:
        raise ValueError(f"min_val {min_val} cannot be greater than max_val {max_val}")
    if input.dtype.np.kind == "u" and (int(min_val) < 0 or int(max_val) < 0):
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return _apply(_hardtanh, input, inplace, min_val, max_val)


@op(
    floating("hardtanh", dtypes.INTEGER),
    gradient={"input": lambda g, input, min_val, max_val: piecewise(where(
        (input <= min_val) | (input >= max_val), 0.0, g), input)},
    compute="result",
    api="",
)
def _hardtanh(input: Tensor, min_val: float, max_val: float):
    return np.clip(input, min_val, max_val)


@op(
    floating("leaky_relu"),
    gradient={"input": lambda g, input, slope: piecewise(
        where(input > 0, g, g * slope), input)},
    compute="result",
    api="",
)
def _leaky_relu(input: Tensor, slope: float):
    """`input` where positive, else `slope * input`."""
    return np.where(input > 0, input, input * input.dtype.type(slope))


@function(api=NN)
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False):
    """`input` where positive, else `negative_slope * input`."""
    return _apply(_leaky_relu, input, inplace, negative_slope)


@function(api="nn.functional torch Tensor")
def prelu(input: Tensor, weight: Tensor):
    """`input` where positive, else `weight * input`, with a weight for each channel."""
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {input.dtype.name} and {weight.dtype.name}"
        )
    if weight.ndim > 1 and weight.numel() != 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}"
        )
    if weight.numel() != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape(1, -1, *(1,) * (input.ndim - 2)) if input.ndim > 1 else weight
    else:
        weight = weight.reshape(())
    return where(input > 0, input, _scaled_elements(input, weight))


@op(
    rules.broadcast,
    gradient={
        "input": lambda g, input, slope: piecewise(g * slope, input),
        "slope": lambda g, input: g * input,
    },
    compute="result",
    api="",
)
def _scaled_elements(input: Tensor, slope: Tensor):
    return np.multiply(input, slope)


@function(api="nn.functional torch")
def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False,
          inplace: bool = False):
    """Leaky ReLU with a random slope in training, the mean one otherwise."""
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if training:  # a slope is drawn for each negative element, in order
        below = input.detach() <= 0
        count = int(below.sum())
        if input.dtype is not dtypes.float64:
            lower, upper = float(np.float32(lower)), float(np.float32(upper))
        drawn = rand(count, dtype=dtypes.float64) * (upper - lower) + lower
        slope = ones_like(input.detach()).masked_scatter(below, drawn.to(input.dtype))
        return _apply(_scaled_elements, input, inplace, slope)
    return _apply(_leaky_relu, input, inplace, (lower + upper) / 2)


def _elu_gradient(g, input, alpha, scale, input_scale):
    return where(
        input <= 0, g * (scale * alpha * input_scale) * (input * input_scale).exp(), g * scale
    )


@op(floating("elu"), gradient={"input": _elu_gradient}, compute="result", api="")
def _elu(input: Tensor, alpha: float, scale: float, input_scale: float):
    """`scale * x` where positive, else `scale * alpha * (exp(input_scale * x) - 1)`."""
    return np.where(input > 0, input * scale, np.expm1(np.minimum(input, 0) * input_scale)
                    * (alpha * scale))


@function(api=NN)
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False):
    """`input` where positive, else `alpha * (exp(input) - 1)`."""
    return _apply(_elu, input, inplace, alpha, 1.0, 1.0)


@function(api="nn.functional torch")
def selu(input: Tensor, inplace: bool = False):
    """The self-normalising ELU (Klambauer et al., 2017)."""
    return _apply(_elu, input, inplace, 1.6732632423543772, 1.0507009873554805, 1.0)


@function(api="nn.functional torch")
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False):
    """`input` where positive, else `alpha * (exp(input / alpha) - 1)`."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _apply(_elu, input, inplace, alpha, 1.0, 1.0 / alpha)


def _gelu_gradient(g, input, approximate):
    if approximate == "tanh":
        k = math.sqrt(2 / math.pi)
        inner = (k * (input + 0.044715 * input * input * input)).tanh()
        slope = (1 - inner * inner) * (k * (1 + 3 * 0.044715 * input * input))
        return g * (0.5 * (1 + inner) + 0.5 * input * slope)
    cdf = 0.5 * (1 + (input * math.sqrt(0.5)).erf())
    return g * (cdf + input * (-0.5 * input * input).exp() * (1 / math.sqrt(2 * math.pi)))


def _gelu_rule(input: Meta, approximate) -> Meta:
    if approximate not in ("none", "tanh"):
        rules.fail(RuntimeError, "approximate argument must be either none or tanh.")
    return _gelu_dtypes(input)


_gelu_dtypes = floating("gelu")


@op(_gelu_rule, gradient={"input": _gelu_gradient}, api=NN)
def gelu(input: Tensor, *, approximate: str = "none"):
    """`x Phi(x)` (Hendrycks and Gimpel, 2016), exact or with tanh."""
    if approximate == "tanh":
        return 0.5 * input * (
            1 + np.tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input))
        )
    from .special_functions import _erf

    return 0.5 * input * (1 + _erf(input * math.sqrt(0.5)).astype(input.dtype))


def _silu_gradient(g, input):
    s = input.sigmoid()
    return g * (s * (1 + input * (1 - s)))


@_unary(_silu_gradient, floating("silu", highest=dtypes.COMPLEX))
def _silu(input: Tensor):
    """`x sigmoid(x)`."""
    return input / (1 + np.exp(-input))


@function(api=NN)
def silu(input: Tensor, inplace: bool = False):
    """`x sigmoid(x)`."""
    return _apply(_silu, input, inplace)


def _mish(input):
    floating("mish")(input._s.m)
    return input * softplus(input).tanh()


@function(api=NN)
def mish(input: Tensor, inplace: bool = False):
    """`x tanh(softplus(x))`."""
    return _apply(_mish, input, inplace)


def _softplus_gradient(g, input, beta, threshold):
    return where(input * beta > threshold, g, g * (input * beta).sigmoid())


@op(floating("softplus"), gradient={"input": _softplus_gradient}, api=NN)
def softplus(input: Tensor, beta: float = 1, threshold: float = 20):
    """`log(1 + exp(beta x)) / beta`, x itself where beta x is above the threshold."""
    z = input * beta
    return np.where(z > threshold, input, np.log1p(np.exp(np.minimum(z, threshold))) / beta)


@function(api=NN)
def softsign(input: Tensor):
    """`x / (1 + |x|)`."""
    return input / (input.abs() + 1)


@function(api=NN)
def tanhshrink(input: Tensor):
    """`x - tanh(x)`."""
    return input - input.tanh()


@op(
    floating("softshrink"),
    gradient={"input": lambda g, input, lambd: piecewise(where(
        (input >= -lambd) & (input <= lambd), 0.0, g), input)},
    api=NN,
)
def softshrink(input: Tensor, lambd: float = 0.5):
    """x moved towards 0 by lambd, 0 within it."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return np.where(input > lambd, input - lambd, np.where(input < -lambd, input + lambd,
                                                           input * 0))


@op(
    floating("hardshrink"),
    gradient={"input": lambda g, input, lambd: piecewise(where(
        (input >= -lambd) & (input <= lambd), 0.0, g), input)},
    api="nn.functional torch Tensor",
)
def hardshrink(input: Tensor, lambd: float = 0.5):
    """x, 0 within lambd of 0."""
    return np.where((input >= -lambd) & (input <= lambd), 0, input)


@op(
    floating("hardsigmoid"),
    gradient={"input": lambda g, input: where((input > -3) & (input < 3), g / 6, 0.0)},
    api="",
)
def _hardsigmoid(input: Tensor):
    """`relu6(x + 3) / 6`."""
    return np.clip(input + 3, 0, 6) / 6


@function(api=NN)
def hardsigmoid(input: Tensor, inplace: bool = False):
    """`relu6(x + 3) / 6`."""
    return _apply(_hardsigmoid, input, inplace)


@op(
    floating("hardswish"),
    gradient={"input": lambda g, input: where(
        input <= -3, 0.0, where(input < 3, g * (input / 3 + 0.5), g))},
    api="",
)
def _hardswish(input: Tensor):
    """`x relu6(x + 3) / 6`."""
    return input * np.clip(input + 3, 0, 6) / 6


@function(api=NN)
def hardswish(input: Tensor, inplace: bool = False):
    """`x relu6(x + 3) / 6`."""
    return _apply(_hardswish, input, inplace)


@op(
    floating("threshold", dtypes.INTEGER),
    gradient={"input": lambda g, input, threshold: piecewise(
        where(input <= threshold, 0.0, g), input)},
    api="",
)
def _threshold(input: Tensor, threshold: float, value: float):
    """x where above the threshold, else value."""
    return np.where(input <= threshold, input.dtype.type(value), input)


@function(api="nn.functional torch")
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False):
    """x where above the threshold, else value."""
    value = dtypes.fit(value, input.dtype)
    if input.dtype.category == dtypes.INTEGER:
        threshold = dtypes.fit(threshold, input.dtype)
    return _apply(_threshold, input, inplace, threshold, value)


@function(api=NN)
def glu(input: Tensor, dim: int = -1):
    """The first half times the sigmoid of the second half of `dim`."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    n = input.shape[dim]
    if n % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {n}"
        )
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


@op(floating("log_sigmoid"), gradient={"input": lambda g, input: g * (-input).sigmoid()}, api=NN)
def logsigmoid(input: Tensor):
    """`log(sigmoid(x))` without overflow."""
    return np.minimum(input, 0) - np.log1p(np.exp(-np.abs(input)))


@function(api=NN)
def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10,
                   dim: int = -1):
    """A sample of the Gumbel-softmax distribution: `softmax((logits + g) / tau)`, or one-hot.

    hard: the value is one-hot, the gradient that of the soft sample. Jang et al., 2017.
    """
    noise = -empty_like(logits).exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    return zeros_like(logits).scatter_(dim, index, 1.0) - soft.detach() + soft


# ---------------------------------------------------------------- in place


def _in_place_form(fn, space: str):
    name = fn.__name__

    def form(input: Tensor, *args, **kwargs):
        return fn(input, *args, **kwargs, inplace=True)

    form.__name__ = name + "_"
    form.__doc__ = f"`{name}` written into the input's memory."
    function(api=space)(form)


for _fn in (hardtanh, leaky_relu, elu):
    _in_place_form(_fn, NN)
for _fn in (rrelu, selu, celu, threshold):
    _in_place_form(_fn, "nn.functional torch")
