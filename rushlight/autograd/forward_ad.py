"""torch.autograd.forward_ad: forward-mode differentiation is not available yet."""

from __future__ import annotations


def dual_level():
    """Forward-mode differentiation; raises NotImplementedError."""
    raise NotImplementedError(
        "forward-mode differentiation is planned; use autograd.grad (reverse mode) instead"
    )
