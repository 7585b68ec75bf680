"""Where a loader is: what `DataLoader.state_dict` keeps, and how an epoch is taken up again.

An epoch's order follows from the random numbers at its start, so these are kept (`Epoch.start`), with the
number of batches that were taken from the sampler. To resume, the numbers are put back, the sampler
is asked again, and the batches that were given out before are not fetched. A sampler may draw numbers
in between, from generators that the training loop uses too: what the generators were at such a draw
is in `Indices.log`. A sampler with `state_dict` and `load_state_dict` is asked for its state instead.
"""

from __future__ import annotations

import random
import sys
from collections import deque

from ...trace.generator import Generator, default_generator
from .distributed import DistributedSampler
from .fetch import stateful
from .sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    draw_seed,
)

LOG_ENTRIES = 1024  # draws of a custom sampler that are remembered; the latest count
VERSION = 1

# These draw from the default generator at the first index or not at all.
_DRAW_AT_START = (
    SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler, DistributedSampler,
    list, tuple, range,
)


class Endless:
    """A sampler for streams: no index means anything."""

    def __iter__(self):
        while True:
            yield None


# ---------------------------------------------------------------- random numbers


class RandomState:
    """Watches the three generators that a program may use: Rushlight's, Python's and NumPy's.

    `changes()` returns the states of those that have drawn since it was called last. Whether one has
    is read from NumPy's engines' memory, since asking for their states takes 30 microseconds.
    """

    def __init__(self):
        self._seen: dict = {}
        self.changes()

    def changes(self) -> dict:
        """{name: state} of the generators that have moved."""
        _settle()
        moved = {}
        for name, mark in (("torch", _torch_mark()), ("numpy", _numpy_mark())):
            if mark is not None and self._seen.get(name) != mark:
                self._seen[name] = mark
                moved[name] = _READ[name]()
        state = random.getstate()
        if self._seen.get("python") != state:
            self._seen["python"] = moved["python"] = state
        return moved


def random_state() -> dict:
    """The states of the generators that are in use, by name."""
    return {
        name: read() for name, read in _READ.items() if name != "numpy" or _numpy() is not None
    }


def set_random_state(state: dict) -> None:
    """Put generators back to states that `random_state` returned."""
    import numpy as np

    from ...trace.tensor import wrap

    if "torch" in state:
        default_generator.set_state(wrap(np.frombuffer(state["torch"], np.uint8).copy()))
    if "python" in state:
        version, key, gauss = state["python"]
        random.setstate((version, tuple(key), gauss))
    if "numpy" in state:
        kind, key, *rest = state["numpy"]
        np.random.set_state((kind, np.frombuffer(key, np.uint32), *rest))


def _settle() -> None:
    """Draw the random numbers that were asked for."""
    from ...trace.segments import flush

    flush()


def _words(engine) -> bytes:
    """An engine's 624 words and its position."""
    import ctypes

    return ctypes.string_at(engine.ctypes.state_address, 4 * 625)


def _torch_mark():
    g = default_generator
    return (g._seed, g._fresh, g._next_normal, _words(g._bits))


def _torch_state() -> bytes:
    return default_generator.get_state().numpy().tobytes()


def _numpy():
    """NumPy's module of random numbers, if the program has loaded it."""
    return sys.modules.get("numpy.random")


def _numpy_mark():
    module = _numpy()
    if module is None:
        return None
    engine = module.mtrand._rand._bit_generator
    if type(engine).__name__ != "MT19937":
        return None
    kept = module.mtrand._rand.get_state(legacy=False)["has_gauss"] if _numpy_gauss[0] else 0
    return (_words(engine), kept)


_numpy_gauss = [False]  # a normal number was in store when the state was read last


def _numpy_state() -> tuple:
    import numpy as np

    kind, key, position, has_gauss, gauss = np.random.get_state()
    _numpy_gauss[0] = bool(has_gauss)
    return (kind, key.tobytes(), position, has_gauss, gauss)


_READ = {"torch": _torch_state, "python": random.getstate, "numpy": _numpy_state}


# ---------------------------------------------------------------- samplers


def samplers(loader) -> list:
    """The samplers of a loader, the outer ones first."""
    found: list = []
    thing = loader._index_sampler
    while thing is not None and len(found) < 8:
        found.append(thing)
        thing = getattr(thing, "sampler", None)
    return found


def holders(loader) -> list[Generator]:
    """The loader's and its samplers' own generators."""
    found: list = []
    for holder in [loader, *samplers(loader)]:
        for value in getattr(holder, "__dict__", {}).values():
            if isinstance(value, Generator) and not any(value is g for g in found):
                found.append(value)
    return found


def capture(loader) -> dict:
    """Everything random that the order of batches depends on, now."""
    return {
        "random": random_state(),
        "generators": [g.get_state().numpy().tobytes() for g in holders(loader)],
        "epochs": [getattr(s, "epoch", None) for s in samplers(loader)],
    }


def restore(loader, state: dict) -> None:
    """Put back what `capture` returned."""
    import numpy as np

    from ...trace.tensor import wrap

    set_random_state(state["random"])
    for g, raw in zip(holders(loader), state["generators"]):
        g.set_state(wrap(np.frombuffer(raw, np.uint8).copy()))
    for s, epoch in zip(samplers(loader), state["epochs"]):
        if epoch is not None:
            s.epoch = epoch


class Indices:
    """A sampler's indices, one batch a time, with what is needed to draw them again."""

    def __init__(self, loader):
        chain = samplers(loader)
        # BatchSampler holds nothing between batches, so the sampler inside speaks for both
        inner = chain[-1] if all(type(s) is BatchSampler for s in chain[:-1]) else chain[0]
        self.custom = not isinstance(inner, Endless) and type(inner) not in _DRAW_AT_START
        self.watched = not isinstance(inner, Endless)
        self.iterator = iter(chain[0])
        self.keeper = next((s for s in (self.iterator, chain[0], inner) if stateful(s)), None)
        if self.keeper is not None:
            self.custom = self.watched = False
        self.pulled = 0
        self.log: deque = deque(maxlen=LOG_ENTRIES)

    def __next__(self):
        if not self.watched or (self.pulled and not self.custom):
            found = next(self.iterator)
        else:
            before = random_state()
            found = next(self.iterator)
            if not self.pulled or random_state() != before:
                self.log.append((self.pulled, before))
        self.pulled += 1
        return found

    def state(self) -> dict:
        """How to get here again."""
        kept = None if self.keeper is None else self.keeper.state_dict()
        return {"pulled": self.pulled, "log": list(self.log), "sampler": kept}


def again(loader, state: dict, begin) -> Indices:
    """Indices that go on where `state` was taken. begin: makes the indices as at the epoch's start."""
    if state["sampler"] is not None:
        keeper = begin(check=True).keeper
        if keeper is None:
            raise ValueError(
                "load_state_dict: the state holds its sampler's own state, but this loader's sampler "
                "has no load_state_dict"
            )
        if any(keeper is s for s in samplers(loader)):
            keeper.load_state_dict(state["sampler"])
        indices = Indices(loader)
        if not any(keeper is s for s in samplers(loader)):  # what iter(sampler) returns keeps it
            indices.keeper.load_state_dict(state["sampler"])
        indices.pulled = state["pulled"]
        return indices
    indices = begin()
    log = dict(state["log"])
    for n in range(state["pulled"]):
        if n in log:
            set_random_state(log[n])
        try:
            next(indices)
        except StopIteration:
            raise ValueError(
                f"load_state_dict: the state was taken after {state['pulled']} batches, but the "
                f"sampler has only {n}: is the data set or the sampler another one?"
            ) from None
    indices.log.clear()
    indices.log.extend(state["log"])
    return indices


class Epoch:
    """One pass over a loader: how it began and how far it is."""

    def __init__(self, loader, state: dict | None = None, seeded: bool = True, twice: bool = False):
        """seeded: draws a base seed. twice: makes the sampler's iterator before and after that, as
        PyTorch's loader with workers does."""
        if state is not None:
            seeded, twice = state["seeded"], state["twice"]
            restore(loader, state["start"])
        self.loader, self.seeded, self.twice = loader, seeded, twice
        self.start = capture(loader) if state is None else state["start"]
        self.base_seed = None
        self.given = 0  # every batch below this number was given out
        self.beyond: set[int] = set()  # and these
        self.finished = False
        self.workers: dict[int, dict] = {}  # by worker: batches given, random states, stream
        self.sent: dict = {}  # number: (worker, indices) of batches on their way
        self.turn = 0
        self.stream_state = lambda: None
        if state is None:
            self.indices = self._begin()
            return
        self.indices = again(loader, state["indices"], self._begin)
        self.base_seed = state["base_seed"]
        self.given, self.beyond = state["given"], set(state["beyond"])
        self.turn = state["turn"]
        self.workers = {w: dict(kept) for w, kept in state["workers"].items()}

    def _begin(self, check: bool = False) -> Indices:
        indices = Indices(self.loader)
        if check:
            return indices
        if self.seeded:
            self.base_seed = draw_seed(self.loader.generator)
            if self.twice:
                indices = Indices(self.loader)
        return indices

    def state(self) -> dict:
        """What `Epoch(loader, state)` needs."""
        return {
            "start": self.start,
            "seeded": self.seeded,
            "twice": self.twice,
            "base_seed": self.base_seed,
            "given": self.given,
            "beyond": sorted(self.beyond),
            "indices": self.indices.state(),
            "sent": sorted((n, w, indices) for n, (w, indices) in self.sent.items()),
            "turn": self.turn,
            "workers": {w: dict(kept) for w, kept in self.workers.items()},
            "stream": self.stream_state(),
        }


def save(loader) -> dict:
    """`DataLoader.state_dict`."""
    epoch = loader._epoch
    return {
        "version": VERSION,
        "loader": description(loader),
        "epoch": None if epoch is None or epoch.finished else epoch.state(),
        "now": capture(loader),
    }


def description(loader) -> dict:
    """What two loaders must share for one to go on with the other's state."""
    length = None
    if not loader._stream:
        try:
            length = len(loader.dataset)
        except TypeError:
            pass
    return {
        "num_workers": loader.num_workers,
        "batch_size": loader.batch_size,
        "drop_last": loader.drop_last,
        "stream": loader._stream,
        "length": length,
    }


def check(loader, state: dict) -> None:
    """ValueError if a state cannot be this loader's."""
    if not isinstance(state, dict) or state.get("version") != VERSION or "loader" not in state:
        raise ValueError("load_state_dict needs what DataLoader.state_dict() returned")
    mine, theirs = description(loader), state["loader"]
    free = () if loader._stream else ("num_workers",)
    different = [
        f"{name}={mine[name]!r} (state: {theirs[name]!r})"
        for name in mine
        if mine[name] != theirs[name] and name not in free
    ]
    if different:
        raise ValueError(
            "load_state_dict: the state is that of another loader; this one has "
            + ", ".join(different)
        )


__all__ = ["Endless", "Epoch", "Indices", "RandomState", "check", "random_state", "save"]
