"""torch.utils.dlpack: tensors as DLPack capsules, to and from other libraries, sharing memory."""

from __future__ import annotations

from .. import ops  # noqa: F401 - publishes from_dlpack
from ..trace.operator import PUBLISHED
from ..trace.tensor import Tensor


class _Capsule:
    """A capsule in the form that NumPy reads."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **options):
        return self.capsule

    def __dlpack_device__(self):
        return 1, 0


def to_dlpack(tensor: Tensor):
    """A DLPack capsule of a tensor's memory, to be taken once.

    >>> import rushlight as torch
    >>> from rushlight.utils import dlpack
    >>> x = torch.zeros(2)
    >>> y = dlpack.from_dlpack(dlpack.to_dlpack(x))
    >>> y[0] = 5
    >>> x
    tensor([5., 0.])
    """
    return tensor.__dlpack__()


def from_dlpack(ext_tensor) -> Tensor:
    """A tensor on the memory of a DLPack capsule, or of any object with `__dlpack__`."""
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Capsule(ext_tensor)
    return PUBLISHED["torch"]["from_dlpack"](ext_tensor)


__all__ = ["from_dlpack", "to_dlpack"]
