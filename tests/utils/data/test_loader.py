"""DataLoader: PyTorch's order and seeds, workers, their errors and deaths."""

from __future__ import annotations

import random
import warnings

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
    {"batch_size": None, "shuffle": True, "num_workers": 1, "prefetch_factor": 5},
    {"batch_sampler": [[1, 2], [3]]},
    {"batch_size": 3, "sampler": range(5, 25, 2)},
    {"batch_size": 3, "num_workers": 2, "multiprocessing_context": "fork"},
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


@pytest.mark.parametrize("options", [
    {"num_workers": -1},
    {"batch_size": 0},
    {"shuffle": True, "sampler": [1]},
    {"batch_sampler": [[1]], "shuffle": True},
    {"prefetch_factor": 2},
    {"batch_size": None, "drop_last": True},
    {"timeout": -1},
    {"persistent_workers": True},
    {"num_workers": 1, "prefetch_factor": -1},
    {"multiprocessing_context": "fork"},
    {"num_workers": 1, "multiprocessing_context": "thread"},
    {"num_workers": 1, "multiprocessing_context": 3},
], ids=str)
def test_bad_options(options):
    kinds = []
    for T in (torch, rushlight):
        with pytest.raises(Exception) as e:
            T.utils.data.DataLoader(list(range(4)), **options)
        kinds.append(e.type)
    assert kinds[0] is kinds[1]


class Drawing:
    """Samples with the numbers that a worker draws."""

    def __init__(self, T):
        self.T = T

    def __len__(self):
        return 12

    def __getitem__(self, i):
        info = self.T.utils.data.get_worker_info()
        return [self.T.rand(1).item(), random.random(), np.random.rand(), info.seed, info.id]


class Order:
    """A sampler that draws when iteration begins."""

    def __init__(self, T):
        self.T = T

    def __iter__(self):
        return iter(self.T.randperm(12).tolist())


@pytest.mark.parametrize("persistent", [False, True])
def test_numbers_in_workers_are_pytorchs(persistent):
    def run(T):
        T.manual_seed(8)
        loader = T.utils.data.DataLoader(
            Drawing(T), 3, sampler=Order(T), num_workers=2, persistent_workers=persistent,
            worker_init_fn=lambda w: T.rand(w + 1))
        return [[t.tolist() for t in b] for _ in range(2) for b in loader], T.rand(1).item()

    assert run(rushlight) == run(torch)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_workers(method):
    import multiprocessing

    data = rushlight.utils.data
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = data.DataLoader(data.TensorDataset(rushlight.tensor(X)), 16, num_workers=2,
                                 multiprocessing_context=context)
        assert loader.multiprocessing_context is context
        assert [b.tolist() for b, in loader] == [X[:16].tolist(), X[16:32].tolist(), X[32:].tolist()]


def test_in_order_false_gives_everything_once():
    loader = rushlight.utils.data.DataLoader(range(40), 3, num_workers=2, in_order=False)
    assert sorted(sum((b.tolist() for b in loader), [])) == list(range(40))


class Streams:
    """Each worker reads a part of another length."""

    @staticmethod
    def make(T):
        class Part(T.utils.data.IterableDataset):
            def __len__(self):
                return 11

            def __iter__(self):
                info = T.utils.data.get_worker_info()
                if info is None:
                    return iter(range(11))
                return iter(range(100 * info.id, 100 * info.id + (4, 13, 1)[info.id]))

        return Part()


@pytest.mark.parametrize("options", [{}, {"num_workers": 3}, {"num_workers": 2, "drop_last": True},
                                     {"num_workers": 3, "persistent_workers": True}], ids=str)
def test_streams_are_pytorchs(options):
    def run(T):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loader = T.utils.data.DataLoader(Streams.make(T), 2, **options)
            return len(loader), [b.tolist() for _ in range(2) for b in loader]

    assert run(rushlight) == run(torch)


def test_a_stream_longer_than_it_says_warns():
    class Long(rushlight.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(3))

        def __len__(self):
            return 2

    loader = rushlight.utils.data.DataLoader(Long(), None)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="reported to be 2.*but 3 samples have been fetched"):
        list(loader)


def test_arguments_are_kept():
    data = rushlight.utils.data
    loader = data.DataLoader(range(3), pin_memory=True, pin_memory_device="cuda", num_workers=0)
    assert (loader.batch_size, loader.prefetch_factor, loader.timeout) == (1, None, 0)
    if not rushlight.accelerator.is_available():
        with pytest.warns(UserWarning, match="no accelerator is found"):
            assert len(list(loader)) == 3
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader"):
        loader.batch_size = 2
    with pytest.raises(NotImplementedError):
        __import__("pickle").dumps(iter(data.DataLoader(range(3))))
    with pytest.raises(AssertionError):
        iter(data.DataLoader(range(3), timeout=1))
    with pytest.warns(UserWarning, match="create 1000 worker processes"):
        data.DataLoader(range(3), num_workers=1000)
