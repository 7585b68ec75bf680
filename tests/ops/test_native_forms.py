"""PyTorch's native forms of layers, and reductions of segments, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(40)


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def test_norms():
    check("native_layer_norm", n(2, 3, 4), (3, 4), n(3, 4), n(3, 4), 1e-5, gradgrad=True)
    check("native_layer_norm", n(2, 3, 4), (4,), None, None, 1e-5)
    check("native_group_norm", n(2, 6, 4), n(6), n(6), 2, 6, 4, 3, 1e-5, gradgrad=True)
    for training in (True, False):
        stats = [Given(n(3), grad=False), Given(n(3) ** 2 + 1, grad=False)]
        check("native_batch_norm", n(4, 3, 2), n(3), n(3), *stats, training, 0.3, 1e-5)
    check("_native_batch_norm_legit", n(4, 3, 2), None, None, True, 0.3, 1e-5)


def test_others():
    check("native_channel_shuffle", n(1, 4, 3), 2, grad=False)
    for name, space in (("grid_sampler_2d", (3, 4)), ("grid_sampler_3d", (2, 3, 4))):
        grid = n(2, *space, len(space))
        for mode in (0, 1):
            check(name, n(2, 3, *space), grid, mode, 1, True, atol=1e-8)
    check("grid_sampler", n(2, 3, 3, 4), n(2, 2, 2, 2), 0, 0, False)
    check_error("grid_sampler_2d", n(2, 3, 2, 3, 4), n(2, 2, 2, 2), 0, 0, False)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("initial", [None, 2])
def test_segments(reduce, initial):
    options = {"reduce": reduce, "initial": initial}
    lengths, offsets = np.array([2, 0, 3, 1]), np.array([0, 2, 2, 6])
    check("segment_reduce", n(6), lengths=lengths, **options)
    check("segment_reduce", n(6, 3), lengths=lengths, **options)
    check("segment_reduce", n(6, 3), offsets=offsets, **options)
    check("segment_reduce", n(2, 4), lengths=np.array([[1, 3], [2, 2]]), axis=1, **options)
    check("segment_reduce", n(9), lengths=lengths, unsafe=True, **options)


def test_segments_refuse():
    check_error("segment_reduce", n(6), "median", lengths=np.array([6]))
    check_error("segment_reduce", n(6), "sum")
    check_error("segment_reduce", n(6), "sum", lengths=np.array([2, 3]))
