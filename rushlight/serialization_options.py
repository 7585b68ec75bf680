"""torch.serialization's smaller names: options of files, where storages lie, what a file would need to be allowed."""

from __future__ import annotations

import contextlib
import enum
import inspect
import pickletools
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .storage import TypedStorage
from .storage import TypedStorage as StorageType
from .trace.construct import TYPED_TENSORS
from .trace.device import NoCuda

_options: dict[str, Any] = {"crc32": True, "endianness": None, "mmap": 2}


class LoadEndianness(enum.Enum):
    """The order of bytes to assume of a file that does not say it.

    >>> torch.serialization.LoadEndianness.LITTLE.value
    2
    """

    NATIVE = 1
    LITTLE = 2
    BIG = 3


class SourceChangeWarning(Warning):
    """PyTorch's warning of a module whose source differs from its file's. Nothing warns so here.

    >>> issubclass(torch.serialization.SourceChangeWarning, Warning)
    True
    """


def get_crc32_options() -> bool:
    """What `set_crc32_options` was told."""
    return _options["crc32"]


def set_crc32_options(compute_crc32: bool) -> None:
    """Accepted: checksums are always written."""
    _options["crc32"] = compute_crc32


def get_default_load_endianness() -> LoadEndianness | None:
    """What `set_default_load_endianness` was told."""
    return _options["endianness"]


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Accepted: files say their order of bytes. TypeError for what is no LoadEndianness."""
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _options["endianness"] = endianness


def get_default_mmap_options() -> int:
    """What `set_default_mmap_options` was told; mmap.MAP_PRIVATE at first."""
    return _options["mmap"]


class set_default_mmap_options:
    """Accepted: files are read with private pages. Also a context manager.

    >>> with torch.serialization.set_default_mmap_options(1):
    ...     torch.serialization.get_default_mmap_options()
    1
    """

    def __init__(self, flags: int) -> None:
        self.before, _options["mmap"] = _options["mmap"], flags

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: Any) -> None:
        _options["mmap"] = self.before


class skip_data:
    """PyTorch's way to write or read a file without its values. Raises RuntimeError when called."""

    def __init__(self, materialize_fake_tensors: bool = False) -> None:
        raise RuntimeError("skip_data: files are written and read with their values; use torch.load(..., mmap=True)")


def check_module_version_greater_or_equal(module: Any, req_version_tuple: tuple, error_if_malformed: bool = True) -> bool:
    """Whether a module's `__version__` is at least a tuple of numbers."""
    try:
        found = tuple([type(want)(part) for want, part in zip(req_version_tuple, module.__version__.split("."), strict=False)])
    except Exception as e:
        if error_if_malformed:
            raise RuntimeError(f"'{module.__name__}' module version string is malformed '{module.__version__}'") from e
        return True
    return found >= req_version_tuple


def location_tag(storage: Any) -> str:
    """Where a storage is: "cpu"."""
    return "cpu"


def default_restore_location(storage: Any, location: str) -> Any:
    """The storage, which is on the CPU; RuntimeError for another place."""
    if str(location) not in ("cpu", ""):
        raise RuntimeError(f"don't know how to restore data location of {type(storage).__name__} (tagged with {location})")
    return storage


def register_package(priority: int, tagger: Callable, deserializer: Callable) -> None:
    """Accepted: there is one place for storages, the CPU."""


def validate_cuda_device(location: str) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise NoCuda


def validate_hpu_device(location: str) -> NoReturn:
    """Raises RuntimeError: there is no such device."""
    raise RuntimeError("Attempting to deserialize object on an HPU device: this version computes on the CPU only")


def normalize_storage_type(storage_type: Any) -> Any:
    """The class itself."""
    return storage_type


def storage_to_tensor_type(storage: TypedStorage) -> Any:
    """`torch.FloatTensor` of a storage of float32, and so on."""
    return next(t for t in TYPED_TENSORS.values() if t.dtype is storage.dtype)


@contextlib.contextmanager
def mkdtemp() -> Iterator[str]:
    """A folder that is gone after the block."""
    path = tempfile.mkdtemp()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def get_source_lines_and_file(obj: Any, error_msg: str | None = None) -> tuple[list[str], int, str | None]:
    """The source lines of a function or class, the first one's number, the file. OSError without them."""
    try:
        lines, number = inspect.getsourcelines(obj)
        return lines, number, inspect.getsourcefile(obj)
    except OSError as e:
        raise OSError(f"Can't get source for {obj}. {error_msg or ''}".strip()) from e


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names in a file that `torch.load` would refuse; nothing of the file is run.

    >>> import tempfile
    >>> from fractions import Fraction
    >>> path = tempfile.mkdtemp() + "/third.pt"
    >>> torch.save(Fraction(1, 3), path)
    >>> torch.serialization.get_unsafe_globals_in_checkpoint(path)
    ['fractions.Fraction']
    """
    from . import serialization

    with zipfile.ZipFile(f) as z:
        data = z.read(next(n for n in z.namelist() if n.endswith("/data.pkl")))
    found: list[str] = []
    strings: list[str] = []
    for opcode, value, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            found.append(str(value).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            found.append(".".join(strings[-2:]))
        elif isinstance(value, str):
            strings.append(value)
    return [name for name in dict.fromkeys(found) if not serialization.is_allowed(name)]


__all__ = [
    "LoadEndianness", "SourceChangeWarning", "StorageType", "check_module_version_greater_or_equal", "default_restore_location",
    "get_crc32_options", "get_default_load_endianness", "get_default_mmap_options", "get_source_lines_and_file",
    "get_unsafe_globals_in_checkpoint", "location_tag", "mkdtemp", "normalize_storage_type", "register_package",
    "set_crc32_options", "set_default_load_endianness", "set_default_mmap_options", "skip_data", "storage_to_tensor_type",
    "validate_cuda_device", "validate_hpu_device",
]
