"""The end of a segment in native code does what the Python functions in `trace/segments.py` do."""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading

import numpy as np
import pytest

import rushlight as torch
from rushlight.compile import threads
from rushlight.trace import hot, segments
from rushlight.trace.segments import flush
from rushlight.trace.trie import RECORDER


@pytest.fixture(autouse=True)
def native():
    threads.runtime()
    if hot.NATIVE[0] is None:
        pytest.skip("this Python lays out its objects in another way")
    flush()
    yield
    flush()


@pytest.fixture(scope="module")
def plain():
    """The module as it is without native code."""
    spec = importlib.util.spec_from_file_location("rushlight.trace._plain_segments", segments.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.Held = torch.Tensor
    return module


class Watched(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(3, 4))
        self.data = torch.arange(12.0).reshape(4, 3)

    def forward(self, k: int):
        """Handles of all kinds at the end of a segment: leaves, results with and without history, views, what is dropped."""
        x = self.data[k % 3 : k % 3 + 2]  # a view from outside, at another offset each time
        y = x @ self.weight
        z = torch.relu(y)
        row = z[1]
        other = self.data * 2
        part = other[k % 2 + 1, 1:]
        plain = z.detach()
        del y
        with torch.no_grad():
            free = self.weight.sum() + 1
        late = torch.ones(2).requires_grad_()
        return x, z, row, other, part, plain, free, late, (late * part).sum(), x + 0


def told(t):
    history = None if t._history is None else (t._history[1].op.name, [
        x if x is None else type(x).__name__ for x in t._history[0].leaves])
    return (t._tr, t._s.op.name, t._s.m, t._s.rg, history, t.storage_offset(), t.stride(), t._base is None,
            t.detach().numpy().tolist())


@pytest.mark.parametrize("runs", [1, 4])
def test_native_and_plain_agree(plain, monkeypatch, runs):
    found = []
    for live, detach in ((segments.live, segments.detach), (plain.live, plain.detach)):
        assert (type(live).__name__ == "function") == (live is plain.live)
        monkeypatch.setattr(segments, "live", live)
        monkeypatch.setattr(segments, "detach", detach)
        made, net = [], Watched()
        for k in range(runs):
            handles = net(k)
            flush()
            made.append([told(t) for t in handles])
            handles[1].sum().backward()
            handles[-2].backward()
            made.append([net.weight.grad.tolist(), handles[-3].grad.tolist()])
            net.weight.grad = None
        found.append(made)
    assert found[0] == found[1]


def test_what_is_alive(plain):
    """The same handles in the same order: a view that is held holds its base, one that is not does not."""
    made = []
    for live in (plain.live, segments.live):
        x = torch.ones(4, 3)
        flush()
        y = x * 2
        base, dropped = x + 1, x + 2
        view, gone = base[0], dropped[0]
        z = [y - k for k in range(5)]
        del base, dropped, gone, z[1]
        leaves, results, nodes = live(RECORDER.tr)
        assert [t._s for t in results] == list(nodes) and [t is x for t in leaves] == [True]
        assert [t is y or t is view or t is view._base or any(t is h for h in z) for t in results] == [True] * 7
        assert [id(t) for t in RECORDER.tr.ts] == [id(t) for t in leaves + results]
        made.append([v.op.name for v in nodes])
        del leaves, results, nodes
        flush()
    assert made[0] == made[1]


@pytest.mark.parametrize("code", ["native", "plain"])
def test_destructors_may_record(plain, monkeypatch, code):
    """What is freed at the end of a segment may run the user's code, which uses tensors and ends segments itself."""
    if code == "plain":
        monkeypatch.setattr(segments, "live", plain.live)
        monkeypatch.setattr(segments, "detach", plain.detach)
    seen = []

    class Noisy:
        def __init__(self, t):
            self.t = t

        def __del__(self):
            seen.append((self.t * 2).sum().item())

    for k in range(30):
        x = torch.full((3,), float(k))
        y = x + 1
        y.noisy = Noisy(torch.ones(2) * k)
        z = x * 3
        del y  # only the segment holds it
        assert z.sum().item() == 9 * k
    gc.collect()
    assert seen == [4.0 * k for k in range(30)]


def test_collections_in_between():
    """With Python's collector at work at every allocation."""
    w = torch.randn(3, 3, requires_grad=True)
    optimizer = torch.optim.Adam([w])
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for k in range(20):
            loss = (torch.ones(2, 3) @ w).relu()[k % 2].sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            assert np.isfinite(loss.item())
    finally:
        gc.set_threshold(*before)


def test_nothing_is_kept():
    """References to shared objects stay as many as they were."""
    w = torch.randn(3, 3, requires_grad=True)
    data = torch.randn(5, 3)

    def steps(n):
        for k in range(n):
            y = data[k % 4 :] @ w
            (y[0].sum() * 2).backward()
            w.grad = None
            y.detach().numpy()

    steps(50)
    watched = (w, w._s, data, data._s, RECORDER.tr, torch.Tensor)
    gc.collect()
    before = [sys.getrefcount(x) for x in watched]
    steps(200)
    gc.collect()
    assert [sys.getrefcount(x) for x in watched] == before


def test_another_threads_segment_is_ended():
    """A tensor that is pending in another thread is computed there by whoever needs it."""
    made, go, done = [], threading.Event(), threading.Event()

    def other():
        x = torch.ones(3)
        made.append(x * 2)
        go.set()
        done.wait(60)
        made.append((made[0] + x).tolist())

    thread = threading.Thread(target=other)
    thread.start()
    go.wait(60)
    assert (made[0] + 1).tolist() == [3.0] * 3
    done.set()
    thread.join()
    assert made[1] == [3.0] * 3
