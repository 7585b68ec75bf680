"""torch.autograd.functional and forward-mode differentiation, against PyTorch."""

from __future__ import annotations

import pytest
from oracle import check_program


def v(T, *values):
    return T.tensor(values, dtype=T.float64)


def two(a, b):
    return a * b, (a * a).sum()


def number(a, b):
    return (a**3).sum() + (a * b).prod()


def F(T):
    return T.autograd.functional


PROGRAMS = {
    "vjp": lambda T: F(T).vjp(lambda x: x.exp(), v(T, 1, 2), v(T, 1, 10)),
    "vjp of two": lambda T: F(T).vjp(two, (v(T, 1, 2), v(T, 3, 4)), (v(T, 1, 2), v(T, 3).sum())),
    "vjp of a number": lambda T: F(T).vjp(lambda x: x.sum(), v(T, 1, 2)),
    "jvp": lambda T: F(T).jvp(lambda x: x.exp(), v(T, 1, 2), v(T, 1, 10)),
    "jvp of two": lambda T: F(T).jvp(two, (v(T, 1, 2), v(T, 3, 4)), (v(T, 1, 0), v(T, 0, 1))),
    "jacobian": lambda T: F(T).jacobian(lambda x: x[:, None] * x, v(T, 1, 2)),
    "jacobian of two": lambda T: F(T).jacobian(two, (v(T, 1, 2), v(T, 3, 4))),
    "forward jacobian": lambda T: F(T).jacobian(lambda x: x**2, v(T, 1, 2), vectorize=True,
                                                strategy="forward-mode"),
    "hessian": lambda T: F(T).hessian(lambda x: (x**3).sum(), v(T, 1, 2)),
    "hessian of two": lambda T: F(T).hessian(number, (v(T, 1, 2), v(T, 3, 4))),
    "vhp": lambda T: F(T).vhp(number, (v(T, 1, 2), v(T, 3, 4)), (v(T, 1, 0), v(T, 0, 1))),
    "hvp": lambda T: F(T).hvp(number, (v(T, 1, 2), v(T, 3, 4)), (v(T, 1, 0), v(T, 0, 1))),
    "independent": lambda T: F(T).jacobian(lambda x: T.ones(2), v(T, 1, 2)),
    "no vector": lambda T: F(T).vjp(lambda x: x * 2, v(T, 1, 2)),
    "short vector": lambda T: F(T).vjp(lambda x: x * 2, v(T, 1, 2), v(T, 1)),
    "vectors": lambda T: F(T).vjp(lambda x: x * 2, v(T, 1, 2), (v(T, 1, 2), v(T, 1, 2))),
    "not a tensor": lambda T: F(T).jacobian(lambda x: x, 3.0),
    "result": lambda T: F(T).jacobian(lambda x: 3.0, v(T, 1)),
    "strict": lambda T: F(T).jacobian(lambda x: T.ones(2), v(T, 1, 2), strict=True),
    "strict inputs": lambda T: F(T).vjp(lambda x, y: x, (v(T, 1), v(T, 2)), v(T, 1), strict=True),
    "hessian of a vector": lambda T: F(T).hessian(lambda x: x, v(T, 1, 2)),
    "strategy": lambda T: F(T).jacobian(lambda x: x, v(T, 1), strategy="sideways"),
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_functional(name):
    def program(T):
        return PROGRAMS[name](T)

    check_program(program, strides=False)


def test_derivatives_of_derivatives():
    def program(T):
        x = v(T, 1, 2).requires_grad_()
        plain = F(T).jacobian(lambda z: z**3, x)
        made = F(T).jacobian(lambda z: z**3, x, create_graph=True)
        made.sum().backward()
        return plain.requires_grad, made.detach(), x.grad

    check_program(program)


def test_dual_numbers():
    def program(T):
        fwd = T.autograd.forward_ad
        found = []
        with fwd.dual_level():
            x = fwd.make_dual(v(T, 1, 2), v(T, 1, 10))
            y = fwd.make_dual(v(T, 3, 4), v(T, 0, 1))
            for z in (x.sin() * y, x, x.detach() * 2, T.ones(2)):
                primal, tangent = fwd.unpack_dual(z)
                found += [primal, tangent]
        found.append(fwd.unpack_dual(v(T, 1)).tangent)
        return found

    check_program(program)


@pytest.mark.parametrize("program", [
    lambda T: T.autograd.forward_ad.make_dual(T.ones(2), T.ones(2)),
    lambda T: T.autograd.forward_ad.exit_dual_level(),
], ids=["no level", "no level to leave"])
def test_levels(program):
    check_program(program)


@pytest.mark.parametrize("given", [
    lambda T: (T.ones(2), T.ones(3)), lambda T: (T.arange(2), T.ones(2)),
    lambda T: (T.ones(2), T.arange(2)),
], ids=["shape", "primal", "tangent"])
def test_duals_refuse(given):
    def program(T):
        with T.autograd.forward_ad.dual_level():
            return T.autograd.forward_ad.make_dual(*given(T))

    check_program(program)
