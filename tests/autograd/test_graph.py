"""The computation graph: walked, hooked, printed and drawn; against PyTorch."""

from __future__ import annotations

import gc

import pytest
from oracle import check_program

import rushlight
from rushlight.autograd import graph
from rushlight.trace import flush

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def leaves(T):
    return [T.tensor(v, dtype=T.float64, requires_grad=True)
            for v in ([1.0, 2.0, 3.0], [0.5, -1.0, 2.0])]


def names(node):
    """The graph below a node as nested lists of names."""
    return [node.name(), [names(n) for n, _ in node.next_functions if n is not None]]


@program
def nested_names(T):
    x, w = leaves(T)
    y = ((x * w).tanh() + x / 2).sum()
    return names(y.grad_fn)


@program
def numbers_and_constants_have_no_node(T):
    x, w = leaves(T)
    made = []
    for y in (x * 2, x**2, x + w.detach(), T.where(x > 1, x, 0.0), x.clamp(0, 1)):
        made.append([None if n is None else n.name() for n, _ in y.grad_fn.next_functions])
    return made


@program
def nodes_of_leaves(T):
    x, w = leaves(T)
    following = T.stack([x, w]).grad_fn.next_functions
    return [n.variable is t for (n, _), t in zip(following, (x, w))], x.grad_fn


@program
def nodes_are_the_same(T):
    x, w = leaves(T)
    y = x * w
    z = y + 1
    first = y.grad_fn
    z.sum().item()
    return first is y.grad_fn, z.grad_fn.next_functions[0][0] is first


@program
def output_numbers(T):
    x, w = leaves(T)
    values, index = (x * w).sort()
    return values.output_nr, values.grad_fn.name(), index.grad_fn, (values * 2).grad_fn.next_functions[0][1]


@program
def in_place_operations_show_as_themselves(T):
    x, w = leaves(T)
    made = []
    y = x.clone()
    for change in (lambda: y.mul_(w), lambda: y.relu_(), lambda: y.add_(1), lambda: y.copy_(w * 2)):
        change()
        made.append(names(y.grad_fn))
    y.zero_()
    return made, y.grad_fn.name()


@program
def assignment(T):
    x, w = leaves(T)
    y = x * 2
    y[0] = w[1]
    return names(y.grad_fn)


@program
def overloads(T):
    x, w = leaves(T)
    made = [x.sum(), x.sum(0), x.mean(), x.mean(0), x**2, x**w, 2**x, x.clamp(0, 1), x.clamp(w), x.log1p(),
            x.max(0)[0], x[:2], x[0], x[[0]], x.view(3, 1), x.to(T.float32), x.norm()]
    return [y.grad_fn.name() for y in made]


@program
def custom_functions(T):
    class Twice(T.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.factor = 2
            ctx.save_for_backward(a)
            return a * 2, b * 2

        @staticmethod
        def backward(ctx, g, h):
            return g * 2, h * 2

    x, w = leaves(T)
    a, b = Twice.apply(x, w)
    fn = b.grad_fn
    return (fn.name(), fn is a.grad_fn, b.output_nr, fn.factor, fn.saved_tensors[0] is x,
            fn.needs_input_grad, (a + b).grad_fn.next_functions[1][1])


# ---------------------------------------------------------------- hooks


@program
def hook_on_a_node(T):
    x, w = leaves(T)
    seen = []
    y = x * w
    handle = y.grad_fn.register_hook(lambda inputs, outputs: seen.append((inputs, outputs)))
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return seen, x.grad


@program
def hook_on_a_node_changes_gradients(T):
    x, w = leaves(T)
    y = x * w
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 2, inputs[1]))
    y.grad_fn.register_prehook(lambda outputs: (outputs[0] * 10,))
    y.sum().backward()
    return x.grad, w.grad


@program
def hook_after_the_segment_ended(T):
    x, w = leaves(T)
    seen = []
    y = x * w
    fn = y.grad_fn
    y.sum().item()
    fn.register_prehook(lambda outputs: seen.append(outputs[0].clone()))
    (y * 3).sum().backward()
    return seen


@program
def hook_on_accumulation(T):
    x, w = leaves(T)
    seen = []
    accumulate = (x * w).grad_fn.next_functions[0][0]
    accumulate.register_hook(lambda inputs, outputs: seen.append(x.grad.clone()))
    accumulate.register_prehook(lambda outputs: (outputs[0] * 2,))
    (x * w).sum().backward()
    return seen, x.grad


@program
def tensor_hook_returns_a_number(T):
    x, _ = leaves(T)
    x.register_hook(lambda g: 1)
    x.sum().backward()


@program
def tensor_hook_returns_another_dtype(T):
    x, _ = leaves(T)
    (x * 2).register_hook(lambda g: g)
    y = x * 2
    y.register_hook(lambda g: g.float())
    y.sum().backward()


@program
def tensor_hook_returns_another_shape(T):
    x, _ = leaves(T)
    x.register_hook(lambda g: g[:2])
    x.sum().backward()


@program
def tensor_hook_fails_then_is_removed(T):
    def fail(g):
        raise ValueError("no")

    x, _ = leaves(T)
    y = x * 2
    handle = y.register_hook(fail)
    z = y.sum()
    try:
        z.backward(retain_graph=True)
    except ValueError:
        handle.remove()
    z.backward()
    return x.grad


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    check_program(PROGRAMS[name], strides=False)


# ---------------------------------------------------------------- pictures


def test_walk():
    x, w = leaves(rushlight)
    y = (x * w).sin().sum()
    found = list(graph.walk(y))
    assert [n.name() for n, _ in found][:3] == ["SumBackward0", "SinBackward0", "MulBackward0"]
    assert len(found) == 5 and list(graph.walk(x)) == []


def test_dot_names_tensors_and_operations():
    net = rushlight.nn.Sequential(rushlight.nn.Linear(3, 2), rushlight.nn.ReLU())
    y = net(rushlight.ones(4, 3)).sum()
    text = graph.dot(y, dict(net.named_parameters()))
    for part in ("digraph", "Relu", "Addmm", "0.weight\\n2x3", "0.bias\\n2", "output\\nscalar"):
        assert part in text, text
    assert text.count("->") == 5


@pytest.mark.parametrize("kind, head", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("dot", b"digraph")])
def test_draw(tmp_path, kind, head):
    x, w = leaves(rushlight)
    path = tmp_path / f"graph.{kind}"
    assert graph.draw(((x * w) + x).sum(), str(path), {"x": x, "w": w}) == str(path)
    assert path.read_bytes().startswith(head)


def test_nodes_keep_no_cycles():
    """Dropping the last name of a tensor frees its memory at once, also when its node was looked at."""
    gc.collect()
    gc.disable()
    try:
        import weakref

        x = rushlight.ones(3, requires_grad=True)
        y = (x * 2).exp()
        assert y.grad_fn.next_functions[0][0].name() == "MulBackward0"
        y.grad_fn.register_hook(lambda inputs, outputs: None)
        flush()
        array = weakref.ref(y._buf)
        del y
        flush()
        assert array() is None
    finally:
        gc.enable()
