"""The Recorder: what it writes, and that training goes on as without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
import torch as real
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import rushlight as torch
from rushlight.compile import background
from rushlight.interpret import program as tier0_program
from rushlight.tools.board import Recorder, recorder
from rushlight.trace.trie import Stats
from rushlight.utils.data import DataLoader, TensorDataset
from rushlight.utils.data.iterators import SingleIterator
from rushlight.utils.tensorboard import read_events

nn = torch.nn


@pytest.fixture(autouse=True)
def nothing_stays():
    """After each test, whoever recorded has stopped."""
    before = SingleIterator.__next__
    yield
    assert not recorder._RECORDERS and not tier0_program.WATCH and SingleIterator.__next__ is before


def made(lr: float = 0.1, lib=torch, width: int = 8):
    lib.manual_seed(0)
    net = lib.nn.Sequential(lib.nn.Linear(4, width), lib.nn.ReLU(), lib.nn.Linear(width, 1))
    return net, lib.optim.SGD(net.parameters(), lr), lib.linspace(-1, 1, 24).reshape(6, 4)


def step(net, optimizer, x):
    optimizer.zero_grad()
    loss = net(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list] = {}
    for e in read_events(folder, "scalar"):
        found.setdefault(e.tag, []).append((e.step, e.value))
    return found


def test_what_is_written(tmp_path):
    net, optimizer, x = made()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    with Recorder(tmp_path, net, every=0) as board:
        for _ in range(4):
            board.log(loss=step(net, optimizer, x))
            schedule.step()
        board.log({"test/accuracy": 0.5}, rounds=np.float32(2))
    found = scalars(tmp_path)
    twin, theirs, real_x = made(lib=real)
    losses = [step(twin, theirs, real_x).item() for _ in range(1)]
    np.testing.assert_allclose(found["loss"][0][1], losses[0], rtol=1e-6)
    norms = {name: p.grad.norm().item() for name, p in twin.named_parameters()}
    for name, norm in norms.items():
        np.testing.assert_allclose(found[f"gradients/{name}"][0][1], norm, rtol=1e-5)
    np.testing.assert_allclose(found["gradients/all"][0][1], np.sqrt(sum(n**2 for n in norms.values())), rtol=1e-5)
    assert [s for s, _ in found["loss"]] == [1, 2, 3, 4]
    np.testing.assert_allclose([v for _, v in found["optimizer/learning rate"]], [0.1, 0.1, 0.05, 0.05], rtol=1e-6)
    assert found["test/accuracy"] == [(4, 0.5)] and found["rounds"] == [(4, 2.0)]
    parts = {n: dict(found[f"time/{n}"]) for n in ("step", "data", "kernels", "python", "compiler")}
    for s, whole in parts["step"].items():
        assert abs(whole - sum(parts[n][s] for n in ("data", "kernels", "python"))) < 1e-6 + 1e-3 * whole
    assert parts["kernels"][4] > 0  # (the first step's operations run one by one)
    assert all(v > 1e6 for _, v in found["memory/process"])


def test_tensorboard_reads_it(tmp_path):
    net, optimizer, x = made()
    with Recorder(tmp_path, net, every=0) as board:
        for _ in range(3):
            board.log(loss=step(net, optimizer, x))
        board.writer.add_text("note", "first try", board.step)
    theirs = EventAccumulator(str(tmp_path))
    theirs.Reload()
    assert [e.step for e in theirs.Scalars("loss")] == [1, 2, 3]
    assert {"time/step", "gradients/all", "optimizer/learning rate"} <= set(theirs.Tags()["scalars"])


def test_steps_between_two_points_are_averaged(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "FIRST_LOOK", 10**9)
    net, optimizer, x = made()
    with Recorder(tmp_path, net, every=1000) as board:
        for _ in range(600):  # more tensors than are kept
            board.log(loss=step(net, optimizer, x) * 0 + board.step)
    assert scalars(tmp_path)["loss"] == [(600, 300.5)]


def test_one_steps_kernels_and_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    monkeypatch.setattr(recorder, "LOOK_SHARE", 1e9)
    net, optimizer, x = made(width=9)  # no other test's program
    with Recorder(tmp_path, net) as board:
        for _ in range(50):
            board.log(loss=step(net, optimizer, x))
    seen = json.loads((tmp_path / "explain.json").read_text())
    assert seen["step"] == 41 and len(seen["programs"]) == 1
    (program,) = seen["programs"]
    assert program["tier"] == 1 and program["runs"] == 1
    names = [name for name, *_ in program["operations"]]
    assert names.count("linear") == 2 and names.count("sgd_step") == 4 and len(names) == program["size"]
    assert {s for _, _, _, s, _ in program["operations"]} <= {None, *range(len(program["steps"]))}
    assert all(j < i for i, (*_, ins) in enumerate(program["operations"]) for j in ins)
    assert all(s["seconds"] > 0 and s["runs"] == 1 for s in program["steps"] if s["calls"])
    memory = json.loads((tmp_path / "memory.json").read_text())
    assert memory["step"] == 42 and any(shape == [9, 4] for _, _, _, shape, _, _ in memory["rows"])
    assert memory["peak"] >= sum(4 * p.numel() for p in net.parameters())


@pytest.mark.parametrize("mode", ["never", "now"])
def test_training_is_the_same_and_nothing_more_is_traced(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(background, "MODE", mode)
    kept = {}
    for recorded in (False, False, True):  # the first time, programs become native on the way
        net, optimizer, x = made(width=10 if mode == "now" else 11)
        board = Recorder(tmp_path, net, every=0) if recorded else None
        losses = []
        for i in range(60):
            if i == 45:
                before = Stats.snapshot()
            loss = step(net, optimizer, x)
            if recorded:
                board.log(loss=loss)
            losses.append(loss.item())
        after = Stats.snapshot()
        assert after["misses"] == before["misses"] and after["programs"] == before["programs"]
        if recorded:
            board.close()
        kept[recorded] = (losses, [p.detach().numpy().copy() for p in net.parameters()])
    assert kept[True][0] == kept[False][0]
    assert all((a == b).all() for a, b in zip(kept[True][1], kept[False][1], strict=True))


def test_a_pending_number_does_not_cut_the_step(tmp_path):
    net, optimizer, x = made()
    with Recorder(tmp_path, net, every=0) as board:
        for i in range(20):
            if i == 10:
                before = Stats.snapshot()["flushes"]
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            board.log(loss=loss)  # before the step: it belongs to the step before
            optimizer.step()
        assert Stats.snapshot()["flushes"] - before == 10
    steps = [s for s, _ in scalars(tmp_path)["loss"]]
    assert steps == sorted(steps) and steps[-1] == 19


def test_numbers_that_are_none(tmp_path):
    with Recorder(tmp_path) as board, pytest.raises(ValueError, match=r"'loss' should be a single number, got shape \[3\]"):
        board.log(loss=torch.ones(3))
    with pytest.raises(ValueError, match="must not be negative, got start=-1"):
        Recorder(tmp_path, start=-1)


def test_time_in_loaders_is_data(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(recorder, "clock", lambda: now[0])

    class Slow(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            now[0] += 1
            return torch.ones(4)

    net, optimizer, _ = made()
    with Recorder(tmp_path, net, every=0) as board:
        for x in DataLoader(Slow(), batch_size=2):
            step(net, optimizer, x)
        for x in board.data(torch.ones(2, 6, 4) * i for i in range(2) if now.__setitem__(0, now[0] + 8) is None):
            step(net, optimizer, x)
    assert [v for _, v in scalars(tmp_path)["time/data"]] == [2, 2, 8, 8]


def test_batches_are_the_same(tmp_path):
    data = TensorDataset(torch.arange(10))
    with Recorder(tmp_path):
        for workers in (0, 2):
            loader = DataLoader(data, batch_size=4, num_workers=workers)
            assert [b[0].tolist() for b in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_several_optimizers(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "SHARE", 1e9)  # norms at every point
    first, a, x = made(0.1)
    second, b, _ = made(0.2)
    with Recorder(tmp_path, every=0) as board:
        for _ in range(3):
            step(first, a, x)
            step(second, b, x)
        assert board.step == 3
        for _ in range(recorder.TURNS + 5):  # the first one is not used any more
            step(second, b, x)
        assert board.step == 3 + 7
    found = scalars(tmp_path)
    assert found["optimizer/learning rate"][-1][1] == pytest.approx(0.1)
    assert found["optimizer/learning rate of SGD 2"][-1][1] == pytest.approx(0.2)
    assert "gradients/1 [8, 4]" in found and "gradients/8 [1]" in found


def test_without_an_optimizer_each_log_is_a_step(tmp_path):
    with Recorder(tmp_path, every=0) as board:
        for i in range(3):
            board.log(loss=real.tensor(float(i), requires_grad=True))
    assert scalars(tmp_path)["loss"] == [(1, 0), (2, 1), (3, 2)]
    with Recorder(tmp_path / "named", every=0) as board:
        for i in (10, 20):
            board.log({"loss": i}, step=i)
    assert scalars(tmp_path / "named")["loss"] == [(10, 10), (20, 20)]


@pytest.mark.parametrize("dtype, x, norm", [("float16", 300.0, 600.0), ("float32", 1e30, 2e30), ("float32", 1e-30, 2e-30),
                                            ("bfloat16", 3.0, 6.0), ("complex64", 3 + 4j, 10.0)])
def test_gradient_norms_of_all_sizes(tmp_path, dtype, x, norm):
    p = nn.Parameter(torch.zeros(4, dtype=getattr(torch, dtype)))
    optimizer = torch.optim.SGD([p], 0.0)
    with Recorder(tmp_path, every=0):
        p.grad = torch.full((4,), x, dtype=p.dtype)
        optimizer.step()
    assert scalars(tmp_path)["gradients/all"][0][1] == pytest.approx(norm, rel=1e-2)


def test_a_full_disk_does_not_stop_training(tmp_path, monkeypatch):
    net, optimizer, x = made()
    board = Recorder(tmp_path, net, every=0)

    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(board.writer, "flush", full)
    with pytest.warns(UserWarning, match="nothing more is recorded .* No space left"):
        board.log(loss=step(net, optimizer, x))
    board.log(loss=step(net, optimizer, x))
    assert board.closed and repr(board).endswith("closed)")


def test_an_error_in_the_block_is_the_one_that_is_seen(tmp_path):
    bad = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(IndexError, match="out of bounds"), Recorder(tmp_path) as board:
        for i in range(8):  # from the second time on, it fails when the value is needed
            value = torch.arange(3.0)[bad + i * 5].sum() if i else torch.arange(3.0)[bad].sum()
            board.log(value=value)


def test_a_forked_child_writes_nothing(tmp_path):
    with Recorder(tmp_path, every=0) as board:
        board.log(loss=1.0)
        child = os.fork()
        if child == 0:
            board.log(loss=2.0)
            board.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        board.log(loss=3.0)
    assert scalars(tmp_path)["loss"] == [(1, 1.0), (2, 3.0)]


KILLED = """
import os, sys, time
import rushlight as torch
from rushlight.tools import Recorder
w = torch.zeros(3, requires_grad=True)
optimizer = torch.optim.SGD([w], 0.1)
board = Recorder(sys.argv[1], every=0)
while True:
    optimizer.zero_grad()
    loss = (w - 1).square().sum()
    loss.backward()
    optimizer.step()
    board.log(loss=loss)
    if board.step == 20:
        print("ready", flush=True)
        if sys.argv[2] == "end": break
"""


@pytest.mark.parametrize("how", ["kill", "end"])
def test_what_was_recorded_survives(tmp_path, how):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    if how == "kill":
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert [s for s, _ in scalars(tmp_path)["loss"]][:19] == list(range(1, 20))


def test_importing_rushlight_loads_nothing_of_it():
    code = ("import sys, rushlight; import rushlight.tools, rushlight.cli; found = [m for m in sys.modules if m.split('.')[0] in "
            "('starlette', 'uvicorn', 'plotly', 'anyio') or 'tools.board' in m]; assert not found, found; rushlight.tools.Recorder; "
            "assert not {'starlette', 'uvicorn', 'plotly'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_compiler_may_be_on_its_way(monkeypatch):
    """Its thread imports the module while a step is recorded."""
    monkeypatch.setitem(sys.modules, "rushlight.compile.llvm.objects", types.ModuleType("half imported"))
    assert recorder._compile_seconds() == 0.0
