"""Custom functions: contexts, saved values, several outputs, errors; against PyTorch."""

from __future__ import annotations

import pytest
import torch
from oracle import check_program

import rushlight

PROGRAMS = []


def program(f):
    PROGRAMS.append(f)
    return f


def cube(T):
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, power=3):
            ctx.save_for_backward(x)
            ctx.power = power
            return x**power

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * ctx.power * x ** (ctx.power - 1), None

    return Cube


def leaf(T, *values):
    return T.tensor(values, dtype=T.float64, requires_grad=True)


@program
def applied(T):
    x = leaf(T, 1.0, -2.0, 3.0)
    y = cube(T).apply(x * 2, 2)
    y.sum().backward()
    return y, x.grad, type(y.grad_fn).__name__


@program
def second_order(T):
    x = leaf(T, 1.0, 2.0)
    (g,) = T.autograd.grad(cube(T).apply(x).sum(), x, create_graph=True)
    (h,) = T.autograd.grad(g.sum(), x, create_graph=True)
    h.sum().backward()
    return g, h, x.grad


@program
def setup_context(T):
    class Scale(T.autograd.Function):
        @staticmethod
        def forward(x, factor):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None

    x = leaf(T, 1.0, 2.0)
    Scale.apply(x, 4.0).sum().backward()
    return x.grad


@program
def several(T):
    class Pair(T.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b, a + b

        @staticmethod
        def backward(ctx, g, h):
            a, b = ctx.saved_tensors
            return g * b + h, (g * a + h) if ctx.needs_input_grad[1] else None

    a, b = leaf(T, 1.0, 2.0), leaf(T, 3.0, 4.0)
    p, q = Pair.apply(a, b)
    (p.sum() + 2 * q.sum()).backward()
    return p, q, a.grad, b.grad


@program
def not_differentiable(T):
    class Order(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            values, index = x.sort()
            ctx.mark_non_differentiable(index)
            ctx.save_for_backward(index)
            return values, index

        @staticmethod
        def backward(ctx, g, _):
            (index,) = ctx.saved_tensors
            return T.zeros_like(g).scatter(0, index, g)

    x = leaf(T, 3.0, 1.0, 2.0)
    values, index = Order.apply(x)
    (values * T.tensor([1.0, 10.0, 100.0])).sum().backward()
    return values, index, index.requires_grad, x.grad


@program
def straight_through(T):
    class Round(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(T, 0.4, 1.6)
    made = []
    for _ in range(3):
        (Round.apply(x) * 2).sum().backward()
        made.append(x.grad.clone())
    return made


@program
def wrong_count(T):
    class Bad(T.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(T, 1.0)
    Bad.apply(x, x).sum().backward()


@program
def instance_call(T):
    return cube(T)()(leaf(T, 1.0))


@program
def grad_modes_in_function(T):
    made = []

    class Look(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            made.append(T.is_grad_enabled())
            return x * 1

        @staticmethod
        def backward(ctx, g):
            made.append(T.is_grad_enabled())
            return g

    x = leaf(T, 1.0)
    Look.apply(x).sum().backward()
    T.autograd.grad(Look.apply(x).sum(), x, create_graph=True)
    return made


@program
def output_is_saved(T):
    class Exp(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    x = leaf(T, 1.0, 2.0)
    y = Exp.apply(x)
    (g,) = T.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().item()
    g.sum().backward()
    return y, g, x.grad, T.autograd.gradgradcheck(Exp.apply, (x,))


def saving(T):
    class Saving(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    return Saving


@program
def saved_values_are_freed(T):
    y = saving(T).apply(leaf(T, 1.0)).sum()
    y.backward()
    y.backward()


@program
def saved_values_are_kept(T):
    x = leaf(T, 2.0)
    y = saving(T).apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@program
def saved_value_is_overwritten(T):
    x = leaf(T, 2.0) * 1
    y = saving(T).apply(x).sum()
    x.mul_(2)
    y.backward()


@program
def changed_in_place(T):
    class Double(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(T, 1.0, 2.0)
    y = x.clone()
    z = Double.apply(y)
    (z * y).sum().backward()
    return z is y, y, y._version, x.grad


@program
def missing_gradients(T):
    class Both(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2, "no tensor"

        @staticmethod
        def backward(ctx, g, h, rest):
            seen.append((g is None, h is None, rest))
            return h * 2

    seen = []
    x = leaf(T, 1.0)
    Both.apply(x)[1].sum().backward()
    return seen, x.grad


@program
def vjp_is_backward(T):
    class Five(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def vjp(ctx, g):
            return g * 5

    x = leaf(T, 1.0)
    Five.apply(x).sum().backward()
    return x.grad


@program
def keywords(T):
    class Scale(T.autograd.Function):
        @staticmethod
        def forward(x, factor=2.0):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None

    x = leaf(T, 1.0)
    (Scale.apply(x) + Scale.apply(x, 3.0)).sum().backward()
    return x.grad


def returning(T, gradients):
    class Returning(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return gradients(g)

    return Returning


@pytest.mark.parametrize("gradients", [
    lambda g: (g, g), lambda g: g, lambda g: (3, None), lambda g: (g[:1], None), lambda g: (g, None, g),
    lambda g: (g, None, None), lambda g: (None, None), lambda g: (g.float(), None),
    lambda g: 1 / 0,
])
def test_returned_gradients(gradients):
    def returned(T):
        x = leaf(T, 1.0, 2.0)
        returning(T, gradients).apply(x, 2.0).sum().backward()
        return x.grad

    check_program(returned)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", PROGRAMS, ids=lambda f: f.__name__)
def test_program(case):
    check_program(case)


def test_second_steps_use_new_data():
    """A view made inside a gradient rule is part of the macro edge, not a constant of it."""
    net = {}
    for T in (torch, rushlight):
        T.manual_seed(0)
        w = T.randn(3, 4, 5, requires_grad=True)
        for step in range(3):
            x = T.full((3, 2, 4), float(step + 1))
            index = T.tensor([step, 1])
            T.bmm(x, w).index_select(2, index).sum().backward()
        net[T] = w.grad.tolist()
    assert net[torch] == net[rushlight]
