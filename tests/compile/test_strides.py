"""Strides of memory in another shape are what NumPy finds without a copy."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.compile.strides import reshaped, row_major


@st.composite
def arrays_and_shapes(draw):
    """(a strided array without memory of its own, another shape with as many elements)."""
    shape = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), max_size=4))
    a = np.empty([2 * n for n in shape], np.int8)
    a = a.transpose(draw(st.permutations(range(a.ndim))))
    cut = [draw(st.sampled_from([slice(None), slice(0, n // 2), slice(None, None, 2)])) for n in a.shape]
    a = a[tuple(cut)]
    if draw(st.booleans()) and a.ndim:
        a = np.broadcast_to(a[:1], a.shape)
    factors = [p for p in (2, 3) for _ in range(20) if a.size % p**(_ + 1) == 0]
    wanted: list[int] = []
    for p in draw(st.permutations(factors)):
        if wanted and draw(st.booleans()):
            wanted[-1] *= p
        else:
            wanted.append(p)
        if draw(st.integers(0, 3)) == 0:
            wanted.append(1)
    return a, tuple(wanted)


@given(arrays_and_shapes())
@settings(max_examples=300, deadline=None)
def test_as_numpy(case):
    a, wanted = case
    assert math.prod(wanted) == a.size
    probe = np.lib.stride_tricks.as_strided(np.empty(0, np.int8), a.shape, a.strides)
    try:
        probe.shape = wanted
        expected = probe.strides
    except AttributeError:
        expected = None
    found = reshaped(a.shape, a.strides, wanted)
    if expected is None:
        assert found is None
    else:
        assert all(n == 1 or s == t for n, s, t in zip(wanted, found, expected, strict=True))


def test_nothing_has_any_strides():
    assert reshaped((3, 0), (1, 1), (0, 5)) == row_major((0, 5))
