"""Batches of sequences of different lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

import rushlight as torch

from ...utils.data.collate import default_collate
from ...utils.data.sampler import Sampler, draw_seed


def _is_sequence(x) -> bool:
    if isinstance(x, (torch.Tensor, np.ndarray)):
        return x.ndim >= 1
    return isinstance(x, list) and bool(x) and isinstance(x[0], (int, float)) or x == []


class PadCollate:
    """A `collate_fn`: sequences are padded to the longest of the batch, everything else is collated.

    Samples are sequences (tensors or arrays of at least one dimension, lists of numbers), or tuples or
    dicts of sequences and other things. padding_value: what is added. batch_first: (batch, length, ...)
    or (length, batch, ...). lengths: each sequence becomes a pair with the lengths before. multiple_of:
    lengths are rounded up to multiples, so that fewer different shapes occur.

    >>> from rushlight.datasets import text
    >>> text.PadCollate()([([1, 2, 3], 0), ([4], 1)])
    [tensor([[1, 2, 3],
            [4, 0, 0]]), tensor([0, 1])]
    >>> text.PadCollate(lengths=True, padding_value=-1)([[1], [2, 3]])
    (tensor([[ 1, -1],
            [ 2,  3]]), tensor([1, 2]))
    """

    def __init__(self, padding_value: float = 0, batch_first: bool = True, lengths: bool = False,
                 multiple_of: int = 1):
        self.padding_value, self.batch_first = padding_value, batch_first
        self.lengths, self.multiple_of = lengths, multiple_of

    def __call__(self, batch):
        first = batch[0]
        if isinstance(first, tuple):
            parts = [self(list(column)) for column in zip(*batch, strict=True)]
            return type(first)(*parts) if hasattr(first, "_fields") else parts
        if isinstance(first, dict):
            return {k: self([sample[k] for sample in batch]) for k in first}
        if _is_sequence(first):
            return self._padded(batch)
        return default_collate(batch)

    def _padded(self, batch):
        rows = [x.detach() if isinstance(x, torch.Tensor) else torch.as_tensor(x) for x in batch]
        arrays = [r.numpy() for r in rows]
        kinds = {a.dtype for a in arrays if a.size}
        kind = np.result_type(*kinds) if kinds else np.dtype(np.int64)
        sizes = [len(a) for a in arrays]
        longest = -(-max(sizes) // self.multiple_of) * self.multiple_of
        rest = next((a.shape[1:] for a in arrays if a.size), arrays[0].shape[1:])
        out = np.full((len(arrays), longest, *rest), self.padding_value, kind)
        for i, a in enumerate(arrays):
            if a.size and a.shape[1:] != rest:
                raise RuntimeError(
                    f"PadCollate: sample {i} of the batch has shape {a.shape}, the others "
                    f"(length, {', '.join(map(str, rest))}); only the first dimension may differ"
                )
            if a.size:
                out[i, : len(a)] = a
        made = torch.from_numpy(out if self.batch_first else np.ascontiguousarray(out.swapaxes(0, 1)))
        return (made, torch.tensor(sizes)) if self.lengths else made


class BucketBatchSampler(Sampler):
    """A batch sampler that puts sequences of similar length together, so that little is padded.

    lengths: of all samples, or a function that tells a sample's, with `data`. batch_size: samples a batch;
    or max_tokens: how much a batch may hold, padding included. shuffle: samples are shuffled, sorted by
    length within buckets of `bucket` batches, and the batches shuffled. generator: seeded from the default
    one for each iteration if None. drop_last: leave out batches with fewer than batch_size samples.

    Raises ValueError unless exactly one of batch_size and max_tokens is given, or for a sample longer than
    max_tokens.

    >>> from rushlight.datasets import text
    >>> words = ["a", "be", "sea", "b", "it", "not"]
    >>> batches = text.BucketBatchSampler([len(w) for w in words], 2, shuffle=False)
    >>> [[words[i] for i in b] for b in batches]
    [['a', 'b'], ['be', 'it'], ['sea', 'not']]
    """

    def __init__(self, lengths: Sequence[int] | Callable, batch_size: int | None = None, *,
                 data=None, max_tokens: int | None = None, shuffle: bool = True, bucket: int = 100,
                 drop_last: bool = False, generator=None):
        if (batch_size is None) == (max_tokens is None):
            raise ValueError("give either batch_size or max_tokens")
        if batch_size is not None and batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        if callable(lengths):
            if data is None:
                raise ValueError("a function for lengths needs data")
            lengths = [lengths(data[i]) for i in range(len(data))]
        self.lengths = [int(n) for n in lengths]
        if max_tokens is not None and self.lengths and max(self.lengths) > max_tokens:
            i = int(np.argmax(self.lengths))
            raise ValueError(
                f"sample {i} has {self.lengths[i]} tokens, more than max_tokens={max_tokens}"
            )
        self.batch_size, self.max_tokens, self.drop_last = batch_size, max_tokens, drop_last
        self.shuffle, self.bucket, self.generator = shuffle, bucket, generator
        self._count: int | None = None

    def _batches(self, order: list[int]):
        batch: list[int] = []
        longest = 0
        for i in order:
            longest = max(longest, self.lengths[i])
            full = (
                len(batch) == self.batch_size if self.max_tokens is None
                else longest * (len(batch) + 1) > self.max_tokens
            )
            if full:
                yield batch
                batch, longest = [], self.lengths[i]
            batch.append(i)
        if batch and not (self.drop_last and len(batch) < (self.batch_size or 1)):
            yield batch

    def _made(self, generator) -> list[list[int]]:
        n = len(self.lengths)
        by_length = self.lengths.__getitem__
        if generator is None:
            return list(self._batches(sorted(range(n), key=by_length)))
        order = torch.randperm(n, generator=generator).tolist()
        if self.max_tokens is None:
            size = self.bucket * self.batch_size
        else:
            mean = max(1.0, sum(self.lengths) / max(1, n))
            size = max(1, math.ceil(self.bucket * self.max_tokens / mean))
        arranged: list[int] = []
        for start in range(0, n, size):
            arranged += sorted(order[start : start + size], key=by_length)
        made = list(self._batches(arranged))
        return [made[i] for i in torch.randperm(len(made), generator=generator).tolist()]

    def __iter__(self):
        generator = None
        if self.shuffle:
            generator = self.generator
            if generator is None:
                generator = torch.Generator()
                generator.manual_seed(draw_seed())
        made = self._made(generator)
        self._count = len(made)
        yield from made

    def __len__(self) -> int:
        """The number of batches; with max_tokens and shuffle, that of the iteration that began last."""
        if self.max_tokens is None:
            n = len(self.lengths)
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        if self._count is None:
            self._count = len(self._made(None))
        return self._count


__all__ = ["BucketBatchSampler", "PadCollate"]
