"""vmap and ensembles against PyTorch."""

from __future__ import annotations

import pytest
from oracle import check_program


def a(T, *shape):
    n = 1
    for s in shape:
        n *= s
    return T.arange(float(n)).reshape(shape) / 7


PROGRAMS = {
    "one": lambda T: T.vmap(lambda x: x.sum() * 2)(a(T, 4, 3)),
    "two": lambda T: T.vmap(T.dot)(a(T, 4, 3), a(T, 4, 3)),
    "dims": lambda T: T.vmap(lambda x, y: x @ y, in_dims=(1, None), out_dims=0)(a(T, 3, 4), a(T, 3, 2)),
    "last": lambda T: T.vmap(lambda x: x * 2, in_dims=-1, out_dims=-1)(a(T, 2, 3, 4)),
    "tree": lambda T: T.vmap(lambda d, s: {"p": d["x"] * s, "q": (d["y"].sum(),)}, in_dims=(0, None))(
        {"x": a(T, 3, 2), "y": a(T, 3, 4)}, 2.0),
    "dims of a tree": lambda T: T.vmap(lambda d: d["x"] + d["y"], in_dims=({"x": 1, "y": None},))(
        {"x": a(T, 2, 3), "y": a(T, 2)}),
    "several results": lambda T: T.vmap(lambda x: (x, x.sum()), out_dims=(1, 0))(a(T, 3, 2)),
    "keywords": lambda T: T.vmap(lambda x, y: x * y)(a(T, 3, 2), y=a(T, 3, 2)),
    "nested": lambda T: T.vmap(T.vmap(lambda x, y: x * y, (0, None)), (None, 0))(a(T, 3), a(T, 4)),
    "of grad": lambda T: T.vmap(T.func.grad(lambda w, x: (w * x).sin().sum()), (None, 0))(
        a(T, 3), a(T, 5, 3)),
    "inside of grad": lambda T: T.func.grad(lambda x: T.vmap(lambda z: z.sin())(x).sum())(a(T, 3, 2)),
    "gradient": lambda T: T.autograd.grad(
        T.vmap(lambda z: z.sin())(a(T, 3, 2).requires_grad_()).sum(),
        a(T, 1).requires_grad_(), allow_unused=True),
    "chunks": lambda T: T.vmap(lambda x: x * 2, chunk_size=2)(a(T, 5, 2)),
    "sizes": lambda T: T.vmap(lambda x, y: x)(a(T, 3), a(T, 4)),
    "no tensor": lambda T: T.vmap(lambda x: x, in_dims=0)(3.0),
    "no dim": lambda T: T.vmap(lambda x: x, in_dims=None)(a(T, 3)),
    "wrong dim": lambda T: T.vmap(lambda x: x, in_dims=2)(a(T, 3)),
    "wrong dims": lambda T: T.vmap(lambda x, y: x, in_dims=(0,))(a(T, 3), a(T, 3)),
    "wrong result": lambda T: T.vmap(lambda x: "x")(a(T, 3)),
    "nothing": lambda T: T.vmap(lambda: 1)(),
    "randomness": lambda T: T.vmap(lambda x: x, randomness="some")(a(T, 3)),
    "chunk size": lambda T: T.vmap(lambda x: x, chunk_size=0)(a(T, 3)),
    "no models": lambda T: T.func.stack_module_state([]),
    "modes": lambda T: T.func.stack_module_state([T.nn.Linear(1, 1), T.nn.Linear(1, 1).eval()]),
    "classes": lambda T: T.func.stack_module_state([T.nn.Linear(1, 1), T.nn.ReLU()]),
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_programs(name):
    def program(T):
        return PROGRAMS[name](T)

    check_program(program, strides=False)


def test_random_numbers():
    def program(T):
        T.manual_seed(3)
        same = T.vmap(lambda x: x + T.rand(2), randomness="same")(T.zeros(3, 2))
        other = T.vmap(lambda x: x + T.rand(2), randomness="different")(T.zeros(3, 2))
        return [(same == same[0]).all(), (other[0] == other[1]).any()]

    check_program(program)


def test_ensembles():
    def program(T):
        T.manual_seed(0)
        models = [T.nn.Sequential(T.nn.Linear(3, 4), T.nn.BatchNorm1d(4)).eval() for _ in range(3)]
        parameters, buffers = T.func.stack_module_state(models)

        def call(p, b, x):
            return T.func.functional_call(models[0], (p, b), (x,))

        made = T.vmap(call, (0, 0, None))(parameters, buffers, a(T, 2, 3))
        return [made, {k: p.requires_grad for k, p in parameters.items()}, list(buffers)]

    check_program(program, strides=False)
