"""torch.cuda: there is no CUDA device yet; these say so and let programs choose the CPU."""

from __future__ import annotations

from typing import NoReturn

from ..trace.device import NoCuda
from ..trace.out_of_memory import OutOfMemoryError as OutOfMemoryError


def is_available() -> bool:
    """False: this version computes on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def current_device() -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise NoCuda


def get_device_name(device=None) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise NoCuda


def set_device(device) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise NoCuda


def manual_seed(seed: int) -> None:
    """Accepted and ignored, as PyTorch does without CUDA."""


def manual_seed_all(seed: int) -> None:
    """Accepted and ignored, as PyTorch does without CUDA."""


def empty_cache() -> None:
    """Nothing to do without CUDA."""


def memory_allocated(device=None) -> int:
    """0: nothing lies in the memory of a CUDA device."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def reset_peak_memory_stats(device=None) -> None:
    """Nothing to do without CUDA."""


def synchronize(device=None) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise NoCuda


def __getattr__(name: str):
    if name == "amp":
        import importlib

        return importlib.import_module("rushlight.cuda.amp")
    raise AttributeError(f"module 'rushlight.cuda' has no attribute '{name}'")
