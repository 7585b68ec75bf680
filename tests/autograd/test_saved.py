"""Hooks on saved tensors, gradient edges and hooks on several gradients; against PyTorch."""

from __future__ import annotations

from importlib import import_module

import pytest
from oracle import check_program

import rushlight

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def leaves(T):
    return [T.tensor(v, dtype=T.float64, requires_grad=True)
            for v in ([1.0, 2.0, 3.0], [0.5, -1.0, 2.0])]


def same(t):
    return t


def copied(t):
    return t.detach().clone()


def hooks(T, pack=copied, unpack=same):
    return T.autograd.graph.saved_tensors_hooks(pack, unpack)


@program
def each_saved_value_is_packed_once(T):
    x, w = leaves(T)
    log = []
    with hooks(T, lambda t: (log.append(tuple(t.shape)), t.detach())[1]):
        y = (x * x).exp().sum() + x.softmax(0).log().sum() + (x / 2 + 2 * x).tanh().mul(w).sum()
    y.backward()
    return log, x.grad, w.grad


@program
def second_order_goes_through_what_was_unpacked(T):
    x, w = leaves(T)
    with hooks(T):
        y = ((x * w).exp() + (w @ x) ** 2 + T.where(x > 1, x * w, x**3)).sum()
    first = T.autograd.grad(y, [x, w], create_graph=True)
    return first, T.autograd.grad(first[0].sum() + (first[1] ** 2).sum(), [x, w])


@program
def what_is_unpacked_is_what_counts(T):
    x, w = leaves(T)
    with hooks(T, same, lambda t: t * 2):
        y = (x * w).sum() + x.exp().sum()
    y.backward()
    return x.grad, w.grad


@program
def several_inputs_and_outputs(T):
    x, w = leaves(T)
    with hooks(T):
        z = T.cat([x, w]).cumsum(0).sort()[0]
        z.mul_(T.stack([x, w]).prod(0).sum())
        y = z.std() + T.einsum("i,i->", x, w) + (2**x).sum()
    y.backward()
    return x.grad, w.grad


@program
def names_stay(T):
    x, w = leaves(T)
    with hooks(T):
        return [y.grad_fn.name() for y in (x * w, x.exp(), x**2, x**w, T.clamp(x, 0, 1), x.sum() * 2)]


@program
def custom_functions(T):
    class Times(T.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            y = a * b
            ctx.save_for_backward(a, y, b)
            return y

        @staticmethod
        def backward(ctx, g):
            a, y, b = ctx.saved_tensors
            return g * b + 0 * y, g * a

    x, w = leaves(T)
    log = []
    with hooks(T, lambda t: (log.append(t.detach()), t)[1], lambda t: t * 2):
        y = Times.apply(x * 1, w)
    first = T.autograd.grad(y.sum(), [x, w], create_graph=True)
    return log, first, T.autograd.grad(first[0].sum() + (first[1] ** 2).sum(), [x, w])


@program
def layers(T):
    T.manual_seed(0)
    net = T.nn.Sequential(T.nn.Conv2d(2, 3, 3), T.nn.GroupNorm(1, 3), T.nn.ReLU(), T.nn.Flatten(), T.nn.Linear(12, 4))
    lstm = T.nn.LSTM(4, 3)
    with hooks(T):
        y, _ = lstm(net(T.randn(2, 2, 4, 4)))
        loss = T.nn.functional.cross_entropy(y, T.tensor([0, 2]))
    loss.backward()
    return [p.grad for m in (net, lstm) for p in m.parameters()]


@program
def hooks_may_be_forbidden(T):
    said = []
    with T.autograd.graph.disable_saved_tensors_hooks("not here"):
        try:
            with hooks(T):
                pass
        except RuntimeError as e:
            said.append(str(e))
    with hooks(T):
        return said


@program
def written_after_saving(T):
    x, _ = leaves(T)
    with T.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.clone()
        z = (y**2).sum()
        y.mul_(2)
        z = z + y.exp().sum()
        y.zero_()
        z.backward()
    return x.grad


@program
def checkpoints_inside(T):
    x, w = leaves(T)
    with hooks(T):
        y = import_module(T.__name__ + ".utils.checkpoint").checkpoint(
            lambda a: (a * w).exp().sin(), x * 2, use_reentrant=False)
    y.sum().backward()
    return x.grad, w.grad


@program
def hooks_on_several_gradients(T):
    x, w = leaves(T)
    seen, register = [], T.autograd.graph.register_multi_grad_hook
    y = x * w
    all_of_them = register([x, w, y], seen.append)
    register([x, w], lambda g: seen.append(g.sum()), mode="any")
    (y * y).sum().backward()
    (x * 2).sum().backward()
    all_of_them.remove()
    T.autograd.grad((x * w).sum(), [x, w])
    return len(seen), [s for s in seen if isinstance(s, list)]


@program
def edges_stand_for_tensors(T):
    x, w = leaves(T)
    edge = T.autograd.graph.get_gradient_edge
    y = x * w
    z = y.exp()
    return [
        T.autograd.grad(z.sum(), edge(y), retain_graph=True), T.autograd.grad(edge(z), [x], T.ones(3, dtype=T.float64)),
        edge(y).output_nr, edge(y).node.name(), edge(x).node.name(),
    ]


@program
def versions(T):
    x = T.ones(2, requires_grad=True)
    y = x * 1
    z = (y * y).sum()
    T.autograd.graph.increment_version(y)
    try:
        z.backward()
    except RuntimeError:
        return y._version
    return None


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_pytorch(name):
    check_program(PROGRAMS[name])


def test_packed_values_are_all_that_stays():
    """A pack hook that keeps nothing leaves no value behind."""
    import gc
    import weakref

    x = rushlight.ones(1000, requires_grad=True)
    with rushlight.autograd.graph.saved_tensors_hooks(lambda t: None, lambda _: rushlight.ones(1000)):
        y = (x * 2).exp()
        z = y.sum()
    array = weakref.ref(y.detach().numpy())
    del y
    rushlight.ones(1).sum().item()
    gc.collect()
    assert array() is None
    z.backward()
    assert x.grad.sum().item() == 2000.0


def test_hooks_are_the_thread_s_own():
    import threading

    x = rushlight.ones(3, requires_grad=True)
    packed = []
    with rushlight.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        other = threading.Thread(target=lambda: (x * 2).exp().sum().backward())
        other.start()
        other.join()
        assert not packed and x.grad is not None
        x.exp()
    assert packed
