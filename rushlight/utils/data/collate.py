"""Batches from samples: `default_collate`, `default_convert`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence

import numpy as np

from ...trace.tensor import Tensor

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def rebuild_mapping(like, items: dict):
    """A mapping of the same kind with other items; a dict if its type cannot be made."""
    if type(like) is dict:
        return items
    try:
        if isinstance(like, MutableMapping):
            made = copy.copy(like)  # keeps attributes of the mapping
            made.update(items)
            return made
        return type(like)(items)
    except TypeError:
        return items


def rebuild_sequence(like, items: list):
    """A sequence of the same kind with other items; a list if its type cannot be made."""
    if type(like) is list:
        return items
    try:
        if isinstance(like, MutableSequence):
            made = copy.copy(like)
            for i, item in enumerate(items):
                made[i] = item
            return made
        return type(like)(items)
    except TypeError:
        return items


def default_convert(data):
    """Arrays in nested data become tensors; everything else stays. For loaders without batching.

    >>> import numpy as np
    >>> torch.utils.data.default_convert({"x": np.arange(3), "name": "three"})
    {'x': tensor([0, 1, 2]), 'name': 'three'}
    """
    if isinstance(data, Tensor):
        return data
    if isinstance(data, np.ndarray) or (
        isinstance(data, np.generic) and not isinstance(data, (np.str_, np.bytes_))
    ):
        from ...ops.creation import as_tensor

        return data if data.dtype.kind in "SUO" else as_tensor(np.asarray(data))
    if isinstance(data, Mapping):
        return rebuild_mapping(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple):
        items = [default_convert(d) for d in data]
        return type(data)(*items) if hasattr(data, "_fields") else items
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return rebuild_sequence(data, [default_convert(d) for d in data])
    return data


def default_collate(batch):
    """A list of samples as one batch: tensors are stacked, structures are kept.

    Tensors, arrays and numbers become tensors with a new first dimension (Python's floats float64);
    strings and bytes stay lists; mappings, named tuples, tuples and sequences are collated item by item.
    Types in `default_collate_fn_map` are collated by the functions there.

    Raises RuntimeError for samples of different sizes, TypeError for unknown types.

    >>> torch.utils.data.default_collate([{"x": 1, "s": "a"}, {"x": 2, "s": "b"}])
    {'x': tensor([1, 2]), 's': ['a', 'b']}
    >>> torch.utils.data.default_collate([(0, 1.5), (2, 3.5)])
    [tensor([0, 2]), tensor([1.5000, 3.5000], dtype=torch.float64)]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch, *, collate_fn_map: dict[type | tuple, Callable] | None = None):
    """`default_collate` with a table of functions for the types of leaves.

    collate_fn_map: type, or tuple of types, to `f(batch, *, collate_fn_map)`; the first entry that a
    sample is an instance of is used. Raises TypeError for leaves that no entry fits.

    >>> from rushlight.utils.data.collate import collate
    >>> collate([(1, 2), (3, 4)], collate_fn_map={int: lambda b, *, collate_fn_map: sum(b)})
    [4, 6]
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        fn = collate_fn_map.get(kind)
        if fn is None:
            fn = next((f for k, f in collate_fn_map.items() if isinstance(first, k)), None)
        if fn is not None:
            return fn(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        return rebuild_mapping(
            first,
            {k: collate([d[k] for d in batch], collate_fn_map=collate_fn_map) for k in first},
        )
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*(collate(s, collate_fn_map=collate_fn_map) for s in zip(*batch)))
    if isinstance(first, Sequence):
        size = len(first)
        if not all(len(b) == size for b in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        items = [collate(s, collate_fn_map=collate_fn_map) for s in zip(*batch)]
        return items if isinstance(first, tuple) else rebuild_sequence(first, items)
    raise TypeError(default_collate_err_msg_format.format(kind))


def collate_tensor_fn(batch, *, collate_fn_map=None):
    """Tensors, stacked."""
    from ...ops.shape import stack

    return stack(list(batch), 0)


def collate_numpy_array_fn(batch, *, collate_fn_map=None):
    """Arrays, as tensors and stacked. Raises TypeError for arrays of strings or objects."""
    from ...ops.creation import as_tensor

    if batch[0].dtype.kind in "SUO":
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([as_tensor(b) for b in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch, *, collate_fn_map=None):
    """NumPy's scalars."""
    from ...ops.creation import as_tensor

    return as_tensor(np.array(batch))


def collate_float_fn(batch, *, collate_fn_map=None):
    """Python's floats, as float64."""
    from ...ops.creation import tensor
    from ...trace.dtypes import float64

    return tensor(batch, dtype=float64)


def collate_int_fn(batch, *, collate_fn_map=None):
    """Python's integers and truth values."""
    from ...ops.creation import tensor

    return tensor(batch)


def collate_str_fn(batch, *, collate_fn_map=None):
    """Strings and bytes: as they are."""
    return batch


default_collate_fn_map: dict[type | tuple, Callable] = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


__all__ = [
    "collate", "default_collate", "default_collate_err_msg_format", "default_collate_fn_map",
    "default_convert",
]
