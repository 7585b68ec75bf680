"""torch._C: the few names that programs take from PyTorch's C extension."""

from .trace.overrides import DisableTorchFunction
from .trace.overrides import DisableTorchFunction as DisableTorchFunctionSubclass
from .trace.overrides import disabled as _disabled_torch_function_impl
from .trace.tensor import Tensor as _Tensor

_TensorMeta = type(_Tensor)  # what `isinstance(cls, _TensorMeta)` asks for

__all__ = [
    "_TensorMeta", "DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl",
]
