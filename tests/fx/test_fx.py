"""torch.fx: graphs, code and what runs from them, against PyTorch on the same modules."""

from __future__ import annotations

import copy
import operator
import pickle
from importlib import import_module

import pytest
import torch
from oracle import assert_same

import rushlight
from rushlight.fx import Graph, GraphModule, symbolic_trace

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def fx(T):
    return import_module(T.__name__ + ".fx")


def net(T):
    class Net(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = T.nn.Linear(4, 4)
            self.scale = T.nn.Parameter(T.full((4,), 2.0))
            self.register_buffer("shift", T.arange(4.0))
            self.rest = T.nn.Sequential(T.nn.Linear(4, 4), T.nn.ReLU(), T.nn.Sequential(T.nn.Linear(4, 2)))
            self.eval()

        def forward(self, x, y=None, *, k=2.0):
            a, b = T.chunk(x, 2, dim=-1)
            z = T.cat([b, a], -1)
            z = T.sigmoid(self.first(z)) * self.scale + self.shift
            z = z[:, 1:].transpose(0, 1)
            shape = z.shape
            z = -z * 2 / k + T.tensor([1.0])
            z += shape[0]
            return {"z": z, "rest": [self.rest(x).sum(), shape]}

    T.manual_seed(0)
    return Net()


def text(graph_or_code):
    return str(graph_or_code).replace("rushlight", "torch")


@program
def a_module(T):
    m = net(T)
    traced = fx(T).symbolic_trace(m)
    x = T.linspace(-1, 1, 12).reshape(3, 4)
    got, wanted = traced(x), m(x)
    got["rest"][1], wanted["rest"][1] = list(got["rest"][1]), list(wanted["rest"][1])
    assert_equal(T, got, wanted)
    traced.graph.lint()
    return text(traced.graph), text(traced.code), [n for n, _ in traced.named_parameters()], got, text(traced)


def assert_equal(T, a, b):
    if isinstance(a, T.Tensor):
        assert bool((a == b).all())
    elif isinstance(a, dict):
        [assert_equal(T, a[k], b[k]) for k in a]
    elif isinstance(a, (list, tuple)):
        [assert_equal(T, x, y) for x, y in zip(a, b, strict=True)]


@program
def functions(T):
    def f(x, n=3, *args, **kw):
        y = T.exp(x) + n
        return y.clamp(min=0.0), abs(y) // 2, 2**y, y @ y, y[0, ..., None], y.T, (y > 1) & ~(y < 2)

    g = fx(T).symbolic_trace(f)
    return text(g.graph), text(g.code)


@program
def methods_and_operators_by_value(T):
    def f(x, y):
        z = x.add(y).mul_(2)
        z = x.reshape(-1).unsqueeze(0).expand(3, -1)
        return z.mean(dim=0, keepdim=True) - 1, z.size(), z.dtype

    g = fx(T).symbolic_trace(f)
    return text(g.code), [n.op for n in g.graph.nodes]


@program
def edited(T):
    g = fx(T).symbolic_trace(lambda x, w: (x + w).tanh() * 3)
    before = text(g.code)
    for n in g.graph.nodes:
        if n.target is operator.add:
            with g.graph.inserting_after(n):
                new = g.graph.call_function(T.mul, (n.args[0], n.args[1]))
                n.replace_all_uses_with(new)
            g.graph.erase_node(n)
    g.graph.lint()
    g.recompile()
    return before, text(g.code), text(g.graph), g(T.tensor([1.0, 2.0]), T.tensor([0.5, 0.25]))


@program
def built_by_hand(T):
    graph = fx(T).Graph()
    x = graph.placeholder("x")
    w = graph.get_attr("inner.weight")
    y = graph.call_function(T.matmul, (x, w))
    z = graph.call_method("relu", (y,))
    dead = graph.call_function(T.neg, (z,))
    out = graph.output((z, [y, 1.5], {"k": slice(0, z)}))
    names = [n.name for n in graph.nodes]
    users = [list(map(str, n.users)) for n in graph.nodes]
    assert graph.eliminate_dead_code() and dead not in list(graph.nodes)
    return names, users, [str(n) for n in out.all_input_nodes], text(graph), len(graph.nodes), text(graph.python_code("self").src)


@program
def names_are_unique_and_legal(T):
    graph = fx(T).Graph()
    for name in ("x", "x", "x_1", "sum", "3d", "a.b", "class", "x_7", "x"):
        graph.create_node("placeholder", name)
    return [n.name for n in graph.nodes]


@program
def interpreted(T):
    m = net(T)
    g = fx(T).symbolic_trace(m)
    seen = []

    class Seen(fx(T).Interpreter):
        def run_node(self, n):
            seen.append(n.name)
            return super().run_node(n)

    x = T.linspace(-1, 1, 12).reshape(3, 4)
    return Seen(g).run(x)["z"], seen


@program
def transformed(T):
    class Swap(fx(T).Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(T.sin if target is T.cos else target, args, kwargs)

        def call_method(self, target, args, kwargs):
            return super().call_method("cos" if target == "sin" else target, args, kwargs)

    g = fx(T).symbolic_trace(lambda x: T.cos(x) + x.sin() + x)
    made = Swap(g).transform()
    return text(made.code), made(T.tensor([0.5]))


@program
def patterns_replaced(T):
    def f(x, w):
        a = T.cat([x, w]).sum()
        b = T.cat([w, x]).sum()
        return a + b

    g = fx(T).symbolic_trace(f)
    found = fx(T).replace_pattern(g, lambda a, b: T.cat([a, b]).sum(), lambda a, b: T.stack([a, b]).mean())
    g.graph.lint()
    return len(found), text(g.code), g(T.tensor([1.0]), T.tensor([2.0]))


@program
def shapes_found(T):
    prop = import_module(T.__name__ + ".fx.passes.shape_prop").ShapeProp
    g = fx(T).symbolic_trace(net(T).rest)
    prop(g).propagate(T.zeros(5, 4))
    return [(n.name, tuple(n.meta["tensor_meta"].shape), n.meta["tensor_meta"].stride) for n in g.graph.nodes]


@program
def what_cannot_be_traced(T):
    said = []
    for f in (lambda x: x if x.sum() > 0 else 1, lambda x: [i for i in x], lambda x: len(x)):
        try:
            fx(T).symbolic_trace(f)
        except Exception as e:
            said.append(type(e).__name__)
    return said


@program
def leaves_as_a_tracer_says(T):
    class Shallow(fx(T).Tracer):
        def is_leaf_module(self, m, qualified_name):
            return True

    m = net(T)
    graph = Shallow().trace(m)
    made = fx(T).GraphModule(m, graph)
    return text(graph), sorted(made.state_dict()), type(made).__name__, isinstance(made, T.nn.Module)


@program
def layers(T):
    T.manual_seed(0)
    m = T.nn.Sequential(T.nn.Conv2d(3, 4, 3, padding=1), T.nn.BatchNorm2d(4), T.nn.ReLU(), T.nn.MaxPool2d(2), T.nn.Flatten(),
                        T.nn.Linear(16, 5), T.nn.LayerNorm(5), T.nn.Softmax(-1))
    g = fx(T).symbolic_trace(m)
    x = T.linspace(-1, 1, 96).reshape(2, 3, 4, 4)
    y = g(x)
    y.square().sum().backward()
    return text(g.code), y.detach(), [p.grad for p in g.parameters()][:2]


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_pytorch(name):
    ours, theirs = PROGRAMS[name](rushlight), PROGRAMS[name](torch)
    assert_same(ours, theirs, name, 1e-5, 1e-6, False)


WRAPPED_LOG = []


def noted(x, times):
    WRAPPED_LOG.append(times)
    return x * times


rushlight.fx.wrap("noted")


def test_wrapped_functions_stay_whole():
    g = symbolic_trace(lambda x: noted(x, 3) + 1)
    assert not WRAPPED_LOG
    assert [n.target for n in g.graph.find_nodes(op="call_function")] == [noted, operator.add]
    assert 'torch.fx._symbolic_trace.wrap("' in g.code
    assert g(rushlight.ones(1)).item() == 4.0 and WRAPPED_LOG == [3]


def annotated(x: rushlight.Tensor, n: int = 2) -> rushlight.Tensor:
    return x * n


def test_annotations_are_kept():
    code = symbolic_trace(annotated).code
    assert "def forward(self, x : torch.Tensor, n : int = 2) -> torch.Tensor:" in code


def test_pickled_and_copied():
    g = symbolic_trace(net(rushlight))
    x = rushlight.linspace(-1, 1, 12).reshape(3, 4)
    for other in (pickle.loads(pickle.dumps(g)), copy.deepcopy(g), copy.copy(g)):
        assert isinstance(other, GraphModule) and type(other).__name__ == "Net"
        assert other.code == g.code and other is not g
        assert bool((other(x)["z"] == g(x)["z"]).all())
    other.graph.output_node().args = (1,)
    other.recompile()
    assert other(x) == 1 and g(x) != 1


def test_trained_as_its_module():
    m = net(rushlight)
    g = symbolic_trace(m)
    x = rushlight.linspace(-1, 1, 12).reshape(3, 4)
    for module in (m, g):
        module.zero_grad()
        module(x)["z"].sum().backward()
        m.kept = [p.grad for p in module.parameters() if p.grad is not None] if module is m else m.kept
    assert all(bool((a == b.grad).all()) for a, b in zip(m.kept, [p for p in g.parameters() if p.grad is not None], strict=True))


def test_concrete_arguments_are_no_inputs():
    def f(x, double=False):
        return x * 2 if double else x

    g = symbolic_trace(f, concrete_args={"double": True})
    assert g(rushlight.ones(1)).item() == 2.0


def test_modules_of_a_dict():
    graph = Graph()
    graph.output(graph.call_module("a.b", (graph.placeholder("x"),)))
    g = GraphModule({"a.b": rushlight.nn.ReLU()}, graph, "Made")
    assert g(rushlight.tensor([-1.0])).item() == 0.0 and repr(g).startswith("Made(")
    assert g.delete_submodule("a.b") and not g.delete_submodule("a.b")
    with pytest.raises(RuntimeError, match="nonexistent"):
        graph.lint()


def test_errors_in_a_graph():
    graph = Graph()
    x = graph.placeholder("x")
    y = graph.call_function(rushlight.neg, (x,))
    graph.output(y)
    with pytest.raises(RuntimeError, match="still had 1 users"):
        graph.erase_node(y)
    x.prepend(y)
    with pytest.raises(RuntimeError, match="used before"):
        graph.lint()


def test_nothing_is_left_patched():
    call = rushlight.nn.Module.__call__
    with pytest.raises(ValueError):
        symbolic_trace(lambda x: 1 if x else 2)
    assert rushlight.nn.Module.__call__ is call
    import math

    assert math.sqrt(4) == 2 and not hasattr(math.sqrt, "__wrapped__")


def test_an_assertion_is_a_part_of_the_graph():
    def checked(x):
        rushlight._assert(x.shape[0] == 2, "two rows are expected")
        return x + 1

    g = symbolic_trace(checked)
    assert g(rushlight.ones(2)).tolist() == [2.0, 2.0] and "_assert" in g.code
    with pytest.raises(AssertionError, match="two rows"):
        g(rushlight.ones(3))
