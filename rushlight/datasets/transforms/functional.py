"""torchvision.transforms.functional: pictures in, pictures out, without random numbers.

A picture is one of Pillow's images or a tensor (..., channels, height, width).
"""

from __future__ import annotations

import enum
import math
import numbers

import numpy as np

import rushlight as torch

from . import pictures, tensors
from .pictures import is_picture, pillow


class InterpolationMode(enum.Enum):
    """How pixels are resampled: the nearest, or means of 2x2 (bilinear) or 4x4 (bicubic).

    >>> from rushlight.datasets import transforms
    >>> row = torch.tensor([[[0.0, 4.0]]])
    >>> transforms.functional.resize(row, (1, 4), transforms.InterpolationMode.NEAREST)
    tensor([[[0., 0., 4., 4.]]])
    """

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_PILLOW_CODES = {"nearest": 0, "nearest-exact": 0, "bilinear": 2, "bicubic": 3, "box": 4,
                 "hamming": 5, "lanczos": 1}


def mode_of(interpolation, allowed=None) -> str:
    """An interpolation's name; TypeError for what is none, ValueError for one that does not work."""
    if isinstance(interpolation, int) and not isinstance(interpolation, bool):
        names = {v: k for k, v in _PILLOW_CODES.items() if k != "nearest-exact"}
        interpolation = InterpolationMode(names[interpolation])
    if not isinstance(interpolation, InterpolationMode):
        raise TypeError(
            "Argument interpolation should be a InterpolationMode or a corresponding Pillow integer "
            f"constant, not {interpolation!r}"
        )
    if allowed is not None and interpolation.value not in allowed:
        raise ValueError(
            f"This interpolation mode is unsupported with Tensor input: {interpolation.value}"
        )
    return interpolation.value


def check(img) -> None:
    """TypeError if `img` is no picture."""
    if not isinstance(img, torch.Tensor) and not is_picture(img):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    if isinstance(img, torch.Tensor) and img.ndim < 2:
        raise TypeError(f"Tensor is not a torch image: its shape is {tuple(img.shape)}")


def get_dimensions(img) -> list[int]:
    """[channels, height, width].

    >>> from rushlight.datasets import transforms
    >>> transforms.functional.get_dimensions(torch.zeros(2, 3, 4, 5))
    [3, 4, 5]
    """
    check(img)
    if isinstance(img, torch.Tensor):
        return [tensors.channels(img), *img.shape[-2:]]
    return [len(img.getbands()), img.size[1], img.size[0]]


def get_image_size(img) -> list[int]:
    """[width, height]."""
    _, h, w = get_dimensions(img)
    return [w, h]


def get_image_num_channels(img) -> int:
    """How many channels a picture has."""
    return get_dimensions(img)[0]


def to_tensor(pic):
    """A picture or array (H, W) or (H, W, C) as a tensor (C, H, W); 8 bits become float32 in [0, 1].

    Raises TypeError for anything else, ValueError for an array of other dimensions.
    """
    if is_picture(pic):
        a = pictures.to_array(pic)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        a = pic if pic.ndim == 3 else pic[:, :, None]
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    # a contiguous copy first: dividing in the new order would read across rows
    a = np.ascontiguousarray(a.transpose(2, 0, 1))
    if a.dtype == np.uint8:
        a = a.astype(torch.get_default_dtype().np) / 255
    elif a is pic or a.base is not None:
        a = a.copy()
    return torch.from_numpy(a)


def pil_to_tensor(pic):
    """A picture as a tensor (C, H, W) of the same numbers. TypeError for anything else."""
    if not is_picture(pic) and not isinstance(pic, np.ndarray):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    a = pictures.to_array(pic) if is_picture(pic) else (pic if pic.ndim == 3 else pic[:, :, None])
    return torch.from_numpy(np.ascontiguousarray(a.transpose(2, 0, 1)).copy())


def to_pil_image(pic, mode: str | None = None):
    """A tensor (C, H, W) or array (H, W, C) as one of Pillow's images.

    Floats in [0, 1] become 8 bits, unless mode is "F". Raises TypeError for another kind of input,
    ValueError for one of other dimensions, more than four channels or a mode that does not fit,
    ImportError without Pillow.
    """
    pillow()
    if isinstance(pic, torch.Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        a = pic.detach().numpy()
        a = (a[None] if a.ndim == 2 else a).transpose(1, 2, 0)
        if a.dtype.kind == "f" and mode != "F":
            a = (a.astype(np.float32) * 255).astype(np.uint8)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        a = pic[:, :, None] if pic.ndim == 2 else pic
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if a.shape[2] > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {a.shape[2]} channels.")
    return pictures.from_array(a, mode)


def convert_image_dtype(image, dtype=torch.float32):
    """Values scaled to another dtype: floats in [0, 1], integers from 0 to their maximum.

    Raises RuntimeError where a float cannot hold the integers.

    >>> from rushlight.datasets import transforms
    >>> white = torch.full((1, 1, 1), 255, dtype=torch.uint8)
    >>> transforms.functional.convert_image_dtype(white).item()
    1.0
    """
    if not isinstance(image, torch.Tensor):
        raise TypeError("Input img should be Tensor Image")
    return tensors.convert_dtype(image, dtype)


def normalize(tensor, mean, std, inplace: bool = False):
    """`(tensor - mean) / std` for each channel.

    Raises TypeError for anything but a float tensor, ValueError for too few dimensions or std 0.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if not tensor.dtype.is_floating_point:
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(
            "Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = "
            f"{tuple(tensor.shape)}"
        )
    m = torch.as_tensor(mean, dtype=tensor.dtype)
    s = torch.as_tensor(std, dtype=tensor.dtype)
    if bool((s == 0).any()):
        raise ValueError(f"std evaluated to zero after conversion to {tensor.dtype}: {std}")
    m = m.reshape(-1, 1, 1) if m.ndim == 1 else m
    s = s.reshape(-1, 1, 1) if s.ndim == 1 else s
    if inplace:
        return tensor.sub_(m).div_(s)
    return (tensor - m) / s


def output_size(image_size, size, max_size=None) -> list[int]:
    """[height, width] after `resize`: one number is the shorter side's length."""
    h, w = image_size
    size = [size] if isinstance(size, int) else list(size)
    if len(size) == 2:
        return size
    short, long = (w, h) if w <= h else (h, w)
    new_short, new_long = size[0], int(size[0] * long / short)
    if max_size is not None:
        if max_size <= size[0]:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the "
                f"smaller edge size = {size[0]}"
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_long, new_short] if w <= h else [new_short, new_long]


def resize(img, size, interpolation=InterpolationMode.BILINEAR, max_size=None, antialias=True):
    """Resampled to [height, width], or with the shorter side of the given length.

    >>> from rushlight.datasets import transforms
    >>> transforms.functional.resize(torch.zeros(3, 10, 20), 5).shape
    torch.Size([3, 5, 10])
    """
    _, h, w = get_dimensions(img)
    if not isinstance(size, (int, list, tuple)):
        raise TypeError(f"Size should be int or sequence. Got {type(size)}")
    if not isinstance(size, int) and len(size) not in (1, 2):
        raise ValueError(
            f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element tuple/list"
        )
    if max_size is not None and not isinstance(size, int) and len(size) != 1:
        raise ValueError("max_size should only be passed if size is an int or has one element")
    new = output_size((h, w), size, max_size)
    if is_picture(img):
        code = _PILLOW_CODES[mode_of(interpolation)]
        return img if new == [h, w] else img.resize((new[1], new[0]), code)
    mode = mode_of(interpolation, ("nearest", "nearest-exact", "bilinear", "bicubic"))
    return img if new == [h, w] else tensors.resize(img, new, mode, antialias)


def pad(img, padding, fill=0, padding_mode: str = "constant"):
    """A border: padding is one number, [left and right, top and bottom], or [left, top, right, bottom].

    padding_mode: "constant" (`fill`), "edge", "reflect" or "symmetric". ValueError for others.
    """
    check(img)
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    sizes = [padding] if isinstance(padding, numbers.Number) else list(padding)
    if len(sizes) not in (1, 2, 4):
        raise ValueError(
            f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(sizes)} element tuple"
        )
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    left, top, right, bottom = (sizes * (4 // len(sizes)))[:4]
    module = pictures if is_picture(img) else tensors
    return module.pad(img, left, top, right, bottom, fill, padding_mode)


def crop(img, top: int, left: int, height: int, width: int):
    """A window; what lies outside of the picture is black."""
    check(img)
    if is_picture(img):
        return img.crop((left, top, left + width, top + height))
    return tensors.crop(img, top, left, height, width)


def center_crop(img, output_size):
    """The middle, of one number's or [height, width]'s size; a smaller picture is padded first.

    >>> from rushlight.datasets import transforms
    >>> transforms.functional.center_crop(torch.arange(16).reshape(1, 4, 4), 2)
    tensor([[[ 5,  6],
             [ 9, 10]]])
    """
    size = [output_size] if isinstance(output_size, numbers.Number) else list(output_size)
    ch, cw = size * (2 // len(size))
    _, h, w = get_dimensions(img)
    if cw > w or ch > h:
        more_w, more_h = max(cw - w, 0), max(ch - h, 0)
        img = pad(img, [more_w // 2, more_h // 2, (more_w + 1) // 2, (more_h + 1) // 2])
        _, h, w = get_dimensions(img)
        if (ch, cw) == (h, w):
            return img
    return crop(img, int(round((h - ch) / 2.0)), int(round((w - cw) / 2.0)), ch, cw)


def resized_crop(img, top, left, height, width, size, interpolation=InterpolationMode.BILINEAR,
                 antialias=True):
    """A window, resampled to `size`."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img):
    """Left and right exchanged."""
    check(img)
    return img.transpose(0) if is_picture(img) else img.flip(-1)


def vflip(img):
    """Top and bottom exchanged."""
    check(img)
    return img.transpose(1) if is_picture(img) else img.flip(-2)


def _corners(img, size):
    size = [size] if isinstance(size, numbers.Number) else list(size)
    ch, cw = size * (2 // len(size))
    _, h, w = get_dimensions(img)
    if cw > w or ch > h:
        raise ValueError(f"Requested crop size {(ch, cw)} is bigger than input size {(h, w)}")
    places = [(0, 0), (0, w - cw), (h - ch, 0), (h - ch, w - cw)]
    return tuple(crop(img, t, l, ch, cw) for t, l in places) + (center_crop(img, [ch, cw]),)


def five_crop(img, size):
    """The four corners and the middle. ValueError if the picture is smaller."""
    return _corners(img, size)


def ten_crop(img, size, vertical_flip: bool = False):
    """`five_crop` of a picture and of its mirror image."""
    return _corners(img, size) + _corners((vflip if vertical_flip else hflip)(img), size)


def rgb_to_grayscale(img, num_output_channels: int = 1):
    """Shades of grey, in one or three equal channels. ValueError for another number."""
    check(img)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    if is_picture(img):
        return pictures.grey(img, num_output_channels)
    if tensors.channels(img) not in (1, 3):
        raise TypeError(f"Input image tensor permitted channel values are 1 or 3, but found "
                        f"{tensors.channels(img)}")
    out = tensors.grey(img)
    return out if num_output_channels == 1 else out.expand(*out.shape[:-3], 3, *out.shape[-2:])


to_grayscale = rgb_to_grayscale


def _adjusted(kind: str, img, factor: float, on_tensor):
    check(img)
    if factor < 0:
        raise ValueError(f"{kind.lower()} factor ({factor}) is not non-negative.")
    if is_picture(img):
        return pictures.enhance(kind, img, factor)
    return on_tensor(img, float(factor))


def adjust_brightness(img, brightness_factor: float):
    """Brighter (a factor above 1) or darker; 0 is black. ValueError for a negative factor."""
    dark = lambda i, f: tensors.blend(i, torch.zeros_like(i), f)
    return _adjusted("Brightness", img, brightness_factor, dark)


def adjust_contrast(img, contrast_factor: float):
    """More contrast (a factor above 1) or less; 0 is grey. ValueError for a negative factor."""
    return _adjusted("Contrast", img, contrast_factor, tensors.contrast)


def adjust_saturation(img, saturation_factor: float):
    """More colour (a factor above 1) or less; 0 is grey. ValueError for a negative factor."""
    return _adjusted("Color", img, saturation_factor, tensors.saturation)


def adjust_sharpness(img, sharpness_factor: float):
    """Sharper (a factor above 1) or softer; 0 is smoothed. ValueError for a negative factor."""
    return _adjusted("Sharpness", img, sharpness_factor, tensors.sharpness)


def adjust_hue(img, hue_factor: float):
    """Hues turned by a part of the circle in [-0.5, 0.5]; ValueError outside of it."""
    check(img)
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    return (pictures if is_picture(img) else tensors).hue(img, hue_factor)


def adjust_gamma(img, gamma: float, gain: float = 1):
    """`gain * img ** gamma`, of values in [0, 1]. ValueError for a negative gamma."""
    check(img)
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    if is_picture(img):
        table = [int((255 + 1 - 1e-3) * gain * pow(v / 255.0, gamma)) for v in range(256)]
        return img.convert("RGB").point(table * 3).convert(img.mode)
    dtype = img.dtype
    work = img if dtype.is_floating_point else tensors.convert_dtype(img, torch.float32)
    return tensors.convert_dtype((gain * work ** gamma).clamp(0, 1), dtype)


def affine_matrix(center, angle, translate, scale, shear) -> list[float]:
    """Six numbers that take a place in the result to its place in the picture.

    The picture is turned about `center`, sheared, scaled and moved: T C R S(shear) scale C^-1, inverted.
    """
    rot, sx, sy = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    (cx, cy), (tx, ty) = center, translate
    a = math.cos(rot - sy) / math.cos(sy)
    b = -math.cos(rot - sy) * math.tan(sx) / math.cos(sy) - math.sin(rot)
    c = math.sin(rot - sy) / math.cos(sy)
    d = -math.sin(rot - sy) * math.tan(sx) / math.cos(sy) + math.cos(rot)
    m = [d / scale, -b / scale, 0.0, -c / scale, a / scale, 0.0]
    m[2] = m[0] * (-cx - tx) + m[1] * (-cy - ty) + cx
    m[5] = m[3] * (-cx - tx) + m[4] * (-cy - ty) + cy
    return m


def rotate(img, angle: float, interpolation=InterpolationMode.NEAREST, expand: bool = False,
           center=None, fill=None):
    """Turned by `angle` degrees counter-clockwise, about the middle or `center` (x, y).

    expand: make the result large enough for the whole picture. fill: the colour of the rest (0).
    """
    _, h, w = get_dimensions(img)
    if is_picture(img):
        return img.rotate(angle, _PILLOW_CODES[mode_of(interpolation)], expand, center,
                          fillcolor=pictures.fill_of(fill, img))
    middle = [0.0, 0.0] if center is None else [center[0] - w * 0.5, center[1] - h * 0.5]
    matrix = affine_matrix(middle, -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    size = tensors.expanded_size(matrix, w, h) if expand else (h, w)
    return tensors.sample(img, matrix, size, mode_of(interpolation, ("nearest", "bilinear")), fill)


def affine(img, angle: float, translate, scale: float, shear,
           interpolation=InterpolationMode.NEAREST, fill=None, center=None):
    """Turned clockwise by `angle` degrees, scaled, sheared (degrees) and moved (pixels).

    Raises ValueError for a scale that is not positive or shears that are not one or two numbers.
    """
    _, h, w = get_dimensions(img)
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    shear = [shear, 0.0] if isinstance(shear, numbers.Number) else [*map(float, shear)]
    shear = shear * 2 if len(shear) == 1 else shear
    if len(shear) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    translate = [float(t) for t in translate]
    if is_picture(img):
        middle = [w * 0.5, h * 0.5] if center is None else list(center)
        matrix = affine_matrix(middle, angle, translate, scale, shear)
        return img.transform((w, h), pillow().Transform.AFFINE, matrix,
                             _PILLOW_CODES[mode_of(interpolation)],
                             fillcolor=pictures.fill_of(fill, img))
    middle = [0.0, 0.0] if center is None else [center[0] - w * 0.5, center[1] - h * 0.5]
    matrix = affine_matrix(middle, angle, translate, scale, shear)
    return tensors.sample(img, matrix, (h, w), mode_of(interpolation, ("nearest", "bilinear")), fill)


def gaussian_blur(img, kernel_size, sigma=None):
    """Blurred; kernel_size: odd, one number or (x, y); sigma: by default a sixth of that or so.

    Raises ValueError for a kernel that is even or negative, or a sigma that is not positive.
    """
    check(img)
    kernel = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(kernel) != 2 or any(k % 2 == 0 or k < 0 for k in kernel):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {kernel}")
    if sigma is None:
        sigma = [k * 0.15 + 0.35 for k in kernel]
    sigma = [float(sigma)] if isinstance(sigma, numbers.Number) else [float(s) for s in sigma]
    sigma = sigma * (2 // len(sigma))
    if any(s <= 0.0 for s in sigma):
        raise ValueError(f"sigma should have positive values. Got {sigma}")
    if is_picture(img):
        return to_pil_image(tensors.blur(pil_to_tensor(img), kernel, sigma), mode=img.mode)
    return tensors.blur(img, kernel, sigma)


def erase(img, i: int, j: int, h: int, w: int, v, inplace: bool = False):
    """A window at row i, column j set to `v`. TypeError for what is no tensor."""
    if not isinstance(img, torch.Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    out = img if inplace else img.clone()
    out[..., i : i + h, j : j + w] = v
    return out


def invert(img):
    """The negative."""
    check(img)
    return pillow("ImageOps").invert(img) if is_picture(img) else tensors.max_value(img.dtype) - img


def posterize(img, bits: int):
    """Only the highest `bits` of 8. ValueError outside of 0 to 8."""
    check(img)
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    if is_picture(img):
        return pillow("ImageOps").posterize(img, bits)
    if img.dtype != torch.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")
    return img & (256 - 2 ** (8 - bits))


def solarize(img, threshold: float):
    """Values from `threshold` on inverted."""
    check(img)
    if is_picture(img):
        return pillow("ImageOps").solarize(img, threshold)
    if threshold > tensors.max_value(img.dtype):
        raise TypeError("Threshold should be less than bound of img.")
    return torch.where(img >= threshold, invert(img), img)


def autocontrast(img):
    """Each channel stretched to the whole range."""
    check(img)
    return pillow("ImageOps").autocontrast(img) if is_picture(img) else tensors.autocontrast(img)
