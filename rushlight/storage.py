"""torch.storage: the memory behind tensors, with PyTorch's classes of typed storages."""

from .trace.storage import TYPED_STORAGES, TypedStorage, UntypedStorage

Storage = TypedStorage
globals().update(TYPED_STORAGES)

__all__ = ["TypedStorage", "UntypedStorage"]
