"""One direction of one recurrent layer, step by step, for whole and for packed sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rushlight
from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

# A step takes the input's share of the gates and the states; it returns the new states, h first.


def lstm_step(x: Tensor, states: tuple, w: Tensor, b: Tensor | None, project: Any) -> tuple:
    """`x` (B, 4H): the gates i, f, g, o; states (h, c)."""
    h, c = states
    i, f, g, o = (x + F.linear(h, w, b)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if project is None else F.linear(h, project)), c


def gru_step(x: Tensor, states: tuple, w: Tensor, b: Tensor | None, project: Any) -> tuple:
    """`x` (B, 3H): the gates r, z, n; states (h,)."""
    (h,) = states
    xr, xz, xn = x.chunk(3, -1)
    hr, hz, hn = F.linear(h, w, b).chunk(3, -1)
    r = (xr + hr).sigmoid()
    z = (xz + hz).sigmoid()
    n = (xn + r * hn).tanh()
    return ((h - n) * z + n,)


def tanh_step(x: Tensor, states: tuple, w: Tensor, b: Tensor | None, project: Any) -> tuple:
    """`x` (B, H); states (h,)."""
    return ((x + F.linear(states[0], w, b)).tanh(),)


def relu_step(x: Tensor, states: tuple, w: Tensor, b: Tensor | None, project: Any) -> tuple:
    """`x` (B, H); states (h,)."""
    return ((x + F.linear(states[0], w, b)).relu(),)


STEPS: dict[str, Callable] = {
    "RNN_TANH": tanh_step,
    "RNN_RELU": relu_step,
    "GRU": gru_step,
    "LSTM": lstm_step,
}


def run_layer(
    mode: str,
    input: Tensor,
    states: tuple,
    weights: dict[str, Tensor],
    sizes: list[int] | None,
    reverse: bool,
) -> tuple[Tensor, tuple]:
    """Run over (T, B, I), or packed (total, I) with `sizes` rows in each step.

    Returns the outputs in the input's layout and the final states (B, H).
    """
    step = STEPS[mode]
    w, b, project = weights["weight_hh"], weights.get("bias_hh"), weights.get("weight_hr")
    gates = F.linear(input, weights["weight_ih"], weights.get("bias_ih"))
    if sizes is None:
        steps = gates.unbind(0)
        outputs: list[Tensor] = []
        for x in reversed(steps) if reverse else steps:
            states = step(x, states, w, b, project)
            outputs.append(states[0])
        return rushlight.stack(outputs[::-1] if reverse else outputs), states
    steps = gates.split(sizes)
    run = _packed_backward if reverse else _packed_forward
    outputs, states = run(lambda x, s: step(x, s, w, b, project), steps, sizes, states)
    return rushlight.cat(outputs), states


def _packed_forward(step: Callable, steps: Any, sizes: list[int], states: tuple) -> tuple:
    """Sequences end one after the other, the last rows of the batch first."""
    outputs, ended = [], []
    rows = sizes[0]
    for x, size in zip(steps, sizes):
        if size < rows:
            ended.append(tuple(s[size:] for s in states))
            states = tuple(s[:size] for s in states)
            rows = size
        states = step(x, states)
        outputs.append(states[0])
    ended.append(states)
    return outputs, tuple(rushlight.cat(parts) for parts in zip(*reversed(ended)))


def _packed_backward(step: Callable, steps: Any, sizes: list[int], initial: tuple) -> tuple:
    """From the end: sequences join the batch one after the other, with their initial states."""
    outputs = []
    rows = sizes[-1]
    states = tuple(s[:rows] for s in initial)
    for x, size in zip(reversed(steps), reversed(sizes)):
        if size > rows:
            states = tuple(
                rushlight.cat([s, start[rows:size]]) for s, start in zip(states, initial)
            )
            rows = size
        states = step(x, states)
        outputs.append(states[0])
    return outputs[::-1], states
