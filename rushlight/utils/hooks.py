"""Handles of registered hooks, under PyTorch's path torch.utils.hooks."""

from ..trace.handles import HookDict, RemovableHandle

__all__ = ["HookDict", "RemovableHandle"]
