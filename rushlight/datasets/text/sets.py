"""Sets of text: read from files that are found, or downloaded, as those of pictures are; see `files.py`."""

from __future__ import annotations

from pathlib import Path

import rushlight as torch

from ...utils.data.dataset import Dataset
from .. import files


def _text(folder: str, file: str, root, encoding: str = "utf-8") -> tuple[Path, str]:
    """(path, text) of a file; files.DataFileError if it is not found, cannot be fetched or is not readable."""
    path = files.find(folder, file, root)
    if path is None and f"{folder}/{file}" in files.TEXT_SOURCES:
        path = files.text_source(f"{folder}/{file}", root)
    if path is None:
        raise files.DataFileError(
            f"{file} was not found in {[str(f / folder) for f in files.folders(root)]}"
        )
    raw = files.content(path)
    try:
        return path, raw.decode(encoding)
    except UnicodeDecodeError as e:
        raise files.DataFileError(f"{path} is corrupt: {e}") from None


def _lines(folder: str, file: str, root, encoding: str = "utf-8") -> tuple[Path, list[str]]:
    path, text = _text(folder, file, root, encoding)
    return path, [line for line in text.split("\n") if line.strip()]


class TinyShakespeare(Dataset):
    """1.1 MB of Shakespeare's plays, for models of characters (text/tinyshakespeare.txt).

    Samples are (characters, the characters that follow them), int64 tensors of `length` numbers
    each. root: a folder to look in first. split: "train" (the first 90 %), "val" (the rest) or
    "all". stride: how far samples are apart (1). `text`, `vocabulary` (sorted characters), `data`
    (numbers of all).

    Raises files.DataFileError if the file is neither found nor downloaded, or corrupt, ValueError for
    another split.

    >>> import pathlib, tempfile
    >>> from rushlight.datasets import text
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "tinyshakespeare.txt").write_text("First Citizen: Before we proceed")
    >>> plays = text.TinyShakespeare(root, split="all", length=8)
    >>> "".join(plays.vocabulary.lookup_tokens(plays[0][1]))
    'irst Cit'
    """

    def __init__(self, root=None, split: str = "train", length: int = 128, stride: int = 1):
        from .vocabulary import Vocabulary

        if split not in ("train", "val", "all"):
            raise ValueError(f"split should be 'train', 'val' or 'all', not {split!r}")
        _, whole = _text("text", "tinyshakespeare.txt", root)
        self.vocabulary = Vocabulary(sorted(set(whole)))
        cut = int(0.9 * len(whole))
        self.text = {"train": whole[:cut], "val": whole[cut:], "all": whole}[split]
        self.data = torch.tensor(self.vocabulary(self.text))
        self.length, self.stride = length, stride

    def __len__(self) -> int:
        return max(0, (len(self.text) - self.length - 1) // self.stride + 1)

    def __getitem__(self, index: int):
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        start = (index % len(self)) * self.stride
        return self.data[start : start + self.length], self.data[start + 1 : start + self.length + 1]


class _Rows(Dataset):
    """Samples in a list."""

    rows: list

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int):
        return self.rows[index]


class Multi30k(_Rows):
    """Captions of pictures in two languages (Elliott et al., 2016): samples are (source, target).

    root: a folder to look in first. split: "train" (29,000), "valid" (1,014) or "test" (1,000).
    language_pair: of "en" and "de".

    Raises files.DataFileError if files are neither found nor downloaded, corrupt or of different length,
    ValueError for another split or language.

    >>> import pathlib, tempfile
    >>> from rushlight.datasets import text
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for language, caption in (("de", "Ein Hund."), ("en", "A dog.")):
    ...     _ = (root / f"val.{language}").write_text(caption)
    >>> text.Multi30k(root, split="valid")[0]
    ('Ein Hund.', 'A dog.')
    """

    names = {"train": "train", "valid": "val", "val": "val", "test": "test_2016_flickr"}

    def __init__(self, root=None, split: str = "train", language_pair: tuple[str, str] = ("de", "en")):
        if split not in self.names:
            raise ValueError(f"split should be one of {list(self.names)}, not {split!r}")
        if len(language_pair) != 2 or set(language_pair) - {"de", "en"}:
            raise ValueError(f"language_pair should be of 'de' and 'en', not {language_pair!r}")
        columns = []
        for language in language_pair:
            path, lines = _lines("translation", f"{self.names[split]}.{language}.gz", root)
            columns.append((path, lines))
        (a, source), (b, target) = columns
        if len(source) != len(target):
            raise files.DataFileError(f"{a} has {len(source)} lines, but {b} has {len(target)}")
        self.rows = list(zip(source, target))


class EnglishFrench(_Rows):
    r"""5,000 short sentences of Tatoeba's: samples are (English, French) (translation/eng-fra.txt).

    Raises files.DataFileError if the file is missing or a line has no tab.

    >>> import pathlib, tempfile
    >>> from rushlight.datasets import text
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "eng-fra.txt").write_text("Go.\tVa !")
    >>> text.EnglishFrench(root)[0]
    ('Go.', 'Va !')
    """

    def __init__(self, root=None):
        path, lines = _lines("translation", "eng-fra.txt", root)
        self.rows = []
        for n, line in enumerate(lines, 1):
            parts = line.split("\t")
            if len(parts) < 2:
                raise files.DataFileError(f"{path}, line {n}: no tab between two sentences")
            self.rows.append((parts[0], parts[1]))


class MovieReviews(_Rows):
    """10,662 sentences of film reviews (Pang and Lee, 2005): samples are (sentence, 0 or 1).

    1 is positive. root: a folder to look in first. split: "all", or "train" and "test": every tenth
    sentence is for testing.

    Raises files.DataFileError if a file is neither found nor downloaded, ValueError for another split.

    >>> import pathlib, tempfile
    >>> from rushlight.datasets import text
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "rt-polarity.neg").write_text("too long")
    >>> _ = (root / "rt-polarity.pos").write_text("a joy")
    >>> list(text.MovieReviews(root))
    [('too long', 0), ('a joy', 1)]
    """

    classes = ["negative", "positive"]

    def __init__(self, root=None, split: str = "all"):
        if split not in ("all", "train", "test"):
            raise ValueError(f"split should be 'all', 'train' or 'test', not {split!r}")
        self.rows = []
        for label, ending in enumerate(("neg", "pos")):
            _, lines = _lines("text", f"rt-polarity.{ending}", root, "latin-1")
            for i, line in enumerate(lines):
                if split == "all" or (i % 10 == 9) == (split == "test"):
                    self.rows.append((line.strip(), label))


class Names(_Rows):
    """Surnames from 18 languages (names/*.txt): samples are (name, number of the language).

    `classes`: the languages, sorted. Raises files.DataFileError if the files are neither
    found nor downloaded.

    >>> import pathlib, tempfile
    >>> from rushlight.datasets import text
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for language, name in (("Greek", "Kalas"), ("Irish", "Daly")):
    ...     _ = (root / f"{language}.txt").write_text(name)
    >>> names = text.Names(root)
    >>> names[1], names.classes
    (('Daly', 1), ['Greek', 'Irish'])
    """

    def __init__(self, root=None):
        folders = [f / "names" for f in files.folders(root)]
        if root is not None:
            folders.insert(0, Path(root))
        folder = next((f for f in folders if f.is_dir() and any(f.glob("*.txt"))), None)
        if folder is None:
            folder = files.text_source("names", root)
        paths = sorted(folder.glob("*.txt"))
        self.classes = [p.stem for p in paths]
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.rows = []
        for label, path in enumerate(paths):
            try:
                lines = path.read_text("utf-8").split("\n")
            except UnicodeDecodeError as e:
                raise files.DataFileError(f"{path} is corrupt: {e}") from None
            self.rows += [(line.strip(), label) for line in lines if line.strip()]


__all__ = ["EnglishFrench", "MovieReviews", "Multi30k", "Names", "TinyShakespeare"]
