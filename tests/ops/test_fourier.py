"""Fourier transforms against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(36)
A = rng.standard_normal((3, 4, 5))
Z = A + 1j * rng.standard_normal((3, 4, 5))
ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
REAL = ("rfft", "ihfft")
FFT = {"strides": False, "atol": 1e-9}


def inputs(name):
    """Real and complex numbers, or only real ones for transforms of these."""
    return [A] if name.startswith(REAL) else [A, Z]


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("name", ONE)
def test_along_one_dimension(name, norm):
    for x in inputs(name):
        for options in ({}, {"n": 6}, {"n": 3, "dim": 0}, {"dim": 1}, {"n": 1}):
            real = not np.iscomplexobj(x)
            check("fft." + name, x, norm=norm, gradgrad=real, **options, **FFT)
        check("fft." + name, Given(x, view=lambda t: t.transpose(0, 2)[1:]), norm=norm, **FFT)
    check("fft." + name, A.astype(np.float32), norm=norm, strides=False)
    check("fft." + name, np.arange(6), norm=norm, strides=False)


@pytest.mark.parametrize("name", [n + "n" for n in ONE] + [n + "2" for n in ONE])
def test_along_several_dimensions(name):
    options = [{}, {"s": (3, 6)}, {"dim": (0, 2)}, {"s": (2, 5), "dim": (2, 0), "norm": "ortho"}]
    if name.endswith("n"):
        options += [{"dim": (1,)}, {"dim": 0}, {"s": (2, -1, 4)}]
    for x in inputs(name):
        for given in options:
            check("fft." + name, x, gradgrad=not np.iscomplexobj(x), **given, **FFT)


def test_frequencies_and_shifts():
    for n in (1, 4, 5):
        check("fft.fftfreq", n, 0.5)
        check("fft.rfftfreq", n, 0.5)
        for name in ("fftshift", "ifftshift"):
            check("fft." + name, A[:, :, :n])
            check("fft." + name, A[:, :, :n], (0, -1))
            check("fft." + name, A[:, :, :n], 1)


@pytest.mark.parametrize("name, given, options", [
    ("fft", (A, 0), {}), ("fft", (A,), {"dim": 3}), ("fft", (np.array(1.0),), {}),
    ("fft", (A,), {"norm": "unit"}), ("rfft", (Z,), {}), ("ihfft", (Z,), {}), ("rfftn", (Z,), {}),
    ("irfft", (A[..., :1],), {}), ("fft", (Given(A, dtype="float16"),), {}),
    ("fftn", (A,), {"dim": (0, 0)}), ("fftn", (A, (2, 2, 2, 2)), {}),
    ("fftn", (A, (2,)), {"dim": (0, 1)}), ("rfftn", (A,), {"dim": ()}), ("fft2", (A[0, 0],), {}),
], ids=lambda x: x if isinstance(x, str) else None)
def test_refusals(name, given, options):
    check_error("fft." + name, *given, **options)
