"""GradScaler against PyTorch's."""

from __future__ import annotations

import math

import pytest
import torch
from oracle import check_program

import rushlight


def run(T, gradients, **options):
    """Steps with given gradients: scale, parameter and skipped steps after each."""
    scaler = T.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2, **options)
    p = T.tensor([1.0, 2.0], requires_grad=True)
    optimizer = T.optim.SGD([p], lr=0.1, momentum=0.9)
    for g in gradients:
        optimizer.zero_grad()
        loss = (p * T.tensor(g)).sum()
        scaler.scale(loss).backward()
        if abs(g[0]) == 3.0:
            scaler.unscale_(optimizer)
            T.nn.utils.clip_grad_norm_([p], 1.0)
        scaler.step(optimizer)
        scaler.update()
        yield p.detach().clone(), scaler.get_scale()
    yield sorted(scaler.state_dict().items())


@pytest.mark.parametrize("options", [{}, {"growth_factor": 4.0, "backoff_factor": 0.25},
                                     {"enabled": False}], ids=str)
def test_steps(options):
    gradients = [[1.0, 2.0], [3.0, -1.0], [math.inf, 1.0], [1.0, 1.0], [1.0, math.nan], [3.0, 0.0],
                 [0.5, 0.5], [0.5, 0.5]]
    if options == {"enabled": False}:
        gradients = gradients[:2]
    check_program(lambda T: run(T, gradients, **options))


def test_state_travels():
    scaler = rushlight.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(rushlight.ones(1))
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(scaler.state_dict())
    again = rushlight.amp.GradScaler("cpu")
    again.load_state_dict(theirs.state_dict())
    assert again.get_scale() == theirs.get_scale() == 4.0
    with pytest.raises(RuntimeError):
        again.load_state_dict({})


def test_containers():
    def program(T):
        scaler = T.amp.GradScaler("cpu", init_scale=2.0)
        yield scaler.scale([T.ones(2), (T.ones(1), T.ones(3))])

    check_program(program)


def test_misuse():
    for T in (torch, rushlight):
        scaler = T.amp.GradScaler("cpu")
        p = T.ones(1, requires_grad=True)
        optimizer = T.optim.SGD([p], lr=0.1)
        with pytest.raises(AssertionError):
            scaler.step(optimizer)
        scaler.scale(p.sum()).backward()
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError):
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        with pytest.raises(RuntimeError):
            scaler.step(optimizer)
        with pytest.raises(RuntimeError):
            scaler.unscale_(optimizer)
        scaler.update()
        with pytest.raises(AssertionError):
            scaler.update()
        with pytest.warns(UserWarning):
            assert not T.amp.GradScaler("cuda").is_enabled()
        with pytest.raises(ValueError):
            scaler.scale(3)
