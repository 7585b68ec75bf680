"""nans(): the operation that made the first NaN, and its line, before a parameter is written; in every mode."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.compile import background
from rushlight.interpret import measure, tier0
from rushlight.interpret import program as tier0_program
from rushlight.tools import NanError, nans
from rushlight.trace import trie

MODES = ("now", "never", "background", "eager")


@pytest.fixture(params=MODES)
def mode(request, monkeypatch):
    """Each way to run programs, with an empty trie."""
    monkeypatch.setattr(background, "MODE", "now" if request.param == "eager" else request.param)
    trie.set_eager(request.param == "eager")
    yield request.param
    trie.set_eager(False)


def place(mark):
    with open(__file__) as f:
        return f"{__file__}:{next(i for i, s in enumerate(f, 1) if s.rstrip().endswith('# ' + mark))}"


def settled():
    """Run what is pending, and wait for the compiler."""
    background.wait()


def repeated(run, times, last):
    """`run(False)` several times, then `run(True)` within the same block; returns the error."""
    with pytest.raises(NanError) as found, nans():
        for _ in range(times):
            run(False)
            settled()
        run(last)
    return str(found.value)


@pytest.mark.parametrize("times", [0, 2, 8])
def test_forward(mode, times):
    good, bad = torch.tensor([4.0, 9.0]), torch.tensor([4.0, -1.0])

    def run(wrong):
        x = bad if wrong else good
        y = x.sqrt()  # forward
        return (y * 2 + 1).sum().item()

    told = repeated(run, times, True)
    assert told.startswith("'sqrt' made a NaN of operands that have none: sqrt(-1) at [1]\n")
    assert "result float32[2], operands float32[2] from -1 to 4" in told
    assert place("forward") in told


@pytest.mark.parametrize("times", [0, 2, 8])
def test_backward(mode, times):
    good, bad = torch.ones(3), torch.zeros(3)

    def run(wrong):
        x = (bad if wrong else good).requires_grad_()
        (x.sqrt() * x).sum().backward()  # backward
        return x.grad.sum().item()

    told = repeated(run, times, True)
    assert " made a NaN of operands that have none" in told and place("backward") in told
    assert "inf" in told or "0" in told


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), "adam": torch.optim.Adam,
    "by hand": None,
}


@pytest.mark.parametrize("times", [0, 2, 8])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step_leaves_parameters_unharmed(mode, times, name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 2))
    optimizer = OPTIMIZERS[name] and OPTIMIZERS[name](net.parameters())
    good, bad = torch.rand(4, 6) + 1, torch.rand(4, 6) - 3
    before = []

    def run(wrong):
        x = bad if wrong else good
        before[:] = [p.detach().numpy().copy() for p in net.parameters()]
        net.zero_grad()
        loss = (net(x).sum(1) * x.mean().log()).mean()  # loss
        loss.backward()
        if optimizer:
            optimizer.step()
        else:
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.1 * p.grad
        loss.item()

    told = repeated(run, times, True)
    assert told.startswith("'log' made a NaN") and place("loss") in told
    for p, old in zip(net.parameters(), before, strict=True):
        assert np.array_equal(p.detach().numpy(), old)
    with nans():  # and training goes on
        run(False)


def test_accumulated_gradients_and_large_arrays(mode):
    weight = torch.rand(300, 200, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.1)
    good, bad = torch.ones(8, 300), torch.ones(8, 300)
    bad[3, 7] = -1.0

    def run(wrong):
        optimizer.zero_grad()
        for _ in range(2):
            ((bad if wrong else good).log() @ weight).sum().backward()
        optimizer.step()

    assert repeated(run, 6, True).startswith("'log' made a NaN")
    assert not torch.isnan(weight).any()


def test_an_operator_that_updates(mode):
    weight = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.Adam([weight])

    def run(wrong):
        weight.grad = torch.full((3,), float("inf") if wrong else 1.0)
        optimizer.step()

    assert repeated(run, 6, True).startswith("'adam_step' made a NaN")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64"])
def test_dtypes(mode, dtype):
    good, bad = (torch.tensor([1.0, x], dtype=getattr(torch, dtype)) for x in (2.0, float("inf")))

    def run(wrong):
        x = bad if wrong else good
        return (x - x).sum().item()

    assert repeated(run, 6, True).startswith("'sub' made a NaN")


def test_nothing_is_reported_without_nan(mode):
    x = torch.tensor([[1.0, -float("inf"), 2.0], [0.0, 1.0, -float("inf")]], requires_grad=True)
    masked = torch.tensor([-1.0, 2.0])
    ids = torch.tensor([1, 2])

    def run():
        y = x.softmax(1)
        y.sum().backward()
        found = torch.where(masked > 0, masked.log(), torch.zeros(2)) if mode != "eager" else masked
        empty = torch.empty(3).fill_(1.0)
        return y, (torch.ones(2) / 0), found.sum().item(), ids * 2, torch.ones(0).sum(), empty

    with warnings.catch_warnings(), nans():
        warnings.simplefilter("error")
        for _ in range(8):
            run()
            settled()


def test_nan_in_data_warns_once(mode):
    x = torch.tensor([1.0, float("nan")])
    with warnings.catch_warnings(record=True) as told, nans():
        warnings.simplefilter("always")
        for _ in range(8):
            y = (x * 2).sum().item()  # entrance
            settled()
    assert y != y
    (one,) = [str(w.message) for w in told if w.category is RuntimeWarning]
    assert one.startswith("NaN from outside: operand 0 of 'mul', float32[2]") and place("entrance") in one
    assert told[0].filename == __file__


def test_a_nan_in_data_hides_no_other(mode):
    x, good, bad = torch.tensor([1.0, float("nan")]), torch.ones(2), -torch.ones(2)

    def run(wrong):
        seen = (x * 2).sum()
        return seen, (bad if wrong else good).log().sum().item()

    with pytest.warns(RuntimeWarning, match="from outside"):
        assert repeated(run, 6, True).startswith("'log'")


def test_random_numbers_stay_the_same(mode):
    """Looking where a NaN comes from draws none."""
    x = torch.full((4,), float("nan"))

    def run():
        torch.manual_seed(1)
        return [(torch.rand(4) + torch.cat([x[:2], torch.ones(2)]))[2:].sum().item() for _ in range(8)]

    plain = run()
    with warnings.catch_warnings(), nans():
        warnings.simplefilter("ignore")
        assert run() == plain


def test_off_is_off(mode):
    x = torch.tensor([-1.0, 2.0])
    with nans():
        with nans():
            (x * 2).sum().item()
        assert tier0.NANS[0] is not None
    assert tier0.NANS[0] is None and not measure.OBSERVERS and not tier0_program.WATCH
    for _ in range(6):
        y = x.log().sum().item()
    assert y != y
    assert repeated(lambda wrong: x.log().sum().item(), 0, True).startswith("'log'")


def test_nothing_is_held(mode):
    x = torch.full((512,), -1.0)
    y = x * 1
    y.sum().item()
    with pytest.raises(NanError), nans():
        (y * 2).log().sum().item()
    held = [weakref.ref(t._buf) for t in (x, y)]
    del x, y
    gc.collect()
    assert not [r for r in held if r() is not None]


def test_the_end_of_the_block_looks_too(mode):
    x = torch.tensor([-1.0])
    y = None
    with pytest.raises(NanError, match="'log'"), nans():
        y = x.log()
    if mode != "eager":  # the block's own error is told first
        with pytest.raises(ValueError, match="mine"), nans():
            y = x.log()
            raise ValueError("mine")
    del y


def test_explain_shows_the_looks(monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    x = torch.ones(5000)
    with nans():
        for _ in range(6):
            y = (x * 2).sum().item()
        with torch.explain() as report:
            y = (x * 2).sum().item()
    assert y == 10_000 and "look for NaN in 1 " in str(report)


CODE = """
import rushlight as torch
x = torch.tensor([-1.0])
for _ in range(6):
    (x * x).log().item()
print(x.log().item())
"""


def test_variable_tracks_the_whole_process():
    environment = {**os.environ, "RUSHLIGHT_NANS": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "NanError: 'log' made a NaN" in done.stderr
    environment["RUSHLIGHT_NANS"] = "0"
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    assert done.stdout == "nan\n"
