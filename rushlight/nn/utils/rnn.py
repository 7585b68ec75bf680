"""Sequences of different lengths: padded, packed, and back."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import rushlight
from rushlight.ops.shape import padded_sequences
from rushlight.trace.tensor import Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence",
    "pad_packed_sequence", "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip

PackedSequence_ = namedtuple(
    "PackedSequence_", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"]
)


def bind(optional: Any, fn: Callable) -> Any:
    """`fn(optional)`, or None for None.

    >>> nn.utils.rnn.bind(3, str), nn.utils.rnn.bind(None, str)
    ('3', None)
    """
    return None if optional is None else fn(optional)


def copy_method_params(source_method: Callable) -> Callable:
    """A decorator that changes nothing: it tells PyTorch's type checker of another method's parameters."""
    return lambda method: method


class PackedSequence(PackedSequence_):
    """The steps of a batch of sequences one after the other, without padding.

    `data` (total, *) holds `batch_sizes[t]` rows for each step t, the longest sequences first.

    >>> packed = nn.utils.rnn.pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4, 5])])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Any = None,
        sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be "
                "created manually."
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, convert: Callable) -> PackedSequence:
        moved = [None if i is None else i for i in self[2:]]
        return type(self)(convert(self.data), self.batch_sizes, *moved)

    def pin_memory(self) -> PackedSequence:
        """The same sequence in page-locked memory."""
        return self._with(lambda t: t.pin_memory())

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data moved or cast as by `Tensor.to`."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self._with(lambda t: data)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data on a CUDA device."""
        return self._with(lambda t: t.cuda(*args, **kwargs))

    def cpu(self) -> PackedSequence:
        """The data on the CPU."""
        return self

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self.to(dtype=rushlight.float64)

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self.to(dtype=rushlight.float32)

    def half(self) -> PackedSequence:
        """The data as float16."""
        return self.to(dtype=rushlight.float16)

    def long(self) -> PackedSequence:
        """The data as int64."""
        return self.to(dtype=rushlight.int64)

    def int(self) -> PackedSequence:
        """The data as int32."""
        return self.to(dtype=rushlight.int32)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a CUDA device."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in page-locked memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes `permutation`."""
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences (T, B, *) (or (B, T, *) with `batch_first`) of the given lengths.

    With `enforce_sorted` the lengths must not increase; otherwise the batch is sorted.

    >>> padded = torch.tensor([[1, 2, 3], [4, 0, 0]])
    >>> nn.utils.rnn.pack_padded_sequence(padded, [3, 1], batch_first=True).data
    tensor([1, 4, 2, 3])
    """
    if isinstance(lengths, Tensor):
        sizes = [int(n) for n in lengths.tolist()]
    else:
        sizes = [int(n) for n in lengths]
    order = None
    if not enforce_sorted:
        ranked = rushlight.tensor(sizes, dtype=rushlight.int64).sort(descending=True, stable=True)
        order = ranked.indices
        sizes = ranked.values.tolist()
        input = input.index_select(0 if batch_first else 1, order)
    if batch_first:
        input = input.transpose(0, 1)
    if len(sizes) != input.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} "
            f"(batch_size={input.shape[1]})"
        )
    if any(a < b for a, b in zip(sizes, sizes[1:])):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    if sizes[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    counts = _rows_per_step(sizes)
    # one slice for each run of steps with equally many rows
    parts, start = [], 0
    for end in range(1, len(counts) + 1):
        if end == len(counts) or counts[end] != counts[start]:
            block = input[start:end, : counts[start]]
            parts.append(block.reshape(-1, *input.shape[2:]))
            start = end
    data = parts[0] if len(parts) == 1 else rushlight.cat(parts)
    return PackedSequence(data, rushlight.tensor(counts, dtype=rushlight.int64), order)


def _rows_per_step(sizes: list[int]) -> list[int]:
    """How many sequences reach each step; `sizes` do not increase."""
    counts = []
    rows = len(sizes)
    for step in range(sizes[0]):
        while sizes[rows - 1] <= step:
            rows -= 1
        counts.append(rows)
    return counts


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded sequences (T, B, *) of a packed one, in their first order, and their lengths."""
    counts = sequence.batch_sizes.tolist()
    steps = len(counts)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, "
                f"but got total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    data = sequence.data
    batch = counts[0]
    # where each padded position finds its row; missing ones take a row of padding at the end
    position = [[data.shape[0]] * batch for _ in range(steps)]
    offset = 0
    for step, count in enumerate(counts):
        position[step][:count] = range(offset, offset + count)
        offset += count
    filler = data.new_full((1, *data.shape[1:]), padding_value)
    index = rushlight.tensor(position, dtype=rushlight.int64).reshape(-1)
    padded = rushlight.cat([data, filler]).index_select(0, index)
    padded = padded.reshape(steps, batch, *data.shape[1:])
    if batch_first:
        padded = padded.transpose(0, 1)
    lengths = [sum(count > row for count in counts) for row in range(batch)]
    result = rushlight.tensor(lengths, dtype=rushlight.int64)
    unsorted = sequence.unsorted_indices
    if unsorted is not None:
        return padded.index_select(0 if batch_first else 1, unsorted), result[unsorted]
    return padded, result


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (T_i, *) padded to the longest: (T, B, *), or (B, T, *) with `batch_first`.

    >>> nn.utils.rnn.pad_sequence([torch.tensor([1, 2, 3]), torch.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    elif not isinstance(sequences, (list, tuple)):
        try:
            sequences = tuple(sequences)
        except TypeError:
            raise RuntimeError(
                "pad_sequence: Expected iterable for input sequences, but got arg of type: "
                f"{type(sequences)}"
            ) from None
    if padding_side not in ("left", "right"):
        raise ValueError(f"padding_side should be one of right or left, but got {padding_side}")
    longest = max(s.shape[0] for s in sequences)
    return padded_sequences(
        list(sequences), longest, batch_first, padding_side == "left", padding_value
    )


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch, each in its own length."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [s[:n] for s, n in zip(padded_sequences.unbind(0), lengths.tolist())]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences (T_i, *)."""
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The list of sequences of a packed one."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
