"""Memory that NumPy sees too: new numbers at each run of the same program, read wherever a program can read them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

import rushlight
from rushlight.compile import background
from rushlight.trace import trie

CASES, SEEN = {}, []


def case(f):
    CASES[f.__name__] = f
    return f


def shared(T, n, *numbers):
    """A tensor over an array that somebody else holds."""
    SEEN.append(np.array([n + 1.0, n + 2.0] if not numbers else numbers, np.float32))
    return T.from_numpy(SEEN[-1])


def leaf(T):
    return T.tensor([1.0, 2.0], requires_grad=True)


@case
def gradient_of_the_output(T, n):
    x = leaf(T)
    (x * 2).backward(shared(T, n))
    return x.grad


@case
def gradient_of_an_output_that_was_read(T, n):
    x = leaf(T)
    y = x * x
    y.sum().item()
    return T.autograd.grad(y, x, shared(T, n))[0]


@case
def saved_and_then_the_loss_is_read(T, n):
    x = leaf(T)
    loss = (shared(T, n) * x).pow(2).mean()
    loss.item()
    loss.backward()
    return x.grad


@case
def a_saved_view(T, n):
    x = leaf(T)
    y = shared(T, n)[None] * x
    y.sum().item()
    (y * 0.5).sum().backward()
    return x.grad


@case
def saved_in_the_same_segment(T, n):
    x = leaf(T)
    (shared(T, n) * x * 0.5).sum().backward()
    return x.grad


@case
def indices(T, n):
    SEEN.append(np.array([n % 2, n % 2]))
    x = leaf(T)
    y = x[T.from_numpy(SEEN[-1])] * 3
    y.sum().item()
    y.sum().backward()
    return x.grad


@case
def a_parameter(T, n):
    x = shared(T, n).requires_grad_()
    SEEN[-1] += 1
    (x * x).sum().backward()
    first, x.grad = x.grad, None
    SEEN[-1] += 1
    loss = (x * x).sum()
    loss.item()
    loss.backward()
    return first, x.grad


@case
def second_derivative(T, n):
    x, c = leaf(T), shared(T, n)
    y = (x * x * c).sum()
    y.item()
    g, = T.autograd.grad(y, x, create_graph=True)
    g.sum().item()
    (g * g).sum().backward()
    return x.grad


@case
def function_transforms(T, n):
    c = shared(T, n)
    return (T.func.grad(lambda x: (x * x * c).sum())(T.ones(2)), T.func.vmap(lambda x: x * c)(T.ones(2, 2)),
            T.func.jvp(lambda x: x * c, (T.ones(2),), (c,))[1],
            T.autograd.functional.hessian(lambda x: (x**3 * c).sum(), T.ones(2)))


@case
def a_hook(T, n):
    x, c = leaf(T), shared(T, n)
    x.register_hook(lambda g: g * c)
    (x * 2).sum().backward()
    return x.grad


@case
def a_checkpoint(T, n):
    x, c = leaf(T), shared(T, n)
    checkpoint = importlib.import_module(T.__name__ + ".utils.checkpoint").checkpoint
    y = checkpoint(lambda v: (v * c).sin(), x, use_reentrant=False)
    y.sum().item()
    y.sum().backward()
    return x.grad


@case
def clipped_gradients(T, n):
    x = T.nn.Parameter(T.ones(2))
    x.grad = shared(T, n)
    return T.nn.utils.clip_grad_norm_([x], 1.0), x.grad


@case
def running_statistics(T, n):
    m = T.nn.BatchNorm1d(2)
    m.running_mean, m.running_var = shared(T, n), shared(T, n)
    m(T.tensor([[1.0, 5.0], [3.0, 7.0]]))
    return m.running_mean, T.from_numpy(SEEN[-1]), T.from_numpy(SEEN[-2])


@case
def an_optimizers_state(T, n):
    p = T.nn.Parameter(T.ones(2))
    optimizer = T.optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = T.ones(2)
    optimizer.step()
    optimizer.state[p]["momentum_buffer"] = shared(T, n)
    optimizer.step()
    return p, T.from_numpy(SEEN[-1])


def optimizer(name):
    def f(T, n):
        p = T.nn.Parameter(T.ones(2))
        o = getattr(T.optim, name)([p], lr=0.1)
        for i in range(2):
            p.grad = shared(T, n + i)
            o.step()
        return p

    f.__name__ = f"gradients_for_{name}"
    case(f)


for name in ("SGD", "Adam", "Adagrad", "RMSprop", "Rprop", "NAdam"):
    optimizer(name)


@pytest.mark.parametrize("mode", ["never", "now"])
@pytest.mark.parametrize("name", list(CASES))
def test_new_numbers_are_read(name, mode, monkeypatch):
    monkeypatch.setattr(background, "MODE", mode)
    trie.forget()
    for n in range(6):
        found, wanted = CASES[name](rushlight, n), CASES[name](torch, n)
        for a, b in zip(*[x if isinstance(x, tuple) else (x,) for x in (found, wanted)], strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-5, err_msg=f"run {n}")
    trie.forget()
