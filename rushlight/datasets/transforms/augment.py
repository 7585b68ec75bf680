"""Random transforms. Numbers are drawn from the default generator, in torchvision's order."""

from __future__ import annotations

import math
import numbers
import random
from collections.abc import Sequence

import rushlight as torch

from . import functional as F
from .fixed import Compose, Transform, pair
from .functional import InterpolationMode


def uniform(low: float, high: float) -> float:
    """One number from the default generator."""
    return torch.empty(1).uniform_(low, high).item()


def whole(low: int, high: int) -> int:
    """One integer, `high` excluded, from the default generator."""
    return torch.randint(low, high, size=(1,)).item()


def chance() -> float:
    """One number in [0, 1) from the default generator."""
    return torch.rand(1).item()


class _Sometimes(Transform):
    """Something that is done with probability p."""

    shown = ("p",)

    def __init__(self, p: float = 0.5):
        self.p = p

    def forward(self, img):
        return self.change(img) if chance() < self.p else img


class RandomHorizontalFlip(_Sometimes):
    """Mirrored left to right with probability p.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomHorizontalFlip(p=1.0)(torch.arange(3).reshape(1, 1, 3))
    tensor([[[2, 1, 0]]])
    """

    def change(self, img):
        return F.hflip(img)


class RandomVerticalFlip(_Sometimes):
    """Upside down with probability p.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomVerticalFlip(p=1.0)(torch.arange(2).reshape(1, 2, 1)).flatten()
    tensor([1, 0])
    """

    def change(self, img):
        return F.vflip(img)


class RandomGrayscale(_Sometimes):
    """In shades of grey with probability p, with as many channels as before.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomGrayscale(p=1.0)(torch.ones(3, 1, 1)).shape
    torch.Size([3, 1, 1])
    """

    def __init__(self, p: float = 0.1):
        super().__init__(p)

    def change(self, img):
        return F.rgb_to_grayscale(img, F.get_image_num_channels(img))


class RandomInvert(_Sometimes):
    """The negative with probability p.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomInvert(p=1.0)(torch.zeros(1, 1, 1)).item()
    1.0
    """

    def change(self, img):
        return F.invert(img)


class RandomAutocontrast(_Sometimes):
    """Stretched to the whole range with probability p.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomAutocontrast(p=1.0)(torch.tensor([[[0.25, 0.5, 0.75]]]))
    tensor([[[0.0000, 0.5000, 1.0000]]])
    """

    def change(self, img):
        return F.autocontrast(img)


class RandomPosterize(_Sometimes):
    """Only the highest bits kept, with probability p.

    bits: how many. For uint8 pictures; TypeError for others.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomPosterize(2, p=1.0)(torch.tensor([[[3, 100, 255]]], dtype=torch.uint8))
    tensor([[[  0,  64, 192]]], dtype=torch.uint8)
    """

    shown = ("bits", "p")

    def __init__(self, bits: int, p: float = 0.5):
        super().__init__(p)
        self.bits = bits

    def change(self, img):
        return F.posterize(img, self.bits)


class RandomSolarize(_Sometimes):
    """Values from a threshold on inverted, with probability p.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomSolarize(0.5, p=1.0)(torch.tensor([[[0.25, 0.75]]]))
    tensor([[[0.2500, 0.2500]]])
    """

    shown = ("threshold", "p")

    def __init__(self, threshold: float, p: float = 0.5):
        super().__init__(p)
        self.threshold = threshold

    def change(self, img):
        return F.solarize(img, self.threshold)


class RandomAdjustSharpness(_Sometimes):
    """Sharper (factor above 1) or softer with probability p.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomAdjustSharpness(2.0, p=1.0)(torch.eye(3).unsqueeze(0))[0, 1, 1].item()
    1.0
    """

    shown = ("sharpness_factor", "p")

    def __init__(self, sharpness_factor: float, p: float = 0.5):
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def change(self, img):
        return F.adjust_sharpness(img, self.sharpness_factor)


class RandomCrop(Transform):
    """A window at a random place.

    size: one number or (height, width). padding: a border first (see Pad). pad_if_needed: pad pictures
    that are too small; otherwise they are a ValueError.

    >>> from rushlight.datasets import transforms
    >>> _ = torch.manual_seed(0)
    >>> transforms.RandomCrop(2, padding=1)(torch.ones(1, 2, 2))
    tensor([[[0., 1.],
             [0., 0.]]])
    """

    shown = ("size", "padding")

    def __init__(self, size, padding=None, pad_if_needed: bool = False, fill=0,
                 padding_mode: str = "constant"):
        self.size, self.padding, self.pad_if_needed = pair(size), padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    @staticmethod
    def get_params(img, output_size) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a random window."""
        _, h, w = F.get_dimensions(img)
        th, tw = output_size
        if h < th or w < tw:
            raise ValueError(
                f"Required crop size {(th, tw)} is larger than input image size {(h, w)}"
            )
        if (h, w) == (th, tw):
            return 0, 0, h, w
        top = whole(0, h - th + 1)
        return top, whole(0, w - tw + 1), th, tw

    def forward(self, img):
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        if self.pad_if_needed:
            _, h, w = F.get_dimensions(img)
            th, tw = self.size
            if w < tw:
                img = F.pad(img, [tw - w, 0], self.fill, self.padding_mode)
            if h < th:
                img = F.pad(img, [0, th - h], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))


class RandomResizedCrop(Transform):
    """A window of random area and aspect, resampled to a size.

    scale: bounds of the part of the area. ratio: bounds of width / height.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomResizedCrop(8)(torch.zeros(3, 20, 30)).shape
    torch.Size([3, 8, 8])
    """

    shown = ("size", "scale", "ratio", "interpolation", "antialias")

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3.0 / 4.0, 4.0 / 3.0),
                 interpolation=InterpolationMode.BILINEAR, antialias=True):
        for name, value in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(value, Sequence):
                raise TypeError(f"{name} should be a sequence")
        self.size, self.scale, self.ratio = pair(size), scale, ratio
        self.interpolation, self.antialias = interpolation, antialias

    @staticmethod
    def get_params(img, scale, ratio) -> tuple[int, int, int, int]:
        """(top, left, height, width): ten attempts, then the largest window that fits."""
        _, h, w = F.get_dimensions(img)
        bounds = torch.log(torch.tensor(list(ratio))).tolist()
        for _ in range(10):
            target = h * w * uniform(*scale)
            aspect = torch.exp(torch.empty(1).uniform_(*bounds)).item()
            cw, ch = int(round(math.sqrt(target * aspect))), int(round(math.sqrt(target / aspect)))
            if 0 < cw <= w and 0 < ch <= h:
                top = whole(0, h - ch + 1)
                return top, whole(0, w - cw + 1), ch, cw
        cw, ch = w, h
        if w / h < min(ratio):
            ch = int(round(w / min(ratio)))
        elif w / h > max(ratio):
            cw = int(round(h * max(ratio)))
        return (h - ch) // 2, (w - cw) // 2, ch, cw

    def forward(self, img):
        window = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *window, self.size, self.interpolation, self.antialias)


def _degrees(value, name: str, sizes=(2,)) -> list[float]:
    """Bounds of an angle: a number stands for both signs."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [-float(value), float(value)]
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} should be a sequence of length {sizes}.")
    if len(value) not in sizes:
        raise ValueError(f"{name} should be a sequence of length {sizes}.")
    return [float(v) for v in value]


class RandomRotation(Transform):
    """Turned by a random angle between two bounds (a number d stands for -d to d).

    expand: make the result hold the whole picture. center: (x, y). fill: the colour around it.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomRotation((90, 90))(torch.arange(4).reshape(1, 2, 2))
    tensor([[[1, 3],
             [0, 2]]])
    """

    shown = ("degrees", "interpolation", "expand")

    def __init__(self, degrees, interpolation=InterpolationMode.NEAREST, expand: bool = False,
                 center=None, fill=0):
        F.mode_of(interpolation)
        self.degrees, self.interpolation = _degrees(degrees, "degrees"), interpolation
        self.expand, self.center, self.fill = expand, center, fill or 0

    @staticmethod
    def get_params(degrees) -> float:
        """A random angle."""
        return uniform(*degrees)

    def forward(self, img):
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)


class RandomAffine(Transform):
    """Turned, moved, scaled and sheared at random; the size stays.

    degrees, shear: bounds of angles (a number d: -d to d; shear may have four). translate: greatest parts
    of width and height to move by. scale: bounds of the factor.

    Raises ValueError for parts outside of [0, 1] or factors that are not positive.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomAffine(20, (0.1, 0.1), (0.5, 2), shear=5)(torch.zeros(1, 6, 5)).shape
    torch.Size([1, 6, 5])
    """

    shown = ("degrees", "translate", "scale", "shear")

    def __init__(self, degrees, translate=None, scale=None, shear=None,
                 interpolation=InterpolationMode.NEAREST, fill=0, center=None):
        F.mode_of(interpolation)
        self.degrees = _degrees(degrees, "degrees")
        if translate is not None and any(not 0.0 <= t <= 1.0 for t in translate):
            raise ValueError("translation values should be between 0 and 1")
        if scale is not None and any(s <= 0 for s in scale):
            raise ValueError("scale values should be positive")
        self.translate, self.scale = translate, scale
        self.shear = None if shear is None else _degrees(shear, "shear", (2, 4))
        self.interpolation, self.fill, self.center = interpolation, fill or 0, center

    @staticmethod
    def get_params(degrees, translate, scale_ranges, shears, img_size):
        """(angle, (x, y), scale, (x, y)) for a picture of size (width, height)."""
        angle = uniform(*degrees)
        move = (0, 0)
        if translate is not None:
            reach = [float(t * n) for t, n in zip(translate, img_size)]
            x = int(round(uniform(-reach[0], reach[0])))
            move = (x, int(round(uniform(-reach[1], reach[1]))))
        scale = uniform(*scale_ranges) if scale_ranges is not None else 1.0
        shear = [0.0, 0.0]
        if shears is not None:
            shear[0] = uniform(shears[0], shears[1])
            if len(shears) == 4:
                shear[1] = uniform(shears[2], shears[3])
        return angle, move, scale, (shear[0], shear[1])

    def forward(self, img):
        found = self.get_params(self.degrees, self.translate, self.scale, self.shear,
                                F.get_image_size(img))
        return F.affine(img, *found, interpolation=self.interpolation, fill=self.fill,
                        center=self.center)


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed at random, in random order.

    Each is a number x (factors from max(0, 1 - x) to 1 + x; for hue from -x to x) or two bounds.
    Raises ValueError for negative numbers, or hues outside of [-0.5, 0.5].

    >>> from rushlight.datasets import transforms
    >>> transforms.ColorJitter(0.2, 0.2, 0.2, 0.1)(torch.rand(3, 4, 4)).shape
    torch.Size([3, 4, 4])
    """

    shown = ("brightness", "contrast", "saturation", "hue")

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0):
        self.brightness = self._bounds(brightness, "brightness")
        self.contrast = self._bounds(contrast, "contrast")
        self.saturation = self._bounds(saturation, "saturation")
        self.hue = self._bounds(hue, "hue", center=0, bound=(-0.5, 0.5))

    @staticmethod
    def _bounds(value, name, center=1, bound=(0, float("inf"))):
        if isinstance(value, numbers.Number):
            if value < 0:
                raise ValueError(f"If {name} is a single number, it must be non negative.")
            low, high = center - float(value), center + float(value)
            if name != "hue":
                low = max(low, 0.0)
        elif isinstance(value, (tuple, list)) and len(value) == 2:
            low, high = float(value[0]), float(value[1])
        else:
            raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
        if not bound[0] <= low <= high <= bound[1]:
            raise ValueError(f"{name} values should be between {bound}, but got {[low, high]}.")
        return None if low == high == center else (low, high)

    @staticmethod
    def get_params(brightness, contrast, saturation, hue):
        """(order, and a factor or None for each of the four)."""
        order = torch.randperm(4)
        return order, *(b and uniform(*b) for b in (brightness, contrast, saturation, hue))

    def forward(self, img):
        order, *factors = self.get_params(
            self.brightness, self.contrast, self.saturation, self.hue
        )
        change = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for i in order.tolist():
            if factors[i] is not None:
                img = change[i](img, factors[i])
        return img


class GaussianBlur(Transform):
    """Blurred with a Gaussian of random sigma between two bounds.

    kernel_size: odd, one number or two. Raises ValueError for an even or negative one, or bounds that are
    not positive.

    >>> from rushlight.datasets import transforms
    >>> transforms.GaussianBlur(3)(torch.ones(1, 4, 4)).shape
    torch.Size([1, 4, 4])
    """

    shown = ("kernel_size", "sigma")

    def __init__(self, kernel_size, sigma=(0.1, 2.0)):
        self.kernel_size = pair(kernel_size, "kernel_size")
        if any(k <= 0 or k % 2 == 0 for k in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, numbers.Number):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif not isinstance(sigma, Sequence) or len(sigma) != 2:
            raise TypeError("sigma should be a single number or a list/tuple with length 2.")
        if not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError(
                f"sigma values should be positive and of the form (min, max). Got {sigma}"
            )
        self.sigma = (float(sigma[0]), float(sigma[1]))

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A random sigma."""
        return uniform(sigma_min, sigma_max)

    def forward(self, img):
        sigma = self.get_params(*self.sigma)
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])


class RandomErasing(Transform):
    """A random window of a tensor overwritten with probability p (Zhong et al., 2017).

    scale, ratio: bounds of the window's part of the area and of its height / width. value: a number,
    one for each channel, or "random" for normal noise. Raises ValueError for a p outside of [0, 1].

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomErasing(p=1.0)(torch.ones(1, 8, 8)).min().item()
    0.0
    """

    shown = ("p", "scale", "ratio", "value", "inplace")

    def __init__(self, p: float = 0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0,
                 inplace: bool = False):
        if not isinstance(value, (numbers.Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        if not 0 <= scale[0] <= 1 or not 0 <= scale[1] <= 1:
            raise ValueError("Scale should be between 0 and 1")
        if not 0 <= p <= 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p, self.scale, self.ratio = p, scale, ratio
        self.value, self.inplace = value, inplace

    @staticmethod
    def get_params(img, scale, ratio, value=None):
        """(top, left, height, width, values) of a window; the whole picture if ten attempts fail."""
        c, h, w = img.shape[-3:]
        bounds = torch.log(torch.tensor(list(ratio))).tolist()
        for _ in range(10):
            area = h * w * uniform(*scale)
            aspect = torch.exp(torch.empty(1).uniform_(*bounds)).item()
            eh, ew = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
            if not (eh < h and ew < w):
                continue
            if value is None:
                v = torch.empty([c, eh, ew], dtype=torch.float32).normal_()
            else:
                v = torch.tensor([float(x) for x in value])[:, None, None]
            top = whole(0, h - eh + 1)
            return top, whole(0, w - ew + 1), eh, ew, v
        return 0, 0, h, w, img

    def forward(self, img):
        if not chance() < self.p:
            return img
        value = self.value
        if isinstance(value, numbers.Number):
            value = [value]
        elif isinstance(value, str):
            value = None
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{img.shape[-3]} (number of input channels)"
            )
        return F.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)


class RandomApply(Transform):
    """Transforms one after the other, all or none of them, with probability p.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomApply([transforms.Lambda(abs)], p=1.0)(-1)
    1
    """

    shown = ("p", "transforms")

    def __init__(self, transforms, p: float = 0.5):
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms, self.p = transforms, p

    def forward(self, img):
        return img if self.p < chance() else Compose(self.transforms)(img)


class RandomChoice(Transform):
    """One of several transforms; p: their weights. Drawn from Python's generator, as in torchvision.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomChoice([abs, str], p=[1, 0])(-1)
    1
    """

    shown = ("transforms", "p")

    def __init__(self, transforms, p=None):
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.transforms, self.p = transforms, p

    def forward(self, img):
        return random.choices(self.transforms, weights=self.p)[0](img)


class RandomOrder(Transform):
    """Transforms in random order. Drawn from Python's generator, as in torchvision.

    >>> from rushlight.datasets import transforms
    >>> transforms.RandomOrder([abs, float])(-1)
    1.0
    """

    shown = ("transforms",)

    def __init__(self, transforms):
        self.transforms = transforms

    def forward(self, img):
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for i in order:
            img = self.transforms[i](img)
        return img
