"""Flexible attention, against PyTorch's, which has no gradients on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch as oracle
import torch.nn.attention.flex_attention as theirs

import rushlight as torch
from rushlight.nn.attention import SDPBackend, sdpa_kernel
from rushlight.nn.attention import flex_attention as ours

RNG = np.random.default_rng(0)
SLOPES = RNG.standard_normal(4).astype(np.float32)


def given(t, heads=4):
    rng = np.random.default_rng(1)
    shapes = (2, 4, 6, 8), (2, heads, 7, 8), (2, heads, 7, 5)
    return [t.from_numpy(rng.standard_normal(s).astype(np.float32)) for s in shapes]


def causal(b, h, q, kv):
    return q >= kv


def near(b, h, q, kv):
    return (q - kv).abs() < 3


MODS = {
    "plain": lambda t: {},
    "relative": lambda t: {"score_mod": lambda s, b, h, q, kv: s + (q - kv)},
    "slopes": lambda t: {"score_mod": (lambda slopes: lambda s, b, h, q, kv:
                                       s + slopes[h] * (kv - q))(t.from_numpy(SLOPES))},
    "scale": lambda t: {"scale": 0.3},
}


@pytest.mark.parametrize("name", MODS)
def test_values(name):
    a = ours.flex_attention(*given(torch), **MODS[name](torch))
    b = theirs.flex_attention(*given(oracle), **MODS[name](oracle))
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("join", ["and_masks", "or_masks"])
def test_masks_and_sums(join):
    def attend(m, t):
        mask = m.create_block_mask(getattr(m, join)(causal, near), None, None, 6, 7, device="cpu")
        out, lse = m.flex_attention(*given(t, 2), block_mask=mask, enable_gqa=True, return_lse=True)
        return out.numpy(), lse.numpy(), m.create_mask(causal, 2, None, 3, 4, device="cpu").tolist()

    for a, b in zip(attend(ours, torch), attend(theirs, oracle)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_who_sees_nothing_gets_zeros():
    mask = ours.create_block_mask(lambda b, h, q, kv: q > 2, None, None, 6, 7)
    out = ours.flex_attention(*given(torch), block_mask=mask)
    assert (out[:, :, :3] == 0).all() and not out.isnan().any()


def test_gradients_are_those_of_the_formula():
    q, k, v = (x.double().requires_grad_() for x in given(torch))
    mask = ours.create_block_mask(causal, None, None, 6, 7)
    a = ours.flex_attention(q, k, v, block_mask=mask)
    b = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(a, b)
    for x, y in zip(torch.autograd.grad(a.square().sum(), (q, k, v)),
                    torch.autograd.grad(b.square().sum(), (q, k, v))):
        torch.testing.assert_close(x, y)


def test_errors():
    q, k, v = given(torch, 2)
    with pytest.raises(ValueError, match="heads"):
        ours.flex_attention(q, k, v)
    with pytest.raises(ValueError, match="4 dimensions"):
        ours.flex_attention(q[0], k, v)
    with pytest.raises(AssertionError, match="SDPBackend"):
        with sdpa_kernel("fast"):
            pass
    with sdpa_kernel([SDPBackend.MATH]):
        pass
