"""torch.torch_version: versions that compare with strings and tuples."""

from __future__ import annotations

from .alias import TorchVersion

__all__ = ["TorchVersion"]
