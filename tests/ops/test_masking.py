"""Masks and flat places against PyTorch; the plain cases are in test_indexing.py."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(11)
X = rng.standard_normal((3, 4))
M = rng.random((3, 4)) > 0.5
DTYPES = ["float16", "bfloat16", "float32", "complex64", "int64", "uint8", "bool"]


def turned(x, dtype=None):
    """A transposed tensor with the values of `x`."""
    return Given(np.ascontiguousarray(x.T), dtype=dtype, view=lambda t: t.T)


def copied(x):
    """A tensor that may be written to while its leaf needs a gradient."""
    return Given(x, view=lambda t: t.clone())


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    x, source = (Given(np.abs(a), dtype=dtype) for a in (X * 9, rng.standard_normal(12)))
    check("masked_fill", x, M, 1)
    check("masked_select", x, M)
    check("masked_scatter", x, M, source)
    check("take", x, np.array([[0, 5], [-1, 11]]))
    check("put", x, np.array([1, 3]), Given(np.array([1, 0]), dtype=dtype))
    check("nonzero", x)
    check("argwhere", x)
    check("take_along_dim", x, np.array([[0], [1], [3]]), 1)
    simple = dtype != "complex64"
    check("select_scatter", x, Given(X[0] * 3, dtype=dtype), 0, 1, grad=simple)
    check("slice_scatter", x, Given(X[:, :2] * 3, dtype=dtype), 1, 0, 2, grad=simple)
    check("diagonal_scatter", x, Given(X[0, :3] * 3, dtype=dtype), grad=simple)


@pytest.mark.parametrize("name, args", [
    ("masked_fill", (X, M, 2.0)), ("masked_fill", (X, M[:, :1], np.array(3.0))),
    ("masked_fill", (X[:1], M, -1)), ("masked_fill", (np.array(1.0), np.array(True), 2.0)),
    ("masked_fill", (turned(X), M, 2.0)), ("masked_fill", (X, turned(M), 2.0)),
    ("masked_fill", (X[:0], M[:0], 2.0)), ("masked_fill", (X, np.array(False), 2.0)),
    ("masked_fill", (X + 1j, M, 2j)), ("Tensor.masked_fill", (X, M, float("nan"))),
    ("masked_select", (X, M)), ("masked_select", (X[:1], M)), ("masked_select", (X, M[:, :1])),
    ("masked_select", (np.array(1.0), np.array(True))), ("masked_select", (X, np.array(False))),
    ("masked_select", (turned(X), turned(M))), ("Tensor.masked_select", (X[:0], M[:0])),
    ("masked_scatter", (X, M, X * 2)), ("masked_scatter", (X, M[:1], X * 2)),
    ("masked_scatter", (turned(X), M, X * 2)), ("Tensor.masked_scatter", (X, M[:, :1], turned(X))),
    ("take", (X, np.array(3))), ("take", (X, np.zeros((0, 2), int))),
    ("take", (turned(X), np.array([1]))),
    ("Tensor.take", (X, np.array([[0, -12]]))), ("put", (X, np.array([2, -1]), X[0, :2])),
    ("put", (X, np.array([2, 2]), X[0, :2], True)),
    ("Tensor.put", (turned(X), np.array([1]), X[0, :1])),
    ("put", (X, np.zeros(0, int), X[0, :0])), ("take_along_dim", (X, np.argsort(X, 0), 0)),
    ("take_along_dim", (X, np.array([3, 11]))), ("take_along_dim", (X, np.array([[1, 3, 0]]), 1)),
    ("Tensor.take_along_dim", (X, np.array([[-1], [0], [2]]), 1)),
    ("select_scatter", (X, X[:, 0], 1, -1)), ("Tensor.select_scatter", (turned(X), X[0], 0, 2)),
    ("slice_scatter", (X, X[:, :2], 1, 0, 4, 2)), ("slice_scatter", (X, X[:1], 0, -1)),
    ("slice_scatter", (X, X[:0], 0, 2, 2)), ("Tensor.slice_scatter", (X, X, 0)),
    ("diagonal_scatter", (X, X[0, :2], -1)), ("diagonal_scatter", (X, X[0, :2], 1, 1, 0)),
    ("Tensor.diagonal_scatter", (np.stack([X, X]), X[:, :2], 0, 0, 2)),
])
def test_values(name, args):
    args = [Given(a, grad=False) if isinstance(a, np.ndarray) and a.shape == () and i else a
            for i, a in enumerate(args)]
    check(name, *args, gradgrad=True)


def test_inplace():
    check("Tensor.masked_fill_", copied(X), M, 2.0)
    check("Tensor.masked_fill_", turned(X), M, 2.0, grad=False)
    check("Tensor.masked_scatter_", copied(X), M, X * 2)
    check("Tensor.put_", copied(X), np.array([2, -1]), X[0, :2])
    check("Tensor.put_", copied(X), np.array([2, 2]), X[0, :2], True)
    check("Tensor.put_", turned(X), np.array([2, 5]), X[0, :2], grad=False)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 2), (0,), (3, 0)], ids=str)
def test_places(shape):
    x = np.asarray(rng.integers(0, 2, shape) * rng.standard_normal(shape))
    check("nonzero", x, grad=False)
    check("nonzero", x, as_tuple=True, grad=False)
    check("Tensor.nonzero", Given(x, dtype="bool"))
    check("argwhere", x, grad=False)
    check("Tensor.argwhere", np.asarray(x > 0))
    for size in (0, 2, 9):
        check("nonzero_static", x, size=size, grad=False)
        check("Tensor.nonzero_static", x, size=size, fill_value=7, grad=False)
    check("nonzero", Given(x, view=lambda t: t.permute(tuple(range(t.ndim))[::-1])), grad=False)


@pytest.mark.parametrize("values", [[0, 2, 1], 3, [[1], [0]]], ids=str)
def test_one_hot(values):
    values = np.array(values)
    check("nn.functional.one_hot", values)
    check("nn.functional.one_hot", values, 5)
    check("nn.functional.one_hot", values[..., None][:0], 4)


def test_coordinates():
    for shape in ((4, 5), 30, (2, 3, 7)):
        check("unravel_index", np.array([[3, 19], [0, 7]]), shape, strides=False)
    check_error("unravel_index", np.array([1.5]), (2, 3))


def test_out():
    check("masked_select", X, M, out=np.zeros(0), grad=False)
    check("take", X, np.array([1, 2]), out=np.zeros(2), grad=False)
    check("take_along_dim", X, np.array([[0]]), 1, out=np.zeros((3, 1)), grad=False)
    check("nonzero", X, out=np.zeros((0, 2), int), grad=False, strides=False)
    check("slice_scatter", X, X[:1], 0, 1, 2, out=np.zeros((3, 4)), grad=False)


def call(framework, name, *args, **kwargs):
    """A function, with its result read."""
    f = framework
    for part in name.split("."):
        f = getattr(f, part)
    f(*args, **kwargs).tolist()


I = np.array([0, 1])


@pytest.mark.parametrize("name, args", [
    ("masked_fill", (X, X, 2.0)), ("masked_fill", (X, M[:2], 2.0)), ("masked_fill", (X, M, X)),
    ("masked_fill", (np.arange(4), M[0], 1j)), ("masked_fill", (X, I, 0.0)),
    ("Tensor.masked_fill_", (np.ones(4), M, 0.0)), ("masked_select", (X, X)),
    ("masked_select", (X, M[:2])), ("masked_scatter", (X, M, X[0, :0])),
    ("masked_scatter", (X, M, X.astype("f"))), ("masked_scatter", (X, M[:2], X)),
    ("masked_scatter", (X, X, X)), ("take", (X, np.array([12]))), ("take", (X, X)),
    ("take", (X[:0], I)), ("put", (X, I, X[0])), ("put", (X, np.array([12]), X[0, :1])),
    ("put", (X, I, X[0, :2].astype("f"))), ("take_along_dim", (X, I, 1)),
    ("take_along_dim", (X, X, 1)), ("take_along_dim", (X, np.array([[0]]), 2)),
    ("select_scatter", (X, X[0], 1, 0)), ("select_scatter", (X, X[0], 0, 3)),
    ("select_scatter", (X, X[0], 2, 0)), ("slice_scatter", (X, X[:2], 0, 0, 1)),
    ("slice_scatter", (X, X[:2], 0, 0, 2, 0)), ("diagonal_scatter", (X, X[0])),
    ("diagonal_scatter", (X, X[0, :3], 0, 1, 1)), ("nn.functional.one_hot", (I, 1)),
    ("nn.functional.one_hot", (I - 1,)), ("nn.functional.one_hot", (X,)),
    ("nn.functional.one_hot", (I[:0],)),
])
def test_errors(name, args):
    check_error(call, name, *args)


def test_as_index():
    """The places as an index give the values back."""
    check(lambda f, x: x[f.nonzero(x > 0, as_tuple=True)], X)
    check(lambda f, x: f.nn.functional.one_hot((x > 0).long(), 2) * x[..., None], X)
