"""Picture data sets, with torchvision's interface: samples are (picture, label).

A picture is one of Pillow's images; without Pillow, or when the transform begins with ToTensor or
PILToTensor (which give the same of either), it is a NumPy array (H, W) or (H, W, C).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from ..trace.tensor import Tensor, wrap
from ..utils.data.dataset import Dataset
from . import files
from .transforms import Compose, ToTensor


def takes_arrays(transform) -> bool:
    """Whether a transform wants no image of Pillow's."""
    while type(transform) is Compose and transform.transforms:
        transform = transform.transforms[0]
    return getattr(transform, "takes_arrays", False)


class VisionDataset(Dataset):
    """Base class of picture data sets: root, transform, target_transform.

    transform: called with a picture. target_transform: called with a label. transforms: called with both,
    instead of the two. Raises ValueError if both kinds are given.

    >>> from rushlight import datasets
    >>> datasets.VisionDataset("pictures", target_transform=str).target_transform(3)
    '3'
    """

    def __init__(self, root=None, transforms=None, transform=None, target_transform=None):
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError(
                "Only transforms or transform/target_transform can be passed as argument"
            )
        self.root = root
        self.transforms = transforms
        self.transform, self.target_transform = transform, target_transform

    def transformed(self, picture, label):
        """A sample after its transforms."""
        if self.transforms is not None:
            return self.transforms(picture, label)
        if self.transform is not None:
            picture = self.transform(picture)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return picture, label

    def __len__(self) -> int:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """A line for `repr`."""
        return ""

    def __repr__(self) -> str:
        lines = [f"Dataset {type(self).__name__}", f"    Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"    Root location: {self.root}")
        lines += [f"    {line}" for line in self.extra_repr().splitlines()]
        if self.transform is not None:
            lines.append(f"    Transform: {self.transform!r}")
        return "\n".join(lines)


class _Pictures(VisionDataset):
    """Pictures and labels held in memory."""

    classes: list[str] = []

    def __init__(self, pictures: np.ndarray, labels: np.ndarray, transform, target_transform,
                 root=None, train: bool | None = None):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self._pictures, self._labels = pictures, labels.astype(np.int64)
        self.train = train
        self.data, self.targets = self._shown()

    def _shown(self):
        return wrap(self._pictures), wrap(self._labels)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Labels by name."""
        return {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int):
        picture, label = self._pictures[index], int(self._labels[index])
        if not takes_arrays(self.transform) and _has_pillow():
            from .transforms.pictures import pillow

            picture = pillow().fromarray(picture)
        return self.transformed(picture, label)

    def extra_repr(self) -> str:
        return "" if self.train is None else f"Split: {'Train' if self.train else 'Test'}"


def _has_pillow() -> bool:
    return importlib.util.find_spec("PIL") is not None


class MNIST(_Pictures):
    """70,000 handwritten digits, 28x28 (LeCun, Cortes, Burges).

    root: a folder to look in first, also for torchvision's `MNIST/raw`. train: the 60,000 for training or
    the 10,000 for testing. transform, target_transform: called with a picture, a label. download: fetch
    the files if they are not there, into root or the user's cache. `data` (uint8) and `targets` (int64)
    are tensors. `MNIST(transform=ToTensor())[0]` is a (1, 28, 28) picture and its digit.

    Raises files.DataFileError (a RuntimeError) if the files are neither found nor downloaded, or corrupt.

    >>> from rushlight import datasets
    >>> datasets.MNIST.classes[7]
    '7 - seven'
    """

    name = "mnist"
    classes = ["0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six",
               "7 - seven", "8 - eight", "9 - nine"]
    urls: tuple[str, ...] = files.MNIST_URLS
    checksums = files.MNIST_MD5
    data: Tensor
    targets: Tensor

    def __init__(self, root=None, train: bool = True, transform=None, target_transform=None,
                 download: bool = True):
        part = "train" if train else "t10k"
        raw = f"{type(self).__name__}/raw"
        arrays = []
        for kind in ("images-idx3", "labels-idx1"):
            file = f"{part}-{kind}-ubyte.gz"
            path = files.find(self.name, file, root, (raw,))
            if path is None:
                if not download:
                    raise files.DataFileError(
                        f"Dataset not found: there is no {file} in "
                        f"{[str(f) for f in files.folders(root)]}. You can use download=True to "
                        "download it"
                    )
                folder = Path(root) / raw if root is not None else files.cache_folder() / self.name
                path = files.download(self.urls, file, self.checksums[file], folder)
            arrays.append(files.read_idx(path))
        pictures, labels = arrays
        if len(pictures) != len(labels):
            raise files.DataFileError(
                f"{self.name}: {len(pictures)} pictures but {len(labels)} labels"
            )
        super().__init__(pictures, labels, transform, target_transform, root, train)


class FashionMNIST(MNIST):
    """70,000 pictures of clothes in MNIST's format (Xiao, Rasul, Vollgraf, 2017); see MNIST.

    >>> from rushlight import datasets
    >>> datasets.FashionMNIST.classes[9]
    'Ankle boot'
    """

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


class KMNIST(MNIST):
    """70,000 cursive Japanese characters in MNIST's format (Clanuwat et al., 2018); see MNIST.

    >>> from rushlight import datasets
    >>> datasets.KMNIST.classes[:3]
    ['o', 'ki', 'su']
    """

    name = "kmnist"
    urls = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    checksums = {
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    }
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


class Digits(_Pictures):
    """scikit-learn's 1,797 digits, 8x8, enlarged to 28x28: when there is no MNIST.

    Raises files.DataFileError if scikit-learn is not installed.

    >>> from rushlight import datasets
    >>> digits = datasets.Digits(train=False, transform=datasets.ToTensor())
    >>> len(digits), digits[0][0].shape
    (297, torch.Size([1, 28, 28]))
    """

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
        super().__init__(big[cut], d.target[cut], transform, target_transform, None, train)


__all__ = ["Digits", "FashionMNIST", "KMNIST", "MNIST", "ToTensor", "VisionDataset"]
