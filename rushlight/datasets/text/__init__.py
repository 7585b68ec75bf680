"""Text: vocabularies and tokens, batches of sequences of different lengths, and sets of text.

In: lines of text. Out: numbers, tensors, batches. Read `vocabulary.py` first, then `batching.py`.
"""

from .batching import BucketBatchSampler, PadCollate
from .sets import EnglishFrench, MovieReviews, Multi30k, Names, TinyShakespeare
from .vocabulary import (
    Subwords,
    Vocabulary,
    basic_english,
    build_vocab_from_iterator,
    get_tokenizer,
    train_bpe,
    train_wordpiece,
    vocab,
)

__all__ = [
    "BucketBatchSampler", "EnglishFrench", "MovieReviews", "Multi30k", "Names", "PadCollate",
    "Subwords", "TinyShakespeare", "Vocabulary", "basic_english", "build_vocab_from_iterator",
    "get_tokenizer", "train_bpe", "train_wordpiece", "vocab",
]
