"""Picture data sets, as torchvision offers them: samples are (picture, label)."""

from __future__ import annotations

import numpy as np

from ..trace.tensor import Tensor, wrap
from ..utils.data.dataset import Dataset
from . import files
from .transforms import ToTensor


class _Pictures(Dataset):
    """Pictures and labels held as uint8 and int64 tensors."""

    classes: list[str] = []

    def __init__(self, pictures: np.ndarray, labels: np.ndarray, transform, target_transform):
        self.data: Tensor = wrap(pictures)
        self.targets: Tensor = wrap(labels.astype(np.int64))
        self._pictures, self._labels = pictures, labels.astype(np.int64)
        self.transform, self.target_transform = transform, target_transform

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int):
        picture, label = self._pictures[index], int(self._labels[index])
        if self.transform is not None:
            picture = self.transform(picture)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return picture, label

    def __getitems__(self, indices):
        return [self[i] for i in indices]


class MNIST(_Pictures):
    """70,000 handwritten digits, 28x28 (LeCun, Cortes, Burges).

    root: a folder to look in first. train: the 60,000 for training or the 10,000 for testing.
    Raises files.DataFileError if the files are neither found nor downloaded, or corrupt.
    """

    name = "mnist"
    classes = [str(i) for i in range(10)]
    urls = files.MNIST_URLS
    checksums = files.MNIST_MD5

    def __init__(self, root=None, train: bool = True, transform=None, target_transform=None,
                 download: bool = True):
        part = "train" if train else "t10k"
        arrays = []
        for kind in ("images-idx3", "labels-idx1"):
            file = f"{part}-{kind}-ubyte.gz"
            path = files.find(self.name, file, root)
            if path is None:
                if not download:
                    raise files.DataFileError(
                        f"{file} was not found in {[str(f) for f in files.folders(root)]}"
                    )
                folder = files.cache_folder() / self.name
                path = files.download(self.urls, file, self.checksums[file], folder)
            arrays.append(files.read_idx(path))
        pictures, labels = arrays
        if len(pictures) != len(labels):
            raise files.DataFileError(
                f"{self.name}: {len(pictures)} pictures but {len(labels)} labels"
            )
        super().__init__(pictures, labels, transform, target_transform)


class FashionMNIST(MNIST):
    """70,000 pictures of clothes in MNIST's format (Xiao, Rasul, Vollgraf, 2017)."""

    name = "fashion-mnist"
    urls = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    checksums = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
               "Bag", "Ankle boot"]


class CIFAR10(_Pictures):
    """Colour pictures of ten classes, 32x32 (Krizhevsky, 2009), from the binary version's files.

    Uses as many of data_batch_1 to 5 as are there. Pictures are (H, W, C).
    """

    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
               "truck"]

    def __init__(self, root=None, train: bool = True, transform=None, target_transform=None,
                 download: bool = False):
        names = [f"data_batch_{i}.bin.gz" for i in range(1, 6)] if train else ["test_batch.bin.gz"]
        rows = []
        for n in names:
            path = files.find("cifar10", n, root) or files.find("cifar-10-batches-bin", n, root)
            if path is None:
                continue
            raw = np.frombuffer(files.content(path), np.uint8)
            if len(raw) == 0 or len(raw) % 3073:
                raise files.DataFileError(
                    f"{path} is cut short or corrupt: {len(raw)} bytes is no multiple of 3073"
                )
            rows.append(raw.reshape(-1, 3073))
        if not rows:
            raise files.DataFileError(
                f"no CIFAR-10 file was found in {[str(f) for f in files.folders(root)]}"
            )
        table = np.concatenate(rows)
        pictures = table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        super().__init__(np.ascontiguousarray(pictures), table[:, 0], transform, target_transform)


class Digits(_Pictures):
    """scikit-learn's 1,797 digits, 8x8, enlarged to 28x28: when there is no MNIST."""

    classes = [str(i) for i in range(10)]

    def __init__(self, root=None, train: bool = True, transform=None, target_transform=None):
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise files.DataFileError(
                "scikit-learn is not installed: pip install 'rushlight[data]'"
            ) from None
        d = load_digits()
        big = np.kron(d.images, np.ones((3, 3))) * (255 / 16)
        big = np.pad(big, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
        cut = slice(0, 1500) if train else slice(1500, None)
        super().__init__(big[cut], d.target[cut], transform, target_transform)


__all__ = ["CIFAR10", "Digits", "FashionMNIST", "MNIST", "ToTensor"]
