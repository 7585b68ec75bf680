"""Products of bfloat16 by AMX: sizes, layouts, chunks in any order, special values, operators."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compile.compiled import check_native
from compile.kernels.test_matmul import DTYPES, Arrays, check, product, run
from compile.run_calls import THREADS, guarded
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as torch
from rushlight.compile.kernels import amx, matmul
from rushlight.compile.llvm import objects, target

BFLOAT16 = DTYPES["bfloat16"]
FEATURES = ",+amx-tile,+amx-bf16,+avx512bf16"
LEVEL = replace(target.AVX512, features=target.AVX512.features + FEATURES, amx=True)
here = pytest.mark.skipif(not target.host().amx, reason="this processor has no AMX")

SIZES = [1, 2, 3, 15, 16, 17, 31, 32, 33, 50, 65, 100, 130]
# several blocks of k; of rows; parts of k; chunks that share sides; a group of many columns
LARGE = [(40, 1100, 70), (700, 520, 40), (64, 5000, 96), (600, 900, 520), (33, 70, 900)]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(BFLOAT16)


@pytest.fixture
def small_chunks(monkeypatch):
    """Several chunks, and sides packed before, at sizes that are quick to check."""
    monkeypatch.setattr(amx, "WORTH", 1 << 18)
    monkeypatch.setattr(amx, "SHARED", 1 << 26)


@here
@given(data=st.data())
@settings(max_examples=120)
def test_any_sizes_and_strides(data):
    draw = data.draw
    array = Arrays(draw, "bfloat16", draw(st.integers(0, 99)))
    m, k, n = draw(st.tuples(*[st.sampled_from(SIZES)] * 3) | st.sampled_from(LARGE))
    batch = draw(st.sampled_from([(), (1,), (3,), (2, 3)])) if m * k * n < 300_000 else ()
    a, b, c = array(*batch, m, k), array(*batch, k, n), array(*batch, m, n)
    if batch and draw(st.booleans()):
        b = b[:1]
    bias = array.numbers(n) if draw(st.booleans()) else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(amx, "LEAST", 1)
        patch.setattr(amx, "WORTH", 1 << 20)
        patch.setattr(amx, "SHARED", draw(st.sampled_from([1 << 20, 1 << 60])))
        order = draw(st.sampled_from(["up", "mixed"]))
        check(a, b, c, bias, draw(st.booleans()), None, order=order)


@here
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_the_same_bits_in_any_order_and_number_of_threads(shape, layout, small_chunks):
    m, k, n = shape
    a = numbers(k, m).T if layout[0] == "t" else numbers(m, k)
    b = numbers(n, k, seed=1).T if layout[1] == "t" else numbers(k, n, seed=1)
    results = []
    for how in ({"order": "up"}, {"order": "down"}, {"workers": THREADS - 1}):
        c = np.full((m, n), np.nan, BFLOAT16)
        calls = run(a, b, c, **how)
        results.append(c)
    assert "amx" in [x.function for x in calls] and max(x.chunks for x in calls) > 1
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].view(np.int16), other.view(np.int16))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(results[0].astype(np.float64), exact, 1e-2, 1e-2 * k**0.5)


@here
def test_nothing_beyond_the_arrays_is_touched():
    for m, k, n in [(33, 65, 40), (40, 33, 63), (97, 64, 31), (50, 1001, 47)]:
        for turned in range(4):
            sizes = [(k, m) if turned & 1 else (m, k), (n, k) if turned & 2 else (k, n), (m, n), n]
            a, b, c, bias = (guarded(numbers(*s) if isinstance(s, tuple) else numbers(s))
                             for s in sizes)
            a, b = a.T if turned & 1 else a, b.T if turned & 2 else b
            calls = check(a, b, c, bias, turned == 1, None)
            assert calls[0].function == "amx"


@here
@pytest.mark.parametrize("k", [40, 1111])
def test_special_values(k):
    """NaNs and infinities stay in their rows and columns; what C held does not matter."""
    a, b = np.ones((40, k), BFLOAT16), np.ones((k, 50), BFLOAT16)
    a[3, 4], a[7, 5], b[k - 1, 6] = np.nan, -np.inf, np.inf
    c = np.full((40, 50), np.nan, BFLOAT16)
    run(a, b, c)
    with np.errstate(invalid="ignore"):
        exact = (a.astype(np.float32) @ b.astype(np.float32)).astype(BFLOAT16)
    np.testing.assert_array_equal(c.astype(np.float32), exact.astype(np.float32))


@here
def test_sums_are_rounded_once():
    """1 + 2**-9 + 2**-9 is the next bfloat16 after 1 only if sums are wider; ties go to even."""
    a = np.zeros((32, 64), BFLOAT16)
    a[:, 0], a[:, 1], a[:, 40] = 1, 2.0**-8, 2.0**-16
    a[1, 40] = 0  # a tie
    c = np.zeros((32, 32), BFLOAT16)
    run(a, np.ones((64, 32), BFLOAT16), c)
    assert (c[0] == 1 + 2.0**-7).all() and (c[1] == 1).all()


EARLY = """
import os
os.environ["RUSHLIGHT_TARGET"] = "avx512"  # this one does not ask Linux
import numpy as np
from compile.kernels.test_amx import BFLOAT16, numbers, product
from compile.run_calls import pool_run, run_calls
from rushlight.compile.kernels import amx, matmul
from rushlight.compile.llvm import target

assert not target.host().amx
pool_run(3)
del os.environ["RUSHLIGHT_TARGET"]
target.host.cache_clear()
assert target.host().amx
amx.WORTH = 1 << 20
a, b, c = numbers(256, 900), numbers(900, 256), np.zeros((256, 256), BFLOAT16)
calls = matmul.plan(product(a, b, c))
assert calls[-1].function == "amx" and calls[-1].chunks > 3
for _ in range(200):
    run_calls(calls, {"a": a, "b": b, "c": c}, workers=3)
exact = a.astype(np.float64) @ b.astype(np.float64)
np.testing.assert_allclose(c.astype(np.float64), exact, 1e-2, 0.3)
"""


@here
def test_workers_that_started_before_the_permission_have_it_too():
    tests = str(Path(__file__).parents[2])
    paths = os.pathsep.join([tests, str(Path(tests).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", EARLY], env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_a_refusal_by_linux_leaves_the_other_kernels(monkeypatch):
    monkeypatch.delenv("RUSHLIGHT_TARGET", raising=False)
    monkeypatch.setattr(target, "_allow_amx", lambda: False)
    assert not target.host.__wrapped__().amx


@here
@pytest.mark.parametrize("shapes", [((70, 90), (90, 50)), ((3, 40, 65), (3, 65, 33)),
                                    ((2, 33, 700), (700, 64))], ids=str)
def test_matmul_and_its_gradients(shapes):
    a, b = (torch.from_numpy(numbers(*s).astype(np.float32)).bfloat16() for s in shapes)

    def step():
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        out = x @ y
        (out * out).sum().backward()
        return out, x.grad, y.grad

    programs = check_native(step, rtol=2e-2, atol=0.5 * shapes[0][-1] ** 0.5)
    assert any("amx" in c.function for p in programs for c in calls_of(p))


@here
def test_sums_that_are_used_before_they_are_rounded():
    a, b, c = (torch.from_numpy(numbers(*s).astype(np.float32)).bfloat16()
               for s in ((70, 90), (90, 50), (70, 50)))
    programs = check_native(lambda: torch.addmm(c, a, b, beta=0.5, alpha=2), 2e-2, 0.2)
    assert any("amx" in c.function for p in programs for c in calls_of(p))


@here
@pytest.mark.parametrize("shape", [(50, 96), (2, 25, 96)], ids=str)
def test_linear_under_autocast(shape):
    layer = torch.nn.Linear(96, 70)
    x = torch.from_numpy(numbers(*shape).astype(np.float32))

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return layer(x)

    programs = check_native(step, rtol=2e-2, atol=2e-2)
    assert any("amx" in c.function for p in programs for c in calls_of(p))


def calls_of(program) -> list:
    return [c for _, _, calls in program.plans.values() for c in calls]


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_text_compiles_everywhere(dtype):
    text = objects.assembly(amx.text(LEVEL, DTYPES[dtype]), LEVEL)
    assert "tdpbf16ps" in text and "ldtilecfg" in text and "tilerelease" in text


def test_only_where_there_is_amx():
    a, c = numbers(64, 64), np.zeros((64, 64), BFLOAT16)
    without = matmul.plan(product(a, a, c), target.AVX512)
    with_it = matmul.plan(product(a, a, c), LEVEL)
    assert without[0].function != "amx" and with_it[0].function == "amx"
    assert not any(level.amx for level in target.LEVELS.values())
