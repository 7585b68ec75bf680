"""Data sets: PyTorch's samples, orders and errors."""

from __future__ import annotations

import pytest
import torch
import torch.utils.data

import rushlight

BOTH = (torch, rushlight)


def outcomes(case):
    """What a case gives in both: a value, or the exception's type."""
    found = []
    for T in BOTH:
        try:
            found.append(case(T, T.utils.data))
        except Exception as e:
            found.append(type(e))
    return found


CASES = {
    "tensors": lambda T, d: [t.tolist() for t in d.TensorDataset(T.arange(4), T.ones(4, 2))[2]],
    "tensors differ": lambda T, d: d.TensorDataset(T.arange(4), T.ones(3)),
    "concat": lambda T, d: [d.ConcatDataset(["ab", "c"])[i] for i in (0, 2, -1, -3)],
    "concat sizes": lambda T, d: d.ConcatDataset(["ab", "c"]).cumulative_sizes,
    "concat outside": lambda T, d: d.ConcatDataset(["ab", "c"])[-4],
    "concat nothing": lambda T, d: d.ConcatDataset([]),
    "concat stream": lambda T, d: d.ConcatDataset([d.ChainDataset([])]),
    "chain of lists": lambda T, d: list(d.ChainDataset([[1, 2]])),
    "stack": lambda T, d: [d.StackDataset("ab", [1, 2])[1], d.StackDataset(x="ab", y="cd")[0]],
    "stack batch": lambda T, d: d.StackDataset(x="ab", y="cd").__getitems__([1, 0]),
    "stack nested": lambda T, d: d.StackDataset(d.Subset("abc", [2, 1]), "xy").__getitems__([1]),
    "stack both": lambda T, d: d.StackDataset("ab", x="cd"),
    "stack none": lambda T, d: d.StackDataset(),
    "stack sizes": lambda T, d: d.StackDataset("ab", "c"),
    "subset": lambda T, d: [d.Subset("abcd", [3, 1])[1], d.Subset("abcd", [3, 1]).__getitems__([0])],
    "subset class": lambda T, d: type("S", (d.Subset,), {"__getitem__": lambda s, i: i})("ab", [1]),
    "sum": lambda T, d: list(d.Subset("ab", [1]) + d.Subset("cd", [0])),
    "no getitem": lambda T, d: d.Dataset()[0],
    "fractions": lambda T, d: [len(s) for s in d.random_split(range(11), [0.5, 0.3, 0.2])],
    "fraction outside": lambda T, d: d.random_split(range(3), [1.5, -0.5]),
    "lengths": lambda T, d: d.random_split(range(3), [1, 1]),
    "split": lambda T, d: [s.indices for s in d.random_split(
        range(9), [4, 5], generator=T.Generator().manual_seed(3))],
}


@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name):
    theirs, ours = outcomes(CASES[name])
    assert ours == theirs


def test_every_public_name_is_there():
    mine = rushlight.utils.data
    assert set(torch.utils.data.__all__) <= set(mine.__all__)
    for path in ("dataloader", "dataset", "sampler", "distributed"):
        theirs = getattr(torch.utils.data, path).__all__
        module = __import__(f"rushlight.utils.data.{path}", fromlist=["x"])
        assert [n for n in theirs if not hasattr(module, n)] == []
    assert mine._utils.collate.default_collate is mine.default_collate
    assert mine.dataloader._InfiniteConstantSampler and mine.DataLoader[int]


def test_an_empty_split_warns():
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        rushlight.utils.data.random_split(range(2), [0.9, 0.1])
