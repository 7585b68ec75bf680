"""Batches from samples: `default_collate`, `default_convert`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...trace.tensor import Tensor

MESSAGE = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_convert(data):
    """Arrays in nested data become tensors; everything else stays."""
    from ...ops.creation import as_tensor

    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        if data.dtype.kind in "SUO":
            return data
        return as_tensor(np.asarray(data))
    if isinstance(data, Mapping):
        return type(data)({k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(d) for d in data))
    if isinstance(data, tuple):
        return [default_convert(d) for d in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return type(data)([default_convert(d) for d in data])
    return data


def default_collate(batch):
    """A list of samples as one batch: tensors are stacked, structures are kept.

    Raises RuntimeError for samples of different sizes, TypeError for unknown types.
    """
    return collate(batch)


def collate(batch, *, collate_fn_map=None):
    """`default_collate` with functions for further types."""
    from ...ops.creation import tensor
    from ...ops.shape import stack
    from ...trace.dtypes import float64

    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        for known, fn in collate_fn_map.items():
            if isinstance(first, known):
                return fn(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Tensor):
        return stack(list(batch), 0)
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(MESSAGE.format(first.dtype))
        from ...ops.creation import as_tensor

        return stack([as_tensor(b) for b in batch], 0)
    if isinstance(first, np.generic):
        if first.dtype.kind in "SUO":
            raise TypeError(MESSAGE.format(first.dtype))
        from ...trace.tensor import wrap

        return wrap(np.array(batch))
    if isinstance(first, bool):
        return tensor(batch)
    if isinstance(first, float):
        return tensor(batch, dtype=float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        made = {k: collate([d[k] for d in batch], collate_fn_map=collate_fn_map) for k in first}
        try:
            return kind(made)
        except TypeError:
            return made
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*(collate(s, collate_fn_map=collate_fn_map) for s in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        size = len(first)
        if not all(len(b) == size for b in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [collate(s, collate_fn_map=collate_fn_map) for s in zip(*batch, strict=True)]
    raise TypeError(MESSAGE.format(kind))
