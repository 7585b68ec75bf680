"""Products of triangles, and causal attention, which is made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch as reference
from compile.compiled import check_native

import rushlight as torch
from rushlight.ops.triangular_products import _lower_matmul, _triangular_matmul

rng = np.random.default_rng(4)


def numbers(*shape, dtype=torch.float64):
    return torch.tensor(rng.standard_normal(shape)).to(dtype)


@pytest.mark.parametrize("shapes", [((4, 3), (3, 4)), ((2, 5, 3), (3, 4)), ((2, 1, 3, 2), (4, 2, 6))], ids=str)
def test_lower(shapes):
    a, b = (numbers(*s).requires_grad_() for s in shapes)
    made = _lower_matmul(a, b, -7.0)
    seen = np.tri(*made.shape[-2:], dtype=bool)
    np.testing.assert_allclose(made.detach().numpy(), np.where(seen, (a @ b).detach().numpy(), -7.0))
    assert torch.autograd.gradcheck(lambda a, b: _lower_matmul(a, b, -7.0), (a, b))
    assert torch.autograd.gradgradcheck(lambda a, b: _lower_matmul(a, b, -7.0), (a, b))


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("shapes", [((4, 4), (4, 3)), ((2, 5, 3), (3, 4)), ((2, 1, 3, 6), (4, 6, 2))], ids=str)
def test_triangular(shapes, upper):
    """As a function of a triangle that is zero elsewhere."""
    def product(t, b):
        return _triangular_matmul(t.triu() if upper else t.tril(), b, upper)

    t, b = (numbers(*s).requires_grad_() for s in shapes)
    np.testing.assert_allclose(product(t, b).detach().numpy(), ((t.triu() if upper else t.tril()) @ b).detach().numpy())
    assert torch.autograd.gradcheck(product, (t, b))
    assert torch.autograd.gradgradcheck(product, (t, b))


def test_complex_gradients():
    t, b = (numbers(3, 3, dtype=torch.complex128).requires_grad_() for _ in range(2))
    for product in (lambda t, b: _lower_matmul(t, b, 0.0), lambda t, b: _triangular_matmul(t.tril(), b, False),
                    lambda t, b: _triangular_matmul(t.triu(), b, True)):
        assert torch.autograd.gradcheck(product, (t, b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rows, columns", [(1, 1), (5, 5), (64, 64), (130, 130), (300, 300), (70, 150), (150, 70), (0, 0)])
def test_compiled(rows, columns, dtype):
    """Causal attention with its gradients: native as in tier 0."""
    q, k, v, w = (numbers(2, 3, n, 8, dtype=dtype) for n in (rows, columns, columns, rows))

    def step():
        xs = [x.detach().requires_grad_() for x in (q, k, v)]
        made = torch.nn.functional.scaled_dot_product_attention(*xs, is_causal=True)
        return [made, *torch.autograd.grad((made * w).sum(), xs)]

    near = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 4e-2}[dtype]
    check_native(step, near, near)


@pytest.mark.parametrize("length", [3, 77, 256])
def test_causal_attention_against_pytorch(length):
    arrays = [rng.standard_normal((2, length, 16)).astype(np.float32) for _ in range(4)]

    def run(module):
        q, k, v, w = (module.tensor(x) for x in arrays)
        xs = [x.requires_grad_() for x in (q, k, v)]
        made = module.nn.functional.scaled_dot_product_attention(*xs, is_causal=True)
        return [x.detach().numpy() for x in (made, *module.autograd.grad((made * w).sum(), xs))]

    for a, b in zip(run(torch), run(reference), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_what_was_in_memory_does_not_matter():
    """The part of the scores that is not computed is never used, whatever lies there."""
    torch.manual_seed(0)
    x = torch.randn(2, 200, 8)

    def step(fill):
        noise = torch.full((4, 200, 200), fill)  # takes memory, and leaves it
        q = x + noise[0, 0, 0] * 0.0 if fill == 1.0 else x
        return torch.nn.functional.scaled_dot_product_attention(q, x, x, is_causal=True)

    assert torch.isfinite(step(float("nan"))).all()
    assert torch.isfinite(step(float("inf"))).all()
    check_native(lambda: torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True))
