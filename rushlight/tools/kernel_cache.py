"""The kernels kept on disk: what there is, and taking them to another machine of the same kind."""

from __future__ import annotations

import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..compile.llvm import disk_cache


@dataclass(frozen=True)
class Contents:
    """What a cache folder holds."""

    folder: Path
    files: int
    nbytes: int  # of the disk
    bound: int  # bytes; when it is passed, kernels not used for long go ($RUSHLIGHT_CACHE_SIZE)

    def __str__(self) -> str:
        return (f"{self.folder}: {self.files} kernels, {self.nbytes / 1e6:.1f} MB "
                f"of at most {self.bound / 1e6:g} MB")


def _kernels() -> list[Path]:
    return sorted(Path(path) for _, _, path in disk_cache.entries() if path.endswith(".o"))


def show() -> Contents:
    """Where compiled kernels are kept, how many, how large, and how large they may become."""
    sizes = [size for _, size, path in disk_cache.entries() if path.endswith(".o")]
    return Contents(disk_cache.folder(), len(sizes), sum(sizes), disk_cache.bound())


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
    target, written = Path(archive), 0
    handle, temporary = tempfile.mkstemp(dir=target.absolute().parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as f, tarfile.open(fileobj=f, mode="w:gz") as tar:
            for path in found:
                try:
                    tar.add(path, arcname=path.name)
                    written += 1
                except FileNotFoundError:  # another process has just removed it
                    pass
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return written


def load(archive: str | os.PathLike) -> int:
    """Take the kernels of an exported file into the cache; returns how many were whole.

    ValueError if it is no such file. Only files with a kernel's name and a valid checksum are taken. They
    count as used now; if the cache passes its bound with them, kernels not used for long go.
    """
    folder = disk_cache.folder()
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = member.name
                if not member.isfile() or not disk_cache.is_kernel_name(name):
                    continue
                content = tar.extractfile(member).read()
                if disk_cache.body_of(content) is not None:
                    disk_cache.put(folder / name, content)
                    taken += 1
    except (tarfile.TarError, EOFError, OSError) as e:
        if isinstance(e, FileNotFoundError):
            raise
        raise ValueError(f"{os.fspath(archive)} is no whole archive of kernels: {e}") from None
    disk_cache.trim()
    return taken
