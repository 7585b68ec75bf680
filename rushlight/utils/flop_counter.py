"""`FlopCounterMode`, for programs that name it; `rushlight.explain()` tells what ran and its cost."""

from __future__ import annotations

from typing import Any


class FlopCounterMode:
    """PyTorch's counter of floating-point operations; not there.

    Raises RuntimeError when called: `rushlight.explain()` shows kernels with their cost.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            "FlopCounterMode: operations are not counted by dispatch here. Run the model under "
            "`rushlight.explain()`, which shows every kernel with its cost."
        )
