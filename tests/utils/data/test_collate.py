"""default_collate and default_convert: PyTorch's types, dtypes and errors."""

from __future__ import annotations

import collections
import types

import numpy as np
import pytest
import torch
import torch.utils.data

import rushlight

Pair = collections.namedtuple("Pair", "a b")


def plain(x, T):
    """Nested data with tensors as (dtype, list), so that both frameworks' can be compared."""
    if isinstance(x, T.Tensor):
        return (str(x.dtype).split(".")[-1], x.tolist())
    if isinstance(x, collections.abc.Mapping):
        return (type(x).__name__, {k: plain(v, T) for k, v in x.items()})
    if isinstance(x, (tuple, list)):
        return (type(x).__name__, [plain(v, T) for v in x])
    return x


BATCHES = {
    "ints": lambda T: [1, 2],
    "bools": lambda T: [True, False],
    "floats": lambda T: [1.5, 2.0],
    "strings": lambda T: ["a", "b"],
    "bytes": lambda T: [b"a", b"b"],
    "scalars": lambda T: [np.float32(1.5), np.float32(2)],
    "numpy float64": lambda T: [np.float64(1.5), np.float64(2)],
    "numpy bools": lambda T: [np.bool_(True), np.bool_(False)],
    "arrays": lambda T: [np.arange(3), np.arange(3) + 1],
    "tensors": lambda T: [T.ones(2), T.zeros(2)],
    "dicts": lambda T: [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}],
    "ordered": lambda T: [collections.OrderedDict(x=1), collections.OrderedDict(x=2)],
    "frozen": lambda T: [types.MappingProxyType({"x": 1}), types.MappingProxyType({"x": 2})],
    "named": lambda T: [Pair(1, 2.0), Pair(3, 4.0)],
    "tuples": lambda T: [(1, T.ones(1)), (2, T.ones(1))],
    "lists": lambda T: [[1, 2], [3, 4]],
    "deep": lambda T: [{"a": [(1, {"b": 2.5})]}, {"a": [(3, {"b": 4.5})]}],
    "ragged lists": lambda T: [[1, 2], [3]],
    "ragged tensors": lambda T: [T.ones(2), T.ones(3)],
    "string arrays": lambda T: [np.array(["a"]), np.array(["b"])],
    "none": lambda T: [None, None],
    "objects": lambda T: [object(), object()],
    "sets": lambda T: [{1}, {2}],
    "missing key": lambda T: [{"x": 1}, {}],
}


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("which", ["default_collate", "default_convert"])
def test_as_pytorch(name, which):
    found = []
    for T in (torch, rushlight):
        try:
            batch = BATCHES[name](T)
            if which == "default_convert" and name in ("objects", "none"):
                return
            found.append(plain(getattr(T.utils.data, which)(batch), T))
        except Exception as e:
            found.append((type(e), str(e)))
    assert found[1] == found[0]


class Special:
    pass


def test_a_table_of_functions():
    from rushlight.utils.data._utils.collate import collate, default_collate_fn_map

    table = {**default_collate_fn_map, Special: lambda batch, *, collate_fn_map: len(batch)}
    found = collate([{"s": Special(), "n": 1}, {"s": Special(), "n": 2}], collate_fn_map=table)
    assert found["s"] == 2 and found["n"].tolist() == [1, 2]
