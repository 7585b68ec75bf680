"""`autocast` and the functions around it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import rushlight
from rushlight.trace import dtypes
from rushlight.trace.autocast import switch
from rushlight.trace.trie import RECORDER

_DEVICES = ("cpu", "cuda", "xpu", "mps", "hpu", "xla")
_dtypes = {"cpu": dtypes.bfloat16}
_cache = [True]


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast works on a type of device: here on "cpu".

    >>> torch.amp.is_autocast_available("cpu")
    True
    """
    return device_type == "cpu"


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether autocast is on for a type of device (without one: for CUDA, as in PyTorch)."""
    return device_type == "cpu" and RECORDER.tr.autocast is not None


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """The dtype that autocast uses on a type of device unless told otherwise."""
    now = RECORDER.tr.autocast
    return now if device_type == "cpu" and now is not None else _dtypes.get(
        device_type, dtypes.float16
    )


def set_autocast_dtype(device_type: str, dtype: dtypes.dtype) -> None:
    """Set the dtype that autocast uses on a type of device."""
    _dtypes[device_type] = dtype


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch autocast on or off for a type of device."""
    if device_type == "cpu":
        switch(_dtypes["cpu"] if enabled else None)


def is_autocast_cache_enabled() -> bool:
    """Whether casts of weights may be kept; without effect here."""
    return _cache[0]


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Kept for `is_autocast_cache_enabled`."""
    _cache[0] = bool(enabled)


class autocast:
    """Operators inside run in a half type where that serves, others in float32.

    Matrix products and convolutions take bfloat16 (or float16), losses and other sums float32, all
    else what it is given: PyTorch's lists for the CPU. A context manager and a decorator; backward
    passes belong outside. A device that is not there switches it off, with a warning.

    device_type: "cpu" (others are accepted by name). dtype: bfloat16 (default) or float16.
    cache_enabled: accepted; casts are operations of the trace here.

    >>> with torch.autocast("cpu"):
    ...     print((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    torch.bfloat16
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtypes.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(
                f"Expected `device_type` of type `str`, got: `{type(device_type)}`"
            )
        if device_type not in _DEVICES:
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        if enabled and device_type == "cuda":
            warnings.warn(
                "User provided device_type of 'cuda', but CUDA is not available. Disabling",
                stacklevel=2,
            )
            enabled = False
        elif enabled and device_type != "cpu":
            raise RuntimeError(f"autocast: there is no device of type '{device_type}' here")
        if enabled and self.fast_dtype not in (dtypes.bfloat16, dtypes.float16):
            warnings.warn(
                f"In CPU autocast, but the target dtype is not supported. Disabling autocast.\nCPU "
                f"Autocast only supports dtype of torch.bfloat16, torch.float16 currently, not "
                f"{self.fast_dtype}.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = bool(enabled)
        self._cache_enabled = _cache[0] if cache_enabled is None else cache_enabled
        self._before: list = []

    def __enter__(self) -> autocast:
        if self.device == "cpu":
            self._before.append(switch(self.fast_dtype if self._enabled else None))
        return self

    def __exit__(self, *error: Any) -> None:
        if self.device == "cpu":
            switch(self._before.pop())

    def __call__(self, func: Callable) -> Callable:
        return autocast_decorator(self, func)


def autocast_decorator(autocast_instance: autocast, func: Callable) -> Callable:
    """`func` run inside an autocast."""

    @functools.wraps(func)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with autocast_instance:
            return func(*args, **kwargs)

    return decorated


def custom_fwd(
    fwd: Callable | None = None, *, device_type: str, cast_inputs: dtypes.dtype | None = None
) -> Callable:
    """For `forward` of an `autograd.Function`: remember autocast for `custom_bwd`.

    cast_inputs: inside autocast, cast floating inputs to this dtype and run without autocast.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        args[0]._dtype = get_autocast_dtype(device_type)
        on = is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(
                *[_cast(a, cast_inputs) for a in args],
                **{k: _cast(a, cast_inputs) for k, a in kwargs.items()},
            )

    return decorated


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Callable:
    """For `backward` of an `autograd.Function`: with autocast as its forward had it."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return decorated


def _cast(a: Any, dtype: dtypes.dtype) -> Any:
    if isinstance(a, rushlight.Tensor):
        eligible = a.is_floating_point() and a.dtype is not dtypes.float64
        return a.to(dtype) if eligible else a
    if isinstance(a, dict):
        return {k: _cast(v, dtype) for k, v in a.items()}
    if isinstance(a, (list, tuple)):
        return type(a)(_cast(x, dtype) for x in a)
    return a
