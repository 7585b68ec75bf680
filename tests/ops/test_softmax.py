"""softmax and log_softmax against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, check, check_error

A = np.random.default_rng(5).standard_normal((2, 3, 4))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "nn.functional.softmin"])
def test_values(name, dim):
    check(name, A, dim, gradgrad=True)
    check(name, Given(A, "float32"), dim)
    check(name, Given(A, "bfloat16"), dim, grad=False)
    check(name, A * 1000, dim, grad=False)
    check(name, np.where(A > 0, A, -np.inf), dim, grad=False)
    check(name, Given(A, view=lambda t: t.transpose(0, 2)), dim, strides=False)
    check(name, A[:, :0], dim)
    check(name, (A * 3).astype(np.int64), dim, dtype=torch.float32)


def test_edges():
    check("softmax", np.array(2.0), 0)
    check("nn.functional.softmax", A, dim=1)
    for name in ("softmax", "log_softmax"):
        check(lambda T, x, n=name: getattr(T, n)(x, 1, out=T.empty(0).to(x.dtype)), A, grad=False)
    check_error("softmax", A, 3)
    check_error("softmax", (A * 3).astype(np.int64), 1)
