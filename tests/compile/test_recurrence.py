"""Recurrent layers compiled and in tier 0: all kinds, whole and packed, dtypes, numbers of rows."""

from __future__ import annotations

import pytest
from compile.compiled import check_native

import rushlight as torch

LENGTHS = [3, 9, 5, 9, 1]


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN"])
def test_layers(mode, packed):
    torch.manual_seed(0)
    model = getattr(torch.nn, mode)(5, 40, num_layers=2, bidirectional=True)
    x = torch.randn(9, 5, 5, requires_grad=True)

    def steps():
        given = x
        if packed:
            given = torch.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        out, last = model(given)
        out = out.data if packed else out
        loss = (out * out).sum() + sum(t.sum() for t in (last if mode == "LSTM" else (last,)))
        return [out, *torch.autograd.grad(loss, [x, *model.parameters()])]

    check_native(steps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype, near", [("float64", 1e-10), ("float16", 2e-2), ("bfloat16", 1e-1)])
def test_dtypes(dtype, near):
    torch.manual_seed(0)
    dtype = getattr(torch, dtype)
    model = torch.nn.LSTM(6, 20, bias=False).to(dtype)
    x = torch.randn(7, 3, 6).to(dtype)

    def steps():
        out, (h, c) = model(x)
        gradients = torch.autograd.grad(out.float().sum(), model.weight_hh_l0)
        return [t.double() for t in (out, h, c, *gradients)]

    check_native(steps, rtol=near, atol=near)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_rows(batch):
    """Few rows take other kernels than many; without gradients nothing else is written."""
    model = torch.nn.GRU(6, 130)
    x = torch.randn(4, batch, 6)

    def steps():
        with torch.no_grad():
            return list(model(x))

    check_native(steps, rtol=1e-4, atol=1e-5)
