"""torch.utils.dlpack: tensors as DLPack capsules, to and from other libraries, sharing memory."""

from __future__ import annotations

import enum

from .. import ops  # noqa: F401 - publishes from_dlpack
from ..answers import finder as _finder
from ..trace.operator import PUBLISHED
from ..trace.tensor import Tensor


class DLDeviceType(enum.IntEnum):
    """Devices as DLPack numbers them; tensors are on the CPU.

    >>> torch.zeros(2).__dlpack_device__()[0] == torch.utils.dlpack.DLDeviceType.kDLCPU
    True
    """

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


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

__getattr__ = _finder(__name__)
