"""Handles of registered hooks, under PyTorch's path torch.utils.hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ..trace.handles import HookDict, RemovableHandle


def unserializable_hook(f: Callable) -> Callable:
    """Mark a hook of which `warn_if_has_hooks` warns; returns it."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


def warn_if_has_hooks(tensor: Any) -> None:
    """Warn of a tensor's hooks that are marked: they are not saved with it."""
    for hook in (tensor._hooks or {}).values():
        if hasattr(hook, "__torch_unserializable__"):
            warnings.warn(f"backward hook {hook!r} on tensor will not be serialized.", stacklevel=2)


class BackwardHook:
    """A name only: a module's backward hooks are called by the module. Raises RuntimeError when called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("BackwardHook: use Module.register_full_backward_hook")


__all__ = ["HookDict", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]
