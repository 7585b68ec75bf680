"""Batches from a data set: by index, or from a stream. Errors are told which sample they are about."""

from __future__ import annotations

import os

import numpy as np

from ...trace.tensor import array, wrap
from .collate import default_collate
from .dataset import ConcatDataset, Subset, TensorDataset, collect, note


class MapFetcher:
    """Fetches batches of a data set with indices: `start(dataset)`, then `fetch(indices)`."""

    def __init__(self, collate_fn, batched: bool):
        self.collate_fn, self.batched = collate_fn, batched

    def start(self, dataset, resume=None) -> None:
        """Begin with a data set; there is nothing to resume."""
        self.dataset = dataset
        self.rows = (
            self.batched and self.collate_fn is default_collate and type(dataset) is TensorDataset
        )

    def fetch(self, indices):
        """The batch (or, without batching, the sample) at `indices`."""
        dataset = self.dataset
        if self.rows:
            return rows(dataset, indices)
        if not self.batched:
            try:
                sample = dataset[indices]
            except Exception as error:
                tell_sample(error, dataset, indices)
                raise
            return self.collate_fn(sample)
        try:
            if callable(getattr(dataset, "__getitems__", None)):
                samples = dataset.__getitems__(indices)
            else:
                samples = collect(dataset, indices)
        except Exception as error:
            tell_sample(error, dataset, indices)
            raise
        try:
            return self.collate_fn(samples)
        except Exception as error:
            if len(samples) > 1:
                note(error, f"while collating the samples {short(indices)}")
            raise

    def state(self):
        """None: a data set with indices has no position."""
        return None


class StreamFetcher:
    """Fetches batches of an iterable data set, and knows how far it is."""

    rows = False

    def __init__(self, collate_fn, batched: bool, drop_last: bool):
        self.collate_fn, self.batched, self.drop_last = collate_fn, batched, drop_last

    def start(self, dataset, resume=None) -> None:
        """Begin the stream, or go on where `resume` (from `state`, or batch sizes to skip) says."""
        self.dataset, self.ended = dataset, False
        if isinstance(resume, dict):
            self.ended = resume["ended"]
            if resume["of"] == "dataset":
                dataset.load_state_dict(resume["state"])
            self.stream = iter(dataset)
            if resume["of"] == "iterator":
                self.stream.load_state_dict(resume["state"])
            return
        self.stream = iter(dataset)

    def skip(self, indices) -> None:
        """Pass over a batch."""
        for _ in indices if self.batched else (0,):
            try:
                next(self.stream)
            except StopIteration:
                self.ended = True
                return

    def fetch(self, indices):
        """The next batch; StopIteration at the end."""
        if self.ended:
            raise StopIteration
        if not self.batched:
            return self.collate_fn(next(self.stream))
        samples = []
        for _ in indices:
            try:
                samples.append(next(self.stream))
            except StopIteration:
                self.ended = True
                break
        if not samples or (self.drop_last and len(samples) < len(indices)):
            raise StopIteration
        return self.collate_fn(samples)

    def state(self):
        """Where the stream is, if it or its data set has `state_dict`; else None."""
        for of, holder in (("iterator", self.stream), ("dataset", self.dataset)):
            if stateful(holder):
                return {"of": of, "state": holder.state_dict(), "ended": self.ended}
        return None


def stateful(thing) -> bool:
    """Whether it has `state_dict` and `load_state_dict`."""
    return callable(getattr(thing, "state_dict", None)) and callable(
        getattr(thing, "load_state_dict", None)
    )


def rows(dataset: TensorDataset, indices):
    """A whole batch with one gather for each tensor: what stacking the samples would give."""
    at = np.asarray(indices)
    made = []
    for t in dataset.tensors:
        if t.requires_grad:
            return default_collate([dataset[i] for i in indices])
        a = array(t)
        if at.size and (at.max() >= len(a) or at.min() < -len(a)):
            bad = at[(at >= len(a)) | (at < -len(a))][0]
            raise IndexError(f"index {bad} is out of bounds for dimension 0 with size {len(a)}")
        made.append(wrap(a.take(at, axis=0)))
    return made


def short(indices) -> str:
    """Indices as text of at most 120 characters."""
    text = str(indices)
    return text if len(text) < 120 else text[:117] + "..."


def sample_path(dataset, index) -> str | None:
    """The file of a sample, if the data set knows one.

    Asked are `dataset.sample_path(index)` and `dataset.samples[index]` (a path, or a tuple that begins
    with one, as in ImageFolder); Subset and ConcatDataset pass the question on.
    """
    try:
        if isinstance(dataset, Subset):
            return sample_path(dataset.dataset, dataset.indices[index])
        if isinstance(dataset, ConcatDataset):
            part, at = dataset.locate(index)
            return sample_path(dataset.datasets[part], at)
        if callable(getattr(dataset, "sample_path", None)):
            return str(dataset.sample_path(index))
        found = dataset.samples[index]
        if isinstance(found, tuple):
            found = found[0]
        return os.fspath(found) if isinstance(found, (str, os.PathLike)) else None
    except Exception:
        return None


def tell_sample(error: BaseException, dataset, indices) -> None:
    """Add a note to an exception: which sample, and which file, it is about."""
    index = getattr(error, "_rushlight_index", indices)
    if isinstance(index, list):
        note(error, f"while fetching the samples {short(index)}")
        return
    path = sample_path(dataset, index)
    note(error, f"while fetching sample {index!r}" + (f" (file {path})" if path else ""))


__all__ = ["MapFetcher", "StreamFetcher", "rows", "sample_path", "stateful"]
