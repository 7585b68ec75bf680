"""Casting and moving all tensors of a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rushlight
from rushlight.trace import no_grad
from rushlight.trace.tensor import Parameter, Tensor


class ConvertMixin:
    """The part of `Module` that replaces its tensors' values by converted ones."""

    def _apply(self: Any, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Replace every parameter's, gradient's and buffer's value by `fn` of it; returns self."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, parameter in self._parameters.items():
            if parameter is None:
                continue
            with no_grad():
                value = fn(parameter.data)
                grad = None if parameter.grad is None else fn(parameter.grad)
                if value.device == parameter.device:
                    parameter.data = value
                else:  # another tensor: what has no memory cannot get some
                    parameter = Parameter(value, parameter.requires_grad)
                    self._parameters[name] = parameter
                parameter.grad = grad
        for name, buffer in self._buffers.items():
            if buffer is not None:
                with no_grad():
                    self._buffers[name] = fn(buffer)
        return self

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Move or cast in place: `to(device)`, `to(dtype)`, `to(tensor)`, `to(memory_format=)`.

        Only floating-point and complex tensors change their dtype. Returns self. Raises
        NotImplementedError for tensors on "meta", which have no values to move: see `to_empty`.
        """
        device, dtype, memory_format = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )

        def convert(t: Tensor) -> Tensor:
            options: dict[str, Any] = {}
            if device is not None:
                options["device"] = device
            if dtype is not None and (t.dtype.is_floating_point or t.dtype.is_complex):
                options["dtype"] = dtype
            if memory_format is not None and t.ndim in (4, 5):
                options["memory_format"] = memory_format
            if t.is_meta and device is not None and rushlight.device(device).type != "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                )
            return t.to(**options) if options else t

        return self._apply(convert)

    def _cast(self: Any, dtype: Any) -> Any:
        return self._apply(lambda t: t.to(dtype) if t.dtype.is_floating_point else t)

    def float(self: Any) -> Any:
        """Cast floating-point parameters and buffers to float32; returns self."""
        return self._cast(rushlight.float32)

    def double(self: Any) -> Any:
        """Cast floating-point parameters and buffers to float64; returns self."""
        return self._cast(rushlight.float64)

    def half(self: Any) -> Any:
        """Cast floating-point parameters and buffers to float16; returns self."""
        return self._cast(rushlight.float16)

    def bfloat16(self: Any) -> Any:
        """Cast floating-point parameters and buffers to bfloat16; returns self."""
        return self._cast(rushlight.bfloat16)

    def type(self: Any, dst_type: Any) -> Any:
        """Cast all parameters and buffers to `dst_type`; returns self."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self: Any) -> Any:
        """Move to the CPU; returns self."""
        return self._apply(lambda t: t.cpu())

    def cuda(self: Any, device: Any = None) -> Any:
        """Move to a CUDA device; RuntimeError where there is none."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self: Any, *, device: Any, recurse: bool = True) -> Any:
        """Move without copying: the values are undefined afterwards; returns self."""
        return self._apply(lambda t: rushlight.empty_like(t, device=device), recurse)

    def share_memory(self: Any) -> Any:
        """Move all tensors to shared memory; returns self."""
        return self._apply(lambda t: t.share_memory_())


def _parse_to(
    *args: Any, device: Any = None, dtype: Any = None, memory_format: Any = None, **_: Any
) -> tuple:
    """Device, dtype and memory format among the arguments of `Module.to`."""
    for arg in args:
        if isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, rushlight.dtype):
            dtype = arg
        elif not isinstance(arg, bool):  # booleans are non_blocking
            device = arg
    return device, dtype, memory_format
