"""torch._C: the few names that programs take from PyTorch's C extension."""

from types import SimpleNamespace

from .trace.overrides import DisableTorchFunction
from .trace.overrides import DisableTorchFunction as DisableTorchFunctionSubclass
from .trace.overrides import disabled as _disabled_torch_function_impl
from .trace.tensor import Tensor as _Tensor

_TensorMeta = type(_Tensor)  # what `isinstance(cls, _TensorMeta)` asks for


def _log_api_usage_once(event: str) -> None:
    """Accepted: no use is logged."""


def _parse_to(*args, **kwargs):
    """(device, dtype, non_blocking, memory_format) of the arguments of `Module.to`."""
    from .nn.modules._convert import _parse_to

    device, dtype, memory_format = _parse_to(*args, **kwargs)
    return device, dtype, False, memory_format


_nn = SimpleNamespace(_parse_to=_parse_to)

__all__ = [
    "_TensorMeta", "DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl",
]
