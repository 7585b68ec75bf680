"""torch.backends.cuda: not there; this version computes on the CPU."""

from __future__ import annotations

from types import SimpleNamespace

from .mkl import is_available as is_available

is_built = is_available
matmul = SimpleNamespace(allow_tf32=False)
