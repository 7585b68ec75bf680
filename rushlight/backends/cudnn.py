"""torch.backends.cudnn: flags that can be set and read, without effect on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .mkl import is_available as is_available

enabled = benchmark = deterministic = allow_tf32 = False
benchmark_limit: int | None = 10


def version() -> None:
    """None: cuDNN is not there."""


@contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int | None = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """Inside of the block, the flags have these values.

    >>> with torch.backends.cudnn.flags(deterministic=True):
    ...     torch.backends.cudnn.deterministic
    True
    """
    within = {"enabled": enabled, "benchmark": benchmark, "benchmark_limit": benchmark_limit,
              "deterministic": deterministic, "allow_tf32": allow_tf32}
    before = {name: globals()[name] for name in within}
    globals().update(within)
    try:
        yield
    finally:
        globals().update(before)
