"""Segments that end before repeated blocks: derivatives of any order are those of the whole."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as torch
from rushlight.trace import record, segments


@pytest.fixture(params=[2, 5])
def cut(request, monkeypatch):
    """A switch: from then on a segment ends after so many operations, as if a block began there."""
    def cutting(tr, o, key, site):
        if tr.sweeping or tr.whole or o.mutates or tr.st.slot - len(tr.leaves) < request.param:
            return False
        tr.st.ends = True
        return True

    def switch():
        segments.trie.forget()
        monkeypatch.setattr(record, "repeats", cutting)

    yield switch
    segments.trie.forget()


def composite(a, b):
    total = 0
    for k in range(4):
        c = (a * (0.3 + k) + b).sin()
        total = total + (c * a - b * 0.2).tanh() * c + 0.1 * k
    return total * b


def grid(a, b):
    """Many gradients are passed on as they come, to other segments."""
    picture = a.reshape(1, 1, 1, 2, 3).expand(1, 2, 2, 2, 3)
    places = b.tanh().reshape(1, 1, 1, 2, 3)
    return torch.nn.functional.grid_sample(picture, places, padding_mode="reflection", align_corners=False)


def derivatives(f):
    rng = np.random.default_rng(0)
    a, b, u, v = (torch.tensor(rng.standard_normal(6)) for _ in range(4))
    a.requires_grad_()
    b.requires_grad_()
    y = f(a, b)
    first = torch.autograd.grad(y.square().sum(), (a, b), create_graph=True)
    second = torch.autograd.grad((first[0] * u).sum() + (first[1] * v).sum(), (a, b))
    f(a, b).sum().backward()
    return [x.detach().numpy().copy() for x in (y, *first, *second, a.grad, b.grad)]


@pytest.mark.parametrize("f", [composite, grid])
def test_derivatives(f, cut):
    expected = derivatives(f)
    cut()
    for _ in range(4):  # new, and known
        for found, wanted in zip(derivatives(f), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_training_steps(cut):
    """With gradients that are kept over steps, an optimiser and a leaf as the gradient that is handed in."""
    def losses():
        torch.manual_seed(0)
        net = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(4)])
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        x, made = torch.randn(5, 4), []
        for _ in range(5):
            for scale in (1.0, 0.5):
                weight = torch.full((5, 4), scale).requires_grad_()
                y = net(x).tanh()
                g, = torch.autograd.grad(y, y, grad_outputs=weight, create_graph=True)
                (y * g).sum().backward()
                made.append(weight.grad.sum().item())
            optimizer.step()
            optimizer.zero_grad()
        return made

    expected = losses()
    cut()
    for _ in range(2):
        np.testing.assert_allclose(losses(), expected, rtol=1e-4)


def test_what_must_stay_whole(cut):
    """A checkpointed function keeps no values in segments of its own; known and new paths."""
    from rushlight.trace.trie import RECORDER
    from rushlight.utils.checkpoint import checkpoint

    def inner(x):
        begin = RECORDER.tr.serial
        for _ in range(12):
            x = (x * 1.1).sin()
        ends.append(RECORDER.tr.serial - begin)
        return x

    ends: list[int] = []
    x = torch.linspace(-1, 1, 7).requires_grad_()
    inner(x)
    assert ends.pop() == 0
    cut()
    inner(x)
    assert ends.pop() > 0
    for _ in range(3):
        x.grad = None
        checkpoint(inner, x, use_reentrant=False).sum().backward()
        assert ends[-2] == 0  # the call; what it computes again in backward() is kept for a moment only
    expected = x.grad.clone()
    x.grad = None
    inner(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected.numpy(), rtol=1e-5)


def test_a_graph_that_is_shown_is_whole(cut):
    from rushlight.utils.tensorboard.graph import trace

    net = torch.nn.Sequential(*[m for _ in range(4) for m in (torch.nn.Linear(3, 3), torch.nn.Tanh())])
    expected = trace(net, torch.ones(2, 3))
    cut()
    assert trace(net, torch.ones(2, 3)) == expected


def test_blocks_do_not_begin_at_residual_sums(monkeypatch):
    """Layers whose sizes grow are cut where one begins; a sum of two values of the segment is fused with what made them."""
    cut, repeats = [], record.repeats

    def watched(tr, o, key, site):
        found = repeats(tr, o, key, site)
        if found:
            cut.append(o.name)
        return found

    monkeypatch.setattr(record, "repeats", watched)
    segments.trie.forget()
    weights = [torch.ones(4, 4) * (k + 1) / 50 for k in range(8)]
    for n in range(3, 9):
        x = torch.ones(n, 4)
        y = x * 2
        for w in weights:
            x = x + y  # the first operation that comes back
            y = x @ w
            for k in range(9):
                y = (y * (0.5 + k)).tanh()
        x.sum().item()
    segments.trie.forget()
    assert cut and "_add" not in cut
