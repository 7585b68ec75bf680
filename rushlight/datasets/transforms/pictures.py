"""What the transforms compute on Pillow's images. The public functions are in `functional.py`."""

from __future__ import annotations

import importlib
import sys

import numpy as np


def pillow(name: str = "Image"):
    """A module of Pillow; ImportError that says how to install it."""
    try:
        return importlib.import_module(f"PIL.{name}")
    except ImportError:
        raise ImportError(
            "this needs Pillow, which is not installed: pip install Pillow (or 'rushlight[data]')"
        ) from None


def is_picture(x) -> bool:
    """Whether x is one of Pillow's images (without loading Pillow)."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(x, module.Image)


def fill_of(fill, img):
    """A fill as Pillow wants it: a number for one band, a tuple for several."""
    bands = len(img.getbands())
    if fill is None:
        fill = 0
    values = [fill] * bands if isinstance(fill, (int, float)) else list(fill)
    if len(values) == 1:
        values *= bands
    if len(values) != bands:
        raise ValueError(
            "The number of elements in 'fill' does not match the number of bands of the image "
            f"({len(values)} != {bands})"
        )
    if img.mode != "F":
        values = [int(v) for v in values]
    return values[0] if bands == 1 else tuple(values)


def pad(img, left, top, right, bottom, fill, mode):
    """A border, as for tensors."""
    if mode == "constant":
        return pillow("ImageOps").expand(
            img, border=(left, top, right, bottom), fill=fill_of(fill, img)
        )
    if min(left, top, right, bottom) < 0:
        w, h = img.size
        img = img.crop((max(-left, 0), max(-top, 0), w - max(-right, 0), h - max(-bottom, 0)))
        left, top, right, bottom = (max(x, 0) for x in (left, top, right, bottom))
    a = np.asarray(img)
    width = ((top, bottom), (left, right)) + ((0, 0),) * (a.ndim - 2)
    return pillow().fromarray(np.pad(a, width, mode=mode))


def hue(img, factor: float):
    """Hues turned by `factor` of the circle."""
    if img.mode in ("L", "1", "I", "F"):
        return img
    h, s, v = img.convert("HSV").split()
    turned = np.asarray(h) + np.int32(factor * 255).astype(np.uint8)
    return pillow().merge("HSV", (pillow().fromarray(turned), s, v)).convert(img.mode)


def enhance(kind: str, img, factor: float):
    """Pillow's Brightness, Contrast, Color or Sharpness."""
    return getattr(pillow("ImageEnhance"), kind)(img).enhance(factor)


def grey(img, number: int):
    """In shades of grey, one or three channels."""
    one = img.convert("L")
    return one if number == 1 else pillow().merge("RGB", (one, one, one))


def to_array(img) -> np.ndarray:
    """(height, width, channels) of an image's own dtype."""
    kinds = {"I": np.int32, "I;16": np.uint16, "I;16B": np.uint16, "F": np.float32}
    if img.mode == "1":
        a = np.array(img, np.uint8) * np.uint8(255)
    else:
        a = np.array(img, kinds.get(img.mode, np.uint8))
    return a[:, :, None] if a.ndim == 2 else a


def from_array(a: np.ndarray, mode: str | None):
    """An image of an array (height, width, channels)."""
    Image = pillow()
    if a.shape[2] == 1:
        a = a[:, :, 0]
        known = {"uint8": "L", "int16": "I;16", "uint16": "I;16", "int32": "I", "float32": "F"}
        expected = known.get(a.dtype.name)
        if expected is None:
            raise TypeError(f"Input type {a.dtype} is not supported")
        if mode is not None and mode != expected:
            raise ValueError(
                f"Incorrect mode ({mode}) supplied for input type {a.dtype}. Should be {expected}"
            )
        return Image.fromarray(np.ascontiguousarray(a))
    allowed = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}[a.shape[2]]
    if mode is not None and mode not in allowed:
        raise ValueError(f"Only modes {list(allowed)} are supported for {a.shape[2]}D inputs")
    if a.dtype != np.uint8:
        raise TypeError(f"Input type {a.dtype} is not supported for {a.shape[2]} channels")
    mode = mode or allowed[0]
    h, w = a.shape[:2]
    return Image.frombytes(mode, (w, h), np.ascontiguousarray(a).tobytes())
