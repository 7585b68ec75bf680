"""Constraints: which values they take, how they print, what they refuse."""

from __future__ import annotations

import pytest
import torch

import rushlight

from .cases import check
from .test_transforms import told

NUMBERS = [[0.0, 1.0, -1.0], [2.0, 0.5, float("nan")], [float("inf"), 3.0, -0.3]]
ROWS = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [-0.5, 1.0, 0.5], [1.0, 1.0, 0.0]]
MATRICES = [
    [[1.0, 0.0], [0.6, 0.8]], [[2.0, 0.4], [0.4, 1.0]], [[1.0, 2.0], [2.0, 1.0]],
    [[1.0, 1.0], [1.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [-1.0, 0.0]],
]
MAKE = {
    "real": NUMBERS, "positive": NUMBERS, "nonnegative": NUMBERS, "unit_interval": NUMBERS,
    "boolean": NUMBERS, "nonnegative_integer": NUMBERS, "positive_integer": NUMBERS,
    "real_vector": NUMBERS, "simplex": ROWS, "one_hot": ROWS, "lower_triangular": MATRICES,
    "lower_cholesky": MATRICES, "corr_cholesky": MATRICES, "square": MATRICES,
    "symmetric": MATRICES, "positive_semidefinite": MATRICES, "positive_definite": MATRICES,
}  # fmt: skip


@pytest.mark.parametrize("name", MAKE)
def test_ready_constraints(name):
    def program(T):
        c = getattr(T.distributions.constraints, name)
        yield c.check(T.tensor(MAKE[name])), repr(c), c.is_discrete, c.event_dim
        yield c.check(T.tensor(MAKE[name], dtype=T.float64)[:1])
        if name != "positive_semidefinite":  # a NotImplementedError there, which is a RuntimeError here
            yield told(lambda: c.check(T.tensor([[1, 0], [0, 1]])))

    check(program)


def test_bounds():
    def program(T):
        c, x = T.distributions.constraints, T.tensor(NUMBERS)
        for made in (
            c.greater_than(0.5), c.greater_than_eq(0.5), c.less_than(0.5), c.interval(0.5, 2.0),
            c.half_open_interval(0.5, 2.0), c.integer_interval(0, 2), c._IntegerLessThan(1),
            c.greater_than(T.tensor([0.0, 1.0, -5.0])), c.multinomial(3),
            c.independent(c.interval(-9, 9), 2), c.independent(c.positive, 0),
            c.cat([c.positive, c.real], -1, [2, 1]), c.stack([c.positive, c.real, c.boolean], 0),
            c.MixtureSameFamilyConstraint(c.positive), c.MixtureSameFamilyConstraint(c.simplex),
        ):
            yield made.check(x), repr(made), made.is_discrete, made.event_dim
        yield c.integer_interval(0, 2).check(T.tensor([0, 2, 3])), c.multinomial(3).check(T.tensor([1, 2]))

    check(program)


def test_dependent():
    def program(T):
        D, c = T.distributions, T.distributions.constraints
        for made in (c.dependent, c.dependent(event_dim=1), D.Uniform.support, D.Normal.support):
            yield c.is_dependent(made), told(lambda m=made: m.event_dim), told(lambda m=made: m.is_discrete)
        yield told(lambda: c.dependent.check(T.ones(1)))
        yield repr(D.Uniform(0.0, 1.0).support), D.Binomial.support.is_discrete

        class Mine(D.Distribution):
            @c.dependent_property(is_discrete=True, event_dim=2)
            def support(self):
                return c.real

        yield Mine.support.event_dim, c.is_dependent(Mine.support), repr(Mine(validate_args=False).support)

    check(program)


def test_refusals():
    def program(T):
        c = T.distributions.constraints
        for wrong in (
            lambda: c.independent(3, 1), lambda: c.independent(c.real, -1), lambda: c.cat([c.real, 2]),
            lambda: c.independent(c.real, 1.0), lambda: c.cat([c.real], 0, [1, 2]),
            lambda: c.cat([c.real], 3).check(T.ones(2)), lambda: c.stack([c.real], 3).check(T.ones(2)),
            lambda: c.real_vector.check(T.tensor(1.0)), lambda: c.Constraint().check(1),
            lambda: c.MixtureSameFamilyConstraint(1),
        ):
            yield told(wrong)

    check(program)


def test_names():
    theirs = torch.distributions.constraints
    assert sorted(theirs.__all__) == sorted(rushlight.distributions.constraints.__all__)


@pytest.mark.parametrize("value", [0.1, 0.2, 0.3, 0.30000001, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_value_without_dims_is_compared_in_its_dtype(value, dtype):
    """Validation looks at NumPy's number: a bound is rounded as it is for an array."""
    answers = []
    for T in (torch, rushlight):
        made = T.distributions.Uniform(T.tensor(0.1, dtype=getattr(T, dtype)), T.tensor(0.3, dtype=getattr(T, dtype)))
        region = T.distributions.constraints.interval(0.1, 0.3)
        x = T.tensor(value, dtype=getattr(T, dtype))
        answers.append((bool(region.check(x)), made.support.check(x).item()))
    assert answers[0] == answers[1]
    assert rushlight.distributions.constraints.holds(region, x) == answers[0][0]
