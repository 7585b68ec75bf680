"""`DataLoader`: batches of a data set, in this process or from workers."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from multiprocessing.context import BaseContext
from typing import Generic, TypeVar

from . import resume
from .collate import default_collate, default_convert
from .datapipes import IterDataPipe
from .dataset import IterableDataset
from .fetch import MapFetcher, StreamFetcher, rows
from .iterators import SingleIterator, WorkerIterator
from .sampler import BatchSampler, RandomSampler, SequentialSampler

T = TypeVar("T", covariant=True)


class DataLoader(Generic[T]):
    """Iterates over batches of a data set; arguments, seeds and order are PyTorch's.

    dataset: with `__getitem__` and `__len__`, or an IterableDataset. batch_size: samples a batch (None:
    samples as they are). shuffle: a new random order each time. sampler: an iterable of indices;
    batch_sampler: one of lists of indices. collate_fn: makes a batch of a list of samples
    (`default_collate`). drop_last: leave out a last batch that is not full. generator: for the order and
    the workers' seeds (the default one). pin_memory: copy batches to pinned memory where there is an
    accelerator.

    num_workers: processes that fetch ahead, `prefetch_factor` batches each (2). They are forked unless
    `multiprocessing_context` ("fork", "spawn", "forkserver" or a context) says otherwise, and call
    `worker_init_fn(number)` first. Worker i's generators (Rushlight's, Python's, NumPy's) are seeded with
    base seed + i. persistent_workers: keep them for the next epoch. timeout: seconds to wait for a
    batch. in_order: give batches out in the sampler's order (True) or as they come.

    Raises ValueError for arguments that contradict each other. An exception in a worker is raised here
    with the worker's number, the indices, the sample, its file if the data set knows it, and the
    worker's traceback; a worker that dies or does not answer in time is a RuntimeError.

    `state_dict()` and `load_state_dict(state)` save and take up an epoch in its middle.

    >>> data = torch.utils.data.TensorDataset(torch.arange(5))
    >>> [batch for batch, in torch.utils.data.DataLoader(data, batch_size=2)]
    [tensor([0, 1]), tensor([2, 3]), tensor([4])]
    """

    __initialized = False
    __context = None

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
            if shuffle not in (False, None) and not isinstance(dataset, IterDataPipe):
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
                sampler = resume.Endless()
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
        self._iterator: WorkerIterator | None = None
        self._epoch: resume.Epoch | None = None  # the one that began last
        self._resume: dict | None = None  # a state to go on from
        self._IterableDataset_len_called: int | None = None
        self.__initialized = True
        self.check_worker_number_rationality()

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

    @property
    def multiprocessing_context(self):
        """The context that workers are started with; None for the usual one."""
        return self.__context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context) -> None:
        if context is not None:
            if not self.num_workers:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading "
                    f"(num_workers > 0), but got num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                known = multiprocessing.get_all_start_methods()
                if context not in known:
                    raise ValueError(
                        "multiprocessing_context option should specify a valid start method in "
                        f"{known!r}, but got multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string "
                    f"specifying the start method, but got multiprocessing_context={context}"
                )
        self.__context = context

    def _fetcher(self):
        if self._stream:
            return StreamFetcher(self.collate_fn, self._auto_collation, self.drop_last)
        return MapFetcher(self.collate_fn, self._auto_collation)

    def _get_iterator(self):
        state, self._resume = self._resume, None
        if state is not None and state["epoch"] is None:  # it was saved between two epochs
            resume.restore(self, state["now"])
            state = None
        if self.num_workers == 0:
            return SingleIterator(self, state)
        self.check_worker_number_rationality()
        return WorkerIterator(self, state)

    def __iter__(self):
        if self.num_workers and self.persistent_workers:
            if self._iterator is None or not self._iterator._alive or self._resume is not None:
                if self._iterator is not None:
                    self._iterator._stop(now=True)
                self._iterator = self._get_iterator()
            else:
                self._iterator.restart()
            return self._iterator
        return self._get_iterator()

    def __len__(self) -> int:
        if self._stream:
            n = self._IterableDataset_len_called = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self._index_sampler)

    def check_worker_number_rationality(self) -> None:
        """Warn when there are more workers than cores."""
        if not self.num_workers:
            return
        try:
            cores = len(os.sched_getaffinity(0))
        except AttributeError:
            cores = os.cpu_count() or 1
        if self.num_workers > cores:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {cores}, which is smaller than "
                "what this DataLoader is going to create. Please be aware that excessive worker "
                "creation might get DataLoader running slow or even freeze, lower the worker number "
                "to avoid potential slowness/freeze if necessary.", stacklevel=3,
            )

    # ---------------------------------------------------------------- resuming

    def state_dict(self) -> dict:
        """Where this loader is: in the middle of the epoch that began last, or between two.

        The state holds numbers, bytes, lists and dicts only and goes through `torch.save`. A loader made
        with the same arguments goes on after `load_state_dict` exactly as this one would have: the same
        batches, the same random numbers in the data set, here and in workers. Covered are

        - the samplers of `torch.utils.data`, and samplers of your own whose order follows from random
          numbers. One that remembers more from one epoch to the next should have `state_dict` and
          `load_state_dict`, which are used instead;
        - iterable data sets: by their own `state_dict` and `load_state_dict` (of the data set, or of what
          `__iter__` returns); otherwise what was read before is read again and dropped;
        - the generators of Rushlight, Python and NumPy, which are put back when the next iteration
          begins.

        With `in_order=False` the same samples follow, in whatever order they come.

        >>> def loader():
        ...     return torch.utils.data.DataLoader(range(6), batch_size=2, shuffle=True)
        >>> _ = torch.manual_seed(0)
        >>> first = loader()
        >>> iterator = iter(first)
        >>> _, state = next(iterator), first.state_dict()
        >>> second = loader()
        >>> second.load_state_dict(state)
        >>> [b.tolist() for b in second] == [b.tolist() for b in iterator]
        True
        """
        if self._resume is not None:
            return self._resume
        return resume.save(self)

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from a state of `state_dict` at the next iteration.

        Raises ValueError if the state is that of a loader with other arguments or another data set; the
        number of workers may differ for data sets with indices (random numbers in workers then do).
        """
        resume.check(self, state_dict)
        self._resume = state_dict


# PyTorch's names, in its module `torch.utils.data.dataloader`
_SingleProcessDataLoaderIter = SingleIterator
_MultiProcessingDataLoaderIter = WorkerIterator


__all__ = ["DataLoader", "rows"]
