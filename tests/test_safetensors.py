"""The safetensors format against the safetensors package, and against damaged files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch as theirs
import torch

import rushlight
from rushlight import safetensors as ours

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
          "bool"]


def tensors(T):
    made = {f"t.{d}": (T.arange(6).view(2, 3) % 3).to(getattr(T, d)) for d in DTYPES}
    made.update({"empty": T.empty(0, 3), "scalar": T.tensor(2.5)})
    return made


def plain(state):
    return {k: (str(t.dtype), tuple(t.shape), t.double().tolist()) for k, t in state.items()}


def test_exchange(tmp_path):
    ours.save_file(tensors(rushlight), tmp_path / "a.safetensors", {"note": "x"})
    assert plain(theirs.load_file(tmp_path / "a.safetensors")) == plain(tensors(torch))
    theirs.save_file(tensors(torch), tmp_path / "b.safetensors")
    assert plain(ours.load_file(tmp_path / "b.safetensors")) == plain(tensors(rushlight))
    assert plain(ours.load(theirs.save(tensors(torch)))) == plain(tensors(rushlight))
    assert plain(theirs.load(ours.save(tensors(rushlight)))) == plain(tensors(torch))
    with ours.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"note": "x"} and "scalar" in file.keys()
        part = file.get_slice("t.int64")
        assert part.get_shape() == [2, 3] and part[:, 1].tolist() == [1, 1]
        with pytest.raises(ours.SafetensorError):
            file.get_tensor("nothing")


def test_loaded_tensors_are_their_own(tmp_path):
    path = tmp_path / "a.safetensors"
    ours.save_file({"a": rushlight.zeros(4)}, path)
    loaded = ours.load_file(path)
    loaded["a"].add_(1)
    ours.save_file({"a": loaded["a"] * 2}, path)  # the mapped file is replaced, not overwritten
    assert loaded["a"].tolist() == [1, 1, 1, 1]
    assert ours.load_file(path)["a"].tolist() == [2, 2, 2, 2]


def test_models(tmp_path):
    model = rushlight.nn.Sequential(rushlight.nn.Linear(3, 3), rushlight.nn.Linear(3, 3))
    model[1].weight = model[0].weight
    ours.save_model(model, tmp_path / "m.safetensors")
    other = rushlight.nn.Sequential(rushlight.nn.Linear(3, 3), rushlight.nn.Linear(3, 3))
    other[1].weight = other[0].weight
    assert tuple(ours.load_model(other, tmp_path / "m.safetensors")) == ([], [])
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert rushlight.equal(a, b)


def test_what_cannot_be_saved(tmp_path):
    x = rushlight.ones(2, 3)
    for bad in ({"x": x, "y": x}, {"x": x, "y": x[0]}):
        with pytest.raises(RuntimeError, match="share memory"):
            ours.save(bad)
    with pytest.raises(ValueError, match="contiguous"):
        ours.save({"x": x.t()})
    with pytest.raises(ValueError):
        ours.save({"x": 3})
    with pytest.raises(ours.SafetensorError):
        ours.save({"x": x.to(rushlight.complex128)})


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize("raw", [
    b"", b"abc", file_of(b"{"), file_of(b"[1]"), file_of({"a": 3}), file_of({"a": {}}),
    file_of({"a": ENTRY}), file_of({"a": ENTRY}, b"x" * 7), file_of({"a": ENTRY}, b"x" * 9),
    file_of({"a": {**ENTRY, "dtype": "F7"}}, b"x" * 8),
    file_of({"a": {**ENTRY, "shape": [-2]}}, b"x" * 8),
    file_of({"a": {**ENTRY, "shape": [2**62, 4]}}, b"x" * 8),
    file_of({"a": {**ENTRY, "data_offsets": [8, 0]}}, b"x" * 8),
    file_of({"a": {**ENTRY, "data_offsets": [4, 12]}}, b"x" * 12),
    file_of({"a": ENTRY, "b": ENTRY}, b"x" * 8), file_of(b"[" * 100_000),
    (2**63).to_bytes(8, "little") + b"{}", (10**9).to_bytes(8, "little") + b"{}",
])
def test_damaged_files(tmp_path, raw):
    with pytest.raises(ours.SafetensorError):
        ours.load(raw)
    (tmp_path / "a.safetensors").write_bytes(raw)
    with pytest.raises(ours.SafetensorError):
        ours.load_file(tmp_path / "a.safetensors")


def test_random_damage():
    rng = np.random.default_rng(0)
    raw = ours.save(tensors(rushlight))
    for _ in range(300):
        broken = bytearray(raw)
        for at in rng.integers(0, 900, 2):
            broken[at] = rng.integers(0, 256)
        try:
            ours.load(bytes(broken[: rng.integers(1, len(raw) + 1)] if rng.random() < 0.3 else broken))
        except ours.SafetensorError:
            pass
