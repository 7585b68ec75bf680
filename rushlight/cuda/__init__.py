"""torch.cuda: there is no CUDA device yet; these say so and let programs choose the CPU."""

from __future__ import annotations

from typing import Any, NoReturn

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


get_device_capability = get_device_properties = mem_get_info = get_device_name
current_stream = default_stream = get_device_name


def set_device(device) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise NoCuda


def manual_seed(seed: int) -> None:
    """Accepted and ignored, as PyTorch does without CUDA."""


def manual_seed_all(seed: int) -> None:
    """Accepted and ignored, as PyTorch does without CUDA."""


def get_rng_state_all() -> list:
    """The generators' states of all devices: none."""
    return []


def set_rng_state_all(new_states) -> None:
    """Set the states of all devices: none."""


def empty_cache() -> None:
    """Nothing to do without CUDA."""


def memory_allocated(device=None) -> int:
    """0: nothing lies in the memory of a CUDA device."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def memory_stats(device=None) -> dict[str, Any]:
    """{}: there is no CUDA device."""
    return {}


def reset_peak_memory_stats(device=None) -> None:
    """Nothing to do without CUDA."""


def synchronize(device=None) -> NoReturn:
    """Raises RuntimeError: there is no CUDA device."""
    raise NoCuda


class AcceleratorError(RuntimeError):
    """An error of a device. Nothing raises it: there is none.

    >>> issubclass(torch.cuda.AcceleratorError, RuntimeError)
    True
    """


class CudaError(RuntimeError):
    """An error of the CUDA library. Nothing raises it: there is none.

    >>> issubclass(torch.cuda.CudaError, RuntimeError)
    True
    """


class DeferredCudaCallError(Exception):
    """An error of a call that waited for a device. Nothing raises it: there is none.

    >>> issubclass(torch.cuda.DeferredCudaCallError, Exception)
    True
    """


class _OfDevice:
    """What only a CUDA device has: a class that programs name, and cannot make an object of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NoCuda


class Stream(_OfDevice):
    """A name only: there is no CUDA device. Raises RuntimeError when called."""


class Event(_OfDevice):
    """A name only: there is no CUDA device. Raises RuntimeError when called."""


class CUDAGraph(_OfDevice):
    """A name only: there is no CUDA device. Raises RuntimeError when called."""


class graph(_OfDevice):
    """A name only: there is no CUDA device. Raises RuntimeError when called."""


class device(_OfDevice):
    """A name only: there is no CUDA device. Raises RuntimeError when called."""


class StreamContext:
    """`stream(None)` does nothing; other streams need a CUDA device, so there are none.

    >>> with torch.cuda.stream(None):
    ...     torch.cuda.is_available()
    False
    """

    def __init__(self, stream: Stream | None) -> None:
        if stream is not None:
            raise NoCuda

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: Any) -> None:
        pass


stream = StreamContext


def __getattr__(name: str):
    if name == "amp":
        import importlib

        return importlib.import_module("rushlight.cuda.amp")
    from ..answers import find

    return find("cuda", name)
