"""The folder of object files that processes share, and its bound.

A file's name is the hash of everything that its content depends on, so it is never wrong, and losing it costs
a compilation and nothing else. That is what makes sharing simple: files appear by rename and are checked when
read, any process may remove any file at any time, and there are no locks. Nothing here fails a program: a
folder that cannot be read or written is one that keeps nothing.

RUSHLIGHT_CACHE names the folder. RUSHLIGHT_CACHE_SIZE is its bound in MB (256 by default, about 40,000
kernels; 0 keeps none). When it is passed, the files that were used least recently go, until three quarters are left.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
import warnings
from pathlib import Path

MAGIC = b"rushlight object 1\n"
HEAD = len(MAGIC) + 32  # and the body's SHA-256
MEGABYTES = 256
KEPT = 0.75  # of the bound, when it has been passed
LOOKS = 8  # the folder is looked through about so many times while it fills up to the bound
DAY = 86400.0  # seconds: uses closer to each other are not told apart, and a temporary file of that age is abandoned


def folder() -> Path:
    """Where object files are kept: $RUSHLIGHT_CACHE, or the user's cache folder."""
    given = os.environ.get("RUSHLIGHT_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rushlight" / "kernels"


def bound() -> int:
    """Bytes that the folder may take: $RUSHLIGHT_CACHE_SIZE in MB."""
    given = os.environ.get("RUSHLIGHT_CACHE_SIZE", "")
    try:
        megabytes = float(given or MEGABYTES)
        if 0 <= megabytes < float("inf"):
            return int(megabytes * 1e6)
    except ValueError:
        pass
    warnings.warn(f"RUSHLIGHT_CACHE_SIZE is {given!r}, not a number of megabytes; {MEGABYTES} is taken",
                  stacklevel=2)
    return int(MEGABYTES * 1e6)


def path_of(key: str) -> Path:
    """The file of the object with a hash."""
    return folder() / f"{key}.o"


def read(key: str) -> bytes | None:
    """A kept object, or None if it is missing or damaged. Notes that it was used."""
    path = path_of(key)
    try:
        with path.open("rb") as f:
            content = f.read()
            age = time.time() - os.fstat(f.fileno()).st_mtime
    except OSError:
        return None
    body = body_of(content)
    if body is not None and abs(age) > DAY:  # a clock that was ahead must not keep it for ever
        try:
            os.utime(path)
        except OSError:
            pass
    return body


def write(key: str, body: bytes) -> None:
    """Keep an object, now and then removing old ones; a folder that cannot be written is no error."""
    path = path_of(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, MAGIC + hashlib.sha256(body).digest() + body)
        # Short processes would never count up to a LOOKS-th of the bound. So each write draws, and the
        # hash is the draw: as good as a random number, and no generator of the program is disturbed.
        if int(key[:8], 16) / 2**32 * bound() <= LOOKS * occupied(path.stat()):
            trim()
    except OSError:
        pass


def put(path: Path, content: bytes) -> None:
    """Write a file so that others see it whole or not at all. OSError if that cannot be done."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(content)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def body_of(content: bytes) -> bytes | None:
    """The object in a cache file's content; None if it does not check."""
    head, body = content[:HEAD], content[HEAD:]
    if head[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != head[len(MAGIC) :]:
        return None
    return body


def is_kernel_name(name: str) -> bool:
    """Whether a file name is one that the cache gives."""
    return re.fullmatch(r"[0-9a-f]{64}\.o", name) is not None


def occupied(stat: os.stat_result) -> int:
    """Bytes of the disk that a file takes: whole blocks, where the system tells them."""
    return max(getattr(stat, "st_blocks", 0) * 512, stat.st_size)


def entries() -> list[tuple[float, int, str]]:
    """(time of the last use, bytes of the disk, path) of each kernel and abandoned temporary file."""
    found = []
    try:
        with os.scandir(folder()) as files:
            for file in files:
                if not file.name.endswith(".tmp") and not is_kernel_name(file.name):
                    continue
                try:
                    stat = file.stat(follow_symlinks=False)
                except OSError:  # another process has just removed it
                    continue
                if file.name.endswith(".o") or time.time() - stat.st_mtime > DAY:
                    found.append((stat.st_mtime, occupied(stat), file.path))
    except OSError:
        pass
    return found


def trim() -> int:
    """If the folder has passed its bound, remove what was used least recently; how many files went.

    Processes that do it at once choose the same files.
    """
    found, most = entries(), bound()
    room = KEPT * most if sum(size for _, size, _ in found) > most else float("inf")
    removed = 0
    for _, size, path in sorted(found, reverse=True):
        room -= size
        if room < 0:
            try:
                os.unlink(path)
                removed += 1
            except OSError:  # gone already, in use (Windows), or not ours
                pass
    return removed
