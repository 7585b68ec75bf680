"""The memory behind a tensor: mapped files, slices, and tensors of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch as oracle

import rushlight as torch


def both(make):
    return make(torch), make(oracle)


def test_a_mapped_file(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(np.arange(6, dtype=np.float32).tobytes())

    def parts(t):
        whole = t.UntypedStorage.from_file(str(path), shared=False, nbytes=24)
        middle = whole[8:20]
        x = t.asarray(middle, dtype=t.float32)
        y = t.asarray(middle, dtype=t.uint8).view(t.float32).reshape(3, 1)
        x[0] = 7.0  # in memory only, and in both
        return whole.nbytes(), middle.nbytes(), whole[10], x.tolist(), y.tolist()

    ours, theirs = both(parts)
    assert ours == theirs
    assert np.frombuffer(path.read_bytes(), np.float32).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_shared_file_is_written(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(4))
    x = torch.asarray(torch.UntypedStorage.from_file(str(path), True, 4), dtype=torch.uint8)
    x[2] = 9
    x.sum().item()
    assert path.read_bytes() == bytes([0, 0, 9, 0])


def test_wrong_files(tmp_path):
    with pytest.raises(OSError):
        torch.UntypedStorage.from_file(str(tmp_path / "none"), False, 4)
    (tmp_path / "short").write_bytes(b"ab")
    with pytest.raises(ValueError):
        torch.UntypedStorage.from_file(str(tmp_path / "short"), False, 4)


def test_bytes_of_a_tensor():
    def look(t):
        x = t.tensor([1.0, 2.0], dtype=t.float32)
        s = x.untyped_storage()
        return len(s), s[3], s[-1], s[4:].nbytes(), x.storage().untyped().nbytes()

    ours, theirs = both(look)
    assert ours == theirs
