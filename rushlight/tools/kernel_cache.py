"""The kernels kept on disk: what there is, and taking them to another machine of the same kind."""

from __future__ import annotations

import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..compile.llvm import objects


@dataclass(frozen=True)
class Contents:
    """What a cache folder holds."""

    folder: Path
    files: int
    nbytes: int

    def __str__(self) -> str:
        return f"{self.folder}: {self.files} kernels, {self.nbytes / 1e6:.1f} MB"


def _kernels() -> list[Path]:
    folder = objects.cache_folder()
    return sorted(folder.glob("*.o")) if folder.is_dir() else []


def show() -> Contents:
    """Where compiled kernels are kept, how many, and how large."""
    found = _kernels()
    return Contents(objects.cache_folder(), len(found), sum(p.stat().st_size for p in found))


def clear() -> int:
    """Delete all kernels; returns how many there were. They are compiled again when needed."""
    found = _kernels()
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def export(archive: str | os.PathLike) -> int:
    """Write all kernels into a .tar.gz file; returns their number.

    Each is kept under a hash of its source, the processor and the versions, so on a machine of another
    kind they are not used, and not wrong.
    """
    found = _kernels()
    target = Path(archive)
    handle, temporary = tempfile.mkstemp(dir=target.absolute().parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as f, tarfile.open(fileobj=f, mode="w:gz") as tar:
            for path in found:
                tar.add(path, arcname=path.name)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return len(found)


def load(archive: str | os.PathLike) -> int:
    """Take the kernels of an exported file into the cache; returns how many were whole.

    ValueError if it is no such file. Only files with a kernel's name and a valid checksum are taken.
    """
    folder = objects.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = member.name
                if not member.isfile() or not objects.is_kernel_name(name):
                    continue
                content = tar.extractfile(member).read()
                if objects.body_of(content) is not None:
                    objects.put(folder / name, content)
                    taken += 1
    except (tarfile.TarError, EOFError, OSError) as e:
        if isinstance(e, FileNotFoundError):
            raise
        raise ValueError(f"{os.fspath(archive)} is no whole archive of kernels: {e}") from None
    return taken
