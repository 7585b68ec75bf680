"""Methods of Tensor from older PyTorch programs, and of devices that are not here."""

from __future__ import annotations

from typing import Any

from ..trace.device import NoCuda
from ..trace.operator import PUBLISHED, function
from ..trace.tensor import Tensor

_REMOVED = {
    "eig": "torch.linalg.eig, whose results are complex", "symeig": "torch.linalg.eigh",
    "lstsq": "torch.linalg.lstsq, with the arguments exchanged", "solve": "torch.linalg.solve, with the arguments exchanged",
}


def _removed(name: str, instead: str) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"Tensor.{name} was removed in PyTorch 1.13: use {instead}")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Raises RuntimeError: use {instead}."
    return method


def _absent(name: str) -> Any:
    def method(self: Tensor, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
        raise NoCuda(f"Rushlight found no {name.upper()} device: this version computes on the CPU only.")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Raises RuntimeError: there is no such device."
    return method


def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of the same dtype, of a shape or of data: the older form of `new_empty` and `new_tensor`.

    >>> torch.zeros(1, dtype=torch.int64).new([3, 4])
    tensor([3, 4])
    """
    from ..trace.construct import legacy_tensor

    return legacy_tensor(Tensor, *args, dtype=self.dtype)


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """`view` of another shape with as many elements; the older form. RuntimeError for another number."""
    shape = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    return self.contiguous().view(tuple(shape))


def resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """`resize` to another tensor's shape."""
    return resize(self, tensor.shape)


def reinforce(self: Tensor, reward: Any) -> None:
    """Raises RuntimeError: use torch.distributions, and a loss of `log_prob`."""
    raise RuntimeError("Tensor.reinforce was removed: use torch.distributions and a loss of log_prob")


def storage_type(self: Tensor) -> Any:
    """The class of the tensor's storage, e.g. `torch.FloatStorage`."""
    from ..trace.storage import STORAGES, TYPED_STORAGES

    return TYPED_STORAGES[STORAGES[self.dtype.name]]


def is_distributed(self: Tensor) -> bool:
    """False."""
    return False


def record_stream(self: Tensor, s: Any) -> None:
    """Accepted: there is one stream, so memory is never used by another one."""


def module_load(self: Tensor, other: Tensor, assign: bool = False) -> Tensor:
    """How `load_state_dict` of a tensor subclass takes a saved tensor: its values, or itself if `assign`."""
    return other.detach() if assign else self.detach().copy_(other)


@function(api="torch Tensor")
def dequantize(self: Tensor) -> Tensor:
    """Float values; a tensor that is not quantised, as all are here, as float32."""
    return self.float()


_METHODS = {
    **{name: _removed(name, instead) for name, instead in _REMOVED.items()},
    **{name: _absent(name) for name in ("ipu", "mtia", "xpu")},
    **{f.__name__: f for f in (new, resize, resize_as, reinforce, storage_type, is_distributed, record_stream, module_load)},
    "dequantize": dequantize,
    "const_data_ptr": Tensor.data_ptr,
    "name": property(lambda self: None, doc="None."),
    "volatile": property(lambda self: False, doc="False: use torch.no_grad()."),
    "grad_dtype": property(lambda self: self.dtype, doc="The dtype of the gradient: the tensor's own."),
    "__nonzero__": Tensor.__bool__,
    "__long__": Tensor.__int__,
    "__div__": lambda self, other: self.__truediv__(other),
    "__idiv__": lambda self, other: self.__itruediv__(other),
}
for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)
    if callable(_method) and not _name.startswith("__"):
        PUBLISHED["Tensor"].setdefault(_name, _method)

__all__: list[str] = []
