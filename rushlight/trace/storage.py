"""`untyped_storage()` and `storage()`: the memory behind a tensor, as bytes or as elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .tensor import array, wrap, wrap_shared

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}


def memory(t) -> np.ndarray:
    """The array that owns a tensor's memory."""
    if t.is_meta:
        return t._buf
    a = array(t)
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


class UntypedStorage:
    """The bytes behind a tensor; views of one tensor have the same `data_ptr()`.

    >>> x = torch.zeros(3)
    >>> x.untyped_storage().nbytes(), x[1:].untyped_storage() == x.untyped_storage()
    (12, True)
    """

    def __init__(self, tensor):
        self._tensor = tensor
        self._memory = memory(tensor)

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first `nbytes` bytes of a file, read when they are used.

        shared: writes go to the file. Raises OSError if the file is not there, ValueError if it is
        shorter.
        """
        mapped = np.memmap(filename, np.uint8, "r+" if shared else "c", 0, nbytes)
        return cls(wrap_shared(mapped.view(np.ndarray)))

    def __getitem__(self, index):
        """A byte, or a storage of a slice of the bytes, which are shared."""
        flat = self._bytes()
        if isinstance(index, slice):
            part = UntypedStorage(wrap_shared(flat[index]))
            part._memory = flat[index]
            return part
        return int(flat[index])

    def _bytes(self) -> np.ndarray:
        """The memory as an array of bytes."""
        return self._memory.reshape(-1, order="A").view(np.uint8)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        same = UntypedStorage(self._tensor)
        same._memory = self._memory
        return same

    def data_ptr(self) -> int:
        """Address of the first byte."""
        t = self._tensor
        if t.is_meta:
            return 0
        return t.data_ptr() - t.storage_offset() * t.element_size()

    def nbytes(self) -> int:
        """Number of bytes."""
        return self._memory.nbytes

    size = __len__ = nbytes

    def __eq__(self, other) -> bool:
        return isinstance(other, UntypedStorage) and self.data_ptr() == other.data_ptr()

    def __hash__(self) -> int:
        return hash(self.data_ptr())

    def tolist(self) -> list[int]:
        """The bytes as a list."""
        return list(self._memory.tobytes())

    @property
    def device(self):
        """Where the memory is."""
        return self._tensor.device


class TypedStorage(UntypedStorage):
    """The elements behind a tensor.

    >>> torch.zeros(3)[1:].storage().size()
    3
    """

    @property
    def dtype(self):
        """Type of the elements."""
        return self._tensor.dtype

    def size(self) -> int:
        """Number of elements."""
        return self.nbytes() // self._tensor.element_size()

    __len__ = size

    def tolist(self) -> list:
        """The elements as a list."""
        return self._memory.reshape(-1, order="A").tolist()


class _Typed(type):
    """The metaclass of `FloatStorage` and its like: makers of storages, and tests of their dtype."""

    def __call__(cls: Any, *args: Any) -> TypedStorage:  # type: ignore[override]
        values = args[0] if args and not isinstance(args[0], (int, np.integer)) else None
        made = np.zeros(args[0] if args else 0, cls.dtype.np) if values is None else np.array(values, cls.dtype.np)
        return TypedStorage(wrap(made))

    def __instancecheck__(cls: Any, instance: Any) -> bool:
        return isinstance(instance, TypedStorage) and instance.dtype is cls.dtype


_DOCUMENTATION = """{dtype} elements: a number of them, or those of a sequence. `isinstance` tests for this dtype.

>>> torch.{name}([0, 1]).size(), isinstance(torch.zeros(3, dtype={dtype}).storage(), torch.{name})
(2, True)
"""
TYPED_STORAGES = {
    name: _Typed(name, (), {"dtype": dtypes.ALL[kind], "__module__": "torch",
                            "__doc__": _DOCUMENTATION.format(dtype=dtypes.ALL[kind], name=name)})
    for kind, name in STORAGES.items()
}
