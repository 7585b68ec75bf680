"""The updates of the optimisers against PyTorch, for every kind of memory that they write into."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import assert_same, numbers

import rushlight
from rushlight.ops.optimizer import BLOCK, SMALL, blocks

rng = np.random.default_rng(13)
TOLERANCE = {"float32": 2e-5, "float64": 1e-9, "bfloat16": 3e-2, "float16": 5e-3}

UPDATES = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.01}), ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.01, "betas": (0.4, 0.6)}), ("Adagrad", {"lr": 0.1, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01}), ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True}),
    ("Adadelta", {"lr": 0.5, "maximize": True, "weight_decay": 0.1}), ("Adamax", {"lr": 0.01}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1}), ("NAdam", {"decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
]


def trained(framework, name, options, values, gradients, dtype, view):
    """A parameter after steps with given gradients, and the optimiser's state."""
    make = lambda x: framework.tensor(x, dtype=getattr(framework, dtype))  # noqa: E731
    with framework.no_grad():
        p = view(make(values))
    p.requires_grad_()
    optimizer = getattr(framework.optim, name)([p], **options)
    for g in gradients:
        p.grad = view(make(g))
        optimizer.step()
    state = optimizer.state_dict()["state"].get(0, {})
    return p, {k: v for k, v in state.items() if k not in ("step", "mu_product")}


def compare(name, options, shape, dtype="float32", view=lambda t: t, steps=7):
    """The same steps in both frameworks give the same parameter and state."""
    parts = rng.standard_normal((steps + 1, *shape))
    if "complex" in dtype:
        parts = parts + 1j * rng.standard_normal(parts.shape)
    values, *gradients = parts
    theirs, ours = (trained(f, name, options, values, gradients, dtype, view)
                    for f in (torch, rushlight))
    near = TOLERANCE.get(dtype, 1e-4)
    assert_same(ours[0].detach(), theirs[0].detach(), name, near, near)
    assert set(ours[1]) == set(theirs[1])
    for key, value in theirs[1].items():
        if value is not None:
            np.testing.assert_allclose(numbers(ours[1][key]), numbers(value), near, near)


@pytest.mark.parametrize("name, options", UPDATES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_dtypes(name, options, dtype):
    compare(name, options, (3, 5), dtype, steps=4 if dtype == "bfloat16" else 9)


@pytest.mark.parametrize("name, options", UPDATES, ids=str)
def test_shapes(name, options):
    for shape in ((), (0,), (SMALL + 1,), (4, 0)):
        compare(name, options, shape, steps=2)
    compare(name, options, (70, 60), view=lambda t: t.T, steps=2)
    compare(name, options, (3, 8), "float64", view=lambda t: t[:, ::2], steps=3)


@pytest.mark.parametrize("name, options", [UPDATES[i] for i in (1, 2, 5, 9)], ids=str)
def test_large(name, options):
    """More than one block, contiguous and not."""
    compare(name, options, (BLOCK + 77,), steps=2)
    compare(name, options, (300, 500), view=lambda t: t.T, steps=2)


@pytest.mark.parametrize("name, options", [u for u in UPDATES if u[0] in ("SGD", "Adam", "AdamW",
                                           "Adagrad", "RMSprop", "Adadelta")], ids=str)
def test_complex(name, options):
    for shape in ((3, 4), ()):
        compare(name, options, shape, "complex64", steps=3)
    compare(name, options, (3, 4), "complex64", view=lambda t: t.T, steps=3)


@pytest.mark.parametrize("n", [1, SMALL, SMALL + 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_blocks(n):
    """Blocks cover the arrays once, in order, as views of them."""
    a, b = np.zeros(n, np.float32), np.arange(n, dtype=np.float32)
    for x, y, none, scratch in blocks(1, a, b, None):
        assert none is None and scratch.shape == x.shape == y.shape and scratch.dtype == x.dtype
        assert x.size <= max(BLOCK, SMALL)
        np.add(x, y, out=scratch)
        x += scratch + 1
    np.testing.assert_array_equal(a, b + 1)


def test_blocks_layouts():
    for a in (np.zeros((400, 500)).T, np.zeros((3, 4), np.complex64), np.zeros((), np.complex128),
              np.zeros((4, 6), np.complex64)[:, ::2], np.zeros((5, 3))[::2]):
        for x, scratch in blocks(1, a):
            assert x.dtype.kind == "f" and scratch.shape == x.shape
            x += 1
        np.testing.assert_array_equal(a, 1 + 1j if a.dtype.kind == "c" else 1)
