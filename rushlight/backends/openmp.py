"""torch.backends.openmp: not there; Rushlight has its own pool of threads."""

from __future__ import annotations

from .mkl import is_available as is_available
