"""`read_events`: what an event file or a folder of them holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .records import read_records
from .wire import fields, floats, signed

KINDS = {1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 9: np.int64, 10: np.bool_}


@dataclass
class Event:
    """One value of an event file.

    wall_time: seconds since 1970. kind: "scalar", "histogram", "image", "audio", "text", "tensor",
    "pr_curve", "custom_scalars", "hparams", "graph", "purge" or "version". value: a float; a
    dictionary for histograms (min, max, num, sum, sum_squares, bucket_limits, bucket_counts),
    pictures (height, width, channels, data: the encoded file) and sounds; a text; an array; bytes
    for the rest.

    >>> from rushlight.utils.tensorboard import Event
    >>> Event(0.0, step=3, tag="loss", kind="scalar", value=0.5)
    Event(scalar 'loss' at step 3: 0.5)
    """

    wall_time: float
    step: int
    tag: str
    kind: str
    value: Any
    path: str = ""

    def __repr__(self) -> str:
        shown = repr(self.value)
        return (f"Event({self.kind} '{self.tag}' at step {self.step}: "
                f"{shown if len(shown) < 60 else shown[:57] + '...'})")


def read_events(path: str | os.PathLike, kind: str | None = None) -> list[Event]:
    """The events of a file, or of all event files in a folder and below, in the order of writing.

    path: the file or folder. kind: only events of this kind. A last record that is cut off (a run
    that crashed or still writes) is left out. Raises FileNotFoundError if there is no event file,
    `records.RecordError` if a checksum is wrong.

    >>> import tempfile
    >>> from rushlight.utils.tensorboard import SummaryWriter, read_events
    >>> folder = tempfile.mkdtemp()
    >>> with SummaryWriter(folder) as writer:
    ...     writer.add_text("note", "first try", 7)
    >>> read_events(folder, "text")
    [Event(text 'note' at step 7: 'first try')]
    """
    path = os.fspath(path)
    files = [path]
    if os.path.isdir(path):
        files = sorted(os.path.join(d, f) for d, _, names in os.walk(path) for f in names
                       if "tfevents" in f)
        if not files:
            raise FileNotFoundError(f"read_events: no event files in {path}")
    found: list[Event] = []
    for file in files:
        with open(file, "rb") as f:
            content = f.read()
        for message in read_records(content, file):
            found.extend(e for e in events_of(message, file) if kind is None or e.kind == kind)
    return found


def events_of(message: bytes, path: str = "") -> list[Event]:
    """The values of one record. ValueError, among others, for what is no event."""
    wall_time, step = 0.0, 0
    found: list[tuple[str, str, Any]] = []
    for number, x in fields(message):
        if number == 1:
            wall_time = floats(x)[0]
        elif number == 2:
            step = signed(x)
        elif number == 3:
            found.append(("", "version", x.decode()))
        elif number == 4:
            found.append(("", "graph", x))
        elif number == 5:
            found.extend(_value(v) for n, v in fields(x) if n == 1)
        elif number == 7:
            found.append(("", "purge", x))
    return [Event(wall_time, step, tag, kind, value, path) for tag, kind, value in found]


def _value(message: bytes) -> tuple[str, str, Any]:
    """(tag, kind, value) of a Summary.Value."""
    tag, kind, plugin, content = "", "tensor", "", b""
    value: Any = None
    for number, x in fields(message):
        if number == 1:
            tag = x.decode()
        elif number == 2:
            kind, value = "scalar", floats(x, "f")[0]
        elif number == 4:
            kind, value = "image", _named(x, {1: "height", 2: "width", 3: "channels", 4: "data"})
        elif number == 5:
            kind, value = "histogram", _histogram(x)
        elif number == 6:
            kind = "audio"
            value = _named(x, {2: "channels", 3: "frames", 4: "data"})
            value["sample_rate"] = next(floats(v, "f")[0] for n, v in fields(x) if n == 1)
        elif number == 8:
            value = _tensor(x)
        elif number == 9:
            for n, about in fields(x):
                if n == 1:
                    parts = dict(fields(about))
                    plugin, content = parts.get(1, b"").decode(), parts.get(2, b"")
    if plugin == "text":
        return tag.removesuffix("/text_summary"), "text", value[0].decode()
    if plugin == "scalars":
        return tag, "scalar", float(value)
    if plugin == "images" and kind == "tensor":  # as TensorFlow 2 writes them: width, height, pictures
        return tag, "image", {"width": int(value[0]), "height": int(value[1]), "data": value[2]}
    if plugin == "histograms" and kind == "tensor":
        return tag, "histogram", _of_triples(value)
    if plugin == "pr_curves":
        return tag, "pr_curve", value
    if plugin == "custom_scalars":
        return tag, plugin, value[0]
    if plugin == "hparams":
        return tag, plugin, content
    return tag, kind, value


def nodes_of(graph: bytes) -> list[tuple[str, str, list[str]]]:
    """(name, operator, names of what it reads) of each node of a "graph" event's value."""
    found = []
    for number, x in fields(graph):
        if number == 1:
            parts = list(fields(x))
            name, op = (next((v.decode() for n, v in parts if n == k), "") for k in (1, 2))
            found.append((name, op, [v.decode() for n, v in parts if n == 3]))
    return found


def _named(message: bytes, names: dict[int, str]) -> dict:
    return {names[n]: x for n, x in fields(message) if n in names}


def _histogram(message: bytes) -> dict:
    names = {1: "min", 2: "max", 3: "num", 4: "sum", 5: "sum_squares"}
    made: dict = {n: 0.0 for n in names.values()}
    made |= {"bucket_limits": [], "bucket_counts": []}
    for number, x in fields(message):
        if number in names:
            made[names[number]] = floats(x)[0]
        elif number in (6, 7):
            made["bucket_limits" if number == 6 else "bucket_counts"].extend(floats(x))
    return made


def _of_triples(a: np.ndarray) -> dict:
    """A histogram of rows (lower limit, upper limit, count), as TensorFlow 2 writes it; its sums are of the middles."""
    low, high, count = a.reshape(-1, 3).T
    middle = (low + high) / 2
    return {"min": float(low.min(initial=np.inf)), "max": float(high.max(initial=-np.inf)), "num": float(count.sum()),
            "sum": float((middle * count).sum()), "sum_squares": float((middle**2 * count).sum()),
            "bucket_limits": [*low[:1].tolist(), *high.tolist()], "bucket_counts": [0.0, *count.tolist()]}


def _tensor(message: bytes) -> Any:
    """An array; a list of bytes for texts."""
    kind, shape, content, texts, numbers = 0, [], None, [], []
    for number, x in fields(message):
        if number == 1:
            kind = x
        elif number == 2:
            shape = [signed(dict(fields(d)).get(1, 0)) for n, d in fields(x) if n == 2]
        elif number == 4:
            content = x
        elif number == 5:
            numbers.extend(floats(x, "f"))
        elif number == 6:
            numbers.extend(floats(x))
        elif number == 8:
            texts.append(x)
    if kind == 7:
        return texts
    if kind not in KINDS:
        return message
    if content is None:
        return np.array(numbers, KINDS[kind]).reshape(shape)
    return np.frombuffer(content, KINDS[kind]).reshape(shape)
