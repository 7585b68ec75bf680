"""Short-time Fourier transforms against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import check, check_error

pytestmark = pytest.mark.filterwarnings("ignore")
rng = np.random.default_rng(39)
A = rng.standard_normal((2, 40))
WINDOW = rng.random(8) + 0.2
FT = {"strides": False, "atol": 1e-9}
OPTIONS = [
    {}, {"hop_length": 3}, {"center": False}, {"normalized": True}, {"onesided": False},
    {"pad_mode": "constant"}, {"win_length": 6}, {"hop_length": 8, "onesided": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_spectra(options):
    for x in (A, A[0]):
        check("stft", x, 8, return_complex=True, gradgrad=True, **options, **FT)
        check("stft", x, 8, return_complex=False, **options, **FT)
        if "win_length" not in options:
            check("Tensor.stft", x, 8, window=WINDOW, return_complex=True, **options, **FT)
    if not options.get("onesided"):
        check("stft", A + 1j * A[::-1], 8, **options, **FT)


@pytest.mark.parametrize("options", [o for o in OPTIONS if "pad_mode" not in o], ids=str)
def test_back(options):
    def there_and_back(T, x, w):
        given = {"n_fft": 8, "window": w, **options}
        if options.get("win_length"):
            given["window"] = w[:6]
        spectra = T.stft(x, return_complex=True, **given)
        back = {**given, "hop_length": given.get("hop_length", 2)}
        return T.istft(spectra, length=38, **back), T.istft(spectra[..., :5], **back)

    check(there_and_back, A, WINDOW, gradgrad=True, **FT)
    check(there_and_back, A[1], WINDOW, **FT)


def test_complex_signals():
    z = rng.standard_normal((2, 8, 5)) + 1j * rng.standard_normal((2, 8, 5))
    check("istft", z, 8, return_complex=True, **FT)
    check("istft", z, 8, length=30, **FT)
    check("istft", z[:, :5], 8, 2, normalized=True, **FT)


@pytest.mark.parametrize("name, given, options", [
    ("stft", (A, 8), {}), ("stft", (A, 80), {"return_complex": True, "center": False}),
    ("stft", (A, 8, 0), {"return_complex": True}), ("stft", (A, 8, 2, 9), {"return_complex": True}),
    ("stft", (A[0, 0], 8), {"return_complex": True}),
    ("stft", (A, 8), {"window": WINDOW[:5], "return_complex": True}),
    ("stft", (A.astype(int), 8), {"return_complex": True}), ("istft", (A, 8), {}),
    ("istft", (A[:, :7] + 0j, 8), {}), ("istft", (A[:, :0] + 0j, 8), {}),
    ("istft", (np.ones((5, 4)) + 0j, 8), {"window": np.zeros(8)}),
], ids=str)
def test_refusals(name, given, options):
    check_error(name, *given, **options)
