"""Data files: found, read, and clear errors for broken ones."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest

from rushlight import datasets
from rushlight.datasets import files


def idx(shape, values):
    head = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    return head + np.asarray(values, np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHLIGHT_DATA", str(tmp_path))
    place = tmp_path / "mnist"
    place.mkdir()
    pictures = np.arange(2 * 28 * 28) % 251
    (place / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx((2, 28, 28), pictures)))
    (place / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx((2,), [7, 3])))
    return place


def test_mnist_is_found_and_read(folder):
    data = datasets.MNIST(transform=datasets.ToTensor())
    picture, label = data[1]
    assert len(data) == 2 and label == 3 and tuple(picture.shape) == (1, 28, 28)
    assert data.data.dtype.name == "uint8" and data.targets.tolist() == [7, 3]
    assert abs(data[0][0][0, 0, 5].item() - 5 / 255) < 1e-6


@pytest.mark.parametrize("damage", ["cut", "bits", "header", "count"])
def test_broken_files_say_so(folder, damage):
    path = folder / "train-images-idx3-ubyte.gz"
    raw = path.read_bytes()
    if damage == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif damage == "bits":
        path.write_bytes(raw[:-12] + bytes(12))
    elif damage == "header":
        path.write_bytes(gzip.compress(b"not an idx file"))
    else:
        path.write_bytes(gzip.compress(idx((2, 28, 28), range(100))))
    with pytest.raises(files.DataFileError, match="train-images"):
        datasets.MNIST()


def test_a_failed_download_leaves_nothing(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.gz").write_bytes(b"wrong")
    target = tmp_path / "target"
    with pytest.raises(files.DataFileError, match="wrong checksum"):
        files.download([source.as_uri() + "/"], "a.gz", "0" * 32, target)
    with pytest.raises(files.DataFileError, match="could not download"):
        files.download([source.as_uri() + "/"], "missing.gz", "0" * 32, target)
    assert list(target.iterdir()) == []


def test_what_a_killed_download_left_goes_with_the_next(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".a.gz.{dead.pid}.partial"
    left.write_bytes(b"half")
    going_on = tmp_path / f".a.gz.{os.getppid()}.partial"
    going_on.write_bytes(b"half")
    with pytest.raises(files.DataFileError):
        files.download([tmp_path.as_uri() + "/nowhere/"], "a.gz", "0" * 32, tmp_path)
    assert not left.exists() and going_on.exists()


def test_places_in_order(tmp_path, monkeypatch):
    """A root that is given, then $RUSHLIGHT_DATA, then the user's cache, then ../shared/data."""
    monkeypatch.setenv("RUSHLIGHT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = [tmp_path / "root", tmp_path / "data", tmp_path / "cache" / "rushlight"]
    assert files.folders(places[0])[:3] == places
    assert files.folders()[-1].parts[-2:] == ("shared", "data")
    for place in reversed(places):
        (place / "mnist").mkdir(parents=True)
        path = place / "mnist" / "found-here-ubyte"
        path.write_bytes(b"")
        assert files.find("mnist", "found-here-ubyte.gz", places[0]) == path


def test_a_download_is_checked_and_kept(tmp_path):
    import hashlib

    (tmp_path / "a.gz").write_bytes(b"right")
    path = files.download([tmp_path.as_uri() + "/"], "a.gz", hashlib.md5(b"right").hexdigest(),
                          tmp_path / "target")
    assert path.read_bytes() == b"right"
