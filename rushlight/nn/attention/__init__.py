"""torch.nn.attention: the choice of an attention kernel (there is one), and flexible attention.

`flex_attention.py` is attention whose scores a Python function changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from ...answers import finder as _finder

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(IntEnum):
    """PyTorch's kernels of `scaled_dot_product_attention`, for programs that name them.

    >>> x = torch.ones(1, 1, 2, 4)
    >>> with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
    ...     F.scaled_dot_product_attention(x, x, x).shape
    torch.Size([1, 1, 2, 4])
    """

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """Accepted: the same kernel computes attention whichever is asked for.

    Raises AssertionError for what is neither an SDPBackend nor a list of them.
    """
    asked = [backends] if isinstance(backends, SDPBackend) else backends
    assert isinstance(asked, list) and all(isinstance(b, SDPBackend) for b in asked), (
        f"sdpa_kernel: Backend must be an SDPBackend or a list of them, not {backends!r}"
    )
    yield

__getattr__ = _finder(__name__)
