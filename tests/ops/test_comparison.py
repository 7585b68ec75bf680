"""Comparisons, tests of numbers, logic and bits against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

A, B = np.array([[1.0, 2.0, np.nan], [0.0, -1.0, np.inf]]), np.array([[1.0, 3.0, np.nan]] * 2)
I, J = np.array([[5, -3, 0], [7, 1, 12]]), np.array([3, 3, 1])


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons(name):
    for pair in ((A, B), (A, B[0]), (A, 1.0), (I, J), (I, 3), (A > 0, B > 0), (A[:0], 1), (I, 2.5),
                 (Given(A, "float32"), Given(B, "float64")), (Given(A.T, view=lambda t: t.t()), B)):
        check(name, *pair)
    check(lambda T, a, b: getattr(a.clone(), name + "_")(b), I, J)
    check_error(name, A, A[:, :2])


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal",
                                  "signbit", "logical_not"])
def test_of_one_number(name):
    for x in (A, I, A > 0, Given(A, "float16"), np.array(1.0), A[:0]):
        check(name, x)


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_logic(name):
    check(name, A, B)
    check(name, I, A)
    check(name, I > 0, J > 0)
    check(lambda T, a, b: getattr(a.clone(), name + "_")(b), I > 0, J)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_bits(name):
    check(name, I, J)
    check(name, I, 6)
    check(name, I > 0, J > 1)
    check(name, Given(I, "int16"), Given(J, "uint8"))
    check_error(name, A, B)


def test_shifts_and_operators():
    check("bitwise_left_shift", np.abs(I), J)
    check("bitwise_right_shift", I, J)
    check("bitwise_not", I)
    check("bitwise_not", I > 0)
    check(lambda T, i, j: (i & j, i | j, i ^ j, ~i, i << 1, i >> 1, 6 & i), I, J)


def test_closeness():
    check("isclose", A, B)
    check("isclose", A, B, equal_nan=True)
    check("isclose", I, J + 1, atol=2)
    check("allclose", A[:1, :2], B[:1, :2] + 1e-9)
    check("equal", A, A)
    check("equal", I, I)
    check("isin", I, J)
    check("isin", I, 3, invert=True)
    check_error("isclose", A, B, rtol=-1.0)
