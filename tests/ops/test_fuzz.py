"""A few seconds of `benchmarks/fuzz.py`: single operators on odd inputs, against PyTorch."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
CASES = 2000


def load():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("fuzz", FUZZ)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module  # (dataclasses look their module up)
    spec.loader.exec_module(module)
    return module


def test_odd_inputs():
    shown: list[str] = []
    count, found = load().search(
        range(CASES * max(1, int(os.environ.get("RUSHLIGHT_FUZZ", "0")) // 150)),
        show=lambda *lines, **_: shown.extend(lines),
    )
    assert count >= CASES and not found, "\n".join(shown)


def test_differences_are_seen_and_shrunk():
    fuzz = load()

    def number(shape, values):
        return fuzz.Input(shape, "float32", "", values, 1)

    assert fuzz.difference(("float32", 1.0), ("float64", 1.0))
    a, b = (("float32", fuzz.np.float32([1, x])) for x in (2, 3))
    assert fuzz.difference(a, b) and not fuzz.difference(a, a)
    assert fuzz.difference(ValueError("x"), a)
    assert fuzz.difference(ValueError("x"), TypeError("x"))
    assert not fuzz.difference(IndexError("x"), IndexError("y"))
    case = fuzz.Case("{0}.sum() + (2 if T.__name__ == 'torch' else 1)", (number((2, 3), "tame"),))
    assert case.differs()
    assert fuzz.shrunk(case).inputs[0].shape in ((), (0,))


def test_what_it_found():
    """Cases that differed once."""
    for lines in (
        "T.tensor([1.0, 2.0])[T.tensor(1, dtype=T.int16)]",
        "T.tensor([1.0, float('inf')], dtype=T.float16).nan_to_num()",
        "T.tensor([1.0, float('nan'), float('nan')]).unique()",
        "T.log_softmax(T.tensor(float('nan')), -1)",
        "T.tensor([True]).add(T.tensor([True]), alpha=2)",
        "T.tensor([1, 5], dtype=T.uint8).clamp(-5, 3)",
        "T.tensor([1, 5], dtype=T.uint8).clamp(0, 300)",
        "T.tensor([1.0], dtype=T.float16).masked_fill(T.tensor([True, False]), -1e9)",
        "T.where(T.tensor([True, False]), T.tensor([1, 2], dtype=T.int8), 300)",
        "T.zeros(3).copy_(T.zeros(1, 3))",
        "T.tensor([], dtype=T.float32).kthvalue(1, 0)",
        "T.isclose(T.zeros(0), T.zeros(3))",
        "T.addcmul(T.tensor(0.0, dtype=T.float64), T.tensor(3), T.tensor([3.4e38]))",
        "T.add(T.tensor([1.0], dtype=T.float64), T.tensor([0.1]), alpha=0.3)",
        "T.meshgrid(T.zeros(2), T.zeros(3, 1), indexing='ij')",
        "T.tensor(1.0).diff()", "T.arange(1j)", "T.tensor([1j]).sign()",
        "T.searchsorted(T.tensor(0.0), T.tensor([1.0]))",
    ):
        assert not load().Case(lines, ()).differs(), lines
