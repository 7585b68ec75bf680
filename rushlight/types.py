"""torch.types: names for annotations."""

import os
from collections.abc import Sequence
from typing import IO, Union

from .answers import finder as _finder
from .trace.device import device
from .trace.dtypes import dtype, layout
from .trace.meta import Size
from .trace.tensor import Tensor

Number = Union[int, float, bool]
Device = Union[device, str, int, None]
_size = Union[Size, list[int], tuple[int, ...]]
_int = int
_float = float
_bool = bool
_dtype = dtype
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]
_device = device
_layout = layout
FileLike = Union[str, os.PathLike[str], IO[bytes]]

__getattr__ = _finder(__name__)
