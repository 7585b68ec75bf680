"""torch._C: the few names that programs take from PyTorch's C extension."""

import enum
from types import SimpleNamespace

from .trace.overrides import DisableTorchFunction
from .trace.overrides import DisableTorchFunction as DisableTorchFunctionSubclass
from .trace.overrides import disabled as _disabled_torch_function_impl
from .trace.tensor import Tensor as _Tensor

_TensorMeta = type(_Tensor)  # what `isinstance(cls, _TensorMeta)` asks for


def _log_api_usage_once(event: str) -> None:
    """Accepted: no use is logged."""


class DispatchKey(enum.Enum):
    """Parts of PyTorch's dispatcher that packages name; nothing here is dispatched by them.

    >>> torch.DispatchKey.AutocastCPU.name
    'AutocastCPU'
    """

    AutocastCPU = "AutocastCPU"
    AutocastCUDA = "AutocastCUDA"
    AutocastXPU = "AutocastXPU"


class DispatchKeySet(frozenset):
    """A set of dispatch keys, from one; `|` joins sets.

    >>> len(torch.DispatchKeySet(torch.DispatchKey.AutocastCPU))
    1
    """

    def __new__(cls, key: DispatchKey):
        return super().__new__(cls, (key,))


class Tag(enum.Enum):
    """Properties of operators that PyTorch's compiler is told; nothing here asks for them.

    >>> torch.Tag.pointwise.name
    'pointwise'
    """

    core = enum.auto()
    cudagraph_unsafe = enum.auto()
    data_dependent_output = enum.auto()
    dynamic_output_shape = enum.auto()
    flexible_layout = enum.auto()
    inplace_view = enum.auto()
    needs_contiguous_strides = enum.auto()
    needs_exact_strides = enum.auto()
    needs_fixed_stride_order = enum.auto()
    nondeterministic_bitwise = enum.auto()
    nondeterministic_seeded = enum.auto()
    pointwise = enum.auto()
    pt2_compliant_tag = enum.auto()
    reduction = enum.auto()
    view_copy = enum.auto()


def _get_tracing_state() -> None:
    """None: nothing is traced by torch.jit."""


def _parse_to(*args, **kwargs):
    """(device, dtype, non_blocking, memory_format) of the arguments of `Module.to`."""
    from .nn.modules._convert import _parse_to

    device, dtype, memory_format = _parse_to(*args, **kwargs)
    return device, dtype, False, memory_format


_nn = SimpleNamespace(_parse_to=_parse_to)

__all__ = [
    "DispatchKey", "DispatchKeySet", "_TensorMeta", "DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl",
]
