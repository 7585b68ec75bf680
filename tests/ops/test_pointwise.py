"""Arithmetic, extremes and choices against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, check, check_error, check_program

import rushlight

rng = np.random.default_rng(0)
A, B = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
P = np.abs(A) + 0.5
I, J = np.array([[7, -7, 3], [0, 5, -2]]), np.array([[2, 2, -3], [4, -5, 3]])
ROW, COLUMN, ONE = rng.standard_normal(4), rng.standard_normal((3, 1)), np.array(1.5)
ODD = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 0.5])

ARITHMETIC = ["add", "sub", "mul", "true_divide", "rsub"]
EXTREMES = ["maximum", "minimum", "fmax", "fmin", "atan2", "hypot", "logaddexp", "logaddexp2",
            "copysign", "xlogy"]
ROUNDED = ["floor_divide", "remainder", "fmod"]


@pytest.mark.parametrize("pair", [(A, B), (A, ROW), (COLUMN, A), (ROW, COLUMN), (A, ONE), (A, 2),
                                  (A, 2.5), (A[:0], B[:0]), (ONE, ONE)],
                         ids=lambda p: "x".join(str(np.shape(x)) for x in p))
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name, pair):
    check(name, *pair, gradgrad=np.size(pair[0]) > 0)


@pytest.mark.parametrize("name", [*EXTREMES, *ROUNDED])
def test_two_operands(name):
    smooth = name not in ROUNDED and name not in ("maximum", "minimum", "fmax", "fmin", "copysign")
    grad = name != "floor_divide"
    check(name, A, P, grad=grad, gradgrad=smooth, atol=1e-7)
    check(name, P, ROW, grad=False)
    check(name, Given(A.T.copy(), view=lambda t: t.t()), np.abs(B), grad=grad)
    check(name, np.abs(ODD), ODD[::-1].copy(), grad=False)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "true_divide", "maximum", *ROUNDED, "gcd",
                                  "lcm", "heaviside", "nextafter", "ldexp", "pow"])
def test_integers(name):
    if name in ("heaviside", "nextafter"):
        return check(name, A, B, grad=False)
    if name == "pow":
        return check(name, np.abs(I), np.abs(J))
    return check(name, I, J)


@pytest.mark.parametrize("name", ["add", "mul", "sub", "true_divide", "maximum"])
@pytest.mark.parametrize("kinds", [("float32", "float64"), ("int64", "float32"), ("int32", "int64"),
                                   ("float16", "float32"), ("bfloat16", "float16"),
                                   ("uint8", "int8"), ("bool", "int64"), ("complex64", "float32")])
def test_promotion(name, kinds):
    if name == "maximum" and "complex64" in kinds or (name == "sub" and "bool" in kinds):
        return check_error(name, *[Given(np.ones(2), dtype=k) for k in kinds])
    values = np.array([1.0, 2.0, 0.5]) if "float" in str(kinds) else np.array([1, 2, 3])
    return check(name, *[Given(values, dtype=k) for k in kinds], strides=False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32", "uint8", "bool"])
@pytest.mark.parametrize("number", [2, 1.5, True])
@pytest.mark.parametrize("name", ["add", "mul", "Tensor.__rsub__", "true_divide"])
def test_python_numbers(name, number, dtype):
    if name == "Tensor.__rsub__" and "bool" in (dtype, str(type(number).__name__)):
        return
    check(name, Given(np.array([1, 0, 3]), dtype=dtype), number)


@pytest.mark.parametrize("name", ["rsub", "rtruediv", "rpow", "rmod", "rfloordiv"])
def test_numbers_on_the_left_are_not_rounded(name):
    for number in (0.1, 1.7, 2):
        check(f"Tensor.__{name}__", np.array([0.3, 1.0, 2.5]), number, rtol=1e-15, grad=False)
    check("Tensor.__rsub__", np.array([0.3 + 1j]), 0.1j, rtol=1e-15, grad=False)
    check("float_power", 0.1, np.array([2.0]), rtol=1e-15, grad=False)


@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
@pytest.mark.parametrize("name", ["rsub", "rtruediv", "rpow", "rmod", "rfloordiv"])
def test_numbers_on_the_left_do_not_widen(name, dtype, shape):
    """Not even a tensor without dimensions."""
    for number in (0.75, 2):
        check(f"Tensor.__{name}__", Given(np.full(shape, 3), dtype=dtype), number, grad=False)


@pytest.mark.parametrize("name", ["remainder", "fmod", "floor_divide"])
def test_nothing_may_be_divided_by_zero(name):
    none = np.zeros((0, 3), np.int64)
    check(name, none, 0)
    check(name, none, np.zeros((1, 3), np.int64))
    check_error(name, np.ones(2, np.int64), 0)


@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_division_with_rounding(mode):
    check("div", A, P, rounding_mode=mode)
    check("div", I, J, rounding_mode=mode)
    check("div", I, 2, rounding_mode=mode)


def test_zero_divisors():
    check("true_divide", I, 0)
    check("remainder", A, 0.0, grad=False)
    for name in ROUNDED:
        check_error(lambda T, i: getattr(T, name)(i, 0).tolist(), I)  # noqa: B023
        check_error(lambda T, i, j: getattr(T, name)(i, j).tolist(), I, J * 0)  # noqa: B023


def test_quotients_may_be_overwritten():
    def program(T):
        a, b = (T.tensor([1.0, v], requires_grad=True) for v in (2.0, 3.0))
        y = a / b
        y.add_(1.0)
        return T.autograd.grad((y * y).sum(), (a, b))

    check_program(program)


@pytest.mark.parametrize("exponent", [0, 1, 2, -1, 0.5, 3.0, -2.5])
def test_powers(exponent):
    check("pow", P, exponent, gradgrad=True)
    check("pow", Given(P, dtype="float32"), exponent)
    check("pow", exponent, A) if exponent > 0 else None


def test_powers_of_tensors():
    check("pow", P, B, gradgrad=True)
    check("pow", np.zeros(3), np.array([0.0, 1.0, 2.0]))
    check("float_power", I, 2)
    check_error("pow", I, -1)


@pytest.mark.parametrize("name", ["add", "sub"])
def test_alpha(name):
    check(name, A, B, alpha=2.5)
    check(name, I, J, alpha=3)
    check_error(name, I, J, alpha=0.5)


@pytest.mark.parametrize("name", ["add_", "mul_", "sub_", "div_", "pow_", "clamp_", "lerp_",
                                  "addcmul_", "addcdiv_", "fmod_", "remainder_", "floor_divide_"])
def test_in_place(name):
    more = {"clamp_": (-0.5, 0.5), "lerp_": (B, 0.3), "addcmul_": (B, P), "addcdiv_": (B, P),
            "pow_": (2,)}.get(name, (P,))
    grad = name != "floor_divide_"
    check(lambda T, a, *rest: getattr(a.clone(), name)(*rest), A, *more, grad=grad)


def test_choices():
    check("where", A > 0, A, B, gradgrad=True)
    check("where", A > 0, A, 0.0)
    check("where", A > 0, 1, 2)
    check("where", A > 0)
    check("where", (A > 0)[:, :1], ROW, COLUMN)
    check("Tensor.where", A, B > 0, B)
    check_error("where", A, A, B)


@pytest.mark.parametrize("limits", [(-0.5, 0.5), (None, 0.2), (-0.1, None), (0.5, -0.5)])
def test_limits(limits):
    check("clamp", A, *limits)
    check("clamp", I, *[None if x is None else int(x * 10) for x in limits])
    check("clamp", A, *[None if x is None else B * 0 + x for x in limits])


def test_limits_needed():
    check_error("clamp", A)
    check("clamp_min", A, 0.1)
    check("clamp_max", A, 0.1)


def test_mixtures():
    check("lerp", A, B, 0.3, gradgrad=True)
    check("lerp", A, B, P, gradgrad=True)
    check("addcmul", A, B, P, value=0.5)
    check("addcdiv", A, B, P, value=2)


def test_errors():
    check_error("add", A, A[:2])
    check_error("mul", np.ones((2, 3)), np.ones((3, 2)))
    check_error(lambda T, a: a.add_(T.ones(2, 3, 4)), A)
    check_error(lambda T, i: i.add_(1.5), I)
    check_error("sub", I > 0, I > 0)
    check_error("sub", I > 0, 1)
    check_error("gcd", A, B)


NUMBERS = {  # of PyTorch's functions of two tensors: which accept a number in place of one
    "neither": "maximum minimum fmax fmin atan2 hypot logaddexp nextafter heaviside gcd lcm ldexp "
               "logical_and logical_or logical_xor",
    "other": "eq ne lt le gt ge fmod copysign clamp_min",
    "any": "pow remainder bitwise_and bitwise_xor bitwise_left_shift xlogy float_power",
    "all": "add sub mul div true_divide floor_divide",
}


@pytest.mark.parametrize("kind", list(NUMBERS))
def test_numbers_as_operands(kind):
    for name in NUMBERS[kind].split():
        x = I if name in ("gcd", "lcm") or name.startswith("bitwise") else np.abs(A)
        calls = {"other": (x, 2), "first": (2, x), "both": (2, 3)}
        able = {"neither": (), "other": ("other",), "any": ("other", "first"), "all": calls}[kind]
        for which, given in calls.items():
            if which in able:
                check(name, *given, grad=False)
            else:
                check_error(name, *given)


def test_out():
    out = Given(np.zeros((3, 4)), grad=False)
    check(lambda T, a, b, o: (T.add(a, b, out=o), o), A, B, out, grad=False)
    with torch.no_grad():
        check_error(lambda T, a, b, o: T.add(a, b, out=o), A, B, Given(np.zeros((3, 4)), "int64"))


def test_odd_strides_of_single_columns():
    column = Given(A, view=lambda t: t[1:2].transpose(0, 1))
    for f in (lambda T, x: x * 0.5, lambda T, x: x + x, lambda T, x: x.tanh(),
              lambda T, x: x * T.tensor(2.0)):
        check(f, column)


def test_integer_powers_keep_their_kind_on_all_ways():
    """Whether an exponent is negative decides how NumPy gets there: the result is an array of the operands' dtype each time."""
    for exponents in (-1, 1, 2), (1, -1, 2):
        for e in exponents:
            made = rushlight.pow(rushlight.tensor(5), rushlight.tensor(e)).numpy()
            assert isinstance(made, np.ndarray) and made == (0 if e < 0 else 5**e)
            small = rushlight.pow(rushlight.tensor([2, 1], dtype=rushlight.int8), rushlight.tensor([e, e], dtype=rushlight.int8))
            assert small.numpy().dtype == np.int8
