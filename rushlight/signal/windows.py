"""torch.signal.windows: shapes that taper a signal towards its ends.

A window is a function of the places n = 0 ... M - 1 and of the place `last` where its symmetric
form ends: M - 1, or M with sym=False, as spectra of periodic signals want it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rushlight.trace import dtypes
from rushlight.trace.device import require
from rushlight.trace.tensor import Tensor, wrap

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _window(f: Callable) -> Callable[..., Tensor]:
    """The public function of a window: M, the window's own options, and those that all have."""

    def window(
        M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False, **own: Any,
    ) -> Tensor:  # fmt: skip
        dtype = dtypes.get_default_dtype() if dtype is None else dtype
        _need(M >= 0, f"{f.__name__} requires non-negative window length, got M={M}")
        _need(
            layout in (None, dtypes.strided),
            f"{f.__name__} is implemented for strided tensors only, got: {layout}",
        )
        _need(
            dtype in (dtypes.float32, dtypes.float64),
            f"{f.__name__} expects float32 or float64 dtypes, got: {dtype}",
        )
        if "center" in own:
            _need(not sym or own["center"] is None, "Center must be None for symmetric windows")
        made = f(np.arange(float(M)), M - 1 if sym and M > 1 else max(M, 1), **own)
        t = wrap(np.asarray(made if M > 1 else np.ones(M)).astype(dtype.np)).to(require(device))
        return t.requires_grad_() if requires_grad else t

    first, *common = inspect.signature(window).parameters.values()
    own = [p for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY]
    signature = inspect.Signature([first, *own, *common[:-1]])
    window.__signature__ = signature  # type: ignore[attr-defined]
    window.__name__ = window.__qualname__ = f.__name__
    window.__doc__ = f.__doc__
    return window


def _cosines(n: np.ndarray, last: int, *coefficients: float) -> np.ndarray:
    waves = [(-1) ** k * c * np.cos(2 * math.pi * k * n / last) for k, c in enumerate(coefficients)]
    return np.sum(waves, 0)


@_window
def general_cosine(n, last, *, a: Iterable[float]):
    """`sum over k of (-1)^k a_k cos(2 pi k n / (M - 1))`."""
    if not isinstance(a, Iterable):
        raise TypeError(f"Coefficients must be a list/tuple, not {type(a).__name__}")
    coefficients = list(a)
    _need(bool(coefficients), "Coefficients cannot be empty")
    return _cosines(n, last, *coefficients)


@_window
def general_hamming(n, last, *, alpha: float = 0.54):
    """`alpha - (1 - alpha) cos(2 pi n / (M - 1))`."""
    return _cosines(n, last, alpha, 1 - alpha)


@_window
def hamming(n, last):
    """`general_hamming` with alpha 0.54: its first side lobe vanishes."""
    return _cosines(n, last, 0.54, 0.46)


@_window
def hann(n, last):
    """The raised cosine: `general_hamming` with alpha 0.5.

    >>> torch.signal.windows.hann(5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    return _cosines(n, last, 0.5, 0.5)


@_window
def blackman(n, last):
    """`general_cosine` with the coefficients 0.42, 0.5, 0.08."""
    return _cosines(n, last, 0.42, 0.5, 0.08)


@_window
def nuttall(n, last):
    """`general_cosine` with four coefficients for the lowest side lobes (Nuttall, 1981)."""
    return _cosines(n, last, 0.3635819, 0.4891775, 0.1365995, 0.0106411)


@_window
def bartlett(n, last):
    """The triangle `1 - |2 n / (M - 1) - 1|`."""
    return 1 - np.abs(2 * n / last - 1)


@_window
def cosine(n, last):
    """`sin(pi (n + 1/2) / M)`: half a wave that does not reach 0."""
    return np.sin(math.pi * (n + 0.5) / (last + 1))


@_window
def exponential(n, last, *, center: float | None = None, tau: float = 1.0):
    """`exp(-|n - center| / tau)`; the centre can be moved if sym is False."""
    _need(tau > 0, f"Tau must be positive, got: {tau} instead.")
    return np.exp(-np.abs(n - (last / 2 if center is None else center)) / tau)


@_window
def gaussian(n, last, *, std: float = 1.0):
    """`exp(-(n - centre)^2 / (2 std^2))`."""
    _need(std > 0, f"Standard deviation must be positive, got: {std} instead.")
    return np.exp(-0.5 * ((n - last / 2) / std) ** 2)


@_window
def kaiser(n, last, *, beta: float = 12.0):
    """`i0(beta sqrt(1 - t^2)) / i0(beta)`, t from -1 to 1: most energy in the main lobe."""
    _need(beta >= 0, f"beta must be non-negative, got: {beta} instead.")
    return np.i0(beta * np.sqrt(np.maximum(1 - (2 * n / last - 1) ** 2, 0))) / np.i0(beta)
