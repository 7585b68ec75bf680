"""Data sets: anything with `__getitem__` and `__len__`, or an iterable."""

from __future__ import annotations

import bisect
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from ...trace.tensor import Tensor

T = TypeVar("T", covariant=True)


def note(error: BaseException, text: str) -> None:
    """Add a line to an exception (PEP 678; Python 3.10 keeps it without printing it)."""
    if hasattr(error, "add_note"):
        error.add_note(text)
    else:
        error.__notes__ = [*getattr(error, "__notes__", []), text]


def collect(dataset, indices) -> list:
    """The samples at `indices`; an exception is told at which index it happened."""
    samples = []
    index = None
    try:
        for index in indices:
            samples.append(dataset[index])
    except Exception as error:
        try:
            error._rushlight_index = index
        except AttributeError:
            pass
        raise
    return samples


class Dataset(Generic[T]):
    """A map from indices to samples: subclasses define `__getitem__`, usually `__len__`.

    A subclass may define `__getitems__(indices)`, which returns a list of samples at once, and
    `sample_path(index)`, the file that errors about a sample are to name. `a + b` is a ConcatDataset.

    >>> class Squares(torch.utils.data.Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return index ** 2
    >>> Squares()[3], len(Squares() + Squares())
    (9, 8)
    """

    def __getitem__(self, index) -> T:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T], Iterable[T]):
    """A stream of samples: subclasses define `__iter__`.

    Each worker of a DataLoader iterates over its own copy; `get_worker_info()` tells it which part is
    its own. With `state_dict` and `load_state_dict` (of the data set, or of what `__iter__` returns), a
    DataLoader resumes without reading what was read before. `a + b` is a ChainDataset.

    >>> class Count(torch.utils.data.IterableDataset):
    ...     def __iter__(self):
    ...         info = torch.utils.data.get_worker_info()
    ...         first, step = (0, 1) if info is None else (info.id, info.num_workers)
    ...         return iter(range(first, 6, step))
    >>> list(torch.utils.data.DataLoader(Count(), batch_size=4))
    [tensor([0, 1, 2, 3]), tensor([4, 5])]
    """

    def __add__(self, other: Dataset):
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple]):
    """Samples are rows of tensors with the same first dimension.

    tensors: one or more. Raises AssertionError if their first dimensions differ.

    >>> torch.utils.data.TensorDataset(torch.arange(3), torch.eye(3))[1]
    (tensor(1), tensor([0., 1., 0.]))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor):
        if not all(tensors[0].size(0) == t.size(0) for t in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index):
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)


class StackDataset(Dataset):
    """Data sets side by side: samples are tuples (positional) or dicts (named).

    Raises ValueError for both kinds of arguments, none, or data sets of different lengths.

    >>> torch.utils.data.StackDataset(x=[1, 2], y=["a", "b"])[1]
    {'x': 2, 'y': 'b'}
    """

    datasets: tuple | dict

    def __init__(self, *args: Dataset, **kwargs: Dataset):
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or``dict``- (via ``kwargs``) like "
                "input/output, but both types are given."
            )
        parts = list(args) or list(kwargs.values())
        if not parts:
            raise ValueError("At least one dataset should be passed")
        self._length = len(parts[0])
        if any(len(p) != self._length for p in parts):
            raise ValueError("Size mismatch between datasets")
        self.datasets = args or kwargs

    def __getitem__(self, index):
        if isinstance(self.datasets, dict):
            return {k: d[index] for k, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __getitems__(self, indices: list) -> list:
        """Several samples at once; parts with `__getitems__` are asked once."""
        named = isinstance(self.datasets, dict)
        columns = []
        for part in self.datasets.values() if named else self.datasets:
            if callable(getattr(part, "__getitems__", None)):
                found = part.__getitems__(indices)
                if len(found) != len(indices):
                    raise ValueError(
                        "Nested dataset's output size mismatch. "
                        f"Expected {len(indices)}, got {len(found)}"
                    )
            else:
                found = collect(part, indices)
            columns.append(found)
        if named:
            return [dict(zip(self.datasets, row, strict=True)) for row in zip(*columns)]
        return list(zip(*columns))

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T]):
    """Data sets one after the other.

    Raises AssertionError for no data sets, or an iterable one.

    >>> both = torch.utils.data.ConcatDataset([[1, 2], [3]])
    >>> len(both), both[2], both[-3]
    (3, 3, 1)
    """

    datasets: list
    cumulative_sizes: list[int]

    @staticmethod
    def cumsum(sequence) -> list[int]:
        """Lengths of data sets, added up."""
        sums, total = [], 0
        for part in sequence:
            total += len(part)
            sums.append(total)
        return sums

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = self.cumsum(self.datasets)

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def locate(self, index: int) -> tuple[int, int]:
        """Which data set a sample is in, and where there."""
        if index < 0:
            if -index > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            index += len(self)
        part = bisect.bisect_right(self.cumulative_sizes, index)
        return part, index - (self.cumulative_sizes[part - 1] if part else 0)

    def __getitem__(self, index):
        part, at = self.locate(index)
        return self.datasets[part][at]

    @property
    def cummulative_sizes(self):
        """The old spelling of `cumulative_sizes`."""
        warnings.warn(
            "cummulative_sizes attribute is renamed to cumulative_sizes", DeprecationWarning,
            stacklevel=2,
        )
        return self.cumulative_sizes


class ChainDataset(IterableDataset):
    """Iterable data sets one after the other.

    Raises AssertionError when a data set that is not iterable is reached.

    >>> class Letters(torch.utils.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter("ab")
    >>> list(torch.utils.data.ChainDataset([Letters(), Letters()]))
    ['a', 'b', 'a', 'b']
    """

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = datasets

    def _checked(self):
        for d in self.datasets:
            if not isinstance(d, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield d

    def __iter__(self):
        for d in self._checked():
            yield from d

    def __len__(self) -> int:
        return sum(len(d) for d in self._checked())


class Subset(Dataset[T]):
    """The samples of a data set at given indices.

    A subclass that overrides `__getitem__` must override `__getitems__` as well, or
    NotImplementedError is raised.

    >>> list(torch.utils.data.Subset("abcd", [3, 0]))
    ['d', 'a']
    """

    dataset: Dataset
    indices: Sequence[int]

    def __init__(self, dataset: Dataset, indices: Sequence[int]):
        self.dataset, self.indices = dataset, indices
        own = type(self)
        if own.__getitem__ is not Subset.__getitem__ and own.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{own.__name__} overrides __getitem__ but not __getitems__, which DataLoader uses. "
                "Add it, for example: "
                "def __getitems__(self, indices): return [self[i] for i in indices]"
            )

    def __getitem__(self, index):
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list:
        """Several samples at once."""
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.dataset.__getitems__([self.indices[i] for i in indices])
        return collect(_Through(self), indices)

    def __len__(self) -> int:
        return len(self.indices)


class _Through:
    """A subset's data set seen through its indices, for `collect`."""

    def __init__(self, subset: Subset):
        self.subset = subset

    def __getitem__(self, index):
        return self.subset.dataset[self.subset.indices[index]]


def random_split(dataset: Dataset, lengths: Sequence[int | float], generator=None) -> list[Subset]:
    """Disjoint random subsets of given lengths, or of fractions that add up to 1.

    What rounding fractions down leaves over is given to the subsets in turn. generator: the default one
    if None. Raises ValueError if the lengths do not add up to the data set's, or for a fraction outside
    of [0, 1]. Warns about empty subsets.

    >>> g = torch.Generator().manual_seed(42)
    >>> [list(s) for s in torch.utils.data.random_split(range(10), [0.3, 0.7], generator=g)]
    [[2, 6, 1], [8, 4, 5, 0, 9, 3, 7]]
    """
    from ...ops.random import randperm

    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        sizes = []
        for i, fraction in enumerate(lengths):
            if not 0 <= fraction <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1")
            sizes.append(math.floor(len(dataset) * fraction))
        for i in range(len(dataset) - sum(sizes)):
            sizes[i % len(sizes)] += 1
        for i, n in enumerate(sizes):
            if n == 0:
                warnings.warn(f"Length of split at index {i} is 0. This might result in an empty "
                              "dataset.", stacklevel=2)
        lengths = sizes
    if sum(lengths) != len(dataset):
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset!"
        )
    order = randperm(sum(lengths), generator=generator).tolist()
    made: list[Subset] = []
    start = 0
    for n in lengths:
        made.append(Subset(dataset, order[start : start + n]))
        start += n
    return made


__all__ = [
    "ChainDataset", "ConcatDataset", "Dataset", "IterableDataset", "StackDataset", "Subset",
    "TensorDataset", "random_split",
]
