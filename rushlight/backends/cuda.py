"""torch.backends.cuda: not there; this version computes on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from ..answers import finder as _finder
from .mkl import is_available as is_available

is_built = is_available
matmul = SimpleNamespace(allow_tf32=False)
cufft_plan_cache = SimpleNamespace(size=0, max_size=0, clear=lambda: None)
_attention = {"flash": True, "math": True, "mem_efficient": True, "cudnn": True, "half_sums": False}


def _flag(name: str) -> tuple[Callable[[], bool], Callable[[bool], None]]:
    def enabled() -> bool:
        """What was set; the same kernel computes attention whichever is allowed."""
        return _attention[name]

    def enable(enabled: bool) -> None:
        """Kept, without effect: the same kernel computes attention whichever is allowed."""
        _attention[name] = bool(enabled)

    return enabled, enable


flash_sdp_enabled, enable_flash_sdp = _flag("flash")
math_sdp_enabled, enable_math_sdp = _flag("math")
mem_efficient_sdp_enabled, enable_mem_efficient_sdp = _flag("mem_efficient")
cudnn_sdp_enabled, enable_cudnn_sdp = _flag("cudnn")
fp16_bf16_reduction_math_sdp_allowed, allow_fp16_bf16_reduction_math_sdp = _flag("half_sums")


@contextmanager
def sdp_kernel(enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True,
               enable_cudnn: bool = True) -> Iterator[None]:
    """In the block, the flags have these values."""
    before = dict(_attention)
    _attention.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _attention.update(before)

__getattr__ = _finder(__name__)
