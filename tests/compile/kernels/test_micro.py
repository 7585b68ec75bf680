"""Register tiles: every height and width, every way to read A, for each target."""

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.compile.kernels import micro
from rushlight.compile.kernels.micro import Tiles
from rushlight.compile.llvm import objects, target
from rushlight.compile.llvm.builder import Function, module

HERE = [
    t for t in (target.AVX512, target.AVX2, target.GENERIC)
    if t.triple.split("-")[0] == target.host().triple.split("-")[0]
    and t.vector_bytes <= target.host().vector_bytes
]
DOT = replace(
    target.AVX512, features=target.AVX512.features + ",+avx512bf16", bfloat16_dot=True
)
LOOPS = [
    Tiles(target.AVX2), Tiles(target.AVX2, "float64"),
    Tiles(target.AVX512), Tiles(target.AVX512, ahead=True), Tiles(DOT, "bfloat16"),
]
TILE = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)


def text(tiles: Tiles) -> str:
    """A module with the kernels and a way in, by height and width."""
    parameters = [("ptr", n) for n in "abc"] + [("i64", n) for n in ("k", "columns")]
    parameters += [("ptr", "block"), ("i64", "rows"), ("i64", "vectors")]
    f = Function("go", parameters)
    tiles.call(f, "%rows", "%vectors", "%a", "%b", "%c", "%k", "%columns", "%block")
    f.do("ret void")
    return module([*tiles.kernels(), f], tiles.extra())


def call(tiles, rows, vectors, columns, k, a, b, c, words):
    block = np.zeros(micro.BLOCK_WORDS, np.int64)
    for index, value in words.items():
        block[index] = value
    code = objects.load(text(tiles), ("go",))
    go = TILE(code["go"])
    go(*(x.ctypes.data for x in (a, b, c)), k, columns, block.ctypes.data, rows, vectors)


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
@settings(max_examples=40)
def test_every_tile(level, dtype, data):
    draw = data.draw
    tiles = Tiles(level, dtype, ahead=draw(st.booleans()))
    rows, vectors = draw(st.integers(1, tiles.rows)), draw(st.integers(1, tiles.vectors))
    last = draw(st.integers(1, tiles.lanes))
    columns, k = (vectors - 1) * tiles.lanes + last, draw(st.sampled_from([0, 1, 3, 4, 5, 11, 16]))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    width = vectors * tiles.lanes
    a = random.standard_normal((rows + 2, k + 3)).astype(dtype)
    if draw(st.booleans()):
        a = np.asfortranarray(a)  # by columns
    a = a[1:-1, 1:-2]
    b = random.standard_normal((k, width + draw(st.sampled_from([0, 5])))).astype(dtype)
    c = random.standard_normal((rows, width + 2)).astype(dtype)
    bias = random.standard_normal(columns).astype(dtype) if draw(st.booleans()) else None
    adds = draw(st.sampled_from(["nothing", "c", "another"]))
    other = random.standard_normal((rows, columns + 4)).astype(dtype)[:, 1:-3]
    expected = c.astype(np.float64)
    total = a.astype(np.float64) @ b[:, :columns].astype(np.float64)
    if adds != "nothing":
        total += (expected[:, :columns] if adds == "c" else other)
    expected[:, :columns] = total + (bias if bias is not None else 0)
    call(tiles, rows, vectors, columns, k, a, b, c, {
        micro.A_ROW: a.strides[0], micro.A_K: a.strides[1], micro.B_K: b.strides[0],
        micro.C_ROW: c.strides[0],
        micro.ADD: {"nothing": 0, "c": 1, "another": other.ctypes.data}[adds],
        micro.ADD_ROW: other.strides[0],
        micro.BIAS: 0 if bias is None else bias.ctypes.data,
    })
    np.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(c[:, columns:], expected[:, columns:].astype(dtype))


@pytest.mark.parametrize("level", HERE, ids=lambda t: t.name)
def test_pairs_of_bfloat16(level):
    import ml_dtypes

    tiles = Tiles(level, "bfloat16")
    rows, k, random = tiles.rows, 5, np.random.default_rng(0)
    a = random.standard_normal((rows, 2 * k)).astype(ml_dtypes.bfloat16)
    b = random.standard_normal((2 * k, tiles.columns)).astype(ml_dtypes.bfloat16)
    pairs = np.ascontiguousarray(b.reshape(k, 2, -1).swapaxes(1, 2))
    c = np.empty((rows, tiles.columns), np.float32)
    call(tiles, rows, tiles.vectors, tiles.columns, k, a, pairs, c, {
        micro.A_ROW: a.strides[0], micro.A_K: 4, micro.B_K: pairs.strides[0],
        micro.C_ROW: c.strides[0],
    })
    expected = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tiles", LOOPS, ids=lambda t: f"{t.target.name} {t.name(1, 1)}")
def test_no_tile_spills_its_sums(tiles):
    """In the main loop of the highest tile, no vector goes to or comes from the stack."""
    f = objects.assembly(text(tiles), tiles.target)
    name = tiles.name(tiles.rows, tiles.vectors)
    body = f.split(f"\n{name}:")[1].split(".Lfunc_end")[0]
    loops = [b for b in body.split("\n.LBB") if b.count("vfmadd") + b.count("vdpbf16ps") >= 40]
    assert loops
    for loop in loops:
        assert not [line for line in loop.split("\n") if "rsp" in line and "mm" in line]


def test_other_processors():
    tiles = Tiles(target.NEON)
    assert objects.compile_text(text(tiles), target.NEON)


def test_panels_are_even():
    f = Function("count", [("i64", "rows"), ("ptr", "out")])
    tiles = Tiles(target.AVX2)
    tiles.panels(f, "%rows", lambda row, h: f.store("i64", h, f.at("%out", row, "i64"), 8))
    f.do("ret void")
    code = objects.load(module([f]), ("count",))
    count = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(code["count"])
    for rows in (0, 1, 5, 6, 7, 13, 64):
        heights = np.zeros(rows + 1, np.int64)
        count(rows, heights.ctypes.data)
        starts = np.flatnonzero(heights)
        assert heights.sum() == rows and len(starts) == -(-rows // tiles.rows)
        assert all(np.diff([*starts, rows]) == heights[starts])
        assert not rows or heights[starts].max() - heights[starts].min() <= 1
