"""Transforms without random numbers, and those that combine others."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence

import rushlight as torch

from . import functional as F
from .functional import InterpolationMode


class Transform:
    """A picture in, a picture out; `repr` shows the arguments named in `shown`."""

    shown: tuple[str, ...] = ()

    def __call__(self, img):
        return self.forward(img)

    def forward(self, img):
        """The transformed picture."""
        raise NotImplementedError

    def __repr__(self) -> str:
        def text(v):
            return v.value if isinstance(v, InterpolationMode) else v

        arguments = ", ".join(f"{n}={text(getattr(self, n))}" for n in self.shown)
        return f"{type(self).__name__}({arguments})"


def pair(size, name: str = "size") -> tuple[int, int]:
    """(height, width) of one number or two; TypeError or ValueError for anything else."""
    if isinstance(size, numbers.Number):
        return (int(size), int(size))
    if not isinstance(size, Sequence):
        raise TypeError(f"{name} should be an int or a sequence, not {size!r}")
    if len(size) == 1:
        return (size[0], size[0])
    if len(size) != 2:
        raise ValueError(f"Please provide only two dimensions (h, w) for {name}.")
    return (size[0], size[1])


class Compose:
    """Transforms one after the other.

    >>> from rushlight.datasets import transforms
    >>> transforms.Compose([transforms.Lambda(lambda x: x + 1), transforms.Lambda(str)])(1)
    '2'
    """

    def __init__(self, transforms: Sequence[Callable]):
        self.transforms = list(transforms)

    def __call__(self, img):
        for t in self.transforms:
            img = t(img)
        return img

    def __repr__(self) -> str:
        inside = "".join(f"\n    {t}" for t in self.transforms)
        return f"{type(self).__name__}({inside}\n)"


class ToTensor(Transform):
    """A picture or array (H, W) or (H, W, C) as a tensor (C, H, W); 8 bits become float32 in [0, 1].

    >>> import numpy as np
    >>> from rushlight.datasets import transforms
    >>> transforms.ToTensor()(np.full((1, 2), 51, np.uint8))
    tensor([[[0.2000, 0.2000]]])
    """

    takes_arrays = True

    def forward(self, img):
        return F.to_tensor(img)


class PILToTensor(Transform):
    """A picture as a tensor (C, H, W) of the same numbers.

    >>> import numpy as np
    >>> from rushlight.datasets import transforms
    >>> transforms.PILToTensor()(np.full((1, 2), 51, np.uint8))
    tensor([[[51, 51]]], dtype=torch.uint8)
    """

    takes_arrays = True

    def forward(self, img):
        return F.pil_to_tensor(img)


class ToPILImage(Transform):
    """A tensor (C, H, W) or array (H, W, C) as one of Pillow's images of `mode` (None: what fits).

    >>> from rushlight.datasets import transforms
    >>> transforms.ToPILImage()(torch.zeros(3, 4, 5)).size
    (5, 4)
    """

    shown = ("mode",)

    def __init__(self, mode: str | None = None):
        self.mode = mode

    def forward(self, img):
        return F.to_pil_image(img, self.mode)


class ConvertImageDtype(Transform):
    """Values scaled to a dtype: floats in [0, 1], integers from 0 to their maximum.

    >>> from rushlight.datasets import transforms
    >>> transforms.ConvertImageDtype(torch.uint8)(torch.ones(1, 1, 1))
    tensor([[[255]]], dtype=torch.uint8)
    """

    shown = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype

    def forward(self, img):
        return F.convert_image_dtype(img, self.dtype)


class Normalize(Transform):
    """`(x - mean) / std` for each channel of a float tensor.

    >>> from rushlight.datasets import transforms
    >>> transforms.Normalize([0.5], [0.25])(torch.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    shown = ("mean", "std")

    def __init__(self, mean, std, inplace: bool = False):
        self.mean, self.std, self.inplace = mean, std, inplace
        self._known: dict = {}  # mean and std by dtype: made once, not for each picture

    def forward(self, img):
        plain = isinstance(img, torch.Tensor) and img.ndim >= 3 and not self.inplace
        known = self._known.get(img.dtype) if plain else None
        if known is None:
            out = F.normalize(img, self.mean, self.std, self.inplace)
            if plain:
                self._known[img.dtype] = tuple(
                    torch.as_tensor(v, dtype=img.dtype).reshape(-1, 1, 1)
                    for v in (self.mean, self.std)
                )
            return out
        return (img - known[0]) / known[1]

    def __getstate__(self):
        return {**self.__dict__, "_known": {}}


class Resize(Transform):
    """Resampled to (height, width), or with the shorter side of the given length.

    size: one number or two. max_size: a limit for the longer side. antialias: smooth when reducing
    tensors; Pillow's images always are. Raises TypeError or ValueError for another size.

    >>> from rushlight.datasets import transforms
    >>> transforms.Resize(5)(torch.zeros(1, 20, 10)).shape
    torch.Size([1, 10, 5])
    """

    shown = ("size", "interpolation", "max_size", "antialias")

    def __init__(self, size, interpolation=InterpolationMode.BILINEAR, max_size=None,
                 antialias=True):
        if not isinstance(size, (int, Sequence)):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        F.mode_of(interpolation)
        self.size, self.interpolation = size, interpolation
        self.max_size, self.antialias = max_size, antialias

    def forward(self, img):
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(Transform):
    """The middle of a picture; a smaller one is padded with black.

    >>> from rushlight.datasets import transforms
    >>> transforms.CenterCrop(2)(torch.arange(12).reshape(1, 3, 4))
    tensor([[[1, 2],
             [5, 6]]])
    """

    shown = ("size",)

    def __init__(self, size):
        self.size = pair(size)

    def forward(self, img):
        return F.center_crop(img, self.size)


class Pad(Transform):
    """A border; see `functional.pad`.

    >>> from rushlight.datasets import transforms
    >>> transforms.Pad([1, 0])(torch.ones(1, 1, 1))
    tensor([[[0., 1., 0.]]])
    """

    shown = ("padding", "fill", "padding_mode")

    def __init__(self, padding, fill=0, padding_mode: str = "constant"):
        if not isinstance(padding, (numbers.Number, tuple, list)):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, (numbers.Number, tuple, list)):
            raise TypeError("Got inappropriate fill arg")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
        if isinstance(padding, Sequence) and len(padding) not in (1, 2, 4):
            raise ValueError(
                "Padding must be an int or a 1, 2, or 4 element tuple, not a "
                f"{len(padding)} element tuple"
            )
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def forward(self, img):
        return F.pad(img, self.padding, self.fill, self.padding_mode)


class Lambda(Transform):
    """Any function as a transform. TypeError for what cannot be called.

    >>> from rushlight.datasets import transforms
    >>> transforms.Lambda(abs)(-3)
    3
    """

    def __init__(self, lambd: Callable):
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def forward(self, img):
        return self.lambd(img)


class Grayscale(Transform):
    """In shades of grey, one or three equal channels.

    >>> from rushlight.datasets import transforms
    >>> transforms.Grayscale(3)(torch.ones(3, 2, 2)).shape
    torch.Size([3, 2, 2])
    """

    shown = ("num_output_channels",)

    def __init__(self, num_output_channels: int = 1):
        self.num_output_channels = num_output_channels

    def forward(self, img):
        return F.rgb_to_grayscale(img, self.num_output_channels)


class FiveCrop(Transform):
    """The four corners and the middle of a picture, as a tuple.

    >>> from rushlight.datasets import transforms
    >>> len(transforms.FiveCrop(2)(torch.zeros(1, 4, 4)))
    5
    """

    shown = ("size",)

    def __init__(self, size):
        self.size = pair(size)

    def forward(self, img):
        return F.five_crop(img, self.size)


class TenCrop(FiveCrop):
    """`FiveCrop` of a picture and of its mirror image.

    >>> from rushlight.datasets import transforms
    >>> len(transforms.TenCrop(2)(torch.zeros(1, 4, 4)))
    10
    """

    shown = ("size", "vertical_flip")

    def __init__(self, size, vertical_flip: bool = False):
        super().__init__(size)
        self.vertical_flip = vertical_flip

    def forward(self, img):
        return F.ten_crop(img, self.size, self.vertical_flip)
