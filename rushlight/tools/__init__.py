"""Tools: `explain` shows what ran, `memory` what it took; `nans` stops at the operation that makes a NaN.

`Recorder` writes what a training run does, for the page of `rushlight board`.
"""

from importlib import import_module as _import_module

_LAZY = {"memory": "live_memory", "nans": "nan_tracking", "NanError": "nan_tracking", "Recorder": "board"}
__all__ = ["NanError", "Recorder", "memory", "nans"]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'rushlight.tools' has no attribute '{name}'")
    found = getattr(_import_module("." + _LAZY[name], __name__), name)
    globals()[name] = found
    return found
