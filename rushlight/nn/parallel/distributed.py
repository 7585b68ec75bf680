"""`DistributedDataParallel`, for programs that ask whether a model is one."""

from __future__ import annotations

from typing import Any

from ..modules.module import Module


class DistributedDataParallel(Module):
    """PyTorch's wrapper for training in several processes; there is one process here.

    Raises RuntimeError when called: train the model itself, with threads it uses all processors.
    """

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            "DistributedDataParallel: Rushlight trains in one process, whose threads use all "
            "processors. Use the model without it."
        )
