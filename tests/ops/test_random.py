"""Random numbers equal PyTorch's for the same seed, and so does the state they leave behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, check, check_error, find

import rushlight

rng = np.random.default_rng(10)
SIZES = [(0,), (1,), (5,), (15,), (16,), (17,), (3, 11), (8, 16), (2, 0, 3), (), (1000,)]
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTEGERS = [torch.int64, torch.int32, torch.int8, torch.uint8]


def seeded(framework, name, *args, seed=11, **kwargs):
    """A call after a seed, and the numbers that follow it."""
    framework.manual_seed(seed)
    made = find(framework, name)(*args, **kwargs)
    return made, framework.rand(3), framework.randint(1000, (2,))


def same(name, *args, exact=True, **kwargs):
    """Both frameworks give the same numbers: to the last bit, if exact."""
    near = {"rtol": 0, "atol": 0} if exact else {}
    check(seeded, name, *args, grad=kwargs.pop("grad", False), **near, **kwargs)


def filled(*shape, dtype="float32", view=None):
    """A tensor to be written to."""
    return Given(np.full(shape, 0.5), dtype=dtype, view=view)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes(size):
    for dtype in FLOATS:
        same("rand", size, dtype=dtype)
        same("randn", size, dtype=dtype)
    for dtype in INTEGERS:
        same("randint", 3, 100, size, dtype=dtype)
    same("randn", size, dtype=torch.complex64)
    same("randint", -5, 2**40, size)
    same("randint", 7, size, dtype=torch.float32)
    like = np.zeros(size, np.float32)
    same("rand_like", like)
    same("randn_like", like, dtype=torch.float64)
    same("randint_like", like, 10)
    same("randint_like", np.zeros(size, int), 5, 2**33)


@pytest.mark.parametrize("n", [0, 1, 2, 10, 15, 16, 17, 100, 1000])
def test_permutations(n):
    same("randperm", n)
    same("randperm", n, dtype=torch.int32)


FILLS = [
    ("uniform_", ()), ("uniform_", (-2.0, 5.0)), ("uniform_", (0.1, 0.7)),
    ("uniform_", (1e3, 1e3 + 1)), ("uniform_", (-2.3, 5.7)),
    ("normal_", ()), ("normal_", (3.0, 0.5)), ("normal_", (0.3, 0.7)),
    ("random_", ()), ("random_", (100,)), ("random_", (-3, 9)), ("bernoulli_", ()),
    ("bernoulli_", (0.2,)), ("exponential_", ()), ("exponential_", (3.0,)), ("geometric_", (0.3,)),
    ("cauchy_", ()), ("cauchy_", (1.0, 2.0)), ("log_normal_", ()), ("log_normal_", (0.5, 0.25)),
]


@pytest.mark.parametrize("name, args", FILLS, ids=str)
def test_fills(name, args):
    for shape in ((3,), (15,), (16,), (4, 9)):
        for dtype in ("float32", "float64", "bfloat16"):
            same(f"Tensor.{name}", filled(*shape, dtype=dtype), *args)
    same(f"Tensor.{name}", filled(5, 6, view=lambda t: t.T), *args)
    same(f"Tensor.{name}", filled(6, 6, view=lambda t: t[:, ::2]), *args)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", "bool"])
def test_integer_fills(dtype):
    for n in (5, 40):
        same("Tensor.random_", filled(n, dtype=dtype))
        same("Tensor.bernoulli_", filled(n, dtype=dtype), 0.4)
        same("Tensor.random_", filled(n, dtype=dtype), 2)
        if dtype != "bool":
            same("Tensor.geometric_", filled(n, dtype=dtype), 0.5)


def test_probabilities():
    p = rng.random((4, 9))
    for dtype in ("float32", "float64", "bfloat16"):
        same("bernoulli", Given(p, dtype=dtype))
        same("Tensor.bernoulli_", filled(4, 9), Given(p[0], dtype=dtype))
    same("bernoulli", p, 0.3)
    same("bernoulli", p, grad=True)
    same("Tensor.bernoulli", p)
    same("bernoulli", Given(p, view=lambda t: t.T))


def test_poisson():
    same("poisson", Given(np.array([0.0, 0.3, 2.0, 9.99, 10.0, 25.5, 400.0] * 20), "float32"))
    same("poisson", rng.random((5, 6)) * 30)
    check_error("poisson", np.array([-1.0]))


def test_last_bits():
    """Many numbers: each path of rounding is taken."""
    for dtype in FLOATS:
        for name in ("randn", "rand"):
            same(name, 20011, dtype=dtype)
        for name, *args in (("normal_", 0.3, 1.7), ("exponential_", 1.5), ("log_normal_", 0.5, 1.5),
                            ("cauchy_", 0.5, 1.5), ("uniform_", -0.3, 1.7), ("geometric_", 0.3)):
            if dtype != torch.float16 or name != "cauchy_":  # (infinities)
                same("Tensor." + name, filled(5003, dtype=str(dtype)[6:]), *args)
    same("nn.functional.rrelu", Given(-np.ones(999), "float32"), training=True)


@pytest.mark.parametrize("args", [
    (0.5, 2.0, (20,)), (rng.random(20), 2.0), (0.0, rng.random(20)),
    (rng.random(20), rng.random(20)), (rng.random(5), 1.0),
    (rng.random((4, 1)), rng.random(5)), (rng.random(20), rng.random(1))],
    ids=lambda a: str([getattr(x, "shape", x) for x in a]))
def test_normal(args):
    same("normal", *args)


@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial(replacement):
    for weights in (rng.random(7), rng.random((3, 7)), np.array([0.0, 1, 0, 3, 2, 1, 1])):
        for count in (1, 3, 5):
            same("multinomial", weights, count, replacement)
            same("Tensor.multinomial", weights.astype(np.float32), count, replacement=replacement)


def test_one_of_few_weights_is_the_one_that_pytorch_draws():
    """Drawn in Python's numbers; also of weights that are equal, zero, or of one element."""
    r = np.random.default_rng(0)
    for seed in range(300):
        weights = r.random([(2,), (1, 2), (3, 4), (5,), (2, 8), (1, 1)][seed % 6]).astype(["float32", "float64"][seed % 2])
        if seed % 5 == 0:
            weights = np.ceil(weights * 3) / 3
        if seed % 7 == 0 and weights.shape[-1] > 1:
            weights[..., 0] = 0
        drawn = []
        for T in (torch, rushlight):
            T.manual_seed(seed)
            drawn.append((T.multinomial(T.tensor(weights), 1, bool(seed % 3)).tolist(), T.rand(1).item()))
        assert drawn[0] == drawn[1], weights


DROPOUTS = [("dropout", (3, 7)), ("dropout", (5,)), ("dropout", (64,)), ("dropout1d", (3, 4, 5)),
            ("dropout1d", (4, 5)), ("dropout2d", (2, 3, 4, 4)), ("dropout3d", (2, 3, 2, 2, 2)),
            ("feature_alpha_dropout", (3, 4, 5)), ("alpha_dropout", (3, 20)), ("dropout", (0, 3))]


@pytest.mark.parametrize("name, shape", DROPOUTS, ids=str)
def test_dropout(name, shape):
    name, x = "nn.functional." + name, rng.standard_normal(shape)
    for p in (0.0, 0.3, 1.0):
        same(name, x, p, True, grad=True, exact=False)
        same(name, Given(x, dtype="float32"), p, True, grad=True, exact=False)
        same(name, x, p, False, grad=True, exact=False)
    same(name, Given(x, view=lambda t: t.clone()), 0.4, True, True, exact=False)
    same(name, Given(x, dtype="bfloat16"), 0.3, True, exact=False)


def test_published_dropout():
    x = rng.standard_normal((4, 6, 5))
    for name in ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"):
        same(name, x, 0.3, True, grad=True, exact=False)


def test_generators():
    """A generator of one's own leaves the default one alone; states can be kept and set."""
    def own(framework):
        g = framework.Generator().manual_seed(5)
        first = framework.rand(4, generator=g), framework.randperm(5, generator=g)
        state = framework.get_rng_state()
        second = framework.randn(20)
        framework.set_rng_state(state)
        return first, second, framework.randn(20), g.initial_seed(), framework.initial_seed()

    same_seed = lambda framework: (framework.manual_seed(3), own(framework))[1]  # noqa: E731
    check(same_seed, grad=False)


def test_half_normal():
    """Fewer than 16 normal numbers come in pairs: the second is kept for the next call."""
    def pairs(framework):
        framework.manual_seed(4)
        parts = [framework.randn(n) for n in (1, 2, 1, 3, 16, 1)]
        return [*parts, framework.randn(3, dtype=framework.float64), framework.randn(1)]

    check(pairs, grad=False)


def test_out():
    for name, *args in (("rand", 17), ("randn", 17), ("randperm", 17), ("randint", 9, (17,))):
        whole = name.startswith("randp") or name.startswith("randi")
        same(name, *args, out=filled(17, dtype="int64" if whole else "float32"))
    check_error("rand", 3, dtype=torch.int64)


@pytest.mark.parametrize("name, args", [
    ("randint", (5, 5, (2,))), ("randperm", (-1,)), ("Tensor.normal_", (np.ones(2), 0.0, -1.0)),
    ("Tensor.uniform_", (np.ones(2), 2.0, 1.0)), ("Tensor.random_", (np.ones(2), 3, 3)),
    ("Tensor.bernoulli_", (np.ones(2), 1.5)), ("Tensor.exponential_", (np.ones(2), 0.0)),
    ("Tensor.geometric_", (np.ones(2), 1.0)), ("Tensor.cauchy_", (np.ones(2), 0.0, 0.0)),
    ("Tensor.log_normal_", (np.ones(2), 0.0, 0.0)), ("Tensor.normal_", (np.arange(3),)),
    ("Tensor.uniform_", (np.arange(3),)), ("multinomial", (np.ones(3), 4)),
    ("multinomial", (np.ones((2, 2, 2)), 1)), ("multinomial", (np.ones(3), 0)),
    ("multinomial", (np.array([1.0, -1.0]), 1)), ("multinomial", (np.zeros(3), 1)),
    ("multinomial", (np.arange(3), 1)), ("nn.functional.dropout", (np.ones(3), 1.5)),
    ("nn.functional.dropout", (np.ones(3), -0.1)),
    ("nn.functional.alpha_dropout", (np.ones(3), 2.0)), ("rand", (-1,)),
    ("poisson", (-np.ones(3),)), ("normal", (np.ones(3), -1.0)),
    ("bernoulli", (np.ones(3) * 2,)), ("bernoulli", (np.arange(2),)),
])
def test_errors(name, args):
    check_error(seeded, name, *args)


@pytest.mark.parametrize("module", [rushlight, torch], ids=["rushlight", "torch"])
def test_one_index_of_weights_that_are_not_allowed(module):
    """As for many: zero, negative, infinite and NaN weights, in any row and place; a row without weights."""
    good = [0.25, 0.5, 0.25]
    for bad in ([0.0, 0.0, 0.0], [0.5, -0.1, 0.6], [float("nan"), 1.0, 1.0], [1.0, float("nan"), 1.0],
                [1.0, 1.0, float("nan")], [float("inf"), 1.0, 1.0]):
        for rows in (bad, [bad], [good, bad]):
            with pytest.raises(RuntimeError):
                module.multinomial(module.tensor(rows), 1).item()
    large = [3e38, 3e38, 0.0]  # their sum in float32 is infinite
    assert module.multinomial(module.tensor([large], dtype=module.float64), 1).item() in (0, 1)
    with pytest.raises(RuntimeError):
        module.multinomial(module.zeros(1, 0), 1, replacement=True).item()
    assert module.multinomial(module.zeros(0, 3), 1).shape == (0, 1)
