"""torch.overrides: functions called with Tensor subclasses are handed to `__torch_function__`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .answers import finder as _finder
from .trace.operator import PUBLISHED
from .trace.overrides import DisableTorchFunction, TorchFunctionMode, find
from .trace.tensor import Tensor


def has_torch_function(args) -> bool:
    """Whether any of `args` overrides functions."""
    return find(tuple(args), None) is not None


def has_torch_function_unary(arg) -> bool:
    """Whether `arg` overrides functions."""
    return find((arg,), None) is not None


def has_torch_function_variadic(*args) -> bool:
    """Whether any argument overrides functions."""
    return find(args, None) is not None


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """Hand a call to the override among `relevant_args`."""
    from .trace.overrides import call

    return call(public_api, find(tuple(relevant_args), None), args, kwargs)


def is_tensor_like(obj) -> bool:
    """Whether `obj` is a tensor or overrides functions."""
    return hasattr(type(obj), "__torch_function__")


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that calls the function.

    >>> with torch.overrides.BaseTorchFunctionMode():
    ...     torch.ones(1) + 1
    tensor([2.])
    """


@contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """Without effect: a mode's own calls reach the modes outside of it."""
    yield


def redispatch_function(func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """Run `func` as if no argument overrode functions."""
    with DisableTorchFunction():
        return func(*args, **(kwargs or {}))


def _owners() -> dict[Any, str]:
    import rushlight

    from .nn import functional

    return {rushlight: "torch", functional: "torch.nn.functional", rushlight.linalg: "torch.linalg",
            rushlight.special: "torch.special", rushlight.fft: "torch.fft", rushlight.Tensor: "torch.Tensor"}


def get_overridable_functions() -> dict[Any, list[Callable]]:
    """{namespace: the functions of it that look for `__torch_function__`}.

    >>> torch.exp in torch.overrides.get_overridable_functions()[torch]
    True
    """
    ignored = get_ignored_functions()
    spaces = {o: PUBLISHED[name.removeprefix("torch.")] for o, name in _owners().items()}
    return {owner: [f for f in space.values() if callable(f) and f not in ignored] for owner, space in spaces.items()}


def get_ignored_functions() -> set[Callable]:
    """Functions that do not look for `__torch_function__`: those that make tensors of other things."""
    names = ("arange as_tensor empty empty_strided eye from_numpy full linspace logspace ones rand randint randn randperm "
             "tensor tril_indices triu_indices zeros")
    return {f for f in [PUBLISHED["torch"].get(n) for n in names.split()] if f is not None}


def get_default_nowrap_functions() -> set[Callable]:
    """Functions whose results a subclass does not wrap again: attributes that are no new tensors."""
    return {getattr(Tensor, n).__get__ for n in ("_base", "grad", "_grad") if hasattr(getattr(Tensor, n, None), "__get__")}


def get_testing_overrides() -> dict[Callable, Callable]:
    """{overridable function: a function of the same parameters that returns -1}."""
    def stand_in(f: Callable) -> Callable:
        made = lambda *args, **kwargs: -1  # noqa: E731
        try:
            made.__signature__ = inspect.signature(f)  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            pass
        return made

    return {f: stand_in(f) for functions in get_overridable_functions().values() for f in functions}


def is_tensor_method_or_property(func: Callable) -> bool:
    """Whether a function is a method of Tensor (some are functions of torch, too) or a property's getter."""
    return func in PUBLISHED["Tensor"].values() or getattr(func, "__name__", "") == "__get__"


def resolve_name(f: Callable) -> str | None:
    """The name of an overridable function, e.g. "torch.nn.functional.relu"; None for others.

    >>> torch.overrides.resolve_name(torch.exp)
    'torch.exp'
    """
    for owner, name in _owners().items():
        for n, g in PUBLISHED[name.removeprefix("torch.")].items():
            if g is f:
                return f"{name}.{n}"
    return None


def wrap_torch_function(dispatcher: Callable) -> Callable:
    """Let a function look for `__torch_function__` among the arguments that `dispatcher` returns.

    >>> @torch.overrides.wrap_torch_function(lambda a: (a,))
    ... def double(a):
    ...     return a + a
    >>> double(torch.ones(1))
    tensor([2.])
    """
    def decorate(func: Callable) -> Callable:
        @functools.wraps(func)
        def call(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(call, relevant, *args, **kwargs)
            return func(*args, **kwargs)

        return call

    return decorate


__all__ = [
    "BaseTorchFunctionMode",
    "DisableTorchFunction",
    "TorchFunctionMode",
    "enable_reentrant_dispatch",
    "get_default_nowrap_functions",
    "get_ignored_functions",
    "get_overridable_functions",
    "get_testing_overrides",
    "is_tensor_method_or_property",
    "redispatch_function",
    "resolve_name",
    "wrap_torch_function",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
]

__getattr__ = _finder(__name__)
