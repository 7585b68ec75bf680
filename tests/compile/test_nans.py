"""Looks for NaN in native programs: which elements are read, where they stand, what they cost when off."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as torch
from rushlight.compile import background, native
from rushlight.compile.kernels import nans as kernels
from rushlight.trace import trie


@pytest.mark.parametrize(("shape", "count"), [
    ((), 1), ((7,), 7), ((256,), 256), ((500, 2000), kernels.MOST), ((30, 5, 700), 410),
])
def test_samples(shape, count):
    a = np.arange(int(np.prod(shape))).reshape(shape)
    strides = tuple(s // a.itemsize for s in a.strides)
    found = kernels.samples(shape, strides, np.dtype("float32"), kernels.MOST) // 4
    assert len(np.unique(found)) == len(found) == min(a.size, count)
    assert found.min() >= 0 and found.max() < a.size
    if shape == (500, 2000):  # each row is met, and columns alike
        assert len(np.unique(found // 2000)) == 500
        assert len(np.unique(found % 2000)) > 800
        assert np.bincount(found % 2000 // 200).min() > 80


def test_samples_of_other_layouts():
    def samples(shape, strides, dtype):
        return sorted(kernels.samples(shape, strides, np.dtype(dtype), 100).tolist())

    assert samples((2, 3), (1, 2), "float64") == [0, 8, 16, 24, 32, 40]
    assert samples((2,), (0,), "float32") == [0, 0]
    assert samples((2,), (1,), "complex64") == [0, 4, 8, 12]


def built(monkeypatch, run, tracked):
    """The native programs that six runs make."""
    made = []
    plain = native.build

    def build(program, *args, **kwargs):
        made.append(plain(program, *args, **kwargs))
        return made[-1]

    monkeypatch.setattr(background, "MODE", "now")
    monkeypatch.setattr(native, "build", build)
    trie.forget()
    if tracked:
        with torch.tools.nans():
            for _ in range(6):
                run()
    else:
        for _ in range(6):
            run()
    return made


def test_every_write_outside_is_looked_at_before(monkeypatch):
    weight = torch.rand(20, 10, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.1)
    running = torch.zeros(10)
    x = torch.rand(4, 20)

    def step():
        optimizer.zero_grad()
        y = x @ weight
        running.mul_(0.9).add_(y.detach().mean(0), alpha=0.1)
        y.tanh().sum().backward()
        optimizer.step()

    made = built(monkeypatch, step, True)[-1]
    written = {r for step in made.steps if step.look for r in step.writes}
    assert {r.m.shape for r in written} == {(10,), (20, 10)}
    seen = set()
    for step in made.steps:
        if step.look:
            seen |= step.writes
        else:
            assert {r for r in step.writes if getattr(r, "op", None) is trie.LEAF} <= seen


def test_off_there_are_none(monkeypatch):
    x = torch.rand(4, 20)
    made = built(monkeypatch, lambda: x.exp().sum().item(), False)
    assert made and not [s for m in made for s in m.steps if s.look]
    assert "look_for_nan" not in "".join(c.text for m in made for c in m.calls)
