"""Pictures of training: curves, confusion matrices, grids of images.

matplotlib is needed for drawing and only imported then; nothing is shown on a screen and no global
setting of it is touched. Every function returns the figure and saves it if a path is given.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..trace.tensor import Tensor

PREFIXES = {"val": "validation", "valid": "validation", "validation": "validation", "test": "test",
            "train": "training", "training": "training"}


def new_figure(width: float, height: float) -> Any:
    """A new figure of matplotlib's that draws without a screen; sizes in inches.

    ImportError with advice if matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "drawing needs matplotlib: pip install 'rushlight[plots]' (or pip install matplotlib)"
        ) from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Any) -> Any:
    """Save a figure, if there is a path, in a folder that is made if need be; returns the figure."""
    if path is not None:
        folder = os.path.dirname(os.fspath(path))
        if folder:
            os.makedirs(folder, exist_ok=True)
        figure.savefig(path, dpi=120)
    return figure


def _array(x: Any) -> np.ndarray:
    if isinstance(x, Tensor):
        x = x.detach()
        return (x.float() if x.dtype.is_floating_point else x).numpy()
    return np.asarray(x)


def plot_curves(history: Any, path: Any = None, *, title: str = "", xlabel: str = "epoch",
                log: bool = False, first: int = 1) -> Any:
    """Draw numbers over epochs or steps.

    history: {name: numbers or (step, number) pairs}, a list of dictionaries (one for each epoch), a
    list of numbers, or anything with such a `history`. Names that differ by a prefix (`train_loss`,
    `val_loss`, `test/loss`, `loss`) share a panel. log: logarithmic values. first: number of the first
    epoch. Returns the matplotlib figure. ValueError if there is nothing to draw.

    >>> from rushlight.tools.plots import plot_curves
    >>> figure = plot_curves({"loss": [1.0, 0.5, 0.3], "val_loss": [1.1, 0.7, 0.6]})
    >>> len(figure.axes)
    1
    """
    panels: dict[str, list] = {}
    for name, values in _series(history).items():
        topic, label = _split(name)
        pairs = [v if isinstance(v, (tuple, list)) else (i, v) for i, v in enumerate(values, first)]
        if pairs:
            panels.setdefault(topic, []).append((
                label, [x for x, _ in pairs], [float(_array(y)) for _, y in pairs]))
    if not panels:
        raise ValueError("plot_curves: there are no numbers to draw")
    figure = new_figure(5.5 * min(len(panels), 3), 3.8 * math.ceil(len(panels) / 3))
    axes = figure.subplots(math.ceil(len(panels) / 3), min(len(panels), 3), squeeze=False)
    for ax in axes.flat[len(panels):]:
        ax.remove()
    for ax, (topic, lines) in zip(axes.flat, panels.items(), strict=False):
        for label, x, y in lines:
            ax.plot(x, y, label=label or topic, marker="o" if len(x) <= 30 else None, markersize=4)
        ax.set(xlabel=xlabel, ylabel=topic)
        if all(isinstance(v, int) for _, x, _ in lines for v in x):
            places = sorted({v for _, x, _ in lines for v in x})
            if len(places) <= 10:
                ax.set_xticks(places)
            else:
                ax.xaxis.get_major_locator().set_params(integer=True)
        if log:
            ax.set_yscale("log")
        ax.grid(alpha=0.3)
        if len(lines) > 1 or lines[0][0]:
            ax.legend()
    if title:
        figure.suptitle(title)
    return save_figure(figure, path)


def _series(history: Any) -> dict[str, Any]:
    history = getattr(history, "history", history)
    if isinstance(history, Mapping):
        return {str(k): v.tolist() if isinstance(v, (Tensor, np.ndarray)) else v
                for k, v in history.items()}
    rows = list(history.tolist() if isinstance(history, (Tensor, np.ndarray)) else history)
    if rows and isinstance(rows[0], Mapping):
        names = dict.fromkeys(k for r in rows for k in r)
        return {n: [(i, r[n]) for i, r in enumerate(rows, 1) if n in r] for n in names}
    return {"value": rows}


def _split(name: str) -> tuple[str, str]:
    """("loss", "validation") of "val_loss"."""
    for mark in ("/", "_", " ", "."):
        head, found, rest = name.partition(mark)
        if found and rest and head.lower() in PREFIXES:
            return rest, PREFIXES[head.lower()]
    return name, ""


def confusion_matrix(labels: Any, predictions: Any, classes: int | Sequence[str] | None = None) -> (
        Tensor):
    """How often label i was taken for class j: an int64 tensor (C, C), entry [i, j].

    labels: whole numbers (n,). predictions: classes (n,), or scores (n, C) of which the largest
    counts. classes: their number, or their names; else the largest that occurs. ValueError if the
    lengths differ, RuntimeError if a label lies outside.

    >>> from rushlight.tools.plots import confusion_matrix
    >>> confusion_matrix(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    tensor([[1, 1],
            [0, 1]])
    """
    import rushlight

    right, taken = _array(labels).reshape(-1), _array(predictions)
    wide = 0
    if taken.ndim == 2 and taken.shape[0] == right.size and np.issubdtype(taken.dtype, np.floating):
        wide, taken = taken.shape[1], taken.argmax(1)
    taken = taken.reshape(-1)
    if right.size != taken.size:
        raise ValueError(
            f"confusion_matrix: {right.size} labels but {taken.size} predictions"
        )
    for name, a in (("labels", right), ("predictions", taken)):
        if a.size and not (np.issubdtype(a.dtype, np.integer) or a.dtype == bool):
            raise ValueError(f"confusion_matrix: {name} should be whole numbers, got {a.dtype}")
    right, taken = right.astype(np.int64), taken.astype(np.int64)
    if classes is None:
        n = max([wide, *(int(a.max()) + 1 for a in (right, taken) if a.size)])
    else:
        n = classes if isinstance(classes, int) else len(classes)
    for name, a in (("label", right), ("prediction", taken)):
        bad = a[(a < 0) | (a >= n)]
        if bad.size:
            raise RuntimeError(f"confusion_matrix: {name} {bad[0]} is no class of 0 to {n - 1}")
    return rushlight.tensor(np.bincount(right * n + taken, minlength=n * n).reshape(n, n))


def plot_confusion_matrix(matrix: Any, classes: Sequence[str] | None = None, path: Any = None, *,
                          normalize: bool = False, title: str = "") -> Any:
    """Draw a confusion matrix (C, C) with its numbers; rows are the labels.

    normalize: shares of each row in per cent. classes: their names. Returns the matplotlib figure.

    >>> from rushlight.tools.plots import confusion_matrix, plot_confusion_matrix
    >>> m = confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
    >>> figure = plot_confusion_matrix(m, ["cat", "dog"])
    """
    m = _array(matrix)
    if m.ndim != 2 or m.shape[0] != m.shape[1]:
        raise ValueError(f"plot_confusion_matrix: expected (C, C), got shape {list(m.shape)}")
    n = len(m)
    names = [str(i) for i in range(n)] if classes is None else [str(c) for c in classes]
    if len(names) != n:
        raise ValueError(f"plot_confusion_matrix: {n} classes but {len(names)} names")
    share = m / np.maximum(m.sum(1, keepdims=True), 1)
    side = min(max(3.5, 1.6 + 0.5 * n), 16)
    figure = new_figure(side + 0.8, side)
    ax = figure.subplots()
    picture = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, ax=ax, shrink=0.8, label="share of the label")
    turned = 45 if max(map(len, names), default=0) > 3 else 0
    ax.set_xticks(range(n), names, rotation=turned, ha="right" if turned else "center")
    ax.set_yticks(range(n), names)
    ax.set(xlabel="predicted", ylabel="label",
           title=title or f"{np.trace(m) / max(m.sum(), 1):.2%} right")
    if n <= 30:
        for i in range(n):
            for j in range(n):
                text = f"{100 * share[i, j]:.0f}" if normalize else f"{m[i, j]:g}"
                ax.text(j, i, text, ha="center", va="center", fontsize=8 if n > 8 else 10,
                        color="white" if share[i, j] > 0.5 else "0.3")
    return save_figure(figure, path)


def show_images(images: Any, titles: Sequence[Any] | None = None, path: Any = None, *,
                columns: int | None = None, title: str = "", cmap: str = "gray") -> Any:
    """Draw pictures in a grid, each with its title.

    images: (n, H, W), (n, C, H, W), (n, H, W, C) with 1, 3 or 4 channels, or a list of single ones; floats
    of [0, 1] or uint8; one channel is scaled to its range. titles: n texts. Returns the figure.
    ValueError for other shapes or another number of titles.

    >>> from rushlight.tools.plots import show_images
    >>> figure = show_images(torch.rand(6, 1, 8, 8), titles=range(6))
    """
    pictures = [_picture(x) for x in images]
    n = len(pictures)
    if not n:
        raise ValueError("show_images: there are no images")
    texts = None if titles is None else [str(t) for t in titles]
    if texts is not None and len(texts) != n:
        raise ValueError(f"show_images: {n} images but {len(texts)} titles")
    columns = columns or min(n, math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    figure = new_figure(1.45 * columns, (1.6 if texts else 1.4) * rows + (0.4 if title else 0))
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for i, (ax, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        ax.imshow(picture, cmap=cmap)
        if texts:
            ax.set_title(texts[i], fontsize=8)
    if title:
        figure.suptitle(title)
    return save_figure(figure, path)


def _picture(x: Any) -> np.ndarray:
    a = _array(x)
    if a.ndim == 3 and a.shape[0] in (1, 3, 4) and a.shape[2] not in (3, 4):
        a = a.transpose(1, 2, 0)
    elif a.ndim == 3 and a.shape[0] in (3, 4) and a.shape[2] in (3, 4) and a.shape[1] > 4:
        a = a.transpose(1, 2, 0)
    if a.ndim == 3 and a.shape[2] == 1:
        a = a[..., 0]
    if a.ndim == 2:
        return a
    if a.ndim != 3 or a.shape[2] not in (3, 4):
        raise ValueError(f"show_images: an image of shape {list(_array(x).shape)}")
    return np.clip(a, 0, 1) if np.issubdtype(a.dtype, np.floating) else a


__all__ = ["confusion_matrix", "new_figure", "plot_confusion_matrix", "plot_curves", "save_figure", "show_images"]
