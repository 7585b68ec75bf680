"""Matrix products: sizes, strides, dtypes, targets; chunks in any order."""

import itertools
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from compile.run_calls import THREADS, guarded, run_calls
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.compile.kernels import matmul, products
from rushlight.compile.kernels.call import Address, Workspace
from rushlight.compile.kernels.matmul import Matrix, Product, plan, takes_addend
from rushlight.compile.kernels.products import WORDS
from rushlight.compile.llvm import objects, target
from rushlight.compile.llvm.builder import libraries_of

HERE = [
    t for t in (target.AVX512, target.AVX2, target.GENERIC)
    if t.triple.split("-")[0] == target.host().triple.split("-")[0]
    and t.vector_bytes <= target.host().vector_bytes
]
TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "bfloat16": 1e-2, "float16": 1e-3}
DTYPES = {n: np.dtype(getattr(ml_dtypes, n, n)) for n in TOLERANCE}
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 33, 50, 65, 100]
# few rows; few columns; long k; several blocks of k and of rows; several chunks of each kind
LARGE = [
    (1, 700, 300), (600, 500, 1), (6, 20000, 10), (60, 700, 60), (60, 2500, 70), (330, 300, 150), (1, 5000, 40)
]

SHARED = (400, 440, 400)  # both sides are packed before


def matrix(x: np.ndarray, name: str) -> Matrix:
    *batch, row, column = (s // x.itemsize for s in x.strides)
    return Matrix(Address(name), row, column, tuple(batch))


def product(a, b, c, bias=None, accumulate=False) -> Product:
    """The product of arrays; A and B may have batch dimensions that C's are broadcast from."""
    a, b = (np.broadcast_to(x, (*c.shape[:-2], *x.shape[-2:])) for x in (a, b))
    return Product(
        matrix(a, "a"), matrix(b, "b"), matrix(c, "c"), *a.shape[-2:-1], c.shape[-1], a.shape[-1],
        c.shape[:-2], a.dtype.name, accumulate, Address("bias") if bias is not None else None,
    )


def run(a, b, c, bias=None, accumulate=False, level=None, **how):
    calls = plan(product(a, b, c, bias, accumulate), level)
    run_calls(calls, {"a": a, "b": b, "c": c, "bias": bias}, **how)
    return calls


def expected(a, b, c, bias, accumulate):
    wide = [x.astype(np.float64) for x in (a, b, c)]
    total = wide[0] @ wide[1] + (wide[2] if accumulate else 0)
    return total + (bias.astype(np.float64) if bias is not None else 0)


def check(a, b, c, bias, accumulate, level, **how):
    wanted, tolerance = expected(a, b, c, bias, accumulate), TOLERANCE[a.dtype.name]
    calls = run(a, b, c, bias, accumulate, level, **how)
    scale = np.sqrt(a.shape[-1] + 1)
    np.testing.assert_allclose(c.astype(np.float64), wanted, tolerance, tolerance * scale)
    return calls


class Arrays:
    """Random matrices with the layouts that hypothesis chooses."""

    def __init__(self, draw, dtype: str, seed: int):
        self.draw, self.dtype, self.random = draw, DTYPES[dtype], np.random.default_rng(seed)

    def __call__(self, *shape: int) -> np.ndarray:
        *batch, rows, columns = shape
        layout = self.draw(st.sampled_from(["plain", "transposed", "wide", "strided", "outer"]))
        if layout == "transposed":
            return self.numbers(*batch, columns, rows).swapaxes(-1, -2)
        if layout == "wide":
            return self.numbers(*batch, rows, columns + 3)[..., 1 : columns + 1]
        if layout == "strided":
            return self.numbers(*batch, 2 * rows, 3 * columns)[..., ::2, ::3]
        if layout == "outer" and batch:
            return np.moveaxis(self.numbers(rows, *batch, columns), 0, -2)
        return self.numbers(*shape)

    def numbers(self, *shape: int) -> np.ndarray:
        return self.random.standard_normal(shape).astype(self.dtype)


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", list(DTYPES))
@given(data=st.data())
@settings(max_examples=40)
def test_any_sizes_and_strides(level, dtype, data):
    draw = data.draw
    array = Arrays(draw, dtype, draw(st.integers(0, 99)))
    m, k, n = draw(st.tuples(*[st.sampled_from(SIZES)] * 3) | st.sampled_from([*LARGE, SHARED]))
    batch = draw(st.sampled_from([(), (1,), (3,), (2, 3)])) if m * k * n < 5000 else ()
    a, b, c = array(*batch, m, k), array(*batch, k, n), array(*batch, m, n)
    if batch and draw(st.booleans()):
        b = b[:1]
    bias = array.numbers(n) if draw(st.booleans()) else None
    check(a, b, c, bias, draw(st.booleans()), level, order=draw(st.sampled_from(["up", "mixed"])))


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=40)
def test_pairs_of_bfloat16(level, data):
    """Packing and words for processors that multiply pairs; here each is two steps."""
    draw = data.draw
    array = Arrays(draw, "bfloat16", draw(st.integers(0, 99)))
    m, k, n = draw(st.tuples(*[st.sampled_from(SIZES)] * 3) | st.sampled_from([*LARGE, SHARED]))
    a, b, c = array(m, k), array(k, n), array(m, n)
    check(a, b, c, None, draw(st.booleans()), replace(level, bfloat16_dot=True))


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=40)
def test_sums_of_bfloat16_are_stored_as_they_are(level, pairs, data):
    """C and bias float32, of any strides: nothing is rounded."""
    draw = data.draw
    array = Arrays(draw, "bfloat16", draw(st.integers(0, 99)))
    m, k, n = draw(st.tuples(*[st.sampled_from(SIZES[1:])] * 3) | st.sampled_from([*LARGE, SHARED]))
    batch = draw(st.sampled_from([(), (1,), (3,), (2, 3)])) if m * k * n < 5000 else ()
    a, b = array(*batch, m, k), array(*batch, k, n)
    array.dtype = DTYPES["float32"]
    c, bias = array(*batch, m, n), array.numbers(n) if draw(st.booleans()) else None
    accumulate = draw(st.booleans())
    wanted = expected(a, b, c, bias, accumulate)
    made = replace(product(a, b, c, bias, accumulate), wide=True)
    run_calls(plan(made, replace(level, bfloat16_dot=pairs)), {"a": a, "b": b, "c": c, "bias": bias})
    np.testing.assert_allclose(c, wanted, 1e-5, 1e-5 * np.sqrt(k))


def test_large_sizes_reach_every_way():
    """Else the tests with them would miss what they are for, after a change of the plans."""
    seen, levels = set(), (target.AVX512, target.AVX2)
    dtypes = ("float32", "float64", "bfloat16")
    for (m, k, n), dtype, level, left, right in itertools.product([*LARGE, SHARED], dtypes, levels, *[(False, True)] * 2):
        made = [np.empty(s, DTYPES[dtype]) for s in ((k, m) if left else (m, k), (n, k) if right else (k, n), (m, n))]
        a, b, c = (x.T if turned else x for x, turned in zip(made, (left, right, False)))
        for call in plan(product(a, b, c), level):
            w = dict(zip(WORDS, call.words))
            seen.add((call.function,))
            if call.function == "tiles":
                seen.add(("B", level.name, w["pack_b"]))
                seen.add(("A", level.name, dtype == "bfloat16", left, w["pack_a"]))
                seen.add(("blocks of k", level.name, w["pack_b"], min(w["k_step"], w["k"]) > w["kc"]))
                seen.add(("blocks of rows", level.name, w["keep"], min(w["m_step"], w["m"]) > w["mc"]))
    assert {("tiles",), ("dots",), ("sweeps",), ("finish",), ("pack_left",), ("pack_right",)} <= seen
    for name in ("avx512", "avx2"):
        assert {("B", name, how) for how in range(4)} <= seen
        assert {("A", name, True, False, 1), ("A", name, True, True, 2), ("A", name, False, True, 0)} <= seen
        assert {("blocks of k", name, how, True) for how in range(3)} <= seen
        assert ("blocks of rows", name, 1, True) in seen
    assert ("A", "avx2", False, True, 2) in seen and ("A", "avx512", False, True, 2) not in seen


@pytest.mark.parametrize("shape", [*LARGE, SHARED], ids=str)
def test_the_same_bits_in_any_order_and_number_of_threads(shape):
    m, k, n = shape
    random = np.random.default_rng(0)
    a, b = random.standard_normal((m, k)), random.standard_normal((k, n))
    a, b = a.astype(np.float32), b.astype(np.float32)
    results = []
    for how in ({"order": "up"}, {"order": "down"}, {"workers": THREADS - 1}):
        c = np.full((m, n), np.nan, np.float32)
        calls = run(a, b, c, **how)
        results.append(c)
    assert calls[0].chunks > 1
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_what_was_there_does_not_matter():
    """NaNs in C are overwritten; infinities and NaNs of A and B stay in their rows and columns."""
    a, b = np.ones((20, 30), np.float32), np.ones((30, 21), np.float32)
    a[3, 4], b[5, 6] = np.nan, np.inf
    c = np.full((20, 21), np.nan, np.float32)
    with np.errstate(invalid="ignore"):
        run(a, b, c)
        np.testing.assert_array_equal(c, a @ b)


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_an_empty_sum_is_zero(dtype):
    c = np.full((3, 5), np.nan, DTYPES[dtype])
    run(np.empty((3, 0), c.dtype), np.empty((0, 5), c.dtype), c)
    np.testing.assert_array_equal(c.astype(np.float64), 0)
    for shape in ((0, 4, 5), (3, 4, 0)):
        m, k, n = shape
        assert not run(np.ones((m, k)), np.ones((k, n)), np.empty((m, n)))
    assert not run(np.ones((0, 2, 2)), np.ones((0, 2, 2)), np.empty((0, 2, 2)))


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", list(DTYPES))
def test_nothing_beyond_the_arrays_is_touched(level, dtype):
    random = np.random.default_rng(0)
    shapes = [(1, 65, 33), (2, 33, 17), (13, 65, 7), (33, 130, 21), (64, 7, 50), (10, 9000, 30)]
    for m, k, n in shapes:
        for turned in range(4):
            sizes = [(k, m) if turned & 1 else (m, k), (n, k) if turned & 2 else (k, n), (m, n), n]
            made = [random.standard_normal(s).astype(DTYPES[dtype]) for s in sizes]
            a, b, c, bias = map(guarded, made)
            a, b = a.T if turned & 1 else a, b.T if turned & 2 else b
            check(a, b, c, bias, turned == 1, level)


def test_large_strides_do_not_overflow():
    """Rows that are gigabytes apart (memory that is never touched between them)."""
    wide = np.zeros((2, (1 << 29) + 100), np.float32)
    a, b = wide[:, 50:55], np.arange(10, dtype=np.float32).reshape(5, 2)
    a[...] = np.arange(10).reshape(2, 5)
    c = np.zeros((2, 2), np.float32)
    run(a, b, c)
    np.testing.assert_array_equal(c, a @ b)


def test_the_plan_depends_on_sizes_alone():
    """Words of two plans are alike, and their texts are the same objects."""
    a, b, c = np.ones((70, 900), "f"), np.ones((900, 30), "f"), np.ones((70, 30), "f")
    first, second = plan(product(a, b, c)), plan(product(a, b, c))
    assert [x.chunks for x in first] == [x.chunks for x in second]
    for x, y in zip(first, second):
        assert x.text is y.text
        assert [w for w in x.words if not _is_place(w)] == [w for w in y.words if not _is_place(w)]


def _is_place(word) -> bool:
    return isinstance(word, (Address, Workspace))


@pytest.mark.parametrize("kind", ["dots", "sweeps", "finish"])
def test_other_processors(kind):
    for level in (target.NEON, target.AVX512):
        text = matmul._text(kind, level, "bfloat16")
        for each in (text, *[x.text for x in libraries_of(text)]):
            assert objects.compile_text(each, level)


def test_tiles_for_other_processors():
    text = matmul._text("tiles", target.NEON, "bfloat16")
    for each in (text, *[x.text for x in libraries_of(text)]):
        assert objects.compile_text(each, target.NEON)
    dot = replace(
        target.AVX512, features=target.AVX512.features + ",+avx512bf16", bfloat16_dot=True
    )
    assert "vdpbf16ps" in objects.assembly(matmul._text("pairs", dot, "bfloat16"), dot)


@given(st.data())
@settings(max_examples=60)
def test_another_matrix_is_added(data):
    """Where the plan takes it: over several blocks of k, rows and columns too; C may be it."""
    draw = data.draw
    random = np.random.default_rng(draw(st.integers(0, 99)))
    m, n = draw(st.integers(3, 60)), draw(st.integers(3, 200))
    k = draw(st.sampled_from([1, 7, 64, 600, 1100]))
    a, b = (random.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n)))
    wide = random.standard_normal((m, n + 5)).astype(np.float32)
    e = wide[:, 2 : n + 2]
    c = e if draw(st.booleans()) else np.full((m, n), np.nan, np.float32)
    bias = random.standard_normal(n).astype(np.float32) if draw(st.booleans()) else None
    wanted = e.astype(np.float64) + a.astype(np.float64) @ b + (0 if bias is None else bias)
    made = replace(product(a, b, c, bias), addend=matrix(e, "e"), reused=draw(st.booleans()))
    if takes_addend(made):
        run_calls(plan(made), {"a": a, "b": b, "c": c, "e": e, "bias": bias})
        np.testing.assert_allclose(c, wanted, 1e-4, 1e-4 * np.sqrt(k))
    else:
        assert min(m, n) <= 24


def test_who_takes_an_addend():
    a, b, c = (np.zeros(s, np.float32) for s in ((30, 64), (64, 50), (30, 50)))
    assert takes_addend(replace(product(a, b, c), addend=matrix(c, "e")))
    assert not takes_addend(product(a, b, c))
    assert not takes_addend(replace(product(a, b, c), addend=matrix(c[:, ::2], "e")))
    assert not takes_addend(replace(product(a[:1], b, c[:1]), addend=matrix(c[:1], "e")))


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", list(DTYPES))
@given(data=st.data())
@settings(max_examples=40)
def test_triangles(level, dtype, data):
    """What is left out is zero, or not looked at: on the diagonal and on the other side everything is right."""
    draw = data.draw
    array = Arrays(draw, dtype, draw(st.integers(0, 99)))
    m, k, n = draw(st.tuples(*[st.sampled_from(SIZES)] * 3) | st.sampled_from([*LARGE, SHARED]))
    batch = draw(st.sampled_from([(), (3,)])) if m * k * n < 5000 else ()
    a, b, c = array(*batch, m, k), array(*batch, k, n), array(*batch, m, n)
    if batch and draw(st.booleans()):
        b = b[:1]
    kind = draw(st.sampled_from([products.LOWER_A, products.UPPER_A, products.LOWER_C]))
    if kind == products.LOWER_A:
        a[...] = np.tril(a)
    elif kind == products.UPPER_A:
        a[...] = np.triu(a)
    c[...] = np.nan
    wanted, tolerance = expected(a, b, np.zeros_like(c), None, False), TOLERANCE[dtype]
    run_calls(plan(replace(product(a, b, c), triangle=kind), level), {"a": a, "b": b, "c": c, "bias": None})
    seen = np.broadcast_to(np.tri(m, n, dtype=bool) | (kind != products.LOWER_C), c.shape)
    np.testing.assert_allclose(c.astype(np.float64)[seen], wanted[seen], tolerance, tolerance * np.sqrt(k + 1))


def test_a_triangle_leaves_out_what_it_can():
    """NaN far above the diagonal is neither read as a factor nor made."""
    n = 200
    a, b, c = np.tri(n, dtype=np.float32), np.ones((n, 50), np.float32), np.zeros((n, 50), np.float32)
    a[:100, 150:] = np.nan
    run_calls(plan(replace(product(a, b, c), triangle=products.LOWER_A)), {"a": a, "b": b, "c": c, "bias": None})
    assert (c == np.arange(1, n + 1)[:, None]).all()
    a, b, c = np.ones((n, 50), np.float32), np.ones((50, n), np.float32), np.zeros((n, n), np.float32)
    run_calls(plan(replace(product(a, b, c), triangle=products.LOWER_C)), {"a": a, "b": b, "c": c, "bias": None})
    assert (c[np.tri(n, dtype=bool)] == 50).all() and not c[:100, 150:].any()
