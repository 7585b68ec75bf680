"""Rows written and added at an index: as NumPy's ufunc.at, in order, whatever the chunks' order."""

from __future__ import annotations

import numpy as np
import pytest
from compile.run_calls import run_calls
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.compile.kernels import scatter
from rushlight.compile.kernels.call import Address

rng = np.random.default_rng(0)


def run(out, ids, values, how, *, one=False, zero=False, order="mixed"):
    rows, width = out.shape
    calls = scatter.plan(
        Address("out"), Address("ids"), Address("values"), dtype=out.dtype, how=how, rows=rows,
        width=width, count=ids.size, row_step=0 if one else width * out.itemsize, one=one,
        zero=zero,
    )
    run_calls(calls, {"out": out, "ids": ids, "values": values}, order=order)
    return out


def wanted(out, ids, values, how):
    out = out.copy()
    for k, i in enumerate(ids):
        v = values[k] if values.ndim == 2 else values[0]
        with np.errstate(all="ignore"):
            out[i] = v if how == "set" else getattr(np, how)(out[i], v)
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.sampled_from([1, 3, 8, 19, 64, 300]), st.integers(0, 60),
       st.sampled_from(["float32", "float64", "int64", "uint8", "bool", "float16"]),
       st.sampled_from(["set", "add", "multiply", "maximum", "minimum"]), st.booleans())
def test_random_rows(rows, width, count, dtype, how, one):
    out = rng.integers(0, 5, (rows, width)).astype(dtype)
    ids = rng.integers(0, rows, count)
    values = rng.integers(0, 5, (1,) if one else (count, width)).astype(dtype)
    found = run(out.copy(), ids, values, how, one=one)
    np.testing.assert_array_equal(found, wanted(out, ids, values, how))


@pytest.mark.parametrize(("rows", "width", "count"),
    [(1000, 256, 2000), (3000, 16, 5000), (7, 2000, 90), (13, 80, 2688), (10, 90, 4000)])
def test_chunks_add_in_order(rows, width, count):
    ids = rng.integers(0, rows, count)
    values = rng.standard_normal((count, width)).astype(np.float32)
    want = wanted(np.zeros((rows, width), np.float32), ids, values, "add")
    for order in ("up", "down"):
        out = np.full((rows, width), np.nan, np.float32)
        np.testing.assert_array_equal(run(out, ids, values, "add", zero=True, order=order), want)
