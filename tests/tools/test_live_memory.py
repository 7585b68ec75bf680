"""memory(): what is alive at the peak, with operations, shapes and lines; in tier 0 and compiled."""

from __future__ import annotations

import gc

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.compile import background
from rushlight.interpret import measure
from rushlight.interpret import program as tier0_program
from rushlight.trace import trie

MIB = 1 << 20


def chain(x):
    a = x * 2  # line a
    b = a.cumsum(0)
    c = b.cumsum(0)  # line c
    return c.sum()


def _line_of(mark):
    with open(__file__) as f:
        return next(f"test_live_memory.py:{i}" for i, s in enumerate(f, 1) if s.rstrip().endswith(mark))


def _watched(mode, monkeypatch):
    monkeypatch.setattr(background, "MODE", mode)
    trie.forget()
    x = torch.ones(512, 512)
    for _ in range(5):
        chain(x).item()
    with torch.tools.memory() as report:
        chain(x).item()
    return report, x


def test_first_time_shows_every_result():
    trie.forget()
    x = torch.ones(512, 512)
    with torch.tools.memory() as report:
        y = x.exp()
        z = y + 1  # line z
        del y
        z.sum().item()
    rows = {r.name: r for r in report.rows() if r.nbytes == MIB}
    assert rows["add"].shape == (512, 512) and rows["add"].dtype == "float32"
    assert rows["add"].line == _line_of("# line z") and "exp" in rows
    assert report.peak - report.before >= 2 * MIB
    assert report.before + MIB <= report.after < report.peak


def test_tier_0_shows_what_is_alive_together(monkeypatch):
    report, _ = _watched("never", monkeypatch)
    names = [r.name for r in report.rows() if r.nbytes == MIB and r.name != "tensor"]  # (of other tests)
    assert names == ["tensor 'x'", "mul", "cumsum"]  # `mul` is dead when the second one runs
    assert 2 * MIB <= report.peak - report.before < 3 * MIB
    assert any(r.line == _line_of("# line a") for r in report.rows())


def test_compiled_program_shows_its_arena(monkeypatch):
    report, _ = _watched("now", monkeypatch)
    arena = [r for r in report.rows() if r.name.startswith("arena:")]
    assert [r.name for r in arena if r.nbytes == MIB].count("arena: cumsum") >= 1
    assert any(r.line in (_line_of("# line a"), _line_of("# line c")) for r in arena)
    assert sum(r.nbytes for r in report.rows()) == report.peak


def test_names_of_modules_gradients_and_optimisers():
    gc.collect()  # tensors of other tests that are garbage, and would go meanwhile
    net = nn.Linear(300, 200)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(2, 300)).sum().backward()
    optimizer.step()
    kept = torch.ones(300, 200)
    with torch.tools.memory() as report:
        pass
    names = [r.name for r in report.rows()]
    assert {"Linear.weight", "gradient of Linear.weight", "SGD.momentum_buffer"} <= set(names)
    assert "tensor 'kept'" in names or "filled 'kept'" in names
    told = str(report)
    assert "at the peak" in told and "in all" in told and "float32[200, 300]" in told
    assert report.before == report.peak == report.after
    assert kept.shape == (300, 200)


def test_saved_values_are_shown():
    x = torch.ones(512, 512, requires_grad=True)
    for _ in range(3):
        loss = (x * 2).exp().sum()
        loss.item()  # the segment ends: its saved values stay for backward()
    with torch.tools.memory() as report:
        pass
    assert any(r.name == "exp (saved for backward)" for r in report.rows())
    loss.backward()


def test_nothing_stays_on_and_nothing_is_kept():
    with pytest.raises(ValueError), torch.tools.memory() as report:
        x = torch.ones(512, 512) + 1
        raise ValueError
    assert not measure.OBSERVERS and not tier0_program.WATCH
    del x
    gc.collect()
    with torch.tools.memory() as later:
        pass
    assert later.before <= report.before + MIB // 2


def test_blocks_nest(monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    trie.forget()
    x = torch.ones(64, 64)
    for _ in range(5):
        chain(x).item()
    with torch.tools.memory() as outer, torch.tools.memory() as inner:
        chain(x).item()
    assert outer.peak == inner.peak
