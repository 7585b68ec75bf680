"""torch.xpu: there is no such device; programs ask before they choose."""

from __future__ import annotations

from .answers import finder as _finder
from .backends.mkl import is_available as is_available

is_bf16_supported = is_initialized = is_available


def device_count() -> int:
    """0."""
    return 0


def is_current_stream_capturing() -> bool:
    """False: there are no streams."""
    return False


def empty_cache() -> None:
    """Nothing to do."""

__getattr__ = _finder(__name__)
