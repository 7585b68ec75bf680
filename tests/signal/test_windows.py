"""Windows against PyTorch."""

from __future__ import annotations

import inspect

import pytest
import torch
from oracle import check, check_error

import rushlight

OPTIONS = {
    "exponential": {"tau": 2.5}, "gaussian": {"std": 0.7}, "general_cosine": {"a": [0.4, 0.5, 0.1]},
    "general_hamming": {"alpha": 0.6}, "kaiser": {"beta": 3.0},
}


@pytest.mark.parametrize("name", torch.signal.windows.__all__)
def test_windows(name):
    options = OPTIONS.get(name, {})
    for length in (0, 1, 2, 7, 8):
        for sym in (True, False):
            check("signal.windows." + name, length, sym=sym, dtype=torch.float64, **options)
    check("signal.windows." + name, 5, **options)
    check_error("signal.windows." + name, -1, **options)
    check_error("signal.windows." + name, 4, dtype=torch.int64, **options)
    ours, theirs = (inspect.signature(getattr(f.signal.windows, name)) for f in (rushlight, torch))
    assert list(ours.parameters) == list(theirs.parameters)


def test_options():
    check("signal.windows.exponential", 5, center=1, sym=False)
    check("signal.windows.kaiser", 5)
    assert rushlight.signal.windows.hann(3, requires_grad=True).requires_grad
    for name, options in (("exponential", {"tau": 0}), ("exponential", {"center": 1}),
                          ("gaussian", {"std": -1}), ("kaiser", {"beta": -1}),
                          ("general_cosine", {"a": []}), ("general_cosine", {"a": 3})):
        check_error("signal.windows." + name, 4, **options)
