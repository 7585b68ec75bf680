"""Complex numbers: parts, modulus and argument, conjugates, views as pairs of reals."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import Tensor, function, op
from . import rules
from .pointwise import conj_of, where


@rules.cached
def _conj_rule(input: Meta) -> Meta:
    return rules.same(input)


@op(_conj_rule, gradient={"input": lambda g: conj_of(g)}, aliases=("conj_physical",))
def conj(input: Tensor):
    """The complex conjugate; real tensors are copied."""
    return np.conjugate(input)


@function()
def conj_physical_(input: Tensor):
    """`conj` in place."""
    return input.copy_(conj(input))


@rules.cached
def _real_rule(input: Meta) -> Meta:
    if not input.dtype.is_complex:
        return input
    return meta(
        input.shape, input.dtype.to_real(), tuple(2 * s for s in input.strides), 2 * input.offset
    )


@rules.cached
def _imag_rule(input: Meta) -> Meta:
    if not input.dtype.is_complex:
        rules.fail(RuntimeError, "imag is not implemented for tensors with non-complex dtypes.")
    return meta(
        input.shape,
        input.dtype.to_real(),
        tuple(2 * s for s in input.strides),
        2 * input.offset + 1,
    )


@op(_real_rule, gradient={"input": lambda g: g}, view=True, compute="storage")
def real(input: Tensor):
    """The real part, a view."""
    return input.real if input.dtype.kind == "c" else input[...]


@op(
    _imag_rule,
    gradient={"input": lambda g: g * 1j},
    view=True,
    compute="storage",
)
def imag(input: Tensor):
    """The imaginary part, a view. RuntimeError for real tensors."""
    return input.imag


@rules.cached
def _as_real_rule(input: Meta) -> Meta:
    if not input.dtype.is_complex:
        rules.fail(RuntimeError, "view_as_real is only supported for complex tensors")
    return meta(
        (*input.shape, 2),
        input.dtype.to_real(),
        (*(2 * s for s in input.strides), 1),
        2 * input.offset,
    )


@op(
    _as_real_rule, gradient={"input": lambda g: view_as_complex(g.contiguous())}, view=True,
    compute="storage", api="torch",
)
def view_as_real(input: Tensor):
    """A complex tensor as real pairs in a new last dimension, a view."""
    part = input.real
    return np.lib.stride_tricks.as_strided(
        part, (*part.shape, 2), (*part.strides, part.itemsize)
    )


@rules.cached
def _as_complex_rule(input: Meta) -> Meta:
    if input.ndim == 0 or input.shape[-1] != 2:
        rules.fail(RuntimeError, "Tensor must have a last dimension of size 2")
    if input.strides[-1] != 1 or any(
        s % 2 for s, n in zip(input.strides[:-1], input.shape[:-1], strict=True) if n > 1
    ) or input.offset % 2:
        rules.fail(RuntimeError, "Tensor must have a last dimension with stride 1")
    return meta(
        input.shape[:-1],
        input.dtype.to_complex(),
        tuple(s // 2 for s in input.strides[:-1]),
        input.offset // 2,
    )


@op(
    _as_complex_rule, gradient={"input": lambda g: view_as_real(g.contiguous())}, view=True,
    compute="storage", api="torch",
)
def view_as_complex(input: Tensor):
    """Real pairs in the last dimension as complex numbers, a view."""
    kind = np.complex64 if input.dtype == np.float32 else np.complex128
    return input.view(kind)[..., 0]


@op(
    rules.cached(lambda input: rules.like(input, dtype=rules.float_of(input.dtype).to_real())),
    gradient={"input": lambda g, input: _angle_gradient(g, input)},
)
def angle(input: Tensor):
    """The argument of each number: 0 or pi for real ones."""
    if input.dtype.kind == "c":
        return np.angle(input)
    return np.where(np.isnan(input), np.nan, np.where(input < 0, math.pi, 0.0))


def _angle_gradient(g, input):
    if not input.is_complex():
        return g * 0.0
    return where(input == 0, 0.0, g * (input / (input.abs() ** 2)) * 1j)


def _in_complex(dtype) -> bool:
    """Whether there are complex numbers with parts of this dtype in PyTorch."""
    return dtype.category == dtypes.FLOAT and dtype is not dtypes.bfloat16


@rules.cached
def _parts_rule(real: Meta, imag: Meta) -> Meta:
    kinds = [dtypes.type_name(m.dtype) for m in (real, imag)]
    if not _in_complex(real.dtype) or not _in_complex(imag.dtype):
        rules.fail(
            RuntimeError,
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{kinds[0]} and {kinds[1]}",
        )
    if real.dtype is not imag.dtype:
        rules.fail(
            RuntimeError,
            f"Expected object of scalar type {kinds[0]} but got scalar type {kinds[1]} for second "
            "argument",
        )
    return rules.like(real, imag, dtype=real.dtype.to_complex())


@op(
    _parts_rule,
    gradient={"real": lambda g: real(g), "imag": lambda g: imag(g)},
    api="torch",
)
def complex(real: Tensor, imag: Tensor):
    """Complex numbers from their parts."""
    made = np.empty(np.broadcast_shapes(real.shape, imag.shape), np.result_type(real, np.complex64))
    made.real, made.imag = real, imag
    return made


@function(api="torch", out=True)
def polar(abs: Tensor, angle: Tensor):
    """Complex numbers from modulus and argument."""
    if not _in_complex(abs.dtype) or not _in_complex(angle.dtype):
        kinds = [dtypes.type_name(x.dtype) for x in (abs, angle)]
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {kinds[0]} and {kinds[1]}")
    if abs.dtype is not angle.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {abs.dtype.name} but got scalar type "
            f"{angle.dtype.name} for second argument"
        )
    return complex(abs * angle.cos(), abs * angle.sin())
