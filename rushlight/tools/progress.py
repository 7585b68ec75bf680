"""`progress(loader)`: how far a training loop is, and its running numbers."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from ..trace.tensor import Tensor

WINDOW = 50  # the last values that a shown number is the mean of


class progress:
    """Iterate over `iterable` and show on the terminal how far it is.

    total: number of rounds, if `iterable` has no length. description: what stands in front, such as
    "epoch 3". unit: what a round is. interval: seconds between redraws. file: where to, stderr if not
    given. last_line: print a line at the end (time and numbers); it is all that is shown where
    there is no terminal. bar: True or False to draw or not, whether there is a terminal or not.

    `show(loss=loss)` sets numbers: each is displayed as the mean of its last 50 values. Tensors are
    kept as they are and read only when the line is redrawn, so that showing a loss at each step
    does not force deferred operations to run at each step. tqdm draws the line, if it is installed.

    >>> import sys
    >>> from rushlight.tools.progress import progress
    >>> bar = progress(range(3), description="epoch 1", file=sys.stdout)
    >>> for x in bar:  # doctest: +ELLIPSIS
    ...     bar.show(loss=torch.tensor(float(x)))
    epoch 1: 3 batches in ... s, loss 1
    """

    def __init__(self, iterable: Iterable | None = None, total: int | None = None,
                 description: str = "", *, unit: str = "batch", interval: float = 0.1,
                 file: Any = None, last_line: bool = True, bar: bool | None = None):
        self.iterable = iterable
        if total is None and hasattr(iterable, "__len__"):
            total = len(iterable)
        self.total, self.description, self.unit = total, description, unit
        self.interval, self.last_line = interval, last_line
        self.file = sys.stderr if file is None else file
        if bar is None:
            bar = bool(getattr(self.file, "isatty", lambda: False)())
        self.count, self.reads = 0, 0
        self._values: dict[str, deque] = {}
        self._started = time.perf_counter()
        self._closed = False
        self._line = _line_of(self) if bar else None

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError("progress over something without a length")
        return self.total

    def __iter__(self) -> Iterator:
        if self.iterable is None:
            raise TypeError("progress: there is nothing to iterate over; call update()")
        finished = False
        try:
            for x in self.iterable:
                yield x
                self.update()
            finished = True
        finally:
            self.close(finished)

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        self.close(kind is None)

    def update(self, n: int = 1) -> None:
        """`n` more rounds are done."""
        self.count += n
        if self._line is not None:
            self._line.update(n)

    def show(self, **numbers: Any) -> None:
        """Set the numbers to show: Python numbers, or tensors with one element.

        ValueError for tensors with more elements; their values are not read here.
        """
        for name, x in numbers.items():
            if isinstance(x, Tensor):
                if x.numel() != 1:
                    raise ValueError(
                        f"show: '{name}' should be a single number, got shape {list(x.shape)}"
                    )
                x = x.detach()  # else the loss would keep its graph alive
            kept = self._values.get(name)
            if kept is None:
                kept = self._values[name] = deque(maxlen=WINDOW)
            kept.append(x)

    def numbers(self) -> dict[str, float]:
        """The numbers as they would be shown now; reads the tensors."""
        found = {}
        self.reads += 1
        for name, kept in self._values.items():
            for i, x in enumerate(kept):
                if x.__class__ is not float:
                    kept[i] = float(x)
            found[name] = sum(kept) / len(kept)
        return found

    def text(self) -> str:
        """The numbers as text: `loss 0.123, accuracy 0.9`."""
        return ", ".join(f"{n} {v:.4g}" for n, v in self.numbers().items())

    def close(self, finished: bool = True) -> None:
        """Remove the line; print the last one unless the loop was broken by an error."""
        if self._closed:
            return
        self._closed = True
        if self._line is not None:
            self._line.close()
        if self.last_line and finished:
            head = f"{self.description}: " if self.description else ""
            seconds = time.perf_counter() - self._started
            plural = {"batch": "batches"}.get(self.unit, self.unit + "s")
            numbers = self.text()
            print(f"{head}{self.count} {plural} in {seconds:.1f} s" + (
                f", {numbers}" if numbers else ""), file=self.file, flush=True)


def _line_of(shown: progress) -> Any:
    """tqdm's line, or our own."""
    try:
        from tqdm import tqdm
    except ImportError:
        return _PlainLine(shown)

    class Bar(tqdm):
        monitor_interval = 0  # its thread would read tensors while this one records

        @property
        def format_dict(self):
            known = super().format_dict
            if shown.count:
                known["postfix"] = shown.text()
            return known

    return Bar(total=shown.total, desc=shown.description or None, unit=shown.unit, leave=False,
               mininterval=shown.interval, file=shown.file, dynamic_ncols=True)


class _PlainLine:
    """A line that is written over itself, for terminals without tqdm."""

    def __init__(self, shown: progress):
        self.shown = shown
        self.started = self.drawn = time.perf_counter()
        self.width = 0

    def update(self, n: int) -> None:
        now = time.perf_counter()
        if now - self.drawn >= self.shown.interval:
            self.drawn = now
            self.draw(now)

    def draw(self, now: float) -> None:
        s = self.shown
        rate = s.count / max(now - self.started, 1e-9)
        parts = [f"{s.description}: " if s.description else ""]
        if s.total:
            share = min(s.count / s.total, 1)
            parts.append(f"{100 * share:3.0f}% [{'#' * int(20 * share):20}] {s.count}/{s.total}")
            parts.append(f" {max(s.total - s.count, 0) / max(rate, 1e-9):.0f} s left,")
        else:
            parts.append(f"{s.count}")
        parts.append(f" {rate:.1f} {s.unit}/s")
        numbers = s.text()
        line = "".join(parts) + (f", {numbers}" if numbers else "")
        print("\r" + line.ljust(self.width), end="", file=s.file, flush=True)
        self.width = len(line)

    def close(self) -> None:
        if self.width:
            print("\r" + " " * self.width + "\r", end="", file=self.shown.file, flush=True)


__all__ = ["progress"]
