"""Losses."""

from __future__ import annotations

import math
import warnings

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import IntTensor, Tensor, function, op
from . import rules
from .matmul import linear
from .pointwise import piecewise, where
from .shape import broadcast_tensors
from .softmax import log_softmax
from .values import counted, found, zeros

NN = "nn.functional"


def reduced(loss, reduction: str):
    """A loss with its reduction: "none", "mean" or "sum"."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _weighted(loss, weight, reduction: str):
    """As `reduced`, with weights of the loss's shape; the mean is over the weights' sum."""
    if weight is None:
        return reduced(loss, reduction)
    if weight.shape != loss.shape:
        raise ValueError(
            f"Inputs and weight must have the same size, but got {list(loss.shape)} and "
            f"{list(weight.shape)}"
        )
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else reduced(loss, reduction)


def _legacy(size_average, reduce, reduction):
    if size_average is None and reduce is None:
        return reduction
    average = True if size_average is None else size_average
    each = True if reduce is None else reduce
    return "mean" if average and each else "sum" if each else "none"


def _pair(input, target):
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=5,
        )
        if input.dtype is not target.dtype:  # PyTorch expands them first: 0-dim tensors count in full
            common = dtypes.promote_types(input.dtype, target.dtype)
            return input.to(common), target.to(common)
    return input, target


@function(api=NN)
def mse_loss(input: Tensor, target: Tensor, size_average=None, reduce=None,
             reduction: str = "mean", weight=None):
    """`(input - target)^2`."""
    input, target = _pair(input, target)
    d = input - target
    return _weighted(d * d, weight, _legacy(size_average, reduce, reduction))


@function(api=NN)
def l1_loss(input: Tensor, target: Tensor, size_average=None, reduce=None,
            reduction: str = "mean", weight=None):
    """`|input - target|`."""
    input, target = _pair(input, target)
    loss = (input - target).abs()
    return _weighted(loss, weight, _legacy(size_average, reduce, reduction))


@function(api=NN)
def smooth_l1_loss(input: Tensor, target: Tensor, size_average=None, reduce=None,
                   reduction: str = "mean", beta: float = 1.0):
    """Half the square over beta where |d| < beta, else `|d| - beta / 2`."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta")
    input, target = _pair(input, target)
    d = (input - target).abs()
    loss = d if beta == 0 else where(d < beta, d * d * (0.5 / beta), d - 0.5 * beta)
    return reduced(loss, _legacy(size_average, reduce, reduction))


@function(api=NN)
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
               weight=None):
    """Half the square where |d| <= delta, else `delta (|d| - delta / 2)`."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = _pair(input, target)
    d = (input - target).abs()
    loss = where(d <= delta, d * d * 0.5, (d - 0.5 * delta) * delta)
    if weight is not None:  # PyTorch's mean is a plain one here
        return reduced(_weighted(loss, weight, "none"), reduction)
    return reduced(loss, reduction)


# ---------------------------------------------------------------- classification


def _check_targets(target, classes, ignore_index):
    bad = (target != ignore_index) & ((target < 0) | (target >= classes))
    if found(bad):
        raise IndexError(f"Target {target[bad].reshape(-1)[0]} is out of bounds.")


def _nll_rule(input: Meta, target: Meta, weight, ignore_index):
    if input.ndim not in (1, 2):
        rules.fail(RuntimeError, "input tensor should be 1D or 2D")
    if input.ndim == 1 and target.ndim == 1:
        rules.fail(
            ValueError,
            f"For 1D input, 1D target must have size 1, but got target size: {target.numel}",
        )
    if target.ndim > 1 or target.ndim != input.ndim - 1:
        rules.fail(
            RuntimeError,
            "0D or 1D target tensor expected, multi-target not supported" if target.ndim > 1 else
            f"size mismatch (got input: {list(input.shape)}, target: {list(target.shape)})",
        )
    if input.ndim == 2 and input.shape[0] != target.shape[0]:
        rules.fail(
            ValueError,
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
            f"({target.shape[0]}).",
        )
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        from ..trace.dtypes import type_name

        rules.fail(
            RuntimeError,
            f'"nll_loss_out_frame" not implemented for \'{type_name(target.dtype)}\'',
        )
    if weight is not None and weight.dtype is not input.dtype:
        rules.fail(
            RuntimeError,
            f"expected scalar type {dtypes.type_name(input.dtype)} but found "
            f"{dtypes.type_name(weight.dtype)}: the weight's dtype must be the input's",
        )
    if weight is not None and weight.shape != (input.shape[-1],):
        rules.fail(
            RuntimeError,
            "weight tensor should be defined either for all "
            f"{input.shape[-1]} classes or no classes but got weight tensor of shape: "
            f"{list(weight.shape)}",
        )
    return meta(tuple(input.shape[:-1]), input.dtype), meta(tuple(input.shape[:-1]), input.dtype)


def _row_weights(target, weight, ignore_index, dtype):
    keep = target != ignore_index
    at = np.where(keep, target, 0)
    w = dtype.type(1) if weight is None or not weight.shape[0] else weight[at]
    return np.where(keep, w, dtype.type(0)), at


def _nll_gradient(g, input, target, weight, ignore_index):
    if g[0] is None:  # only the weights' sum was used: it does not depend on the input
        return None
    made = _nll_backward(g[0], target, weight, ignore_index, tuple(input.shape))
    return piecewise(made, input)


@op(
    lambda grad, target, weight, ignore_index, shape: meta(shape, grad.dtype),
    gradient={
        "grad": lambda g, target, weight, ignore_index: _nll_rows(
            g, target, weight, ignore_index)[0]
    },
    api="",
)
def _nll_backward(grad: Tensor, target: IntTensor, weight: Tensor | None, ignore_index: int,
                  shape: tuple):
    """Minus the weighted gradient at each row's target class, zeros elsewhere."""
    w, at = _row_weights(target, weight, ignore_index, grad.dtype)
    made = zeros(shape, grad.dtype, grad)
    if not shape[-1]:
        return made
    share = np.where(w == 0, grad.dtype.type(0), -grad * w)  # (all ignored: the mean's is infinite)
    if len(shape) == 1:
        made[at] = share
    else:
        made[counted(at.shape[0], at), at] = share
    return made


@op(_nll_rule, gradient={"input": _nll_gradient}, api="")
def _nll_rows(input: Tensor, target: IntTensor, weight: Tensor | None, ignore_index: int):
    """(minus the weighted log-probability of each row's target, its weight)."""
    _check_targets(target, input.shape[-1], ignore_index)
    w, at = _row_weights(target, weight, ignore_index, input.dtype)
    if not input.shape[-1]:  # no classes: all rows are ignored
        return w, w
    picked = input[at] if input.ndim == 1 else input[counted(at.shape[0], at), at]
    return -picked * w, w


def _flat_classes(input, target):
    """(N, C) and (N), or (C) and (), forms of inputs and targets, and the shape of the loss."""
    if input.ndim == 1 and target.shape == (1,):  # as for a batch: the loss has no dimensions either way
        return input, target.reshape(()), None
    if input.ndim <= 2:
        return input, target, None
    if target.shape != (input.shape[0], *input.shape[2:]):
        raise RuntimeError(
            f"Expected target size {[input.shape[0], *input.shape[2:]]}, got {list(target.shape)}"
        )
    classes = input.shape[1]
    return input.movedim(1, -1).reshape(target.numel(), classes), target.reshape(-1), target.shape


@function(api="nn.functional torch")
def nll_loss(input: Tensor, target: Tensor, weight=None, size_average=None,
             ignore_index: int = -100, reduce=None, reduction: str = "mean"):
    """Minus the log-probability of the target class, for (N, C, ...) log-probabilities."""
    reduction = _legacy(size_average, reduce, reduction)
    flat, at, shape = _flat_classes(input, target)
    loss, w = _nll_rows(flat, at, weight, ignore_index)
    if reduction == "mean":
        return loss.sum() / w.sum()
    if reduction == "sum":
        return loss.sum()
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss if shape is None else loss.reshape(shape)


def _plain_rule(input: Meta, target: Meta, ignore_index):
    m, _ = _nll_rule(input, target, None, ignore_index)
    return meta((), input.dtype), meta(input.shape, input.dtype)


@op(
    lambda grad, log_p, target, ignore_index: meta(log_p.shape, log_p.dtype),
    gradient={
        "grad": lambda g, log_p, target, ignore_index: (
            g * _cross_entropy_backward(g.sum() * 0.0 + 1.0, log_p, target, ignore_index)
        ).sum(),
        "log_p": lambda g, grad, log_p, target, ignore_index: _second(
            g, grad, log_p, target, ignore_index
        ),
    },
    api="",
)
def _cross_entropy_backward(grad: Tensor, log_p: Tensor, target: IntTensor, ignore_index: int):
    """`grad * (softmax - one_hot) / rows`, 0 for ignored rows."""
    p = np.exp(log_p)
    keep = target != ignore_index
    at = np.where(keep, target, -1).astype(np.int32)
    p -= counted(p.shape[1], at, np.int32) == at[:, None]
    share = grad / keep.sum().astype(grad.dtype)
    return p * np.where(keep, share, grad.dtype.type(0))[:, None]


def _second(g, grad, log_p, target, ignore_index):
    keep = (target != ignore_index).to(g.dtype)
    return g * log_p.exp() * (keep / keep.sum().clamp(min=1)).unsqueeze(1) * grad  # (all may be ignored)


def _plain_gradient(g, out1, target, ignore_index):
    if g[0] is None:
        return _log_softmax_gradient(g[1], out1)
    made = _cross_entropy_backward(g[0], out1, target, ignore_index)
    return made if g[1] is None else made + _log_softmax_gradient(g[1], out1)


def _log_softmax_gradient(g, log_p):
    return g - log_p.exp() * g.sum(1, keepdim=True)


@op(_plain_rule, gradient={"input": _plain_gradient}, api="")
def _cross_entropy(input: Tensor, target: IntTensor, ignore_index: int):
    """(mean of minus the log-softmax at the targets, the log-softmax)."""
    _check_targets(target, input.shape[1], ignore_index)
    z = input - np.max(input, axis=1, keepdims=True)
    z -= np.log(np.add.reduce(np.exp(z), axis=1, keepdims=True))
    keep = target != ignore_index
    at = counted(target.shape[0], target), np.where(keep, target, 0)
    picked = np.where(keep, z[at], z.dtype.type(0))
    return np.add.reduce(picked) / -keep.sum().astype(z.dtype), z


@function(api=NN)
def cross_entropy(input: Tensor, target: Tensor, weight=None, size_average=None,
                  ignore_index: int = -100, reduce=None, reduction: str = "mean",
                  label_smoothing: float = 0.0):
    """Minus the log-softmax at the target class, or the cross entropy with target probabilities.

    >>> F.cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), label_smoothing=0.1)
    tensor(0.2269)
    """
    reduction = _legacy(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(
            f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}"
        )
    by_class = target.dtype.category < dtypes.FLOAT
    if not by_class and ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    if by_class and target.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError(
            f"cross_entropy(): expected target dtype to be Long or Byte (class indices) or a "
            f"floating point type (probabilities), got {target.dtype}"
        )
    if (
        by_class
        and input.ndim == 2
        and weight is None
        and reduction == "mean"
        and label_smoothing == 0.0
        and input.numel()
    ):
        return _cross_entropy(input, target, ignore_index)[0]
    dim = 1 if input.ndim > 1 else 0
    log_p = log_softmax(input, dim)
    if not by_class:
        return _soft_targets(input, log_p, target, weight, reduction, label_smoothing, dim)
    loss = nll_loss(log_p, target, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing == 0.0:
        return loss
    classes = input.shape[dim]
    flat, at, shape = _flat_classes(log_p, target)
    w = None if weight is None else weight
    smooth = -(flat if w is None else flat * w).sum(-1)
    keep = at != ignore_index
    smooth = where(keep, smooth, 0.0)
    if reduction == "mean":
        if w is None:
            smooth = smooth.sum() / keep.to(flat.dtype).sum()
        else:
            _, rows = _nll_rows(flat, at, w, ignore_index)
            smooth = smooth.sum() / rows.sum()
    elif reduction == "sum":
        smooth = smooth.sum()
    elif shape is not None:
        smooth = smooth.reshape(shape)
    return (1 - label_smoothing) * loss + smooth * (label_smoothing / classes if classes else math.inf)


def _soft_targets(input, log_p, target, weight, reduction, smoothing, dim):
    if target.shape != input.shape:
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got shapes "
            f"{list(input.shape)} and {list(target.shape)}"
        )
    classes = input.shape[dim]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )
    if smoothing and classes:
        target = target * (1 - smoothing) + smoothing / classes
    product = log_p * target
    if weight is not None:
        product = product * weight.reshape(-1, *(1,) * (input.ndim - dim - 1))
    loss = -product.sum(dim)
    if reduction == "mean":
        return loss.sum() / (input.numel() // classes) if input.numel() else loss.sum() * math.nan
    return reduced(loss, reduction)


@function(api=NN)
def binary_cross_entropy(input: Tensor, target: Tensor, weight=None, size_average=None,
                         reduce=None, reduction: str = "mean"):
    """`-(y log x + (1 - y) log(1 - x))`, logarithms limited to -100."""
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    loss = _bce(input, target)
    if weight is not None:
        loss = loss * weight
    return reduced(loss, _legacy(size_average, reduce, reduction))


@op(
    rules.broadcast,
    gradient={
        "input": lambda g, input, target: g * (input - target)
        / ((1 - input) * input).clamp(min=1e-12),
        "target": lambda g, input: g * ((1 - input).log().clamp(min=-100)
                                        - input.log().clamp(min=-100)),
    },
    compute="result",
    api="",
)
def _bce(input: Tensor, target: Tensor):
    if found((input < 0) | (input > 1)):
        raise RuntimeError("all elements of input should be between 0 and 1")
    low = np.maximum(np.log(input), -100)
    high = np.maximum(np.log1p(-input), -100)
    return (target - 1) * high - target * low


@function(api="nn.functional torch")
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight=None,
                                     size_average=None, reduce=None, reduction: str = "mean",
                                     pos_weight=None):
    """Binary cross entropy of `sigmoid(input)`, without overflow."""
    if target.shape != input.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    from .activation import logsigmoid

    if pos_weight is None:
        loss = (1 - target) * input - logsigmoid(input)
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * logsigmoid(input)
    if weight is not None:
        loss = loss * weight
    return reduced(loss, _legacy(size_average, reduce, reduction))


@function(api="nn.functional torch")
def kl_div(input: Tensor, target: Tensor, size_average=None, reduce=None,
           reduction: str = "mean", log_target: bool = False):
    """`y (log y - x)` for log-probabilities x."""
    if log_target:
        loss = target.exp() * (target - input)
    else:
        from .pointwise import xlogy

        loss = xlogy(target, target) - target * input
    reduction = _legacy(size_average, reduce, reduction)
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    return reduced(loss, reduction)


# ---------------------------------------------------------------- distances and margins


@function(api="nn.functional torch")
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8):
    """The cosine of the angle between vectors along `dim`."""
    dtype = rules.float_of(dtypes.promote_types(x1.dtype, x2.dtype))
    x1, x2 = broadcast_tensors(x1.to(dtype), x2.to(dtype))
    a = x1 / x1.norm(2, dim, True).clamp(min=eps)
    b = x2 / x2.norm(2, dim, True).clamp(min=eps)
    return (a * b).sum(dim)


@function(api="nn.functional torch")
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6,
                      keepdim: bool = False):
    """The p-norm of `x1 - x2 + eps` along the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)


@function(api="nn.functional torch")
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
                          size_average=None, reduce=None, reduction: str = "mean"):
    """`1 - cos` for target 1, `max(0, cos - margin)` for -1."""
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs with "
            f"sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    cos = cosine_similarity(input1, input2, 1 if input1.ndim > 1 else 0)
    loss = where(target == 1, 1 - cos, where(target == -1, (cos - margin).clamp(min=0), 0.0))
    return reduced(loss, _legacy(size_average, reduce, reduction))


@function(api="nn.functional torch")
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, size_average=None,
                         reduce=None, reduction: str = "mean"):
    """x for target 1, `max(0, margin - x)` for -1."""
    loss = where(target == -1, 0.0, input) + where(target == 1, 0.0,
                                                   (margin - input).clamp(min=0))
    return reduced(loss, _legacy(size_average, reduce, reduction))


@function(api="nn.functional torch")
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
                        size_average=None, reduce=None, reduction: str = "mean"):
    """`max(0, -y (x1 - x2) + margin)`."""
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
            f"{list(input1.shape)}, input2: {list(input2.shape)}, target: {list(target.shape)} "
        )
    loss = (-target * (input1 - input2) + margin).clamp(min=0)
    return reduced(loss, _legacy(size_average, reduce, reduction))


@function(api="nn.functional torch")
def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0,
                        p: float = 2, eps: float = 1e-6, swap: bool = False, size_average=None,
                        reduce=None, reduction: str = "mean"):
    """`max(0, d(a, p) - d(a, n) + margin)`."""
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative "
            f"{negative.ndim}D inputs"
        )
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))
    return reduced((near - far + margin).clamp(min=0), _legacy(size_average, reduce, reduction))


@function(api=NN)
def soft_margin_loss(input: Tensor, target: Tensor, size_average=None, reduce=None,
                     reduction: str = "mean"):
    """`log(1 + exp(-y x))`."""
    return reduced((-target * input).exp().log1p(), _legacy(size_average, reduce, reduction))


@function(api=NN)
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
                     size_average=None, eps: float = 1e-8, reduce=None, reduction: str = "mean"):
    """The negative log-likelihood of Poisson counts."""
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + where(target > 1, stirling, 0.0)
    return reduced(loss, _legacy(size_average, reduce, reduction))


@function(api=NN)
def gaussian_nll_loss(input: Tensor, target: Tensor, var, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean"):
    """The negative log-likelihood of normal targets with mean `input` and variance `var`."""
    if not hasattr(var, "shape"):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input.new_full(input.shape, var)
    elif var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        elif var.ndim != input.ndim or sum(
            n != m for n, m in zip(var.shape, input.shape, strict=True)
        ) != 1 or any(n != m and n != 1 for n, m in zip(var.shape, input.shape, strict=True)):
            raise ValueError(
                f"var is of incorrect size: {list(var.shape)} for input {list(input.shape)}"
            )
    if (var < 0).any():
        raise ValueError("var has negative entry/entries")
    var = var + (var.detach().clamp(min=eps) - var.detach())  # the limit has no gradient
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)


def _check_margin_inputs(input, target, weight, reduction):
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if input.ndim > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"weight must be one-dimensional, not {list(weight.shape)}")
    rows = input.shape[0] if input.ndim == 2 else 1
    if target.ndim > 1 or target.numel() != rows:
        raise RuntimeError(
            f"inconsistent target size, expected {rows} but got {list(target.shape)}"
        )
    if target.dtype is not dtypes.int64:
        raise RuntimeError(
            f"expected scalar type Long but found {dtypes.type_name(target.dtype)}"
        )
    classes = input.shape[-1] if input.ndim else 1
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(
            f"inconsistent weight size, expected {classes} but got {list(weight.shape)}"
        )


@function(api=NN)
def multi_margin_loss(input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight=None,
                      size_average=None, reduce=None, reduction: str = "mean"):
    """The mean over wrong classes of `max(0, margin - x[y] + x[i])^p`."""
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    reduction = _legacy(size_average, reduce, reduction)
    _check_margin_inputs(input, target, weight, reduction)
    x = input if input.ndim == 2 else input.reshape(1, -1)
    y = target.reshape(-1, 1)
    z = (margin - x.gather(1, y) + x).clamp(min=0)
    z = z * z if p == 2 else z
    if weight is not None:
        z = z * weight[y.reshape(-1)].unsqueeze(1)
    z = z.scatter(1, y, 0.0)
    loss = z.sum(1) / x.shape[1]
    return reduced(loss if target.ndim else loss.squeeze(0),
                   reduction)


@function(api=NN)
def multilabel_soft_margin_loss(input: Tensor, target: Tensor, weight=None, size_average=None,
                                reduce=None, reduction: str = "mean"):
    """The mean over classes of the binary cross entropies of `sigmoid(input)`."""
    from .activation import logsigmoid

    if input.ndim == 0:
        raise IndexError("multilabel_soft_margin_loss: the input has no dimension of classes")
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(loss.mean(-1), _legacy(size_average, reduce, reduction))


@function(api=NN)
def triplet_margin_with_distance_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *,
                                      distance_function=None, margin: float = 1.0,
                                      swap: bool = False, reduction: str = "mean"):
    """`max(0, d(a, p) - d(a, n) + margin)` with a distance of your own."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduced((near - far + margin).clamp(min=0), reduction)


@function(api=NN)
def linear_cross_entropy(input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias=None,
                         weight=None, reduction: str = "mean", ignore_index: int | None = None,
                         label_smoothing: float = 0.0, options=None):
    """`cross_entropy(linear(input, linear_weight, linear_bias), target)`.

    input: (N, in). linear_weight: (C, in) or (C, d1, ..., dK, in). options: how PyTorch splits the
    work; without effect here.
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(
            f"expected label_smoothing to be in range [0, 1], got {label_smoothing}"
        )
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError(
            f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}"
        )
    classes, *features = linear_weight.shape[:-1]
    if features and input.ndim == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires "
            f"batched input, got unbatched input with shape {tuple(input.shape)}"
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:-1]:
        raise RuntimeError(
            f"expected linear_bias shape {tuple(linear_weight.shape[:-1])}, got "
            f"{tuple(linear_bias.shape)}"
        )
    by_class = target.dtype.category < dtypes.FLOAT
    if ignore_index is not None and not by_class:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {linear_weight.shape[-1]}, respectively"
        )
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"expected weight shape to be ({classes},), got {tuple(weight.shape)}"
        )
    if input.ndim == 2 and target.ndim and target.shape[0] != input.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
            f"({target.shape[0]})."
        )
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(math.prod(linear_weight.shape[:-1]), linear_weight.shape[-1]), bias)
    if features:
        logits = logits.unflatten(-1, (classes, *features))
    return cross_entropy(
        logits, target, weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )


@op(lambda target, classes: (meta(target.shape, dtypes.int64), meta(target.shape, dtypes.bool_),
                             meta((*target.shape[:-1], classes), dtypes.bool_)),
    api="")
def _labels(target: IntTensor, classes: int):
    """Lists of labels ended by -1: (labels, which are labels, which classes occur)."""
    if target.size and not -1 <= target.min() <= target.max() < classes:
        raise RuntimeError(f"multilabel_margin_loss: target is out of range [-1, {classes})")
    real = np.logical_and.accumulate(target >= 0, axis=-1)
    labels = np.where(real, target, 0)
    occurs = np.zeros((*target.shape[:-1], classes), bool)
    rows = np.nonzero(real)
    occurs[(*rows[:-1], target[real])] = True
    return labels, real, occurs


@function(api=NN)
def multilabel_margin_loss(input: Tensor, target: IntTensor, size_average=None, reduce=None,
                           reduction: str = "mean"):
    """The sum of `max(0, 1 - (x[y] - x[i]))` over labels y and other classes i, over C.

    input: (N, C) or (C). target: the same shape, each row's labels first, then -1.
    """
    reduction = _legacy(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    classes = input.shape[-1] if input.ndim else 1
    if input.ndim > 2 or classes == 0:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    x = input.reshape(1, 1) if input.ndim == 0 else input
    y = target.reshape(1, 1) if target.ndim == 0 and input.ndim == 0 else target
    if x.shape != y.shape:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: "
            f"{list(input.shape)}"
        )
    labels, real, occurs = _labels(y, classes)
    margin = (1 - x.gather(-1, labels).unsqueeze(-1) + x.unsqueeze(-2)).clamp(min=0)
    counted = real.unsqueeze(-1) & ~occurs.unsqueeze(-2)
    loss = where(counted, margin, 0.0).sum((-2, -1)) / classes
    if input.ndim == 0:
        loss = loss.squeeze(0)
    return reduced(loss, reduction)
