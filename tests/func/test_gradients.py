"""Transforms that differentiate, against PyTorch."""

from __future__ import annotations

import pytest
from oracle import check_program


def v(T, *values):
    return T.tensor(values, dtype=T.float64)


def f(x):
    return (x.sin() * x).sum()


PROGRAMS = {
    "grad": lambda T: T.func.grad(f)(v(T, 1, 2)),
    "argnums": lambda T: T.func.grad(lambda a, b: (a * b * b).sum(), (1, 0))(v(T, 1, 2), v(T, 3, 4)),
    "last": lambda T: T.func.grad(lambda a, b: (a * b * b).sum(), -1)(v(T, 1, 2), v(T, 3, 4)),
    "tree": lambda T: T.func.grad(lambda p: (p["w"][0] * p["w"][1]).sum())(
        {"w": (v(T, 1, 2), v(T, 3, 4)), "b": v(T, 5)}),
    "aux": lambda T: T.func.grad(lambda x: (f(x), {"y": x * 2}), has_aux=True)(v(T, 1, 2)),
    "value": lambda T: T.func.grad_and_value(f)(v(T, 1, 2)),
    "value and aux": lambda T: T.func.grad_and_value(lambda x: (f(x), x + 1), has_aux=True)(v(T, 1)),
    "second": lambda T: T.func.grad(lambda x: T.func.grad(f)(x).sum())(v(T, 1, 2)),
    "third": lambda T: T.func.grad(T.func.grad(T.func.grad(lambda x: x.exp() * x)))(
        T.tensor(0.5, dtype=T.float64)),
    "keyword": lambda T: T.func.grad(lambda x, k: (x * k).sum())(v(T, 1, 2), k=3),
    "in place": lambda T: T.func.grad(lambda x: x.mul_(x).sum())(v(T, 1, 2)),
    "vjp": lambda T: (lambda y, pull: [y, pull(v(T, 1, 10)), pull(v(T, 2, 1))])(
        *T.func.vjp(lambda x: x.exp(), v(T, 1, 2))),
    "vjp of several": lambda T: (lambda y, pull: [y, pull((v(T, 1, 1), v(T, 2)))])(
        *T.func.vjp(lambda a, b: (a * b, a[:1]), v(T, 1, 2), v(T, 3, 4))),
    "vjp of a tree": lambda T: (lambda y, pull: [y, pull({"s": v(T, 1, 1)})])(
        *T.func.vjp(lambda a: {"s": a * a}, v(T, 1, 2))),
    "jvp": lambda T: T.func.jvp(lambda a, b: a * b, (v(T, 1, 2), v(T, 3, 4)), (v(T, 1, 0), v(T, 0, 1))),
    "jvp with aux": lambda T: T.func.jvp(lambda a: (a * a, a), (v(T, 1, 2),), (v(T, 1, 0),), has_aux=True),
    "jvp of a constant": lambda T: T.func.jvp(lambda a: T.ones(2), (v(T, 1, 2),), (v(T, 1, 0),))[1],
    "jacrev": lambda T: T.func.jacrev(lambda x: x[:, None] * x)(v(T, 1, 2, 3)),
    "jacfwd": lambda T: T.func.jacfwd(lambda x: x[:, None] * x)(v(T, 1, 2, 3)),
    "jacobians": lambda T: [j(lambda a, b: {"p": a * b, "q": b.sum()}, (0, 1))(v(T, 1, 2), v(T, 3, 4))
                            for j in (T.func.jacrev, T.func.jacfwd)],
    "jacobian with aux": lambda T: T.func.jacrev(lambda x: (x * x, x), has_aux=True)(v(T, 1, 2)),
    "hessian": lambda T: T.func.hessian(lambda x: (x**3).sum() + x.prod())(v(T, 1, 2, 3)),
    "linearize": lambda T: (lambda y, push: [y, push(v(T, 1, 0)), push(v(T, 0, 2))])(
        *T.func.linearize(lambda x: x.sin() * x.sum(), v(T, 1, 2))),
    "grad of jvp": lambda T: T.func.grad(
        lambda x: T.func.jvp(lambda z: z**3, (x,), (T.ones_like(x),))[1].sum())(v(T, 1, 2)),
    "jvp of grad": lambda T: T.func.jvp(T.func.grad(f), (v(T, 1, 2),), (v(T, 1, 1),)),
    "functionalize": lambda T: T.func.functionalize(lambda x: x.mul_(2) + 1)(v(T, 1, 2)),
    "module": lambda T: (lambda m: T.func.grad(lambda p, x: T.func.functional_call(m, p, x).sum())(
        {"weight": v(T, 1, 2).reshape(1, 2), "bias": v(T, 3)}, v(T, 4, 5).reshape(1, 2)))(
            T.nn.Linear(2, 1).double()),
    "not a number": lambda T: T.func.grad(lambda x: x * 2)(v(T, 1, 2)),
    "not a tensor": lambda T: T.func.grad(lambda x: 3.0)(v(T, 1)),
    "several": lambda T: T.func.grad(lambda x: (x.sum(), x))(v(T, 1)),
    "number given": lambda T: T.func.grad(lambda x: x * 1.0)(3.0),
    "integers": lambda T: T.func.grad(lambda x: x.sum())(T.arange(3)),
    "wrong argnum": lambda T: T.func.grad(f, 1)(v(T, 1)),
    "wrong tangents": lambda T: T.func.jvp(lambda x: x, (v(T, 1),), (v(T, 1), v(T, 2))),
    "wrong cotangents": lambda T: T.func.vjp(lambda x: x, v(T, 1))[1]((v(T, 1), v(T, 2))),
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_programs(name):
    def program(T):
        return PROGRAMS[name](T)

    check_program(program, strides=False)


def test_history_outside():
    """Results can be differentiated where an input or a closed-over tensor requires grad."""

    def program(T):
        x, w = v(T, 1, 2).requires_grad_(), v(T, 3, 4).requires_grad_()
        plain = T.func.grad(f)(v(T, 1, 2))
        through_input = T.func.grad(f)(x)
        closed_over = T.func.grad(lambda z: (z * z * w).sum())(v(T, 1, 2))
        through_input.sum().backward()
        closed_over.sum().backward()
        with T.no_grad():
            quiet = T.func.grad(lambda z: (z * w).sum())(v(T, 1, 2))
        return [plain.requires_grad, through_input.requires_grad, closed_over.requires_grad,
                quiet.requires_grad, x.grad, w.grad, plain, quiet]

    check_program(program)
