"""Activation checkpointing: the gradients, orders and random numbers of PyTorch, values recomputed."""

from __future__ import annotations

import tracemalloc
from importlib import import_module

import pytest
from oracle import check_program

import rushlight
from rushlight.trace import flush, trie

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def leaves(T):
    return [T.tensor(v, dtype=T.float64, requires_grad=True)
            for v in ([1.0, 2.0, 3.0], [0.5, -1.0, 2.0])]


def run(T, *args, **kwargs):
    return import_module(T.__name__ + ".utils.checkpoint").checkpoint(
        *args, use_reentrant=False, **kwargs)


@program
def called_again_in_backward(T):
    x, w = leaves(T)
    calls = []

    def f(a):
        calls.append(T.is_grad_enabled())
        return (a * w).sin()

    y = run(T, f, x)
    before = len(calls)
    y.sum().backward()
    return before, len(calls), x.grad, w.grad


@program
def gradients_that_are_asked_for(T):
    x, w = leaves(T)
    made = T.autograd.grad(run(T, lambda a: (a * w).exp(), x).sum(), [w, x])
    run(T, lambda a: (a * w).exp(), x).sum().backward(inputs=[x])
    return made, x.grad, w.grad


@program
def second_order(T):
    x, w = leaves(T)
    y = run(T, lambda a: (a**3 * w).sum(), x)
    first = T.autograd.grad(y, [x, w], create_graph=True)
    (first[0].sum() + (first[1] ** 2).sum()).backward()
    return [g.detach() for g in first], x.grad, w.grad


@program
def second_order_through_what_was_given(T):
    x, w = leaves(T)
    h = x * w  # w reaches the result through the argument and through the function
    y = run(T, lambda a: (a**2 * w).sum(), h)
    first = T.autograd.grad(y, [x, w], create_graph=True)
    sum(g.sum() for g in first).backward()
    return [g.detach() for g in first], x.grad, w.grad


@program
def result_from_outside_is_used(T):
    x, w = leaves(T)
    h = w.tanh()
    y = run(T, lambda a: a * h, x)
    (y.sum() + h.sum()).backward()
    return x.grad, w.grad


@program
def nested(T):
    x, w = leaves(T)

    def outer(a):
        return run(T, lambda b: (b * w).exp(), a * 2) * a

    run(T, outer, x).sum().backward()
    return x.grad, w.grad


@program
def containers(T):
    x, w = leaves(T)
    y = run(T, lambda a, b: {"sum": a + b, "list": [a * b, 3, None], "plain": b.detach()}, x, w)
    (y["sum"] * y["list"][0]).sum().backward()
    return x.grad, w.grad, y["list"][1:], y["plain"].requires_grad


@program
def tensors_in_containers(T):
    x, w = leaves(T)
    y = run(T, lambda d, k=None: d["a"] ** 2 * k, {"a": x * 2}, k=w)
    y.sum().backward()
    return x.grad, w.grad


@program
def nothing_to_differentiate(T):
    x, w = leaves(T)
    with T.no_grad():
        off = run(T, lambda a: a * w, x).requires_grad
    return run(T, lambda a: a * 2, x.detach()).requires_grad, off


@program
def only_parameters_need_gradients(T):
    x, w = leaves(T)
    run(T, lambda a: a * w, x.detach()).sum().backward()
    return w.grad


@program
def graph_is_kept(T):
    x, _ = leaves(T)
    y = run(T, lambda a: a.exp(), x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@program
def graph_was_freed(T):
    x, _ = leaves(T)
    y = run(T, lambda a: a.exp(), x).sum()
    y.backward()
    y.backward()


@program
def random_numbers(T):
    T.manual_seed(0)
    x = T.ones(50, requires_grad=True)
    y = run(T, lambda a: T.nn.functional.dropout(a), x)
    later = T.rand(2)
    y.sum().backward()
    return y, x.grad, later, T.rand(2)


@program
def contexts(T):
    x, _ = leaves(T)
    seen = []

    class Note:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            seen.append(self.name)

        def __exit__(self, *error):
            seen.append("end")

    run(T, lambda a: a.exp(), x, context_fn=lambda: (Note("first"), Note("again"))).sum().backward()
    return seen, x.grad


@program
def function_fails(T):
    def fail(a):
        raise ValueError("inside")

    run(T, fail, leaves(T)[0])


@program
def read_inside(T):
    x, w = leaves(T)
    run(T, lambda a: a * (a * w).sum().item(), x).sum().backward()
    return x.grad, w.grad


@program
def network(T):
    T.manual_seed(1)
    net = T.nn.Sequential(T.nn.Linear(3, 8), T.nn.Tanh(), T.nn.Dropout(0.3), T.nn.Linear(8, 2))
    optimizer = T.optim.SGD(net.parameters(), lr=0.1)
    x, losses = T.arange(12.0).reshape(4, 3) / 12, []
    for _ in range(4):
        optimizer.zero_grad()
        loss = run(T, net, x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, list(net.parameters())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    check_program(PROGRAMS[name], strides=False)


@pytest.mark.parametrize("eager", [False, True])
def test_values_are_not_kept(eager):
    """Between forward and backward, only inputs and outputs of the pieces are there."""
    def held(checkpointed):
        x = rushlight.ones(100_000, requires_grad=True)
        flush()
        before = tracemalloc.get_traced_memory()[0]
        y = x
        for _ in range(3):
            def piece(a):
                for _ in range(10):
                    a = a.tanh()
                return a

            y = run(rushlight, piece, y) if checkpointed else piece(y)
        y.sum().item()
        return (tracemalloc.get_traced_memory()[0] - before) / 400_000

    trie.set_eager(eager)
    tracemalloc.start()
    try:
        for _ in range(3):
            assert held(False) > 25
            assert held(True) < 8
    finally:
        tracemalloc.stop()
