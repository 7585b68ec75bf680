"""What is common to all distributions: validation, expansion, subclasses, copies; and compounds."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import rushlight

from .cases import NAMES, build, check, value_of
from .test_transforms import told


def test_independent():
    def program(T):
        D = T.distributions
        for n in range(3):
            d = D.Independent(D.Normal(T.zeros(2, 3), T.ones(3)), n)
            T.manual_seed(0)
            yield d.log_prob(T.ones(2, 3)), d.entropy(), d.mean, d.variance, d.mode, d.rsample((2,))
            yield d.batch_shape, d.event_shape, repr(d), repr(d.support), d.has_rsample
            yield d.has_enumerate_support, told(d.enumerate_support)
            wide = d.expand((4, *d.batch_shape))
            yield wide.batch_shape, wide.log_prob(T.ones(2, 3)), wide.sample().shape
        yield told(lambda: D.Independent(D.Normal(0.0, 1.0), 1))
        coins = D.Bernoulli(T.tensor([0.3, 0.4]))
        yield D.Independent(coins, 0).enumerate_support(), told(D.Independent(coins, 1).enumerate_support)

    check(program)


def test_transformed():
    def program(T):
        D = T.distributions
        normal = D.Normal(T.zeros(3), T.ones(3))
        x = T.tensor([0.1, -0.5, 0.9])
        flows = (
            [D.TanhTransform()], [D.AffineTransform(1.0, -2.0), D.SigmoidTransform()], [],
            D.ExpTransform(), [D.StickBreakingTransform()], [D.AffineTransform(T.zeros(2, 1), 2.0)],
            [D.ReshapeTransform((3,), (3, 1))], [D.SoftmaxTransform()],
            [D.AffineTransform(0.0, 3.0, event_dim=1)],
        )
        for flow in flows:
            d = D.TransformedDistribution(normal, flow)
            T.manual_seed(1)
            y = d.rsample((2,))
            yield d.batch_shape, d.event_shape, d.support.event_dim, y, d.sample().shape
            yield told(lambda d=d, y=y: d.log_prob(y.detach()))
            yield told(lambda d=d, y=y: d.cdf(y.detach())), told(lambda d=d: d.icdf(x.abs()))
            yield d.expand((4, *d.batch_shape)).sample().shape, repr(d)
        for wrong in (
            lambda: D.TransformedDistribution(normal, 3), lambda: D.TransformedDistribution(normal, [3]),
            lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform()),
            lambda: D.TransformedDistribution(normal, D.TanhTransform()).log_prob(T.tensor([2.0] * 3)),
        ):
            yield told(wrong)

    check(program)


def test_mixtures():
    def program(T):
        D = T.distributions
        rows = T.tensor([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1]])
        mixtures = (
            D.MixtureSameFamily(D.Categorical(rows[0]), D.Normal(T.tensor([0.0, 2.0]), T.tensor([1.0, 0.5]))),
            D.MixtureSameFamily(D.Categorical(rows), D.Gamma(T.ones(3, 2), T.tensor([1.0, 0.5]))),
            D.MixtureSameFamily(
                D.Categorical(rows), D.Independent(D.Normal(T.zeros(3, 2, 4), T.ones(4)), 1)
            ),
            D.MixtureSameFamily(D.Categorical(rows[1]), D.Poisson(T.ones(3, 2))),
        )
        for d in mixtures:
            T.manual_seed(5)
            x = d.sample((2,))
            yield x, d.log_prob(x), d.mean, d.variance, told(lambda d=d, x=x: d.cdf(x))
            yield repr(d), repr(d.support), d.has_rsample, d.batch_shape, d.event_shape
            wide = d.expand((5, *d.batch_shape))
            yield wide.sample().shape, wide.log_prob(x[0]).shape
        d = mixtures[0]
        yield d.mixture_distribution.probs, d.component_distribution.loc
        for wrong in (
            lambda: D.MixtureSameFamily(3, D.Normal(T.zeros(2), 1.0)),
            lambda: D.MixtureSameFamily(D.Categorical(rows[0]), 3),
            lambda: D.MixtureSameFamily(D.Categorical(rows), D.Normal(T.zeros(2, 2), T.ones(2))),
            lambda: D.MixtureSameFamily(D.Categorical(rows[0]), D.Normal(T.zeros(3), T.ones(3))),
            lambda: mixtures[1].log_prob(T.tensor(-1.0)),
        ):
            yield told(wrong)

    check(program)


def test_subclasses():
    def program(T):
        D = T.distributions

        class Plain(D.Normal):
            pass

        class Own(D.Normal):
            def __init__(self, extra, loc, scale):
                self.extra = extra
                super().__init__(loc, scale)

        class Complete(Own):
            def expand(self, batch_shape, _instance=None):
                new = self._get_checked_instance(Complete, _instance)
                new.extra = self.extra
                return super().expand(batch_shape, _instance=new)

        class Bare(D.Distribution):
            arg_constraints = {}

        yield type(Plain(0.0, 1.0).expand((2,))).__name__
        yield told(lambda: Own(3, 0.0, 1.0).expand((2,)))
        wide = Complete(3, 0.0, 1.0).expand((2,))
        yield type(wide).__name__, wide.extra, wide.loc
        bare = Bare(validate_args=False)
        for name in ("mean", "mode", "variance", "support", "stddev"):
            yield told(lambda name=name: getattr(bare, name))
        for get in (
            bare.sample, bare.rsample, bare.entropy, bare.enumerate_support, bare.perplexity,
            lambda: bare.log_prob(1), lambda: bare.cdf(1), lambda: bare.icdf(1),
            lambda: bare.expand((2,)), lambda: D.Distribution(validate_args=False).arg_constraints,
        ):
            yield told(get)
        yield repr(bare), bare.has_rsample, bare.batch_shape, bare.event_shape

    check(program)


def test_what_is_not_defined_is_warned_of():
    D = rushlight.distributions
    with pytest.warns(UserWarning, match="does not define `arg_constraints`"):
        d = D.Distribution()
    with pytest.warns(UserWarning, match="does not define `support`"):
        d._validate_sample(rushlight.tensor(1.0))


def test_switching_validation_off():
    D = rushlight.distributions
    nan = rushlight.tensor(float("nan"))
    try:
        D.Distribution.set_default_validate_args(False)
        assert D.Normal(0.0, -1.0).log_prob(nan).isnan()
        with pytest.raises(ValueError):
            D.Normal(0.0, -1.0, validate_args=True)
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError):
        D.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="True or False"):
        D.Distribution.set_default_validate_args("no")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name, i", [n for n in NAMES if n[1] == 0])
def test_copies(name, i):
    d, _ = build(rushlight, name, i)
    value = value_of(rushlight, name, i)
    expected = d.log_prob(value)
    for other in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert type(other) is type(d) and (other.log_prob(value) == expected).all()


def test_parameters_of_numbers_and_tensors():
    def program(T):
        D = T.distributions
        yield [p.dtype for p in (D.Normal(0, 1).loc, D.Normal(T.zeros(1).double(), 1).scale)]
        yield D.Normal(T.tensor([1, 2]), 3.7).scale, D.Beta(1, 2).concentration1.shape
        half = T.ones(2, dtype=T.bfloat16)
        yield D.Normal(half, half).log_prob(half).dtype, D.Gamma(half, half).entropy().dtype
        for wrong in (
            lambda: D.Normal("0", 1.0), lambda: D.Normal([0.0], 1.0), lambda: D.Categorical(),
            lambda: D.Bernoulli(0.5, 0.5), lambda: D.Categorical(T.tensor(1.0)), lambda: D.Dirichlet(
                T.tensor(1.0)), lambda: D.Multinomial(2.0, T.ones(2)), lambda: D.Multinomial(-1, T.ones(2)),
            lambda: D.Normal(T.zeros(2), T.ones(3)), lambda: D.LKJCholesky(1),
            lambda: D.MultivariateNormal(T.zeros(2)), lambda: D.MultivariateNormal(T.tensor(0.0), T.eye(2)),
            lambda: D.MultivariateNormal(T.zeros(2), T.ones(2)), lambda: D.Wishart(3.0),
            lambda: D.Wishart(0.5, T.eye(2)), lambda: D.Wishart(3.0, T.ones(2)),
            lambda: D.LowRankMultivariateNormal(T.zeros(2), T.ones(3, 1), T.ones(2)),
            lambda: D.LowRankMultivariateNormal(T.zeros(2), T.ones(2, 1), T.ones(3)),
            lambda: D.LowRankMultivariateNormal(T.zeros(3, 2), T.ones(4, 2, 1), T.ones(2)),
            lambda: D.Binomial(T.tensor([2, 3]), T.tensor([0.5, 0.5])).entropy(),
        ):
            yield told(wrong)

    check(program)


def test_utilities():
    def program(T):
        u = T.distributions.utils
        x = T.tensor([[0.0, 0.3, 1.0]])
        yield u.broadcast_all(x, 2, T.ones(4, 1)), u.broadcast_all(1, 2.5), told(lambda: u.broadcast_all("a"))
        for binary in (False, True):
            yield u.logits_to_probs(x, binary), u.probs_to_logits(x, binary)
        yield u.clamp_probs(x), u.clamp_probs(x.double())
        matrix = T.arange(9.0).reshape(3, 3)
        for diag in (-2, -1, 0, 1, 2):
            vector = u.tril_matrix_to_vec(matrix, diag)
            yield vector, told(lambda v=vector, k=diag: u.vec_to_tril_matrix(v, k))
        yield told(lambda: u.tril_matrix_to_vec(matrix, 3)), told(lambda: u.vec_to_tril_matrix(T.ones(4)))

        class Lazy:
            @u.lazy_property
            def root(self):
                return (x * T.ones(1, requires_grad=True)).sqrt()

        lazy = Lazy()
        with T.no_grad():
            yield lazy.root.requires_grad, lazy.root is lazy.root, isinstance(Lazy.root, property)

    check(program)


def test_gradient_of_incomplete_gamma():
    """PyTorch has none for the concentration: by differences instead."""
    D, T = rushlight.distributions, rushlight
    a = T.tensor([0.4, 2.5, 30.0], dtype=T.float64, requires_grad=True)
    x = T.tensor([0.3, 4.0, 25.0], dtype=T.float64)
    (slope,) = T.autograd.grad(D.Gamma(a, 1.0).cdf(x).sum(), a)
    step = 1e-5
    with T.no_grad():
        difference = (D.Gamma(a + step, 1.0).cdf(x) - D.Gamma(a - step, 1.0).cdf(x)) / (2 * step)
    assert (slope - difference).abs().max() < 1e-8


def test_policy_gradient_loop_agrees():
    """REINFORCE: sampled actions, log probabilities and entropies, then one update a step."""

    def program(T):
        T.manual_seed(0)
        net = T.nn.Sequential(T.nn.Linear(3, 8), T.nn.Tanh(), T.nn.Linear(8, 4))
        optimizer = T.optim.SGD(net.parameters(), lr=0.1)
        for step in range(6):
            state = T.full((3,), float(step))
            logs, entropies, actions = [], [], []
            for _ in range(4):
                policy = T.distributions.Categorical(logits=net(state))
                action = policy.sample()
                actions.append(action.item())
                logs.append(policy.log_prob(action) * (1.0 + action.item()))
                entropies.append(policy.entropy())
                state = state * 0.5 + action
            loss = -(T.stack(logs) + 0.1 * T.stack(entropies)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield actions, loss.detach()

    check(program, rtol=1e-4)
    assert torch.distributions.Categorical
