"""Custom functions, checkpointing, gradient checks, hooks and graphs, against PyTorch."""

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
def checkpointed(T):
    from importlib import import_module

    checkpoint = import_module(T.__name__ + ".utils.checkpoint").checkpoint
    T.manual_seed(3)
    net = T.nn.Sequential(T.nn.Linear(3, 4), T.nn.Dropout(0.5), T.nn.Tanh(), T.nn.Linear(4, 2))
    x = T.ones(2, 3, requires_grad=True)
    for reentrant in (False, True):
        checkpoint(net, x, use_reentrant=reentrant).sum().backward()
    return x.grad, [p.grad for p in net.parameters()]


@program
def checkpointed_sequence(T):
    from importlib import import_module

    sequential = import_module(T.__name__ + ".utils.checkpoint").checkpoint_sequential
    T.manual_seed(3)
    net = T.nn.Sequential(*[T.nn.Linear(3, 3) for _ in range(4)])
    x = T.ones(2, 3, requires_grad=True)
    y = sequential(net, 2, x, use_reentrant=False)
    y.sum().backward()
    return y, x.grad


@program
def graph_walk(T):
    x, w = leaf(T, 1.0, 2.0), leaf(T, 3.0, 4.0)
    y = (x * w).sin().sum()
    names, node = [], y.grad_fn
    while node is not None and node.next_functions:
        names.append(type(node).__name__)
        node = node.next_functions[0][0]
    return names, node.variable is x


@program
def node_hooks(T):
    x = leaf(T, 1.0, 2.0)
    y = x * 2
    seen = []
    handle = y.grad_fn.register_prehook(lambda gs: seen.append(gs[0].clone()))
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return seen, x.grad


@program
def tensor_hooks(T):
    x = leaf(T, 1.0, 2.0)
    y = x * 3
    first = y.register_hook(lambda g: g * 2)
    y.register_hook(lambda g: g + 1)
    y.sum().backward(retain_graph=True)
    first.remove()
    y.sum().backward()
    return x.grad


@program
def hooks_on_accumulation(T):
    x = leaf(T, 1.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.item()))
    for _ in range(3):
        (x * 2).sum().backward()
    return seen


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
def gradient_options(T):
    x, y, z = leaf(T, 1.0, 2.0), leaf(T, 3.0, 4.0), leaf(T, 5.0)
    out = x * y
    grads = T.autograd.grad(out, (x, z), T.ones_like(out), retain_graph=True, allow_unused=True)
    zeros = T.autograd.grad(out, (x, z), T.ones_like(out), retain_graph=True,
                            materialize_grads=True)
    T.autograd.backward([out, out * 2], [T.ones_like(out)] * 2, inputs=[y])
    return grads, zeros, x.grad, y.grad


@program
def anomaly(T):
    with T.autograd.detect_anomaly(), T.autograd.set_detect_anomaly(True):
        x = leaf(T, -1.0)
        x.sqrt().sum().backward()


@program
def checks_pass(T):
    x, w = leaf(T, 0.3, -0.7), leaf(T, 1.1, 0.4)
    f = lambda a, b: (a * b).tanh().cumsum(0)  # noqa: E731
    return T.autograd.gradcheck(f, (x, w)), T.autograd.gradgradcheck(f, (x, w))


@program
def check_fails(T):
    class Wrong(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g

    return T.autograd.gradcheck(Wrong.apply, (leaf(T, 2.0),), raise_exception=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", PROGRAMS, ids=lambda f: f.__name__)
def test_program(case):
    check_program(case)


def test_check_names_what_is_wrong():
    class Wrong(rushlight.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(rushlight.autograd.GradcheckError) as caught:
        rushlight.autograd.gradcheck(Wrong.apply, (leaf(rushlight, 2.0),))
    assert "numerical" in str(caught.value) and "analytical" in str(caught.value)


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


def test_picture(tmp_path):
    """The graph as DOT text: tensors and operations as nodes."""
    x = rushlight.ones(2, 3, requires_grad=True)
    y = rushlight.nn.Linear(3, 1)(x).relu().sum()
    text = rushlight.autograd.graph.dot(y)
    assert text.startswith("digraph")
    for part in ("Relu", "Sum", "Addmm", "2x3", "1x3"):
        assert part in text, text
    path = tmp_path / "graph.png"
    rushlight.autograd.graph.draw(y, str(path))
    assert path.read_bytes()[:4] == b"\x89PNG"
