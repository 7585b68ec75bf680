"""Initialisers: the same random numbers as PyTorch."""

import pytest
from programs import same, same_error

CALLS = [
    ("uniform_", {"a": -1.0, "b": 2.0}), ("normal_", {"mean": 1.0, "std": 0.5}),
    ("constant_", {"val": 0.3}), ("ones_", {}), ("zeros_", {}), ("eye_", {}),
    ("xavier_uniform_", {"gain": 1.5}), ("xavier_normal_", {}), ("kaiming_uniform_", {"a": 2.0}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("trunc_normal_", {"std": 0.02}), ("trunc_normal_", {"a": -1.0, "b": 1.5}),
    ("trunc_normal_", {"a": 0.1, "b": 0.2}), ("orthogonal_", {"gain": 2.0}),
    ("sparse_", {"sparsity": 0.3}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), CALLS)
def test_numbers(name, options):
    def program(T):
        T.manual_seed(3)
        x = T.empty(12, 7)
        out = getattr(T.nn.init, name)(x, **options)
        p = T.nn.Parameter(T.zeros(5, 6))
        getattr(T.nn.init, name)(p, **options)
        return [out is x, x, p, p.requires_grad, p.grad_fn is None]

    same(program)


def gains(T):
    names = ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
    return [T.nn.init.calculate_gain(n) for n in names] + [T.nn.init.calculate_gain("leaky_relu", 1)]


def dirac(T):
    return [
        T.nn.init.dirac_(T.empty(3, 2, 5)),
        T.nn.init.dirac_(T.empty(6, 2, 3, 3), groups=2),
    ]


@pytest.mark.parametrize("program", [gains, dirac])
def test_fixed(program):
    same(program)


ERRORS = {
    "gain": lambda T: T.nn.init.calculate_gain("nothing"),
    "fan": lambda T: T.nn.init.xavier_uniform_(T.empty(3)),
    "eye": lambda T: T.nn.init.eye_(T.empty(3)),
    "mode": lambda T: T.nn.init.kaiming_uniform_(T.empty(3, 3), mode="x"),
    "dirac": lambda T: T.nn.init.dirac_(T.empty(3, 3)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(ERRORS[name])
