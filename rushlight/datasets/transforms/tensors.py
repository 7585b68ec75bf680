"""What the transforms compute on tensors (..., C, H, W). The public functions are in `functional.py`.

Integers are computed in float32 and rounded, as torchvision does.
"""

from __future__ import annotations

import math

import rushlight as torch

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2 luma


def max_value(dtype) -> int:
    """The value that stands for white."""
    if dtype == torch.bool or dtype.is_floating_point:
        return 1
    return torch.iinfo(dtype).max


def channels(img) -> int:
    """How many channels a picture has."""
    return 1 if img.ndim == 2 else img.shape[-3]


def as_batch(img, keep=()):
    """(a float batch of four dimensions, how to undo that)."""
    shape, dtype = img.shape, img.dtype
    work = img if dtype.is_floating_point or dtype in keep else img.to(torch.float32)
    work = work.reshape(-1, *shape[-3:]) if img.ndim > 2 else work.reshape(1, 1, *shape)

    def undo(out):
        lead = shape[:-3] + (out.shape[1],) if len(shape) > 2 else ()
        out = out.reshape(*lead, *out.shape[-2:])
        if out.dtype != dtype:
            out = out.round().to(dtype)
        return out

    return work, undo


def convert_dtype(img, dtype):
    """Values scaled from one dtype's range to another's."""
    if img.dtype == dtype:
        return img
    if img.dtype.is_floating_point:
        if dtype.is_floating_point:
            return img.to(dtype)
        if (img.dtype == torch.float32 and dtype in (torch.int32, torch.int64)) or (
            img.dtype == torch.float64 and dtype == torch.int64
        ):
            raise RuntimeError(
                f"The cast from {img.dtype} to {dtype} cannot be performed safely: the mantissa has "
                "too few bits"
            )
        # 0.999 keeps 1.0 below the first value that would overflow
        return (img * (max_value(dtype) + 1.0 - 1e-3)).to(dtype)
    white, target = max_value(img.dtype), max_value(dtype)
    if dtype.is_floating_point:
        return img.to(dtype) / white
    if white > target:
        return torch.div(img, (white + 1) // (target + 1), rounding_mode="floor").to(dtype)
    return img.to(dtype) * ((target + 1) // (white + 1))


def pad(img, left: int, top: int, right: int, bottom: int, fill, mode: str):
    """A border of `fill` or of the picture's pixels; negative sizes crop."""
    if mode == "symmetric":
        h, w = img.shape[-2:]
        rows = [*range(top - 1, -1, -1), *range(h), *range(h - 1, h - bottom - 1, -1)]
        columns = [*range(left - 1, -1, -1), *range(w), *range(w - 1, w - right - 1, -1)]
        return img[..., torch.tensor(rows)[:, None], torch.tensor(columns)]
    kind = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}[mode]
    work, undo = as_batch(img, keep=(img.dtype,) if kind == "constant" else ())
    size = [left, right, top, bottom]
    if kind == "constant" and isinstance(fill, (tuple, list)) and len(fill) > 1:
        if len(fill) != work.shape[1]:
            raise ValueError(f"fill has {len(fill)} values for {work.shape[1]} channels")
        parts = [
            torch.nn.functional.pad(work[:, i : i + 1], size, value=float(v))
            for i, v in enumerate(fill)
        ]
        return undo(torch.cat(parts, 1))
    if isinstance(fill, (tuple, list)):
        fill = fill[0]
    if kind == "constant":
        return undo(torch.nn.functional.pad(work, size, value=float(fill or 0)))
    return undo(torch.nn.functional.pad(work, size, mode=kind))


def crop(img, top: int, left: int, height: int, width: int):
    """A window; what lies outside of the picture is zero."""
    h, w = img.shape[-2:]
    right, bottom = left + width, top + height
    inside = img[..., max(top, 0) : bottom, max(left, 0) : right]
    if left >= 0 and top >= 0 and right <= w and bottom <= h:
        return inside
    return pad(
        inside, max(min(right, 0) - left, 0), max(min(bottom, 0) - top, 0),
        max(right - max(w, left), 0), max(bottom - max(h, top), 0), 0, "constant",
    )


def resize(img, size, mode: str, antialias: bool):
    """Resampled to `size` (height, width)."""
    keep = (torch.uint8,) if mode in ("nearest", "nearest-exact") else ()
    work, undo = as_batch(img, keep)
    smooth = mode in ("bilinear", "bicubic")
    out = torch.nn.functional.interpolate(
        work, size=list(size), mode=mode, align_corners=False if smooth else None,
        antialias=bool(antialias) and smooth,
    )
    if mode == "bicubic" and img.dtype == torch.uint8:
        out = out.clamp(0, 255)
    return undo(out)


def grey(img):
    """One channel of luma."""
    if channels(img) == 1:
        return img
    r, g, b = img.unbind(-3)
    return (GREY[0] * r + GREY[1] * g + GREY[2] * b).to(img.dtype).unsqueeze(-3)


def blend(img, other, ratio: float):
    """`ratio` of a picture and the rest of another."""
    out = ratio * img + (1.0 - ratio) * other
    return out.clamp(0, max_value(img.dtype)).to(img.dtype)


def contrast(img, factor: float):
    """Blended with its mean grey."""
    dtype = img.dtype if img.dtype.is_floating_point else torch.float32
    mean = grey(img).to(dtype).mean(dim=(-3, -2, -1), keepdim=True)
    return blend(img, mean, factor)


def saturation(img, factor: float):
    """Blended with its grey."""
    return img if channels(img) == 1 else blend(img, grey(img), factor)


def hue(img, factor: float):
    """Hues turned by `factor` of the circle."""
    if channels(img) == 1:
        return img
    dtype = img.dtype
    rgb = img if dtype.is_floating_point else convert_dtype(img, torch.float32)
    h, s, v = to_hsv(rgb)
    return convert_dtype(from_hsv((h + factor) % 1.0, s, v), dtype)


def to_hsv(img):
    """Hue, saturation and value of colours in [0, 1] (A. R. Smith, 1978)."""
    r, g, b = img.unbind(-3)
    high, low = img.amax(-3), img.amin(-3)
    plain = high == low
    one = torch.ones_like(high)
    spread = torch.where(plain, one, high - low)
    s = (high - low) / torch.where(plain, one, high)
    from_r, from_g, from_b = (high - r) / spread, (high - g) / spread, (high - b) / spread
    h = torch.where(
        high == r, from_b - from_g,
        torch.where(high == g, 2.0 + from_r - from_b, 4.0 + from_g - from_r),
    )
    return torch.fmod(h / 6.0 + 1.0, 1.0), s, high


def from_hsv(h, s, v):
    """The reverse of `to_hsv`."""
    sector = torch.floor(h * 6.0)
    f = h * 6.0 - sector
    i = sector.to(torch.int64) % 6
    p, q, t = ((v * (1.0 - x)).clamp(0.0, 1.0) for x in (s, s * f, s * (1.0 - f)))
    table = ((v, q, p, p, t, v), (t, v, v, q, p, p), (p, p, t, v, v, q))
    return torch.stack(
        [torch.gather(torch.stack(row, 0), 0, i.unsqueeze(0)).squeeze(0) for row in table], -3
    )


def sample(img, matrix, size, mode: str, fill):
    """The picture seen through an affine matrix (output to input, about the centre) of six numbers."""
    work, undo = as_batch(img)
    n, c, h, w = work.shape
    oh, ow = size
    theta = torch.tensor(matrix, dtype=work.dtype).reshape(2, 3)
    x = torch.linspace(-ow * 0.5 + 0.5, ow * 0.5 - 0.5, ow, dtype=work.dtype)
    y = torch.linspace(-oh * 0.5 + 0.5, oh * 0.5 - 0.5, oh, dtype=work.dtype)
    points = torch.stack(
        [x.expand(oh, ow), y[:, None].expand(oh, ow), torch.ones(oh, ow, dtype=work.dtype)], -1
    )
    scale = torch.tensor([0.5 * w, 0.5 * h], dtype=work.dtype)
    grid = (points.reshape(-1, 3) @ (theta.t() / scale)).reshape(1, oh, ow, 2).expand(n, oh, ow, 2)
    if fill is not None:
        work = torch.cat([work, torch.ones(n, 1, h, w, dtype=work.dtype)], 1)
    out = torch.nn.functional.grid_sample(
        work, grid, mode=mode, padding_mode="zeros", align_corners=False
    )
    if fill is not None:
        out, mask = out[:, :c], out[:, c:]
        values = list(fill) if isinstance(fill, (tuple, list)) else [fill]
        colour = torch.tensor([float(v) for v in values], dtype=work.dtype).reshape(1, -1, 1, 1)
        if mode == "nearest":
            out = torch.where(mask < 0.5, colour.expand(out.shape), out)
        else:
            out = out * mask + (1.0 - mask) * colour
    return undo(out)


def expanded_size(matrix, w: int, h: int) -> tuple[int, int]:
    """(height, width) that hold the whole picture after turning it."""
    xs, ys = [], []
    for x in (-0.5 * w, 0.5 * w):
        for y in (-0.5 * h, 0.5 * h):
            xs.append(matrix[0] * x + matrix[1] * y + matrix[2] + 0.5 * w)
            ys.append(matrix[3] * x + matrix[4] * y + matrix[5] + 0.5 * h)

    def extent(values):  # to four decimals, so that 8.00000001 is 8
        high, low = (math.trunc(v / 1e-4) * 1e-4 for v in (max(values), min(values)))
        return math.ceil(round(high, 6)) - math.floor(round(low, 6))

    return extent(ys), extent(xs)


def blur(img, kernel_size, sigma):
    """Convolved with a Gaussian; borders are reflected."""
    work, undo = as_batch(img)
    weights = []
    for k, s in zip(kernel_size, sigma):
        x = torch.linspace(-(k - 1) * 0.5, (k - 1) * 0.5, k, dtype=work.dtype)
        w = torch.exp(-0.5 * (x / s) ** 2)
        weights.append(w / w.sum())
    kernel = weights[1][:, None] * weights[0][None, :]
    c = work.shape[1]
    kx, ky = kernel_size
    work = torch.nn.functional.pad(work, [kx // 2, kx // 2, ky // 2, ky // 2], mode="reflect")
    return undo(torch.nn.functional.conv2d(work, kernel.expand(c, 1, ky, kx), groups=c))


def sharpness(img, factor: float):
    """Blended with a softened picture whose border is as it was."""
    if img.shape[-1] <= 2 or img.shape[-2] <= 2:
        return img
    work, undo = as_batch(img)
    kernel = torch.ones(3, 3, dtype=work.dtype)
    kernel[1, 1] = 5.0
    c = work.shape[1]
    soft = torch.nn.functional.conv2d(work, (kernel / kernel.sum()).expand(c, 1, 3, 3), groups=c)
    out = work.clone()
    out[..., 1:-1, 1:-1] = soft
    return blend(img, undo(out), factor)


def autocontrast(img):
    """Each channel stretched to the whole range."""
    bound = max_value(img.dtype)
    dtype = img.dtype if img.dtype.is_floating_point else torch.float32
    low = img.amin((-2, -1), keepdim=True).to(dtype)
    high = img.amax((-2, -1), keepdim=True).to(dtype)
    flat = high == low
    scale = torch.where(flat, torch.ones_like(high), bound / torch.where(flat, 1.0, high - low))
    low = torch.where(flat, torch.zeros_like(low), low)
    return ((img - low) * scale).clamp(0, bound).to(img.dtype)
