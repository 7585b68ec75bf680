"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from collections import OrderedDict

import pytest
from programs import fill, same, same_error, values


def sequential(T):
    m = fill(T, T.nn.Sequential(T.nn.Linear(2, 3), T.nn.Tanh()))
    m.append(T.nn.ReLU())
    m.insert(1, T.nn.Identity())
    m.extend(T.nn.Sequential(T.nn.Sigmoid()))
    named = T.nn.Sequential(OrderedDict([("a", T.nn.Linear(1, 1)), ("b", T.nn.ReLU())]))
    popped = m.pop(-1)
    del m[1]
    return [
        len(m), repr(m), repr(m[0:2]), repr(named), type(m[-1]).__name__, type(popped).__name__,
        repr(m + named), repr(named * 2), [n for n, _ in m.named_children()], m(values(T, 2, 2)),
        type(named.b).__name__, "0" in dir(m),
    ]  # fmt: skip


def module_list(T):
    m = T.nn.ModuleList([T.nn.ReLU()])
    m.extend([T.nn.Tanh(), T.nn.Sigmoid()])
    m.insert(1, T.nn.Identity())
    m[0] = T.nn.GELU()
    m += [T.nn.ReLU(), T.nn.ReLU()]
    same_layers = T.nn.ModuleList([T.nn.Linear(1, 1) for _ in range(3)])
    last = m.pop(-1)
    return [repr(m), len(m), repr(m[1:3]), repr(same_layers), repr(m + [last]), repr(last)]


def module_dict(T):
    m = T.nn.ModuleDict({"a": T.nn.ReLU(), "b": T.nn.Tanh()})
    m["c"] = T.nn.Linear(1, 1)
    m.update([("d", T.nn.ELU())])
    popped = m.pop("a")
    del m["b"]
    return [repr(m), list(m), len(m), "c" in m, list(m.keys()), repr(popped), list(m.state_dict())]


def parameter_list(T):
    p = T.nn.ParameterList([T.nn.Parameter(T.ones(1)), T.zeros(2), "text"])
    p.append(T.ones(2, 2))
    p += [T.nn.Parameter(T.ones(3))]
    p[0] = T.nn.Parameter(T.zeros(2))
    return [repr(p), len(p), p[-1], len(p[1:3]), [k for k, _ in p.named_parameters()], list(p)[1],
            [q.requires_grad for q in p if not isinstance(q, str)]]


def parameter_dict(T):
    d = T.nn.ParameterDict({"x": T.nn.Parameter(T.ones(1)), "n": 3})
    d["y"] = T.zeros(2)
    d.update({"z": T.ones(1)})
    other = d | T.nn.ParameterDict({"w": T.ones(1)})
    got = [d.get("no", 7), d.pop("n"), d.setdefault("v", T.ones(1))]
    return [
        repr(d), list(d), sorted(d.keys()), list(other), got, "x" in d, list(d.state_dict()),
        list(reversed(d)), list(d.copy()), d.popitem()[0], len(d), d["y"].requires_grad,
    ]  # fmt: skip


PROGRAMS = [sequential, module_list, module_dict, parameter_list, parameter_dict]


@pytest.mark.parametrize("program", PROGRAMS)
def test_containers(program):
    same(program)


ERRORS = {
    "index": lambda T: T.nn.ModuleList([T.nn.ReLU()])[3],
    "not_module": lambda T: T.nn.Sequential(3),
    "append": lambda T: T.nn.ModuleList().append(3),
    "key": lambda T: T.nn.ModuleDict()["a"],
    "update": lambda T: T.nn.ModuleDict().update(3),
    "pairs": lambda T: T.nn.ModuleDict([("a",)]),
    "call_list": lambda T: T.nn.ModuleList()(1),
    "times": lambda T: T.nn.Sequential() * 0,
    "call_parameters": lambda T: T.nn.ParameterList()(1),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(ERRORS[name], text=False)
