"""embedding and embedding_bag against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, assert_same, check, check_error

import rushlight

rng = np.random.default_rng(1)
W = rng.standard_normal((6, 4))
I = np.array([[0, 2, 5], [2, 2, 1]])  # noqa: E741
FLAT = np.array([0, 2, 5, 2, 2, 1, 4])
OFFSETS = np.array([0, 3, 3, 5])
EMBEDDING, BAG = "nn.functional.embedding", "nn.functional.embedding_bag"


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"padding_idx": -1},
                                     {"scale_grad_by_freq": True},
                                     {"padding_idx": 2, "scale_grad_by_freq": True}], ids=str)
@pytest.mark.parametrize("indices", [I, FLAT, np.array(3), np.zeros((0, 2), int),
                                     I.astype(np.int32)], ids=lambda i: f"{i.dtype}{i.shape}")
def test_embedding(indices, options):
    simple = not options.get("scale_grad_by_freq")
    check(EMBEDDING, indices, W, gradgrad=simple, **options)


def test_embedding_half():
    check(EMBEDDING, I, Given(W, dtype="bfloat16"))
    check(EMBEDDING, I, Given(W, dtype="float16"))


@pytest.mark.parametrize("norm", [1.0, 2.0])
def test_max_norm(norm):
    results = []
    for framework in (torch, rushlight):
        w = framework.tensor(W)
        out = framework.nn.functional.embedding(framework.tensor(I), w, None, 0.7, norm)
        results.append((out, w))
    assert_same(results[1], results[0])


def call_embedding(framework, *args, **kwargs):
    """embedding, with its result read."""
    framework.nn.functional.embedding(*args, **kwargs).tolist()


def call_bag(framework, *args, **kwargs):
    """embedding_bag, with its result read."""
    framework.nn.functional.embedding_bag(*args, **kwargs).tolist()


def test_errors():
    check_error(call_embedding, I + 2, W)
    check_error(call_embedding, I - 1, W)
    check_error(call_embedding, I * 1.0, W)
    check_error(call_embedding, I, W[0])
    check_error(call_embedding, I, W, padding_idx=6)
    check_error(call_bag, FLAT, W)
    check_error(call_bag, FLAT, W, np.array([0, 9]))
    check_error(call_bag, FLAT, W, np.array([1, 2]))
    check_error(call_bag, I, W, np.array([0]))
    check_error(call_bag, FLAT + 3, W, OFFSETS)
    check_error(call_bag, FLAT, W, OFFSETS, mode="median")
    check_error(call_bag, I, W, per_sample_weights=np.ones(3), mode="sum")


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}], ids=str)
def test_bag(mode, options):
    check(BAG, I, W, mode=mode, **options)
    check(BAG, FLAT, W, OFFSETS, mode=mode, **options)
    last = np.append(OFFSETS, 7)
    check(BAG, FLAT, W, last, mode=mode, include_last_offset=True, **options)


def test_bag_weights():
    check(BAG, I, W, per_sample_weights=rng.standard_normal(I.shape), mode="sum")
    check(BAG, FLAT, W, OFFSETS, per_sample_weights=rng.standard_normal(7), mode="sum")
    weights = rng.standard_normal(7)
    check(BAG, FLAT, W, OFFSETS, per_sample_weights=weights, mode="sum", padding_idx=2)


def test_bag_frequencies():
    """PyTorch divides some rows by another row's count here; ours is what is documented."""
    plain, scaled = (rushlight.tensor(W, requires_grad=True) for _ in range(2))
    for w, by_frequency in ((plain, False), (scaled, True)):
        bags = rushlight.nn.functional.embedding_bag(
            rushlight.tensor(FLAT), w, rushlight.tensor(OFFSETS), mode="sum",
            scale_grad_by_freq=by_frequency,
        )
        (bags * bags).sum().backward()
    count = np.maximum(np.bincount(FLAT, minlength=6), 1)[:, None]
    np.testing.assert_allclose(scaled.grad.numpy(), plain.grad.numpy() / count)
