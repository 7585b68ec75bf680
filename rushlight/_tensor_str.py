"""torch._tensor_str: how a tensor's values are written, for programs that format them themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from .printing import options, plain_values, values_text
from .trace.tensor import Tensor

__all__ = ["PRINT_OPTS"]


class _Options(SimpleNamespace):
    """The options of `torch.set_printoptions` as attributes."""

    def __getattribute__(self, name: str) -> Any:
        return options[name] if name in options else super().__getattribute__(name)


PRINT_OPTS = _Options()


def _tensor_str(self: Tensor, indent: int) -> str:
    """The values of a tensor without "tensor(...)", further lines indented.

    >>> torch._tensor_str._tensor_str(torch.tensor([1.0, 2.5]), 0)
    '[1.0000, 2.5000]'
    """
    return values_text(plain_values(self), indent)
