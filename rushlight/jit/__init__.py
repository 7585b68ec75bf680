"""torch.jit: the names that libraries use to prepare for TorchScript.

Rushlight compiles what repeats without another language, so `script` and `trace` return what they
are given: it computes the same, and follows Python's control flow at each call. Files of TorchScript
can be neither written nor read.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final, NoReturn, TypeVar

from ..answers import finder as _finder
from ..nn import Module

T = TypeVar("T")

__all__ = [
    "Attribute", "Final", "ScriptFunction", "ScriptModule", "annotate", "export", "freeze", "ignore",
    "interface", "is_scripting", "is_tracing", "isinstance", "load", "save", "script",
    "script_if_tracing", "script_method", "trace", "trace_module", "unused",
]  # fmt: skip

_REFUSED = (
    "there is no TorchScript here: save `model.state_dict()` with torch.save, and build the model "
    "from its class"
)


class ScriptModule(Module):
    """The class of PyTorch's scripted modules, for `isinstance`. Raises RuntimeError when called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("ScriptModule: " + _REFUSED)


class ScriptFunction:
    """The class of PyTorch's scripted functions, for `isinstance`. Raises RuntimeError when called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("ScriptFunction: " + _REFUSED)


def script(obj: T, *args: Any, **kwargs: Any) -> T:
    """`obj` itself: a function, module or class.

    >>> @torch.jit.script
    ... def double(x):
    ...     return 2 * x
    >>> double(torch.ones(2))
    tensor([2., 2.])
    """
    return obj


def trace(func: T, example_inputs: Any = None, *args: Any, **kwargs: Any) -> T:
    """`func` itself, which is not called; its control flow stays Python's."""
    return func


def trace_module(mod: T, inputs: Any, *args: Any, **kwargs: Any) -> T:
    """`mod` itself."""
    return mod


def freeze(mod: T, *args: Any, **kwargs: Any) -> T:
    """`mod` itself."""
    return mod


def _marked(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
    """What is marked, unchanged; without it, a decorator."""
    return fn if callable(fn) else lambda given: given


export = ignore = unused = interface = script_if_tracing = script_method = _marked
_overload = _overload_method = _script_if_tracing = _marked


class _Broadcasting:
    """`BroadcastingList2[int]`: one int, or a list of two."""

    def __getitem__(self, item: Any) -> Any:
        return item | list[item]


BroadcastingList2 = BroadcastingList3 = _Broadcasting()


def annotate(the_type: Any, the_value: T) -> T:
    """`the_value`; types need not be told."""
    return the_value


def Attribute(value: T, type: Any) -> T:
    """`value`; types need not be told."""
    return value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Python's isinstance, which also takes `list[int]` and the like by their outer class.

    >>> torch.jit.isinstance([1], list)
    True
    """
    import builtins
    import typing

    return builtins.isinstance(obj, typing.get_origin(target_type) or target_type)


def is_scripting() -> bool:
    """False: Python runs the program.

    >>> torch.jit.is_scripting()
    False
    """
    return False


def is_tracing() -> bool:
    """False: nothing is traced for TorchScript.

    >>> torch.jit.is_tracing()
    False
    """
    return False


class Error(RuntimeError):
    """An error of a TorchScript program. Nothing raises it.

    >>> issubclass(torch.jit.Error, RuntimeError)
    True
    """


JITException = Error


class ScriptWarning(Warning):
    """A warning of TorchScript's compiler. Nothing warns so.

    >>> issubclass(torch.jit.ScriptWarning, Warning)
    True
    """


class TracerWarning(Warning):
    """A warning of TorchScript's tracer. Nothing warns so.

    >>> issubclass(torch.jit.TracerWarning, Warning)
    True
    """


class TracingCheckError(Exception):
    """An error of TorchScript's tracer. Nothing raises it.

    >>> issubclass(torch.jit.TracingCheckError, Exception)
    True
    """


def fork(func: Any, *args: Any, **kwargs: Any) -> Any:
    """`func(*args, **kwargs)`, which runs at once; its result is in a `torch.futures.Future`.

    >>> torch.jit.wait(torch.jit.fork(lambda x: x + 1, torch.ones(1)))
    tensor([2.])
    """
    from ..futures import Future

    made = Future()
    made.set_result(func(*args, **kwargs))
    return made


def wait(future: Any) -> Any:
    """The result of `fork`."""
    return future.wait()


def optimize_for_inference(mod: T, other_methods: Any = None) -> T:
    """`mod` itself."""
    return mod


run_frozen_optimizations = optimize_for_inference


class optimized_execution(contextlib.nullcontext):
    """Accepted: a block that changes nothing.

    >>> with torch.jit.optimized_execution(False):
    ...     torch.jit.is_tracing()
    False
    """

    def __init__(self, should_optimize: bool = True) -> None:
        super().__init__()


fuser = strict_fusion = optimized_execution


def save(m: Any, f: Any, _extra_files: Any = None) -> NoReturn:
    """Raises RuntimeError: there is no TorchScript."""
    raise RuntimeError("torch.jit.save: " + _REFUSED)


def load(f: Any, map_location: Any = None, _extra_files: Any = None) -> NoReturn:
    """Raises RuntimeError: there is no TorchScript."""
    raise RuntimeError("torch.jit.load: " + _REFUSED)

__getattr__ = _finder(__name__)
