"""Loops and kernels of expressions against NumPy: the same function on arrays and on symbols.

Functions are lowered as an operator's reference is, grouped, written as kernels and run,
without programs.
Random functions are made of steps that each combine earlier values.
"""

from __future__ import annotations

import os
import types

import numpy as np
import pytest
from compile.run_calls import run_calls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rushlight.compile import emit, lowering
from rushlight.compile.expressions import NotLowered, Temporary, View, owned, value
from rushlight.compile.groups import Group, drop_dead, group
from rushlight.compile.llvm import target
from rushlight.compile.symbolic import LOWERING, Symbol

TOLERANCE = {"float64": 1e-11, "float32": 2e-5, "float16": 4e-3}


class Root:
    """What a node is to its memory."""

    op = types.SimpleNamespace(name="leaf")

    def __init__(self, array):
        self.array, self.root, self.outs, self.ins = array, self, (), ()


def view_of(array, root) -> View:
    """The view that an array (of the root's memory) is."""
    start = root.array.__array_interface__["data"][0]
    at = array.__array_interface__["data"][0] - start
    size = array.itemsize
    return View(root, array.shape, tuple(s // size for s in array.strides), at // size, array.dtype)


def compiled(function, *arrays):
    """The results of `function(*arrays)` from kernels, and the words that say what was wrong."""
    roots = [Root(owner(a)) for a in arrays]
    node = Root(np.zeros(0))
    build = lowering.Lowering(types.SimpleNamespace(node=node))
    LOWERING.append(build)
    try:
        made = function(*[Symbol(value(view_of(a, r))) for a, r in zip(arrays, roots, strict=True)])
        made = made if isinstance(made, tuple) else (made,)
        outs = []
        for x in made:
            root = Root(np.full(x.shape, 77).astype(x.dtype))
            build.store(view_of(root.array, root), x)
            outs.append(root)
    finally:
        LOWERING.pop()
    items = group(build.statements, {r.root for r in outs})
    drop_dead(items, {r.root for r in outs})
    buffers = _Buffers()
    for item in items:
        calls = emit.emit(item.builder.finish()) if isinstance(item, Group) else item.calls
        run_calls(calls, buffers, order="mixed")
    return [r.array for r in outs], buffers["errors"]


class _Buffers(dict):
    """Memory by root: arrays, or temporaries made when first asked for; and the error word."""

    def __init__(self):
        super().__init__(errors=np.zeros(1, np.int64))

    def __missing__(self, root):
        if isinstance(owned(root), Temporary):
            self[root] = np.full(max(owned(root).nbytes, 1) + 64, 0xA5, np.uint8)
        else:
            self[root] = root.array
        return self[root]


def owner(a):
    """The array whose memory `a` is a view of."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


def check(function, *arrays, rtol=None):
    """Compare kernels and NumPy."""
    with np.errstate(all="ignore"):
        wanted = function(*arrays)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found, errors = compiled(function, *arrays)
    for a, b in zip(found, wanted, strict=True):
        b = np.asarray(b)
        assert a.dtype == b.dtype and a.shape == b.shape
        tolerance = TOLERANCE.get(a.dtype.name, 0) if rtol is None else rtol
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert not errors.any()


rng = np.random.default_rng(0)


def some(*shape, dtype="float32"):
    """Small whole numbers and halves, of which sums are exact; of floats also a few odd ones."""
    a = rng.integers(-6, 7, shape)
    if np.dtype(dtype).kind == "f":
        a = a * 0.5
    return np.asarray(a, dtype)


# ---------------------------------------------------------------- known shapes of loops


def softmax(x):
    """A row in three stages."""
    z = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return z / np.add.reduce(z, axis=-1, keepdims=True)


def standardised(x):
    """A row in three stages, with several results."""
    mean = np.add.reduce(x, axis=-1, keepdims=True) * x.dtype.type(1 / x.shape[-1])
    d = x - mean
    var = np.add.reduce(d * d, axis=-1, keepdims=True) * x.dtype.type(1 / x.shape[-1])
    return d / np.sqrt(var + x.dtype.type(1e-5)), mean, var


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (40, 8), (5, 33), (3000, 10), (2, 1000)])
def test_stages_of_rows(shape):
    check(softmax, some(*shape))
    check(standardised, some(*shape))


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_reductions(axis):
    x = some(5, 19, 21)
    check(lambda x: (np.add.reduce(x, axis=axis), x * 2), x)
    check(lambda x: np.max(x * x, axis=axis, keepdims=True) - x, x)
    check(lambda x: np.add.reduce(x, axis=axis), some(40, 30, 50, dtype="float64"))


def test_many_chunks():
    x = some(5000, 70)
    check(lambda x: (np.add.reduce(x, axis=0), np.add.reduce(x), x + 1), x)
    check(lambda x: np.add.reduce(x, axis=(0, 1)), x)
    check(lambda x: np.max(x) + x, some(100_000))


@given(n=st.integers(1, 5000), row=st.integers(1, 400), least=st.integers(256, 20_000), flat=st.booleans(), partial=st.booleans())
def test_chunks_hold_all_rows_once(n, row, least, flat, partial):
    """And evenly: with a row less in each, there would be too few of them."""
    per, chunks = emit._chunks(flat, partial, least, n, 1 if flat else row)
    assert per * (chunks - 1) < n <= per * chunks
    assert flat or partial or per * chunks - n < chunks


def test_a_step_of_much_memory_is_shared(monkeypatch):
    """Eight thousand elements of twelve arrays are more than one chunk; of one array, they are not."""
    chunks, write = [], emit.emit

    def emitted(nest):
        calls = write(nest)
        chunks.append(calls[0].chunks)
        return calls

    monkeypatch.setattr(emit, "emit", emitted)
    check(lambda x: x + 1, some(32, 256))
    check(lambda *arrays: sum(arrays[1:], arrays[0]), *[some(32, 256) for _ in range(12)])
    assert chunks == [1, 2]


def test_strides():
    x = some(6, 8, 10)
    for view in (x.T, x[1:, ::2], x[:, 3:4], np.broadcast_to(x[:1], (6, 8, 10)), x[..., 0],
                 x.transpose(1, 0, 2), np.broadcast_to(x[0, 0, 0], (4, 5))):
        check(lambda a: a * 2 + 1, view)
        check(lambda a: np.add.reduce(a, axis=-1), view)
        check(lambda a: a.astype(np.float64), view)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16",
                                   "float32", "float64"])
def test_dtypes(dtype):
    for shape in ((3, 7), (4, 64), (130,), ()):
        x, y = some(*shape, dtype=dtype), some(*shape, dtype=dtype)
        check(lambda x, y: (x + y, np.maximum(x, y), x == y, np.where(x < y, x, y)), x, y)
        check(lambda x: (x.astype(np.float32), x.astype(np.int64), x.astype(np.bool_)), x)
        if shape:
            check(lambda x: (np.max(x, axis=-1), np.min(x), np.any(x, axis=0)), x)


def test_casts_as_c():
    odd = np.array([0.0, -1.5, 300.7, -300.2, 1e9, 3e9, 1e19, np.nan, np.inf, -np.inf])
    for source in (np.float64, np.float32):
        x = odd.astype(source)
        check(lambda x: x.astype(np.int64), x)
        check(lambda x: x.astype(np.int32), x)
        check(lambda x: (x.astype(np.int16), x.astype(np.int8)), x[:4])
        check(lambda x: x.astype(np.uint8), x[:3])
        check(lambda x: (x.astype(np.bool_), x.astype(np.float16)), x)


def test_odd_numbers():
    x = np.array([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-40, 3.4e38], np.float32)
    y = x[::-1].copy()
    check(lambda x, y: (np.maximum(x, y), np.minimum(x, y), np.fmax(x, y), np.fmin(x, y)), x, y)
    check(lambda x, y: (x < y, x != y, np.isnan(x), np.isfinite(x), np.signbit(x)), x, y)
    check(lambda x, y: (x / y, x * y, np.sign(x), np.copysign(x, y), np.trunc(x)), x, y)
    check(lambda x: (np.max(x), np.min(x), np.argmax(x), np.argmin(x)), x)
    check(lambda x: (np.max(x), np.argmin(x[:, None] + x, axis=0)), x[:4])


def test_whole_numbers_wrap():
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        x = np.array([low, high, -1, 0, 1, 7, -7, high], dtype)
        y = np.array([-1, 2, 3, 5, -5, -3, 3, high], dtype)
        check(lambda x, y: (x + y, x * y, x - y, -x, np.abs(x)), x, y)
        check(lambda x, y: (x // y, x % y, np.fmod(x, y)), x, y)
        check(lambda x, y: (x << (y & 3), x >> (y & 3), x & y, x | y, x ^ y, ~x), x, y)
    x = np.arange(200, 256).astype(np.uint8)
    check(lambda x: (x + x, x // (x - 199), x % 7, x >> 2, x << 3), x)


# ---------------------------------------------------------------- places


def test_parts_and_padding():
    x = some(7, 9)
    check(lambda x: (x * 2)[1:5, ::2] + 1, x)
    check(lambda x: np.flip(x + 1, 1), x)
    check(lambda x: (x + 1)[2] * (x + 1)[-1], x)

    def padded(x):
        whole = np.zeros((9, 40), x.dtype, like=x)
        whole[1:8, 20:29] = x * 3
        return whole + np.add.reduce(whole, axis=0)

    def twice(x):
        whole = np.full((7, 9), 5, x.dtype, like=x)
        whole[:, 2] = x[:, 0]
        whole[3] = x[0] + 1
        return whole

    check(padded, x)
    check(padded, x.astype(np.float16))
    check(padded, np.broadcast_to(x[:1, :1], (7, 9)))
    check(padded, x.T.copy().T)
    check(twice, x)


def test_counts_and_triangles():
    x = some(6, 70)
    check(lambda x: x + np.arange(70), x)
    check(lambda x: (np.tril(x, 3), np.triu(x, -1)), x)
    check(lambda x: np.where(np.arange(6)[:, None] == 2, x, 0), x)
    check(lambda x: x * np.linspace(0, 1, 70, dtype=np.float32), x)


def test_taking():
    x = some(8, 5, 70)
    i = np.array([[3, 0, -1], [7, 7, 2]])
    check(lambda x, i: np.take(x, i, axis=0) * 2, x, i)
    check(lambda x, i: x[:, i % 5], x, i)
    check(lambda x, i: x[i, i % 5, i % 7], x, i)
    check(lambda x, i: np.take_along_axis(x, i[:, :, None] % 8, 0), x[:, :3, :1], i)
    check(lambda x, i: x[:, :, i[0]], x, i)
    half = x.astype(np.float16)
    check(lambda x, i: np.take(x, i, axis=0), half, i)


def test_a_wrong_index_is_noted():
    x, i = some(8, 5), np.array([1, 8])
    for f in (lambda x, i: np.take(x, i, axis=0), lambda x, i: x[:, i]):
        _, errors = compiled(f, x, i)
        assert errors.any()
    _, errors = compiled(lambda x, i: (x.astype(x.dtype), (i > 7).found())[0], x, i)
    assert errors.any()


def test_rearranging():
    x, y = some(4, 6), some(4, 3)
    check(lambda x, y: np.concatenate((x, y * 2), axis=1) + 1, x, y)
    check(lambda x, y: np.stack((x, x + 1), axis=1), x, y)
    check(lambda x: np.roll(x, (1, -2), (0, 1)), x)
    check(lambda x: np.tile(x, (2, 3)), x)
    check(lambda x: (x + 1).T.reshape(3, 8), x)
    check(lambda x: np.moveaxis(x[None], 0, 2), x)


def test_scans_and_order():
    x = some(5, 40, 3)
    check(lambda x: (np.cumsum(x, 1), np.cumsum(x, 2), np.cumprod(x[:, :5], 1)), x)
    check(lambda x: np.argsort(x, axis=1, kind="stable"), x)
    check(lambda x: np.argsort(x, axis=0, kind="stable"), some(300, 2))


# ---------------------------------------------------------------- random functions

UNARY = [np.negative, np.abs, np.square, lambda x: x + 1, lambda x: x * x.dtype.type(2),
         lambda x: x[..., ::-1], lambda x: x.astype(np.float64), lambda x: x.astype(np.float32),
         lambda x: x.astype(np.int32), lambda x: x > 0,
         lambda x: x[..., 1:] if x.shape[-1] > 1 else x,
         lambda x: np.flip(x, 0), lambda x: x[:1], lambda x: x.swapaxes(0, -1),
         lambda x: np.where(x > 1, x, x.dtype.type(0))]
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.less, np.equal,
          lambda x, y: np.where(x == y, x, y)]
REDUCTIONS = [np.add.reduce, np.max, np.min, lambda x, **k: np.any(x > 0, **k),
              lambda x, **k: np.argmax(x, axis=k["axis"], keepdims=True)]
INPUT_VIEWS = [lambda a: a, lambda a: a.T.copy().T, lambda a: a[:, :1], lambda a: a[:1],
               lambda a: np.broadcast_to(a[:1, :1], a.shape), lambda a: a[:, ::2]]


@st.composite
def functions(draw):
    """(views of random arrays, steps of a function of them)."""
    shape = draw(st.sampled_from([(1, 1), (2, 5), (3, 17), (9, 1), (1, 40), (4, 64), (70, 6)]))
    count = draw(st.integers(1, 3))
    dtypes = draw(st.lists(st.sampled_from(["float32", "float64", "int64", "float16", "bool",
    "uint8"]),
                           min_size=count, max_size=count))
    views = draw(st.lists(st.sampled_from(INPUT_VIEWS), min_size=count, max_size=count))
    steps = []
    for k in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["unary", "binary", "reduce"]))
        pick = st.integers(0, count + k - 1)
        if kind == "unary":
            steps.append((draw(st.sampled_from(UNARY)), draw(pick), None))
        elif kind == "binary":
            steps.append((draw(st.sampled_from(BINARY)), draw(pick), draw(pick)))
        else:
            axis = draw(st.sampled_from([0, 1]))
            reduction = draw(st.sampled_from(REDUCTIONS))
            steps.append((lambda x, r=reduction, a=axis: r(x, axis=a, keepdims=True),
                          draw(pick), None))
    return shape, dtypes, views, steps


def made_of(steps):
    """The function that carries out the steps and returns its last two values."""

    def function(*arrays):
        values = list(arrays)
        for f, i, j in steps:
            values.append(f(values[i]) if j is None else f(values[i], values[j]))
        return tuple(values[-2:]) if len(steps) > 1 else values[-1]

    return function


@settings(max_examples=int(os.environ.get("RUSHLIGHT_FUZZ") or 60), deadline=None,
          suppress_health_check=list(HealthCheck))
@given(functions())
def test_random_functions(drawn):
    shape, dtypes, views, steps = drawn
    arrays = [v(some(*shape, dtype=d)) for v, d in zip(views, dtypes, strict=True)]
    function = made_of(steps)
    try:
        with np.errstate(all="ignore"):
            function(*arrays)
    except (TypeError, ValueError):
        return  # (not for these dtypes or shapes)
    try:
        check(function, *arrays)
    except NotLowered:
        pass


# ---------------------------------------------------------------- other processors


@pytest.mark.parametrize("level", ["generic128", "avx2"])
def test_smaller_processors(level, monkeypatch):
    host = target.host()
    monkeypatch.setattr(emit, "host", lambda: target.LEVELS[level])
    if host.vector_bytes < target.LEVELS[level].vector_bytes:
        pytest.skip("this machine is smaller")
    check(softmax, some(9, 33))
    check(lambda x: (np.add.reduce(x, axis=0), x > 1), some(50, 13))
    check(lambda x: np.flip(x, 1) + 1, some(5, 37, dtype="float16"))
