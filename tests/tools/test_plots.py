"""Plots: the numbers behind them, and that files appear without a screen."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import rushlight as torch
from rushlight.tools.plots import (
    confusion_matrix,
    plot_confusion_matrix,
    plot_curves,
    show_images,
)


def lines(figure):
    return {(ax.get_ylabel(), line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
            for ax in figure.axes for line in ax.lines}


def test_curves(tmp_path):
    figure = plot_curves({"train_loss": [3, 2, torch.tensor(1.0)], "val_loss": [(2, 2.5), (3, 1.5)],
                          "lr": torch.tensor([0.1, 0.01]), "empty": []}, tmp_path / "a" / "x.png")
    assert lines(figure) == {
        ("loss", "training"): ([1, 2, 3], [3, 2, 1]),
        ("loss", "validation"): ([2, 3], [2.5, 1.5]),
        ("lr", "lr"): ([1, 2], pytest.approx([0.1, 0.01])),
    }
    assert (tmp_path / "a" / "x.png").stat().st_size > 1000


def test_forms_of_histories():
    class Logger:
        history = [{"loss": 2.0}, {"loss": 1.0, "acc": 0.5}]

    assert lines(plot_curves(Logger())) == {
        ("loss", "loss"): ([1, 2], [2, 1]), ("acc", "acc"): ([2], [0.5])}
    assert lines(plot_curves([3.0, 2.0], log=True, first=0)) == {("value", "value"): ([0, 1], [3, 2])}
    with pytest.raises(ValueError, match="no numbers"):
        plot_curves({})


def test_confusion_matrix():
    labels, taken = torch.tensor([0, 1, 2, 2, 1]), torch.tensor([0, 2, 2, 1, 1])
    expected = [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
    m = confusion_matrix(labels, taken)
    assert m.tolist() == expected and m.dtype is torch.int64
    scores = torch.nn.functional.one_hot(taken, 3).float() * 4
    assert confusion_matrix(labels, scores).tolist() == expected
    assert confusion_matrix(labels.numpy(), taken.tolist(), ["a", "b", "c", "d"]).shape == (4, 4)
    with pytest.raises(ValueError, match="5 labels but 4"):
        confusion_matrix(labels, taken[:4])
    with pytest.raises(RuntimeError, match="label 2 is no class of 0 to 1"):
        confusion_matrix(labels, taken, 2)
    with pytest.raises(ValueError, match="whole numbers"):
        confusion_matrix(labels.float(), taken)


def test_picture_of_a_confusion_matrix(tmp_path):
    m = torch.tensor([[3, 1], [0, 4]])
    figure = plot_confusion_matrix(m, ["cat", "dog"], tmp_path / "m.png", normalize=True)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.texts] == ["75", "25", "0", "100"]
    assert ax.get_title() == "87.50% right" and (tmp_path / "m.png").exists()
    with pytest.raises(ValueError, match="2 classes but 1"):
        plot_confusion_matrix(m, ["cat"])
    with pytest.raises(ValueError, match=r"\(C, C\)"):
        plot_confusion_matrix(torch.ones(2, 3))


@pytest.mark.parametrize("shape, drawn", [
    ((5, 8, 8), (8, 8)), ((5, 1, 8, 8), (8, 8)), ((5, 3, 8, 6), (8, 6, 3)), ((5, 8, 6, 3), (8, 6, 3)),
    ((5, 4, 8, 4), (8, 4, 4))])
def test_images(shape, drawn, tmp_path):
    figure = show_images(torch.rand(shape), titles=range(5), path=tmp_path / "g.png", title="five")
    pictures = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert len(pictures) == 5 and pictures[0].shape == drawn
    assert [ax.get_title() for ax in figure.axes][:5] == list("01234")
    assert (tmp_path / "g.png").exists()


def test_images_refused():
    for images, titles, match in ((torch.ones(2, 4, 4), ["a"], "2 images but 1"), ([], None, "no im"),
                                  (np.ones((2, 5, 7, 9)), None, r"shape \[5, 7, 9\]")):
        with pytest.raises(ValueError, match=match):
            show_images(images, titles)


def test_a_missing_matplotlib_is_named(monkeypatch):
    for name in [m for m in sys.modules if m.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install"):
        plot_curves([1, 2])
