"""Losses against PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle import Given, check, check_error, check_program

pytestmark = pytest.mark.filterwarnings("ignore")
rng = np.random.default_rng(8)
F = "nn.functional."
REDUCTIONS = ["mean", "sum", "none"]


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def u(*shape):
    """Numbers in (0.05, 0.95)."""
    return np.asarray(rng.random(shape) * 0.9 + 0.05)


def signs(*shape):
    """Targets 1 and -1."""
    return Given(rng.choice([-1.0, 1.0], shape), grad=False)


def fixed(x):
    """A tensor that needs no gradient."""
    return Given(x, grad=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name, options", [
    ("mse_loss", {}), ("l1_loss", {}), ("smooth_l1_loss", {}), ("smooth_l1_loss", {"beta": 0.3}),
    ("smooth_l1_loss", {"beta": 0.0}), ("huber_loss", {}), ("huber_loss", {"delta": 0.4})], ids=str)
def test_differences(name, options, reduction):
    options = {**options, "reduction": reduction}
    for a, b in (((3, 4), (3, 4)), ((), ()), ((0, 2), (0, 2)), ((3, 4), (4,))):
        check(F + name, n(*a), n(*b), gradgrad=True, **options)
    check(F + name, Given(n(4, 3), view=lambda t: t.T), n(3, 4), **options)
    half = [Given(n(3, 4), dtype="bfloat16") for _ in "ab"]
    check(F + name, *half, atol=0.2, rtol=5e-2, **options)
    if name != "huber_loss":
        check(F + name, n(3, 4).astype(np.float32), fixed(n(3, 4)), **options)


def test_weighted_differences():
    for name, reduction in itertools.product(("mse_loss", "l1_loss", "huber_loss"), REDUCTIONS):
        if reduction != "mean" or name == "huber_loss":
            check(F + name, n(3, 4), n(3, 4), weight=fixed(u(3, 4)), reduction=reduction)


def classes(*shape, c=5, ignored=-100):
    """Class indices, the first of them ignored."""
    made = rng.integers(0, c, shape)
    made.reshape(-1)[:1] = ignored
    return made


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape, at", [((4, 5), (4,)), ((2, 5, 3), (2, 3)),
                                       ((2, 5, 2, 3), (2, 2, 3)), ((1, 5, 1, 1), (1, 1, 1))])
def test_classes(shape, at, reduction):
    x, w, y = n(*shape), fixed(u(5)), (np.arange(np.prod(at)) * 3 + 1).reshape(at) % 5
    options = {"reduction": reduction}
    for name in ("nll_loss", "cross_entropy"):
        check(F + name, x, y, gradgrad=True, **options)
        check(F + name, x, y, w, gradgrad=True, **options)
        check(F + name, x, np.where(y == 2, 3, y), ignore_index=3, **options)
        check(F + name, x, np.where(y == 2, -100, y), w, **options)
        half = Given(x, dtype="bfloat16")
        check(F + name, half, y, atol=5e-2, rtol=5e-2, **options)
    smooth = {"label_smoothing": 0.2, **options}
    check(F + "cross_entropy", x, y, gradgrad=True, **smooth)
    check(F + "cross_entropy", x, y, w, **smooth)
    check(F + "cross_entropy", x, np.where(y == 2, 3, y), w, ignore_index=3, **smooth)
    p = np.exp(n(*shape))
    p /= p.sum(1, keepdims=True)
    check(F + "cross_entropy", x, p, gradgrad=True, **options)
    check(F + "cross_entropy", x, p, w, label_smoothing=0.3, **options)


def test_classes_forms():
    check(F + "nll_loss", n(5), np.array(3))
    check(F + "cross_entropy", n(5), np.array(3), reduction="none")
    check(F + "cross_entropy", n(5), np.array(3), fixed(u(5)), label_smoothing=0.1)
    check(F + "cross_entropy", n(5), u(5))
    check(F + "cross_entropy", n(0, 5), np.zeros(0, int), reduction="none")
    check(F + "cross_entropy", n(0, 5), np.zeros(0, int))
    check(F + "cross_entropy", n(2, 5), np.full(2, -100))
    check(F + "cross_entropy", 1e4 * n(3, 5), np.array([1, 2, 3]))
    check(F + "cross_entropy", n(3, 5).astype(np.float32), np.array([1, 2, 3], np.uint8))
    check(F + "cross_entropy", Given(n(5, 4), view=lambda t: t.T), classes(4))
    check(F + "cross_entropy", n(4, 5), classes(4), size_average=False)
    check(F + "nll_loss", n(4, 5), classes(4), reduce=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 3)], ids=str)
def test_binary(shape, reduction):
    options = {"reduction": reduction}
    check(F + "binary_cross_entropy", u(*shape), u(*shape), gradgrad=True, **options)
    check(F + "binary_cross_entropy", u(*shape), fixed(u(*shape)), fixed(u(*shape)), **options)
    name = F + "binary_cross_entropy_with_logits"
    check(name, n(*shape), u(*shape), gradgrad=True, **options)
    check(name, n(*shape), fixed(u(*shape)), fixed(u(*shape)), **options)
    if shape:
        check(name, n(*shape), u(*shape), pos_weight=fixed(u(shape[-1])), **options)
        check(name, n(*shape), u(*shape), fixed(u(shape[-1])), pos_weight=fixed(u(1)), **options)


def test_edges():
    ends = np.array([0.0, 1.0, 0.0, 1.0])
    check(F + "binary_cross_entropy", ends, fixed(np.array([0.0, 1.0, 1.0, 0.0])), reduction="none")
    check(F + "binary_cross_entropy_with_logits", np.array([1e3, -1e3, 0.0]), fixed(np.ones(3)))


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_divergence(reduction, log_target):
    y = np.log(u(3, 4)) if log_target else u(3, 4)
    options = {"reduction": reduction, "log_target": log_target}
    check(F + "kl_div", np.log(u(3, 4)), y, gradgrad=True, **options)
    check(F + "kl_div", n(4), fixed(u(4)), **options)
    check(F + "kl_div", n(2, 2), fixed(np.array([[0.0, 0.5], [1.0, 0.0]])), **options)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name, make, options", [
    ("cosine_embedding_loss", lambda: (n(4, 3), n(4, 3), signs(4)), {"margin": 0.1}),
    ("cosine_embedding_loss", lambda: (n(3), n(3), fixed(np.array(1.0))), {}),
    ("cosine_embedding_loss", lambda: (classes(4, 3), classes(4, 3), signs(4)), {}),
    ("hinge_embedding_loss", lambda: (n(4, 3), signs(4, 3)), {}),
    ("hinge_embedding_loss", lambda: (n(4), signs(4)), {"margin": 0.2}),
    ("margin_ranking_loss", lambda: (n(4), n(4), signs(4)), {"margin": 0.3}),
    ("margin_ranking_loss", lambda: (n(3, 4), n(3, 4), signs(3, 4)), {}),
    ("triplet_margin_loss", lambda: (n(4, 3), n(4, 3), n(4, 3)), {}),
    ("triplet_margin_loss", lambda: (n(3), n(3), n(3)), {"p": 1.0, "margin": 0.5}),
    ("triplet_margin_loss", lambda: (n(4, 3), n(4, 3), n(4, 3)), {"swap": True, "eps": 1e-3}),
    ("triplet_margin_with_distance_loss", lambda: (n(4, 3), n(4, 3), n(4, 3)), {"swap": True}),
    ("soft_margin_loss", lambda: (n(4, 3), signs(4, 3)), {}),
    ("poisson_nll_loss", lambda: (n(4), fixed(np.array([0.0, 1.0, 2.0, 5.0]))), {"full": True}),
    ("poisson_nll_loss", lambda: (u(4), u(4)), {"log_input": False}),
    ("gaussian_nll_loss", lambda: (n(3, 4), n(3, 4), u(3, 4)), {}),
    ("gaussian_nll_loss", lambda: (n(3, 4), n(3, 4), u(3)), {"full": True}),
    ("gaussian_nll_loss", lambda: (n(3, 4), n(3, 4), u(3, 1)), {"eps": 0.02}),
    ("gaussian_nll_loss", lambda: (n(3, 4), n(3, 4), 0.7), {}),
    ("multi_margin_loss", lambda: (n(4, 5), classes(4, ignored=0)), {}),
    ("multi_margin_loss", lambda: (n(4, 5), classes(4, ignored=0)), {"p": 2, "margin": 0.4}),
    ("multi_margin_loss", lambda: (n(4, 5), classes(4, ignored=0), 1, 1.0, fixed(u(5))), {}),
    ("multi_margin_loss", lambda: (n(5), np.array(2)), {}),
    ("multi_margin_loss", lambda: (np.array(0.4), np.array([0])), {}),
    ("multilabel_soft_margin_loss", lambda: (n(4, 5), fixed(np.round(u(4, 5)))), {}),
    ("multilabel_soft_margin_loss", lambda: (n(4, 5), fixed(np.round(u(4, 5))), fixed(u(5))), {}),
])
def test_margins(name, make, options, reduction):
    smooth = name not in ("multi_margin_loss", "soft_margin_loss")
    check(F + name, *make(), reduction=reduction, gradgrad=smooth, rtol=1e-6, **options)


@pytest.mark.parametrize("shape, other, dim", [((3, 4), (3, 4), 1), ((3, 4), (1, 4), -1),
                                               ((4,), (4,), 0), ((2, 3, 4), (3, 1), 1),
                                               ((3, 0), (3, 0), 1)], ids=str)
def test_similarity(shape, other, dim):
    check("cosine_similarity", n(*shape), n(*other), dim, gradgrad=True)
    check(F + "cosine_similarity", n(*shape), n(*other), dim=dim, eps=0.1)
    check(F + "cosine_similarity", Given(n(*shape), dtype="bfloat16"),
          Given(n(*other), dtype="bfloat16"), dim, grad=False, atol=3e-2)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 0.0, float("inf")])
def test_distance(p):
    check("pairwise_distance", n(3, 4), n(3, 4), p, gradgrad=p not in (0.0, float("inf")))
    check(F + "pairwise_distance", n(2, 3, 4), n(4), p, 1e-3, True)
    check(F + "pairwise_distance", n(4), n(4), p)


def call(framework, name, *args, **kwargs):
    """A loss, with its result read."""
    getattr(framework.nn.functional, name)(*args, **kwargs).tolist()


X = n(4, 5)


@pytest.mark.parametrize("name, args, options", [
    ("mse_loss", (X, n(3, 5)), {}), ("mse_loss", (X, X), {"reduction": "other"}),
    ("smooth_l1_loss", (X, X), {"beta": -1.0}), ("huber_loss", (X, X), {"delta": 0.0}),
    ("nll_loss", (X, classes(3)), {}), ("nll_loss", (X, X), {}),
    ("nll_loss", (X, np.full(4, 5)), {}),
    ("nll_loss", (X, np.full(4, 1), u(4)), {}), ("nll_loss", (n(2, 5, 3), classes(2, 4)), {}),
    ("cross_entropy", (X, np.full(4, -1)), {}), ("cross_entropy", (X, np.full(4, 9)), {}),
    ("cross_entropy", (X, classes(4)), {"label_smoothing": 1.5}),
    ("cross_entropy", (X, u(4, 4)), {}),
    ("cross_entropy", (X, classes(4)), {"reduction": "other"}),
    ("cross_entropy", (X, classes(3)), {}),
    ("cross_entropy", (X, np.full(4, 1, np.int32)), {}),
    ("cross_entropy", (X, classes(4), u(3)), {}),
    ("binary_cross_entropy", (u(3), u(4)), {}), ("binary_cross_entropy", (X + 9, u(4, 5)), {}),
    ("binary_cross_entropy_with_logits", (X, u(4)), {}), ("kl_div", (X, X), {"reduction": "other"}),
    ("cosine_embedding_loss", (X, X, signs(4, 5)), {}),
    ("margin_ranking_loss", (X, n(5), signs(4)), {}),
    ("gaussian_nll_loss", (X, X, n(3)), {}),
    ("gaussian_nll_loss", (X, X, -1.0), {}), ("multi_margin_loss", (X, classes(4)), {"p": 3}),
    ("multi_margin_loss", (X, classes(3)), {}), ("multi_margin_loss", (X, X[0]), {}),
    ("multi_margin_loss", (X, classes(4)), {"weight": X}), ("multilabel_soft_margin_loss", (X, n(3, 5)), {}),
    ("cosine_similarity", (X, n(4, 3)), {}), ("pairwise_distance", (X, n(4, 3)), {}),
    ("cosine_similarity", (X, X), {"dim": 2}),
])
def test_errors(name, args, options):
    check_error(call, name, *args, **options)


def test_corners():
    n = np.random.default_rng(9).standard_normal
    a, b = n((3, 4)), n((3, 4))
    for name in ("mse_loss", "l1_loss"):
        check("nn.functional." + name, a, b, weight=Given(np.abs(a), grad=False))
    check("nn.functional.gaussian_nll_loss", a, b, np.abs(a), eps=0.5)
    check_error("nn.functional.triplet_margin_loss", a, n(4), a)
    check("nn.functional.nll_loss", n((1, 5, 1, 1)), np.full((1, 1, 1), 3), ignore_index=3)
    check_error("nn.functional.cross_entropy", a, np.zeros(3, np.int32))


def test_multilabel_margin():
    x = rng.standard_normal((4, 5))
    y = np.array([[3, 0, -1, 1, 2], [0, 1, 2, 3, 4], [-1, 0, 1, 2, 3], [2, 2, -1, 0, 0]])
    for reduction in ("none", "mean", "sum"):
        check("nn.functional.multilabel_margin_loss", x, y, reduction=reduction)
        check("nn.functional.multilabel_margin_loss", x[0], y[0], reduction=reduction)
    check_error("nn.functional.multilabel_margin_loss", x, y[:, :4])
    check_error("nn.functional.multilabel_margin_loss", x, y, reduction="abc")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_classes_without_a_batch(name, reduction):
    """The target may have one dimension of one element; the loss has none (PyTorch has no gradient then)."""
    x, name = rng.standard_normal(5), f"nn.functional.{name}"
    check(name, x, np.array(2), reduction=reduction)
    check(name, x, np.array([2]), reduction=reduction, grad=False)
    check(name, x, np.array([2]), np.abs(x), reduction=reduction, grad=False)
    check_error(name, x, np.array([1, 2]), reduction=reduction)


def test_linear_cross_entropy():
    x, w, b = rng.standard_normal((4, 3)), rng.standard_normal((5, 3)), rng.standard_normal(5)
    y = np.array([0, 4, 2, 2])
    name = "nn.functional.linear_cross_entropy"
    check(name, x, w, y, linear_bias=b)
    check(name, x, w, y, ignore_index=2, label_smoothing=0.1, reduction="sum")
    check(name, x[0], w, np.array(4))
    check(name, x, rng.standard_normal((5, 2, 3)), np.array([[0, 1]] * 4))
    check_error(name, x, w[:, :2], y)
    check_error(name, x, w, y, linear_bias=b[:3])
    check_error(name, x, w, y, label_smoothing=2.0)


def test_dtypes_of_weights_and_targets():
    x, y = rng.standard_normal((3, 4)), np.array([0, 3, 1])
    check_error("nn.functional.nll_loss", x, y, Given(np.ones(4), "float16"))
    check_error("nn.functional.cross_entropy", x, np.abs(x), ignore_index=1)


def test_a_loss_may_be_scaled_in_place():
    """The gradient of cross_entropy reads the log-softmax and not the loss."""
    import torch as oracle

    import rushlight

    def gradient(t):
        x = t.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], requires_grad=True)
        found = []
        for _ in range(4):
            loss = t.nn.functional.cross_entropy(x, t.tensor([1, 0]))
            loss *= 3
            found.append(t.autograd.grad(loss, x, create_graph=True)[0].square().sum())
        t.autograd.grad(found[-1], x)
        return [f.item() for f in found], t.autograd.grad(found[0], x)[0].flatten().tolist()

    ours, theirs = gradient(rushlight), gradient(oracle)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-4)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_dtypes_of_expanded_targets(name):
    """Losses expand both before they promote: a 0-dim input counts like any other."""

    def program(T):
        f = getattr(T.nn.functional, name)
        return f(T.tensor(1.5, dtype=T.float64), T.ones(2, 2, dtype=T.bfloat16))

    check_program(program)
