"""Samplers: PyTorch's orders for the same seeds, and its errors."""

from __future__ import annotations

import pytest
import torch
import torch.utils.data

import rushlight


def seeded(T):
    return T.Generator().manual_seed(11)


CASES = {
    "random": lambda T, d: list(d.RandomSampler(range(50))),
    "random twice": lambda T, d: [*d.RandomSampler(range(9), generator=seeded(T))] * 2,
    "more than there are": lambda T, d: list(d.RandomSampler(range(5), num_samples=13)),
    "replacement": lambda T, d: list(d.RandomSampler(range(9), True, 70)),
    "replacement, generator": lambda T, d: list(d.RandomSampler(range(9), True, 3, seeded(T))),
    "subset": lambda T, d: list(d.SubsetRandomSampler([3, 5, 8, 13], seeded(T))),
    "weighted": lambda T, d: list(d.WeightedRandomSampler([0.1, 0.7, 0.2], 12)),
    "weighted once": lambda T, d: list(d.WeightedRandomSampler([0.1, 3, 0.2, 1], 4, False)),
    "batches": lambda T, d: [*d.BatchSampler(range(7), 3, True), *d.BatchSampler("abcd", 3, False)],
    "lengths": lambda T, d: [len(d.BatchSampler(range(7), 3, x)) for x in (True, False)],
    "empty": lambda T, d: d.RandomSampler([]),
    "bad replacement": lambda T, d: d.RandomSampler([1], replacement=1),
    "bad number": lambda T, d: d.RandomSampler([1], num_samples=0),
    "bad weights": lambda T, d: d.WeightedRandomSampler([[0.1]], 1),
    "bad weighted number": lambda T, d: d.WeightedRandomSampler([0.1], True),
    "bad batch": lambda T, d: d.BatchSampler([1], 0, False),
    "bad drop_last": lambda T, d: d.BatchSampler([1], 1, 1),
    "bad rank": lambda T, d: d.DistributedSampler(range(4), 2, 2),
    "base class": lambda T, d: iter(d.Sampler()),
}


@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name):
    found = []
    for T in (torch, rushlight):
        T.manual_seed(7)
        try:
            found.append((CASES[name](T, T.utils.data), T.rand(1).item()))
        except Exception as e:
            found.append((type(e), str(e)))
    assert found[1] == found[0]


@pytest.mark.parametrize("n,replicas,drop_last", [(10, 3, False), (10, 3, True), (2, 5, False),
                                                  (9, 3, True), (2, 5, True)])
def test_distributed(n, replicas, drop_last):
    def run(T):
        made = []
        for rank in range(replicas):
            s = T.utils.data.distributed.DistributedSampler(
                range(n), replicas, rank, seed=3, drop_last=drop_last
            )
            for epoch in range(2):
                s.set_epoch(epoch)
                made.append((list(s), len(s), s.total_size))
        return made

    assert run(rushlight) == run(torch)
