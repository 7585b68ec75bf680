"""Recurrent layers: one operator for all time steps of one direction, its gradient, and single steps.

The input's share of the gates (total, gates * H) comes from one matrix product before; `sizes` says
how many of its rows belong to each time step, as in a PackedSequence: they never grow. A number says
how many steps there are, of B rows each. The states (B, H) are carried in place: step t reads and
writes their first sizes[t] rows, so at the end they hold each sequence's last state, forwards and
backwards.

A cell is written once, for arrays, symbols of the compiler and tensors; its gradient for the first two.
Whoever differentiates twice goes through the steps one by one, as tensors.
"""

from __future__ import annotations

import numpy as np

from ..trace import engine
from ..trace.meta import Meta, meta
from ..trace.modes import enable_grad, is_grad_enabled
from ..trace.operator import Tensor, op
from .activation import relu
from .elementary import sigmoid, tanh
from .matmul import _transposed_mm, linear
from .shape import cat


class Arrays:
    """What cells ask of arrays, and of the symbols that stand for them."""

    tanh = staticmethod(np.tanh)

    @staticmethod
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def relu(x):
        return np.maximum(x, 0)

    @staticmethod
    def gates(x, count):
        n = x.shape[-1] // count
        return [x[:, k * n : (k + 1) * n] for k in range(count)]


class _Tensors:
    """What cells ask of tensors."""

    tanh, sigmoid, relu = tanh, sigmoid, relu

    @staticmethod
    def gates(x, count):
        return x.chunk(count, -1)


# ---------------------------------------------------------------- cells
# forward: (Arrays or _Tensors, the input's share of the gates, the state's share, h, c) to (h, c, what
# is saved). backward: (gradients of h and c, h and c before, h after, saved) to (gradients of the
# input's share, those of the state's share that differ, of h before on the direct way, of c before).


def _sum(x, a):
    """Both shares of the gates; the product may have added the one to the other (then a is None)."""
    return x if a is None else x + a


def _lstm(f, x, a, h, c):
    i, u, g, o = f.gates(_sum(x, a), 4)
    i, u, g, o = f.sigmoid(i), f.sigmoid(u), f.tanh(g), f.sigmoid(o)
    c = u * c + i * g
    t = f.tanh(c)
    return o * t, c, (i, u, g, o, t)


def _lstm_backward(dh, dc, h, c, after, saved):
    i, f, g, o, t = saved
    dc = dc + dh * o * (1 - t * t)
    given = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)
    return given, given, None, dc * f


def _gru(f, x, a, h, c):
    (xr, xz, xn), (ar, az, an) = f.gates(x, 3), f.gates(a, 3)
    r, z = f.sigmoid(xr + ar), f.sigmoid(xz + az)
    n = f.tanh(xn + r * an)
    return (h - n) * z + n, None, (r, z, n, an)


def _gru_backward(dh, dc, h, c, after, saved):
    r, z, n, a = saved
    dn = dh * (1 - z) * (1 - n * n)
    dr, dz = dn * a * r * (1 - r), dh * (h - n) * z * (1 - z)
    return (dr, dz, dn), (dr, dz, dn * r), dh * z, None


def _tanh(f, x, a, h, c):
    return f.tanh(_sum(x, a)), None, ()


def _tanh_backward(dh, dc, h, c, after, saved):
    given = (dh * (1 - after * after),)
    return given, given, None, None


def _relu(f, x, a, h, c):
    return f.relu(_sum(x, a)), None, ()


def _relu_backward(dh, dc, h, c, after, saved):
    given = (np.where(after > 0, dh, 0 * dh),)
    return given, given, None, None


class Cell:
    """A kind of cell: its gates, how many values of a state it saves, its functions."""

    def __init__(self, gates, saves, forward, backward, own=False):
        self.gates, self.saves, self.forward, self.backward = gates, saves, forward, backward
        self.own = own  # whether the state's share of the gates has gradients of its own


CELLS = {
    "LSTM": Cell(4, 5, _lstm, _lstm_backward),
    "GRU": Cell(3, 4, _gru, _gru_backward, True),
    "RNN_TANH": Cell(1, 0, _tanh, _tanh_backward),
    "RNN_RELU": Cell(1, 0, _relu, _relu_backward),
}


def steps_of(sizes: tuple[int, ...] | int, batch: int, reverse: bool) -> list[tuple[int, int]]:
    """(first row, rows) of the time steps, in the order in which they run."""
    if not isinstance(sizes, tuple):
        sizes = (batch,) * sizes
    made, start = [], 0
    for size in sizes:
        made.append((start, size))
        start += size
    return made[::-1] if reverse else made


# ---------------------------------------------------------------- the operators


def _lower(direction: str):
    """What the operators are compiled to."""

    def lower(build, *args):
        from ..compile import recurrence

        if direction == "backward":
            *tensors, mode, sizes, reverse = args
            recurrence.backward(build, *tensors, CELLS[mode], sizes, reverse)
        else:
            *tensors, mode, sizes, reverse, train = args
            recurrence.forward(build, *tensors, CELLS[mode], Arrays, sizes, reverse, train)

    return lower


def _batch(sizes, total: int) -> int:
    """The rows of the first step."""
    return sizes[0] if isinstance(sizes, tuple) else total // sizes


def _backward_rule(grad, grad_h, grad_c, out, before, before_c, saved, w, mode, sizes, reverse):
    cell, (total, n) = CELLS[mode], before.shape
    batch = _batch(sizes, total)
    wide = cell.gates * n
    return (meta((total, wide), w.dtype), meta((total if cell.own else 0, wide), w.dtype),
            meta((batch, n), w.dtype), meta((batch if mode == "LSTM" else 0, n), w.dtype))


@op(_backward_rule, api="", lower=_lower("backward"))
def _recurrent_backward(
    grad: Tensor | None, grad_h: Tensor | None, grad_c: Tensor | None, out: Tensor, before: Tensor,
    before_c: Tensor, saved: Tensor, w: Tensor, mode: str, sizes: tuple | int, reverse: bool,
):
    """Gradients of `_recurrent`: of x, of the state's share of the gates, of h and of c."""
    cell, dtype, n = CELLS[mode], w.dtype, before.shape[1]
    batch = _batch(sizes, len(before))
    dh, dc = (np.zeros((batch, n), dtype) if g is None else g.copy() for g in (grad_h, grad_c))
    dx = np.empty((len(before), cell.gates * n), dtype)
    da = np.empty_like(dx) if cell.own else dx
    for start, size in reversed(steps_of(sizes, batch, reverse)):
        rows = slice(start, start + size)
        dh_now = dh[:size] if grad is None else dh[:size] + grad[rows]
        given, own, direct, c = cell.backward(
            dh_now, dc[:size], before[rows], before_c[rows] if mode == "LSTM" else None, out[rows],
            Arrays.gates(saved[rows], cell.saves) if cell.saves else (),
        )
        np.concatenate(given, axis=1, out=dx[rows])
        if cell.own:
            np.concatenate(own, axis=1, out=da[rows])
        dh[:size] = da[rows] @ w
        if direct is not None:
            dh[:size] += direct
        if c is not None:
            dc[:size] = c
    return dx, da if cell.own else da[:0], dh, dc if mode == "LSTM" else dc[:0]


def _rule(x, h, c, w, b, mode, sizes, reverse, train) -> tuple[Meta, ...]:
    n, total, cell = h.shape[1], x.shape[0], CELLS[mode]
    states = 1 if mode == "LSTM" else 0
    kept = total if train else 0
    return (meta((total, n), x.dtype), meta(h.shape, x.dtype),
            meta((h.shape[0] * states, n), x.dtype), meta((kept, n), x.dtype),
            meta((kept * states, n), x.dtype), meta((kept, cell.saves * n), x.dtype))


def _gradient(g, x, h, c, w, b, out, mode, sizes, reverse, need):
    if not any(need):
        return None, None, None, None, None
    if is_grad_enabled():  # to be differentiated again
        return _by_steps(g, (x, h, c, w, b), mode, sizes, reverse)
    before, before_c, saved = out[3:]
    dx, da, dh, dc = _recurrent_backward(
        g[0], g[1], g[2] if mode == "LSTM" else None, out[0], before, before_c, saved, w, mode,
        sizes, reverse,
    )
    da = da if CELLS[mode].own else dx
    return (dx, dh, dc if c is not None else None, _transposed_mm(da, before) if need[3] else None,
            da.sum(0) if need[4] else None)


def _by_steps(g, given, mode, sizes, reverse):
    """The gradients of tensors' operations, which can be differentiated."""
    with enable_grad():
        x, h, c, w, b = given
        out, states = by_steps(mode, x, (h,) if c is None else (h, c), w, b, sizes, reverse)
        pairs = [(y, d) for y, d in zip((out, *states), g, strict=False) if d is not None]
        wanted = [t for t in given if t is not None and t.requires_grad]
        found = iter(engine.grad([y for y, _ in pairs], wanted, [d for _, d in pairs],
                                 create_graph=True, allow_unused=True))
    return tuple(next(found) if t is not None and t.requires_grad else None for t in given)


@op(_rule, gradient={("x", "h", "c", "w", "b"): _gradient}, api="",
    lower=_lower("forward"))
def _recurrent(
    x: Tensor, h: Tensor, c: Tensor | None, w: Tensor, b: Tensor | None, mode: str, sizes: tuple | int,
    reverse: bool, train: bool,
):
    """All steps of a layer in one direction: (outputs, last h, last c, and what gradients need).

    x (total, gates * H); h, c (B, H); w (gates * H, H); b (gates * H,). Results that a mode has not,
    or that are not wanted (train: h and c before each step, what cells save), have no rows.
    """
    cell, n = CELLS[mode], h.shape[1]
    h = h.copy()
    c = h[:0] if c is None else c.copy()
    out = np.empty((len(x), n), x.dtype)
    kept = len(x) if train else 0
    before, saved = np.empty((kept, n), x.dtype), np.empty((kept, cell.saves * n), x.dtype)
    before_c = np.empty((kept if mode == "LSTM" else 0, n), x.dtype)
    across = w.T
    for start, size in steps_of(sizes, len(h), reverse):
        rows, old, old_c = slice(start, start + size), h[:size], c[:size]
        a = old @ across
        if b is not None:
            a += b
        out[rows], new_c, values = cell.forward(Arrays, x[rows], a, old, old_c)
        if train:
            before[rows] = old
            if values:
                np.concatenate(values, axis=1, out=saved[rows])
        if new_c is not None:
            if train:
                before_c[rows] = old_c
            c[:size] = new_c
        h[:size] = out[rows]
    return out, h, c, before, before_c, saved


# ---------------------------------------------------------------- layers and steps


def step(mode: str, x, states: tuple, w, b, project=None) -> tuple:
    """One step of a cell: `x` (B, gates * H) is the input's share, states (h,) or (h, c)."""
    h, c = states if len(states) == 2 else (states[0], None)
    h, c, _ = CELLS[mode].forward(_Tensors, x, linear(h, w, b), h, c)
    h = h if project is None else linear(h, project)
    return (h,) if c is None else (h, c)


def by_steps(mode: str, x, states: tuple, w, b, sizes: tuple | int, reverse: bool, project=None):
    """(the outputs (total, H), the last states), step by step."""
    outputs = []
    for start, size in steps_of(sizes, states[0].shape[0], reverse):
        whole = size == states[0].shape[0]
        now = states if whole else tuple(s[:size] for s in states)
        made = step(mode, x[start : start + size], now, w, b, project)
        outputs.append(made[0])
        states = made if whole else tuple(
            cat([new, old[size:]]) for new, old in zip(made, states, strict=True)
        )
    return cat(outputs[::-1] if reverse else outputs), states


def layer(mode: str, input, states: tuple, weights: dict, sizes: list[int] | None, reverse: bool):
    """One direction of a layer on (T, B, I), or packed (total, I) with `sizes` rows in each step.

    Returns the outputs in the input's form and the last states (B, H).
    """
    w, b, project = weights["weight_hh"], weights.get("bias_hh"), weights.get("weight_hr")
    x = linear(input, weights["weight_ih"], weights.get("bias_ih"))
    if sizes is None:
        steps, batch = x.shape[:2]
        out, states = _rows(mode, x.reshape(steps * batch, x.shape[2]), states, w, b,
                            steps, reverse, project)
        return out.reshape(steps, batch, out.shape[1]), states
    return _rows(mode, x, states, w, b, tuple(sizes), reverse, project)


def _rows(mode, x, states, w, b, sizes, reverse, project):
    given = (x, *states, w) if b is None else (x, *states, w, b)
    if project is not None or len({t.dtype for t in given}) > 1:  # (autocast: the input's share is short)
        return by_steps(mode, x, states, w, b, sizes, reverse, project)
    train = is_grad_enabled() and any(t.requires_grad for t in given)
    c = states[1] if len(states) > 1 else None
    out, h, c, *_ = _recurrent(x, states[0], c, w, b, mode, sizes, reverse, train)
    return out, (h, c) if len(states) > 1 else (h,)
