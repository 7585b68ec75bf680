"""Ten kinds of training, from the same seed: the losses of the first 50 steps are PyTorch's."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest
import torch

import rushlight
from rushlight.compile import background
from rushlight.trace import trie

sys.path.insert(0, str(Path(__file__).parent))
import loops  # noqa: E402

STEPS = 50


@functools.cache
def pytorch(name):
    return loops.run(torch, name, STEPS, "small")


@pytest.mark.parametrize("mode", ["never", "now"])
@pytest.mark.parametrize("name", loops.LOOPS)
@pytest.mark.filterwarnings("ignore")
def test_same_losses(name, mode, monkeypatch):
    """In tier 0 and compiled."""
    monkeypatch.setattr(background, "MODE", mode)
    monkeypatch.setattr(background, "failures", [])
    trie.forget()  # programs of the other mode
    try:
        theirs, wanted = pytorch(name)
    except FileNotFoundError as e:
        pytest.skip(f"no data: {e}")
    ours, quality = loops.run(rushlight, name, STEPS, "small")
    _, tolerance, _, slack = loops.LOOPS[name]
    assert loops.deviation(ours, theirs) < tolerance
    assert not background.failures
    assert abs(quality - wanted) <= max(slack, 1e-6) and theirs[-5:].mean() < theirs[0]
