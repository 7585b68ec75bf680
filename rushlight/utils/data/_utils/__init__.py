"""torch.utils.data._utils: PyTorch's paths of the parts that programs reach into."""

from .. import collate, fetch, worker
from . import pin_memory

MP_STATUS_CHECK_INTERVAL = 5.0

__all__ = ["MP_STATUS_CHECK_INTERVAL", "collate", "fetch", "pin_memory", "worker"]
