"""`backward` and `autograd.grad`: every argument, higher orders, errors; against PyTorch."""

from __future__ import annotations

import pytest
from oracle import check_program

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def leaves(T):
    return [T.tensor(v, dtype=T.float64, requires_grad=True)
            for v in ([1.0, 2.0, 3.0], [0.5, -1.0, 2.0])]


def ones(T, n=3):
    return T.ones(n, dtype=T.float64)


# ---------------------------------------------------------------- backward


@program
def no_cotangent_for_a_vector(T):
    leaves(T)[0].mul(2).backward()


@program
def cotangents(T):
    x, w = leaves(T)
    (x * w).backward(ones(T) * 2)
    (x * w).sum().backward(gradient=T.tensor(3.0, dtype=T.float64))
    return x.grad, w.grad


@program
def cotangent_of_another_shape(T):
    x, w = leaves(T)
    (x * w).backward(ones(T, 2))


@program
def cotangent_that_is_no_tensor(T):
    leaves(T)[0].sum().backward(2.0)


@program
def graph_is_kept(T):
    x, w = leaves(T)
    y = (x * w).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@program
def graph_was_freed(T):
    x, w = leaves(T)
    y = (x * w).sum()
    y.backward()
    y.backward()


@program
def numbers_are_not_freed(T):
    x, w = leaves(T)
    y = T.lerp(x, w, 0.3)
    y.sum().backward()
    y.sum().backward()
    return x.grad, w.grad


@program
def numbers_that_become_tensors_are_freed(T):
    y = (leaves(T)[0] * 0.3).sum()
    y.backward()
    y.backward()


@program
def graph_of_gradients(T):
    x, _ = leaves(T)
    (x**3).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    first.sum().backward()
    return first.detach(), x.grad, first.requires_grad


@program
def some_inputs(T):
    x, w = leaves(T)
    h = x * 2
    (h * w).sum().backward(inputs=[h, w])
    return h.grad, x.grad, w.grad


@program
def inputs_as_a_dict(T):
    x, w = leaves(T)
    T.autograd.backward((x * w).sum(), inputs={"w": w})
    return x.grad, w.grad, T.autograd.grad((x * w).sum(), {"x": x})


@program
def no_inputs(T):
    leaves(T)[0].sum().backward(inputs=[])


@program
def several_roots(T):
    x, w = leaves(T)
    T.autograd.backward([x * 2, w * 3], [ones(T), ones(T) * 2])
    T.autograd.backward((x * w).sum(), grad_variables=T.tensor(2.0, dtype=T.float64))
    T.autograd.backward([])
    return x.grad, w.grad


@program
def root_without_history(T):
    T.autograd.backward([leaves(T)[0].sum(), T.ones(1)])


@program
def leaf_as_root(T):
    x, _ = leaves(T)
    x.backward(ones(T))
    return x.grad, x.grad is not None


@program
def kept_gradient_of_a_result(T):
    x, w = leaves(T)
    y = x * w
    y.retain_grad()
    y.register_hook(lambda g: g * 3)  # hooks come first, whenever they were registered
    y.sum().backward()
    y.grad.add_(1)  # it is memory of its own
    return y.grad, y.retains_grad, x.grad


@program
def gradient_is_replaced_in_place(T):
    x, _ = leaves(T)
    x.sum().backward()
    first = x.grad
    x.sum().backward()
    return first is x.grad, first


@pytest.mark.parametrize("value", [
    lambda T, x: T.ones(3), lambda T, x: ones(T, 2), lambda T, x: 1, lambda T, x: x,
], ids=["dtype", "shape", "number", "itself"])
def test_refused_gradient(value):
    def refused(T):
        x, _ = leaves(T)
        x.grad = value(T, x)

    check_program(refused)


# ---------------------------------------------------------------- grad


@program
def one_and_several(T):
    x, w = leaves(T)
    h = x * 2
    y = (h * w).sum()
    return (T.autograd.grad(y, x, retain_graph=True), T.autograd.grad(y, [h, w, h], retain_graph=True),
            T.autograd.grad([x * w, x * 2], (x,), [ones(T)] * 2), x.grad)


@program
def old_positions(T):
    x, w = leaves(T)  # only_inputs comes before allow_unused
    return T.autograd.grad((x * 2).sum(), (x, w), None, False, False, True, True)


@program
def unused(T):
    x, w = leaves(T)
    T.autograd.grad(x.sum(), w)


@program
def unused_as_zeros(T):
    x, w = leaves(T)
    return T.autograd.grad((x * x).sum(), [x, w], materialize_grads=True)


@program
def unused_as_zeros_but_refused(T):
    x, w = leaves(T)
    T.autograd.grad(x.sum(), [x, w], materialize_grads=True, allow_unused=False)


@program
def nothing_asked(T):
    T.autograd.grad(leaves(T)[0].sum(), [])


@program
def input_without_gradient(T):
    T.autograd.grad(leaves(T)[0].sum(), T.ones(3))


@program
def many_cotangents(T):
    x, w = leaves(T)
    eye = T.eye(3, dtype=T.float64)
    return T.autograd.grad(x * w, [x, w], eye, is_grads_batched=True)


@program
def third_order(T):
    x, _ = leaves(T)
    y, orders = (x**4).sum(), []
    for _ in range(3):
        (g,) = T.autograd.grad(y, x, create_graph=True)
        orders.append(g.detach())
        y = g.sum()
    y.backward()
    return orders, x.grad


@program
def a_rule_that_reads_a_leaf_made_in_this_segment(T):
    """`prod` looks for zeros, which ends the segment in the middle of its own differentiation."""
    x = (T.tensor([[1.0, 2.0, 4.0]]) * 1).requires_grad_()
    (g,) = T.autograd.grad(x.prod(-1).sum(), x, create_graph=True)
    (g * g).sum().backward()
    return x.grad


@program
def of_a_gradient_that_keeps_no_graph(T):
    x, _ = leaves(T)
    (g,) = T.autograd.grad((x**3).sum(), x)
    T.autograd.grad(g.sum(), x)


@program
def complex_root(T):
    x, w = leaves(T)
    T.complex(x, w).sum().backward()


@program
def complex_parts(T):
    x, w = leaves(T)
    T.complex(x, w).abs().sum().backward()
    return x.grad, w.grad


@program
def loss_that_is_read_in_between(T):
    x, w = leaves(T)
    made = []
    for step in range(4):
        h = (x * w).tanh()
        made.append(h.sum().item())
        (h * (step + 1)).sum().backward()
        made.append(x.grad.clone())
    return made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    check_program(PROGRAMS[name], strides=False)


def test_gradients_that_are_passed_on_have_their_values(monkeypatch):
    """Sums hand their gradient on as it came; a segment may end before anybody uses it."""
    import rushlight
    from rushlight.trace import engine, trie

    replay, seen = engine._replay, []

    def watched(*given):
        made = replay(*given)
        seen.extend(g._buf is not None for pairs in made for _, g in pairs if g._s.op is trie.LEAF)
        return made

    monkeypatch.setattr(engine, "_replay", watched)
    for _ in range(3):
        x = rushlight.tensor(2.0, requires_grad=True)
        y = x * 3
        for _ in range(3):
            y.item()
            y = y + x.detach()
        assert rushlight.autograd.grad(y, x, rushlight.tensor(1.5))[0].item() == 4.5
    assert seen and all(seen)
