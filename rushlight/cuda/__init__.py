"""torch.cuda: there is no CUDA device yet; these say so and let programs choose the CPU."""

from __future__ import annotations

from typing import NoReturn

from ..trace.device import NO_CUDA


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
    raise RuntimeError(NO_CUDA)


def get_device_name(device=None) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise RuntimeError(NO_CUDA)


def set_device(device) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise RuntimeError(NO_CUDA)


def manual_seed(seed: int) -> None:
    """Accepted and ignored, as PyTorch does without CUDA."""


def manual_seed_all(seed: int) -> None:
    """Accepted and ignored, as PyTorch does without CUDA."""


def empty_cache() -> None:
    """Nothing to do without CUDA."""


def synchronize(device=None) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise RuntimeError(NO_CUDA)


def __getattr__(name: str):
    if name == "amp":
        import importlib

        return importlib.import_module("rushlight.cuda.amp")
    raise AttributeError(f"module 'rushlight.cuda' has no attribute '{name}'")
