"""`FlopCounterMode`, for programs that make one; `rushlight.explain()` tells what ran and its cost."""

from __future__ import annotations

from typing import Any, NoReturn


class FlopCounterMode:
    """PyTorch's counter of floating-point operations, before it has counted any.

    Counting is not there: entering the context raises RuntimeError. `rushlight.explain()` shows
    kernels with their cost.
    """

    def __init__(self, mods: Any = None, depth: int = 2, display: bool = True,
                 custom_mapping: dict | None = None) -> None:
        self.depth, self.display = depth, display

    def __enter__(self) -> NoReturn:
        raise RuntimeError(
            "FlopCounterMode: operations are not counted here. Run the model under "
            "`rushlight.explain()`, which shows every kernel with its cost."
        )

    def __exit__(self, *error: Any) -> None:
        pass

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """{}: nothing was counted."""
        return {}

    def get_total_flops(self) -> int:
        """0: nothing was counted."""
        return 0
