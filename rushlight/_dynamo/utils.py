"""torch._dynamo.utils: what libraries ask of PyTorch's compiler."""

from __future__ import annotations

__all__ = ["is_compile_supported"]


def is_compile_supported(device_type: str) -> bool:
    """False: libraries need no second form of their functions, which are compiled as they are."""
    return False
