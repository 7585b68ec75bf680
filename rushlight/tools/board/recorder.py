"""`Recorder`: losses, learning rates, gradient norms, times, memory and kernels of a training run, into its folder."""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ...interpret import program as tier0_program
from ...optim.optimizer import register_optimizer_step_post_hook
from ...trace.segments import array
from ...trace.tensor import Tensor
from ...utils.data.iterators import SingleIterator, WorkerIterator
from ...utils.tensorboard import SummaryWriter
from ..explain import explain
from ..live_memory import arena, memory, process_now

clock = time.perf_counter
POINTS = 5000  # the time between two points is at least the run's so far, divided by this: files stay small
FOLD = 256  # tensors of one name that wait at most
SHARE = 0.003  # of the time that may go into gradient norms
FIRST_LOOK = 10  # the step after which kernels and memory are looked at first; then after 4, 16, ... times as many
NEXT_LOOK = 4
LOOK_SHARE = 0.05  # of the time that looks may take: the next one waits
TURNS = 20  # steps of other optimisers after which the counted one is taken to be done
LOADERS = (SingleIterator, WorkerIterator)


class _Numbers:
    """What was logged under one name since the last point."""

    __slots__ = ("total", "count", "step", "waiting")

    def __init__(self) -> None:
        self.total, self.count, self.step = 0.0, 0, 0
        self.waiting: list[Any] = []

    def wait_for(self, name: str, x: Any) -> bool:
        """Take a number that is read later; whether that could be done now without cutting a step in two."""
        tensor = isinstance(x, Tensor)
        if hasattr(x, "detach"):
            if x.numel() != 1:
                raise ValueError(f"log: '{name}' should be a single number, got shape {list(x.shape)}")
            x = x.detach()  # else the loss would keep its graph alive
        self.waiting.append(x)
        if len(self.waiting) > FOLD:
            self.fold(-1)  # of steps that have ended
        return not tensor

    def fold(self, end: int | None = None) -> None:
        """Read the tensors, or those before place `end`."""
        for x in self.waiting[:end]:
            self.total += float(x)
            self.count += 1
        del self.waiting[:end]


class Recorder:
    """Writes what a training run does into `folder`, for `rushlight board folder` and for TensorBoard.

    A step is an optimiser's `step()` (the first one's, if there are several); the recorder notices it by itself. It
    writes the learning rate, norms of the gradients, the time of a step (in kernels, in the data loader, in Python) and
    the memory. After steps 10, 40, 160 and so on (later, if that takes much time), it looks at one step's graph and
    kernels, and at one step's memory. `log` adds losses and metrics.

    folder: of the run; `runs/<date>_<host>` if not given. model: names the parameters. start: steps that are done, when
    training goes on from a checkpoint; what an earlier run wrote after them is hidden. every: seconds from one
    point of a curve to the next; numbers of shorter steps are averaged. In long runs it becomes a 5000th of the
    run's time so far; with 0 each step has its point. writer: the `SummaryWriter`, for pictures, texts and histograms. ValueError for negative
    `start` or `every`.

    Where steps are not seen (no optimiser of Rushlight's), each `log` is a step, or says which one it is.

    >>> import tempfile
    >>> from rushlight.tools.board import Recorder
    >>> from rushlight.utils.tensorboard import read_events
    >>> net = nn.Linear(4, 1)
    >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> with Recorder(tempfile.mkdtemp(), net, every=0) as board:
    ...     for _ in range(3):
    ...         optimizer.zero_grad()
    ...         loss = net(torch.ones(2, 4)).square().mean()
    ...         loss.backward()
    ...         optimizer.step()
    ...         board.log(loss=loss)
    >>> events = read_events(board.folder, "scalar")
    >>> [e.step for e in events if e.tag == "loss"]
    [1, 2, 3]
    >>> sorted({e.tag for e in events if e.tag[:9] == "gradients"})
    ['gradients/all', 'gradients/bias', 'gradients/weight']
    """

    def __init__(self, folder: str | os.PathLike | None = None, model: Any = None, *, start: int = 0,
                 every: float = 0.1):
        if not (every >= 0 and start >= 0):
            raise ValueError(f"Recorder: start and every must not be negative, got start={start}, every={every}")
        self.writer = SummaryWriter(folder, purge_step=start and start + 1, max_queue=1 << 30)
        self.folder, self.step, self.every = self.writer.log_dir, start, every
        self.writer.flush()
        self._names = {} if model is None else {id(p): n for n, p in model.named_parameters()}
        self._numbers: dict[str, _Numbers] = {}
        self._optimizers: list[Any] = []
        self._main: Any = None  # the optimiser whose steps are counted
        self._others = 0  # steps of others since its last one
        self._thread, self._pid = threading.get_ident(), os.getpid()
        self._in_data = self._numbers_due = False
        self._look: Any = None
        self._start, self._next_look = start, start + FIRST_LOOK
        self._norms_due = self._look_due = self._look_cost = 0.0
        self._began = clock()
        self.closed = False
        self._restart(self._began)
        self._hook = register_optimizer_step_post_hook(self._after_step)
        tier0_program.WATCH.append(self._run)
        if not _RECORDERS:
            _time_loaders()
        _RECORDERS.append(self)
        atexit.register(self.close)

    def __repr__(self) -> str:
        return f"Recorder('{self.folder}', step {self.step}{', closed' if self.closed else ''})"

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        try:
            self.close()
        except Exception:
            if kind is None:
                raise  # else what was logged last may have no value, and the block's error says why

    # ------------------------------------------------------------ what the user calls

    def log(self, numbers: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any) -> None:
        """Note numbers of the step that has just ended: `log(loss=loss)`, `log({"test/loss": x})`.

        Tensors with one element that are still to be computed are kept and read later, so that nothing is run for this.
        step: of these numbers, if not the current one. ValueError for tensors with several elements.
        """
        if self.closed:
            return
        if step is None:
            if not self._optimizers:
                self.step += 1
                self._tick(clock())
            step = self.step
        elif not self._optimizers:
            self.step = int(step)
            self._tick(clock())
        settled, fresh = True, False
        for name, x in (*numbers.items(), *more.items()) if numbers else more.items():
            kept = self._numbers.get(name)
            if kept is None:
                kept = self._numbers[name] = _Numbers()
                fresh = True
            kept.step = step
            if x.__class__ is Tensor and x._tr is None and x._storage is None and x._s.m.numel == 1:
                kept.total += float(x)  # it is there: reading it runs nothing
                kept.count += 1
            elif isinstance(x, (int, float)):
                kept.total += x
                kept.count += 1
            else:
                settled &= kept.wait_for(name, x)
        if settled and (self._numbers_due or (fresh and clock() >= self._late)):
            self._guarded(self._write_numbers)

    def data(self, batches: Iterable) -> Iterator:
        """Iterate over `batches`, and count the time that they take as data.

        A DataLoader's time is seen without this.
        """
        iterator = iter(batches)
        while True:
            try:
                x = self._timed(next, iterator)
            except StopIteration:
                return
            yield x

    def close(self) -> None:
        """Write what is left, and stop watching."""
        if self.closed or os.getpid() != self._pid:
            return
        try:
            self._guarded(self._write_numbers)
        finally:
            if not self.closed:
                self._guarded(self.writer.close)
            self._stop()

    # ------------------------------------------------------------ what is seen

    def _run(self, program, bufs, scalars):
        """A program runs: an entry of WATCH."""
        start = clock()
        try:
            if len(tier0_program.WATCH) == 1:
                return program.run(bufs, scalars)
            return tier0_program.below(self._run, program, bufs, scalars)
        finally:
            if not self._in_data and threading.get_ident() == self._thread:
                self._kernels += clock() - start

    def _timed(self, following, iterator):
        """The next batch; its time is data."""
        if self._in_data:
            return following(iterator)
        self._in_data = True
        start = clock()
        try:
            return following(iterator)
        finally:
            self._in_data = False
            self._data += clock() - start

    def _after_step(self, optimizer, args, kwargs) -> None:
        """An optimiser's step has ended, and nothing is pending."""
        if optimizer is not self._main:
            if not self._optimizers and self.step == self._start + 1:
                self.step -= 1  # a log before the first step
            if not any(o is optimizer for o in self._optimizers):
                self._optimizers.append(optimizer)
            self._others += 1
            if self._main is not None and self._others < TURNS:
                return
            self._main = optimizer
        self._others = 0
        self.step += 1
        now = clock()
        if self._look is not None or (self.step >= self._next_look and now >= self._look_due):
            self._guarded(self._look_further)
            self._look_cost += clock() - now
        else:
            self._tick(now)

    def _tick(self, now: float) -> None:
        """A step has ended."""
        self._steps += 1
        if now >= self._due:
            self._guarded(self._write, now)

    # ------------------------------------------------------------ what is written

    def _restart(self, now: float) -> None:
        self._since, self._steps = now, 0
        self._due = now + self._interval(now)
        self._late = self._due + self._interval(now)
        self._kernels = self._data = 0.0
        self._compiled = _compile_seconds()

    def _write(self, now: float) -> None:
        """One point of what is seen without the user's help."""
        if self._numbers_due:  # nobody has logged since the last point, or what was still pending
            self._write_numbers()
        steps, add, step = max(self._steps, 1), self.writer.add_scalar, self.step
        whole = (now - self._since) / steps
        data, kernels = self._data / steps, self._kernels / steps
        add("time/step", whole, step)
        add("time/data", data, step)
        add("time/kernels", kernels, step)
        add("time/python", max(whole - data - kernels, 0.0), step)
        add("time/compiler", (_compile_seconds() - self._compiled) / steps, step)
        add("memory/process", process_now(), step)
        add("memory/arena", arena(), step)
        for tag, group in self._groups():
            if isinstance(group.get("lr"), (int, float, Tensor)):
                add(tag, float(group["lr"]), step)
        if now >= self._norms_due and self._optimizers:
            self._write_norms()
            after = clock()
            self._norms_due = after + max((after - now) / SHARE, self._interval(after))
        self.writer.flush()
        self._numbers_due = True
        self._restart(clock())

    def _interval(self, now: float) -> float:
        return self.every and max(self.every, (now - self._began) / POINTS)

    def _groups(self) -> Iterator[tuple[str, dict]]:
        """(tag, group) of each group of parameters."""
        for k, o in enumerate(self._optimizers):
            for g, group in enumerate(o.param_groups):
                name = (f" of {type(o).__name__} {k + 1}" if k else "") + (f", group {g + 1}" if g else "")
                yield f"optimizer/learning rate{name}", group

    def _write_norms(self) -> None:
        total, number = 0.0, 0
        for _, group in self._groups():
            given = group.get("param_names")
            for i, p in enumerate(group["params"]):
                number += 1
                g = p.grad
                if g is None or g.is_sparse or g._tr is not None:
                    continue
                a = array(g).reshape(-1)
                if a.dtype.kind == "V" or a.dtype == np.float16:
                    a = a.astype(np.float32)
                square = float(np.vdot(a, a).real)
                if square in (0.0, np.inf):  # too small or too large a square: once more, with care
                    a = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
                    square = float(np.vdot(a, a).real)
                total += square
                name = self._names.get(id(p)) or (given[i] if given else f"{number} {list(p.shape)}")
                self.writer.add_scalar(f"gradients/{name}", square ** 0.5, self.step)
        self.writer.add_scalar("gradients/all", total ** 0.5, self.step)

    def _write_numbers(self) -> None:
        for tag, n in self._numbers.items():
            n.fold()
            if n.count:
                self.writer.add_scalar(tag, n.total / n.count, n.step)
        self._numbers.clear()
        self._numbers_due = False
        self.writer.flush()
        self._late = max(self._late, clock() + self._interval(clock()))

    def _look_further(self) -> None:
        """Begin or end a look at one step: first at its kernels, then at its memory."""
        if self._look is None:
            self._write(clock())
            self._begin(explain())
            return
        look, step = self._look, self.step
        self._look = None
        look.__exit__(None, None, None)
        if isinstance(look, explain):
            self._save("explain.json", {"step": step, **look.data()})
            self._begin(memory())
            return
        rows: dict[Any, int] = {}
        for r in look.rows():
            rows[r] = rows.get(r, 0) + 1
        ordered = sorted(rows.items(), key=lambda e: -e[0].nbytes * e[1])
        self._save("memory.json", {
            "step": step, "peak": look.peak, "before": look.before, "after": look.after, "where": look.where,
            "rows": [[r.name, n, r.dtype, list(r.shape), r.nbytes, r.line] for r, n in ordered[:200]]})
        self._next_look = self._start + (step - 2 - self._start) * NEXT_LOOK
        now = clock()
        self._look_due, self._look_cost = now + self._look_cost / LOOK_SHARE, 0.0
        self._restart(now)

    def _begin(self, look) -> None:
        tier0_program.WATCH.remove(self._run)
        look.__enter__()
        tier0_program.WATCH.append(self._run)
        self._look = look

    def _save(self, name: str, content: dict) -> None:
        """Write a file of the folder: whole, or not at all."""
        path = os.path.join(self.folder, name)
        with open(f"{path}.partial", "w", encoding="utf-8") as f:
            json.dump(content, f)
        os.replace(f"{path}.partial", path)

    def _guarded(self, function, *args) -> None:
        """Training goes on if the disk is full; a forked child writes nothing."""
        if os.getpid() != self._pid:
            return
        try:
            function(*args)
        except OSError as e:
            warnings.warn(f"Recorder: nothing more is recorded in '{self.folder}': {e}", stacklevel=4)
            self._stop()

    def _stop(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._hook.remove()
        tier0_program.WATCH.remove(self._run)
        _RECORDERS.remove(self)
        if not _RECORDERS:
            _restore_loaders()
        self._optimizers.clear()
        self._numbers.clear()
        self._main = None
        atexit.unregister(self.close)
        look, self._look = self._look, None
        if look is not None:
            look.__exit__(None, None, None)


_RECORDERS: list[Recorder] = []
_PLAIN: dict[type, Any] = {}


def _time_loaders() -> None:
    """From now on the time of data loaders' iterators is measured."""
    for kind in LOADERS:
        plain = _PLAIN[kind] = kind.__next__
        kind.__next__ = _measured(plain)  # type: ignore[method-assign]


def _measured(plain):
    def following(self):
        recorder = _RECORDERS[-1]
        return plain(self) if threading.get_ident() != recorder._thread else recorder._timed(plain, self)

    return following


def _restore_loaders() -> None:
    for kind, plain in _PLAIN.items():
        kind.__next__ = plain  # type: ignore[method-assign]


def _compile_seconds() -> float:
    counters = getattr(sys.modules.get("rushlight.compile.llvm.objects"), "Counters", None)  # (the compiler's thread may be importing it)
    return 0.0 if counters is None else counters.seconds
