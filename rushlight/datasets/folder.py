"""Data sets of files in one folder a class."""

from __future__ import annotations

import os
from collections.abc import Callable

from .pictures import VisionDataset
from .transforms.pictures import pillow

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def pil_loader(path):
    """A picture file as an RGB image. ImportError without Pillow, OSError for a broken file."""
    with open(path, "rb") as f:
        return pillow().open(f).convert("RGB")


default_loader = pil_loader


def find_classes(directory) -> tuple[list[str], dict[str, int]]:
    """The sorted names of the folders in a folder, and their numbers. FileNotFoundError if none."""
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
    return classes, {name: i for i, name in enumerate(classes)}


def make_dataset(directory, class_to_idx: dict[str, int] | None = None, extensions=None,
                 is_valid_file: Callable | None = None, allow_empty: bool = False):
    """A sorted list of (path, class) of the files below `directory`, a folder a class.

    Either extensions or is_valid_file chooses files: ValueError otherwise. FileNotFoundError for a class
    without files unless allow_empty.
    """
    directory = os.path.expanduser(directory)
    if class_to_idx is None:
        _, class_to_idx = find_classes(directory)
    elif not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ValueError(
            "Both extensions and is_valid_file cannot be None or not None at the same time"
        )
    if is_valid_file is None:
        endings = (extensions,) if isinstance(extensions, str) else tuple(extensions)

        def is_valid_file(path):
            return path.lower().endswith(endings)

    found: list[tuple[str, int]] = []
    empty = []
    for name in sorted(class_to_idx):
        before = len(found)
        for folder, _, names in sorted(os.walk(os.path.join(directory, name), followlinks=True)):
            paths = (os.path.join(folder, n) for n in sorted(names))
            found += [(p, class_to_idx[name]) for p in paths if is_valid_file(p)]
        if len(found) == before:
            empty.append(name)
    if empty and not allow_empty:
        text = f"Found no valid file for the classes {', '.join(empty)} in {directory}."
        if extensions is not None:
            text += f" Supported extensions are: {', '.join(endings)}"
        raise FileNotFoundError(text)
    return found


class DatasetFolder(VisionDataset):
    """Files below `root/class/`, read with a function.

    root: the folder. loader: called with a path. extensions, or is_valid_file(path): which files.
    transform, target_transform: called with what loader returns, the class's number. allow_empty: a
    class may have no files. `samples` are (path, class); also `classes`, `class_to_idx`, `targets`.
    An exception in the loader or a transform is told the file's path.

    Raises FileNotFoundError without folders, or for classes without files.

    >>> import os, tempfile
    >>> from rushlight import datasets
    >>> root = tempfile.mkdtemp()
    >>> for path in ("cat/1.txt", "dog/2.txt"):
    ...     os.makedirs(os.path.dirname(f"{root}/{path}"))
    ...     _ = open(f"{root}/{path}", "w").write(path)
    >>> animals = datasets.DatasetFolder(root, lambda p: open(p).read(), extensions=".txt")
    >>> animals[1], animals.classes
    (('dog/2.txt', 1), ['cat', 'dog'])
    """

    def __init__(self, root, loader: Callable, extensions=None, transform=None,
                 target_transform=None, is_valid_file: Callable | None = None,
                 allow_empty: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.classes, self.class_to_idx = self.find_classes(root)
        self.samples = self.make_dataset(
            root, self.class_to_idx, extensions, is_valid_file, allow_empty
        )
        self.targets = [target for _, target in self.samples]
        self.loader, self.extensions = loader, extensions

    @staticmethod
    def make_dataset(directory, class_to_idx, extensions=None, is_valid_file=None,
                     allow_empty: bool = False):
        """See the function `make_dataset`; to be overridden."""
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def find_classes(self, directory) -> tuple[list[str], dict[str, int]]:
        """See the function `find_classes`; to be overridden."""
        return find_classes(directory)

    def sample_path(self, index: int) -> str:
        """The file of a sample; a DataLoader's errors name it."""
        return self.samples[index][0]

    def __getitem__(self, index: int):
        path, target = self.samples[index]
        return self.transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Pictures below `root/class/`, as RGB images; see DatasetFolder. Reading needs Pillow.

    loader: reads a file, for example without Pillow. `imgs` is `samples`.

    >>> import os, tempfile
    >>> from PIL import Image
    >>> from rushlight import datasets
    >>> root = tempfile.mkdtemp()
    >>> os.mkdir(f"{root}/cat"); Image.new("RGB", (4, 2)).save(f"{root}/cat/1.png")
    >>> picture, label = datasets.ImageFolder(root, datasets.ToTensor())[0]
    >>> picture.shape, label
    (torch.Size([3, 2, 4]), 0)
    """

    def __init__(self, root, transform=None, target_transform=None, loader: Callable = pil_loader,
                 is_valid_file: Callable | None = None, allow_empty: bool = False):
        super().__init__(root, loader, None if is_valid_file else IMG_EXTENSIONS, transform,
                         target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples


__all__ = ["DatasetFolder", "IMG_EXTENSIONS", "ImageFolder", "find_classes", "make_dataset",
           "pil_loader"]
