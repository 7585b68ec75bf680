"""Running sums and extremes against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from compile.run_calls import run_calls
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.compile.kernels import scan
from rushlight.compile.kernels.call import Address

rng = np.random.default_rng(0)


def run(x, how):
    """The scan of a (outer, n, inner) array along its middle dim, and the places."""
    out, places = np.full_like(x, 3), np.full(x.shape, -1)
    kind = scan.Scan(how, x.dtype)
    outs = [Address("out"), Address("places")][: 1 + kind.placed]
    run_calls(scan.plan(kind, Address("x"), outs, *x.shape),
              {"x": x, "out": out, "places": places}, order="mixed")
    return (out, places) if kind.placed else out


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 70), st.sampled_from([1, 2, 8, 13]),
       st.sampled_from(["float32", "float64", "int64", "uint8", "float16"]),
       st.sampled_from(["add", "multiply", "maximum", "minimum", "logaddexp"]))
def test_random_shapes(outer, n, inner, dtype, how):
    if how == "logaddexp" and np.dtype(dtype).kind != "f":
        return
    low, high = (1, 2) if how == "multiply" else (-9 if dtype != "uint8" else 0, 9)
    x = rng.integers(low, high, (outer, n, inner)).astype(dtype)
    with np.errstate(all="ignore"):
        want = getattr(np, how).accumulate(x, axis=1, dtype=dtype)
    close = {"float16": 5e-3, "float32": 1e-5}.get(dtype, 1e-12)
    np.testing.assert_allclose(run(x, how), want, rtol=close, atol=close)


@pytest.mark.parametrize(("how", "better"), [("greater_equal", max), ("less_equal", min)])
def test_extremes_and_places(how, better):
    for shape in ((3, 40, 1), (2, 30, 20), (1, 5, 3)):
        x = rng.integers(0, 9, shape).astype(np.float32)
        x[0, 3] = np.nan
        values, places = run(x, how)
        for o, i in np.ndindex(shape[0], shape[2]):
            best = 0
            for j, v in enumerate(x[o, :, i]):
                if np.isnan(v) or (not np.isnan(x[o, best, i]) and better(v, x[o, best, i]) == v):
                    best = j
                assert places[o, j, i] == best
                np.testing.assert_equal(values[o, j, i], x[o, best, i])


def test_a_zero_keeps_its_sign():
    x = np.full((1, 40, 1), -0.0, np.float32)
    assert np.signbit(run(x, "add")).all()
