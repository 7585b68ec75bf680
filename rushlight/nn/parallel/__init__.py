"""`DataParallel`, for programs that wrap their model in it: it just calls the model.

`DistributedDataParallel` (`distributed.py`) is a name only.
"""

from __future__ import annotations

from typing import Any

from ...answers import finder as _finder
from ..modules.module import Module
from .distributed import DistributedDataParallel

__all__ = ["DataParallel", "DistributedDataParallel"]


class DataParallel(Module):
    """Calls `module`; there is one device, so the batch is not split.

    >>> nn.DataParallel(nn.Linear(3, 2))(torch.zeros(4, 3)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list = []
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

__getattr__ = _finder(__name__)
