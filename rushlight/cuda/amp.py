"""torch.cuda.amp: older names of torch.amp for CUDA (which is not there: they do nothing)."""

from __future__ import annotations

from typing import Any

from rushlight import amp
from rushlight.amp import custom_bwd as _custom_bwd
from rushlight.amp import custom_fwd as _custom_fwd


class autocast(amp.autocast):
    """`torch.amp.autocast("cuda", ...)`.

    >>> with torch.cuda.amp.autocast(enabled=False):
    ...     print((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    torch.float32
    """

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """`torch.amp.GradScaler("cuda", ...)`.

    >>> torch.cuda.amp.GradScaler(enabled=False).is_enabled()
    False
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cuda", *args, **kwargs)


def custom_fwd(fwd: Any = None, *, cast_inputs: Any = None) -> Any:
    """`torch.amp.custom_fwd(device_type="cuda")`."""
    return _custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Any = None) -> Any:
    """`torch.amp.custom_bwd(device_type="cuda")`."""
    return _custom_bwd(bwd, device_type="cuda")
