"""torch.backends.mkl: not there; Rushlight writes its own kernels."""

from __future__ import annotations


def is_available() -> bool:
    """False: this back end is not there."""
    return False
