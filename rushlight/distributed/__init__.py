"""torch.distributed: not there, and says so, as a PyTorch without it does.

A program runs in one process, whose threads use all processors.
"""

from __future__ import annotations

from ..answers import finder as _finder

__all__ = ["is_available", "is_initialized", "is_torchelastic_launched"]


def is_available() -> bool:
    """False: programs run in one process.

    >>> torch.distributed.is_available()
    False
    """
    return False


def is_initialized() -> bool:
    """False: there is no group of processes."""
    return False


def is_torchelastic_launched() -> bool:
    """False."""
    return False

__getattr__ = _finder(__name__)
