"""torch.utils.data._utils.collate."""

from ..collate import *  # noqa: F403
from ..collate import (  # noqa: F401
    collate_float_fn,
    collate_int_fn,
    collate_numpy_array_fn,
    collate_numpy_scalar_fn,
    collate_str_fn,
    collate_tensor_fn,
)
