"""Transforms: torchvision's random numbers and pixels (0.28, with PyTorch 2.13, of the same seeds)."""

from __future__ import annotations

import builtins
import importlib
import random

import numpy as np
import pytest
import torch as pytorch

import rushlight as torch
from rushlight.datasets import transforms as T

F = T.functional
BILINEAR, BICUBIC = T.InterpolationMode.BILINEAR, T.InterpolationMode.BICUBIC


def picture():
    return (torch.arange(3 * 6 * 7) * 37 % 256).reshape(3, 6, 7).to(torch.uint8)


def plain(x):
    if isinstance(x, torch.Tensor):
        return x.tolist()
    return [plain(y) for y in x] if isinstance(x, (tuple, list)) else x


wide = torch.zeros(3, 20, 30)
DRAWS = {
    "RandomCrop": (lambda: T.RandomCrop.get_params(wide, (7, 5)),
                   [[12, 6, 7, 5], [3, 3, 7, 5], [0, 10, 7, 5]]),
    "RandomResizedCrop": (lambda: T.RandomResizedCrop.get_params(wide, (0.08, 1), (3 / 4, 4 / 3)),
                          [[5, 17, 8, 6], [0, 5, 20, 15], [2, 0, 17, 22]]),
    "RandomRotation": (lambda: [T.RandomRotation.get_params([-30, 30])], [[-29.7442], [-23.6658]]),
    "RandomAffine": (
        lambda: T.RandomAffine.get_params([-9, 9], (0.1, 0.3), (0.5, 2), [-5, 5, 1, 2], (30, 20)),
        [[-8.9233, [-2, -3], 0.5404, [-0.2839, 1.0601]],
         [4.8936, [1, 1], 1.8318, [-0.4897, 1.7995]]]),
    "ColorJitter": (lambda: T.ColorJitter.get_params((0.6, 1.4), None, (0.5, 1.5), (-0.1, 0.1)),
                    [[[2, 3, 1, 0], 0.6216, None, 0.9716, -0.088],
                     [[0, 3, 1, 2], 1.3103, None, 0.951, 0.0599]]),
    "GaussianBlur": (lambda: [T.GaussianBlur.get_params(0.1, 2.0)], [[0.1081], [0.3006]]),
    "RandomErasing": (lambda: T.RandomErasing.get_params(wide, (0.02, 0.33), (0.3, 3.3), [0])[:4],
                      [[16, 17, 2, 6], [0, 11, 6, 17], [1, 3, 18, 7]]),
}


def close(a, b):
    if isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    return a == b or abs(a - b) < 1e-4


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_are_torchvisions(name):
    draw, expected = DRAWS[name]
    torch.manual_seed(3)
    for row in expected:
        assert close(plain(draw()), row)


@pytest.mark.parametrize("make,low,high", [
    (T.RandomHorizontalFlip, 0, 1), (T.RandomVerticalFlip, 0, 1), (T.RandomGrayscale, 0, 1),
    (lambda p: T.RandomErasing(p, value=0.5), 0, 1),
    (lambda p: T.RandomApply([T.Lambda(lambda x: x * 0)], p), 0, 1),
])
def test_a_chance_is_one_number(make, low, high):
    img = torch.rand(3, 4, 4)
    for p in (0.3, 0.8):
        for seed in range(4):
            torch.manual_seed(seed)
            pytorch.manual_seed(seed)
            changed = not torch.equal(make(p)(img), img)
            assert changed == (pytorch.rand(1).item() < p)


PIXELS = {
    "hue": ((3, 6, 7), 1003542, lambda i: F.adjust_hue(i, 0.2)),
    "contrast": ((3, 6, 7), 1012035, lambda i: F.adjust_contrast(i, 1.5)),
    "saturation": ((3, 6, 7), 1036770, lambda i: F.adjust_saturation(i, 0.3)),
    "brightness": ((3, 6, 7), 1428469, lambda i: F.adjust_brightness(i, 1.7)),
    "gamma": ((3, 6, 7), 846849, lambda i: F.adjust_gamma(i, 1.4)),
    "grey": ((1, 6, 7), 124173, F.rgb_to_grayscale),
    "blur": ((3, 6, 7), 1052970, lambda i: F.gaussian_blur(i, 3, 0.8)),
    "sharpness": ((3, 6, 7), 1026640, lambda i: F.adjust_sharpness(i, 2.0)),
    "rotate": ((3, 6, 7), 895699, lambda i: F.rotate(i, 30)),
    "expand": ((3, 10, 11), 2631816, lambda i: F.rotate(i, 30, BILINEAR, expand=True, fill=9)),
    "affine": ((3, 6, 7), 707319, lambda i: F.affine(i, 20, [1, 2], 1.3, [5, 3], BILINEAR)),
    "resize": ((3, 9, 4), 753060, lambda i: F.resize(i, [9, 4])),
    "bicubic": ((3, 3, 3), 49804, lambda i: F.resize(i, 3, BICUBIC)),
    "pad": ((3, 9, 11), 5773077, lambda i: F.pad(i, [1, 2, 3, 1], padding_mode="symmetric")),
    "crop": ((3, 4, 9), 384105, lambda i: F.crop(i, -1, 2, 4, 9)),
    "center": ((3, 7, 2), 94095, lambda i: F.center_crop(i, [7, 2])),
    "solarize": ((3, 6, 7), 525999, lambda i: F.solarize(i, 100)),
    "posterize": ((3, 6, 7), 763392, lambda i: F.posterize(i, 2)),
}


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_are_torchvisions(name):
    shape, checksum, change = PIXELS[name]
    out = change(picture())
    assert tuple(out.shape) == shape and out.dtype == torch.uint8
    values = out.flatten().tolist()
    # rounding of a tie may differ by one in a pixel or two
    assert abs(sum((i + 1) * v for i, v in enumerate(values)) - checksum) <= len(values)
    both = change(torch.stack([picture(), picture().flip(-1)]))
    assert both.shape == (2, *shape) and torch.equal(both[0], out)


def test_resize_of_floats_is_interpolation():
    x = np.random.RandomState(0).rand(2, 3, 9, 11).astype(np.float32)
    ours = T.Resize(5)(torch.tensor(x)).numpy()
    theirs = pytorch.nn.functional.interpolate(
        pytorch.tensor(x), size=[5, 6], mode="bilinear", align_corners=False, antialias=True)
    assert np.allclose(ours, theirs.numpy(), atol=1e-6)


def test_pictures_and_tensors():
    from PIL import Image

    a = picture().permute(1, 2, 0).numpy()
    img = Image.fromarray(a)
    pipeline = T.Compose([T.RandomCrop(5, padding=2), T.RandomHorizontalFlip(), T.Pad(1),
                          T.RandomVerticalFlip(), T.CenterCrop(6)])
    for seed in range(3):
        torch.manual_seed(seed)
        first = T.PILToTensor()(pipeline(img))
        torch.manual_seed(seed)
        assert torch.equal(first, pipeline(picture()))
    assert torch.equal(T.ToTensor()(img), picture().float() / 255)
    assert torch.equal(T.ToTensor()(a), T.ToTensor()(img))
    assert T.ToPILImage()(picture()).tobytes() == img.tobytes()
    assert T.ToPILImage()(torch.rand(1, 4, 4)).mode == "L"
    for change in (T.ColorJitter(0.4, 0.4, 0.4, 0.2), T.RandomRotation(20), T.GaussianBlur(3),
                   T.RandomAffine(10, (0.1, 0.1), (0.8, 1.2), 5), T.Grayscale(3), T.Resize(4),
                   T.RandomResizedCrop(4), T.RandomInvert(1), T.RandomSolarize(9, 1)):
        assert isinstance(change(img), Image.Image)
    assert T.Resize((3, 8))(img).size == (8, 3)
    assert F.get_dimensions(img) == F.get_dimensions(picture()) == [3, 6, 7]


def test_without_pillow(monkeypatch):
    real = builtins.__import__

    def no_pillow(name, *args, **kwargs):
        if name.split(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(importlib, "import_module", lambda n: no_pillow(n))
    with pytest.raises(ImportError, match="needs Pillow.*pip install"):
        T.ToPILImage()(picture())
    assert T.ToTensor()(np.zeros((2, 2), np.uint8)).shape == (1, 2, 2)


def test_choices_and_orders_are_pythons():
    random.seed(5)
    picked = [T.RandomChoice([abs, str], p=[0.5, 0.5])(-1) for _ in range(8)]
    random.seed(5)
    assert picked == [random.choices([1, "-1"], weights=[0.5, 0.5])[0] for _ in range(8)]


@pytest.mark.parametrize("make,kind", [
    (lambda: T.Resize([1, 2, 3]), ValueError), (lambda: T.Resize(2.5), TypeError),
    (lambda: T.Resize(3, "bilinear"), TypeError), (lambda: T.Pad("x"), TypeError),
    (lambda: T.Pad(1, padding_mode="odd"), ValueError), (lambda: T.Pad([1, 2, 3]), ValueError),
    (lambda: T.Lambda(3), TypeError), (lambda: T.GaussianBlur(4), ValueError),
    (lambda: T.GaussianBlur(3, (2, 1)), ValueError), (lambda: T.ColorJitter(-1), ValueError),
    (lambda: T.ColorJitter(hue=0.7), ValueError), (lambda: T.RandomRotation(-3), ValueError),
    (lambda: T.RandomAffine(3, (2, 0)), ValueError), (lambda: T.RandomErasing(2), ValueError),
    (lambda: T.RandomErasing(value="x"), ValueError), (lambda: T.RandomApply(abs), TypeError),
    (lambda: T.RandomCrop(9)(picture()), ValueError), (lambda: T.Resize(3)([1]), TypeError),
    (lambda: T.Normalize([0], [1])(picture()), TypeError),
    (lambda: T.Normalize([0], [0])(wide), ValueError), (lambda: T.ToTensor()([1]), TypeError),
    (lambda: T.FiveCrop(9)(picture()), ValueError),
    (lambda: F.convert_image_dtype(wide, torch.int64), RuntimeError),
])
def test_errors(make, kind):
    with pytest.raises(kind):
        make()


def test_it_shows_its_arguments():
    shown = repr(T.Compose([T.Resize(3), T.Normalize([0.5], [2])]))
    assert "Resize(size=3, interpolation=bilinear, max_size=None, antialias=True)" in shown
    assert "Normalize(mean=[0.5], std=[2])" in shown
