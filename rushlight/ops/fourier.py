"""Discrete Fourier transforms, by NumPy's pocketfft.

Three operators do all: complex to complex, real to half of a spectrum, and back. `scale` says by
what the sums are divided, in either direction: 1, the root of the number of points, or that number.
So the adjoint of a transform is the one in the other direction with the same scale.
"""

from __future__ import annotations

import numpy as np

from ..trace import dtypes
from ..trace.meta import meta
from ..trace.operator import Tensor, function, op
from . import rules
from .shape import constant_pad_nd
from .view import narrow

NONE, ROOT, COUNT = range(3)
FORWARD = ("backward", "ortho", "forward")  # NumPy's name of each scale
INVERSE = ("forward", "ortho", "backward")


def _half(shape, dim: int) -> tuple[int, ...]:
    """The shape of the half spectrum along `dim`."""
    return tuple(n // 2 + 1 if i == dim else n for i, n in enumerate(shape))


@op(
    lambda input, dims, scale, forward: meta(input.shape, input.dtype),
    gradient={"input": lambda g, dims, scale, forward: _complex(g, dims, scale, not forward)},
    compute="result", api="",
)
def _complex(input: Tensor, dims: tuple, scale: int, forward: bool):
    if forward:
        return np.fft.fftn(input, axes=dims, norm=FORWARD[scale])
    return np.fft.ifftn(input, axes=dims, norm=INVERSE[scale])


def _from_real_gradient(g, input_meta, dim, scale):
    """The real part of the transform back, of a spectrum whose other half is 0."""
    more = input_meta.shape[dim] - g.shape[dim]
    pad = [0, 0] * (g.ndim - 1 - dim) + [0, more]
    return _complex(constant_pad_nd(g, tuple(pad)), (dim,), scale, False).real


@op(
    lambda input, dim, scale: meta(_half(input.shape, dim), input.dtype.to_complex()),
    gradient={"input": _from_real_gradient},
    compute="storage", api="",
)
def _from_real(input: Tensor, dim: int, scale: int):
    return np.fft.rfft(input, axis=dim, norm=FORWARD[scale])


def _to_real_gradient(g, dim, scale):
    """A half spectrum, in which what stands for two conjugate values counts twice."""
    from .shape import cat

    n = g.shape[dim]
    made = _from_real(g, dim, scale)
    twice = n - made.shape[dim]
    return cat([
        narrow(made, dim, 0, 1), 2 * narrow(made, dim, 1, twice),
        narrow(made, dim, 1 + twice, made.shape[dim] - 1 - twice),
    ], dim)


@op(
    lambda input, n, dim, scale: meta(
        tuple(n if i == dim else m for i, m in enumerate(input.shape)), input.dtype.to_real()
    ),
    gradient={"input": _to_real_gradient},
    compute="storage", api="",
)
def _to_real(input: Tensor, n: int, dim: int, scale: int):
    return np.fft.irfft(input, n, dim, INVERSE[scale])


# ---------------------------------------------------------------- arguments


def _scale(norm, forward: bool) -> int:
    names = FORWARD if forward else INVERSE
    norm = "backward" if norm is None else norm
    if norm not in names:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return names.index(norm)


def _floating(name, input, real: bool = False, as_complex: bool = False):
    """The input with a dtype that can be transformed; integers as the default float dtype."""
    if real and input.is_complex():
        raise RuntimeError(
            f"{name} expects a real input tensor, but got {dtypes.type_name(input.dtype)}"
        )
    if input.dtype.is_half:
        raise RuntimeError(f"Unsupported dtype {dtypes.type_name(input.dtype)}")
    dtype = rules.float_of(input.dtype)
    if as_complex:
        dtype = dtype.to_complex()
    return input if input.dtype is dtype else input.to(dtype)


def _one_dim(input, dim) -> int:
    if not input.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return rules.wrap_dim(dim, input.ndim)


def _resized(x, sizes, dims):
    """`x` cut, or padded with zeros, at the ends of its dims; a size of -1 stays."""
    for n, d in zip(sizes, dims, strict=True):
        have = x.shape[d]
        n = have if n is None or n == -1 else n
        if n < 1:
            raise RuntimeError(f"Invalid number of data points ({n}) specified")
        if n < have:
            x = narrow(x, d, 0, n)
        elif n > have:
            x = constant_pad_nd(x, (*(0, 0) * (x.ndim - 1 - d), 0, n - have))
    return x


def _sizes_and_dims(name, input, s, dim):
    """(sizes, dims) of an n-dimensional transform: of all dims, or of the last len(s)."""
    s = (s,) if isinstance(s, int) else s
    dim = (dim,) if isinstance(dim, int) else dim
    if dim is not None:
        dims = [rules.wrap_dim(d, input.ndim) for d in dim]
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"FFT dims must be unique, but got {tuple(dim)}")
        if s is not None and len(s) != len(dims):
            raise RuntimeError(
                "When given, dim and shape arguments must have the same length, but got "
                f"{tuple(dim)} and {tuple(s)}"
            )
    elif s is not None:
        if len(s) > input.ndim:
            raise RuntimeError(
                f"Got shape with {len(s)} values but input tensor only has {input.ndim} dimensions."
            )
        dims = list(range(input.ndim - len(s), input.ndim))
    else:
        dims = list(range(input.ndim))
    if name is not None and not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    return list(s) if s is not None else [None] * len(dims), dims


def _whole(x, sizes, dims, norm, forward):
    x = _resized(x, sizes, dims)
    return _complex(x, tuple(dims), _scale(norm, forward), forward) if dims else x


def _real_points(x, n, dim) -> int:
    """How many real points a half spectrum stands for, by default an even number."""
    n = 2 * (x.shape[dim] - 1) if n is None or n == -1 else n
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


# ---------------------------------------------------------------- one dimension


@function(api="fft", out=True)
def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The Fourier transform along `dim`, of n points: cut or padded with zeros.

    norm: "backward" (the default: no scale), "ortho" or "forward" (by 1 / n).
    """
    dim = _one_dim(input, dim)
    return _whole(_floating("fft", input, as_complex=True), [n], [dim], norm, True)


@function(api="fft", out=True)
def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The inverse of `fft`."""
    dim = _one_dim(input, dim)
    return _whole(_floating("ifft", input, as_complex=True), [n], [dim], norm, False)


@function(api="fft", out=True)
def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The n // 2 + 1 values that determine the transform of real numbers along `dim`."""
    dim = _one_dim(input, dim)
    x = _resized(_floating("rfft", input, real=True), [n], [dim])
    return _from_real(x, dim, _scale(norm, True))


@function(api="fft", out=True)
def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The inverse of `rfft`; n real points, by default an even number."""
    return _back_to_real("irfft", input, n, dim, norm, False)


def _back_to_real(name, input, n, dim, norm, forward):
    dim = _one_dim(input, dim)
    n = _real_points(input, n, dim)
    x = _resized(_floating(name, input, as_complex=True), [n // 2 + 1], [dim])
    return _to_real(x.conj() if forward else x, n, dim, _scale(norm, forward))


@function(api="fft", out=True)
def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The real transform of points of which one half is given, the other its conjugate."""
    return _back_to_real("hfft", input, n, dim, norm, True)


@function(api="fft", out=True)
def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The inverse of `hfft`."""
    dim = _one_dim(input, dim)
    x = _resized(_floating("ihfft", input, real=True), [n], [dim])
    return _from_real(x, dim, _scale(norm, False)).conj()


# ---------------------------------------------------------------- several dimensions


@function(api="fft", out=True)
def fftn(input: Tensor, s=None, dim=None, norm: str | None = None):
    """The Fourier transform along several dims (all, or as many of the last as `s` has sizes)."""
    sizes, dims = _sizes_and_dims(None, input, s, dim)
    return _whole(_floating("fftn", input, as_complex=True), sizes, dims, norm, True)


@function(api="fft", out=True)
def ifftn(input: Tensor, s=None, dim=None, norm: str | None = None):
    """The inverse of `fftn`."""
    sizes, dims = _sizes_and_dims(None, input, s, dim)
    return _whole(_floating("ifftn", input, as_complex=True), sizes, dims, norm, False)


@function(api="fft", out=True)
def rfftn(input: Tensor, s=None, dim=None, norm: str | None = None):
    """The half, along the last of the dims, that determines the transform of real numbers."""
    sizes, dims = _sizes_and_dims("rfftn", input, s, dim)
    x = _resized(_floating("rfftn", input, real=True), sizes, dims)
    return _whole(_from_real(x, dims[-1], _scale(norm, True)), sizes[:-1], dims[:-1], norm, True)


@function(api="fft", out=True)
def irfftn(input: Tensor, s=None, dim=None, norm: str | None = None):
    """The inverse of `rfftn`."""
    sizes, dims = _sizes_and_dims("irfftn", input, s, dim)
    x = _floating("irfftn", input, as_complex=True)
    return _back_to_real("irfftn", _whole(x, sizes[:-1], dims[:-1], norm, False), sizes[-1],
                         dims[-1], norm, False)


@function(api="fft", out=True)
def hfftn(input: Tensor, s=None, dim=None, norm: str | None = None):
    """The real transform of points of which one half, along the last of the dims, is given."""
    sizes, dims = _sizes_and_dims("hfftn", input, s, dim)
    x = _floating("hfftn", input, as_complex=True)
    return _back_to_real("hfftn", _whole(x, sizes[:-1], dims[:-1], norm, True), sizes[-1],
                         dims[-1], norm, True)


@function(api="fft", out=True)
def ihfftn(input: Tensor, s=None, dim=None, norm: str | None = None):
    """The inverse of `hfftn`."""
    sizes, dims = _sizes_and_dims("ihfftn", input, s, dim)
    x = _resized(_floating("ihfftn", input, real=True), sizes, dims)
    half = _from_real(x, dims[-1], _scale(norm, False)).conj()
    return _whole(half, sizes[:-1], dims[:-1], norm, False)


def _plane(transform):
    def in_plane(input: Tensor, s=None, dim=(-2, -1), norm: str | None = None):
        return transform(input, s, dim, norm)

    in_plane.__name__ = transform.__name__[:-1] + "2"
    in_plane.__doc__ = f"`{transform.__name__}` along two dims, by default the last."
    return function(api="fft", out=True)(in_plane)


for _transform in (fftn, ifftn, rfftn, irfftn, hfftn, ihfftn):
    _plane(_transform)


# ---------------------------------------------------------------- helpers


def _shifted(input, dim, sign):
    dims = list(range(input.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    by = [input.shape[d] // 2 if sign > 0 else (input.shape[d] + 1) // 2 for d in dims]
    return input.roll(by, dims)


@function(api="fft")
def fftshift(input: Tensor, dim=None):
    """The zero frequency moved to the middle of the dims (of all without `dim`)."""
    return _shifted(input, dim, 1)


@function(api="fft")
def ifftshift(input: Tensor, dim=None):
    """The inverse of `fftshift`."""
    return _shifted(input, dim, -1)


def _frequencies(name, first, last, n, d, dtype, device, requires_grad):
    from .creation import arange

    dtype = dtypes.get_default_dtype() if dtype is None else dtype
    if dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"{name} requires a floating point or complex dtype, not {dtype}")
    made = arange(first, last, dtype=dtype, device=device) * (1.0 / (n * d))
    return made.requires_grad_() if requires_grad else made


@function(api="fft", out=True)
def fftfreq(n: int, d: float = 1.0, *, dtype=None, layout=None, device=None,
            requires_grad: bool = False):
    """The frequencies of `fft` of n points at distance d: 0, 1, ..., -2, -1 over n d."""
    half = (n + 1) // 2
    made = _frequencies("fftfreq", -(n // 2), half, n, d, dtype, device, False)
    made = made.roll(half, 0)
    return made.requires_grad_() if requires_grad else made


@function(api="fft", out=True)
def rfftfreq(n: int, d: float = 1.0, *, dtype=None, layout=None, device=None,
             requires_grad: bool = False):
    """The frequencies of `rfft` of n points at distance d."""
    return _frequencies("rfftfreq", 0, n // 2 + 1, n, d, dtype, device, requires_grad)
