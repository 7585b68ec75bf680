"""Recurrent layers against PyTorch: whole and packed, both directions, differentiated once and twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight

MODES = [
    ("LSTM", {}), ("LSTM", {"bidirectional": True}), ("LSTM", {"proj_size": 3}),
    ("LSTM", {"bias": False}), ("GRU", {"bidirectional": True}), ("GRU", {"bias": False}),
    ("RNN", {"bidirectional": True}), ("RNN", {"nonlinearity": "relu"}),
]


def results(T, mode, options, packed, twice, dtype="float64"):
    """Outputs, last states and gradients (and theirs) of two layers."""
    random = np.random.default_rng(0)
    dtype = getattr(T, dtype)

    def tensor(*shape):
        return T.tensor(random.standard_normal(shape) * 0.5).to(dtype).requires_grad_()

    model = getattr(T.nn, mode)(5, 7, num_layers=2, **options).to(dtype)
    with T.no_grad():
        for p in model.parameters():
            p.copy_(tensor(*p.shape))
    states = 2 * (1 + options.get("bidirectional", False))
    x, h, c = tensor(6, 3, 5), tensor(states, 3, options.get("proj_size", 7)), tensor(states, 3, 7)
    given = x
    if packed:
        given = T.nn.utils.rnn.pack_padded_sequence(x, [4, 6, 2], enforce_sorted=False)
    out, last = model(given, (h, c) if mode == "LSTM" else h)
    out, last = out.data if packed else out, list(last) if mode == "LSTM" else [last]
    weights = T.arange(out.numel()).to(dtype).reshape(out.shape).cos()
    loss = (out * weights).sum() + sum((t * t).sum() for t in last)
    inputs = [x, h, *([c] if mode == "LSTM" else []), *model.parameters()]
    gradients = T.autograd.grad(loss, inputs, create_graph=twice)
    made = [out, *last, *gradients]
    if twice:
        square = sum((g * g).sum() for g in gradients)
        made += T.autograd.grad(square, inputs, allow_unused=True)
    return [None if t is None else t.detach().double().numpy() for t in made]


def compare(*given, rtol=1e-8, **options):
    wanted = results(torch, *given, **options)
    for _ in range(4):  # the first time, and deferred
        for ours, theirs in zip(results(rushlight, *given, **options), wanted, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                np.testing.assert_allclose(ours, theirs, rtol, rtol)


@pytest.mark.parametrize("mode, options", MODES, ids=str)
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_as_pytorch(mode, options, packed, twice):
    compare(mode, options, packed, twice)


def test_dtypes():
    compare("GRU", {}, True, False, dtype="float32", rtol=1e-4)
    compare("LSTM", {}, False, False, dtype="bfloat16", rtol=0.15)


def test_only_what_gradients_need_is_kept():
    """Without gradients, nothing but outputs and states."""
    lstm = rushlight.nn.LSTM(4, 8)
    x = rushlight.zeros(5, 2, 4)
    with rushlight.no_grad():
        out, (h, c) = lstm(x)
    assert out.grad_fn is None and h.grad_fn is None and c.grad_fn is None
    for frozen in ("weight_ih_l0", "bias_hh_l0"):
        getattr(lstm, frozen).requires_grad_(False)
    lstm(x)[0].sum().backward()
    assert lstm.weight_ih_l0.grad is None and lstm.bias_hh_l0.grad is None
    assert lstm.weight_hh_l0.grad is not None and lstm.bias_ih_l0.grad is not None
