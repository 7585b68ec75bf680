"""Activation functions against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, assert_same, check, check_error, check_program

import rushlight

rng = np.random.default_rng(7)
F = "nn.functional."
X = rng.standard_normal((3, 4)) * 3
EDGES = np.array([-np.inf, -100, -30, -6, -3, -1, -0.5, -1e-30, -0.0, 0, 1e-30, 0.5, 1, 3, 6, 20,
                  21, 100, np.inf, np.nan])

ACTIVATIONS = [  # name, further arguments
    ("relu", {}), ("relu6", {}), ("hardtanh", {}), ("hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ("leaky_relu", {}), ("leaky_relu", {"negative_slope": 0.3}),
    ("leaky_relu", {"negative_slope": 0}),
    ("rrelu", {}), ("rrelu", {"lower": 0.2, "upper": 0.2}), ("elu", {}), ("elu", {"alpha": 0.5}),
    ("selu", {}), ("celu", {}), ("celu", {"alpha": 2.0}), ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}), ("mish", {}), ("softplus", {}), ("softplus", {"beta": 2.0, "threshold": 1.0}),
    ("softsign", {}), ("tanhshrink", {}), ("softshrink", {}), ("softshrink", {"lambd": 1.5}),
    ("hardshrink", {}), ("hardshrink", {"lambd": 1.0}), ("hardsigmoid", {}), ("hardswish", {}),
    ("threshold", {"threshold": 0.5, "value": -2.0}), ("logsigmoid", {}), ("glu", {}),
]


@pytest.mark.parametrize("name, options", ACTIVATIONS, ids=str)
def test_values(name, options):
    check(F + name, X, gradgrad=name != "hardsigmoid", rtol=1e-6, **options)
    check(F + name, EDGES, grad=False, **options)
    check(F + name, X.astype(np.float32), **options)
    check(F + name, Given(X, view=lambda t: t[:, ::2]), **options)
    check(F + name, np.zeros((0, 2)), **options)
    if name != "glu":
        turned = name not in ("rrelu", "logsigmoid")
        check(F + name, Given(X, view=lambda t: t.T), strides=turned, **options)
        check(F + name, np.array(0.7), **options)
        check(F + name, np.array(-0.7), **options)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name, options", ACTIVATIONS, ids=str)
def test_half(name, options, dtype):
    near = 5e-3 if dtype == "float16" else 3e-2
    check(F + name, Given(X, dtype=dtype), atol=near, rtol=near, **options)


PIECEWISE = {
    **{n: lambda T, x, n=n: getattr(T.nn.functional, n)(x) for n in (
        "relu", "relu6", "hardtanh", "leaky_relu", "rrelu", "softshrink", "hardshrink")},
    "threshold": lambda T, x: T.nn.functional.threshold(x, 0.5, 0.0),
    "max_pool": lambda T, x: T.nn.functional.max_pool1d(x, 2),
    "adaptive_max_pool": lambda T, x: T.nn.functional.adaptive_max_pool1d(x, 2),
    "avg_pool": lambda T, x: T.nn.functional.avg_pool1d(x, 2),
    "adaptive_avg_pool": lambda T, x: T.nn.functional.adaptive_avg_pool1d(x, 3),
    "reflect": lambda T, x: T.nn.functional.pad(x, (1, -1), mode="reflect"),
    "replicate": lambda T, x: T.nn.functional.pad(x, (1, 2), mode="replicate"),
    "nll_loss": lambda T, x: T.nn.functional.nll_loss(x, T.tensor([0, 1, 2])),
}


@pytest.mark.parametrize("name", list(PIECEWISE))
def test_gradients_of_piecewise_linear_functions_can_be_differentiated(name):
    def program(T):
        x = T.tensor(X, requires_grad=True)
        y = PIECEWISE[name](T, x * 1.0)
        (g,) = T.autograd.grad(y, x, T.ones_like(y), create_graph=True)
        again = T.autograd.grad(g, x, T.ones_like(g), retain_graph=True)
        z = PIECEWISE[name](T, x).sum()
        float(z.detach())  # (the history crosses an executed segment)
        (h,) = T.autograd.grad(z, x, create_graph=True)
        return [g.detach(), g.requires_grad, again, T.autograd.grad(h.sum(), x)]

    check_program(program)


INPLACE = ["relu", "relu6", "hardtanh", "leaky_relu", "rrelu", "elu", "selu", "celu", "silu",
           "mish", "hardsigmoid", "hardswish"]


@pytest.mark.parametrize("name", INPLACE)
def test_inplace(name):
    check(F + name, Given(X, view=lambda t: t.clone()), inplace=True)
    check(F + name, X, inplace=True, grad=False)


@pytest.mark.parametrize("name, args", [
    ("relu_", ()), ("hardtanh_", (-0.5, 2.0)), ("leaky_relu_", (0.2,)), ("rrelu_", ()),
    ("elu_", (0.5,)), ("selu_", ()), ("celu_", (2.0,)), ("threshold_", (0.1, 9.0))])
def test_written(name, args):
    for where in (F, "") if name[:4] not in ("hard", "leak", "elu_") else (F,):
        check(where + name, Given(X, view=lambda t: t.clone()), *args)
    check("Tensor.relu_", Given(X, view=lambda t: t.clone()))


@pytest.mark.parametrize("name, args", [
    ("relu", ()), ("Tensor.relu", ()), ("rrelu", ()), ("selu", ()), ("celu", (0.5,)),
    ("hardshrink", (0.2,)), ("threshold", (0.1, 2.0)),
    ("prelu", (np.array([0.3]),)), ("Tensor.prelu", (np.array([0.3, 0.1, -0.2, 0.5]),))])
def test_published(name, args):
    check(name, X, *args, gradgrad=True)


@pytest.mark.parametrize("shape, weights", [((3, 4), 1), ((3, 4), 4), ((5,), 1), ((2, 3, 4), 3),
                                            ((2, 3, 2, 2), 1), ((), 1), ((0, 3), 3)], ids=str)
def test_prelu(shape, weights):
    x, w = np.asarray(rng.standard_normal(shape)), rng.standard_normal(weights)
    check(F + "prelu", x, w, gradgrad=True)
    check(F + "prelu", Given(x, dtype="bfloat16"), Given(w, dtype="bfloat16"), atol=5e-2, rtol=5e-2)


@pytest.mark.parametrize("shape, dim", [((4,), 0), ((3, 4), -1), ((4, 3), 0), ((2, 6, 3), 1),
                                        ((2, 0, 4), 1)], ids=str)
def test_glu(shape, dim):
    check(F + "glu", rng.standard_normal(shape), dim, gradgrad=True)
    check(F + "glu", Given(rng.standard_normal(shape[::-1]), dtype="float32",
                           view=lambda t: t.permute(*reversed(range(t.ndim)))), dim, strides=False)


def test_integers():
    whole = np.arange(-3, 4)
    for name, args in (("relu", ()), ("relu6", ()), ("hardtanh", ()), ("threshold", (1, 5))):
        check(F + name, whole, *args)
    check("relu", whole.astype(np.int8))


@pytest.mark.parametrize("name, args", [
    ("glu", (X[:, :3],)), ("glu", (np.array(1.0),)), ("glu", (X, 2)), ("prelu", (X, np.ones(3))),
    ("prelu", (X, np.ones((2, 2)))), ("prelu", (X, np.ones(4, np.float32))), ("relu", (X > 0,)),
    ("softshrink", (X, -1.0)), ("celu", (X, 0.0)),
])
def test_errors(name, args):
    check_error(F + name, *args)


def test_approximation_error():
    check_error(F + "gelu", X, approximate="erf")


def test_corners():
    x = np.random.default_rng(9).standard_normal((3, 4))
    check("Tensor.hardshrink", x, 0.2)
    check_error("nn.functional.rrelu", x, 0.5, 0.1)
    check_error("nn.functional.hardtanh", x, 2.0, 1.0)
    check_error("nn.functional.relu", x + 0j)
    check_error("nn.functional.hardshrink", x > 0)
    for name in ("gelu", "silu", "elu", "softplus", "mish", "hardswish", "leaky_relu", "logsigmoid",
                 "hardsigmoid"):
        check_error("nn.functional." + name, np.arange(3))


def test_rrelu_draws():
    made = []
    for framework in (torch, rushlight):
        framework.manual_seed(3)
        t = framework.linspace(-1, 1, 40, requires_grad=True)
        out = framework.nn.functional.rrelu(t, 0.1, 0.5, training=True)
        made.append((out, framework.autograd.grad(out.sum(), t)))
    assert_same(made[1], made[0])


def test_gumbel_softmax():
    def program(torch):
        torch.manual_seed(5)
        x = torch.linspace(-1, 1, 12).view(3, 4).requires_grad_()
        for options in ({}, {"tau": 0.3}, {"hard": True}, {"hard": True, "dim": 0}):
            made = torch.nn.functional.gumbel_softmax(x, **options)
            (made * torch.arange(12.0).view(3, 4)).sum().backward()
            yield made, x.grad.clone()

    check_program(program)
