"""Vocabularies (torchtext's interface), plain tokenisation, and subwords by the `tokenizers` library."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence


class Vocabulary:
    """Numbers for tokens. Called with a list of tokens, it returns their numbers.

    tokens: in the order of their numbers; ValueError if one appears twice. default_index: the number of
    unknown tokens (None: a RuntimeError).

    >>> from rushlight.datasets import text
    >>> v = text.Vocabulary(["<unk>", "a", "b"], default_index=0)
    >>> v(["a", "z", "b"]), v["b"], len(v), "z" in v
    ([1, 0, 2], 2, 3, False)
    >>> v.lookup_tokens([1, 2])
    ['a', 'b']
    """

    def __init__(self, tokens: Iterable[str] = (), default_index: int | None = None):
        self._tokens: list[str] = []
        self._numbers: dict[str, int] = {}
        self._default = default_index
        for token in tokens:
            self.append_token(token)

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._numbers

    def __getitem__(self, token: str) -> int:
        found = self._numbers.get(token, self._default)
        if found is None:
            raise RuntimeError(
                f"Token {token!r} not found and default index is not set: call "
                "set_default_index(vocabulary['<unk>'])"
            )
        return found

    def __call__(self, tokens: Iterable[str]) -> list[int]:
        return [self[t] for t in tokens]

    forward = lookup_indices = __call__

    def __repr__(self) -> str:
        some = ", ".join(map(repr, self._tokens[:5])) + (", ..." if len(self) > 5 else "")
        return f"Vocabulary({len(self)} tokens: {some})"

    def set_default_index(self, index: int | None) -> None:
        """The number of tokens that are not in the vocabulary; None makes them an error."""
        self._default = index

    def get_default_index(self) -> int | None:
        """The number of unknown tokens, or None."""
        return self._default

    def append_token(self, token: str) -> None:
        """Add a token with the next number. ValueError if it is there."""
        self.insert_token(token, len(self))

    def insert_token(self, token: str, index: int) -> None:
        """Add a token with a number; later ones move up. ValueError if it is there already."""
        if token in self._numbers:
            raise ValueError(
                f"Token {token!r} already exists in the vocabulary with index {self._numbers[token]}"
            )
        if not 0 <= index <= len(self):
            raise ValueError(f"index {index} is not between 0 and {len(self)}")
        self._tokens.insert(index, token)
        if index == len(self) - 1:
            self._numbers[token] = index
        else:
            self._numbers = {t: i for i, t in enumerate(self._tokens)}

    def lookup_token(self, index: int) -> str:
        """The token with a number. IndexError if there is none."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range for a vocabulary of {len(self)} tokens")
        return self._tokens[index]

    def lookup_tokens(self, indices: Iterable[int]) -> list[str]:
        """The tokens with these numbers."""
        return [self.lookup_token(int(i)) for i in indices]

    def get_itos(self) -> list[str]:
        """All tokens, by number."""
        return list(self._tokens)

    def get_stoi(self) -> dict[str, int]:
        """All numbers, by token."""
        return dict(self._numbers)


def vocab(frequencies: Mapping[str, int], min_freq: int = 1, specials: Sequence[str] = (),
          special_first: bool = True) -> Vocabulary:
    """A vocabulary of the keys of a mapping, in its order, that are frequent enough.

    specials: tokens that come first (or last), whatever their frequency.

    >>> from rushlight.datasets import text
    >>> text.vocab({"a": 3, "b": 1}, min_freq=2, specials=["<unk>"]).get_itos()
    ['<unk>', 'a']
    """
    known = set(specials)
    tokens = [t for t, n in frequencies.items() if n >= min_freq and t not in known]
    return Vocabulary([*specials, *tokens] if special_first else [*tokens, *specials])


def build_vocab_from_iterator(iterator: Iterable[Iterable[str]], min_freq: int = 1,
                              specials: Sequence[str] = (), special_first: bool = True,
                              max_tokens: int | None = None) -> Vocabulary:
    """A vocabulary of the tokens in lists of tokens: the most frequent first, ties in alphabetical order.

    min_freq: how often a token must appear. specials: tokens that come first (or last). max_tokens: how
    many to keep, specials included; ValueError if there are not fewer specials.

    >>> from rushlight.datasets import text
    >>> lines = [["the", "cat"], ["the", "dog"]]
    >>> v = text.build_vocab_from_iterator(lines, specials=["<unk>", "<pad>"])
    >>> v.get_itos()
    ['<unk>', '<pad>', 'the', 'cat', 'dog']
    """
    counts: Counter = Counter()
    for tokens in iterator:
        counts.update(tokens)
    for s in specials:
        counts.pop(s, None)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if max_tokens is not None:
        if len(specials) >= max_tokens:
            raise ValueError(
                f"max_tokens={max_tokens} leaves no room beside {len(specials)} special tokens"
            )
        ordered = ordered[: max_tokens - len(specials)]
    return vocab(dict(ordered), min_freq, specials, special_first)


_SPACED = {ord(c): f" {c} " for c in ".,()!?'"} | {ord(c): " " for c in ";:"} | {ord('"'): ""}


def basic_english(line: str) -> list[str]:
    """Lower-case words and punctuation; quotes, colons and semicolons are dropped.

    >>> from rushlight.datasets import text
    >>> text.basic_english("You can't win, Bob!")
    ['you', 'can', "'", 't', 'win', ',', 'bob', '!']
    """
    return line.lower().replace("<br />", " ").translate(_SPACED).split()


def get_tokenizer(tokenizer: str | Callable | None) -> Callable[[str], list[str]]:
    """A function from a line to tokens: "basic_english", "characters", None (at spaces), or your own.

    Raises ValueError for another name.

    >>> from rushlight.datasets import text
    >>> text.get_tokenizer("characters")("ab c")
    ['a', 'b', ' ', 'c']
    """
    if callable(tokenizer):
        return tokenizer
    known: dict = {None: str.split, "basic_english": basic_english, "characters": list}
    if tokenizer not in known:
        raise ValueError(
            f"Requested tokenizer {tokenizer!r} is none of 'basic_english', 'characters', None or a "
            "function; for subwords, see train_bpe"
        )
    return known[tokenizer]


def _library():
    """The `tokenizers` library; ImportError that says how to install it."""
    try:
        import tokenizers
    except ImportError:
        raise ImportError(
            "subwords need the library `tokenizers`, which is not installed: pip install tokenizers"
        ) from None
    return tokenizers


class Subwords:
    """Texts as numbers of subwords; made by `train_bpe`, `train_wordpiece` or `Subwords.load`.

    Called with a text, it returns numbers; `decode` is the reverse. `library` is the tokenizer of
    the `tokenizers` library inside, with everything that it can do.

    >>> from rushlight.datasets import text
    >>> subwords = text.train_bpe(["low lower lowest"] * 9, 300)
    >>> subwords.tokens("lower low"), subwords.decode(subwords("lower low"))
    (['low', 'e', 'r', 'Ġlow'], 'lower low')
    """

    def __init__(self, library):
        self.library = library

    def __call__(self, line: str) -> list[int]:
        return self.library.encode(line).ids

    encode = __call__

    def tokens(self, line: str) -> list[str]:
        """A text's subwords."""
        return self.library.encode(line).tokens

    def batch(self, lines: Sequence[str]) -> list[list[int]]:
        """Numbers of several texts, on all cores."""
        return [e.ids for e in self.library.encode_batch(list(lines))]

    def decode(self, indices: Iterable[int]) -> str:
        """The text of numbers; special tokens are left out."""
        return self.library.decode([int(i) for i in indices])

    def __len__(self) -> int:
        return self.library.get_vocab_size()

    def __getitem__(self, token: str) -> int:
        found = self.library.token_to_id(token)
        if found is None:
            raise RuntimeError(f"Token {token!r} not found")
        return found

    def save(self, path) -> None:
        """Write a tokenizer.json."""
        self.library.save(os.fspath(path))

    @classmethod
    def load(cls, path) -> Subwords:
        """Read a tokenizer.json. FileNotFoundError if there is none."""
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no file {path}")
        return cls(_library().Tokenizer.from_file(os.fspath(path)))

    def __getstate__(self):
        return self.library.to_str()

    def __setstate__(self, state):
        self.library = _library().Tokenizer.from_str(state)


def train_bpe(lines: Iterable[str], vocab_size: int, specials: Sequence[str] = (),
              min_freq: int = 2) -> Subwords:
    """Byte-pair encoding on bytes (Sennrich et al., 2016; GPT-2's form): every text can be encoded.

    lines: texts to learn from. vocab_size: how many subwords, at most; the 256 bytes are among them.
    specials: tokens with the first numbers. Raises ImportError without the library `tokenizers`.
    """
    t = _library()
    made = t.Tokenizer(t.models.BPE())
    made.pre_tokenizer = t.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = t.decoders.ByteLevel()
    made.train_from_iterator(lines, t.trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=min_freq, special_tokens=list(specials),
        initial_alphabet=t.pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    ))
    return Subwords(made)


def train_wordpiece(lines: Iterable[str], vocab_size: int, specials: Sequence[str] = ("[UNK]",),
                    min_freq: int = 2, lowercase: bool = True, unknown: str = "[UNK]") -> Subwords:
    """WordPiece (Schuster and Nakajima, 2012; BERT's form): parts inside of words begin with ##.

    lines: texts to learn from. vocab_size: how many pieces, at most. specials: tokens with the first
    numbers; `unknown` must be one of them, or ValueError is raised. ImportError without the library
    `tokenizers`.
    """
    if unknown not in specials:
        raise ValueError(f"the unknown token {unknown!r} is none of the specials {list(specials)}")
    t = _library()
    made = t.Tokenizer(t.models.WordPiece(unk_token=unknown))
    made.normalizer = t.normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = t.pre_tokenizers.BertPreTokenizer()
    made.decoder = t.decoders.WordPiece()
    made.train_from_iterator(lines, t.trainers.WordPieceTrainer(
        vocab_size=vocab_size, min_frequency=min_freq, special_tokens=list(specials),
        show_progress=False,
    ))
    return Subwords(made)


__all__ = [
    "Subwords", "Vocabulary", "basic_english", "build_vocab_from_iterator", "get_tokenizer",
    "train_bpe", "train_wordpiece", "vocab",
]
