"""torch.accelerator: the accelerator of this machine; there is none yet."""

from __future__ import annotations

from .answers import finder as _finder


def is_available() -> bool:
    """False: this version computes on the CPU."""
    return False


def current_accelerator(check_available: bool = False):
    """None: this version computes on the CPU."""
    return None


def device_count() -> int:
    """0."""
    return 0

__getattr__ = _finder(__name__)
