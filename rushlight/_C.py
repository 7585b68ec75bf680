"""torch._C: the few names that programs take from PyTorch's C extension."""

from .trace.overrides import DisableTorchFunction
from .trace.overrides import DisableTorchFunction as DisableTorchFunctionSubclass
from .trace.overrides import disabled as _disabled_torch_function_impl

__all__ = [
    "DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl",
]
