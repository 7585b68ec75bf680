"""torch.utils._python_dispatch: the name of the modes that PyTorch has below its operators."""

from __future__ import annotations

from typing import Any


class TorchDispatchMode:
    """A name only: operators are not dispatched here, so nothing can be intercepted below them.

    `torch.overrides.TorchFunctionMode` sees every call of a function or method. Entering raises
    NotImplementedError.
    """

    def __enter__(self) -> Any:
        raise NotImplementedError(
            "TorchDispatchMode: there is no dispatcher below the operators. torch.overrides.TorchFunctionMode "
            "sees every call of a function"
        )

    def __exit__(self, *error: Any) -> None:
        pass


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """False: no tensor is a wrapper around others."""
    return False


__all__ = ["TorchDispatchMode", "is_traceable_wrapper_subclass"]
