"""torch.distributed.tensor: the class's name, for `isinstance`."""

from __future__ import annotations

from typing import Any

__all__ = ["DTensor"]


class DTensor:
    """PyTorch's tensor in several processes; no tensor here is one. Raises RuntimeError when called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("DTensor: programs run in one process here; use tensors")
