"""gradcheck and gradgradcheck accept what is right, also complex, and name what is wrong."""

from __future__ import annotations

import pytest
import torch
from oracle import check_program

import rushlight

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def real(T, *values):
    return T.tensor(values or (0.3, -0.7, 1.9), dtype=T.float64, requires_grad=True)


def imaginary(T):
    return T.tensor([1 + 2j, 3 - 1j], dtype=T.complex128, requires_grad=True)


def biased(x):
    """A function whose gradient misses a part."""
    return x.detach() * x


@program
def right(T):
    check, x, w = T.autograd.gradcheck, real(T), real(T, 1.0, 2.0, -0.5)
    return [
        check(lambda a: a**2, x), check(lambda a, b: (a * b, a + b), (x, w)),
        check(lambda a, k: a * k, (x, 3)), check(lambda a: a.expand(2, 3), (x,)),
        check(lambda a: [a * 2], (x,)), check(lambda a: a, (x,)), check(lambda a: a.round(), (x,)),
        check(lambda a: a.sum().long(), (x,)), check(lambda a: a * 2, (x,), fast_mode=True),
    ]


@program
def right_complex(T):
    check, z = T.autograd.gradcheck, imaginary(T)
    return [check(lambda a: a * a, (z,)), check(lambda a: (a * a.conj()).real, (z,)), check(T.abs, (z,)),
            check(lambda a: T.complex(a, a * 2), (real(T),)), check(lambda a: a.imag * a, (z,))]


@program
def right_in_single_precision(T):
    x = real(T).detach().float().requires_grad_()
    return T.autograd.gradcheck(lambda a: a**2, (x,), eps=1e-3, atol=1e-2, rtol=1e-2)


@program
def right_second_order(T):
    check, x, w = T.autograd.gradgradcheck, real(T), real(T, 1.0, 2.0, -0.5)
    return [check(lambda a: a**3, x), check(lambda a, b: (a * b).sum(), (x, w)),
            check(lambda a: a * a, (imaginary(T),)), check(lambda a: a * 2, (x,)),
            check(lambda a: a**3, (x,), grad_outputs=real(T, 1.0, -1.0, 0.5))]


@program
def wrong_without_an_exception(T):
    return T.autograd.gradcheck(biased, (real(T),), raise_exception=False)


@program
def at_a_kink(T):
    return T.autograd.gradcheck(T.abs, (real(T, 0.0),), raise_exception=False)


@program
def nothing_to_check(T):
    T.autograd.gradcheck(lambda a: a**2, (real(T).detach(),))


@program
def overlapping_input(T):
    T.autograd.gradcheck(lambda a: a**2, (real(T).expand(2, 3),))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    check_program(PROGRAMS[name])


@pytest.mark.parametrize("check, function", [
    ("gradcheck", biased), ("gradgradcheck", lambda a: (a.detach() * a).sum() * a),
])
def test_wrong(check, function):
    for T in (torch, rushlight):
        with pytest.raises(T.autograd.gradcheck.__globals__["GradcheckError"]):
            getattr(T.autograd, check)(function, (real(T),))


def test_message_shows_both_jacobians():
    with pytest.raises(rushlight.autograd.GradcheckError) as caught:
        rushlight.autograd.gradcheck(lambda a, b: a * biased(b), (real(rushlight), real(rushlight)))
    text = str(caught.value)
    assert "output 0 with respect to input 1" in text and "numerical" in text and "analytical" in text
