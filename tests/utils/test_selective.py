"""Selective checkpoints: PyTorch's gradients and questions; what is kept is not computed again."""

from __future__ import annotations

from functools import partial
from importlib import import_module

import numpy as np
import pytest
from oracle import check_program

import rushlight
from rushlight.utils import checkpoint as ours

VIEWS = ("aten.t.default", "aten.detach.default", "aten._unsafe_view.default", "aten.view.default",
         "aten.expand.default", "aten.transpose.int")


def parts(T):
    """The module, a layer and an input."""
    T.manual_seed(0)
    layer = T.nn.Linear(4, 4)
    return import_module(T.__name__ + ".utils.checkpoint"), layer, T.arange(12.0).reshape(3, 4) / 12


def f(T, layer, x):
    y = T.nn.functional.gelu(layer(x)) @ layer.weight
    y = T.softmax(y.sin() * 2 + y**2, -1)
    return y.sum(0).mean() + y.max() + y.max(1).values.sum()


def with_policy(T):
    """Which operators the policy is asked about, apart from views; and the gradients."""
    c, layer, x = parts(T)
    x.requires_grad_()
    asked = []

    def policy(ctx, op, *args, **kwargs):
        asked.append((str(op), ctx.is_recompute, type(ctx.op_output).__name__ == "Tensor"))
        save = op in (T.ops.aten.mm.default, T.ops.aten.addmm.default, T.ops.aten.max.dim)
        return c.CheckpointPolicy.MUST_SAVE if save else c.CheckpointPolicy.PREFER_RECOMPUTE

    for _ in range(3):
        c.checkpoint(partial(f, T, layer), x, use_reentrant=False,
                     context_fn=partial(c.create_selective_checkpoint_contexts, policy)).backward()
    return [a for a in asked if a[0] not in VIEWS], x.grad, layer.weight.grad, layer.bias.grad


def with_list(T):
    c, layer, x = parts(T)
    ops = [T.ops.aten.mm.default, T.ops.aten.gelu.default, T.ops.aten._softmax.default]
    c.checkpoint(partial(f, T, layer), x, use_reentrant=False,
                 context_fn=partial(c.create_selective_checkpoint_contexts, ops)).backward()
    return layer.weight.grad, layer.bias.grad


def backward_twice(T):
    c, layer, x = parts(T)
    y = c.checkpoint(lambda x: layer(x).sin().cos(), x, use_reentrant=False,
                     context_fn=partial(c.create_selective_checkpoint_contexts, [T.ops.aten.addmm.default])).sum()
    y.backward(retain_graph=True)
    y.backward()


def kept_value_is_written(T):
    c, layer, x = parts(T)

    def g(x):
        made.append(layer(x))
        return made[0].exp()

    made = []
    y = c.checkpoint(g, x, use_reentrant=False,
                     context_fn=partial(c.create_selective_checkpoint_contexts, [T.ops.aten.addmm.default]))
    with T.no_grad():
        made[0].zero_()
    y.sum().backward()


def no_overload(T):
    parts(T)[0].create_selective_checkpoint_contexts([T.ops.aten.mm])


def no_policy(T):
    parts(T)[0].create_selective_checkpoint_contexts(3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", [with_policy, with_list, backward_twice, kept_value_is_written,
                                     no_overload, no_policy])
def test_program(program):
    check_program(program, strides=False)


def test_second_derivatives():
    """(PyTorch refuses them: it would take what is kept a second time.)"""
    kept = partial(ours.create_selective_checkpoint_contexts, [rushlight.ops.aten.mm.default, rushlight.ops.aten.sin.default])
    made = []
    for contexts in (ours.noop_context_fn, kept):
        w = rushlight.linspace(-1, 1, 9, dtype=rushlight.float64).reshape(3, 3).requires_grad_()
        y = ours.checkpoint(lambda w: ((w @ w).sin() @ w).cos().sum(), w, use_reentrant=False, context_fn=contexts)
        first, = rushlight.autograd.grad(y, w, create_graph=True)
        first.square().sum().backward()
        made.append([first.detach().numpy(), w.grad.numpy()])
    np.testing.assert_allclose(*made, rtol=1e-12)


def test_another_function_in_the_recomputation():
    """PyTorch's words for it are others, as is its time: here the operators are counted one by one."""
    turns = [lambda x: x.exp(), lambda x: x.exp().exp()]
    x = rushlight.ones(2, requires_grad=True)
    y = ours.checkpoint(lambda x: turns.pop(0)(x), x, use_reentrant=False, context_fn=partial(
        ours.create_selective_checkpoint_contexts, [rushlight.ops.aten.exp.default]))
    with pytest.raises(RuntimeError, match="exp.*number 1 .*had 1"):
        y.sum().backward()


def test_what_is_kept_is_not_computed_again(monkeypatch):
    """A step's products: two forward, three of gradients, and two of the recomputation unless they are kept."""
    count, matmul = [0], np.matmul

    def counted(*args, **kwargs):
        count[0] += 1
        return matmul(*args, **kwargs)

    monkeypatch.setattr(np, "matmul", counted)
    w, x = rushlight.randn(7, 7, requires_grad=True), rushlight.randn(7, 7)

    def step(contexts):
        count[0] = 0
        ours.checkpoint(lambda x: ((x @ w).sin() @ w).cos(), x, use_reentrant=False, context_fn=contexts).sum().backward()
        w.grad.sum().item()
        w.grad = None
        return count[0]

    kept = partial(ours.create_selective_checkpoint_contexts, [rushlight.ops.aten.mm.default])
    assert [step(ours.noop_context_fn) for _ in range(3)] == [7] * 3
    assert [step(kept) for _ in range(3)][1:] == [5] * 2
