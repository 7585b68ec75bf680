"""`DataLoader`: batches of a data set, in this process or from workers."""

from __future__ import annotations

import os
import warnings

import numpy as np

from ...trace.tensor import array, wrap
from . import worker as _worker
from .collate import default_collate, default_convert
from .dataset import IterableDataset, TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed

SLOT_BYTES = 8 << 20  # shared memory of one batch; larger ones are pickled
TIMEOUT_CHECK = 1.0  # seconds between looks whether the workers still live


class _MapFetcher:
    """Fetch batches of a data set with indices."""

    def __init__(self, collate_fn, batched):
        self.collate_fn, self.batched = collate_fn, batched

    def __call__(self, dataset):
        self.dataset = dataset
        return self.fetch

    def fetch(self, indices):
        dataset = self.dataset
        if not self.batched:
            return self.collate_fn(dataset[indices])
        if self.collate_fn is default_collate and type(dataset) is TensorDataset:
            return rows(dataset, indices)
        if callable(getattr(dataset, "__getitems__", None)):
            samples = dataset.__getitems__(indices)
        else:
            samples = [dataset[i] for i in indices]
        return self.collate_fn(samples)


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


class _StreamFetcher:
    """Fetch batches of an iterable data set."""

    def __init__(self, collate_fn, batched, drop_last):
        self.collate_fn, self.batched, self.drop_last = collate_fn, batched, drop_last

    def __call__(self, dataset):
        self.stream = iter(dataset)
        self.ended = False
        return self.fetch

    def fetch(self, indices):
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


class _Endless:
    """A sampler for streams: no index means anything."""

    def __iter__(self):
        while True:
            yield None


class DataLoader:
    """Iterates over batches of a data set; arguments, seeds and order are PyTorch's.

    dataset: with `__getitem__` or iterable. batch_size: samples a batch (None: no batching).
    num_workers: processes that fetch ahead, `prefetch_factor` batches each (default 2); they are
    forked unless `multiprocessing_context` says otherwise. timeout: seconds to wait for a batch.
    Errors in workers are raised here with the worker's number, the indices and its traceback.
    """

    __initialized = False

    def __init__(
        self,
        dataset,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler=None,
        batch_sampler=None,
        num_workers: int = 0,
        collate_fn=None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn=None,
        multiprocessing_context=None,
        generator=None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable "
                "multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing.let num_workers "
                "> 0 to enable multiprocessing, otherwise set prefetch_factor to None."
            )
        if prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self.dataset, self.num_workers = dataset, num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator, self.in_order = generator, in_order
        self.persistent_workers = persistent_workers
        self._stream = isinstance(dataset, IterableDataset)
        if self._stream:
            if shuffle not in (False, None):
                raise ValueError(
                    f"DataLoader with IterableDataset: expected unspecified shuffle option, but got "
                    f"shuffle={shuffle}"
                )
            if sampler is not None or batch_sampler is not None:
                name = "sampler" if sampler is not None else "batch_sampler"
                raise ValueError(
                    f"DataLoader with IterableDataset: expected unspecified {name} option, but got "
                    f"{name}={sampler if sampler is not None else batch_sampler}"
                )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            if self._stream:
                sampler = _Endless()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self._iterator = None
        self.__initialized = True

    def __setattr__(self, name, value):
        if self.__initialized and name in (
            "batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"
        ):
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.batch_sampler if self._auto_collation else self.sampler

    def _fetcher(self):
        if self._stream:
            return _StreamFetcher(self.collate_fn, self._auto_collation, self.drop_last)
        return _MapFetcher(self.collate_fn, self._auto_collation)

    def __iter__(self):
        if self.num_workers == 0:
            return _SingleIterator(self)
        if self.persistent_workers:
            if self._iterator is None:
                self._iterator = _WorkerIterator(self)
            else:
                self._iterator.restart()
            return self._iterator
        return _WorkerIterator(self)

    def __len__(self) -> int:
        if self._stream:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self._index_sampler)


class _SingleIterator:
    """Fetches in this process."""

    def __init__(self, loader):
        self._length = loader
        self._base_seed = draw_seed(loader.generator)
        self._indices = iter(loader._index_sampler)
        self._fetch = loader._fetcher()(loader.dataset)

    def __iter__(self):
        return self

    def __next__(self):
        return self._fetch(next(self._indices))

    def __len__(self) -> int:
        return len(self._length)


class _WorkerIterator:
    """Hands indices to worker processes and their batches out in order."""

    def __init__(self, loader):
        import mmap
        import multiprocessing

        self.loader = loader
        context = loader.multiprocessing_context
        if context is None:
            context = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        if isinstance(context, str):
            context = multiprocessing.get_context(context)
        cores = os.cpu_count() or 1
        if loader.num_workers > 4 * cores:
            warnings.warn(
                f"This DataLoader will create {loader.num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {cores}.", stacklevel=3,
            )
        self._slots = max(1, loader.num_workers * loader.prefetch_factor)
        forked = context.get_start_method() == "fork"
        # anonymous shared memory: forked workers inherit it, nothing is left behind in the system
        self._memory = mmap.mmap(-1, self._slots * SLOT_BYTES) if forked else None
        self._base_seed = draw_seed(loader.generator)
        from ...trace.segments import flush

        flush()
        self._pipes, self._processes = [], []
        for i in range(loader.num_workers):
            tasks_in, tasks_out = context.Pipe(duplex=False)
            results_in, results_out = context.Pipe(duplex=False)
            process = context.Process(
                target=_worker.run,
                args=(
                    i, loader.num_workers, loader.dataset, loader._fetcher(), tasks_in,
                    results_out, self._memory, SLOT_BYTES if forked else 0, self._base_seed,
                    loader.worker_init_fn, os.getpid(),
                ),
                daemon=True,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            tasks_in.close()
            results_out.close()
            self._pipes.append((tasks_out, results_in))
            self._processes.append(process)
        self._alive = True
        self._begin()

    def _begin(self):
        self._indices = iter(self.loader._index_sampler)
        self._free = list(range(self._slots))
        self._sent = self._given = 0
        self._ready: dict = {}
        self._active = [True] * len(self._processes)
        self._where: dict = {}
        self._turn = 0
        for _ in range(self._slots):
            self._send()

    def restart(self):
        """The next epoch with the same workers."""
        self._drain()
        for tasks, _ in self._pipes:
            tasks.send("restart")
        self._begin()

    def __iter__(self):
        return self

    def __len__(self) -> int:
        return len(self.loader)

    def _send(self):
        """Give the next indices to the next active worker, if a slot is free."""
        if not self._free:
            return
        workers = len(self._processes)
        for _ in range(workers):
            w = self._turn % workers
            self._turn += 1
            if self._active[w]:
                break
        else:
            return
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        slot = self._free.pop()
        self._where[self._sent] = w
        try:
            self._pipes[w][0].send((self._sent, indices, slot))
        except (BrokenPipeError, OSError):
            self._dead(w)
        self._sent += 1

    def __next__(self):
        while True:
            if self._given >= self._sent and not self._ready:
                self._stop()
                raise StopIteration
            number = self._given
            if not self.loader.in_order and self._ready:
                number = next(iter(self._ready))
            if number in self._ready:
                found = self._ready.pop(number)
                self._given += 1
                if isinstance(found, _worker._End):
                    continue
                if isinstance(found, _worker.Failure):
                    self._send()
                    found.reraise()
                return found
            self._receive()

    def _receive(self):
        """Wait for one result, watching the workers and the time."""
        from multiprocessing.connection import wait

        limit = self.loader.timeout
        waited = 0.0
        pipes = {r: w for w, (_, r) in enumerate(self._pipes) if not r.closed}
        while True:
            step = min(TIMEOUT_CHECK, limit - waited) if limit else TIMEOUT_CHECK
            ready = wait(list(pipes), step)
            if ready:
                break
            waited += step
            if limit and waited >= limit:
                self._stop()
                raise RuntimeError(
                    f"DataLoader timed out after {limit} seconds waiting for a batch"
                )
            for w, p in enumerate(self._processes):
                if not p.is_alive():
                    self._dead(w)
        for r in ready:
            try:
                number, w, batch, slot = r.recv()
            except (EOFError, OSError):
                self._dead(pipes[r])
            if isinstance(batch, _worker._End):
                self._active[w] = False
            elif isinstance(batch, _worker._Loose):
                batch = batch.batch
            elif not isinstance(batch, _worker.Failure):
                batch = _worker.unpack(batch, self._memory)
            self._ready[number] = batch
            self._where.pop(number, None)
            self._free.append(slot)
            self._send()

    def _dead(self, w):
        """Worker `w` has gone without a word: say so, and stop the others."""
        process = self._processes[w]
        process.join(1.0)
        code = process.exitcode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        busy = sorted(n for n, worker in self._where.items() if worker == w)
        self._stop(now=True)
        raise RuntimeError(
            f"DataLoader worker {w} (pid {process.pid}) exited unexpectedly ({how}) while it had "
            f"batches {busy}. A worker that is killed is often out of memory: try fewer workers "
            "or num_workers=0."
        )

    def _drain(self):
        """Take in what is under way, so that the workers are idle."""
        while self._where:
            self._receive_quietly()

    def _receive_quietly(self):
        from multiprocessing.connection import wait

        pipes = {r: w for w, (_, r) in enumerate(self._pipes)}
        for r in wait(list(pipes), TIMEOUT_CHECK):
            try:
                number, *_ = r.recv()
            except (EOFError, OSError):
                self._dead(pipes[r])
            self._where.pop(number, None)
        for w, p in enumerate(self._processes):
            if not p.is_alive():
                self._dead(w)

    def _stop(self, now: bool = False):
        """End the workers (persistent ones only when something went wrong)."""
        if not self._alive or (self.loader.persistent_workers and not now):
            return
        self._alive = False
        for tasks, _ in self._pipes:
            try:
                tasks.send(None)
                tasks.close()
            except (BrokenPipeError, OSError):
                pass
        for p in self._processes:
            p.join(0.0 if now else 2.0)
            if p.is_alive():
                p.terminate()
                p.join(2.0)
            if p.is_alive():
                p.kill()
                p.join()
        for _, results in self._pipes:
            results.close()

    def __del__(self):
        try:
            self._stop(now=True)
        except Exception:
            pass


__all__ = ["DataLoader", "rows"]
