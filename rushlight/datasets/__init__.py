"""Data sets of pictures: MNIST, FashionMNIST, CIFAR10. Files are looked for, then downloaded.

Order: `$RUSHLIGHT_DATA`, the user's cache (`~/.cache/rushlight`), `../shared/data` beside the project, the
network. Downloads are verified by checksum and appear complete or not at all. Read `files.py` first.
"""

from .pictures import CIFAR10, MNIST, Digits, FashionMNIST
from .transforms import Compose, Normalize, ToTensor

__all__ = ["CIFAR10", "Compose", "Digits", "FashionMNIST", "MNIST", "Normalize", "ToTensor"]
