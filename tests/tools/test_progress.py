"""The progress display: what is printed, and how seldom tensors are read."""

from __future__ import annotations

import io
import sys

import pytest

import rushlight as torch
from rushlight.tools.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=["tqdm", "plain"])
def kind(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "tqdm", None)
    return request.param


def test_a_terminal_shows_a_line(kind):
    out = Terminal()
    for x in (bar := progress(range(20), description="epoch 2", file=out, interval=0)):
        bar.show(loss=torch.tensor(float(x)), rate=1)
    text = out.getvalue()
    assert "20/20" in text and "epoch 2: " in text and "batch" in text
    assert "loss" in text and "\r" in text
    last = text.rsplit("\r", 1)[1]
    assert last.startswith("epoch 2: 20 batches in ") and last.endswith("loss 9.5, rate 1\n")


def test_without_a_terminal_there_is_one_line(kind):
    out = io.StringIO()
    bar = progress(range(5), description="epoch 1", file=out)
    for x in bar:
        bar.show(loss=x)
    assert out.getvalue().count("\n") == 1 and "\r" not in out.getvalue()
    assert "5 batches" in out.getvalue() and "loss 2" in out.getvalue() and bar.reads == 1
    silent = io.StringIO()
    list(progress(range(5), file=silent, last_line=False))
    assert silent.getvalue() == ""


def test_tensors_are_read_only_when_the_line_is_drawn(kind):
    x = torch.zeros(())
    bar = progress(range(200), file=Terminal(), interval=1000)
    for _ in bar:
        x = x + 1
        bar.show(value=x)
        if bar.count == 150:
            assert bar.reads <= 1
    assert bar.reads <= 3 and bar.numbers() == {"value": sum(range(151, 201)) / 50}


def test_reading_does_not_run_pending_operations():
    from rushlight.trace.trie import Stats

    def loop(shown):
        x = torch.zeros(3)
        bar = progress(range(30), file=io.StringIO(), last_line=False)
        for _ in bar:
            x = x.exp() * 0
            if shown:
                bar.show(value=x.sum())
        before = Stats.flushes
        return before

    loop(True)
    before = Stats.flushes
    loop(True)
    assert Stats.flushes - before <= 1


def test_graphs_are_not_kept_alive():
    import weakref

    net = torch.nn.Linear(3, 1)
    bar = progress(range(1), file=io.StringIO())
    for _ in bar:
        loss = net(torch.ones(2, 3)).sum()
        bar.show(loss=loss)
    ref = weakref.ref(loss)
    del loss
    assert ref() is None
    with pytest.raises(ValueError, match="'x' should be a single number"):
        bar.show(x=torch.ones(2))


def test_a_broken_loop_prints_no_last_line(kind):
    out = io.StringIO()
    with pytest.raises(KeyError):
        for _ in progress(range(3), file=out):
            raise KeyError
    bar = progress(iter(range(3)), file=out)
    for _ in bar:
        break
    assert out.getvalue() == ""
    with pytest.raises(TypeError):
        len(bar)


def test_by_hand(kind):
    out = Terminal()
    with progress(total=10, description="files", unit="file", file=out, interval=0) as bar:
        for _ in range(5):
            bar.update(2)
    assert len(bar) == 10 and "10 files in" in out.getvalue()
    with pytest.raises(TypeError, match="nothing to iterate"):
        list(progress(total=3))
