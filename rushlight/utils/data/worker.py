"""Worker processes of a DataLoader.

A worker receives (number, indices, slot), fetches the batch and sends (number, worker, batch, slot,
marks) back; marks tell how random generators and streams have moved, so that the parent can save them.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from .fetch import short
from .transport import pack

WATCH = 1.0  # seconds between looks whether the main process still lives


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What `get_worker_info()` tells in a worker: its number, how many there are, its seed, its data set.

    >>> from rushlight.utils.data.worker import WorkerInfo
    >>> WorkerInfo(0, 2, 17, [1, 2]).num_workers
    2
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The WorkerInfo in a worker process, None in the main process.

    >>> torch.utils.data.get_worker_info() is None
    True
    """
    return _worker_info


class Failure:
    """An exception in a worker, as text and (if it can be made again) as its type."""

    def __init__(self, error: BaseException, worker: int, indices=None):
        import pickle

        self.kind, self.worker, self.indices = type(error), worker, indices
        self.trace = traceback.format_exc()
        self.notes = [str(n) for n in getattr(error, "__notes__", [])]
        try:
            pickle.loads(pickle.dumps(self.kind))
        except Exception:
            self.kind = RuntimeError

    def reraise(self):
        """Raise the exception in the main process, with the worker's traceback in its message."""
        where = "" if self.indices is None else f" while fetching indices {short(self.indices)}"
        where += "".join(f" ({n})" for n in self.notes)
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
        raise error from None


class _Plain(str):
    """A message that KeyError prints as it is."""

    def __repr__(self) -> str:
        return str(self)


class End:
    """An iterable data set is exhausted."""


def numpy_seed(base_seed: int, worker: int) -> list[int]:
    """The seed of NumPy's generator in a worker: four words of a SeedSequence, as in PyTorch."""
    entropy = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return [int(w) for w in np.random.SeedSequence(entropy).generate_state(4)]


def _watch(parent: int | None) -> None:
    """End this process when the main process has gone, whatever it is doing."""
    sentinel = getattr(parent_process(), "sentinel", None)
    while True:
        gone = bool(wait([sentinel], WATCH)) if sentinel is not None else False
        if sentinel is None:
            threading.Event().wait(WATCH)
        if gone or (parent is not None and os.getppid() != parent):
            os._exit(1)


def run(worker, workers, dataset, fetcher, tasks, results, memory, slot_size, base_seed, init_fn,
        parent, resume):
    """The main function of a worker process.

    parent: the main process's id if this is its child. resume: {"random", "start", "stream", "skip"} when
    an epoch is taken up again, else None.
    """
    global _worker_info
    from ...random import manual_seed
    from ...trace import after_fork
    from .resume import RandomState, set_random_state

    after_fork()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    try:
        seed = base_seed + worker
        random.seed(seed)
        manual_seed(seed)
        np.random.seed(numpy_seed(base_seed, worker))
        _worker_info = WorkerInfo(worker, workers, seed, dataset)
        numbers = RandomState()
        failure = None
        try:
            if init_fn is not None:
                init_fn(worker)
            _begin(fetcher, dataset, resume, set_random_state)
        except Exception as error:
            failure = Failure(error, worker)
        quiet = failure is None and fetcher.rows  # nobody's code runs, so no generator moves
        while True:
            task = tasks.recv()
            if task is None:
                return
            if task == "restart":
                try:
                    fetcher.start(dataset)
                    failure = None
                except Exception as error:
                    failure = Failure(error, worker)
                continue
            number, indices, slot = task
            batch: Any
            if failure is not None:
                batch = failure
            else:
                try:
                    batch = pack(fetcher.fetch(indices), memory, slot * slot_size, slot_size)
                except StopIteration:
                    batch = End()
                except Exception as error:
                    batch = Failure(error, worker, indices)
            marks = None if quiet else _marks(numbers, fetcher)
            try:
                results.send((number, worker, batch, slot, marks))
            except (BrokenPipeError, ConnectionError):
                return
            except Exception as error:  # the batch or the stream's state cannot be pickled
                results.send((number, worker, Failure(error, worker, indices), slot, None))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        return


def _begin(fetcher, dataset, resume, set_random_state) -> None:
    """Start the fetcher, where an earlier worker stopped if `resume` says so."""
    if resume is None:
        fetcher.start(dataset)
        return
    set_random_state(resume["start"])
    fetcher.start(dataset, resume["stream"])
    for indices in resume["skip"]:
        fetcher.skip(indices)
    set_random_state(resume["random"])


def _marks(numbers, fetcher):
    """What has moved since the batch before: random generators, the stream; None if nothing."""
    moved = numbers.changes()
    try:
        stream = fetcher.state()
    except Exception:
        stream = None
    return (moved, stream) if moved or stream is not None else None
