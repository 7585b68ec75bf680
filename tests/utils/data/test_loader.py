"""DataLoader: PyTorch's order and seeds, workers, their errors and deaths."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import torch
import torch.utils.data

import rushlight

X = np.arange(120, dtype=np.float32).reshape(40, 3)
Y = np.arange(40)


def batches(T, **options):
    T.manual_seed(5)
    data = T.utils.data
    loader = data.DataLoader(data.TensorDataset(T.tensor(X), T.tensor(Y)), **options)
    made = [[t.numpy().tolist() for t in b] for _ in range(2) for b in loader]
    return made, T.rand(1).item(), len(loader)


OPTIONS = [
    {"batch_size": 7},
    {"batch_size": 7, "shuffle": True},
    {"batch_size": 8, "shuffle": True, "drop_last": True},
    {"batch_size": None},
    {"batch_size": 6, "shuffle": True, "num_workers": 2},
    {"batch_size": 6, "shuffle": True, "num_workers": 2, "persistent_workers": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_batches_are_pytorchs(options):
    assert batches(rushlight, **options) == batches(torch, **options)


class Squares:
    def __len__(self):
        return 20

    def __getitem__(self, i):
        return {"x": float(i), "name": f"n{i}", "a": np.full(2, i)}


def test_structures():
    for b, c in zip(rushlight.utils.data.DataLoader(Squares(), 6),
                    torch.utils.data.DataLoader(Squares(), 6), strict=True):
        assert b["x"].tolist() == c["x"].tolist() and str(b["x"].dtype) == str(c["x"].dtype)
        assert b["name"] == c["name"]
        assert b["a"].tolist() == c["a"].tolist()


def test_samplers():
    def run(T):
        T.manual_seed(1)
        d = T.utils.data
        made = [list(d.RandomSampler(range(50))), list(d.RandomSampler(range(9), True, 40)),
                list(d.SubsetRandomSampler([3, 5, 8])),
                list(d.WeightedRandomSampler([0.1, 0.7, 0.2], 12)),
                list(d.BatchSampler(d.SequentialSampler(range(7)), 3, False))]
        made += [s.indices for s in d.random_split(range(10), [7, 3])]
        return made

    assert run(rushlight) == run(torch)


class Stream(rushlight.utils.data.IterableDataset):
    def __iter__(self):
        info = rushlight.utils.data.get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, 11, step))


def test_stream():
    loader = rushlight.utils.data.DataLoader
    assert [b.tolist() for b in loader(Stream(), 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    got = [b.tolist() for b in loader(Stream(), 2, num_workers=2)]
    assert sorted(sum(got, [])) == list(range(11))


class Failing(Squares):
    def __getitem__(self, i):
        if i == 13:
            raise KeyError("no sample 13")
        return float(i)


def test_worker_error_names_worker_and_indices():
    loader = rushlight.utils.data.DataLoader(Failing(), 4, num_workers=2)
    with pytest.raises(KeyError, match=r"worker process \d.*\[12, 13, 14, 15\](.|\n)*no sample 13"):
        list(loader)


class Dying(Squares):
    def __getitem__(self, i):
        if i == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(i)


def test_killed_worker_is_an_error_and_leaves_nobody():
    loader = rushlight.utils.data.DataLoader(Dying(), 4, num_workers=2)
    iterator = iter(loader)
    pids = [p.pid for p in iterator._processes]
    with pytest.raises(RuntimeError, match="exited unexpectedly .killed by signal 9"):
        list(iterator)
    for pid in pids:
        with pytest.raises(OSError):
            os.kill(pid, 0)


class Slow(Squares):
    def __getitem__(self, i):
        time.sleep(30)


def test_timeout():
    loader = rushlight.utils.data.DataLoader(Slow(), 2, num_workers=1, timeout=0.5)
    with pytest.raises(RuntimeError, match="timed out after 0.5 seconds"):
        list(loader)


@pytest.mark.parametrize("options", [
    {"num_workers": -1},
    {"batch_size": 0},
    {"shuffle": True, "sampler": [1]},
    {"batch_sampler": [[1]], "shuffle": True},
    {"prefetch_factor": 2},
    {"batch_size": None, "drop_last": True},
], ids=str)
def test_bad_options(options):
    kinds = []
    for T in (torch, rushlight):
        with pytest.raises(Exception) as e:
            T.utils.data.DataLoader(list(range(4)), **options)
        kinds.append(e.type)
    assert kinds[0] is kinds[1]
