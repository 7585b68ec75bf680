"""Data sets and what prepares them: pictures, transforms, text. Files are looked for, then downloaded.

Order: a data set's `root`, `$RUSHLIGHT_DATA`, the user's cache (`~/.cache/rushlight`), `../shared/data`
beside the project, the network. Downloads appear complete or not at all; those of pictures are verified by checksum.
`files.py` finds and reads files; `pictures.py`, `cifar.py` and `folder.py` are data sets with
torchvision's interfaces, `transforms/` its transforms, `text/` vocabularies, batches and sets of text.
"""

from . import text, transforms
from .cifar import CIFAR10, CIFAR100
from .files import DataFileError
from .folder import DatasetFolder, ImageFolder
from .pictures import KMNIST, MNIST, Digits, FashionMNIST, VisionDataset
from .transforms import Compose, Normalize, ToTensor

__all__ = [
    "CIFAR10", "CIFAR100", "Compose", "DataFileError", "DatasetFolder", "Digits", "FashionMNIST",
    "ImageFolder", "KMNIST", "MNIST", "Normalize", "ToTensor", "VisionDataset", "text",
    "transforms",
]
