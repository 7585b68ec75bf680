"""Worker processes of a DataLoader.

A worker receives (number, indices), fetches the batch and sends it back. Arrays travel through one
block of shared memory a slot: the worker copies a batch into a free slot and sends only where its arrays
lie; the parent copies them out and returns the slot. Batches that do not fit are pickled.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Mapping

import numpy as np

from ...trace.tensor import Tensor, array, wrap


class WorkerInfo:
    """What `get_worker_info()` tells in a worker: id, num_workers, seed, dataset."""

    def __init__(self, id: int, num_workers: int, seed: int, dataset):
        self.id, self.num_workers, self.seed, self.dataset = id, num_workers, seed, dataset

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed})"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The WorkerInfo in a worker process, None in the main process."""
    return _info


class Failure:
    """An exception in a worker, as text and (if it can be pickled) as itself."""

    def __init__(self, error: BaseException, worker: int, indices):
        import pickle

        self.kind, self.worker, self.indices = type(error), worker, indices
        self.trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(self.kind))
        except Exception:
            self.kind = RuntimeError

    def reraise(self):
        """Raise the exception in the main process, with the worker's traceback in its message."""
        shown = self.indices
        where = "" if shown is None else f" while fetching indices {_short(shown)}"
        message = (
            f"Caught {self.kind.__name__} in DataLoader worker process {self.worker}{where}.\n"
            f"Original {self.trace}"
        )
        if self.kind is KeyError:
            message = _Plain(message)
        try:
            error = self.kind(message)
        except Exception:
            error = RuntimeError(message)
        raise error


class _Plain(str):
    """A message that KeyError prints as it is."""

    def __repr__(self) -> str:
        return str(self)


def _short(indices) -> str:
    text = str(indices)
    return text if len(text) < 120 else text[:117] + "..."


class Place:
    """Where an array lies in a slot."""

    __slots__ = ("offset", "shape", "dtype")

    def __init__(self, offset, shape, dtype):
        self.offset, self.shape, self.dtype = offset, shape, dtype


ALIGNMENT = 64


def pack(batch, memory, start: int, size: int):
    """The batch with its tensors copied into memory[start:start + size], or None if too large."""
    at = 0

    def move(x):
        nonlocal at
        if isinstance(x, Tensor):
            a = array(x.detach())
            at = -(-at // ALIGNMENT) * ALIGNMENT
            end = at + a.nbytes
            if end > size:
                raise MemoryError
            target = np.ndarray(a.shape, a.dtype, memory, start + at)
            target[...] = a
            place = Place(start + at, a.shape, x.dtype.name)
            at = end
            return place
        if isinstance(x, Mapping):
            return {k: move(v) for k, v in x.items()}
        if isinstance(x, tuple) and hasattr(x, "_fields"):
            return type(x)(*(move(v) for v in x))
        if type(x) in (list, tuple):
            return type(x)([move(v) for v in x])
        return x

    try:
        return move(batch)
    except MemoryError:
        return None


def unpack(batch, memory):
    """The reverse of `pack`: tensors in memory of their own."""
    from ...trace.dtypes import ALL

    if isinstance(batch, Place):
        d = ALL[batch.dtype].np
        return wrap(np.ndarray(batch.shape, d, memory, batch.offset).copy())
    if isinstance(batch, Mapping):
        return {k: unpack(v, memory) for k, v in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(unpack(v, memory) for v in batch))
    if type(batch) in (list, tuple):
        return type(batch)([unpack(v, memory) for v in batch])
    return batch


def as_arrays(batch):
    """Tensors as a picklable form, for batches that do not fit into a slot."""
    if isinstance(batch, Tensor):
        return batch.detach()
    if isinstance(batch, Mapping):
        return {k: as_arrays(v) for k, v in batch.items()}
    if type(batch) in (list, tuple):
        return type(batch)([as_arrays(v) for v in batch])
    return batch


def run(
    worker, workers, dataset, fetcher, tasks, results, memory, slot_size, base_seed, init_fn, parent
):
    """The main function of a worker process."""
    global _info
    from ...random import manual_seed
    from ...trace import after_fork

    after_fork()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seed = base_seed + worker
    try:
        import random as python_random

        python_random.seed(seed)
        manual_seed(seed)
        np.random.seed(seed & 0xFFFFFFFF)
        _info = WorkerInfo(worker, workers, seed, dataset)
        failure = None
        try:
            if init_fn is not None:
                init_fn(worker)
            fetch = fetcher(dataset)
        except Exception as e:
            failure = Failure(e, worker, None)
        while True:
            while not tasks.poll(2.0):
                if os.getppid() != parent:
                    return  # the main process is gone
            task = tasks.recv()
            if task is None:
                return
            if task == "restart":
                try:
                    fetch = fetcher(dataset)
                except Exception as e:
                    failure = Failure(e, worker, None)
                continue
            number, indices, slot = task
            if failure is not None:
                results.send((number, worker, failure, slot))
                failure = None
                continue
            try:
                batch = fetch(indices)
                packed = pack(batch, memory, slot * slot_size, slot_size)
                if packed is None:
                    results.send((number, worker, _Loose(as_arrays(batch)), slot))
                else:
                    results.send((number, worker, packed, slot))
            except StopIteration:
                results.send((number, worker, _End(), slot))
            except Exception as e:
                results.send((number, worker, Failure(e, worker, indices), slot))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        return


class _End:
    """An iterable data set is exhausted."""


class _Loose:
    """A batch that was pickled as a whole."""

    def __init__(self, batch):
        self.batch = batch
