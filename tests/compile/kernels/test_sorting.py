"""The order of rows: NumPy's stable argsort, NaN last; descending orders are stable too."""

from __future__ import annotations

import numpy as np
import pytest
from compile.run_calls import run_calls
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.compile.kernels import sorting
from rushlight.compile.kernels.call import Address

rng = np.random.default_rng(0)


def run(x, descending, first=0, last=None):
    outer, n, inner = x.shape
    last = n if last is None else last
    out = np.full((outer, last - first, inner), -1)
    run_calls(sorting.plan(Address("x"), Address("out"), dtype=x.dtype, descending=descending,
                           outer=outer, n=n, inner=inner, first=first, last=last),
              {"x": x, "out": out}, order="mixed")
    return out


def wanted(x, descending):
    if not descending:
        return np.argsort(x, axis=1, kind="stable")
    turned = np.argsort(x[:, ::-1], axis=1, kind="stable")
    return x.shape[1] - 1 - turned[:, ::-1]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.sampled_from([1, 2, 50, 64, 65, 300, 2000]), st.sampled_from([1, 3]),
       st.sampled_from(["float32", "float64", "float16", "int64", "int8", "uint8", "int32",
       "bool"]),
       st.booleans(), st.sampled_from([3, 1000, 1 << 40]), st.data())
def test_random_rows(outer, n, inner, dtype, descending, spread, data):
    x = rng.integers(-spread, spread, (outer, n, inner))
    x = x.astype(dtype) if np.dtype(dtype).kind != "f" else (x / 8).astype(dtype)
    last = data.draw(st.integers(1, n))
    first = data.draw(st.integers(0, last - 1))
    np.testing.assert_array_equal(run(x, descending, first, last),
                                  wanted(x, descending)[:, first:last])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [9, 900])
def test_odd_numbers(dtype, descending, n):
    odd = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-7, -1e-7, -np.nan, 2.0]
    x = np.array(odd * (n // 9), dtype).reshape(1, n, 1)
    np.testing.assert_array_equal(run(x, descending), wanted(x, descending))
    np.testing.assert_array_equal(run(x, descending, 0, 5), wanted(x, descending)[:, :5])
