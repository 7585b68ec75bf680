"""Boxes: the parts against plain computations, learning in seconds, and folders of a user's own."""

import importlib.util
import sys

import numpy as np
import pytest

import rushlight as torch

from .conftest import ROOT


@pytest.fixture(scope="module")
def detection():
    """The example as a module, with Rushlight as its torch."""
    saved = {k: v for k, v in sys.modules.items() if k == "torch" or k.startswith("torch.")}
    for name in [*saved, "common"]:
        sys.modules.pop(name, None)
    sys.path.insert(0, str(ROOT / "examples"))
    names = {"torch": torch, "torch.nn": torch.nn, "torch.nn.functional": torch.nn.functional,
             "torch.utils": torch.utils, "torch.utils.data": torch.utils.data}
    sys.modules.update(names)
    try:
        spec = importlib.util.spec_from_file_location("detection_example", ROOT / "examples/detection.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT / "examples"))
        for name in [*names, "common"]:
            sys.modules.pop(name, None)
        sys.modules.update(saved)


def test_iou(detection):
    a, b = torch.tensor([0.0, 0, 4, 4]), torch.tensor([[2.0, 2, 6, 6], [0, 0, 4, 4], [8, 8, 9, 9]])
    np.testing.assert_allclose(detection.iou(a, b).numpy(), [4 / 28, 1, 0], atol=1e-6)
    np.testing.assert_allclose(detection.iou(a, b, generalized=True).numpy(), [4 / 28 - 8 / 36, 1, -(81 - 17) / 81], atol=1e-5)


def test_suppression_keeps_the_best_of_those_that_overlap(detection):
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [1, 1, 11, 11], [20, 20, 30, 30]])
    scores, classes = torch.tensor([0.6, 0.9, 0.8, 0.1]), torch.tensor([0, 0, 1, 0])
    assert detection.suppressed(boxes, scores, classes).tolist() == [1, 2, 3]


def test_average_precision(detection):
    boxes, classes = torch.tensor([[[0.0, 0, 10, 10], [20, 20, 30, 30]]]), torch.tensor([[3, 3]])

    def ap(*found):
        one = [np.array(x, np.float32).reshape(shape) for x, shape in zip(zip(*found), ((-1, 4), -1, -1))] if found else None
        return detection.average_precision([one or (np.zeros((0, 4)), np.zeros(0), np.zeros(0))], boxes, classes)

    first, second, wrong = ([0, 0, 10, 9], 0.9, 3), ([20, 20, 30, 30], 0.5, 3), ([50, 50, 60, 60], 0.7, 3)
    assert ap() == 0 and ap(first) == 0.5 and ap(first, second) == 1
    assert ap(first, wrong, second) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert ap(first, ([0, 0, 10, 10], 0.8, 3), second) == pytest.approx(0.5 + 0.5 * 2 / 3)  # found twice: one is wrong


def test_targets_name_the_smallest_box_around_a_cell(detection):
    boxes = torch.tensor([[[0.0, 0, 32, 32], [8, 8, 24, 24], [0, 0, 0, 0]]])
    kinds, wanted = detection.targets(boxes, torch.tensor([[5, 7, -1]]), (4, 4))
    assert kinds.view(4, 4).tolist() == [[-1] * 4, [-1, 7, 7, -1], [-1, 7, 7, -1], [-1] * 4]
    assert wanted[0, 5].tolist() == [8, 8, 24, 24]


def test_learns(example, real):
    made = example("detection", "--quick", real=real)
    first, last = made["history"][0], made["history"][-1]
    assert last["score_loss"] < 0.5 * first["score_loss"] and last["box_loss"] < 0.6 * first["box_loss"]
    assert last["mAP"] > first["mAP"] + 0.1
    assert (example.folder / "run" / "boxes.png").exists()


@pytest.mark.parametrize("kind", ["masks", "boxes"])
def test_folders_of_ones_own(example, detection, kind):
    from PIL import Image as image

    folder, random = example.folder / "mine", np.random.default_rng(0)
    pictures, masks = folder / ("PNGImages" if kind == "masks" else "images"), folder / "PedMasks"
    pictures.mkdir(parents=True), masks.mkdir()
    lines = ["file,class,x1,y1,x2,y2"]
    for i in range(10):
        picture, mask = random.integers(0, 60, (80, 160, 3), np.uint8), np.zeros((80, 160), np.uint8)
        for k in (1, 2):
            x, y = random.integers(0, 50) + 80 * (k - 1), random.integers(0, 50)
            picture[y : y + 30, x : x + 20, k] = 220
            mask[y : y + 30, x : x + 20] = k
            lines.append(f"{i}.png,{'green' if k == 1 else 'blue'},{x},{y},{x + 20},{y + 30}")
        image.fromarray(picture).save(pictures / f"{i}.png")
        image.fromarray(mask).save(masks / f"{i}_mask.png")
    if kind == "boxes":
        (folder / "boxes.csv").write_text("\n".join(lines))
    x, boxes, classes, names = detection.from_folder(folder, 80)
    assert x.shape == (10, 3, 80, 80) and names == (["thing"] if kind == "masks" else ["blue", "green"])
    assert (boxes[:, :2, 2:] - boxes[:, :2, :2]).unique(dim=0).flatten().unique().tolist() == [10, 30]  # half as wide
    assert ((classes >= 0).sum(1) == 2).all()
    made = example("detection", "--quick", "--folder", str(folder), "--size", "80", "--epochs", "2")
    assert "mAP" in made["result"]
