"""torch.nn.functional: what layers and losses compute, as functions.

The operators fill this module from their table (`PUBLISHED`); nothing about them is here.
"""

from __future__ import annotations

from typing import Any

from rushlight.answers import find
from rushlight.ops import load_layers
from rushlight.trace.operator import PUBLISHED

load_layers()

from . import _attention  # noqa: E402, F401 - publishes multi_head_attention_forward

__all__ = sorted(PUBLISHED["nn.functional"])
globals().update(PUBLISHED["nn.functional"])


def __getattr__(name: str) -> Any:
    """Operators that were published after this module was made."""
    try:
        return PUBLISHED["nn.functional"][name]
    except KeyError:
        pass
    return find("nn.functional", name)
