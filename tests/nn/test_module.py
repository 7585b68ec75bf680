"""`Module`: registration, traversal, hooks, state, casts, printing and its errors."""

import copy
import pickle

import pytest
from programs import fill, same, same_error, values


def model(T):
    class Own(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = T.nn.ModuleList([T.nn.Linear(2, 2), T.nn.Linear(2, 2)])
            self.table = T.nn.ModuleDict({"a": T.nn.ReLU(), "b": T.nn.Linear(2, 1)})
            self.scale = T.nn.Parameter(T.ones(2))
            self.register_buffer("seen", T.zeros(1))
            self.register_buffer("hidden", T.zeros(1), persistent=False)
            self.register_parameter("nothing", None)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return self.table["b"](self.table["a"](x * self.scale))

        def extra_repr(self):
            return "first line\nsecond line"

    return fill(T, Own())


PROGRAMS = {
    "repr": lambda T: repr(model(T)),
    "state_dict": lambda T: dict(model(T).state_dict()),
    "metadata": lambda T: [[k, v] for k, v in model(T).state_dict()._metadata.items()],
    "prefix": lambda T: list(model(T).state_dict(prefix="p.")),
    "named_parameters": lambda T: [n for n, _ in model(T).named_parameters(prefix="q")],
    "named_modules": lambda T: [n for n, _ in model(T).named_modules()],
    "named_buffers": lambda T: [n for n, _ in model(T).named_buffers()],
    "named_children": lambda T: [n for n, _ in model(T).named_children()],
    "no_recursion": lambda T: [n for n, _ in model(T).named_parameters(recurse=False)],
    "call": lambda T: model(T)(values(T, 3, 2)),
    "get": lambda T: [
        model(T).get_submodule("layers.0").weight,
        model(T).get_parameter("table.b.weight"),
        model(T).get_buffer("seen"),
    ],
    "eval": lambda T: [m.training for m in model(T).eval().modules()],
    "double": lambda T: model(T).double().layers[0].weight,
    "to_dtype": lambda T: model(T).to(T.float64).seen,
    "half": lambda T: [str(t.dtype) for t in model(T).half().state_dict().values()],
    "dtype_argument": lambda T: str(T.nn.Linear(2, 2, dtype=T.float64).weight.dtype),
    "deepcopy": lambda T: dict(copy.deepcopy(model(T)).state_dict()),
    "shared": lambda T: shared(T),
    "apply": lambda T: model(T).apply(
        lambda m: T.nn.init.constant_(m.weight, 0.5) if isinstance(m, T.nn.Linear) else None
    )(values(T, 1, 2)),
    "setattr_none": lambda T: set_none(T),
    "delete": lambda T: delete(T),
    "replace_by_parameter": lambda T: replaced(T),
    "buffer_class": lambda T: buffer_class(T),
    "typed_call": lambda T: model(T).type(T.float64).scale,
}


def shared(T):
    layer = T.nn.Linear(2, 2)
    m = T.nn.Sequential(layer, layer)
    twice = m.named_parameters(remove_duplicate=False)
    return [len(list(m.parameters())), list(m.state_dict()), [n for n, _ in twice]]


def set_none(T):
    m = T.nn.Linear(1, 1)
    m.bias = None
    return [list(m.state_dict()), repr(m)]


def delete(T):
    m = model(T)
    del m.scale, m.seen
    m.layers = T.nn.ModuleList()
    m.table["b"] = T.nn.Identity()
    return list(m.state_dict())


def replaced(T):
    m = T.nn.Module()
    m.a = T.nn.Linear(1, 1)
    m.a = T.nn.Parameter(T.ones(1))
    m.b = 3
    m.b = T.nn.Parameter(T.ones(1))
    return [list(m.state_dict()), "b" in m.__dict__]


def buffer_class(T):
    m = T.nn.Module()
    m.b = T.nn.Buffer(T.ones(2))
    m.c = T.nn.Buffer(T.ones(2), persistent=False)
    m.b = T.zeros(2)
    return [list(m.state_dict()), [n for n, _ in m.named_buffers()], m.b]


@pytest.mark.parametrize("name", PROGRAMS)
def test_interface(name):
    same(PROGRAMS[name])


def hooks(T):
    m, seen = T.nn.Linear(2, 2), []
    fill(T, m)
    handles = [
        m.register_forward_pre_hook(lambda mod, args: (args[0] * 2,)),
        m.register_forward_hook(lambda mod, args, out: out + 1),
        m.register_forward_hook(lambda mod, args, kwargs, out: out * 2, with_kwargs=True),
        m.register_forward_hook(lambda mod, args, out: out * 3, prepend=True),
        m.register_full_backward_pre_hook(lambda mod, go: (go[0] * 2,)),
        m.register_full_backward_hook(lambda mod, gi, go: seen.append([go[0], gi[0]])),
        m.register_full_backward_hook(lambda mod, gi, go: (gi[0] * 10,)),
    ]
    x = T.ones(1, 2, requires_grad=True)
    y = m(x)
    y.sum().backward()
    first = [y, x.grad, m.weight.grad, seen]
    for handle in handles:
        handle.remove()
    return [first, m(x)]


def hook_without_input_gradient(T):
    m, seen = fill(T, T.nn.Linear(2, 2)), []
    m.register_full_backward_hook(lambda mod, gi, go: seen.append([gi[0] is None, go[0]]))
    m(T.ones(1, 2)).sum().backward()
    return seen


def hook_always(T):
    class Bad(T.nn.Module):
        def forward(self, x):
            raise ValueError("bad")

    m, seen = Bad(), []
    m.register_forward_hook(lambda mod, args, out: seen.append(out is None), always_call=True)
    m.register_forward_hook(lambda mod, args, out: seen.append("not this"))
    try:
        m(T.ones(1))
    except ValueError:
        seen.append("raised")
    return seen


def global_hook(T):
    seen = []
    register = T.nn.modules.module.register_module_forward_hook
    handle = register(lambda mod, args, out: seen.append(type(mod).__name__))
    T.nn.Sequential(T.nn.ReLU(), T.nn.Tanh())(T.ones(1))
    handle.remove()
    T.nn.ReLU()(T.ones(1))
    return seen


def pre_hook_kwargs(T):
    class Scale(T.nn.Module):
        def forward(self, x, factor=1):
            return x * factor

    m = Scale()
    m.register_forward_pre_hook(
        lambda mod, args, kwargs: (args, {"factor": 5}), with_kwargs=True
    )
    return m(T.ones(2))


def state_hooks(T):
    m, seen = T.nn.Linear(1, 1), []
    m.register_state_dict_pre_hook(lambda mod, prefix, keep: seen.append([prefix, keep]))
    m.register_state_dict_post_hook(lambda mod, sd, p, md: sd.__setitem__("more", T.ones(1)))
    m.register_load_state_dict_pre_hook(lambda mod, sd, p, *rest: sd.pop("more", None) and None)
    m.register_load_state_dict_post_hook(lambda mod, keys: seen.append(len(keys.missing_keys)))
    state = m.state_dict()
    return [list(state), str(m.load_state_dict(state)), seen]


@pytest.mark.parametrize(
    "program",
    [hooks, hook_without_input_gradient, hook_always, global_hook, pre_hook_kwargs, state_hooks],
)
def test_hooks(program):
    same(program)


def loading(T):
    m = model(T)
    state = m.state_dict()
    state["extra"] = T.ones(1)
    del state["layers.0.bias"]
    return [list(x) for x in m.load_state_dict(state, strict=False)]


def assigning(T):
    m = T.nn.Linear(2, 2)
    w = T.nn.Parameter(T.ones(2, 2))
    m.load_state_dict({"weight": w, "bias": T.zeros(2)}, assign=True)
    return [m.weight is w, m.weight, isinstance(m.bias, T.nn.Parameter), m.bias.requires_grad]


def extra_state(T):
    class Extra(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.kept = 1

        def get_extra_state(self):
            return {"kept": self.kept}

        def set_extra_state(self, state):
            self.kept = state["kept"] + 1

    m = T.nn.Sequential(Extra())
    keys = list(m.state_dict())
    m.load_state_dict(m.state_dict())
    return [keys, m[0].kept]


@pytest.mark.parametrize("program", [loading, assigning, extra_state])
def test_state(program):
    same(program)


def freeze(T):
    m = fill(T, T.nn.Sequential(T.nn.Linear(2, 2), T.nn.Tanh(), T.nn.Linear(2, 1)))
    m[0].requires_grad_(False)
    m(T.ones(2, 2)).sum().backward()
    first = [p.grad is None for p in m.parameters()]
    m.zero_grad(set_to_none=False)
    second = m[2].weight.grad.clone()
    m.zero_grad()
    return [first, second, [p.grad is None for p in m.parameters()]]


def test_freeze():
    same(freeze)


def module_with(T, name, value):
    m = T.nn.Module()
    setattr(m, name, value)
    return m


def without_init(T, make):
    class Bad(T.nn.Module):
        def __init__(self):
            self.a = make(T)

    Bad()


LINEAR = {
    "attribute": lambda T, m: m.nothing,
    "delete": lambda T, m: delattr(m, "nothing"),
    "wrong_parameter": lambda T, m: setattr(m, "weight", 3),
    "tensor_for_parameter": lambda T, m: setattr(m, "weight", T.ones(1)),
    "parameter_name": lambda T, m: m.register_parameter("a.b", None),
    "parameter_taken": lambda T, m: m.register_parameter("forward", None),
    "parameter_number": lambda T, m: m.register_parameter(3, None),
    "buffer_type": lambda T, m: m.register_buffer("c", 3),
    "buffer_taken": lambda T, m: m.register_buffer("weight", T.ones(1)),
    "buffer_empty": lambda T, m: m.register_buffer("", None),
    "module_type": lambda T, m: m.add_module("b", 3),
    "module_dot": lambda T, m: m.add_module("a.b", m),
    "submodule": lambda T, m: m.get_submodule("x.y"),
    "not_submodule": lambda T, m: m.get_submodule("weight"),
    "no_parameter": lambda T, m: m.get_parameter("x"),
    "not_buffer": lambda T, m: m.get_buffer("weight"),
    "to_int": lambda T, m: m.to(T.int32),
    "train": lambda T, m: m.train(3),
    "missing": lambda T, m: m.load_state_dict({}),
    "shapes": lambda T, m: m.load_state_dict({"weight": T.ones(3, 3), "x": 1}),
    "not_dict": lambda T, m: m.load_state_dict(3),
    "not_tensor": lambda T, m: m.load_state_dict({"weight": 3, "bias": T.ones(2)}),
    "argument": lambda T, m: T.nn.Module(3),
    "keyword": lambda T, m: T.nn.Module(a=3),
    "no_forward": lambda T, m: T.nn.Module()(1),
    "child": lambda T, m: setattr(T.nn.Sequential(m), "0", 3),
    "module_before_init": lambda T, m: without_init(T, lambda T: T.nn.Linear(1, 1)),
    "parameter_before_init": lambda T, m: without_init(T, lambda T: T.nn.Parameter(T.ones(1))),
}


@pytest.mark.parametrize("name", LINEAR)
def test_errors(name):
    same_error(lambda T: LINEAR[name](T, T.nn.Linear(2, 2)))


def test_pickle():
    import rushlight as T

    m = fill(T, T.nn.Sequential(T.nn.Linear(2, 3), T.nn.BatchNorm1d(3), T.nn.ReLU()))
    m.register_forward_hook(print_nothing)
    again = pickle.loads(pickle.dumps(m))
    x = values(T, 4, 2)
    assert T.equal(again.eval()(x), m.eval()(x))
    assert len(again[0]._forward_hooks) == 0 and len(again._forward_hooks) == 1


def print_nothing(module, args, output):
    """A hook that can be pickled."""


def test_names_match_their_files():
    from importlib import import_module

    from rushlight.nn import modules

    for family, names in modules.FAMILIES.items():
        found = import_module(f"rushlight.nn.modules.{family}").__all__
        assert sorted(found) == sorted(names.split())


def test_torch_reads_our_state_and_we_read_torchs():
    import torch

    import rushlight

    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    ours = rushlight.nn.Sequential(rushlight.nn.Linear(3, 4), rushlight.nn.BatchNorm1d(4))
    state = {k: rushlight.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    assert str(ours.load_state_dict(state)) == "<All keys matched successfully>"
    back = {k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    assert str(theirs.load_state_dict(back)) == "<All keys matched successfully>"
