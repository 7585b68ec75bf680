"""torch.storage: the memory behind tensors, with PyTorch's classes of typed storages."""

from __future__ import annotations

from typing import Any

import numpy as np

from .serialization import STORAGES
from .trace import dtypes
from .trace.storage import TypedStorage, UntypedStorage
from .trace.tensor import wrap

Storage = TypedStorage


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
globals().update({
    name: _Typed(name, (), {"dtype": dtypes.ALL[kind], "__module__": "torch",
                            "__doc__": _DOCUMENTATION.format(dtype=dtypes.ALL[kind], name=name)})
    for kind, name in STORAGES.items()
})

__all__ = ["TypedStorage", "UntypedStorage"]
