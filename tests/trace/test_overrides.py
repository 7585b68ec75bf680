"""Tensor subclasses and `__torch_function__`, in a process of their own: they change every call.

(What a subclass switches on stays on for the process, so these programs run in children.)
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = {
    "subclass_keeps_its_class": """
class Image(T.Tensor):
    pass
x = T.ones(2, 3).as_subclass(Image)
y = x + 1
show(type(y).__name__, type(y.sum(0)).__name__, type(T.relu(x)).__name__, (x * 2).tolist())
show(type(x[0]).__name__, isinstance(x, T.Tensor), type(T.ones(1) + 1).__name__)
show([type(p).__name__ for p in x.split(1)])
""",
    "attributes_and_gradients": """
class Tagged(T.Tensor):
    @staticmethod
    def __new__(cls, data, tag=None):
        return T.Tensor._make_subclass(cls, data) if hasattr(T.Tensor, "_make_subclass") else \
            data.as_subclass(cls)
    def __init__(self, data, tag=None):
        self.tag = tag
w = T.ones(3, requires_grad=True)
t = Tagged(T.arange(3.), tag="a")
(t * w).sum().backward()
show(t.tag, w.grad.tolist(), type(t).__name__)
""",
    "logging": """
calls = []
class Logged(T.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        calls.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})
a = T.ones(2).as_subclass(Logged)
b = T.add(a, 2)
c = b.mul(3).sum()
d = T.nn.functional.relu(a)
e = a + 1 - b
show([n for n in calls if not n.startswith("__")], type(d).__name__, float(c))
""",
    "duck_type": """
class Lazy:
    def __init__(self, value): self.value = value
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        args = [a.value if isinstance(a, cls) else a for a in args]
        return cls(func(*args, **(kwargs or {})))
r = T.add(Lazy(T.ones(2)), T.ones(2))
s = T.mean(r)
show(type(r).__name__, s.value.item())
""",
    "refuses": """
class No:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return NotImplemented
try:
    T.add(No(), T.ones(1))
except TypeError as e:
    show("TypeError")
""",
    "mode": """
from %s.overrides import TorchFunctionMode
class Count(TorchFunctionMode):
    n = 0
    def __torch_function__(self, func, types, args=(), kwargs=None):
        Count.n += 1
        return func(*args, **(kwargs or {}))
x = T.ones(3)
with Count():
    T.add(x, x)
    T.mul(x, 2)
T.add(x, x)
show(Count.n)
""",
    "parameter_subclass": """
class Own(T.nn.Parameter):
    pass
class Net(T.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Own(T.ones(2))
    def forward(self, x):
        return (x * self.w).sum()
net = Net()
net(T.ones(2)).backward()
show([n for n, _ in net.named_parameters()], net.w.grad.tolist(), type(net.w).__name__)
""",
    "training_goes_on": """
class Plain(T.Tensor):
    pass
T.manual_seed(0)
net = T.nn.Linear(3, 2)
opt = T.optim.SGD(net.parameters(), lr=0.1)
for _ in range(4):
    opt.zero_grad()
    loss = net(T.ones(5, 3)).pow(2).mean()
    loss.backward()
    opt.step()
show(round(loss.item(), 6))
""",
    "class_of_everything": """
class S(T.Tensor):
    pass
x = T.ones(4).as_subclass(S)
found = (x.detach(), x.data, x.max(0)[0], x.clone(), x.split(2)[0], T.stack([x, x]), x.t(), -x, 1 + x,
         T.ones(4) + x, x == x, T.cat([x, T.ones(1)]), x.to(T.float64), T.zeros_like(x))
show([type(y).__name__ for y in found], repr(x), type(x.numpy()).__name__)
x += 1
x[0] = 9
show(type(x).__name__, x.tolist())
with T._C.DisableTorchFunctionSubclass():
    show(type(x + 1).__name__)
""",
    "parameter_subclass_is_plain": """
class P(T.nn.Parameter):
    pass
p, m = P(T.ones(2)), T.nn.Module()
m.p = p
show(type(m.p).__name__, len(list(m.parameters())), type(p + 1).__name__, isinstance(p, T.nn.Parameter))
show(repr(T.nn.Parameter(T.ones(1))))
""",
    "indexing_is_handed_over": """
calls = []
class S(T.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        calls.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs)
x = T.ones(2, 2).as_subclass(S)
calls.clear()
x[0], x.detach()
x[0] = 1.0
show(calls)
""",
    "operands_of_other_kinds": """
import numpy as np
class S(T.Tensor):
    pass
y = T.ones(1).as_subclass(S) + 1
x = T.ones(3)
show(x == None, x != None, (x * np.full(3, 2.0)).tolist(), T.from_dlpack(np.arange(3)).tolist())
try:
    x + object()
except TypeError:
    show("refused")
import torch
show(T.from_dlpack(torch.arange(3)).tolist())
""",
    "questions": """
from %s import overrides as o
class D:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return 7
def f(x):
    return o.handle_torch_function(f, (x,), x) if o.has_torch_function_unary(x) else 1
show(f(D()), f(T.ones(1)), o.has_torch_function_variadic(1, D()), o.is_tensor_like(D()))
""",
}
HEAD = """
import sys
import {0} as T
def show(*values): print(*values)
"""


def run(framework: str, body: str) -> str:
    body = body.replace("%s", framework)
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", HEAD.format(framework) + body], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": root}, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_program(name):
    assert run("rushlight", PROGRAMS[name]) == run("torch", PROGRAMS[name])
