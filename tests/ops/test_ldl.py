"""The LDL factorisation and its solutions, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import assert_same

import rushlight

rng = np.random.default_rng(5)


def results(T, a, b, hermitian):
    a, b = T.from_numpy(a.copy()), T.from_numpy(b.copy())
    LD, pivots, info = T.linalg.ldl_factor_ex(a, hermitian=hermitian)
    return LD, pivots, info, T.linalg.ldl_solve(LD, pivots, b, hermitian=hermitian)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 12])
@pytest.mark.parametrize("kind", ["real", "symmetric", "hermitian"])
def test_as_lapack(n, kind):
    a, b = rng.standard_normal((3, n, n)), rng.standard_normal((3, n, 2))
    if kind != "real":
        a, b = a + 1j * rng.standard_normal(a.shape), b + 1j * rng.standard_normal(b.shape)
    a = a + np.swapaxes(a.conj() if kind == "hermitian" else a, -1, -2)
    ours, theirs = [results(T, a, b, kind == "hermitian") for T in (rushlight, torch)]
    assert_same(ours, theirs, kind, 1e-8, 1e-9, False)


def test_zero_pivots():
    assert rushlight.linalg.ldl_factor_ex(rushlight.zeros(3, 3)).info.item() == torch.linalg.ldl_factor_ex(torch.zeros(3, 3)).info.item()
    with pytest.raises(rushlight.linalg.LinAlgError):
        rushlight.linalg.ldl_factor(rushlight.zeros(3, 3))


@pytest.mark.parametrize("hermitian", [False, True])
def test_gradient_of_the_solution(hermitian):
    a = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    a = rushlight.from_numpy(a + (a.conj() if hermitian else a).T)
    LD, pivots = rushlight.linalg.ldl_factor(a, hermitian=hermitian)
    b = rushlight.from_numpy(rng.standard_normal((4, 2)) + 0j).requires_grad_()
    assert rushlight.autograd.gradcheck(lambda b: rushlight.linalg.ldl_solve(LD, pivots, b, hermitian=hermitian), b)
