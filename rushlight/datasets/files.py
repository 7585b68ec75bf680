"""Finding, downloading and reading data files."""

from __future__ import annotations

import contextlib
import fnmatch
import gzip
import hashlib
import http.client
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

MNIST_URLS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
# Of files and folders of text: (address, what of an archive it is). They are looked for, and kept, under these names.
TEXT_SOURCES = {
    "text/tinyshakespeare.txt": ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt", ""),
    **{f"text/rt-polarity.{end}": ("https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz",
                                   f"*/rt-polarity.{end}") for end in ("neg", "pos")},
    **{f"translation/{part}.{language}.gz": (f"https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/{part}.{language}.gz", "")
       for part in ("train", "val", "test_2016_flickr") for language in ("de", "en")},
    "names": ("https://download.pytorch.org/tutorial/data.zip", "*/names/*.txt"),
}


class DataFileError(RuntimeError):
    """A data file is missing, cut short or corrupt.

    >>> import pathlib, tempfile
    >>> from rushlight.datasets import DataFileError, text
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "eng-fra.txt").write_text("Go! Va !")
    >>> try:
    ...     pairs = text.EnglishFrench(root)
    ... except DataFileError as error:
    ...     print(str(error).removeprefix(str(root)))
    /eng-fra.txt, line 1: no tab between two sentences
    """


def cache_folder() -> Path:
    """The user's cache for data files."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "rushlight"


def folders(root=None) -> list[Path]:
    """Where data sets are looked for, in order."""
    found = [Path(root)] if root is not None else []
    if os.environ.get("RUSHLIGHT_DATA"):
        found.append(Path(os.environ["RUSHLIGHT_DATA"]))
    found.append(cache_folder())
    found.append(Path(__file__).resolve().parents[2].parent / "shared" / "data")
    return found


def find(name: str, file: str, root=None, inside=()) -> Path | None:
    """The path of a data set's file, plain or gzipped, or None; `inside`: further folders to look in."""
    for folder in folders(root):
        for place in (folder / name, folder, *(folder / i for i in inside)):
            for candidate in (file, file.removesuffix(".gz")):
                path = place / candidate
                if path.is_file():
                    return path
    return None


def download(urls, file: str, md5: str | None, folder: Path, timeout: float = 15.0) -> Path:
    """Fetch a file into `folder`, checked against its MD5 sum if there is one; nothing is left behind on failure.

    Raises DataFileError naming every source that was tried.
    """
    import urllib.request

    tried: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file
    partial = folder / f".{file}.{os.getpid()}.partial"
    for left in folder.glob(f".{file}.*.partial"):  # by a process that was killed
        if not _runs(left.name.split(".")[-2]):
            with contextlib.suppress(OSError):
                left.unlink()
    for url in urls:
        try:
            checksum = hashlib.md5()
            with (
                urllib.request.urlopen(url + file, timeout=timeout) as source,
                open(partial, "wb") as kept,
            ):
                while part := source.read(1 << 20):
                    checksum.update(part)
                    kept.write(part)
                announced = source.headers.get("Content-Length")
                if announced is not None and kept.tell() != int(announced):
                    tried.append(f"{url}: cut short, {kept.tell()} of {announced} bytes")
                    continue
            if md5 is not None and checksum.hexdigest() != md5:
                tried.append(f"{url}: wrong checksum {checksum.hexdigest()}, expected {md5}")
                continue
            os.replace(partial, target)
            return target
        except (OSError, http.client.HTTPException) as e:
            tried.append(f"{url}: {e}")
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
    raise DataFileError(f"could not download {file}:\n  " + "\n  ".join(tried))


def text_source(name: str, root=None) -> Path:
    """The path of one of TEXT_SOURCES: where it is found, or else in root or the user's cache, downloaded.

    Raises DataFileError if it is neither found nor downloaded; nothing is left behind then.
    """
    for folder in folders(root):
        if (folder / name).exists():
            return folder / name
    address, wanted = TEXT_SOURCES[name]
    target = (Path(root) if root is not None else cache_folder()) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    base, _, file = address.rpartition("/")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as place:
        try:
            made = download((base + "/",), file, None, Path(place))
            if wanted:
                made = _unpacked(made, wanted, Path(place), target.suffix == "")
        except DataFileError as e:
            raise DataFileError(f"{name} was not found in {[str(f) for f in folders(root)]}, and fetching it failed: {e}") from None
        try:
            os.replace(made, target)
        except OSError:
            if not target.is_dir():  # by another process meanwhile
                raise
    return target


def _unpacked(archive: Path, wanted: str, place: Path, several: bool) -> Path:
    """The file of an archive whose name fits the pattern `wanted`; several: a folder of all such files."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as z:
                found = {n: z.read(n) for n in z.namelist() if fnmatch.fnmatch(n, wanted)}
        else:
            with tarfile.open(archive) as t:
                members = [m for m in t.getmembers() if m.isfile() and fnmatch.fnmatch(m.name, wanted)]
                found = {m.name: t.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    except (EOFError, OSError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as e:
        raise DataFileError(f"{archive.name} is cut short or corrupt ({e})") from None
    found = {n: raw for n, raw in found.items() if not Path(n).name.startswith(".")}
    if not found:
        raise DataFileError(f"{archive.name} holds no {wanted}")
    folder = place / "unpacked"
    folder.mkdir()
    for n, raw in found.items():
        (folder / Path(n).name).write_bytes(raw)
    return folder if several else folder / Path(next(iter(found))).name


def _runs(pid: str) -> bool:
    """Whether a process of this number exists (on Windows, as far as one can tell)."""
    if not pid.isdigit() or os.name != "posix":
        return pid == str(os.getpid())
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def content(path: Path) -> bytes:
    """A file's bytes, unpacked if it is gzipped; DataFileError if that fails."""
    raw = path.read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as e:
        raise DataFileError(
            f"{path} is cut short or corrupt ({e}); delete it to have it fetched again"
        ) from None


IDX_TYPES = {8: np.uint8, 9: np.int8, 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """An array from an IDX file (LeCun's format for MNIST); DataFileError says what is wrong."""
    raw = content(Path(path))
    if len(raw) < 4 or raw[0] or raw[1] or raw[2] not in IDX_TYPES:
        raise DataFileError(f"{path} is not an IDX file (it begins with {raw[:4]!r})")
    rank = raw[3]
    start = 4 + 4 * rank
    if len(raw) < start:
        raise DataFileError(f"{path} is cut short: its header has {len(raw)} of {start} bytes")
    shape = struct.unpack(f">{rank}I", raw[4:start])
    kind = np.dtype(IDX_TYPES[raw[2]])
    expected = start + int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if len(raw) != expected:
        raise DataFileError(
            f"{path} is cut short or corrupt: {len(raw)} bytes, {expected} expected for shape "
            f"{shape}"
        )
    return np.frombuffer(raw, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))
