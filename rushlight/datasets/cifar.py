"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from the binary version or from PyTorch users' folders."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from pathlib import Path

import numpy as np

from . import files
from .pictures import _Pictures

SIZE = 3 * 32 * 32


class _Arrays(pickle.Unpickler):
    """Reads pickles that hold arrays, lists and strings, and nothing that could run."""

    def find_class(self, module, name):
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np._core.multiarray._reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            import codecs

            return codecs.encode
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a data file")


class CIFAR10(_Pictures):
    """Colour pictures of ten classes, 32x32: 50,000 for training, 10,000 for testing.

    root: a folder to look in first. Found are the binary version's files (also gzipped), torchvision's
    folder `cifar-10-batches-py`, and archives of either; of the binary files, as many as are there.
    train, transform, target_transform: as in MNIST. download: fetch the binary version's archive (170 MB)
    if nothing is there. `data` is an array (N, 32, 32, 3), `targets` a list.

    Raises files.DataFileError if there are no files or one is corrupt.

    >>> from rushlight import datasets
    >>> datasets.CIFAR10.classes[3]
    'cat'
    """

    name, folders = "cifar10", ("cifar-10-batches-bin", "cifar-10-batches-py")
    url = "https://www.cs.toronto.edu/~kriz/"
    archives = {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
                "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}
    parts = {True: [f"data_batch_{i}" for i in range(1, 6)], False: ["test_batch"]}
    label_bytes, label_key = 1, "labels"
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
               "truck"]
    data: np.ndarray
    targets: list[int]

    def __init__(self, root=None, train: bool = True, transform=None, target_transform=None,
                 download: bool = False):
        found = self._find(root, self.parts[bool(train)])
        if not found and download:
            archive = next(iter(self.archives))
            folder = Path(root) if root is not None else files.cache_folder() / self.name
            files.download((self.url,), archive, self.archives[archive], folder)
            found = self._find(root, self.parts[bool(train)])
        if not found:
            raise files.DataFileError(
                f"no {type(self).__name__} file was found in "
                f"{[str(f) for f in files.folders(root)]}. You can use download=True to download it"
            )
        read = [self._read(where, raw) for where, raw in found]
        labels = np.concatenate([r[0] for r in read])
        planes = np.concatenate([r[1] for r in read]).reshape(-1, 3, 32, 32)
        pictures = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        super().__init__(pictures, labels, transform, target_transform, root, bool(train))

    def _shown(self):
        return self._pictures, self._labels.tolist()

    def _find(self, root, parts) -> list[tuple[str, bytes]]:
        """(where, bytes) of the files that are there, of one version."""
        for ending in (".bin.gz", ""):
            paths = [files.find(self.name, p + ending, root, self.folders) for p in parts]
            if any(paths):
                return [(str(p), files.content(p)) for p in paths if p is not None]
        for archive in self.archives:
            path = files.find(self.name, archive, root)
            if path is not None:
                return self._unpack(path, parts)
        return []

    def _unpack(self, path: Path, parts) -> list[tuple[str, bytes]]:
        found = {}
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    stem = Path(member.name).name.removesuffix(".bin")
                    if member.isfile() and stem in parts:
                        found[stem] = archive.extractfile(member).read()
        except (tarfile.TarError, EOFError, OSError, zlib.error) as e:
            raise files.DataFileError(
                f"{path} is cut short or corrupt ({e}); delete it to have it fetched again"
            ) from None
        if len(found) != len(parts):
            raise files.DataFileError(f"{path} holds only {sorted(found)} of {parts}")
        return [(f"{path}, {p}", found[p]) for p in parts]

    def _read(self, where: str, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
        """(labels, rows of 3072 bytes) of a file of either version."""
        if raw[:1] == b"\x80":  # a pickle of protocol 2 or later; labels are below 128
            try:
                table = _Arrays(io.BytesIO(raw), encoding="latin1").load()
                return np.asarray(table[self.label_key]), np.asarray(table["data"], np.uint8)
            except Exception as e:
                raise files.DataFileError(f"{where} is cut short or corrupt ({e})") from None
        row = self.label_bytes + SIZE
        a = np.frombuffer(raw, np.uint8)
        if len(a) == 0 or len(a) % row:
            raise files.DataFileError(
                f"{where} is cut short or corrupt: {len(a)} bytes is no multiple of {row}"
            )
        table = a.reshape(-1, row)
        labels = table[:, self.label_bytes - 1]
        if labels.max() >= len(self.classes):
            raise files.DataFileError(f"{where} is corrupt: it has a label {labels.max()}")
        return labels, table[:, self.label_bytes :]


class CIFAR100(CIFAR10):
    """Colour pictures of a hundred classes, 32x32; see CIFAR10.

    >>> from rushlight import datasets
    >>> len(datasets.CIFAR100.classes), datasets.CIFAR100.classes[0]
    (100, 'apple')
    """

    name, folders = "cifar100", ("cifar-100-binary", "cifar-100-python")
    archives = {"cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
                "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"}
    parts = {True: ["train"], False: ["test"]}
    label_bytes, label_key = 2, "fine_labels"
    classes = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
        crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
        lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
        oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
        possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
        spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
        train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()


__all__ = ["CIFAR10", "CIFAR100"]
