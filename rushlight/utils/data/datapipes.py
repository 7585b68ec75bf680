"""The names of PyTorch's data pipes. Pipes work as data sets; the library of pipes itself is not here."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TypeVar

from .dataset import Dataset, IterableDataset

T = TypeVar("T", covariant=True)


class _Functional:
    """Methods that `functional_datapipe` registered."""

    functions: dict[str, Callable] = {}

    def __getattr__(self, name: str):
        made = type(self).functions.get(name)
        if made is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return functools.partial(made, self)

    @classmethod
    def register_function(cls, name: str, function: Callable) -> None:
        """Make `pipe.name(...)` call `function(pipe, ...)`."""
        cls.functions[name] = function

    @classmethod
    def register_datapipe_as_function(cls, name: str, made: Callable,
                                      enable_df_api_tracing: bool = False) -> None:
        """Make `pipe.name(...)` build `made(pipe, ...)`; an Exception if the name is taken."""
        if name in cls.functions:
            raise Exception(
                f"Unable to add DataPipe function name {name} as it is already taken"
            )
        cls.register_function(name, made)


class IterDataPipe(_Functional, IterableDataset[T]):
    """An iterable data set whose kind can be chained: `pipe.name(...)`.

    >>> @torch.utils.data.functional_datapipe("doubled_example")
    ... class Doubled(torch.utils.data.IterDataPipe):
    ...     def __init__(self, source):
    ...         self.source = source
    ...     def __iter__(self):
    ...         return (2 * x for x in self.source)
    >>> list(Doubled([1, 2]).doubled_example())
    [4, 8]
    """

    functions: dict[str, Callable] = {}

    def reset(self) -> None:
        """Called when an iteration begins anew; does nothing here."""


class DFIterDataPipe(IterDataPipe):
    """An IterDataPipe of data frames, by name only.

    >>> issubclass(torch.utils.data.DFIterDataPipe, torch.utils.data.IterDataPipe)
    True
    """


class MapDataPipe(_Functional, Dataset[T]):
    """A data set with indices whose kind can be chained; see IterDataPipe.

    >>> class Letters(torch.utils.data.MapDataPipe):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         return "abc"[index]
    >>> letters = Letters()
    >>> letters[2], len(letters)
    ('c', 3)
    """

    functions: dict[str, Callable] = {}


class DataChunk(list):
    """A list of samples that belong together.

    >>> torch.utils.data.DataChunk([1, 2]).as_str()
    '[1, 2]'
    """

    def __init__(self, items):
        items = list(items)
        super().__init__(items)
        self.items = items

    def as_str(self, indent: str = "") -> str:
        """The chunk as text."""
        return indent + "[" + ", ".join(str(i) for i in self) + "]"

    def raw_iterator(self) -> Iterator:
        """An iterator over the items as they were given."""
        yield from self.items


class functional_datapipe:
    """A decorator: pipes get a method of this name that makes the decorated pipe.

    >>> @torch.utils.data.functional_datapipe("backwards_example")
    ... class Backwards(torch.utils.data.IterDataPipe):
    ...     def __init__(self, source):
    ...         self.source = source
    ...     def __iter__(self):
    ...         return reversed(list(self.source))
    >>> list(Backwards([1, 2, 3]).backwards_example())
    [1, 2, 3]
    """

    def __init__(self, name: str, enable_df_api_tracing: bool = False):
        self.name = name

    def __call__(self, cls):
        base = IterDataPipe if issubclass(cls, IterDataPipe) else MapDataPipe
        if not issubclass(cls, (IterDataPipe, MapDataPipe)):
            raise TypeError("`functional_datapipe` can only decorate IterDataPipe or MapDataPipe")
        base.register_datapipe_as_function(self.name, cls)
        return cls


@contextlib.contextmanager
def guaranteed_datapipes_determinism():
    """Accepted for programs that use it; pipes here have no other mode."""
    yield


def non_deterministic(arg=None):
    """A decorator for pipes whose order may vary; changes nothing here."""
    return arg if isinstance(arg, type) else (lambda cls: cls)


def argument_validation(f):
    """A decorator that checks types of arguments in PyTorch; changes nothing here."""
    return f


def runtime_validation(f):
    """A decorator that checks types of samples in PyTorch; changes nothing here."""
    return f


@contextlib.contextmanager
def runtime_validation_disabled():
    """Accepted for programs that use it."""
    yield


__all__ = [
    "DFIterDataPipe", "DataChunk", "IterDataPipe", "MapDataPipe", "argument_validation",
    "functional_datapipe", "guaranteed_datapipes_determinism", "non_deterministic",
    "runtime_validation", "runtime_validation_disabled",
]
