"""Scaled dot-product attention against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, assert_same, check, check_error

import rushlight

rng = np.random.default_rng(9)
ATTENTION = "nn.functional.scaled_dot_product_attention"


@pytest.fixture(autouse=True)
def plain():
    """PyTorch without its fused kernels, which have no second gradients."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        yield


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def lower(rows, columns):
    """A mask of allowed pairs that leaves every row at least one."""
    return np.tril(np.ones((rows, columns), bool))


SHAPES = [  # query, key, value
    ((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7)),
    ((3, 4, 5), (3, 6, 5), (3, 6, 5)), ((4, 5), (6, 5), (6, 2)),
    ((2, 1, 4, 5), (1, 3, 4, 5), (4, 5)),
    ((1, 1, 1, 1),) * 3, ((0, 2, 4, 5),) * 3, ((2, 2, 0, 5), (2, 2, 4, 5), (2, 2, 4, 5)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("options", [{}, {"scale": 0.3}, {"is_causal": True}], ids=str)
def test_values(shapes, options):
    check(ATTENTION, *(n(*s) for s in shapes), gradgrad=True, rtol=1e-6, strides=False, **options)
    single = (n(*s).astype(np.float32) for s in shapes)
    check(ATTENTION, *single, atol=1e-5, rtol=1e-4, strides=False, **options)


@pytest.mark.parametrize("dtype, near", [("float16", 1e-2), ("bfloat16", 5e-2)])
def test_half(dtype, near):
    args = [Given(n(2, 2, 4, 8), dtype=dtype) for _ in range(3)]
    check(ATTENTION, *args, atol=near, rtol=near, grad=False, strides=False)
    mask = Given(n(4, 4), dtype="float32")
    check(ATTENTION, *args, mask, atol=near, rtol=near, grad=False, strides=False)


@pytest.mark.parametrize("mask", [
    lower(4, 6), lower(4, 6)[None, None], np.stack([lower(4, 6)] * 2)[:, None],
    lower(4, 6).astype(float), n(4, 6), n(2, 1, 4, 6), n(1, 6),
    np.where(lower(4, 6), 0.0, -np.inf)], ids=lambda m: f"{m.dtype}{m.shape}")
def test_masks(mask):
    args = n(2, 3, 4, 5), n(2, 3, 6, 5), n(2, 3, 6, 5)
    check(ATTENTION, *args, Given(mask, grad=False), gradgrad=True, rtol=1e-6, strides=False)
    check(ATTENTION, *args, attn_mask=Given(mask, grad=False), scale=0.7, strides=False)


def test_mask_gradient():
    check(ATTENTION, n(2, 3, 4, 5), n(2, 3, 6, 5), n(2, 3, 6, 5), n(4, 6), strides=False)


def test_empty_row():
    """A row that may look at nothing gives zeros."""
    mask = lower(4, 4)
    mask[2] = False
    check(ATTENTION, n(1, 2, 4, 5), n(1, 2, 4, 5), n(1, 2, 4, 5), mask, strides=False, grad=False)


@pytest.mark.parametrize("mask", [None, lower(4, 6)], ids=["plain", "mask"])
def test_groups(mask):
    args = n(2, 6, 4, 5), n(2, 3, 6, 5), n(2, 3, 6, 5)
    check(ATTENTION, *args, mask, enable_gqa=True, strides=False)
    check(ATTENTION, args[0], args[1][:, :1], args[2][:, :1], mask, enable_gqa=True, strides=False)


def test_layouts():
    """Heads split off the last dimension, as in a transformer's block."""
    parts = [Given(n(2, 4, 3, 5), view=lambda t: t.transpose(1, 2)) for _ in range(3)]
    check(ATTENTION, *parts, gradgrad=True, is_causal=True, rtol=1e-6, strides=False)


def test_dropout():
    """Probability 0 changes nothing, 1 gives zeros; dropped entries scale the others up."""
    q, k, v = n(2, 4, 5), n(2, 6, 5), n(2, 6, 5)
    check(ATTENTION, q, k, v, dropout_p=0.0, strides=False)
    results = []
    for framework in (torch, rushlight):
        framework.manual_seed(1)
        t = [framework.tensor(x) for x in (q, k, v)]
        results.append(framework.nn.functional.scaled_dot_product_attention(*t, dropout_p=0.5))
    assert_same(results[1], results[0], strides=False)


Q = n(2, 3, 4, 5)


@pytest.mark.parametrize("args, options", [
    ((Q, Q[..., :3], Q), {}), ((Q, Q, Q[:, :, :2]), {}), ((Q, Q, Q, lower(3, 4)), {}),
    ((Q, Q, Q, lower(4, 4)), {"is_causal": True}), ((Q[0, 0, 0], Q, Q), {}),
    ((Q, Q.astype(np.float32), Q), {}), ((Q, Q, Q, lower(4, 4).astype(int)), {}),
    ((Q, Q[:, :2], Q[:, :2]), {"enable_gqa": True}), ((Q, Q[:, :2], Q[:, :2]), {}),
    ((Q, Q, Q), {"dropout_p": 1.5}), ((np.arange(8).reshape(1, 2, 4),) * 3, {}),
])
def test_errors(args, options):
    check_error(ATTENTION, *args, **options)
