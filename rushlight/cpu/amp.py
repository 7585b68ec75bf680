"""torch.cpu.amp: older names of torch.amp for the CPU."""

from __future__ import annotations

from typing import Any

from rushlight import amp


class autocast(amp.autocast):
    """`torch.amp.autocast("cpu", ...)`.

    >>> with torch.cpu.amp.autocast():
    ...     print((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    torch.bfloat16
    """

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        super().__init__("cpu", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """`torch.amp.GradScaler("cpu", ...)`.

    >>> torch.cpu.amp.GradScaler(init_scale=4.0).scale(torch.ones(1))
    tensor([4.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)
