"""`torch.ops.aten` against PyTorch, and functions that its compiled programs call."""

from __future__ import annotations

import numpy as np
from oracle import Given, check, check_error

rng = np.random.default_rng(41)


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def test_backward_functions():
    check(lambda T, g, y: T.ops.aten._softmax_backward_data(g, y, 0, T.float64), n(3, 4), n(3, 4))
    mask = rng.random((3, 4)) > 0.5
    check(lambda T, g, m: T.ops.aten.native_dropout_backward.default(g, m, 1.5), n(3, 4), mask)

    def pooled(T, x, g):
        made, at = T.nn.functional.max_pool2d(x.detach(), 2, return_indices=True)
        return T.ops.aten.max_pool2d_with_indices_backward(
            g, x, [2, 2], [2, 2], [0, 0], [1, 1], False, at)

    check(pooled, n(1, 2, 4, 6), n(1, 2, 2, 3))
    check(pooled, n(2, 4, 6), n(2, 2, 3))


def test_forward_functions():
    x = n(3, 4)
    x[1] = -np.inf
    check(lambda T, x: T.ops.aten._safe_softmax.default(x, dim=1), Given(x, grad=False))
    check(lambda T, x: T.ops.aten.slice.Tensor(x, dim=1, start=1, end=-1, step=2), n(3, 6))
    for size, scales in (([3, 3], None), (None, [1.7, 0.9])):
        check(lambda T, x, size=size, scales=scales: T.ops.aten._upsample_bilinear2d_aa(
            x, size, False, scales), n(1, 2, 5, 7))
    given = [Given(n(2), grad=False), Given(n(2) ** 2 + 1, grad=False)]
    check(lambda T, *a: T.ops.aten._batch_norm_with_update(*a, 0.3, 1e-5), n(4, 2, 3), n(2), n(2), *given)


def test_masked_indices():
    mask = rng.random((3, 4)) > 0.4
    rows, columns = np.array([[0], [2], [9]]), np.array([[0, 1, -7, 1]])
    mask[2], mask[:, 2] = False, False
    at = (rows, columns)

    def index(T):
        return [T.tensor(i) for i in at]

    check(lambda T, x, m: T._unsafe_masked_index(x, m, index(T), 0.5), n(3, 4), mask)
    check(lambda T, x, m, v: T._unsafe_masked_index_put_accumulate(x, m, index(T), v),
          n(3, 4), mask, n(3, 4))


def test_chunk_cat():
    a, b = n(3, 2), n(4, 3)
    check(lambda T, a, b: T._chunk_cat([a, b], 0, 3), a, b, grad=False)
    check(lambda T, a, b: T._chunk_cat([a, b], -1, 2), a, n(3, 5), grad=False)
    for arguments in ((2, 3), (0, 0), (1, 2)):
        check_error(lambda T, a, b, x=arguments: T._chunk_cat([a, b], *x), a, b)
        check_error(lambda T, a, b, x=arguments: T._chunk_cat([a, b[0]], *x), a, b)
    check_error(lambda T: T._chunk_cat([], 0, 1))
