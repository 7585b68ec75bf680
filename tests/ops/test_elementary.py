"""Functions of one number (elementary, complex, special) against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(1)
A = rng.standard_normal((3, 4))
UNIT = rng.uniform(-0.9, 0.9, (3, 4))
ABOVE = rng.uniform(1.1, 3.0, (3, 4))
P = np.abs(A) + 0.3
ODD = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 0.5, 2.5, -2.5])
Z = A + 1j * A[::-1]

ANY = ["exp", "exp2", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asinh", "atan",
       "sigmoid", "square", "neg", "erf", "erfc", "sinc", "deg2rad", "rad2deg", "positive"]
POSITIVE = ["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "lgamma", "digamma"]
INSIDE = ["asin", "acos", "atanh"]
STEPS = ["floor", "ceil", "round", "trunc", "sign", "sgn", "abs", "frac", "fix"]
DOMAIN = {**{n: A for n in ANY}, **{n: P for n in POSITIVE}, **{n: UNIT for n in INSIDE},
          "acosh": ABOVE, **{n: A * 3 for n in STEPS}}


@pytest.mark.parametrize("name", list(DOMAIN))
def test_values_and_gradients(name):
    x = DOMAIN[name]
    check(name, x, gradgrad=name not in STEPS and name not in ("digamma", "positive"), atol=1e-9)
    check(name, Given(x.astype(np.float32)), rtol=3e-5)
    check(name, Given(x, view=lambda t: t.t()[1:]), atol=1e-9)
    check(name, x[:0])
    check(name, np.array(x[0, 0]))


@pytest.mark.parametrize("name", [n for n in DOMAIN if n not in ("digamma", "lgamma")])
def test_unusual_numbers(name):
    check(name, ODD, grad=False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("name", list(DOMAIN))
def test_dtypes(name, dtype):
    values = np.array([0, 1, 1]) if dtype == "bool" else np.array([1, 2, 3])
    refused = dtype == "bool" and name in ("neg", "floor", "ceil", "round", "trunc", "frac", "fix",
                                           "abs", "positive") or name == "frac" and "float" not in dtype
    if refused:
        return check_error(name, Given(values, dtype=dtype))
    return check(name, Given(values, dtype=dtype), rtol=1e-2 if "float" in dtype else None)


@pytest.mark.parametrize("name", [n for n in (*ANY, *POSITIVE, *INSIDE) if n not in (
    "erf", "erfc", "lgamma", "digamma", "deg2rad", "rad2deg")])
def test_complex(name):
    check(name, Z + (2 if name in ("log1p", "rsqrt") else 0), atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("name", ["exp_", "sqrt_", "neg_", "sigmoid_", "tanh_", "floor_", "abs_"])
def test_in_place(name):
    check(lambda T, a: getattr(a.clone(), name)(), P)
    check_error(lambda T, i: i.exp_(), np.array([1, 2]))


@pytest.mark.parametrize("decimals", [0, 1, -1])
def test_round(decimals):
    check("round", A * 10, decimals=decimals)


def test_replacements():
    check("nan_to_num", ODD)
    check("nan_to_num", ODD, 1.0, 2.0, -3.0)
    check("logit", UNIT * 0.4 + 0.5, gradgrad=True)
    check("logit", np.array([0.0, 0.5, 1.0]), 1e-2)


def test_parts_of_complex_numbers():
    for name in ("real", "imag", "abs", "angle", "sgn", "view_as_real"):
        check(name, Z)
    check(lambda T, z: T.view_as_real((z * z.conj()) + z.conj().resolve_conj()), Z)
    check("view_as_complex", rng.standard_normal((3, 2)))
    check("complex", A, A[::-1].copy())
    check("polar", P, A)
    check("angle", A)
    check("real", A)
    check_error("imag", A)
    check_error("view_as_complex", A)
    check(lambda T, z: T.view_as_real(z)[..., 0].sum(), Z)


def test_far_tails():
    x = np.array([-30.0, -6.0, -1e-20, 1e-300, 5.9, 26.0, 30.0])
    check("erf", x, grad=False)
    check("erfc", x, grad=False)
    check("erf", Given(x.astype(np.float32)), grad=False)


def test_mantissas_and_exponents():
    check("frexp", np.array([1.5, -8.0, 0.0, 1e-3]))
    check("frexp", np.array([np.inf, -np.inf, 1e-300]), grad=False)
    check_error("frexp", np.array([1, 2]))


def test_python_functions():
    check(lambda T, x: x.apply_(lambda v: v * 2 + 1), A, grad=False)
    check(lambda T, i: i.apply_(lambda v: v * 2.5), np.arange(3))
    check(lambda T, x: x.map_(x[0] * 2, lambda a, b: a + b), A, grad=False)
    check(lambda T, x: x.map2_(x, x[0] * 2, lambda a, b, c: a * b - c), A, grad=False)
    check_error(lambda T, x: x.requires_grad_().apply_(abs), A)
    check_error(lambda T, x: x.map_(x.float(), max), A)
