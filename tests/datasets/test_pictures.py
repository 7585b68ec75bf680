"""Picture data sets with torchvision's interfaces; a folder a class."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest

import rushlight as torch
from rushlight import datasets
from rushlight.datasets import cifar, files, folder


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """Only the test's own files are found."""
    monkeypatch.setattr(files, "folders", lambda root=None: [] if root is None else [files.Path(root)])


def idx(a):
    head = bytes([0, 0, 8, a.ndim]) + b"".join(n.to_bytes(4, "big") for n in a.shape)
    return head + a.astype(np.uint8).tobytes()


DIGITS = np.arange(2 * 28 * 28).reshape(2, 28, 28) % 251


@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.KMNIST, datasets.FashionMNIST])
def test_torchvisions_folders_are_found(tmp_path, kind):
    raw = tmp_path / kind.__name__ / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte").write_bytes(idx(DIGITS))
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([7, 3])))
    data = kind(tmp_path, train=False, target_transform=lambda y: y + 100)
    assert (data.data.dtype, data.targets.tolist()) == (torch.uint8, [7, 3])
    assert data.class_to_idx[data.classes[3]] == 3 and data[1][1] == 103
    assert data[0][0].size == (28, 28) and data[0][0].mode == "L"
    assert f"Dataset {kind.__name__}\n    Number of datapoints: 2" in repr(data)
    arrays = kind(tmp_path, False, datasets.Compose([datasets.ToTensor()]))
    images = kind(tmp_path, False, lambda p: datasets.ToTensor()(p))
    assert torch.equal(arrays[1][0], images[1][0])


def test_missing_files(tmp_path):
    for make in (datasets.MNIST, datasets.CIFAR10, datasets.CIFAR100):
        with pytest.raises(RuntimeError, match="You can use download=True to download it"):
            make(tmp_path, download=False)


def test_download_goes_to_the_root(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    sums = {}
    for name, a in (("train-images-idx3", DIGITS), ("train-labels-idx1", np.array([1, 2]))):
        raw = gzip.compress(idx(a))
        (source / f"{name}-ubyte.gz").write_bytes(raw)
        sums[f"{name}-ubyte.gz"] = hashlib.md5(raw).hexdigest()
    monkeypatch.setattr(datasets.KMNIST, "urls", (source.as_uri() + "/",))
    monkeypatch.setattr(datasets.KMNIST, "checksums", sums)
    assert len(datasets.KMNIST(tmp_path / "a")) == 2
    kept = sorted(p.name for p in (tmp_path / "a/KMNIST/raw").iterdir())
    assert kept == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    (source / "train-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(files.DataFileError, match="wrong checksum"):
        datasets.KMNIST(tmp_path / "b")
    assert [p.name for p in (tmp_path / "b/KMNIST/raw").iterdir()] == kept[:1]


ROWS = np.arange(4 * 3072).reshape(4, 3072) % 253


def binary(labels, extra=()):
    return b"".join(bytes([*extra, y]) + r.astype(np.uint8).tobytes()
                    for y, r in zip(labels, ROWS))


def check_cifar(data, labels):
    assert data.data.shape == (len(labels), 32, 32, 3) and data.targets == labels
    assert data.data[1, 2, 5].tolist() == [ROWS[1, c * 1024 + 2 * 32 + 5] for c in range(3)]
    transformed = data._pictures[0]
    assert transformed.dtype == np.uint8 and isinstance(data[0][1], int)


def test_cifar_in_all_forms(tmp_path):
    plain = tmp_path / "plain/cifar-10-batches-bin"
    plain.mkdir(parents=True)
    (plain / "test_batch.bin").write_bytes(binary([3, 9, 0, 1]))
    check_cifar(datasets.CIFAR10(tmp_path / "plain", train=False), [3, 9, 0, 1])

    pickled = pickle.dumps({"data": ROWS.astype(np.uint8), "labels": [3, 9, 0, 1],
                            "fine_labels": [70, 2, 3, 4]}, protocol=2)
    python = tmp_path / "python/cifar-10-batches-py"
    python.mkdir(parents=True)
    (python / "test_batch").write_bytes(pickled)
    check_cifar(datasets.CIFAR10(tmp_path / "python", train=False), [3, 9, 0, 1])

    def archive(name, members):
        with tarfile.open(tmp_path / name, "w:gz") as t:
            for member, raw in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(raw)
                t.addfile(info, io.BytesIO(raw))

    archive("cifar-10-binary.tar.gz", {"cifar-10-batches-bin/test_batch.bin": binary([1, 2, 3, 4])})
    check_cifar(datasets.CIFAR10(tmp_path, train=False), [1, 2, 3, 4])
    archive("cifar-100-python.tar.gz", {"cifar-100-python/train": pickled})
    check_cifar(datasets.CIFAR100(tmp_path), [70, 2, 3, 4])
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(
        (tmp_path / "cifar-10-binary.tar.gz").read_bytes()[:200])
    with pytest.raises(files.DataFileError, match="cut short or corrupt.*delete it"):
        datasets.CIFAR100(tmp_path)


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("raw,said", [
    (pickle.dumps({"data": Evil()}, protocol=2), "has no place in a data file"),
    (b"\x80\x02short", "corrupt"),
    (b"", "no multiple of 3073"),
    (binary([1])[:-5], "no multiple of 3073"),
    (binary([77]), "it has a label 77"),
])
def test_broken_cifar(tmp_path, raw, said, capsys):
    (tmp_path / "test_batch").write_bytes(raw)
    with pytest.raises(files.DataFileError, match=said):
        datasets.CIFAR10(tmp_path, train=False)
    assert capsys.readouterr().out == ""


@pytest.fixture
def animals(tmp_path):
    for path in ("dog/1.png", "cat/deep/2.PNG", "cat/1.png", "cat/notes.txt"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return tmp_path


def read(path):
    with open(path) as f:
        return f.read()


def test_folders(animals):
    data = datasets.ImageFolder(animals, loader=read)
    assert [s[0] for s in (data[i] for i in range(3))] == ["cat/1.png", "cat/deep/2.PNG", "dog/1.png"]
    assert data.classes == ["cat", "dog"] and data.targets == [0, 0, 1] and data.imgs is data.samples
    chosen = datasets.DatasetFolder(animals, read, is_valid_file=lambda p: "notes" in p,
                                    allow_empty=True)
    assert chosen[0] == ("cat/notes.txt", 0) and len(chosen) == 1
    with pytest.raises(FileNotFoundError, match="classes dog in .*extensions are: .txt"):
        datasets.DatasetFolder(animals, read, ".txt")
    with pytest.raises(FileNotFoundError, match="any class folder"):
        datasets.DatasetFolder(animals / "dog", read, ".png")
    with pytest.raises(ValueError, match="extensions and is_valid_file"):
        folder.make_dataset(animals)


def test_a_broken_picture_is_named(animals):
    from PIL import Image

    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(animals / "cat/1.png")
    data = datasets.ImageFolder(animals, datasets.ToTensor())
    assert data[0][0].shape == (3, 4, 5)
    with pytest.raises(OSError) as e:
        list(torch.utils.data.DataLoader(data, 1))
    assert f"sample 1 (file {animals}/cat/deep/2.PNG)" in e.value.__notes__[0]
    with pytest.raises(OSError, match=r"sample 1 \(file .*/cat/deep/2.PNG\)"):
        list(torch.utils.data.DataLoader(data, 1, num_workers=1))


def test_nothing_else_can_be_unpickled():
    with pytest.raises(pickle.UnpicklingError):
        cifar._Arrays(io.BytesIO(pickle.dumps(print))).load()
