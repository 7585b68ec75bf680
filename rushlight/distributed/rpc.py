"""torch.distributed.rpc: not there, and says so."""

from __future__ import annotations


def is_available() -> bool:
    """False: programs run in one process."""
    return False
