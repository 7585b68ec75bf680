"""Picture transforms."""

from __future__ import annotations

import numpy as np

from ..trace.tensor import Tensor, wrap


class Compose:
    """Transforms one after the other."""

    def __init__(self, transforms):
        self.transforms = list(transforms)

    def __call__(self, picture):
        for t in self.transforms:
            picture = t(picture)
        return picture


class ToTensor:
    """A uint8 picture (H, W) or (H, W, C) as a float tensor (C, H, W) in [0, 1]."""

    def __call__(self, picture):
        a = np.asarray(picture)
        a = a[None] if a.ndim == 2 else a.transpose(2, 0, 1)
        scaled = a.astype(np.float32) / np.float32(255) if a.dtype == np.uint8 else a
        return wrap(np.ascontiguousarray(scaled))


class Normalize:
    """`(x - mean) / std` for each channel."""

    def __init__(self, mean, std):
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)

    def __call__(self, picture: Tensor) -> Tensor:
        mean, std = wrap(self.mean.reshape(-1, 1, 1)), wrap(self.std.reshape(-1, 1, 1))
        return (picture - mean) / std
