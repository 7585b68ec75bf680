"""Memory layouts: copies in a given layout, memory formats, resizing. Internal operators."""

from __future__ import annotations

import numpy as np

from ..interpret.tier0 import converted
from . import dtypes
from .device import CPU
from .dtypes import channels_last, channels_last_3d, contiguous_format
from .meta import Meta, contiguous_strides, is_dense, meta, same_layout
from .operator import OPERATORS, RUNTIME, Scalar, Size, Tensor, op
from .tensor import without_values


@op(
    lambda size, value, dtype: meta(size, dtype), compute="storage", api="",
    lower=lambda build, size, value, dtype: build.filled(value),
)
def _filled(size: Size, value: Scalar, dtype: dtypes.dtype):
    """A new tensor of `size` filled with a number."""
    if dtype in dtypes.FLOAT8:
        value = converted(np.float64(value), dtype.np)
    return np.full(size, np.float32(value) if dtype is dtypes.float16 else value, dtype.np)


def filled(shape, value, dtype):
    """A new tensor of `shape` whose elements are `value`."""
    return _filled(shape, value, dtype)


def made_on(where, o, *args):
    """What an operator without tensors makes on a device: on meta, it is not run."""
    if where is CPU:
        return o(*args)
    known = OPERATORS[o.__name__]
    return without_values(known.rule(*[x for x, k in zip(args, known.kinds, strict=True) if k != RUNTIME]))


def filled_like(m: Meta, value):
    """A new contiguous tensor with the shape, dtype and device of Meta `m`."""
    made = meta(m.shape, m.dtype, None, 0, m.device)
    return filled(m.shape, value, m.dtype) if m.placeholder is None else without_values(made)


@op(
    lambda input, strides: meta(input.shape, input.dtype, strides),
    gradient={"input": lambda g: g},
    compute="storage",
    api="",
)
def _laid_out(input: Tensor, strides: tuple):
    """A copy with the given dense strides."""
    return input.copy()


def dense_clone(t, m: Meta):
    """A copy of `t` in memory of its own with the strides of `m` (contiguous if not dense)."""
    strides = m.strides if is_dense(m.shape, m.strides) else None
    return _laid_out(t, strides)


def _scatter_gradient(g, base_shape, base_strides, shape, strides, offset):
    return _laid_out(g, base_strides).as_strided(shape, strides, offset)


def _overlaps(shape, strides) -> bool:
    """Whether two elements of a strided view may lie at the same place."""
    reach = 0
    for s, n in sorted((s, n) for s, n in zip(strides, shape, strict=True) if n > 1):
        if s <= reach:
            return True
        reach += (n - 1) * s
    return False


@op(
    lambda input, base_shape, base_strides, *_: meta(base_shape, input.dtype, base_strides),
    gradient={"input": _scatter_gradient},
    api="",
)
def _scatter_view(
    input: Tensor, base_shape: tuple, base_strides: tuple, shape: tuple, strides: tuple, offset: int
):
    """Zeros laid out as a base, with a view's gradient added at the view's places."""
    size = 1 + sum((n - 1) * s for n, s in zip(base_shape, base_strides, strict=True) if n)
    flat = np.zeros(size, input.dtype)
    places = _places(shape, strides, offset)
    inside = (places >= 0) & (places < size)
    if not inside.all():  # as_strided may reach beyond its input: that is no part of the base
        np.add.at(flat, places[inside], input[inside])
    elif _overlaps(shape, strides):
        np.add.at(flat, places, input)
    else:
        flat[places] = input
    item = flat.itemsize
    return np.lib.stride_tricks.as_strided(
        flat, base_shape, tuple(s * item for s in base_strides)
    )


def _places(shape, strides, offset):
    """Where the elements of a strided view are in memory."""
    places = np.full((), offset)
    for n, s in zip(shape, strides, strict=True):
        places = places[..., None] + np.arange(n) * s
    return places


@op(
    lambda input, source, target: meta(target[0], input.dtype),
    gradient={"input": lambda g, source, target: _through_memory(g, target, source)},
    api="",
)
def _through_memory(input: Tensor, source: tuple, target: tuple):
    """Elements added to zeroed memory at one view's places, and read at another's.

    source, target: (shape, strides, offset).
    """
    into, out = _places(*source), _places(*target)
    low = min(into.min(initial=0), out.min(initial=0))
    flat = np.zeros(1 + max(into.max(initial=0), out.max(initial=0)) - low, input.dtype)
    np.add.at(flat, into - low, input)
    return flat[out - low]


def scatter_into_zeros(g, base: Meta, shape, strides, offset: int):
    """Gradient of an as-strided view of a base: zeros but for the view's elements.

    What belongs to elements of a base that share memory is divided among them.
    """
    view, whole = (tuple(shape), tuple(strides), offset), (tuple(base.shape), tuple(base.strides), 0)
    if is_dense(base.shape, base.strides):
        return _scatter_view(g, *whole[:2], *view)
    made = _through_memory(g, view, whole)
    if not _overlaps(*whole[:2]):
        return made
    from .tensor import wrap

    _, at, counts = np.unique(_places(*whole), return_inverse=True, return_counts=True)
    return made / wrap(counts[at].reshape(base.shape).astype(g.dtype.np))


def channels_last_strides(shape) -> tuple[int, ...]:
    """Strides with the channel dimension fastest (NHWC order for NCHW shapes)."""
    order = (0, *range(2, len(shape)), 1)
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


def format_strides(shape, memory_format) -> tuple[int, ...]:
    """Strides of a tensor in a memory format. RuntimeError if it has another number of dims."""
    if memory_format is channels_last or memory_format is channels_last_3d:
        rank = 4 if memory_format is channels_last else 5
        if len(shape) != rank:
            raise RuntimeError(f"required rank {rank} tensor to use {memory_format.name} format")
        return channels_last_strides(shape)
    return contiguous_strides(shape)


def is_in_format(m: Meta, memory_format) -> bool:
    """Whether a layout is contiguous in `memory_format`."""
    if memory_format is contiguous_format or memory_format is None:
        return m.contiguous
    if memory_format is channels_last or memory_format is channels_last_3d:
        rank = 4 if memory_format is channels_last else 5
        return m.ndim == rank and same_layout(m.strides, channels_last_strides(m.shape), m.shape)
    raise RuntimeError(f"unsupported memory format {memory_format} for is_contiguous()")


def resized(t, size):
    """Tensor.resize_: another shape on the same memory, which grows if it is too small."""
    from .record import sizes
    from .segments import settle
    from .tensor import array
    from .trie import idle

    shape = sizes(size)
    if t.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    m = meta(shape, t.dtype, None, 0, t.device)
    if m.placeholder is not None:
        settle(t)
        t._buf, t._s, t._tr, t._base = m.placeholder, idle(m, False), None, None
        return t
    old = array(t)
    if t._tr is not None:
        from .segments import end_segment

        end_segment(t._tr)
    if m.numel <= t.numel() and old.flags.c_contiguous:
        t._buf = old.reshape(-1)[: m.numel].reshape(shape)
    else:
        made = np.zeros(shape, t.dtype.np)
        made.reshape(-1)[: min(old.size, m.numel)] = old.reshape(-1)[: m.numel]
        t._buf, t._storage = made, None
    t._s, t._base = idle(m, False), None
    return t
