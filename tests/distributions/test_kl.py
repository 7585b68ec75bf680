"""Kullback-Leibler divergences: every pair that PyTorch has, and how a pair's formula is found."""

from __future__ import annotations

import warnings

import pytest
import torch

import rushlight
from rushlight.distributions import kl

from .cases import CASES, build, check

P = torch.distributions
PAIRS = sorted((p.__name__, q.__name__) for p, q in P.kl._KL_REGISTRY)
EXAMPLES = [pair for pair in PAIRS if pair[0] in CASES]
# parameters where supports end or formulas change
EDGES = {
    "Bernoulli": {"probs": [0.0, 1.0, 0.4]},
    "Beta": {"concentration1": [0.5, 3.0], "concentration0": [2.5, 1.5]},
    "Binomial": {"total_count": [3.0, 9.0], "probs": [0.5, 0.5]},
    "Categorical": {"probs": [[0.5, 0.0, 0.5], [0.2, 0.3, 0.5]]},
    "OneHotCategorical": {"probs": [[0.5, 0.0, 0.5], [0.2, 0.3, 0.5]]},
    "ContinuousBernoulli": {"probs": [0.5, 0.1]},
    "Normal": {"loc": [-2.0, 1.0], "scale": [0.5, 4.0]},
    "Pareto": {"scale": [0.5, 3.0], "alpha": [0.5, 5.0]},
    "Uniform": {"low": [-1.0, 0.25], "high": [3.0, 0.75]},
    "MultivariateNormal": {"loc": [[1.0, 2.0]] * 3, "scale_tril": [[1.0, 0.0], [0.2, 0.5]]},
    "LowRankMultivariateNormal": {
        "loc": [1.0, -1.0], "cov_factor": [[[1.0], [0.5]]], "cov_diag": [[1.0, 2.0]]
    },
}


def examples(name):
    """Functions of (framework) that make a distribution and its parameters."""
    cases = {"MultivariateNormal": [0, 1], "LowRankMultivariateNormal": [1]}.get(name, [0])
    yield from (lambda T, i=i: build(T, name, i, True) for i in cases)
    if name in EDGES:

        def edge(T):
            kwargs = {
                k: T.tensor(v, dtype=T.float64, requires_grad=True) for k, v in EDGES[name].items()
            }
            return getattr(T.distributions, name)(**kwargs), list(kwargs.values())

        yield edge


@pytest.mark.parametrize("pair", EXAMPLES, ids="-".join)
def test_pairs(pair):
    def program(T):
        for make_p in examples(pair[0]):
            for make_q in examples(pair[1]):
                (p, a), (q, b) = make_p(T), make_q(T)
                if not fit(p, q):
                    continue
                try:
                    value = T.distributions.kl_divergence(p, q)
                except NotImplementedError:
                    yield "not implemented"
                    continue
                yield value
                if value.requires_grad and value.isfinite().all():
                    leaves = [t for t in a + b if t.requires_grad]
                    found = T.autograd.grad(value.sum(), leaves, allow_unused=True)
                    yield [T.zeros_like(t) if g is None else g for g, t in zip(found, leaves)]

    check(program)


def fit(p, q):
    """Whether the batches can be broadcast together."""
    shapes = tuple(p.batch_shape), tuple(q.batch_shape)
    return all(1 in pair or pair[0] == pair[1] for pair in zip(*[s[::-1] for s in shapes]))


def test_all_pairs_are_there():
    own = {getattr(rushlight.distributions, name) for name in rushlight.distributions.FAMILY_OF}
    ours = [(p.__name__, q.__name__) for p, q in kl._KL_REGISTRY if {p, q} <= own]
    assert sorted(ours) == PAIRS


@pytest.mark.parametrize("name", ["Normal", "Exponential", "Gamma", "Beta", "Dirichlet", "Bernoulli", "Poisson"])
def test_bregman_divergences(name):
    """The formula of exponential families agrees with the one of the family."""
    D = rushlight.distributions
    p, q = [build(rushlight, name, i)[0] for i in (0, 0)]
    other = type(p)(*[getattr(q, k) * 0.8 for k in type(p).arg_constraints if k != "logits"])
    direct, general = D.kl_divergence(p, other), kl._kl_expfamily(p, other)
    assert (direct - general).abs().max() < 1e-6


def test_divergences_of_compounds():
    def program(T):
        D = T.distributions
        normals = [D.Normal(T.full((2, 3), float(k)), T.ones(3)) for k in (0, 1)]
        yield D.kl_divergence(*[D.Independent(n, 1) for n in normals])
        yield D.kl_divergence(*[D.TransformedDistribution(n, [D.ExpTransform()]) for n in normals])
        yield D.kl_divergence(*[D.LogNormal(n.loc, n.scale) for n in normals])
        for wrong in (
            lambda: (D.Independent(normals[0], 1), D.Independent(normals[1], 2)),
            lambda: (D.LogNormal(0.0, 1.0), D.TransformedDistribution(normals[0], [])),
            lambda: (D.Normal(0.0, 1.0), D.Bernoulli(0.5)),
            lambda: (D.Normal(0.0, 1.0), D.LKJCholesky(2)),
        ):
            try:
                D.kl_divergence(*wrong())
            except Exception as e:
                yield type(e).__name__

    check(program)


def test_nearest_classes_win():
    D = rushlight.distributions

    class Left(D.Normal):
        pass

    class Right(Left):
        pass

    known = dict(kl._KL_REGISTRY)
    try:
        p, q = Right(0.0, 1.0), Left(0.0, 1.0)
        assert D.kl_divergence(p, q) == 0
        D.register_kl(Left, D.Normal)(lambda p, q: "left")
        assert D.kl_divergence(p, q) == "left"
        D.register_kl(D.Normal, Left)(lambda p, q: "right")
        with pytest.warns(RuntimeWarning, match=r"register_kl\(Left, Left\)"):
            assert D.kl_divergence(p, q) == "left"
        D.register_kl(Left, Left)(lambda p, q: "both")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert D.kl_divergence(p, q) == "both"
        with pytest.raises(TypeError, match="Distribution subclass"):
            D.register_kl(int, Left)
    finally:
        kl._KL_REGISTRY.clear()
        kl._KL_REGISTRY.update(known)
        kl._KL_MEMOIZE.clear()
