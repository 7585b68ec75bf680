"""Tools that show what Rushlight does: `explain` (what ran), `memory` (what it took)."""

from importlib import import_module as _import_module

_LAZY = {"memory": "live_memory"}
__all__ = ["memory"]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'rushlight.tools' has no attribute '{name}'")
    found = getattr(_import_module("." + _LAZY[name], __name__), name)
    globals()[name] = found
    return found
