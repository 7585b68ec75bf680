"""Resuming in the middle of an epoch: the rest is what the uninterrupted run gives, to the last number."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

import rushlight as torch

data = torch.utils.data


class Noisy:
    """Samples with numbers of all three generators, drawn when they are fetched."""

    def __init__(self, n=22):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return float(i), torch.rand(2), random.random(), np.random.randn()


class Stream(data.IterableDataset):
    """A stream that knows nothing about resuming."""

    def __iter__(self):
        info = data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for i in range(first, 23, step):
            yield i, torch.rand(1)


class Counted(data.IterableDataset):
    """A stream that can say where it is."""

    def __init__(self):
        self.at, self.reads = 0, 0

    def __iter__(self):
        while self.at < 23:
            self.at += 1
            self.reads += 1
            yield self.at, torch.rand(1), self.reads
        self.at = 0

    def state_dict(self):
        return {"at": self.at, "reads": self.reads}

    def load_state_dict(self, state):
        self.at, self.reads = state["at"], state["reads"]


class Position:
    """An iterator with a state of its own."""

    def __init__(self):
        self.i = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.i == 9:
            raise StopIteration
        self.i += 1
        return self.i

    def state_dict(self):
        return self.i

    def load_state_dict(self, i):
        self.i = i


class Positions(data.IterableDataset):
    def __iter__(self):
        return Position()


class Lazy:
    """A sampler that shuffles a few indices at a time, with the generators that training uses too."""

    def __iter__(self):
        for start in range(0, 20, 5):
            order = torch.randperm(5).tolist()
            random.shuffle(order)
            yield from (start + i for i in order)

    def __len__(self):
        return 20


class Eager:
    """A sampler that draws when iteration begins."""

    def __iter__(self):
        return iter(torch.randperm(20).tolist())


class Remembering:
    """A sampler with a state of its own, which no random number tells."""

    def __init__(self):
        self.passes, self.skip = 0, 0

    def __iter__(self):
        self.passes += 1
        first, self.skip = self.skip, 0
        for i in range(first, 20):
            self.at = i + 1
            yield (i * self.passes) % 20

    def state_dict(self):
        return {"passes": self.passes - 1, "at": self.at}

    def load_state_dict(self, state):
        self.passes, self.skip = state["passes"], state["at"]


LOADERS = {
    "plain": lambda **o: data.DataLoader(Noisy(), 4, **o),
    "shuffle": lambda **o: data.DataLoader(Noisy(), 4, shuffle=True, **o),
    "drop_last": lambda **o: data.DataLoader(Noisy(), 4, shuffle=True, drop_last=True, **o),
    "generator": lambda **o: data.DataLoader(
        Noisy(), 4, shuffle=True, generator=torch.Generator().manual_seed(9), **o),
    "unbatched": lambda **o: data.DataLoader(Noisy(), None, shuffle=True, **o),
    "weighted": lambda **o: data.DataLoader(
        Noisy(), 3, sampler=data.WeightedRandomSampler(range(22), 20), **o),
    "replacement": lambda **o: data.DataLoader(
        Noisy(), 3, sampler=data.RandomSampler(range(22), True, 70), **o),
    "batch sampler": lambda **o: data.DataLoader(
        Noisy(), batch_sampler=data.BatchSampler(Lazy(), 3, False), **o),
    "lists": lambda **o: data.DataLoader(Noisy(), batch_sampler=[[1, 2], [3], [4, 5], [6]] * 3, **o),
    "lazy": lambda **o: data.DataLoader(Noisy(), 3, sampler=Lazy(), **o),
    "eager": lambda **o: data.DataLoader(Noisy(), 3, sampler=Eager(), **o),
    "remembering": lambda **o: data.DataLoader(Noisy(), 3, sampler=Remembering(), **o),
    "distributed": lambda **o: data.DataLoader(
        Noisy(), 2, sampler=data.DistributedSampler(range(22), 2, 1), **o),
    "stream": lambda **o: data.DataLoader(Stream(), 4, **o),
    "stream unbatched": lambda **o: data.DataLoader(Stream(), None, **o),
    "counted": lambda **o: data.DataLoader(Counted(), 4, **o),
    "positions": lambda **o: data.DataLoader(Positions(), 2, **o),
    "rows": lambda **o: data.DataLoader(
        data.TensorDataset(torch.arange(22)), 4, shuffle=True, **o),
}


def plain(batch):
    if isinstance(batch, torch.Tensor):
        return batch.tolist()
    return [plain(b) for b in batch] if isinstance(batch, (list, tuple)) else batch


def train(batch):
    """Draws numbers between batches, as dropout does."""
    return plain(batch), torch.rand(3).tolist(), random.random(), np.random.rand()


def seed():
    torch.manual_seed(3)
    random.seed(4)
    np.random.seed(5)


def interrupted(make, options, epoch, stop):
    """(the rest and an epoch more of the run, of a run taken up from its state)."""
    seed()
    loader = make(**options)
    if isinstance(loader.sampler, data.DistributedSampler):
        loader.sampler.set_epoch(5)
    for _ in range(epoch):
        for batch in loader:
            train(batch)
    rest = []
    file = io.BytesIO()
    for n, batch in enumerate(loader):
        if n == stop:
            torch.save(loader.state_dict(), file)
        (rest if n > stop else []).append(train(batch)) if n != stop else None
        if n == stop:
            rest.append(torch.rand(1).item())
    rest += [train(batch) for batch in loader]
    del loader
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    file.seek(0)
    loader = make(**options)
    loader.load_state_dict(torch.load(file))
    again = []
    iterator = iter(loader)
    again.append(torch.rand(1).item())
    again += [train(batch) for batch in iterator]
    again += [train(batch) for batch in loader]
    return rest, again


@pytest.mark.parametrize("name", LOADERS)
def test_in_this_process(name):
    for epoch, stop in ((0, 0), (0, 3), (1, 2)):
        rest, again = interrupted(LOADERS[name], {}, epoch, stop)
        assert again == rest and len(rest) > 3


WORKERS = [
    {"num_workers": 2},
    {"num_workers": 2, "persistent_workers": True, "prefetch_factor": 3},
]


@pytest.mark.parametrize("options", WORKERS, ids=["new", "persistent"])
@pytest.mark.parametrize("name", ["shuffle", "lazy", "eager", "remembering", "stream", "counted",
                                  "positions", "rows"])
def test_with_workers(name, options):
    for epoch, stop in ((0, 3), (1, 1)):
        rest, again = interrupted(LOADERS[name], options, epoch, stop)
        assert again == rest and len(rest) > 3


def test_after_leaving_the_loop():
    seed()
    loader = LOADERS["shuffle"](num_workers=2)
    whole = [plain(b) for b in loader]
    seed()
    loader = LOADERS["shuffle"](num_workers=2)
    for n, _ in enumerate(loader):
        if n == 1:
            break
    state = loader.state_dict()
    loader = LOADERS["shuffle"](num_workers=2)
    loader.load_state_dict(state)
    assert loader.state_dict() is state  # nothing was read yet
    assert [plain(b) for b in loader] == whole[2:]


def test_between_epochs():
    seed()
    loader = LOADERS["shuffle"]()
    list(loader)
    state = loader.state_dict()
    rest = [plain(b) for b in loader]
    seed()
    loader = LOADERS["shuffle"]()
    loader.load_state_dict(state)
    assert [plain(b) for b in loader] == rest


def test_a_stateful_stream_reads_nothing_twice():
    rest, _ = interrupted(LOADERS["counted"], {}, 0, 2)
    assert rest[1][0][2] == [13, 14, 15, 16]  # the number of reads so far is part of the samples


def test_another_number_of_workers_gives_the_same_batches():
    seed()
    loader = LOADERS["rows"](num_workers=2)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    rest = [plain(b) for b in iterator]
    for workers in (0, 1):
        loader = LOADERS["rows"](num_workers=workers)
        loader.load_state_dict(state)
        assert [plain(b) for b in loader] == rest


def test_out_of_order_gives_the_rest():
    loader = LOADERS["rows"](num_workers=2, in_order=False)
    iterator = iter(loader)
    seen = plain(next(iterator)) + plain(next(iterator))
    state = loader.state_dict()
    del iterator
    loader = LOADERS["rows"](num_workers=2, in_order=False)
    loader.load_state_dict(state)
    rest = [x for batch in loader for column in batch for x in plain(column)]
    assert sorted(rest + sum(seen, [])) == list(range(22))


def test_a_state_of_another_loader_is_refused():
    state = LOADERS["shuffle"]().state_dict()
    with pytest.raises(ValueError, match=r"batch_size=5 \(state: 4\)"):
        data.DataLoader(Noisy(), 5).load_state_dict(state)
    with pytest.raises(ValueError, match=r"length=3 \(state: 22\)"):
        data.DataLoader(Noisy(3), 4).load_state_dict(state)
    with pytest.raises(ValueError, match="num_workers=1"):
        LOADERS["stream"](num_workers=1).load_state_dict(LOADERS["stream"]().state_dict())
    with pytest.raises(ValueError, match="what DataLoader.state_dict"):
        LOADERS["shuffle"]().load_state_dict({})
