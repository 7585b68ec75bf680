"""Rushlight: a deep-learning framework with PyTorch's programming model that compiles itself.

    import rushlight as torch

runs ordinary PyTorch programs. This file gathers the public names: tensors and operators come from
`ops/` (each published by its own definition), the rest is loaded when first used.
"""

from __future__ import annotations

import gc as _gc

if _gc.get_threshold()[0] == 700:
    # Python's default. Handles and nodes are many, small and seldom in cycles: the cyclic collector
    # took 15 to 25 % of the time of recording, and 5 % of this import.
    _gc.set_threshold(10_000, 10, 10)

# Before the chain of imports below: at its depth, calls cross the end of a chunk of CPython's frame
# stack again and again, and each crossing maps memory (1,300 times; a third of the import's time).
import numpy as _numpy  # noqa: F401, I001

import math as _math
import os as _os
from importlib import import_module as _import_module
from math import e, inf, nan, pi  # noqa: F401 - public names of torch
from numbers import Integral as _Integral  # (`int` is a dtype here)

from . import ops as _ops  # noqa: F401 - attaches the operators to Tensor
from .trace.construct import TYPED_TENSORS as _TYPED_TENSORS
from .trace.device import device
from .trace.dtypes import (
    ALIASES as _ALIASES,
)
from .trace.dtypes import (
    ALL as _DTYPES,
)
from .trace.dtypes import (
    can_cast,
    channels_last,
    channels_last_3d,
    contiguous_format,
    dtype,
    finfo,
    get_default_dtype,
    iinfo,
    layout,
    memory_format,
    preserve_format,
    promote_types,
    set_default_dtype,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from .trace.generator import Generator, default_generator
from .trace.meta import Size
from .trace.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .trace.operator import PUBLISHED as _PUBLISHED
from .trace.tensor import Tensor
from .trace.traceback import install as _install
from .version import __version__

globals().update(_DTYPES)
globals().update(_ALIASES)
globals().update(_TYPED_TENSORS)
_operators = _PUBLISHED["torch"]
globals().update({_n: _f for _n, _f in _operators.items() if _n not in _DTYPES})

newaxis = None
_install()

# Loaded at first use: module, and the name in it (None for the module itself).
_LAZY = {
    "nn": ("nn", None),
    "optim": ("optim", None),
    "utils": ("utils", None),
    "autograd": ("autograd", None),
    "linalg": ("linalg", None),
    "fft": ("fft", None),
    "special": ("special", None),
    "distributions": ("distributions", None),
    "random": ("random", None),
    "serialization": ("serialization", None),
    "datasets": ("datasets", None),
    "models": ("models", None),
    "tools": ("tools", None),
    "profiler": ("profiler", None),
    "signal": ("signal", None),
    "sparse": ("sparse", None),
    "func": ("func", None),
    "vmap": ("func", "vmap"),
    "masked": ("masked", None),
    "alias": ("alias", None),
    "overrides": ("overrides", None),
    "_C": ("_C", None),
    "_dynamo": ("_dynamo", None),
    "_tensor_str": ("_tensor_str", None),
    "__config__": ("__config__", None),
    "compiler": ("compiler", None),
    "distributed": ("distributed", None),
    "fx": ("fx", None),
    "futures": ("futures", None),
    "jit": ("jit", None),
    "library": ("library", None),
    "onnx": ("onnx", None),
    "ao": ("ao", None),
    "multiprocessing": ("multiprocessing", None),
    "xpu": ("xpu", None),
    "ScriptModule": ("jit", "ScriptModule"),
    "ScriptFunction": ("jit", "ScriptFunction"),
    "functional": ("functional", None),
    "torch_version": ("torch_version", None),
    "version": ("version", None),
    "UntypedStorage": ("trace.storage", "UntypedStorage"),
    "TypedStorage": ("trace.storage", "TypedStorage"),
    "types": ("types", None),
    "testing": ("testing", None),
    "cuda": ("cuda", None),
    "cpu": ("cpu", None),
    "backends": ("backends", None),
    "accelerator": ("accelerator", None),
    "return_types": ("return_types", None),
    "manual_seed": ("random", "manual_seed"),
    "seed": ("random", "seed"),
    "initial_seed": ("random", "initial_seed"),
    "get_rng_state": ("random", "get_rng_state"),
    "set_rng_state": ("random", "set_rng_state"),
    "save": ("serialization", "save"),
    "load": ("serialization", "load"),
    "PyTorchFileReader": ("serialization", "PyTorchFileReader"),
    "set_printoptions": ("printing", "set_printoptions"),
    "as_torch": ("alias", "as_torch"),
    "is_anomaly_enabled": ("autograd.anomaly", "is_anomaly_enabled"),
    "is_anomaly_check_nan_enabled": ("autograd.anomaly", "is_anomaly_check_nan_enabled"),
    "explain": ("tools.explain", "explain"),
    "OutOfMemoryError": ("trace.out_of_memory", "OutOfMemoryError"),
    "show_kernels": ("tools.kernels", "show_kernels"),
    "amp": ("amp", None),
    "safetensors": ("safetensors", None),
    "autocast": ("amp", "autocast"),
    "is_autocast_enabled": ("amp", "is_autocast_enabled"),
    "is_autocast_cache_enabled": ("amp", "is_autocast_cache_enabled"),
    "set_autocast_cache_enabled": ("amp", "set_autocast_cache_enabled"),
    "get_autocast_dtype": ("amp", "get_autocast_dtype"),
    "set_autocast_dtype": ("amp", "set_autocast_dtype"),
    "set_autocast_enabled": ("amp", "set_autocast_enabled"),
    "GradScaler": ("amp", "GradScaler"),
    "to_dlpack": ("utils.dlpack", "to_dlpack"),
    "set_anomaly_enabled": ("autograd.anomaly", "set_anomaly_enabled"),
    "hub": ("hub", None),
    "storage": ("storage", None),
    "_utils": ("_utils", None),
    "__future__": ("__future__", None),
    "export": ("export", None),
    "monitor": ("monitor", None),
    "mps": ("mps", None),
    "nested": ("nested", None),
    "package": ("package", None),
    "quantization": ("quantization", None),
}
_LAZY.update({_n: ("settings", _n) for _n in (
    "autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache "
    "compiled_with_cxx11_abi get_autocast_cpu_dtype get_autocast_gpu_dtype get_default_device "
    "get_deterministic_debug_mode get_device_module get_float32_matmul_precision "
    "get_num_interop_threads has_lapack has_mkl has_openmp has_spectral is_autocast_cpu_enabled "
    "is_deterministic_algorithms_warn_only_enabled is_distributed is_vulkan_available "
    "is_warn_always_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_gpu_dtype "
    "set_default_device set_default_tensor_type set_deterministic_debug_mode "
    "set_float32_matmul_precision set_flush_denormal set_num_interop_threads set_warn_always"
).split()})
_LAZY.update({_n: ("symbols", _n) for _n in (
    "_check _check_index _check_type _check_value SymBool SymFloat SymInt cond sym_constrain_range sym_constrain_range_for_size sym_float sym_int "
    "sym_ite sym_max sym_min sym_not sym_sqrt sym_sum while_loop"
).split()})


def __getattr__(name: str):
    entry = _LAZY.get(name)
    if entry is None:
        if not name.startswith("__"):
            _ops.load_layers()
            _ops.load_further()
            if name in _operators:
                globals()[name] = _operators[name]
                return _operators[name]
            from .answers import find

            globals()[name] = found = find("torch", name)
            return found
        raise AttributeError(f"module 'rushlight' has no attribute '{name}'")
    module = _import_module("." + entry[0], __name__)
    found = module if entry[1] is None else getattr(module, entry[1])
    globals()[name] = found
    return found


def __dir__():
    _ops.load_layers()
    _ops.load_further()
    globals().update({n: f for n, f in _operators.items() if n not in globals()})
    return sorted(set(globals()) | set(_LAZY))


def is_tensor(obj) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj) -> bool:
    """Whether `obj` is a storage."""
    from .trace.storage import UntypedStorage

    return isinstance(obj, UntypedStorage)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype of `input` is a floating-point type."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Whether the dtype of `input` is complex."""
    return input.is_complex()


def is_nonzero(input: Tensor) -> bool:
    """Whether the single element of `input` is not zero."""
    return bool(input)


def numel(input: Tensor) -> int:
    """Number of elements of `input`."""
    return input.numel()


def result_type(tensor1, tensor2) -> dtype:
    """The dtype of an arithmetic operation between two tensors or numbers."""
    from .trace.meta import weak_meta
    from .trace.promotion import promote

    return promote(*[
        t._s.m if isinstance(t, Tensor) else weak_meta(type(t)) for t in (tensor1, tensor2)
    ])


def get_num_threads() -> int:
    """Number of threads that native kernels use (NumPy's own library decides for tier 0)."""
    from .compile.threads import threads

    return threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads of native kernels, and of NumPy's BLAS."""
    if not isinstance(n, _Integral) or n < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    from .compile import cores, threads

    threads.use(n)
    cores.take(n)


# so that importing the layer later does not rebind the name (`from . import compile` would ask
# __getattr__ first, which loads all operators)
_import_module("rushlight.compile")


def compile(  # noqa: F811
    model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None,
    disable=False,
):
    """PyTorch's torch.compile; returns `model`, which needs no wrapper here.

    Programs that repeat are compiled anyway, in the background. After this call they are compiled at
    once, in the thread that runs them, so the steps after the first few are fast from then on. The options
    are accepted and have no meaning here; `disable=True` changes nothing.

    >>> f = torch.compile(lambda x: x * 2)
    >>> f(torch.ones(2))
    tensor([2., 2.])
    """
    if not disable:
        from .compile import background

        background.at_once()
    if model is None:
        return lambda m: m
    return model


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Whether results are the same bits in every run on a machine.

    Every algorithm is deterministic, but a native program rounds otherwise than its first runs
    in tier 0, and when it takes over depends on the time that compiling takes. With `mode`, programs
    that are not native yet stay in tier 0: say so at the start. warn_only: accepted.

    >>> torch.use_deterministic_algorithms(False)
    >>> torch.are_deterministic_algorithms_enabled()
    False
    """
    from .compile import background

    background.STAY_OUT[0] = mode


def are_deterministic_algorithms_enabled() -> bool:
    """Whether `use_deterministic_algorithms(True)` was said."""
    from .compile import background

    return background.STAY_OUT[0]


def typename(obj) -> str:
    """The full name of an object's type."""
    if isinstance(obj, Tensor):
        kinds = {"float32": "FloatTensor", "float64": "DoubleTensor", "int64": "LongTensor"}
        return "torch." + kinds.get(obj.dtype.name, obj.dtype.name)
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def _assert(condition, message: str) -> None:
    """Assert that works on tensors, and is a part of a graph where a module is traced (`torch.fx`)."""
    if type(condition) is not Tensor and hasattr(type(condition), "__torch_function__"):
        from .trace.overrides import call

        return call(_assert, type(condition), (condition, message), {})
    assert condition, message


__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "__version__",
    "can_cast",
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "default_generator",
    "device",
    "dtype",
    "enable_grad",
    "finfo",
    "get_default_dtype",
    "iinfo",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "layout",
    "memory_format",
    "no_grad",
    "preserve_format",
    "promote_types",
    "set_default_dtype",
    "set_grad_enabled",
    "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_csc", "sparse_csr", "strided",
]
del _math, _gc


if _os.environ.get("RUSHLIGHT_NANS", "") not in ("", "0"):
    from .tools.nan_tracking import nans as _nans

    _nans().__enter__()
