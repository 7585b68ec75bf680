"""Tensors print as in PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rushlight

INF, NAN = math.inf, math.nan
rng = np.random.default_rng(0)

CASES = [
    "f.tensor(1)", "f.tensor(1.5)", "f.tensor(True)", "f.tensor([])", "f.zeros(0, 3)",
    "f.tensor([1, 2])", "f.tensor([1.0, 2.0])", "f.tensor([1e-8, 1.0])", "f.tensor([1e9, 1.0])",
    "f.tensor([1.0, NAN, INF, -INF])", "f.tensor([NAN, 1.5, -INF])", "f.tensor([NAN, INF])",
    "f.tensor([[0.5, -1.25]], dtype=f.float64)", "f.tensor([1 + 2j, 3.5 - 1j])",
    "f.tensor([1 + 2j, 3 - 1j])", "f.tensor(1 + 2j)", "f.tensor([1e20 + 1e-3j])",
    "f.tensor([complex(NAN, INF), 1j])", "f.tensor([1 + 2j], dtype=f.complex128)",
    "f.tensor([True, False])", "f.tensor([[True], [False]])", "f.tensor([1, 2], dtype=f.int32)",
    "f.tensor(3, dtype=f.uint8)", "f.tensor([1.0, 2.5], dtype=f.bfloat16)",
    "f.tensor([1.0, 2.5], dtype=f.float16)", "f.zeros(0, dtype=f.int64)",
    "f.zeros(2, 0, dtype=f.int32)", "f.zeros(0, dtype=f.complex64)", "f.zeros(0, 3, dtype=f.bool)",
    "f.arange(2000)", "f.arange(10000.0).reshape(100, 100)", "f.arange(1001.0)",
    "f.zeros(10, 10, 11)", "f.arange(100000).reshape(10, 100, 100)", "f.zeros(3)",
    "f.ones(3, requires_grad=True)", "f.ones(3, requires_grad=True) * 2",
    "f.tensor(2.0, requires_grad=True)", "f.ones(2, 2, requires_grad=True).sum()",
    "f.ones(3, dtype=f.float64, requires_grad=True)", "f.arange(30.0) / 7",
    "f.full((3,), 123456.5)", "f.tensor([0.00001])", "f.tensor([1e-3, 1000.0])",
    "f.tensor([1.0, 1001.5])", "f.tensor([100000000.0])", "f.tensor([99999999.0, 1.0])",
    "f.tensor([[1, -20], [300, 4]])", "f.tensor([-0.0, 0.0])", "f.zeros(2, 3, 4, 5)",
    "f.zeros(2, 1, 3)", "f.zeros(1, 1, 1, 1)", "f.tensor([1e-45, 3e38])", "f.arange(40)",
    "f.arange(8.0).reshape(2, 2, 2).transpose(0, 2)", "f.tensor([0.1, 0.25, 123.0])",
    "f.arange(12.0)[None].expand(3, 12)", "f.ones(30, requires_grad=True) * 0.1",
    "f.ones(10, requires_grad=True, dtype=f.float64) * 1.5", "(f.arange(1100) - 550) * 3",
    "f.tensor([2**62, -2**62])", "f.tensor(1e10)", "f.tensor(-1e-10)", "f.tensor(NAN)",
    "f.tensor(0.0)", "f.tensor([1e-5, 0.0])", "f.ones(1500, dtype=f.bool)",
    "f.complex(f.arange(1200.0), f.ones(1200))", "f.ones(3, requires_grad=True)[0]",
    "f.ones(3, requires_grad=True)[1:]", "f.ones(3, requires_grad=True)[[0]]",
    "f.nn.Parameter(f.ones(2))", "f.ones(2, 3).max(0)",
    "f.complex(f.tensor([1.5, INF, -0.0]), f.tensor([INF, 1.5, 0.0]))",
]


def both(code):
    return tuple(
        eval(code, {"f": f, "NAN": NAN, "INF": INF}) for f in (torch, rushlight)
    )


@pytest.mark.parametrize("code", CASES)
def test_repr(code):
    theirs, ours = both(code)
    assert repr(ours) == repr(theirs)
    assert str(ours) == str(theirs)


OPTIONS = [
    {"precision": 2}, {"precision": 0}, {"linewidth": 40}, {"linewidth": 200}, {"edgeitems": 1},
    {"threshold": 5}, {"threshold": 5, "edgeitems": 2}, {"threshold": 5, "edgeitems": 0}, {"sci_mode": True}, {"sci_mode": False},
    {"profile": "short"}, {"profile": "full"}, {"profile": "default", "precision": 6},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    try:
        for f in (torch, rushlight):
            f.set_printoptions(**options)
        for code in CASES:
            if "100000" in code and options.get("profile") == "full":
                continue
            theirs, ours = both(code)
            assert repr(ours) == repr(theirs), code
    finally:
        for f in (torch, rushlight):
            f.set_printoptions(profile="default")


def test_default_dtype():
    try:
        for f in (torch, rushlight):
            f.set_default_dtype(f.float64)
        for code in ("f.ones(2)", "f.ones(2, dtype=f.float32)", "f.tensor([1j])", "f.zeros(0)"):
            theirs, ours = both(code)
            assert repr(ours) == repr(theirs)
    finally:
        for f in (torch, rushlight):
            f.set_default_dtype(f.float32)


@given(st.lists(st.floats(width=32) | st.integers(-1000, 1000).map(float), min_size=1, max_size=12),
       st.sampled_from(["float32", "float64", "int64"]))
def test_random_values(values, dtype):
    if dtype == "int64":
        values = [int(v) if math.isfinite(v) and abs(v) < 2**60 else 0 for v in values]
    theirs, ours = (f.tensor(values, dtype=getattr(f, dtype)) for f in (torch, rushlight))
    assert repr(ours) == repr(theirs)


def test_format():
    for code, spec in (("f.tensor(1.2345)", ".2f"), ("f.tensor(7)", "04d"), ("f.tensor(2.5)", ""),
                       ("f.tensor([1.0, 2.0])", ""), ("f.tensor(True)", ""), ("f.tensor(3)", ">5")):
        theirs, ours = both(code)
        assert format(ours, spec) == format(theirs, spec), code
