"""Comparisons, tests of single elements, and logical and bitwise operators."""

from __future__ import annotations

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta
from ..trace.operator import Tensor, function, op
from ..trace.promotion import promote
from ..trace.tensor import Tensor as TensorClass
from ..trace.tensor import array, wrap
from . import rules

COMPARE = {"compute": "common", "inplace": True}


@op(rules.comparison, **COMPARE)
def eq(input: Tensor, other: Tensor):
    """Whether elements are equal.

    Elements of half types are compared as float32: no element of float16 equals 0.1 or 2049, which float16 does not
    hold (PyTorch rounds the other operand first: it may).
    """
    return np.equal(input, other)


@op(rules.comparison, aliases=("not_equal",), **COMPARE)
def ne(input: Tensor, other: Tensor):
    """Whether elements differ."""
    return np.not_equal(input, other)


def _ordered(name):
    @rules.cached
    def rule(input: Meta, other: Meta) -> Meta:
        if input.dtype.is_complex or other.dtype.is_complex:
            shown = dtypes.type_name(promote(input, other))
            rules.fail(NotImplementedError, f'"{name}_cpu" not implemented for \'{shown}\'')
        return rules.comparison(input, other)

    return rule


@op(_ordered("lt"), aliases=("less",), **COMPARE)
def lt(input: Tensor, other: Tensor):
    """Whether `input < other`."""
    return np.less(input, other)


@op(_ordered("le"), aliases=("less_equal",), **COMPARE)
def le(input: Tensor, other: Tensor):
    """Whether `input <= other`."""
    return np.less_equal(input, other)


@op(_ordered("gt"), aliases=("greater",), **COMPARE)
def gt(input: Tensor, other: Tensor):
    """Whether `input > other`."""
    return np.greater(input, other)


@op(_ordered("ge"), aliases=("greater_equal",), **COMPARE)
def ge(input: Tensor, other: Tensor):
    """Whether `input >= other`."""
    return np.greater_equal(input, other)


@op(rules.bool_unary)
def isnan(input: Tensor):
    """Whether elements are NaN."""
    return np.isnan(input)


@op(rules.bool_unary)
def isinf(input: Tensor):
    """Whether elements are infinite."""
    return np.isinf(input)


@op(rules.bool_unary)
def isfinite(input: Tensor):
    """Whether elements are neither infinite nor NaN."""
    return np.isfinite(input)


@op(rules.bool_unary)
def isposinf(input: Tensor):
    """Whether elements are +infinity."""
    return np.isposinf(input)


@op(rules.bool_unary)
def isneginf(input: Tensor):
    """Whether elements are -infinity."""
    return np.isneginf(input)


@op(rules.bool_unary)
def isreal(input: Tensor):
    """Whether elements have no imaginary part."""
    return np.isreal(input)


@op(rules.bool_unary)
def signbit(input: Tensor):
    """Whether the sign bit is set."""
    return np.signbit(input) if input.dtype.kind in "fi" else np.zeros(input.shape, bool)


@op(rules.comparison, **COMPARE, numbers="")
def logical_and(input: Tensor, other: Tensor):
    """Whether both elements are not zero."""
    return np.logical_and(input, other)


@op(rules.comparison, **COMPARE, numbers="")
def logical_or(input: Tensor, other: Tensor):
    """Whether one of the elements is not zero."""
    return np.logical_or(input, other)


@op(rules.comparison, **COMPARE, numbers="")
def logical_xor(input: Tensor, other: Tensor):
    """Whether exactly one of the elements is not zero."""
    return np.logical_xor(input, other)


@op(rules.bool_unary, inplace=True)
def logical_not(input: Tensor):
    """Whether elements are zero."""
    return np.logical_not(input)


def _integral(name):
    @rules.cached
    def rule(input: Meta, other: Meta | None = None) -> Meta:
        return rules.same(input) if other is None else rules.broadcast(input, other)

    return rules.only(rule, name + "_cpu", dtypes.BOOL, dtypes.INTEGER)


@op(_integral("bitwise_and"), compute="result", inplace=True, numbers="any")
def bitwise_and(input: Tensor, other: Tensor):
    """Bitwise and of integers; logical and of bools."""
    return np.bitwise_and(input, other)


@op(_integral("bitwise_or"), compute="result", inplace=True, numbers="any")
def bitwise_or(input: Tensor, other: Tensor):
    """Bitwise or of integers; logical or of bools."""
    return np.bitwise_or(input, other)


@op(_integral("bitwise_xor"), compute="result", inplace=True, numbers="any")
def bitwise_xor(input: Tensor, other: Tensor):
    """Bitwise exclusive or of integers and bools."""
    return np.bitwise_xor(input, other)


@op(_integral("bitwise_not"), compute="result", inplace=True)
def bitwise_not(input: Tensor):
    """Bitwise complement of integers; logical not of bools."""
    return np.invert(input)


@op(_integral("lshift"), compute="result", inplace=True, numbers="any")
def bitwise_left_shift(input: Tensor, other: Tensor):
    """`input * 2 ** other` for integers."""
    return np.left_shift(input, other)


@op(_integral("rshift"), compute="result", inplace=True, numbers="any")
def bitwise_right_shift(input: Tensor, other: Tensor):
    """`input / 2 ** other`, rounded down, for integers."""
    return np.right_shift(input, other)


@function(api="torch Tensor")
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08,
            equal_nan: bool = False):
    """Whether `|input - other| <= atol + rtol * |other|`, element by element."""
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}")
    if rtol < 0 or atol < 0:
        raise RuntimeError(
            f"isclose(): rtol and atol must not be negative, but got rtol={rtol}, atol={atol}"
        )
    return _isclose(input, other, float(rtol), float(atol), bool(equal_nan))


@op(lambda input, other, *_: rules.comparison(input, other), api="")
def _isclose(input: Tensor, other: Tensor, rtol: float, atol: float, equal_nan: bool):
    """`isclose`."""
    return np.isclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


@function(api="torch Tensor")
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08,
             equal_nan: bool = False) -> bool:
    """Whether all elements satisfy `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


@function(api="torch Tensor")
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    return input.shape == other.shape and bool(np.array_equal(array(input), array(other)))


@function(api="torch", out=True)
def isin(elements, test_elements, *, assume_unique: bool = False, invert: bool = False):
    """Whether each element is in `test_elements`."""
    a = array(elements) if isinstance(elements, TensorClass) else np.asarray(elements)
    b = array(test_elements) if isinstance(test_elements, TensorClass) else np.asarray(test_elements)
    if "c" in (a.dtype.kind, b.dtype.kind):
        raise RuntimeError(f"Unsupported input type encountered for isin(): {a.dtype} and {b.dtype}")
    if "bfloat16" in (a.dtype.name, b.dtype.name):  # NumPy has no common dtype with it
        a, b = a.astype(np.float64), b.astype(np.float64)
    return wrap(np.isin(a, b, invert=invert))
