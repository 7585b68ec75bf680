"""Transforms and their registry: values, inverses, Jacobians, shapes, caches, equality."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import rushlight

from .cases import check

VECTOR = [[0.3, -0.4], [0.7, 1.2]]
POSITIVE = [[0.3, 0.4], [0.7, 1.2]]
CUBE = [[[0.3, -0.4], [0.7, 1.2]]]
TRANSFORMS = {
    "exp": (lambda D: D.ExpTransform(), VECTOR),
    "power": (lambda D: D.PowerTransform(2.5), POSITIVE),
    "sigmoid": (lambda D: D.SigmoidTransform(), VECTOR),
    "softplus": (lambda D: D.SoftplusTransform(), VECTOR),
    "tanh": (lambda D: D.TanhTransform(), VECTOR),
    "abs": (lambda D: D.AbsTransform(), VECTOR),
    "affine": (lambda D: D.AffineTransform(1.0, -2.0), VECTOR),
    "cdf": (lambda D: D.CumulativeDistributionTransform(D.Normal(0.5, 2.0)), VECTOR),
    "softmax": (lambda D: D.SoftmaxTransform(), VECTOR),
    "stick": (lambda D: D.StickBreakingTransform(), VECTOR),
    "correlation": (lambda D: D.CorrCholeskyTransform(), [[0.3, -0.4, 0.7], [1.2, 0.1, -2.0]]),
    "cholesky": (lambda D: D.LowerCholeskyTransform(), CUBE),
    "definite": (lambda D: D.PositiveDefiniteTransform(), CUBE),
    "reshape": (lambda D: D.ReshapeTransform((2, 2), (4,)), CUBE),
    "nothing": (lambda D: D.identity_transform, VECTOR),
    "inverse": (lambda D: D.ExpTransform().inv, POSITIVE),
    "independent": (lambda D: D.IndependentTransform(D.ExpTransform(), 1), VECTOR),
    "chain": (lambda D: D.ComposeTransform([D.AffineTransform(0.5, 2.0), D.TanhTransform()]), VECTOR),
    "chain of vectors": (
        lambda D: D.ComposeTransform([D.AffineTransform(0.0, 3.0), D.StickBreakingTransform()]),
        VECTOR,
    ),
    "chain to numbers": (
        lambda D: D.ComposeTransform([D.StickBreakingTransform(), D.ExpTransform()]), VECTOR,
    ),
    "cat": (
        lambda D: D.CatTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)], dim=-1), VECTOR
    ),
    "cat of lengths": (
        lambda D: D.CatTransform([D.ExpTransform(), D.identity_transform], 0, [1, 1]), VECTOR
    ),
    "stack": (lambda D: D.StackTransform([D.ExpTransform(), D.TanhTransform()], 1), VECTOR),
}  # fmt: skip


def told(get):
    try:
        return get()
    except Exception as e:
        return type(e).__name__


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    make, values = TRANSFORMS[name]

    def program(T):
        for cache in (0, 1):
            t = make(T.distributions).with_cache(cache)
            x = T.tensor(values, dtype=T.float64, requires_grad=True)
            y = t(x)
            yield y, T.autograd.grad((y * y).sum(), x, retain_graph=True)
            yield t.inv(y) if cache else t.inv(y.detach())
            yield told(lambda t=t, x=x, y=y: t.log_abs_det_jacobian(x, y))
            yield told(lambda t=t, x=x, y=y: t.inv.log_abs_det_jacobian(y, x))
            yield t.forward_shape(x.shape), told(lambda t=t, y=y: t.inverse_shape(y.shape))
            yield t.bijective, told(lambda t=t: t.sign), told(lambda t=t: t.event_dim)
            yield repr(t), repr(t.inv), told(lambda t=t: (repr(t.domain), repr(t.codomain)))
            yield t.inv.inv is t, t.inv.bijective, t == make(T.distributions), t != t.inv
            if cache and name not in ("nothing", "inverse", "chain", "chain of vectors"):
                yield (t(x) is y) is not isinstance(t, T.distributions.ComposeTransform)

    check(program)


@pytest.mark.parametrize("name", [n for n in TRANSFORMS if n not in ("abs", "softmax", "nothing")])
def test_jacobians(name):
    """The Jacobian's determinant, by automatic differentiation of one number after the other."""
    make, values = TRANSFORMS[name]
    t, T = make(rushlight.distributions), rushlight
    if name in ("cholesky", "definite", "reshape", "stick", "correlation") or "chain " in name:
        return  # between spaces of different dimension: compared with PyTorch's above
    x = T.tensor(values, dtype=T.float64, requires_grad=True)
    y = t(x)
    rows = [T.autograd.grad(v, x, retain_graph=True)[0].reshape(-1) for v in y.reshape(-1)]
    whole = t.log_abs_det_jacobian(x, y).sum()
    assert (T.linalg.slogdet(T.stack(rows)).logabsdet - whole).abs() < 1e-8


def test_cache():
    D = rushlight.distributions
    t, x = D.TanhTransform(cache_size=1), rushlight.tensor([20.0])
    assert t.inv(t(x)) is x and t(x) is t(x)
    assert rushlight.isinf(D.TanhTransform().inv(t(x))).all()
    for other in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert other == t and other._inv is None
    inverse = pickle.loads(pickle.dumps(D.AffineTransform(1.0, 2.0).inv))
    assert inverse(rushlight.tensor(3.0)) == 1.0


def test_refusals():
    def program(T):
        D, x = T.distributions, T.zeros(3)
        for wrong in (
            lambda: D.ExpTransform(cache_size=2), lambda: D.ReshapeTransform((2,), (3,)),
            lambda: D.ReshapeTransform((2,), (2, 1)).forward_shape((3,)),
            lambda: D.StickBreakingTransform().forward_shape(()),
            lambda: D.SoftmaxTransform().inverse_shape(()),
            lambda: D.CorrCholeskyTransform().forward_shape((2,)),
            lambda: D.CorrCholeskyTransform().inverse_shape((2, 3)),
            lambda: D.IndependentTransform(D.ExpTransform(), 2)(x),
            lambda: D.CatTransform([D.ExpTransform()], 0, [2])(x),
            lambda: D.CatTransform([D.ExpTransform()], 0, [1, 2]),
            lambda: D.CatTransform([1]), lambda: D.StackTransform([D.ExpTransform()], 3)(x),
            lambda: D.AbsTransform().log_abs_det_jacobian(x, x), lambda: D.AbsTransform().sign,
            lambda: D.StickBreakingTransform().sign, lambda: D.ReshapeTransform((4,), (2, 2)).event_dim,
            lambda: D.Transform()(x), lambda: D.Transform().inv(x),
        ):
            yield told(wrong)

    check(program)


def test_equality():
    def program(T):
        D = T.distributions
        loc = T.tensor([1.0, 2.0])
        yield D.AffineTransform(loc, 2.0) == D.AffineTransform(loc.clone(), 2.0)
        yield D.AffineTransform(1.0, 2.0) == D.AffineTransform(1.0, 3.0)
        yield D.PowerTransform(2.0) == D.PowerTransform(2.0), D.PowerTransform(2.0) == D.ExpTransform()
        yield D.ComposeTransform([D.ExpTransform()]) == D.ComposeTransform([D.ExpTransform()])
        yield D.ExpTransform() == D.TanhTransform(), D.ExpTransform().inv == D.ExpTransform().inv
        yield D.StackTransform([D.ExpTransform()]) == D.StackTransform([D.ExpTransform()])

    check(program)


CONSTRAINTS = {
    "real": lambda c: c.real, "real_vector": lambda c: c.real_vector, "positive": lambda c: c.positive,
    "nonnegative": lambda c: c.nonnegative, "greater_than": lambda c: c.greater_than(1.5),
    "greater_than_eq": lambda c: c.greater_than_eq(-2), "less_than": lambda c: c.less_than(0.5),
    "unit_interval": lambda c: c.unit_interval, "interval": lambda c: c.interval(-1.0, 3.0),
    "half_open": lambda c: c.half_open_interval(-1.0, 3.0), "simplex": lambda c: c.simplex,
    "corr_cholesky": lambda c: c.corr_cholesky, "lower_cholesky": lambda c: c.lower_cholesky,
    "positive_definite": lambda c: c.positive_definite,
    "semidefinite": lambda c: c.positive_semidefinite,
    "independent": lambda c: c.independent(c.positive, 1),
    "cat": lambda c: c.cat([c.positive, c.unit_interval], 0, [1, 2]),
    "stack": lambda c: c.stack([c.positive, c.unit_interval, c.real], -1),
    "boolean": lambda c: c.boolean, "one_hot": lambda c: c.one_hot, "square": lambda c: c.square,
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_registries(name):
    matrix = name.endswith("definite") or name == "lower_cholesky"

    def program(T):
        constraint = CONSTRAINTS[name](T.distributions.constraints)
        x = T.linspace(-1.5, 2.0, 9, dtype=T.float64).reshape(3, 3)
        for registry in (T.distributions.biject_to, T.distributions.transform_to):
            try:
                t = registry(constraint)
            except NotImplementedError:
                yield "none"
                continue
            y = t(x)
            valid = constraint.check(y)
            yield type(t).__name__, y, valid, bool(valid.all())
            yield t.inv(y), t.bijective
            if t.bijective and not matrix:
                yield t.log_abs_det_jacobian(x, y)

    check(program)


def test_own_registry():
    def program(T):
        D = T.distributions
        registry = D.constraint_registry.ConstraintRegistry()

        class Mine(D.constraints.Constraint):
            pass

        @registry.register(Mine)
        def make(constraint):
            return D.ExpTransform()

        yield repr(registry(Mine())), callable(make)
        for wrong in (lambda: registry(D.constraints.real), lambda: registry.register(3, make)):
            yield told(wrong)

    check(program)


@pytest.mark.parametrize("seed", range(3))
def test_round_trips(seed):
    """What a transform makes, its inverse takes back."""
    D, T = rushlight.distributions, rushlight
    T.manual_seed(seed)
    for make, values in TRANSFORMS.values():
        t = make(D)
        if not t.bijective:
            continue
        x = T.tensor(values, dtype=T.float64)
        x = x + 0.1 * T.rand(x.shape, dtype=T.float64)
        assert T.allclose(t.inv(t(x)), x)


def test_names():
    assert sorted(torch.distributions.transforms.__all__) == sorted(
        rushlight.distributions.transforms.__all__
    )
