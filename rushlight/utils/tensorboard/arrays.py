"""What the writer is given, as arrays, and pictures, films and sounds as bytes."""

from __future__ import annotations

import io
import math
import wave
from typing import Any

import numpy as np


def to_array(x: Any) -> np.ndarray:
    """A tensor (of whichever framework), array or number as a NumPy array; half types as float32."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        if x.is_floating_point():
            x = x if str(x.dtype).endswith("float64") else x.float()
        x = x.numpy()
    return np.asarray(x)


def to_number(x: Any, what: str) -> float:
    """A single number. ValueError if there are several."""
    a = to_array(x)
    if a.size != 1:
        raise ValueError(f"{what}: expected a single number, got an array of shape {list(a.shape)}")
    return float(a.reshape(()))


def pillow():
    """Pillow's Image module, or an error that says how to get it."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "pictures in event files need Pillow: pip install Pillow"
        ) from None
    return Image


def as_hwc(x: Any, formats: str, what: str = "add_image") -> np.ndarray:
    """A picture or a batch of pictures as uint8 (height, width, channels).

    formats: a letter for each dimension: N, C, H and W. Floats are of [0, 1], uint8 of [0, 255].
    Batches are laid out as a grid. ValueError for formats that do not fit.
    """
    a, formats = to_array(x), formats.upper()
    if a.ndim != len(formats) or len(set(formats)) != len(formats) or not (
            set("HW") <= set(formats) <= set("NCHW")):
        raise ValueError(
            f"{what}: dataformats '{formats}' does not fit a tensor of shape {list(a.shape)}; "
            "give a letter of N, C, H, W for each dimension"
        )
    order = [formats.index(c) for c in "NHWC" if c in formats]
    a = a.transpose(order)
    if "C" not in formats:
        a = a[..., None]
    if "N" in formats:
        a = grid(a)
    if a.shape[2] not in (1, 3, 4):
        raise ValueError(f"{what}: a picture has 1, 3 or 4 channels, got {a.shape[2]}")
    return to_bytes(a)


def to_bytes(a: np.ndarray) -> np.ndarray:
    """Pixels as uint8: floats times 255, cut to what a byte holds; booleans black and white."""
    if a.dtype == np.uint8:
        return a
    if a.dtype == bool:
        return a.astype(np.uint8) * 255
    if np.issubdtype(a.dtype, np.floating):
        a = np.nan_to_num(a.astype(np.float32)) * 255
    return np.clip(a, 0, 255).astype(np.uint8)


def grid(a: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Pictures (n, height, width, channels) side by side in rows, as square as it goes."""
    n, h, w, c = a.shape
    columns = columns or math.ceil(math.sqrt(n)) or 1
    rows = math.ceil(n / columns)
    made = np.zeros((rows * h, columns * w, c), a.dtype)
    for i, picture in enumerate(a):
        y, x = divmod(i, columns)
        made[y * h : (y + 1) * h, x * w : (x + 1) * w] = picture
    return made


def png(a: np.ndarray) -> bytes:
    """A uint8 picture (height, width, channels) as a PNG file."""
    out = io.BytesIO()
    image = pillow().fromarray(np.ascontiguousarray(a[..., 0] if a.shape[2] == 1 else a))
    image.save(out, "PNG")
    return out.getvalue()


def gif(frames: np.ndarray, fps: float) -> bytes:
    """uint8 frames (time, height, width, channels) as an animated GIF file."""
    image = pillow()
    pictures = [image.fromarray(np.ascontiguousarray(f[..., 0] if f.shape[2] == 1 else f))
                for f in frames]
    out = io.BytesIO()
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], loop=0,
                     duration=1000 / fps)
    return out.getvalue()


def wav(sound: np.ndarray, rate: int) -> bytes:
    """Samples of [-1, 1] as a 16-bit mono WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def boxed(a: np.ndarray, boxes: np.ndarray, labels: list[str] | None) -> np.ndarray:
    """A picture with boxes (x0, y0, x1, y1) drawn on it."""
    image = pillow().fromarray(np.ascontiguousarray(np.broadcast_to(a, (*a.shape[:2], 3))
                                                    if a.shape[2] == 1 else a[..., :3]))
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    for i, box in enumerate(boxes.tolist()):
        draw.rectangle(box, outline=(255, 0, 0), width=1)
        if labels:
            draw.text((box[0] + 2, box[1] + 1), labels[i], fill=(255, 0, 0))
    return np.asarray(image)


def figure_picture(figure: Any, close: bool) -> np.ndarray:
    """A matplotlib figure as uint8 (height, width, 3)."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise ImportError("add_figure needs matplotlib: pip install matplotlib") from None
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    made = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    if close:
        import matplotlib.pyplot as plt

        plt.close(figure)
    return made


def bucket_limits(bins: str) -> Any:
    """TensorBoard's own buckets for "tensorflow": each limit 1.1 times the one before."""
    if bins != "tensorflow":
        return bins
    positive = 1e-12 * 1.1 ** np.arange(774)
    return np.concatenate([-positive[::-1], [0.0], positive])


def histogram(values: np.ndarray, bins: Any, max_bins: int | None) -> dict:
    """The numbers of a histogram summary. ValueError for no values or values that are not finite."""
    x = values.reshape(-1).astype(np.float64)
    if not x.size:
        raise ValueError("add_histogram: there are no values")
    if not np.isfinite(x).all():
        raise ValueError("add_histogram: some values are NaN or infinite")
    edges = bucket_limits(bins) if isinstance(bins, str) else bins
    if not isinstance(edges, (str, int)):  # what lies outside belongs to the last buckets
        edges = np.asarray(edges, np.float64)
        x_inside = np.clip(x, edges[0], edges[-1])
    else:
        x_inside = x
    counts, edges = np.histogram(x_inside, edges)
    if max_bins is not None and len(counts) > max_bins:
        step = math.ceil(len(counts) / max_bins)
        pad = -len(counts) % step
        counts = np.pad(counts, (0, pad)).reshape(-1, step).sum(1)
        edges = np.concatenate([edges[:-1:step], edges[-1:]])
    used = np.flatnonzero(counts)
    first, last = used[0], used[-1] + 1
    # an empty bucket in front tells where the first one with values begins
    limits = np.concatenate([edges[first : first + 1], edges[first + 1 : last + 1]])
    counts = np.concatenate([[0], counts[first:last]])
    return {"min": x.min(), "max": x.max(), "num": x.size, "sum": x.sum(),
            "sum_squares": x @ x, "bucket_limits": limits, "bucket_counts": counts}


def curve(labels: np.ndarray, scores: np.ndarray, thresholds: int,
          weights: np.ndarray | None) -> np.ndarray:
    """(6, thresholds): true and false positives, true and false negatives, precision, recall.

    The score is at least the threshold k / (thresholds - 1) for what is called positive.
    """
    labels = labels.reshape(-1).astype(bool)
    scores = scores.reshape(-1)
    if labels.shape != scores.shape:
        raise ValueError(
            f"add_pr_curve: {labels.size} labels but {scores.size} predictions"
        )
    w = np.ones(scores.size) if weights is None else weights.reshape(-1).astype(np.float64)
    place = np.clip(np.floor(scores * (thresholds - 1)), 0, thresholds - 1).astype(np.int64)

    def at_least(mask):
        found = np.bincount(place[mask], w[mask], thresholds)
        return found[::-1].cumsum()[::-1]

    tp, fp = at_least(labels), at_least(~labels)
    return table(tp, fp, fp[0] - fp, tp[0] - tp)


def table(tp, fp, tn, fn) -> np.ndarray:
    tiny = np.finfo(np.float64).tiny
    return np.stack([tp, fp, tn, fn, tp / np.maximum(tp + fp, tiny),
                     tp / np.maximum(tp + fn, tiny)]).astype(np.float32)
