"""Handles of registered hooks: what every `register_..._hook` returns."""

from __future__ import annotations

import weakref
from typing import Any


class RemovableHandle:
    """Removes a hook again: `handle.remove()`, or at the end of a `with` block.

    The handle holds its hook dictionaries weakly where they allow it, so it keeps no module alive.

    >>> layer = nn.ReLU()
    >>> handle = layer.register_forward_hook(lambda module, args, output: output + 1)
    >>> layer(torch.zeros(1)), handle.remove(), layer(torch.zeros(1))
    (tensor([1.]), None, tensor([0.]))
    """

    next_id = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        while RemovableHandle.next_id in hooks_dict:  # hooks that came with a pickled module
            RemovableHandle.next_id += 1
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extras = extra_dict if isinstance(extra_dict, list) else [extra_dict]
        self._dicts = [_reference(d) for d in [hooks_dict, *extras] if d is not None]

    def remove(self) -> None:
        """Take the hook out of its dictionaries; a second call does nothing."""
        for reference in self._dicts:
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()

    def __getstate__(self) -> tuple:
        return self.id, [d for d in [reference() for reference in self._dicts] if d is not None]

    def __setstate__(self, state: tuple) -> None:
        self.id, dicts = state
        self._dicts = [_reference(d) for d in dicts]


class HookDict(dict):
    """A dictionary of hooks that handles can refer to weakly.

    >>> from rushlight.utils.hooks import HookDict, RemovableHandle
    >>> hooks = HookDict()
    >>> handle = RemovableHandle(hooks)
    >>> hooks[handle.id] = print
    >>> handle.remove(); hooks
    {}
    """

    __slots__ = ("__weakref__", "last")  # last: called after the others, whenever they came


def _reference(hooks: Any) -> Any:
    try:
        return weakref.ref(hooks)
    except TypeError:
        return lambda: hooks
