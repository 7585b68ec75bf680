"""Normalisations against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error, check_program

rng = np.random.default_rng(6)
F = "nn.functional."


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape) * 2 + 0.5)


def plain(*shape):
    """Positive numbers that need no gradient: running statistics."""
    return Given(rng.random(shape) + 0.5, grad=False)


SHAPES = [(6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm(shape):
    x = n(*shape)
    check(F + "batch_norm", x, plain(3), plain(3), n(3), n(3), True, 0.3, gradgrad=True, rtol=1e-6)
    check(F + "batch_norm", x, plain(3), plain(3), n(3), n(3), gradgrad=True)
    check(F + "batch_norm", x, None, None, n(3), n(3), training=True, eps=0.1)
    check(F + "batch_norm", x, plain(3), plain(3), training=True, momentum=1.0)
    check(F + "batch_norm", x, plain(3), plain(3), eps=0.5)
    check(F + "batch_norm", x, plain(3), plain(3), None, n(3), False)
    single = [Given(a, dtype="float32") for a in (x, n(3), n(3))]
    stats = [Given(rng.random(3), dtype="float32", grad=False) for _ in range(2)]
    check(F + "batch_norm", single[0], *stats, *single[1:], True, atol=1e-4, rtol=1e-4)


def test_batch_norm_forms():
    turned = Given(n(2, 4, 5, 3), view=lambda t: t.permute(0, 3, 1, 2))
    check(F + "batch_norm", turned, plain(3), plain(3), n(3), n(3), True, strides=False)
    half = [Given(n(*s), dtype="bfloat16") for s in ((4, 3, 5), (3,), (3,))]
    check(F + "batch_norm", half[0], None, None, *half[1:], True, atol=5e-2, rtol=5e-2)
    check(F + "batch_norm", n(0, 3), plain(3), plain(3))


@pytest.mark.parametrize("shape, last", [((4, 5), (5,)), ((5,), (5,)), ((2, 3, 4), (3, 4)),
                                         ((2, 3, 4), (4,)), ((2, 3, 4), (2, 3, 4)), ((0, 4), (4,)),
                                         ((3, 1), (1,))], ids=str)
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_last(name, shape, last):
    x = n(*shape)
    check(F + name, x, last, gradgrad=True, rtol=1e-6)
    check(name, x, last, n(*last), eps=0.1, gradgrad=True)
    check(F + name, Given(x, dtype="float32"), last, Given(n(*last), dtype="float32"), atol=1e-4)
    check(F + name, Given(x, dtype="bfloat16"), last, Given(n(*last), dtype="bfloat16"), eps=1e-2,
          grad=False)
    if name == "layer_norm":
        check(F + name, x, last, n(*last), n(*last), 1e-3, gradgrad=True)
        check(F + name, x, last, None, n(*last))


def test_last_layout():
    for name in ("layer_norm", "rms_norm"):
        check(F + name, Given(n(4, 3), view=lambda t: t.T), (4,), n(4), strides=False)
        check(F + name, Given(n(3, 8), view=lambda t: t[:, ::2]), (4,), n(4))


@pytest.mark.parametrize("shape, groups", [((2, 4), 2), ((2, 6, 5), 3), ((2, 4, 3, 2), 1),
                                           ((2, 4, 3, 2), 4), ((0, 4, 3), 2)], ids=str)
def test_group_norm(shape, groups):
    c = shape[1]
    check(F + "group_norm", n(*shape), groups, n(c), n(c), gradgrad=True, rtol=1e-6)
    check("group_norm", n(*shape), groups, eps=0.1)
    check(F + "group_norm", n(*shape), groups, n(c))
    half = [Given(n(*s), dtype="float16") for s in (shape, (c,), (c,))]
    check(F + "group_norm", half[0], groups, *half[1:], grad=False, atol=1e-2)
    turned = Given(n(shape[1], shape[0], *shape[2:]), view=lambda t: t.transpose(0, 1))
    check(F + "group_norm", turned, groups, strides=False)


@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)], ids=str)
def test_instance_norm(shape):
    x = n(*shape)
    check(F + "instance_norm", x, gradgrad=True, rtol=1e-6)
    check(F + "instance_norm", x, plain(3), plain(3), n(3), n(3), True, 0.2, rtol=1e-6)
    check(F + "instance_norm", x, plain(3), plain(3), n(3), n(3), use_input_stats=False)
    check(F + "instance_norm", x, None, None, n(3), n(3), eps=0.3)


@pytest.mark.parametrize("options", [{}, {"p": 1.0}, {"p": 3.0, "dim": 0}, {"dim": -1},
                                     {"p": float("inf")}, {"eps": 5.0}, {"dim": (0, 1)}], ids=str)
def test_normalize(options):
    check(F + "normalize", n(3, 4, 2), gradgrad=options.get("p") != float("inf"), **options)
    check(F + "normalize", Given(n(3, 4, 2), dtype="float32", view=lambda t: t.mT), strides=False,
          **options)


def test_normalize_forms():
    check(F + "normalize", n(4), dim=0)
    check(F + "normalize", np.zeros((2, 3)), grad=False)
    check(F + "normalize", n(0, 3))
    check(F + "normalize", n(2, 3) + 1j * n(2, 3))
    check(F + "normalize", n(2, 3), out=np.zeros((2, 3)), grad=False)


@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 5, 3, 4), (2, 4, 2, 3, 2)], ids=str)
def test_local_response(shape):
    check(F + "local_response_norm", n(*shape), 2, gradgrad=True)
    check(F + "local_response_norm", n(*shape), 3, 0.1, 0.5, 2.0)
    check(F + "local_response_norm", (n(*shape) * 4).astype(int), 3, 0.1)


X = n(4, 3, 5)


@pytest.mark.parametrize("name, args, options", [
    ("batch_norm", (X, None, None), {}), ("batch_norm", (X, plain(4), plain(4)), {}),
    ("batch_norm", (X, plain(3), plain(3), n(4)), {}),
    ("batch_norm", (X, plain(3), plain(3), None, n(2)), {}),
    ("batch_norm", (n(1, 3), None, None), {"training": True}),
    ("batch_norm", (X, None, None), {"training": True, "eps": 0.0}),
    ("layer_norm", (X, (4,)), {}), ("layer_norm", (X, ()), {}), ("layer_norm", (X, (5,), n(4)), {}),
    ("layer_norm", (X, (5,), n(5), n(3)), {}), ("layer_norm", (n(5), (3, 5)), {}),
    ("rms_norm", (X, (4,)), {}), ("rms_norm", (X, ()), {}), ("rms_norm", (X, (5,), n(3)), {}),
    ("group_norm", (X, 2), {}), ("group_norm", (n(3), 1), {}), ("group_norm", (X, 3, n(2)), {}),
    ("group_norm", (X, 0), {}), ("instance_norm", (n(2, 3, 1),), {}),
    ("instance_norm", (n(2, 3),), {}),
    ("normalize", (X,), {"dim": 3}), ("local_response_norm", (n(3, 4), 2), {}),
])
def test_errors(name, args, options):
    check_error(F + name, *args, **options)


def test_corners():
    check("nn.functional.local_response_norm", np.zeros((2, 0, 3)), 2)
    check_error("nn.functional.layer_norm", np.arange(5), (5,))


@pytest.mark.parametrize("norm", ["layer", "batch", "instance", "group"])
def test_a_result_may_be_written(norm):
    """Normalisation without weights, and an activation in place."""
    def program(T):
        F = T.nn.functional
        x = (T.arange(24.0).reshape(2, 4, 3) ** 1.5).requires_grad_()
        for _ in range(3):
            made = {"layer": lambda: F.layer_norm(x, (3,)), "batch": lambda: F.batch_norm(x, None, None, training=True),
                    "instance": lambda: F.instance_norm(x), "group": lambda: F.group_norm(x, 2)}[norm]()
            (T.relu_(made) * 0.5).pow(3).sum().backward()
        return [x.grad.detach()]

    check_program(program)
