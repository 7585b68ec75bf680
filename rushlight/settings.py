"""PyTorch's global settings that have one value here, or no effect, under their names in `torch`.

Programs set them at their start. What a setting would change elsewhere is said in its docstring.
"""

from __future__ import annotations

import os
import warnings
from types import ModuleType
from typing import Any

from .trace import dtypes
from .trace.device import CPU, current, device, require, set_default

_precision, _debug, _warn_always, _interop = ["highest"], [0], [False], [1]
has_lapack = has_spectral = True  # (NumPy's, and the FFTs of NumPy)
has_mkl = has_openmp = False
DEBUG_MODES = ("default", "warn", "error")
TYPES = {"HalfTensor": dtypes.float16, "FloatTensor": dtypes.float32, "DoubleTensor": dtypes.float64,
         "BFloat16Tensor": dtypes.bfloat16}


def get_default_device() -> device:
    """The device of new tensors: the CPU, or what an enclosing `with torch.device(...)` says.

    >>> torch.get_default_device()
    device(type='cpu')
    """
    return current()


def set_default_device(device: Any) -> None:
    """Say where new tensors are kept; None is "cpu". RuntimeError for a device that is not there."""
    set_default(CPU if device is None else require(device))


def get_device_module(device: Any = None) -> ModuleType:
    """`torch.cpu` or `torch.cuda`, for a device or its name. RuntimeError if there is no such module."""
    import rushlight

    kind = CPU.type if device is None else rushlight.device(device).type
    found = getattr(rushlight, kind, None)
    if not isinstance(found, ModuleType):
        raise RuntimeError(f"Device '{kind}' does not have a corresponding module registered as 'torch.{kind}'.")
    return found


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was told; "highest" at first."""
    return _precision[0]


def set_float32_matmul_precision(precision: str) -> None:
    """"highest", "high" or "medium": accepted; products of float32 are always exact to float32 here."""
    if precision not in ("highest", "high", "medium"):
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current"
            "setFloat32MatmulPrecision call has no effect.", stacklevel=2)
        return
    _precision[0] = precision


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2: what `set_deterministic_debug_mode` was told."""
    return _debug[0]


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """0 "default", 1 "warn" or 2 "error": the last two are `use_deterministic_algorithms(True)`.

    RuntimeError for others, TypeError for other types.
    """
    import rushlight

    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in DEBUG_MODES:
            raise RuntimeError(
                "invalid value of debug_mode, expected one of `default`, `warn`, `error`, "
                f"but got {debug_mode}")
        debug_mode = DEBUG_MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    _debug[0] = debug_mode
    rushlight.use_deterministic_algorithms(debug_mode > 0)


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether algorithms that are not deterministic only warn; there are none here."""
    return _debug[0] == 1


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was told."""
    return _warn_always[0]


def set_warn_always(b: bool, /) -> None:
    """Accepted: how often a warning is shown is said to Python's `warnings`."""
    if not isinstance(b, bool):
        raise RuntimeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    _warn_always[0] = b


def set_default_tensor_type(t: Any, /) -> None:
    """The default dtype by an old name: torch.FloatTensor, "torch.DoubleTensor" and so on.

    TypeError for what is no floating-point type of the CPU.
    """
    name = t if isinstance(t, str) else getattr(t, "__name__", str(t))
    kind = TYPES.get(name.rpartition(".")[2])
    if kind is None or ".cuda." in name:
        raise TypeError("only floating-point types are supported as the default type")
    dtypes.set_default_dtype(kind)


def get_num_interop_threads() -> int:
    """Number of threads between operators: 1, or what was asked for."""
    return _interop[0]


def set_num_interop_threads(n: int) -> None:
    """Accepted: operators of one program run one after the other."""
    if not isinstance(n, int) or n < 1:
        raise RuntimeError("set_num_interop_threads expects a positive integer")
    _interop[0] = n


def set_flush_denormal(mode: bool) -> bool:
    """False, "not supported": denormal numbers are always computed with."""
    return False


def is_distributed(input: Any) -> bool:
    """Whether a tensor is spread over processes: never."""
    return False


def is_vulkan_available() -> bool:
    """Whether there is a Vulkan device: never."""
    return False


def compiled_with_cxx11_abi() -> bool:
    """For builders of extensions: True, as for every current PyTorch."""
    return True


# ---------------------------------------------------------------- autocast, by device


def get_autocast_cpu_dtype() -> dtypes.dtype:
    """`torch.get_autocast_dtype("cpu")`."""
    from .amp import get_autocast_dtype

    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> dtypes.dtype:
    """`torch.get_autocast_dtype("cuda")`."""
    from .amp import get_autocast_dtype

    return get_autocast_dtype("cuda")


def set_autocast_cpu_dtype(dtype: dtypes.dtype) -> None:
    """`torch.set_autocast_dtype("cpu", dtype)`."""
    from .amp import set_autocast_dtype

    set_autocast_dtype("cpu", dtype)


def set_autocast_gpu_dtype(dtype: dtypes.dtype) -> None:
    """`torch.set_autocast_dtype("cuda", dtype)`."""
    from .amp import set_autocast_dtype

    set_autocast_dtype("cuda", dtype)


def is_autocast_cpu_enabled() -> bool:
    """`torch.is_autocast_enabled("cpu")`."""
    from .amp import is_autocast_enabled

    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """`torch.set_autocast_enabled("cpu", enabled)`."""
    from .amp import set_autocast_enabled

    set_autocast_enabled("cpu", enabled)


_nesting = [0]


def autocast_increment_nesting() -> int:
    """Count one more block of autocast; returns how many there are."""
    _nesting[0] += 1
    return _nesting[0]


def autocast_decrement_nesting() -> int:
    """Count one block of autocast less; returns how many there are."""
    _nesting[0] -= 1
    return _nesting[0]


def clear_autocast_cache() -> None:
    """Nothing to forget: casts of weights are not kept."""


def get_autocast_ipu_dtype() -> dtypes.dtype:
    """What autocast would use on such a device: torch.float16."""
    return dtypes.float16


def get_autocast_xla_dtype() -> dtypes.dtype:
    """What autocast would use on such a device: torch.bfloat16."""
    return dtypes.bfloat16


def get_file_path(*path_components: str) -> str:
    """The path of a file beside this package's folder."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), *path_components)
