"""torch.functional: functions of `torch` under the name of the module that PyTorch has them in."""

from __future__ import annotations

from typing import Any

import rushlight

from .nn import functional as F  # noqa: F401 - a name of PyTorch's

__all__ = (
    "atleast_1d atleast_2d atleast_3d broadcast_shapes broadcast_tensors cartesian_prod block_diag cdist "
    "chain_matmul einsum istft lu meshgrid norm split stft tensordot unique unique_consecutive unravel_index"
).split()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(rushlight, name)
    raise AttributeError(f"module 'rushlight.functional' has no attribute '{name}'")
