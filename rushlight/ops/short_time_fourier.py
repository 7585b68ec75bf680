"""Short-time Fourier transforms: spectra of overlapping frames of a signal, and back."""

from __future__ import annotations

import numpy as np

from ..trace import dtypes
from ..trace.operator import Tensor, function
from ..trace.tensor import wrap
from .complex_numbers import view_as_real
from .fourier import fft, ifft, irfft, rfft
from .shape import constant_pad_nd, pad


def _frame_window(name, window, win_length, n_fft, input):
    """The window in the middle of n_fft places (ones without one), or None where it is all ones."""
    if window is None:
        if win_length == n_fft:
            return None
        window = input.new_ones(win_length, dtype=input.dtype.to_real())
    elif window.shape != (win_length,):
        raise RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={win_length}, but "
            f"got window with size {list(window.shape)}"
        )
    left = (n_fft - win_length) // 2
    return constant_pad_nd(window, (left, n_fft - win_length - left))


def _lengths(name, n_fft, hop_length, win_length):
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    if n_fft <= 0 or hop <= 0 or not 0 < width <= n_fft:
        raise RuntimeError(
            f"{name}: expected n_fft > 0, hop_length > 0 and 0 < win_length <= n_fft, but got "
            f"n_fft={n_fft}, hop_length={hop} and win_length={width}"
        )
    return hop, width


@function()
def stft(input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
         window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect",
         normalized: bool = False, onesided: bool | None = None,
         return_complex: bool | None = None, align_to_window: bool | None = None):
    """The Fourier transforms of the frames of a signal: (frequencies, frames).

    input: (T) or (B, T). Frames of n_fft points begin every hop_length (n_fft // 4), and are
    multiplied by `window` (win_length points, in their middle). center: the signal is padded by
    n_fft // 2 at both ends first, so that frames are centred on its points.
    """
    if return_complex is None:
        if not (input.is_complex() or window is not None and window.is_complex()):
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will "
                "further require that return_complex=True in a future PyTorch release."
            )
        return_complex = True
    if input.dtype.category < dtypes.FLOAT or input.ndim not in (1, 2):
        raise RuntimeError(
            "stft: expected a 1D or 2D tensor of floating point or complex values, but got "
            f"{input.dtype} of {list(input.shape)}"
        )
    hop, width = _lengths("stft", n_fft, hop_length, win_length)
    x = input if input.ndim == 2 else input.unsqueeze(0)
    if center:
        x = pad(x.unsqueeze(1), (n_fft // 2, n_fft // 2), pad_mode).squeeze(1)
    if n_fft > x.shape[-1]:
        raise RuntimeError(
            f"stft: expected 0 < n_fft <= {x.shape[-1]}, the length of the signal, but got "
            f"n_fft={n_fft}"
        )
    window = _frame_window("stft", window, width, n_fft, input)
    frames = x.unfold(1, n_fft, hop)
    frames = frames if window is None else frames * window
    if onesided is None:
        onesided = not frames.is_complex()
    elif onesided and frames.is_complex():
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    norm = "ortho" if normalized else None
    made = (rfft if onesided else fft)(frames, norm=norm).transpose(1, 2)
    made = made if input.ndim == 2 else made.squeeze(0)
    return made if return_complex else view_as_real(made)


def _overlapped(frames, hop: int):
    """Frames (B, F, n) added up where they overlap: (B, (F - 1) hop + n)."""
    batch, count, n = frames.shape
    at = (np.arange(count)[:, None] * hop + np.arange(n)).reshape(-1)
    made = frames.new_zeros((batch, (count - 1) * hop + n))
    return made.index_add(1, wrap(at), frames.reshape(batch, count * n))


@function()
def istft(input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
          window: Tensor | None = None, center: bool = True, normalized: bool = False,
          onesided: bool | None = None, length: int | None = None, return_complex: bool = False):
    """The signal whose frames have these transforms: the inverse of `stft` with the same arguments.

    input: complex (frequencies, frames) or (B, frequencies, frames). length: of the result.
    RuntimeError if the windows leave a point of the signal uncovered.
    """
    hop, width = _lengths("istft", n_fft, hop_length, win_length)
    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    if input.ndim not in (2, 3) or not input.numel():
        raise RuntimeError(
            f"istft: expected a non-empty tensor with 2 or 3 dimensions, got {list(input.shape)}"
        )
    rows = input.shape[-2]
    onesided = rows != n_fft if onesided is None else onesided
    if rows != (n_fft // 2 + 1 if onesided else n_fft):
        raise RuntimeError(
            f"istft: expected the frequency dimension (3rd to the last) of the input tensor to "
            f"match n_fft={n_fft} with onesided={onesided}, but got {rows}"
        )
    if return_complex and onesided:
        raise RuntimeError(
            "Cannot have onesided output if window or input is complex and return_complex is True"
        )
    window = _frame_window("istft", window, width, n_fft, input)
    x = (input if input.ndim == 3 else input.unsqueeze(0)).transpose(1, 2)
    norm = "ortho" if normalized else None
    frames = ifft(x, norm=norm) if return_complex else irfft(x[..., : n_fft // 2 + 1], n_fft,
                                                             norm=norm)
    weights = frames.new_ones(n_fft, dtype=frames.dtype.to_real()) if window is None else window
    signal = _overlapped(frames * weights, hop)
    cover = _overlapped((weights * weights).expand(1, x.shape[1], n_fft), hop)
    start, stop = (n_fft // 2, -(n_fft // 2)) if center else (0, 0)
    stop = signal.shape[1] + stop if length is None else min(start + length, signal.shape[1])
    signal, cover = signal[:, start:stop], cover[:, start:stop]
    if not signal.shape[1]:
        raise RuntimeError(f"istft: the frames of {list(input.shape)} leave no signal between {start} and {stop}")
    if bool((cover.abs() < 1e-11).any()):
        raise RuntimeError(
            "istft: the windows leave points of the signal uncovered: window overlap add min: 1"
        )
    signal = signal / cover
    if length is not None and signal.shape[1] < length:
        signal = constant_pad_nd(signal, (0, length - signal.shape[1]))
    return signal if input.ndim == 3 else signal.squeeze(0)
