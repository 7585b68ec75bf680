"""OutOfMemoryError: named and located in every tier; what was there before is intact."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rushlight as torch
from rushlight.trace import trie

HUGE = 10**15


def test_class_is_pytorchs():
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    assert torch.cuda.OutOfMemoryError is torch.OutOfMemoryError


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("make", [
    lambda: torch.empty(HUGE), lambda: torch.zeros(HUGE), lambda: torch.rand(HUGE),
    lambda: torch.Tensor(HUGE), lambda: torch.ones(1).expand(HUGE).clone(),
    lambda: torch.empty(2**61), lambda: torch.ones(10**4, 1).expand(10**4, 10**9) + 1,
])
def test_creation(make, eager):
    trie.set_eager(eager)
    before = torch.arange(5.0)
    with pytest.raises(torch.OutOfMemoryError):
        make()
    assert (before + 1).tolist() == [1, 2, 3, 4, 5]


def test_message_names_what_is_wanted_and_what_is_alive():
    held = torch.ones(1000, 300)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        held.reshape(-1, 1).expand(300_000, 10**9) * 2
    e = caught.value
    assert e.operation == "mul" and e.shape == (300_000, 10**9) and e.dtype == "float32"
    assert e.nbytes == 4 * 300_000 * 10**9
    told = str(e)
    assert "'mul' needs 1.07 PiB for its result float32[300000, 1000000000]" in told
    row = next(r for r in e.live if r.shape == (1000, 300))
    assert "'held'" in row.name and row.nbytes == held.nbytes
    assert "float32[1000, 300]" in told


def test_intermediate_values_are_told_apart():
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.randn(HUGE)
    assert "an intermediate value" in str(caught.value) and str([HUGE]) in str(caught.value)


PROGRAM = """
import resource, sys
import rushlight as torch
from rushlight import nn
from rushlight.compile import background
background.MODE = sys.argv[1]

def step(t):
    a = (t * 2 + 1).sqrt()  # the line
    return a.sum().item(), a

net = nn.Linear(8, 8)
weight = net.weight.clone()
x = torch.ones(2_000_000)
for _ in range(6):
    wanted, a = step(x)
    del a
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, -1))
kept = []
try:
    for _ in range(200):
        kept.append(step(x)[1])
except torch.OutOfMemoryError as e:
    error = e
assert error.operation in ("mul", "add", "sqrt"), error.operation
assert error.shape == (2_000_000,) and error.nbytes == 8_000_000
line = next(i for i, s in enumerate(open(__file__), 1) if "# the line" in s)
assert f"{__file__}:{line}" in str(error), error
assert sum("'kept[...]'" in r.name for r in error.live) == len(kept), error
assert all(a[-1].item() == 3 ** 0.5 or abs(a[-1].item() - 3 ** 0.5) < 1e-6 for a in kept)
del kept
assert step(x)[0] == wanted and (net.weight == weight).all() and x.sum().item() == 2_000_000
print("went on")
"""


@pytest.mark.parametrize("mode", ["never", "now"])
def test_deferred_programs(mode, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(path), mode], capture_output=True, text=True)
    assert done.stdout == "went on\n", done.stderr


def test_arena(monkeypatch):
    """A compiled program whose temporaries find no room: it says so, and runs when there is some."""
    from compile.compiled import fresh_arena, run

    from rushlight.compile import background, native

    def f():
        return (torch.ones(300, 200) @ torch.ones(200, 300)).cumsum(0).cumsum(1).sum()

    wanted = run(f, "now")
    monkeypatch.setattr(background, "MODE", "now")
    for _ in range(4):
        f().item()
    fresh_arena(monkeypatch)
    reserve = native.Arena.reserve

    def refuse(nbytes):
        return torch.trace and native.np.empty(HUGE)

    monkeypatch.setattr(native.Arena, "reserve", refuse)
    with pytest.raises(torch.OutOfMemoryError, match="a compiled program needs .* temporaries"):
        f().item()
    monkeypatch.setattr(native.Arena, "reserve", reserve)
    assert f().item() == wanted
