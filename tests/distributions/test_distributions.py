"""Every distribution against PyTorch's: densities, moments, samples, gradients, shapes, refusals."""

from __future__ import annotations

import warnings

import pytest
import torch

import rushlight

from .cases import CASES, NAMES, build, check, value_of

INCOMPLETE_GAMMA = ("Gamma", "Chi2", "InverseGamma")  # PyTorch has no gradient for its parameter
# PyTorch's Bessel functions are polynomials for float32; the gradient of its Cholesky solution has
# numbers in the triangle that is not read
ROUGH = {"VonMises": {"rtol": 2e-6}, "Wishart": {"rtol": 1e-6}}
# Gradients of gamma numbers are approximations in PyTorch, to about three digits
GAMMA_SAMPLES = (
    "Gamma", "Chi2", "InverseGamma", "Beta", "Dirichlet", "StudentT", "FisherSnedecor", "Wishart",
)
# Samples that are functions of the numbers drawn, which NumPy rounds differently now and then
LAST_BITS = (
    "LogNormal", "Laplace", "Gumbel", "VonMises", "InverseGamma", "Pareto", "GeneralizedPareto",
    "LogisticNormal", "ContinuousBernoulli", "RelaxedBernoulli", "RelaxedOneHotCategorical",
    "MultivariateNormal", "LowRankMultivariateNormal", "LKJCholesky", "Wishart", "Weibull",
    "Kumaraswamy",
)
pytestmark = pytest.mark.filterwarnings("ignore")


def told(get):
    """The result, or the type of the exception that says that there is none."""
    try:
        return get()
    except Exception as e:
        return type(e).__name__


def grads(T, y, leaves):
    """The gradients of a result; zeros where there are none."""
    if isinstance(y, str) or not y.requires_grad:
        return None
    weights = T.linspace(1.0, 2.0, y.numel(), dtype=y.dtype).reshape(y.shape)
    found = T.autograd.grad((y * weights).sum(), leaves, allow_unused=True)
    return [T.zeros_like(p) if g is None else g for g, p in zip(found, leaves)]


@pytest.mark.parametrize("name, i", NAMES)
def test_functions(name, i):
    def program(T):
        functions = {
            "log_prob": lambda d: d.log_prob(value_of(T, name, i, dtype)),
            "entropy": lambda d: d.entropy(),
            "cdf": lambda d: d.cdf(value_of(T, name, i, dtype)),
            "icdf": lambda d: d.icdf(T.full(d.batch_shape, 0.3, dtype=getattr(T, dtype))),
        }
        for key, function in functions.items():
            d, leaves = build(T, name, i, True, dtype)
            y = told(lambda d=d, f=function: f(d))
            yield key, y
            if key != "cdf" or name not in INCOMPLETE_GAMMA:
                yield told(lambda y=y, p=leaves: grads(T, y, [t for t in p if t.requires_grad]))

    dtype = "float32" if name == "GeneralizedPareto" else "float64"  # PyTorch's fails for float64
    check(program, **ROUGH.get(name, {}))


@pytest.mark.parametrize("name, i", NAMES)
def test_properties(name, i):
    def program(T):
        d, _ = build(T, name, i)
        yield [told(lambda k=k: getattr(d, k)) for k in ("mean", "mode", "variance", "stddev")]
        yield repr(d), d.batch_shape, d.event_shape, d.has_rsample, d.has_enumerate_support
        yield repr(d.support).split("(")[0], d.support.is_discrete, d.support.event_dim
        yield sorted(d.arg_constraints), told(d.perplexity)
        yield [told(lambda e=e: d.enumerate_support(e)) for e in (True, False)]
        for key in ("probs", "logits", "covariance_matrix", "precision_matrix", "scale_tril"):
            yield told(lambda key=key: getattr(d, key))

    check(program, **ROUGH.get(name, {}))


@pytest.mark.parametrize("name, i", NAMES)
def test_samples(name, i):
    """The same numbers after the same seed."""

    def program(T):
        for dtype in ("float32", "float64"):
            d, _ = build(T, name, i, True, dtype)
            T.manual_seed(3)
            yield d.sample(), d.sample((5,)), d.sample(T.Size([2, 3])), T.rand(2)
            yield told(lambda d=d: d.rsample((3,)).detach())

    check(program, **({"rtol": 2e-6, "atol": 2e-7} if name in LAST_BITS else {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize("name, i", [n for n in NAMES if n[0] != "Wishart"])
def test_sample_gradients(name, i):
    def program(T):
        d, leaves = build(T, name, i, True)
        T.manual_seed(4)
        x = told(lambda: d.rsample((3,)))
        return x if isinstance(x, str) else grads(T, x * x, leaves)

    rough = {"rtol": 2e-3, "atol": 2e-3} if name in GAMMA_SAMPLES else {}
    check(program, **rough)


def test_gradients_of_wishart_samples():
    """PyTorch's fail, as it writes into a mask that they need: the mean is linear in the matrix."""
    d, (covariance,) = build(rushlight, "Wishart", 0, True)
    rushlight.manual_seed(0)
    d.rsample((4000,)).mean(0).sum().backward()
    assert (covariance.grad - d.df).abs().max() < 0.2


@pytest.mark.parametrize("name, i", NAMES)
def test_expand(name, i):
    def program(T):
        d, _ = build(T, name, i, dtype=dtype)
        value = value_of(T, name, i, dtype)
        wide = d.expand(T.Size([3, 1, *d.batch_shape]))
        yield wide.batch_shape, wide.event_shape, repr(wide), type(wide).__name__
        yield wide.log_prob(value[..., None, None] if not d.event_shape and not d.batch_shape
                            else value)
        yield told(lambda: wide.mean)
        if name != "Multinomial":  # PyTorch forgets a part of it in expand()
            yield told(wide.entropy)
        T.manual_seed(2)
        yield wide.sample((2,)).shape

    dtype = "float32" if name == "GeneralizedPareto" else "float64"
    check(program)


@pytest.mark.parametrize("name", CASES)
def test_refuses_parameters(name):
    def program(T):
        for key, value in CASES[name][0][0].items():
            bad = dict(CASES[name][0][0])
            bad[key] = [[-1e3] * 2] * 2 if isinstance(value, list) else -3
            kwargs = {k: T.tensor(v) if isinstance(v, list) else v for k, v in bad.items()}
            yield told(lambda kw=kwargs: getattr(T.distributions, name)(**kw).batch_shape)

    check(program)


@pytest.mark.parametrize("name", CASES)
def test_refuses_values(name):
    def program(T):
        d, _ = build(T, name, dtype="float32")
        value = value_of(T, name, dtype="float32")
        for bad in (value.float() * T.nan, value[..., :0], value.new_ones(2, 7, 5), 0.5, -value - 1):
            y = told(lambda v=bad: d.log_prob(v))
            yield y if isinstance(y, str) else "a result"
        if value.is_floating_point():
            unchecked, _ = build(T, name, dtype="float32", validate_args=False)
            yield told(lambda: unchecked.log_prob(value * T.nan).shape)

    check(program)


def test_all_of_pytorchs_names():
    theirs = torch.distributions
    assert sorted(theirs.__all__) == sorted(rushlight.distributions.__all__)
    assert set(CASES) == {
        n for n in theirs.__all__
        if isinstance(getattr(theirs, n), type) and issubclass(getattr(theirs, n), theirs.Distribution)
    } - {"Distribution", "ExponentialFamily", "Independent", "MixtureSameFamily", "TransformedDistribution"}
    for name in theirs.__all__:
        file = getattr(getattr(theirs, name), "__module__", "").rpartition(".")[2]
        if file and file != "transforms":
            module = __import__(f"rushlight.distributions.{file}", fromlist=[name])
            assert getattr(module, name) is getattr(rushlight.distributions, name)


def test_error_shows_what_is_wrong():
    normal = rushlight.distributions.Normal
    with pytest.raises(ValueError, match=r"scale .*shape \(2,\).*GreaterThan\(lower_bound=0.0\)"):
        normal(0.0, rushlight.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="support .*Real"):
        normal(0.0, 1.0).log_prob(rushlight.tensor(float("nan")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FutureWarning, match="sample_n"):
            normal(0.0, 1.0).sample_n(3)
