"""Connectionist temporal classification: the loss of a sequence without its alignment."""

from __future__ import annotations

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import IntTensor, Tensor, function, op
from . import rules
from .loss import reduced

NN = "nn.functional"


def _rule(log_probs: Meta, targets: Meta, input_lengths: Meta, target_lengths: Meta, blank,
          zero_infinity):
    steps, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        rules.fail(RuntimeError, f"blank must be in label range: got {blank} of {classes} labels")
    if targets.dtype not in (dtypes.int64, dtypes.int32):
        rules.fail(
            RuntimeError, f"ctc_loss: targets must be int64 or int32, got {targets.dtype}"
        )
    for name, lengths in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        if lengths.shape != (batch,):
            rules.fail(
                RuntimeError,
                f"{name} must be of size batch_size: got {list(lengths.shape)} for a batch of "
                f"{batch}",
            )
    if targets.ndim == 2 and targets.shape[0] != batch or targets.ndim > 2:
        rules.fail(
            RuntimeError,
            f"ctc_loss: targets must be (batch, length) or concatenated, got "
            f"{list(targets.shape)} for a batch of {batch}",
        )
    return meta((batch,), log_probs.dtype), meta(log_probs.shape, log_probs.dtype)


def _logsumexp(parts):
    """log of the sum of exp, elementwise over a list of arrays; -inf where all are."""
    top = np.maximum.reduce(parts)
    safe = np.where(np.isneginf(top), 0, top)
    with np.errstate(divide="ignore"):
        return _rounded(np.log, sum(_rounded(np.exp, p - safe) for p in parts)) + safe


def _rounded(f, x):
    """`f(x)` correctly rounded: over many steps, NumPy's own float32 functions would drift away."""
    return f(x.astype(np.float64)).astype(x.dtype)


def _padded(targets, lengths, blank):
    """Targets as rows (N, 2 S + 1) with blanks between, before and after the labels."""
    batch, most = len(lengths), int(lengths.max(initial=0))
    rows = np.full((batch, 2 * most + 1), blank, np.int64)
    if targets.ndim == 2:
        if most > targets.shape[1]:
            raise RuntimeError(
                f"Expected tensor to have size at least {most} at dimension 1, but got size "
                f"{targets.shape[1]} for targets"
            )
        inside = np.arange(most) < lengths[:, None]
        rows[:, 1::2] = np.where(inside, targets[:, :most], blank)
        return rows
    if lengths.sum() != targets.shape[0]:
        raise RuntimeError(
            f"Expected concatenated targets of length {lengths.sum()} (the sum of target_lengths), "
            f"but got {targets.shape[0]}"
        )
    ends = np.cumsum(lengths)
    for i, (end, n) in enumerate(zip(ends, lengths, strict=True)):
        rows[i, 1 : 2 * n : 2] = targets[end - n : end]
    return rows


@op(
    _rule,
    gradient={"log_probs": lambda g, out: None if g[0] is None else g[0].view(1, -1, 1) * out[1]},
    api="",
)
def _ctc(log_probs: Tensor, targets: IntTensor, input_lengths: IntTensor,
         target_lengths: IntTensor, blank: int, zero_infinity: bool):
    """(negative log likelihoods (N), their gradients (T, N, C)).

    Forward and backward recursion over the states blank, label, blank, ... (Graves et al., 2006),
    all sequences of the batch at once. The gradient is that with respect to the scores before a
    log-softmax, as PyTorch's is: the softmax's own derivative leaves it unchanged.
    """
    steps, batch, classes = log_probs.shape
    if (input_lengths < 0).any() or (input_lengths > steps).any():
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps} and at least 0, but got "
            f"{input_lengths.tolist()}"
        )
    if (target_lengths < 0).any():
        raise RuntimeError(
            f"Expected target_lengths to be at least 0, but got {target_lengths.tolist()}"
        )
    states = _padded(targets, target_lengths, blank)
    if states.size and not 0 <= states.min() <= states.max() < classes:
        raise RuntimeError(f"ctc_loss: targets must be labels below {classes}")
    count = states.shape[1]
    final = 2 * target_lengths  # the last state of each sequence: a blank
    real = np.arange(count) <= final[:, None]
    skips = np.zeros((batch, count), bool)  # a label may follow a different label directly
    skips[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    low = log_probs.dtype.type(-np.inf)
    at_state = np.take_along_axis(
        log_probs, np.broadcast_to(states, (steps, batch, count)), 2
    )
    rows = np.arange(batch)

    alpha = np.full((steps, batch, count), low)
    here = np.full((batch, count), low)
    here[:, :2] = 0
    here = np.where(real, here, low)  # (before the first step: a start in one of two states)
    for t in range(steps):
        if t:
            one = np.concatenate([np.full((batch, 1), low), here[:, :-1]], 1)
            two = np.where(
                skips, np.concatenate([np.full((batch, 2), low), here[:, :-2]], 1)[:, :count], low
            )
            here = np.where(real, _logsumexp([here, one, two]), low)
        here = here + at_state[t]
        alpha[t] = here

    nll = np.where(target_lengths == 0, log_probs.dtype.type(0), low)  # of no input at all
    some = input_lengths > 0
    last = np.maximum(input_lengths - 1, 0)
    if steps:
        ends = [alpha[last, rows, final],
                np.where(target_lengths > 0, alpha[last, rows, np.maximum(final - 1, 0)], low)]
        nll = np.where(some, _logsumexp(ends), nll)
    nll = -nll

    beta = np.full((batch, count), low)
    both = np.full((steps, batch, count), low)
    with np.errstate(invalid="ignore", over="ignore"):
        for t in range(steps - 1, -1, -1):
            one = np.concatenate([beta[:, 1:], np.full((batch, 1), low)], 1)
            jump = np.concatenate([skips[:, 2:], np.zeros((batch, 2), bool)], 1)[:, :count]
            two = np.where(
                jump, np.concatenate([beta[:, 2:], np.full((batch, 2), low)], 1)[:, :count], low
            )
            beta = np.where(real, _logsumexp([beta, one, two]) + at_state[t], low)
            ending = t == last
            if ending.any():
                begin = np.full((batch, count), low)
                begin[rows, final] = 0
                begin[rows, np.maximum(final - 1, 0)] = 0
                beta = np.where(ending[:, None] & some[:, None], begin + at_state[t], beta)
            both[t] = np.where(real, alpha[t] + beta, low)
        mass = np.full((steps, batch, classes), low)  # log of the sum over states of a class
        for s in range(count - 1, -1, -1):
            at = (slice(None), rows, states[:, s])
            mass[at] = _logsumexp([mass[at], both[:, :, s]])
        slope = np.exp(log_probs) - np.exp(mass + nll[:, None] - log_probs)
        slope = np.where(np.arange(steps)[:, None, None] < input_lengths[:, None], slope, 0)
    if zero_infinity:
        impossible = nll == np.inf
        nll, slope = np.where(impossible, 0, nll), np.where(impossible[:, None], 0, slope)
    return nll.astype(log_probs.dtype, copy=False), slope.astype(log_probs.dtype, copy=False)


@function(api=NN + " torch")
def ctc_loss(log_probs: Tensor, targets: IntTensor, input_lengths, target_lengths, blank: int = 0,
             reduction: str = "mean", zero_infinity: bool = False):
    """The negative log likelihood of target sequences, summed over all their alignments.

    log_probs: (T, N, C) or (T, C) logarithms of probabilities. targets: (N, S) padded or all
    concatenated (sum of target_lengths); without a batch (S). Lengths: (N) tensors or sequences.
    "mean" divides each loss by its target's length. zero_infinity: impossible targets count zero.
    """
    from .creation import as_tensor

    def lengths(x):
        x = as_tensor(x).to(dtypes.int64)
        return x if batched else x.reshape(-1)

    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    batched = log_probs.ndim == 3
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(
            f"ctc_loss: log_probs must be (T, N, C) or (T, C), got {list(log_probs.shape)}"
        )
    x = log_probs if batched else log_probs.unsqueeze(1)
    inputs, outputs = lengths(input_lengths), lengths(target_lengths)
    if batched or targets.ndim != 1:
        labels = targets
    else:
        labels = targets.unsqueeze(0)
    loss, _ = _ctc(x, labels, inputs, outputs, blank, zero_infinity)
    if not batched:
        loss = loss.squeeze(0)
        outputs = outputs.squeeze(0)
    if reduction == "mean":
        return (loss / outputs.clamp(min=1).to(loss.dtype)).mean()
    return reduced(loss, reduction)
