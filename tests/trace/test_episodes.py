"""Gradients through many segments that are alike: of an episode, however long, there are few paths."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as torch
from rushlight.trace import trie


def episode(net, observations, read: bool):
    """The loss of some steps; `read`: each one's value is needed before the next one."""
    losses, value = [], 0.0
    for x in observations:
        y = net(x + value).log_softmax(-1)
        if read:
            value = 0.01 * y[0, 0].item()
        else:
            value = 0.01 * y[0, 0].detach()
        losses.append(y[0, 1].reshape(1))
    return torch.cat(losses).square().sum()


@pytest.fixture
def net():
    torch.manual_seed(0)
    yield torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    trie.forget()


def gradients(net, length, read):
    observations = torch.randn(length, 1, 3, generator=torch.Generator().manual_seed(length))
    net.zero_grad()
    episode(net, observations, read).backward()
    return [p.grad.numpy().copy() for p in net.parameters()]


def test_the_gradients_are_those_of_one_segment(net):
    for length in (3, 40, 75, 40, 75, 90):
        for found, wanted in zip(gradients(net, length, True), gradients(net, length, False), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_second_derivatives(net):
    """Of the gradients' norm, through segments that were swept with `create_graph`."""
    def norm(read):
        observations = torch.randn(60, 1, 3, generator=torch.Generator().manual_seed(1))
        first = torch.autograd.grad(episode(net, observations, read), list(net.parameters()), create_graph=True)
        total = sum((g * g).sum() for g in first)
        return [g.numpy().copy() for g in torch.autograd.grad(total, list(net.parameters()), allow_unused=True)
                if g is not None]

    for _ in range(2):
        for found, wanted in zip(norm(True), norm(False), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-4)


def test_lengths_share_paths(net):
    """After a few lengths, another one takes nodes for its own end, not for every step (about 15 nodes a step)."""
    for length in (60, 67, 75, 82, 90):
        gradients(net, length, True)
    trie_before = trie.NODES
    length = 104
    gradients(net, length, True)
    grown = trie.NODES - trie_before
    assert grown < 6 * length + 400, grown  # concatenating the losses, and slices of their gradient
