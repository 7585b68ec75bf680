"""torch.backends.mkldnn: not there; Rushlight writes its own kernels."""

from __future__ import annotations

from .mkl import is_available as is_available

enabled = False
