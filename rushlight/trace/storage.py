"""`untyped_storage()` and `storage()`: the memory behind a tensor, as bytes or as elements."""

from __future__ import annotations

import numpy as np

from .tensor import array, wrap_shared


def memory(t) -> np.ndarray:
    """The array that owns a tensor's memory."""
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
