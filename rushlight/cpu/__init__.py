"""torch.cpu: what programs ask of the CPU as a device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def is_available() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """"cpu"."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Nothing to wait for: reading a tensor waits for it."""


@contextlib.contextmanager
def stream(stream: Any) -> Iterator[None]:
    """Without effect: the CPU has one stream."""
    yield


def __getattr__(name: str) -> Any:
    if name == "amp":
        import importlib

        return importlib.import_module("rushlight.cpu.amp")
    raise AttributeError(f"module 'rushlight.cpu' has no attribute '{name}'")
