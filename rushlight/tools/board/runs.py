"""`Runs`: the run folders below a folder, and what their files hold, read as they grow.

A run is a folder with event files, with `metrics.json` (as the examples write it) or with a Recorder's
files. Files come from anywhere: what cannot be read is told in `problems`, and everything before it is kept.
"""

from __future__ import annotations

import json
import math
import os
import struct
import threading
import time
from array import array
from collections.abc import Iterator
from typing import Any

from ...utils.tensorboard.reader import Event, events_of, nodes_of
from ...utils.tensorboard.records import RecordError, read_records

PART = 4 << 20  # bytes of a file that are read at a time
KEPT = 24  # pictures, histograms and texts of a tag: the first, and the latest others
MOST_FOLDERS = 5000
MOST_JSON = 64 << 20  # bytes of a JSON file
PAUSE = 0.5  # seconds between looks at the disk
PICTURES = (".png", ".jpg", ".jpeg", ".gif")
JSON = ("metrics.json", "explain.json", "memory.json")
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, StopIteration, struct.error, RuntimeError, OverflowError)
SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif"))


class Series:
    """The points of a curve: steps, values and times (seconds since 1970)."""

    def __init__(self) -> None:
        self.steps, self.values, self.walls = array("d"), array("d"), array("d")

    def add(self, step: float, value: float, wall: float) -> None:
        self.steps.append(step)
        self.values.append(value)
        self.walls.append(wall)

    def drop_from(self, step: float) -> None:
        """Forget the points from a step on."""
        keep = [i for i, s in enumerate(self.steps) if s < step]
        for name in ("steps", "values", "walls"):
            points = getattr(self, name)
            setattr(self, name, array("d", [points[i] for i in keep]))

    def shown(self, most: int) -> dict[str, list]:
        """At most about `most` points, with the lowest and the highest of each stretch; None for what is not finite."""
        n = len(self.values)
        at: Any = range(n)
        if n > most:
            width = math.ceil(2 * n / most)
            kept: set[int] = {0, n - 1}
            for begin in range(0, n, width):
                stretch = range(begin, min(begin + width, n))
                kept.add(min(stretch, key=self.values.__getitem__))
                kept.add(max(stretch, key=self.values.__getitem__))
                wrong = next((i for i in stretch if not math.isfinite(self.values[i])), None)
                if wrong is not None:
                    kept.add(wrong)
            at = sorted(kept)
        finite = math.isfinite
        return {"steps": [self.steps[i] for i in at],
                "values": [v if finite(v := self.values[i]) else None for i in at],
                "walls": [round(self.walls[i], 3) for i in at],
                "wrong": sum(not finite(v) for v in self.values)}


class EventFile:
    """An event file, and how far it has been read."""

    def __init__(self, path: str):
        self.path, self.at, self.size = path, 0, 0
        self.problem, self.damaged, self.stuck = "", False, False

    def read(self) -> Iterator[Event]:
        """The events that were added since, of PART bytes; stops for good where the file is damaged."""
        self.size = os.path.getsize(self.path)
        if self.damaged or self.size <= self.at:
            return
        with open(self.path, "rb") as f:
            f.seek(self.at)
            content = f.read(PART)
            if len(content) == PART:  # its first record may be longer than that
                (length,) = struct.unpack_from("<Q", content)
                if PART < length + 16 <= self.size - self.at:
                    content += f.read(length + 16 - PART)
        name, before = os.path.basename(self.path), self.at
        try:
            for message in read_records(content, name):
                self.at += len(message) + 16
                try:
                    yield from events_of(message, self.path)
                except MALFORMED as e:
                    self.problem = f"{name}: the event before byte {self.at} cannot be read ({e}); it is left out."
        except RecordError:
            self.damaged = True
            self.problem = (f"{name} is damaged at byte {self.at} of {self.size} (a wrong checksum); "
                            "what comes before is shown.")
        self.stuck = self.at == before

    @property
    def more(self) -> bool:
        """Whether there is more that can be read at once."""
        return not self.damaged and not self.stuck and self.at < self.size


class Run:
    """One run: what its files hold so far. version: grows with every change."""

    def __init__(self, folder: str, id: str):
        self.folder, self.id = folder, id
        self.version, self.latest = 0, 0.0
        self._forget()

    def _forget(self) -> None:
        self.files: dict[str, EventFile] = {}
        self.events: dict[str, Series] = {}
        self.metrics: dict[str, Series] = {}
        self.media: dict[str, dict[str, list[Event]]] = {"image": {}, "text": {}, "histogram": {}}
        self.graph = b""
        self.json: dict[str, Any] = {}
        self.pictures: dict[str, float] = {}
        self.problems: dict[str, str] = {}
        self._times: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Run('{self.id}', {len(self.events) + len(self.metrics)} curves)"

    def refresh(self, names: list[str], until: float) -> bool:
        """Read what is new, until the clock shows `until`; whether there is more.

        names: of the files in its folder.
        """
        present = set(names)
        if any(n not in present or os.path.getsize(f.path) < f.at for n, f in self.files.items()):
            self._forget()  # begun anew
            self.version += 1
        more = False
        for name in sorted(names):
            path = os.path.join(self.folder, name)
            try:
                if "tfevents" in name:
                    more |= self._read_events(name, path, until)
                elif name in JSON and self._changed(name, path):
                    self._read_json(name, path)
                elif name.lower().endswith(PICTURES) and not os.path.islink(path) and self._changed(name, path):
                    self.pictures[name] = self._times[name]
            except OSError as e:
                self.problems[name] = f"{name}: {e.strerror}"
        for name in [n for n in self.pictures if n not in present]:
            del self.pictures[name], self._times[name]
            self.version += 1
        return more

    def _changed(self, name: str, path: str) -> bool:
        when = os.path.getmtime(path)
        if self._times.get(name) == when:
            return False
        self._times[name] = when
        self.latest = max(self.latest, when)
        self.version += 1
        return True

    def _read_events(self, name: str, path: str, until: float) -> bool:
        file = self.files.get(name)
        if file is None:
            file = self.files[name] = EventFile(path)
        while True:
            before = file.at
            for e in file.read():
                self._take(e)
            if file.at != before or (file.problem and name not in self.problems):
                self.version += 1
                self.latest = max(self.latest, os.path.getmtime(path))
            if file.problem:
                self.problems[name] = file.problem
            if not file.more or time.monotonic() > until:
                return file.more

    def _take(self, e: Event) -> None:
        if e.kind == "scalar":
            series = self.events.get(e.tag)
            if series is None:
                series = self.events[e.tag] = Series()
            series.add(e.step, e.value, e.wall_time)
        elif e.kind in self.media:
            kept = self.media[e.kind].setdefault(e.tag, [])
            kept.append(e)
            if len(kept) > KEPT:
                del kept[len(kept) // 2]
        elif e.kind == "graph":
            self.graph = e.value
        elif e.kind == "purge":
            for series in self.events.values():
                series.drop_from(e.step)
            for tags in self.media.values():
                for tag, kept in tags.items():
                    tags[tag] = [x for x in kept if x.step < e.step]

    def _read_json(self, name: str, path: str) -> None:
        self.problems.pop(name, None)
        try:
            if os.path.getsize(path) > MOST_JSON:
                raise ValueError(f"it has more than {MOST_JSON >> 20} MB")
            with open(path, encoding="utf-8") as f:
                content = json.load(f)
            if not isinstance(content, dict):
                raise ValueError("no object")
            if name == "metrics.json":
                self.metrics = _curves(content.get("history"), self._times[name])
            self.json[name] = content
        except (ValueError, RecursionError) as e:  # perhaps it is being written
            self.problems[name] = f"{name} cannot be read: {e}"

    # ------------------------------------------------------------ for the page

    def series(self) -> dict[str, Series]:
        """All curves by name."""
        found = {tag: s for tag, s in self.events.items() if s.steps}
        for tag, s in self.metrics.items():
            found[tag if tag not in found else f"{tag} (metrics.json)"] = s
        return found

    def about(self) -> dict[str, Any]:
        """What the list of runs tells."""
        steps = [s.steps[-1] for s in self.series().values()]
        return {"id": self.id, "name": self.id if self.id != "." else os.path.basename(os.path.abspath(self.folder)),
                "version": self.version, "latest": self.latest, "steps": max(steps, default=0),
                "problems": list(self.problems.values())}

    def scalars(self, most: int) -> dict[str, Any]:
        """{tag: points}."""
        return {tag: s.shown(most) for tag, s in self.series().items()}

    def shown_media(self) -> dict[str, Any]:
        """Texts, histograms, and which pictures there are."""
        kept = self.media
        return {
            "texts": {t: [[e.step, e.value] for e in es] for t, es in kept["text"].items()},
            "images": {t: [e.step for e in es] for t, es in kept["image"].items()},
            "files": [[n, when] for n, when in self.pictures.items()],
            "histograms": {t: [[e.step, e.value["bucket_limits"], e.value["bucket_counts"]] for e in es]
                           for t, es in kept["histogram"].items()},
            "result": self.json.get("metrics.json", {}).get("result"),
        }

    def looked_at(self) -> dict[str, Any]:
        """The step's programs and memory, and the model's graph."""
        try:
            graph = nodes_of(self.graph)
        except MALFORMED:
            graph = []
        return {"explain": self.json.get("explain.json"), "memory": self.json.get("memory.json"), "graph": graph}

    def picture(self, tag: str | None, number: int, file: str | None) -> tuple[bytes, str] | None:
        """A picture and its type: the `number`th of a tag, or a file of the folder; None if it is not there."""
        if file is not None:
            if file not in self.pictures:
                return None
            with open(os.path.join(self.folder, file), "rb") as f:
                content = f.read()
        else:
            kept = self.media["image"].get(tag or "", [])
            if not 0 <= number < len(kept):
                return None
            content = kept[number].value.get("data", b"")
        kind = next((k for start, k in SIGNATURES if content.startswith(start)), None)
        return None if kind is None else (content, kind)


def _curves(history: Any, written: float) -> dict[str, Series]:
    """The curves of `metrics.json`: its history is a list of {name: number}; `step` or `epoch` is where."""
    found: dict[str, Series] = {}
    rows = [r for r in history if isinstance(r, dict)] if isinstance(history, list) else []
    end = rows[-1].get("seconds", 0) if rows else 0
    for i, row in enumerate(rows):
        at = next((k for k in ("step", "epoch") if _is_number(row.get(k)) and math.isfinite(row[k])), None)
        step, seconds = row[at] if at else i + 1, row.get("seconds")
        wall = written - end + seconds if _is_number(seconds) and _is_number(end) else written
        for name, x in row.items():
            if _is_number(x) and name not in ("step", "epoch", "seconds", "cpu_seconds"):
                found.setdefault(name, Series()).add(step, x, wall)
    return found


def _is_number(x: Any) -> bool:
    return isinstance(x, float) or (isinstance(x, int) and not isinstance(x, bool) and abs(x) < 1e300)


class Runs:
    """The runs below `root`, by their path from there ("." is the folder itself)."""

    def __init__(self, root: str | os.PathLike):
        self.root = os.fspath(root)
        self.runs: dict[str, Run] = {}
        self.reading = False
        self._lock = threading.Lock()
        self._looked = 0.0

    def refresh(self, seconds: float = 1.0) -> None:
        """Look what is new on the disk, for about so long; not twice within PAUSE."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked < PAUSE and not self.reading:
                return
            until, present, more = now + seconds, set(), False
            for folder, names in self._folders():
                id = os.path.relpath(folder, self.root).replace(os.sep, "/")
                present.add(id)
                run = self.runs.get(id)
                if run is None:
                    run = self.runs[id] = Run(folder, id)
                try:
                    more |= run.refresh(names, until)
                except OSError as e:  # a file went away meanwhile
                    run.problems[""] = str(e)
            for id in set(self.runs) - present:
                del self.runs[id]
            self.reading = more
            self._looked = time.monotonic()

    def _folders(self) -> Iterator[tuple[str, list[str]]]:
        """(folder, names of its files) of each run."""
        for count, (folder, inner, names) in enumerate(os.walk(self.root)):
            if count >= MOST_FOLDERS:
                return
            inner[:] = sorted(d for d in inner if d[0] != ".")
            if any("tfevents" in n or n in JSON for n in names):
                yield folder, [n for n in names if os.path.isfile(os.path.join(folder, n))]
