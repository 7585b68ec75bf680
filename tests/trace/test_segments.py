"""Segments: bounded memory and programs, threads, failures, memory shared with NumPy."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import rushlight as torch
from rushlight.compile import background
from rushlight.trace import flush, segments, trie
from rushlight.trace.trie import Stats


def small_problem():
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.randn(8, 4), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    return net, optimizer, x, y


def train(net, optimizer, x, y):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss


def test_steps_do_not_grow(monkeypatch):
    """Changing learning rate, evaluation now and then, a metric that is never read."""
    monkeypatch.setattr(background, "MODE", "now")  # (the compiler's objects come at a known time)
    net, optimizer, x, y = small_problem()
    total = torch.zeros(())

    def steps(n):
        nonlocal total
        for i in range(n):
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)
            total = total + train(net, optimizer, x, y).detach()
            if i % 50 == 49:
                with torch.no_grad():
                    net(x).argmax(1).sum().item()

    steps(300)
    gc.collect()
    before, objects = Stats.snapshot(), len(gc.get_objects())
    steps(600)
    gc.collect()
    after = Stats.snapshot()
    assert after["nodes"] == before["nodes"]
    assert after["programs"] == before["programs"]
    assert len(gc.get_objects()) < objects + 500
    assert np.isfinite(total.item())


def test_learning_rate_is_not_part_of_a_key():
    net, optimizer, x, y = small_problem()
    for _ in range(5):
        train(net, optimizer, x, y)
    before = Stats.snapshot()
    for i in range(20):
        optimizer.param_groups[0]["lr"] = 0.5 / (i + 1)
        train(net, optimizer, x, y)
    assert Stats.snapshot()["nodes"] == before["nodes"]


def test_sizes_share_compiled_functions():
    from rushlight.interpret import program

    def f(n):
        x = torch.ones(n, 4)
        return (x * 2.0 + 1.0).tanh().sum().item()

    for _ in range(5):
        f(3)
    before = len(program._COMPILED)
    for n in range(4, 12):
        for _ in range(5):
            f(n)
    assert len(program._COMPILED) == before


def test_the_trie_is_bounded(monkeypatch):
    monkeypatch.setattr(trie, "MAX_NODES", 500)
    x = torch.ones(3)
    for n in range(400):
        y = x
        for k in range(3):
            y = y * 2.0 if (n >> k) & 1 else y + 1.0
        y = y.expand(n + 1, 3)
        y.sum().item()
    assert trie.NODES <= 700
    assert (x * 2.0).sum().item() == 6.0


def test_endless_loop_without_a_read(monkeypatch):
    monkeypatch.setattr(trie, "HARD_OPS", 200)
    y, a = torch.ones(4), torch.full((4,), 1.0)
    for _ in range(2500):
        y = y * a
        assert len(trie.RECORDER.tr.ts) < 1000
    assert y.tolist() == [1.0] * 4


def test_use_in_another_thread():
    results = []
    x = torch.ones(3) * 2.0  # pending here

    def work():
        results.append((x + 1.0).sum().item())
        with torch.no_grad():
            results.append(torch.is_grad_enabled())

    for _ in range(4):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert results == [9.0, False] * 4
    assert torch.is_grad_enabled()


def test_threads_record_at_the_same_time():
    errors = []
    w = torch.full((8,), 0.5)

    def work(seed):
        try:
            for i in range(200):
                x = torch.full((8,), float(seed + i))
                got = ((x * w + 1.0) * w).sum().item()
                want = 8 * ((seed + i) * 0.5 + 1.0) * 0.5
                assert abs(got - want) < 1e-3 * want + 1e-3
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(10 * k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


def test_backward_in_another_thread():
    w = torch.ones(3).requires_grad_()
    loss = (w * w).sum()
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    assert w.grad.tolist() == [2.0, 2.0, 2.0]


def test_error_by_value_names_the_line_and_keeps_the_rest():
    x = torch.ones(4, 2)

    def program(index):
        kept = x * 3.0
        bad = x[index]
        return kept, bad

    good, wrong = torch.tensor([1, 2]), torch.tensor([1, 9])
    for _ in range(4):
        kept, picked = program(good)
        assert picked.sum().item() == 4.0
    kept, picked = program(wrong)
    with pytest.raises(IndexError, match="test_segments.py"):
        picked.sum().item()
    assert kept.sum().item() == 24.0
    with pytest.raises(RuntimeError, match="no value"):
        picked.tolist()
    assert program(good)[1].sum().item() == 4.0


def test_numpy_memory_becomes_ours_again():
    x = torch.ones(5)
    view = x.numpy()
    assert x.storage_identity().exposed
    del view
    (x * 2.0).sum().item()
    assert not x.storage_identity().exposed


def test_history_is_dropped_with_the_tensor():
    w = torch.ones(1000).requires_grad_()
    for _ in range(3):
        y = (w * w).exp()
        y.sum().item()
    flush()
    gc.collect()
    segments = sum(isinstance(o, trie.Segment) for o in gc.get_objects())
    del y
    gc.collect()
    assert sum(isinstance(o, trie.Segment) for o in gc.get_objects()) < segments


def test_explain_counts():
    x = torch.ones(3)

    def step():
        return ((x + 1.0) * x).sum().item()

    for _ in range(3):
        step()
    with torch.explain() as report:
        step()
    assert report.counts["misses"] == 0
    assert report.counts["flushes"] >= 1
    assert "programs run" in str(report)


def test_steps_make_no_garbage_cycles(monkeypatch):
    """Memory goes back when the last handle dies, not when the collector comes by."""
    monkeypatch.setattr(background, "MODE", "never")  # (the compiler's notes are no part of a step)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    optimizer = torch.optim.Adam(net.parameters())
    trie.forget()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for i in range(6):
            optimizer.zero_grad()
            loss = net(torch.full((3, 8), float(i))).square().mean()
            if i % 2:
                loss.item()  # the history lies in a segment that was executed
            loss.backward()
            optimizer.step()
            loss.item()
        del loss
        gc.collect()
        kinds = {type(o).__name__ for o in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not kinds & {"Tensor", "Segment", "ndarray", "Storage", "function"}, kinds


def test_first_run_drops_dead_results(monkeypatch):
    monkeypatch.setattr(trie, "PRUNE_BYTES", 1 << 16)
    trie.forget()
    trie.RECORDER.tr.start()
    y = torch.zeros(1000)
    for _ in range(300):
        y = y + 1.5
    assert len(trie.RECORDER.tr.ts) < 60
    assert y.sum().item() == 450_000.0


def test_error_at_the_start_of_a_segment():
    """A known path after an operation that failed before anything was recorded is computed."""
    for _ in range(4):
        flush()
        with pytest.raises(RuntimeError):
            torch.rand(-1)  # refused by its shape rule
        y = torch.full((3,), 2.0) * 3
        assert y.tolist() == [6, 6, 6]


def test_large_tensors_from_outside_end_no_segment(monkeypatch):
    """What is pending is counted, not what is there: else an operation on it would never begin."""
    monkeypatch.setattr(trie, "MAX_PENDING_BYTES", 1 << 12)
    x = torch.ones(5000)
    x.sum().item()
    for eager in (False, True):
        trie.set_eager(eager)
        for _ in range(3):
            assert (x + 1).sum().item() == 10_000


def test_a_view_that_nobody_holds_does_not_keep_its_base(monkeypatch):
    from rushlight.trace import segments

    results = []
    execute = segments.execute

    def counted(tr, st, wanted, handles, ended=True):
        results.append([n.op.name for n in wanted])
        return execute(tr, st, wanted, handles, ended)

    monkeypatch.setattr(segments, "execute", counted)
    x = torch.ones(4, 6)

    def f():
        y = x * 2
        return y.view(24).view(2, 12).transpose(0, 1).sum()

    for _ in range(3):
        kept = f()
        flush()
        assert kept.item() == 48
    assert results[-1] == ["sum"]


def test_memory_that_numpy_sees_is_entered_once():
    for n in (4, 5, 6):
        a, b = (np.full((n, 3), value, np.float32) for value in (2, 3))

        def f(a=a, b=b):
            return (torch.from_numpy(a) * torch.from_numpy(b)).sum().item()

        assert f() == 18 * n
        before = Stats.snapshot()["nodes"]
        a[:] = 4
        assert f() == 36 * n
        assert Stats.snapshot()["nodes"] == before, "the second visit took another path"


@pytest.mark.parametrize("parts", [lambda p: p.split(10), lambda p: p.view(5, 10).unbind(0), lambda p: [p[i * 10 : i * 10 + 10] for i in range(5)]],
                         ids=["split", "unbind", "slices"])
def test_a_loop_over_parts_of_something_pending_is_one_path(parts):
    """Parts that were recorded, not made at once, are leaves without offset too when their segment is over."""
    w = torch.rand(4, requires_grad=True)
    x = torch.arange(200.0).reshape(50, 4)

    def epoch():
        order = torch.arange(50).flip(0) * 1
        found = []
        for chosen in parts(order):
            loss = (x[chosen] * w).sum()
            loss.backward()
            found.append(loss.item())
        return found

    expected = [(x[40 - 10 * i : 50 - 10 * i] * w).sum().item() for i in range(5)]
    for _ in range(3):
        found = epoch()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with torch.explain() as told:
        epoch()
    assert sorted(p.runs for p in told.programs.values()) == [1, 4]


def test_parts_keep_their_places():
    base = torch.zeros(12) * 1
    first, second = base.view(2, 6).unbind(0)
    assert base.sum().item() == 0  # the segment is over
    assert (first.storage_offset(), second.storage_offset()) == (0, 6)
    assert second[2:].storage_offset() == 8 and second.data_ptr() == base.data_ptr() + 24
    second += torch.arange(6.0)
    second[1:3].mul_(10)
    assert base.tolist() == [0] * 6 + [0, 10, 20, 3, 4, 5]
    w = torch.ones(12, requires_grad=True)
    base.mul_(w)
    assert second.requires_grad and second.sum().item() == 42
    second.sum().backward()
    assert w.grad.tolist() == [0] * 6 + [0, 10, 20, 3, 4, 5]


BLOCKS = 8


class Layered(torch.nn.Module):
    """Blocks of one kind, each with a cache that grows by one place at a time."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Embedding(9, 8)
        self.blocks = torch.nn.ModuleList([torch.nn.ModuleList([torch.nn.LayerNorm(8), torch.nn.Linear(8, 16), torch.nn.Linear(8, 8)])
                                           for _ in range(BLOCKS)])

    def forward(self, token, caches):
        x = self.first(token)
        for (norm, mix, out), cache in zip(self.blocks, caches, strict=True):
            k, v = mix(norm(x)).chunk(2, 1)
            if cache:
                k, v = torch.cat([cache[0], k]), torch.cat([cache[1], v])
            cache[:] = k, v
            weights = torch.softmax(x @ k.T / 3, 1)
            x = (x + out(weights @ v).tanh() * 0.5).sigmoid() * 2 - 0.7 + x.square().mean() * 0.1
        return x.sum(1)

    def write(self, count):
        """The sum of each step's result."""
        caches, made = [[] for _ in self.blocks], []
        for i in range(count):
            made.append(self(torch.tensor([i % 9]), caches).item())
        return made


def test_layers_are_one_path_when_their_sizes_grow(monkeypatch):
    """Written step by step, a model of layers makes about as many new nodes for a step as a layer or two do."""
    def misses(steps):
        before = Stats.snapshot()["misses"]
        made = net.write(steps)
        return made, Stats.snapshot()["misses"] - before

    net = Layered()
    with torch.no_grad():
        net.write(8)  # it has been seen that sizes grow, and where the layers begin
        made, new = misses(24)
        again, few = misses(24)
        assert few < 24  # where paths from before and those of layers meet
        trie.forget()
        monkeypatch.setattr(segments, "SHORTEST_BLOCK", 1 << 30)
        net.write(8)
        whole, all_layers = misses(24)
    assert new < all_layers / 2.5
    trie.set_eager(True)
    try:
        with torch.no_grad():
            expected = net.write(24)
    finally:
        trie.set_eager(False)
    for x in (made, again, whole):
        np.testing.assert_allclose(x, expected, rtol=1e-5)


def test_layers_are_one_path_in_training(monkeypatch):
    """On sentences of any length, the forward pass, backward() and the optimiser's step cost few new nodes for a length."""
    def misses(lengths):
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True)
        net = torch.nn.TransformerEncoder(layer, BLOCKS, enable_nested_tensor=False)
        optimizer, losses = torch.optim.Adam(net.parameters()), []
        for i, n in enumerate(lengths):
            if i == 4:
                before = Stats.snapshot()["misses"]
            optimizer.zero_grad()
            loss = net(torch.linspace(-1, 1, 2 * n * 8).reshape(2, n, 8)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, Stats.snapshot()["misses"] - before

    trie.forget()
    losses, new = misses(range(2, 14))
    trie.forget()
    monkeypatch.setattr(segments, "SHORTEST_BLOCK", 1 << 30)
    whole, all_layers = misses(range(2, 14))
    np.testing.assert_allclose(losses, whole, rtol=1e-4)
    assert new < all_layers / 4, (new, all_layers)


class Everything(set):
    def __contains__(self, x):
        return True


def test_an_operation_of_many_operands_from_outside(monkeypatch):
    """Where it begins a block it ends the segment once, and is then recorded: what was entered for it is no operation."""
    def alike(tr, key):
        tr.likely = True
        return True

    monkeypatch.setattr(segments, "BLOCKS", Everything())
    monkeypatch.setattr(segments, "_is_alike", alike)
    with torch.no_grad():
        parts = [torch.full((5,), float(i)) for i in range(20)]
        assert sum(p.sum().item() for p in parts) == 950
        x = torch.ones(5)
        for _ in range(20):
            x = (x * 0.5).relu()
        assert torch.stack([*parts, x]).shape == (21, 5)


def test_numpy_memory_that_was_given_away():
    """Views of an array that only its tensor holds are ours; of one that somebody reads meanwhile, they are not."""
    x = torch.from_numpy(np.arange(6.0))
    assert x.storage_identity().exposed
    assert x[2].item() == 2.0
    assert not x.storage_identity().exposed

    seen = x.numpy()
    part = x[1:3]
    assert x.storage_identity().exposed
    doubled = part * 2.0
    seen[...] = 7.0
    assert doubled.tolist() == [2.0, 4.0]
    del seen, part, doubled
    assert x[0].item() == 7.0 and not x.storage_identity().exposed

    mine = np.arange(4.0)
    y = torch.from_numpy(mine)
    tripled = y[1:] * 3.0
    mine[...] = 0.0
    assert tripled.tolist() == [3.0, 6.0, 9.0] and y.storage_identity().exposed
    inner = np.arange(8.0)
    z = torch.from_numpy(inner[2:6])  # a part of what somebody holds
    tripled = z[1:] * 3.0
    inner[...] = 0.0
    assert tripled.tolist() == [9.0, 12.0, 15.0] and z.storage_identity().exposed


@pytest.mark.parametrize("made", ["dlpack", "bytearray", "array", "ctypes", "memoryview"])
def test_memory_that_others_own(made):
    """An array whose memory is not an array's says nothing about who sees it."""
    import array
    import ctypes

    def write(to, number):
        for k in range(4):
            to[k] = number

    for through_a_view in (True, False):
        if made == "dlpack":
            owner = np.zeros(16, np.float32)
            x, numbers = torch.from_dlpack(owner), owner
        elif made == "ctypes":
            numbers = (ctypes.c_float * 16)()
            x = torch.from_numpy(np.ctypeslib.as_array(numbers))
        else:
            owner = array.array("f", [0.0] * 16) if made == "array" else bytearray(64)
            numbers = memoryview(owner).cast("B").cast("f") if made != "array" else owner
            x = torch.frombuffer(numbers if made == "memoryview" else owner, dtype=torch.float32)
        for _ in range(3):
            write(numbers, 1.0)
            y = (x[0:4] if through_a_view else x) * 2.0
            write(numbers, 9.0)
            assert y[:4].tolist() == [2.0] * 4


def test_detached_parts_keep_their_place():
    """Parts of a value that was computed, detached: where they lie in it, and views of them after a write."""
    x = torch.arange(10.0)
    w = torch.tensor(2.0, requires_grad=True)
    for _ in range(4):
        d = (x * 2.0)[3:].detach()
        d.sum().item()
        e = d.detach()
        assert e.storage_offset() == 3 and e.as_strided((2,), (1,), 3).tolist() == [6.0, 8.0]
        d.mul_(w)
        v = d[1:]
        d.add_(w)
        assert v.storage_offset() == 4 and v.sum().item() == 168.0
