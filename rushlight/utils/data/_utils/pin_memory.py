"""torch.utils.data._utils.pin_memory."""

from ....trace.tensor import Tensor
from ..transport import walk


def pin_memory(data, device=None):
    """Nested data with its tensors in pinned memory."""
    return walk(data, lambda x: x.pin_memory() if isinstance(x, Tensor) else x)
