"""Checkpoints: exchanged with PyTorch, safe to load, never half written."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import OrderedDict

import numpy as np
import pytest
import torch

import rushlight


def contents(T):
    x = T.arange(12, dtype=T.float32).reshape(3, 4)
    net = T.nn.Linear(3, 2)
    with T.no_grad():
        net.weight.copy_(T.arange(6.0).reshape(2, 3))
        net.bias.fill_(0.5)
    optimizer = T.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(T.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "net": net.state_dict(), "optimizer": optimizer.state_dict(), "x": x, "view": x[1:, ::2],
        "t": x.t(), "half": T.ones(3, dtype=T.bfloat16), "parameter": T.nn.Parameter(T.ones(2)),
        "shape": T.Size([1, 2]), "dtype": T.float16, "none": None, "set": {1, 2},
        "scalar": T.tensor(3), "empty": T.zeros(0, 3), "ordered": OrderedDict(a=1.5), "text": "a",
        "bool": T.tensor([True, False]), "complex": T.tensor([1 + 2j]),
    }


def plain(x):
    """Comparable across frameworks."""
    if hasattr(x, "detach"):
        y = x.detach()
        y = y.float() if "bfloat16" in str(y.dtype) else y
        return type(x).__name__, str(x.dtype), tuple(x.stride()), y.numpy().tolist()
    if isinstance(x, dict):
        return {str(k): plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)) and not hasattr(x, "numel"):
        return [plain(v) for v in x]
    return str(x)


@pytest.mark.parametrize("legacy", [False, True])
def test_reads_pytorchs_files(tmp_path, legacy):
    want = contents(torch)
    torch.save(want, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    assert plain(rushlight.load(tmp_path / "a.pt")) == plain(want)


def test_pytorch_reads_ours(tmp_path):
    ours = contents(rushlight)
    rushlight.save(ours, tmp_path / "a.pt")
    assert plain(torch.load(tmp_path / "a.pt")) == plain(contents(torch))
    assert plain(rushlight.load(tmp_path / "a.pt", mmap=True)) == plain(ours)


def test_views_still_share_memory(tmp_path):
    buffer = io.BytesIO()
    rushlight.save(contents(rushlight), buffer)
    buffer.seek(0)
    loaded = rushlight.load(buffer)
    loaded["x"][1, 0] = 99.0
    assert loaded["view"][0, 0].item() == 99.0 and loaded["t"][0, 1].item() == 99.0


def test_cut_short_anywhere():
    buffer = io.BytesIO()
    rushlight.save(contents(rushlight), buffer)
    raw = buffer.getvalue()
    for n in range(0, len(raw), 101):
        with pytest.raises((RuntimeError, EOFError)):
            rushlight.load(io.BytesIO(raw[:n]))


def test_corrupt_bytes_never_crash():
    buffer = io.BytesIO()
    rushlight.save({"x": rushlight.ones(5)}, buffer)
    raw = bytearray(buffer.getvalue())
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(raw)
        for at in rng.integers(0, len(raw), 3):
            broken[at] = rng.integers(0, 256)
        try:
            rushlight.load(io.BytesIO(bytes(broken)))
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            pass


class Evil:
    def __reduce__(self):
        return os.system, ("echo hacked > /dev/null",)


def test_hostile_pickle_is_refused(tmp_path):
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        rushlight.load(tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        rushlight.load(tmp_path / "plain.pt")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.pt"
    rushlight.save({"x": 1}, path)
    with pytest.raises(Exception):  # noqa: B017 - whatever pickle raises for a lambda
        rushlight.save({"x": lambda: 0}, path)
    assert rushlight.load(path) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.pt"]
    with pytest.raises(RuntimeError, match="does not exist"):
        rushlight.save({}, tmp_path / "nowhere" / "a.pt")


LOOP = """
import sys, rushlight as torch
i = 0
while True:
    torch.save({"i": i, "x": torch.full((200_000,), float(i))}, sys.argv[1])
    i += 1
    print(i, flush=True)
"""


def test_kill_in_the_middle_of_a_save(tmp_path):
    path = tmp_path / "a.pt"
    for pause in (0.0, 0.003, 0.011):
        process = subprocess.Popen([sys.executable, "-c", LOOP, str(path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        state = rushlight.load(path)
        assert state["x"][0].item() == state["x"][-1].item() == state["i"]
