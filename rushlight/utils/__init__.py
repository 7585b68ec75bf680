"""torch.utils: data loading, hooks, activation checkpointing. Submodules are loaded when first used."""

from __future__ import annotations

_SUBMODULES = ("_pytree", "checkpoint", "data", "dlpack", "flop_counter", "hooks", "tensorboard")


def __getattr__(name: str):
    if name in _SUBMODULES:
        import importlib

        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'torch.utils' has no attribute '{name}'")
