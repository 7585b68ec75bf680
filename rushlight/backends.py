"""torch.backends: flags that programs set for other back ends; kept, without effect here."""

from __future__ import annotations


class _Flags:
    """Attributes that may be set and read."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def is_available(self) -> bool:
        """False: this back end is not there."""
        return False

    is_built = is_available


cudnn = _Flags(enabled=False, benchmark=False, deterministic=False, allow_tf32=False)
cuda = _Flags(matmul=_Flags(allow_tf32=False))
mps = _Flags()
mkl = _Flags()
mkldnn = _Flags(enabled=False)
openmp = _Flags()
