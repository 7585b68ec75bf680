"""torch.compiler: what PyTorch's compiler is told and asked; here it needs no telling (`_dynamo/`)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NoReturn

from .._dynamo import allow_in_graph, assume_constant_result, disable, is_compiling, reset
from ..answers import finder as _finder

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "get_default_backend",
    "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "nested_compile_region", "reset",
    "save_cache_artifacts", "load_cache_artifacts", "set_default_backend", "set_stance", "substitute_in_graph", "wrap_numpy",
]  # fmt: skip

is_dynamo_compiling = is_exporting = is_compiling


def compile(*args: Any, **kwargs: Any) -> Callable:
    """`torch.compile`."""
    import rushlight

    return rushlight.compile(*args, **kwargs)


def get_default_backend() -> str | Callable:
    """What `set_default_backend` was told."""
    return _backend[0]


_backend: list = ["inductor"]


def set_default_backend(backend: str | Callable | None) -> None:
    """Accepted: there is one compiler."""
    _backend[0] = "inductor" if backend is None else backend


class set_stance(contextlib.ContextDecorator):
    """Accepted: a program that repeats is compiled, and computes the same before. Also a context manager.

    >>> with torch.compiler.set_stance("force_eager"):
    ...     torch.ones(1) + 1
    tensor([2.])
    """

    def __init__(self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: Any) -> None:
        pass


def set_enable_guard_collectives(enabled: bool) -> bool:
    """Accepted; False, the value before."""
    return False


def save_cache_artifacts() -> None:
    """None: compiled kernels are kept in a folder (`rushlight cache show`), which can be copied."""


def load_cache_artifacts(serialized_artifacts: bytes) -> None:
    """None: see `save_cache_artifacts`."""


def load_compiled_function(file: Any, *, f_globals: dict | None = None, external_data: Any = None) -> NoReturn:
    """Raises RuntimeError: no code is loaded from files."""
    raise RuntimeError("torch.compiler.load_compiled_function: no code is loaded from files; compile the function here")


class NestedCompileRegionOptions:
    """Options of `nested_compile_region`; accepted.

    >>> torch.compiler.NestedCompileRegionOptions() is not None
    True
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass


def nested_compile_region(fn: Callable | None = None, *, options: Any = None) -> Callable:
    """The function itself: a stretch that repeats is compiled once anyway."""
    return fn if fn is not None else lambda given: given


def substitute_in_graph(original_fn: Callable, *, can_constant_fold_through: bool = False,
                        skip_signature_check: bool = False, **options: Any) -> Callable:
    """Accepted: functions run as they are. A decorator that returns the function."""
    return lambda given: given


def _all_guards(guard_entries: Any, **options: Any) -> list[bool]:
    """Which of PyTorch's guards to keep: there are none here, and all would be kept."""
    return [True for _ in guard_entries]


keep_portable_guards_unsafe = keep_tensor_guards_unsafe = skip_all_guards_unsafe = _all_guards
skip_guard_on_all_nn_modules_unsafe = skip_guard_on_globals_unsafe = skip_guard_on_inbuilt_nn_modules_unsafe = _all_guards


def wrap_numpy(fn: Callable) -> Callable:
    """A function of arrays as a function of tensors: it gets and returns NumPy's arrays, the caller tensors.

    >>> import numpy
    >>> torch.compiler.wrap_numpy(lambda a: numpy.sin(a) + 1)(torch.zeros(2))
    tensor([1., 1.])
    """
    import numpy as np

    import rushlight

    from ..utils._pytree import tree_map

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(lambda x: x.numpy() if isinstance(x, rushlight.Tensor) else x, (args, kwargs))
        return tree_map(lambda x: rushlight.as_tensor(x) if isinstance(x, np.ndarray) else x, fn(*args, **kwargs))

    return call


def cudagraph_mark_step_begin() -> None:
    """Accepted: there are no CUDA graphs."""


def list_backends(exclude_tags: tuple = ()) -> list[str]:
    """No back end can be chosen.

    >>> torch.compiler.list_backends()
    []
    """
    return []

__getattr__ = _finder(__name__)
