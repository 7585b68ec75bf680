"""`Meta`: what is known of a tensor without its values. Interned, so equal ones are identical."""

from __future__ import annotations

import math

from ..interpret.placeholder import placeholder
from . import dtypes
from .device import CPU, device


class Size(tuple):
    """A tensor's shape: a tuple of ints.

    >>> shape = torch.zeros(2, 3).shape
    >>> shape, shape.numel(), shape[1:]
    (torch.Size([2, 3]), 6, torch.Size([3]))
    """

    __slots__ = ()

    def numel(self) -> int:
        """Number of elements of a tensor of this shape."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(repr, self))}])"

    def __getitem__(self, index):
        item = tuple.__getitem__(self, index)
        return Size(item) if type(index) is slice else item

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __mul__(self, count):
        return Size(tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __reduce__(self):
        return Size, (tuple(self),)


class Meta:
    """Shape, strides and offset (in elements), dtype, device; `weak` marks a Python number.

    placeholder: what stands for the values on the meta device, else None.
    """

    __slots__ = (
        "shape",
        "dtype",
        "strides",
        "offset",
        "weak",
        "ndim",
        "numel",
        "contiguous",
        "nbytes",
        "np_strides",
        "overlaps",
        "device",
        "placeholder",
    )

    def __repr__(self) -> str:
        weak = "weak " if self.weak else ""
        layout = "" if self.contiguous and not self.offset else f" {self.strides}+{self.offset}"
        where = "" if self.placeholder is None else " on meta"
        return f"{weak}{self.dtype.name}{list(self.shape)}{layout}{where}"


_interned: dict[tuple, Meta] = {}
_weak: dict[type, Meta] = {}
inference_caches: list[dict] = []


MOST_DIMS = 64  # NumPy's


def contiguous_strides(shape) -> tuple[int, ...]:
    """Row-major strides in elements, as PyTorch gives them (zero-sized dims count as one)."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size if size > 1 else 1
    return tuple(reversed(strides))


def is_dense(shape, strides) -> bool:
    """Whether some order of the dimensions is row-major (no overlap, no gaps)."""
    expected = 1
    for stride, size in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n != 1):
        if size and stride != expected:
            return False
        expected *= size
    return True


def same_layout(a, b, shape) -> bool:
    """Whether two stride tuples place the elements of `shape` alike."""
    return a == b or 0 in shape or all(
        x == y for x, y, n in zip(a, b, shape, strict=True) if n != 1
    )


def meta(shape, dtype, strides=None, offset=0, where: device = CPU) -> Meta:
    """The interned Meta of a tensor; contiguous unless `strides` (in elements) are given."""
    key = (shape, dtype, strides, offset) if where is CPU else (shape, dtype, strides, offset, where)
    try:
        return _interned[key]
    except KeyError:
        pass
    if len(shape) > MOST_DIMS:
        raise RuntimeError(f"only tensors with up to {MOST_DIMS} dims are supported, not {len(shape)}")
    shape = Size(shape)
    plain = contiguous_strides(shape)
    strides = plain if strides is None else tuple(strides)
    full = (shape, dtype, strides, offset, *key[4:])
    m = _interned.get(full)
    if m is None:
        m = object.__new__(Meta)
        m.shape, m.dtype, m.strides, m.offset, m.weak = shape, dtype, strides, offset, False
        m.ndim, m.numel = len(shape), math.prod(shape)
        m.contiguous = same_layout(strides, plain, shape)
        m.nbytes = m.numel * dtype.itemsize
        m.np_strides = tuple(s * dtype.itemsize for s in strides)
        m.overlaps = m.numel > 0 and any(s == 0 and n > 1 for s, n in zip(strides, shape, strict=True))
        m.device = where
        m.placeholder = None if where is CPU else placeholder(shape, dtype.np)
        _interned[full] = m
    _interned[key] = m
    return m


def on(m: Meta, where: device) -> Meta:
    """The Meta of the same tensor on a device."""
    return m if m.device is where else meta(m.shape, m.dtype, m.strides, m.offset, where)


def at_offset(m: Meta, offset: int) -> Meta:
    """The Meta of the same view at another place of its memory."""
    return m if m.offset == offset else meta(m.shape, m.dtype, m.strides, offset, m.device)


def weak_meta(number_type: type) -> Meta:
    """The Meta of a Python number: it raises a tensor's category, not its width."""
    m = _weak.get(number_type)
    if m is None:
        kind = {bool: dtypes.bool_, int: dtypes.int64, float: dtypes.float64,
                complex: dtypes.complex128}[number_type]
        like = meta((), kind)
        m = object.__new__(Meta)
        for slot in Meta.__slots__:
            setattr(m, slot, getattr(like, slot))
        m.weak = True
        _weak[number_type] = m
    return m


def weak_like(dtype) -> Meta:
    """The weak Meta of a dtype's category (the result of arithmetic between Python numbers)."""
    return weak_meta((bool, int, float, complex)[dtype.category])


def forget_inference() -> None:
    """Forget cached inference results: what they depend on (the default dtype) has changed."""
    from . import trie

    for cache in inference_caches:
        cache.clear()
    trie.forget()


def intern_size() -> int:
    """Number of interned Metas."""
    return len(_interned)


def keep_interned(wanted: set) -> None:
    """Drop every interned Meta but `wanted` (the trie has been pruned)."""
    for key in [k for k, m in _interned.items() if m not in wanted]:
        del _interned[key]
    for cache in inference_caches:
        cache.clear()
