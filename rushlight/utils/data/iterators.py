"""The iterators of a DataLoader: in this process, or with workers."""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from multiprocessing.connection import wait
from typing import Any

from ...trace.tensor import Tensor
from . import worker as _worker
from .fetch import short
from .resume import Epoch, restore
from .transport import unpack, walk

SLOT_BYTES = 8 << 20  # shared memory of one batch; larger ones are pickled
LOOK = 1.0  # seconds between looks whether the workers still live
PATIENCE = 2.0  # seconds in which a worker that was asked to end must have ended


class BaseIterator:
    """What both iterators share."""

    def __init__(self, loader):
        self._loader = loader
        self._reported = loader._IterableDataset_len_called if loader._stream else None
        self._yielded = 0
        self._pin = loader.pin_memory and _pins(loader)

    def __iter__(self):
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def _finish(self, batch):
        """Count a batch, and pin it if that was asked for."""
        self._yielded += 1
        if self._reported is not None and self._yielded > self._reported:
            text = (
                f"Length of IterableDataset {self._loader.dataset} was reported to be "
                f"{self._reported}(when accessing len(dataloader)), but {self._yielded} samples "
                "have been fetched. "
            )
            if self._loader.num_workers:
                text += "Does each worker read only its own part of the data (get_worker_info)?"
            warnings.warn(text, stacklevel=3)
        if self._pin:
            return walk(batch, lambda x: x.pin_memory() if isinstance(x, Tensor) else x)
        return batch

    def __getstate__(self):
        raise NotImplementedError(
            f"{type(self).__name__} cannot be pickled; save DataLoader.state_dict() instead"
        )


def _pins(loader) -> bool:
    """Whether there is an accelerator to pin memory for; a warning if there is none."""
    from ...accelerator import is_available

    if loader.pin_memory_device:
        warnings.warn(
            "pin_memory_device is deprecated, the current accelerator will be used as the device,"
            f"ignore pin_memory_device='{loader.pin_memory_device}'.", stacklevel=5,
        )
    if not is_available():
        warnings.warn(
            "'pin_memory' argument is set as true but no accelerator is found, then device pinned "
            "memory won't be used.", stacklevel=5,
        )
        return False
    return True


class SingleIterator(BaseIterator):
    """Fetches in this process."""

    def __init__(self, loader, state: dict | None = None):
        super().__init__(loader)
        if loader.timeout:
            raise AssertionError("a DataLoader without workers must have timeout == 0")
        resumed = state and state["epoch"]
        epoch = self._epoch = loader._epoch = Epoch(loader, resumed)
        self._base_seed = epoch.base_seed
        fetcher = loader._fetcher()
        if state is None or resumed is None:
            fetcher.start(loader.dataset)
        else:
            fetcher.start(loader.dataset, resumed["stream"])
            if loader._stream and resumed["stream"] is None:
                for _ in range(epoch.indices.pulled):
                    fetcher.skip(range(loader.batch_size or 0))
            epoch.sent = {n: (w, indices) for n, w, indices in resumed["sent"]}
            restore(loader, state["now"])
        epoch.stream_state = fetcher.state
        self._fetch = fetcher.fetch
        self._plain = not self._pin and self._reported is None

    def __next__(self):
        epoch = self._epoch
        try:
            if epoch.sent:  # batches that workers had when the state was taken
                indices = epoch.sent.pop(min(epoch.sent))[1]
            else:
                indices = next(epoch.indices)
            batch = self._fetch(indices)
        except StopIteration:
            epoch.finished = True
            raise
        return batch if self._plain else self._finish(batch)


class WorkerIterator(BaseIterator):
    """Hands indices to worker processes and their batches out in order."""

    def __init__(self, loader, state: dict | None = None):
        super().__init__(loader)
        self._alive = False
        resumed = None if state is None else state["epoch"]
        epoch = loader._epoch = Epoch(loader, resumed, twice=True)
        self._base_seed = epoch.base_seed
        self._slots = max(1, loader.num_workers * loader.prefetch_factor)
        self._start_workers(epoch, resumed)
        self._begin(epoch, [] if resumed is None else resumed["sent"])
        if state is not None:
            restore(loader, state["now"])

    # ---------------------------------------------------------------- beginning

    def _start_workers(self, epoch: Epoch, resumed: dict | None) -> None:
        import mmap
        import multiprocessing

        from ...trace.segments import flush

        loader = self._loader
        context = loader.multiprocessing_context
        if context is None:
            method = multiprocessing.get_start_method(allow_none=True)
            if method is None:  # the user has not chosen: forked workers start in milliseconds
                known = multiprocessing.get_all_start_methods()
                method = "fork" if "fork" in known else "spawn"
            context = multiprocessing.get_context(method)
        method = context.get_start_method()
        forked = method == "fork"
        # anonymous shared memory: forked workers inherit it, nothing is left behind in the system
        self._memory = mmap.mmap(-1, self._slots * SLOT_BYTES) if forked else None
        flush()
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        self._alive = True
        try:
            for i in range(loader.num_workers):
                tasks_in, tasks_out = context.Pipe(duplex=False)
                results_in, results_out = context.Pipe(duplex=False)
                process = context.Process(
                    target=_worker.run,
                    args=(
                        i, loader.num_workers, loader.dataset, loader._fetcher(), tasks_in,
                        results_out, self._memory, SLOT_BYTES if forked else 0, self._base_seed,
                        loader.worker_init_fn, None if method == "forkserver" else os.getpid(),
                        None if resumed is None else _resume(epoch, i, loader),
                    ),
                    daemon=True,
                )
                self._pipes.append((tasks_out, results_in))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    process.start()
                self._processes.append(process)
                tasks_in.close()
                results_out.close()
        except BaseException:
            self._stop(now=True)
            raise

    def _begin(self, epoch: Epoch, pending=()) -> None:
        self._epoch = epoch
        workers = len(self._processes)
        self._free = list(range(self._slots))
        self._ready: dict = {}
        self._active = [True] * workers
        self._tasks = [0] * workers
        # batches that were on their way when the state was taken
        self._waiting = deque((n, w % workers, indices) for n, w, indices in pending)
        for number, w, indices in self._waiting:
            epoch.sent[number] = (w, indices)
        known = [*epoch.sent, *epoch.beyond]
        self._sent = max(known) + 1 if known else epoch.given  # the next batch's number
        for _ in range(self._slots):
            self._send()

    def restart(self) -> None:
        """The next epoch with the same workers."""
        self._drain()
        before = self._epoch.workers
        for tasks, _ in self._pipes:
            tasks.send("restart")
        self._reported = self._loader._IterableDataset_len_called if self._loader._stream else None
        self._yielded = 0
        epoch = self._loader._epoch = Epoch(self._loader, seeded=False)
        epoch.base_seed = self._base_seed
        for w, kept in before.items():
            numbers = kept["random"]
            epoch.workers[w] = {"given": 0, "random": dict(numbers), "start": dict(numbers),
                                "stream": None}
        self._begin(epoch)

    # ---------------------------------------------------------------- a batch

    def _send(self) -> None:
        """Give the next indices to the next active worker, if a slot is free."""
        if not self._free:
            return
        if self._waiting:
            self._give(*self._waiting.popleft())
            return
        try:
            indices = next(self._epoch.indices)
        except StopIteration:
            return
        workers = len(self._processes)
        limit = self._slots // max(1, sum(self._active))
        for _ in range(workers):
            w = self._epoch.turn % workers
            self._epoch.turn += 1
            if self._active[w] and (self._loader.in_order or self._tasks[w] < limit):
                break
        else:
            return
        number = self._sent
        self._sent += 1
        self._give(number, w, indices)

    def _give(self, number: int, w: int, indices) -> None:
        self._epoch.sent[number] = (w, indices)
        self._tasks[w] += 1
        try:
            self._pipes[w][0].send((number, indices, self._free.pop()))
        except OSError:
            pass  # it is gone: who waits for one of its batches is told

    def __next__(self):
        epoch = self._epoch
        while True:
            number = epoch.given
            if not self._alive or not epoch.sent:
                self._stop()
                epoch.finished = True
                raise StopIteration
            if number not in epoch.sent:  # given out of order before
                epoch.beyond.discard(number)
                epoch.given += 1
                continue
            if number not in self._ready and not self._loader.in_order and self._ready:
                number = next(iter(self._ready))
            if number not in self._ready:
                self._receive()
                continue
            found, marks = self._ready.pop(number)
            w, _ = epoch.sent.pop(number)
            if number == epoch.given:
                epoch.given += 1
            else:
                epoch.beyond.add(number)
            self._mark(w, marks, not isinstance(found, _worker.End))
            self._send()
            if isinstance(found, _worker.End):
                continue
            if isinstance(found, _worker.Failure):
                found.reraise()
            return self._finish(found)

    def _mark(self, w: int, marks, counts: bool) -> None:
        """Remember where worker `w` was after a batch that was given out."""
        kept = self._epoch.workers.get(w)
        if kept is None:
            kept = self._epoch.workers[w] = {"given": 0, "random": {}, "start": {}, "stream": None}
        kept["given"] += counts
        if marks is not None:
            kept["random"].update(marks[0])
            kept["stream"] = marks[1]

    def _receive(self) -> None:
        """Wait for one result, watching the workers and the time."""
        limit = self._loader.timeout
        end = time.monotonic() + limit
        pipes = {r: w for w, (_, r) in enumerate(self._pipes)}
        while True:
            step = min(LOOK, max(0.0, end - time.monotonic())) if limit else LOOK
            ready = wait(list(pipes), step)
            if ready:
                break
            for w, p in enumerate(self._processes):
                if not p.is_alive() and not self._pipes[w][1].poll():
                    self._dead(w)
            if limit and time.monotonic() >= end:
                self._late()
        for pipe, w in pipes.items():
            if pipe not in ready:
                continue
            try:
                self._take(pipe.recv())
            except (EOFError, OSError):
                self._dead(w)

    def _take(self, result) -> None:
        """Put a result where `__next__` finds it, and its slot back."""
        number, w, batch, slot, marks = result
        if isinstance(batch, _worker.End):
            self._active[w] = False
        elif not isinstance(batch, _worker.Failure):
            batch = unpack(batch, self._memory)
        self._ready[number] = (batch, marks)
        self._tasks[w] -= 1
        self._free.append(slot)

    # ---------------------------------------------------------------- endings

    def _late(self) -> None:
        """No batch in the time that the user allowed."""
        number = min((n for n in self._epoch.sent if n not in self._ready), default=None)
        about = ""
        if number is not None:
            w, indices = self._epoch.sent[number]
            about = (
                f" waiting for batch {number} from worker {w} (pid {self._processes[w].pid})"
                + ("" if self._loader._stream else f", indices {short(indices)}")
            )
        self._stop(now=True)
        raise RuntimeError(f"DataLoader timed out after {self._loader.timeout} seconds{about}")

    def _dead(self, w: int) -> None:
        """Worker `w` has gone without a word: say so, and stop the others."""
        process = self._processes[w]
        process.join(1.0)
        code = process.exitcode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        busy = sorted(n for n, (worker, _) in self._epoch.sent.items()
                      if worker == w and n not in self._ready)
        about = "" if not busy or self._loader._stream else (
            f", the first of which has the indices {short(self._epoch.sent[busy[0]][1])}"
        )
        self._stop(now=True)
        raise RuntimeError(
            f"DataLoader worker {w} (pid {process.pid}) exited unexpectedly ({how}) while it had "
            f"batches {busy}{about}. A worker that is killed is often out of memory: try fewer "
            "workers or num_workers=0."
        )

    def _drain(self) -> None:
        """Take in what is under way, so that the workers are idle."""
        while any(n not in self._ready for n in self._epoch.sent):
            self._receive()
        for number in sorted(self._epoch.sent):
            w, _ = self._epoch.sent.pop(number)
            self._mark(w, self._ready.pop(number)[1], False)

    def _stop(self, now: bool = False) -> None:
        """End the workers (persistent ones only when something went wrong)."""
        if not self._alive or (self._loader.persistent_workers and not now):
            return
        self._alive = False
        for tasks, _ in self._pipes:
            try:
                if not now:
                    tasks.send(None)
                tasks.close()
            except (BrokenPipeError, OSError):
                pass
        end = time.monotonic() + (0.0 if now else PATIENCE)
        for ask in (None, "terminate", "kill"):
            for p in self._processes:
                if ask is not None and p.is_alive():
                    getattr(p, ask)()
            for p in self._processes:
                p.join(max(0.0, end - time.monotonic()) if ask != "kill" else None)
            if not any(p.is_alive() for p in self._processes):
                break
            end = time.monotonic() + PATIENCE
        for _, results in self._pipes:
            results.close()

    def __del__(self):
        try:
            self._stop(now=True)
        except Exception:
            pass


def _resume(epoch: Epoch, w: int, loader) -> dict:
    """What worker `w` needs to go on."""
    kept = epoch.workers.get(w) or {"given": 0, "random": {}, "start": {}, "stream": None}
    skip = kept["given"] if loader._stream and kept["stream"] is None else 0
    return {
        "start": kept["start"],
        "random": kept["random"],
        "stream": kept["stream"],
        "skip": [range(loader.batch_size or 0)] * skip,
    }


__all__ = ["SingleIterator", "WorkerIterator"]
