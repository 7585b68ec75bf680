"""Native recorders and the Python ones record the same: the same edges, values, errors."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import rushlight as torch
from rushlight.compile import threads
from rushlight.runtime import recorder
from rushlight.runtime.objects import name_objects
from rushlight.trace import hot, overrides, trie
from rushlight.trace.segments import flush


@pytest.fixture(autouse=True)
def native():
    """Native code is there (it is loaded when the first program is compiled)."""
    threads.runtime()
    if hot.NATIVE[0] is None:
        pytest.skip("this Python lays out its objects in another way")
    if overrides.ACTIVE[0]:
        pytest.skip("an earlier test has defined an overriding class: recorders stay in Python")
    flush()
    yield
    flush()


def twice(program):
    """Values of the first run, which makes the edges, and of a second, which must find them all."""
    first = program()
    flush()
    made = trie.Stats.misses
    second = program()
    flush()
    misses = trie.Stats.misses - made
    for again in (second, program()):
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    return first, misses


def test_operators_are_native_methods():
    x = torch.ones(3)
    x * x, x - x, x @ x, x <= x  # noqa: B018
    for name in ("__mul__", "__sub__", "__matmul__", "__le__"):
        assert type(torch.Tensor.__dict__[name]).__name__ == "method_descriptor"


def test_known_edges_are_found():
    """Operands of all kinds: tensors, parameters, numbers, attributes, none; the second run makes no node."""
    weight = torch.nn.Parameter(torch.randn(4, 3))
    x = torch.randn(5, 3)
    flush()

    def program():
        y = torch.nn.functional.linear(x, weight)
        y = torch.relu(y) * 2.5 + 1
        y = y - y.mean(dim=1, keepdim=True)
        z = y.reshape(2, 10).transpose(0, 1).softmax(dim=-1)
        values, where = z.max(dim=1)
        return torch.sin(z), values, where, y ** 2, 3 / (y + 10), y.view(y.shape), torch.where(y > 0, y, z.sum())

    first, misses = twice(program)
    assert misses == 0
    theirs = (x.numpy() @ weight.detach().numpy().T).clip(0) * 2.5 + 1
    theirs = theirs - theirs.mean(1, keepdims=True)
    np.testing.assert_allclose(first[5].detach().numpy(), theirs, atol=1e-6)


def test_another_path_is_another_edge():
    """Attributes that differ by value, and numbers of another type, lead to other nodes."""
    x = torch.arange(12.0).reshape(3, 4)
    for _ in range(3):
        for dim in (0, 1, (0, 1), -1):
            y = x * 1.0
            np.testing.assert_array_equal(torch.sum(y, dim).numpy(), x.numpy().sum(dim))
        for number in (2, 2.0, True):
            flush()
            y = x.long() * 1
            assert (y * number).dtype == (torch.float32 if number.__class__ is float else torch.int64)


def test_numbers_are_not_part_of_the_edge():
    x = torch.ones(3)
    for k in range(5):
        np.testing.assert_array_equal((x * (k + 0.5) - k).numpy(), np.full(3, 0.5, np.float32))


@pytest.mark.parametrize("wrong", ["a", None, [1.0], object()])
def test_what_is_no_operand(wrong):
    x = torch.ones(3)
    y = x * 1.0
    with pytest.raises(TypeError):
        y * wrong
    with pytest.raises(TypeError):
        torch.mul(y, wrong)
    with pytest.raises(RuntimeError, match="size"):
        y * torch.ones(4)
    with pytest.raises(TypeError):
        torch.relu(y, y, y)
    assert y.tolist() == [1, 1, 1]


def test_what_is_outside_enters():
    """Leaves of every kind, from native code: the second run makes no node, and all have their values."""
    weight = torch.nn.Parameter(torch.randn(4, 3))
    made = torch.randn(3, 4)
    seen = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    with torch.inference_mode():
        inference = torch.ones(3, 4) * 2
    grown = (weight * 2).T
    row = made[1]
    flush()

    def program():
        given = torch.from_numpy(seen)
        a = torch.matmul(made, weight) + torch.matmul(given, weight) + torch.matmul(grown, weight)
        flush()  # all of them are outside again
        with torch.no_grad():
            b = made * inference + given * made.detach()
        flush()
        return a, b, row * made, made - made, a * a

    (a, b, c, zero, square), misses = twice(program)
    assert misses == 0
    m, w = made.numpy(), weight.detach().numpy()
    np.testing.assert_allclose(a.detach().numpy(), m @ w + seen @ w + 2 * w.T @ w, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(b.numpy(), m * 2 + seen * m, rtol=1e-6)
    np.testing.assert_allclose(c.numpy(), m[1] * m, rtol=1e-6)
    assert not zero.numpy().any()
    square.sum().backward(retain_graph=True)
    assert weight.grad is not None


def test_memory_that_numpy_sees_is_copied_once():
    """What the caller writes after a call is not read by it; also where the edge is new, and where another one ends the segment."""
    memory = np.ones((2, 2), np.float32)
    x = torch.from_numpy(memory)
    for k in range(6):
        memory[...] = k
        y = torch.matmul(x, x) if k % 2 else torch.sin(x)
        memory[...] = -1
        expected = np.full((2, 2), 2.0 * k * k if k % 2 else np.sin(k), np.float32)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)


def test_a_write_between_is_seen():
    """A leaf whose memory was rewritten, itself or through a view, enters with its new value."""
    base = torch.zeros(4)
    part = base[1:3]
    for k in range(5):
        base.add_(1.0)
        part.mul_(2.0)
        a, b = (base * 1.0).tolist(), (part + 0.0).tolist()
        assert a[1:3] == b and a[0] == k + 1
    assert b == [62.0, 62.0]


def test_a_forked_child_enters_on_its_own():
    import subprocess
    import sys

    program = """
import os
import rushlight as torch
from rushlight.compile import threads
threads.runtime()
w = torch.ones(3, 3, requires_grad=True)
x = torch.ones(2, 3)
for _ in range(3): torch.matmul(x, w).sum().item()
pending = torch.matmul(x, w)
child = os.fork()
value = (torch.matmul(x, w) * (1.0 if child else 2.0)).sum().item()
if not child:
    os._exit(0 if value == 36 else 1)
assert value == 18 and pending.sum().item() == 18
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


def test_threads_keep_apart():
    """A tensor that is pending in one thread is executed there, not recorded from another."""
    shared = torch.ones(8) * 3.0
    results = {}

    def work(k):
        y = shared * float(k)
        for _ in range(200):
            y = y * 1.0 + 0.0
        results[k] = y.sum().item()

    for _ in range(3):
        workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        assert results == {k: 24.0 * k for k in range(4)}
        shared = shared * 1.0  # pending here again


def test_a_thread_that_has_ended_owns_nothing():
    """Its identity may come back with the next thread."""
    left = []

    def work():
        with torch.no_grad():
            left.append(torch.ones(2, requires_grad=True) * 2.0)

    for _ in range(3):
        t = threading.Thread(target=work)
        t.start()
        t.join()
    assert left[0]._tr is None or left[0]._tr.thread == 0

    def go_on():
        x = torch.ones(2, requires_grad=True)
        y = left[-1] * x
        assert y.requires_grad
        y.sum().backward()
        left.append(x.grad)

    t = threading.Thread(target=go_on)
    t.start()
    t.join()
    assert left[-1].tolist() == [2, 2]


def test_no_handle_is_lost_or_kept():
    x = torch.randn(4)

    def chain():
        y = x
        for _ in range(50):
            y = torch.tanh(y * 0.5) + x
        return y

    for _ in range(5):
        chain().sum().item()
    gc.collect()
    before = sum(isinstance(o, torch.Tensor) for o in gc.get_objects())
    for _ in range(20):
        chain().sum().item()
    gc.collect()
    assert sum(isinstance(o, torch.Tensor) for o in gc.get_objects()) <= before + 2


def test_subclasses_take_over_in_a_process_of_their_own():
    """A class with __torch_function__ that is defined later sees every call."""
    import subprocess
    import sys

    program = """
import rushlight as torch
from rushlight.compile import threads
threads.runtime()
x = torch.ones(2)
for _ in range(3): (x * x + torch.relu(x)).sum().item()
assert type(torch.Tensor.__dict__["__mul__"]).__name__ == "method_descriptor"
seen = []
class Logged(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        seen.append(function.__name__)
        return super().__torch_function__(function, types, args, kwargs or {})
y = x.as_subclass(Logged)
y * x, x * y, torch.relu(y), x * x
assert [n.strip("_") for n in seen].count("mul") == 2 and "relu" in seen, seen
with torch.autocast("cpu"):
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_autocast_after_native_code():
    import subprocess
    import sys

    program = """
import rushlight as torch
from rushlight.compile import threads
threads.runtime()
a = torch.ones(2, 2)
for _ in range(3): (a @ a).sum().item(), torch.nn.functional.linear(a, a).sum().item()
with torch.autocast("cpu"):
    b = a * 1.0
    assert (b @ b).dtype == torch.bfloat16 and torch.nn.functional.linear(b, b).dtype == torch.bfloat16
assert (a @ a).dtype == torch.float32
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def entered_in_python(monkeypatch):
    """A list that grows with each tensor that `segments.enter` itself brings in."""
    from rushlight.trace import segments

    seen = []

    def enter(tr, t, real=False):
        seen.append(t)
        return before(tr, t, real)

    before = segments.enter
    monkeypatch.setattr(segments, "enter", enter)
    table = hot.NATIVE[0].made._code["objects"]
    name_objects(table, recorder._FIELDS, {"enter": enter})
    return seen, lambda: name_objects(table, recorder._FIELDS, {"enter": before})


def test_leaves_that_are_no_first_edges(monkeypatch):
    """Several kinds of segments begin at the root: each one's leaf is found among its edges."""
    xs = [torch.randn(k + 2) for k in range(4)]
    for _ in range(3):
        made = [(x * 2.0).sum().item() for x in xs]
    flush()
    seen, back = entered_in_python(monkeypatch)
    try:
        assert [(x * 2.0).sum().item() for x in xs] == made
        assert not seen
    finally:
        back()


def test_leaves_with_history(monkeypatch):
    """Values of executed segments, with a storage or without one, bring their history along."""
    w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)

    def step():
        w.grad = None
        y = w * w
        part = y[1:]
        y.sum().item(), part.sum().item()
        z = y * 3.0
        z.sum().item()
        (z.sum() + (part * w[1:]).sum()).backward()
        return w.grad.tolist()

    wanted = [6.0, 12.0 + 12.0, 18.0 + 27.0]
    for _ in range(4):
        assert step() == wanted
    seen, back = entered_in_python(monkeypatch)
    try:
        assert step() == wanted
        assert not [t for t in seen if t._s.rg and t._base is None]
    finally:
        back()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y = w * w
        y.sum().item()
        z = (y * y).sum()
        z.item()
        y.detach().add_(1.0)
        z.backward()


def test_views_of_one_memory():
    """Two views that enter one segment are one memory there: what is written to one is read through the other."""
    x = torch.zeros(6)

    def step(at):
        a, b = x[at:at + 2], x[at + 1:at + 3]
        a.sum().item()
        c = b * 1.0
        a.add_(1.0)
        return (b + c).tolist()

    assert [step(0) for _ in range(4)] == [[1.0, 0.0], [3.0, 0.0], [5.0, 0.0], [7.0, 0.0]]
    assert step(3) == [1.0, 0.0] and x.tolist() == [4.0, 4.0, 0.0, 1.0, 1.0, 0.0]


def test_a_destructor_while_a_leaf_is_entered():
    """What is recorded by a destructor, which a collection runs at any allocation, is not lost, nor what it interrupts."""
    w = torch.ones(3, requires_grad=True)
    ys = [w * float(k) for k in range(200)]
    for y in ys:
        y.sum().item()
    made = []

    class Records:
        def __init__(self):
            self.itself = self

        def __del__(self):
            made.append((torch.ones(3) * 5.0).sum().item())

    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        total = None
        for y in ys:
            Records()
            z = y * 2.0
            total = z if total is None else total + z
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert len(made) == 200 and set(made) == {15.0}
    assert total.tolist() == [2.0 * sum(range(200))] * 3
    total.sum().backward()
    assert w.grad.tolist() == [2.0 * sum(range(200))] * 3


def test_a_destructor_that_ends_the_segment_between_two_operands():
    """Both have history, so that bringing them in allocates, and a collection may read a value then."""
    p, q = torch.ones(4, requires_grad=True), torch.zeros(4)

    def fresh():
        a, b = p * 2.0, p * 5.0
        b.sum().item()
        return a, b

    for _ in range(6):  # squares are known as well
        a, b = fresh()
        (a * a).sum().item()
        a, b = fresh()
        (a * b).sum().item()
    armed = [False]

    class Reads:
        def __init__(self):
            self.itself = self

        def __del__(self):
            if armed[0]:
                Reads()
                (q + 1.0).sum().item()

    thresholds = gc.get_threshold()
    try:
        for k in range(60):
            a, b = fresh()
            gc.collect()
            gc.disable()
            armed[0] = True
            Reads()
            gc.set_threshold(1 + k % 5)
            gc.enable()
            made = a * b
            armed[0] = False
            gc.set_threshold(*thresholds)
            assert made.sum().item() == 40.0
    finally:
        armed[0] = False
        gc.set_threshold(*thresholds)
        gc.enable()
        gc.collect()
