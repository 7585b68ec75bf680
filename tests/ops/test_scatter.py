"""gather, scatter and the index_ family against PyTorch; test_indexing.py has the plain cases."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(12)
X = rng.standard_normal((3, 4))
Y = rng.standard_normal((3, 4))
AT = rng.integers(0, 3, (3, 4))
ROWS = np.array([2, 0])
DTYPES = ["float16", "bfloat16", "float32", "complex64", "int64", "uint8", "bool"]
REDUCES = ["sum", "prod", "mean", "amax", "amin"]


def turned(x, dtype=None):
    """A transposed tensor with the values of `x`."""
    return Given(np.ascontiguousarray(x.T), dtype=dtype, view=lambda t: t.T)


def copied(x):
    """A tensor that may be written to while its leaf needs a gradient."""
    return Given(x, view=lambda t: t.clone())


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    x, y = (Given(np.abs(a) * 5, dtype=dtype) for a in (X, Y))
    check("gather", x, 0, AT)
    check("scatter", x, 0, np.argsort(X, 0), y)
    check("scatter", x, 0, AT, 1)
    check("scatter_add", x, 0, AT, y, atol=0.1, rtol=0.1)
    check("index_select", x, 0, ROWS)
    check("index_copy", x, 1, ROWS, Given(np.abs(Y[:, :2]), dtype=dtype))
    check("index_fill", x, 1, ROWS, 1)
    check("index_add", x, 1, ROWS, Given(np.abs(Y[:, :2]), dtype=dtype))


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("reduce", REDUCES)
def test_reductions(reduce, include):
    options = {"include_self": include}
    for dtype in ("float32", "bfloat16", "int64", "uint8"):
        x, y = (Given(np.abs(a) * 3, dtype=dtype) for a in (X, Y))
        check("scatter_reduce", x, 0, AT, y, reduce, grad=False, **options)
        if reduce != "sum" and dtype != "uint8":
            rows = Given(Y[:, :2], dtype=dtype)
            check("index_reduce", x, 1, ROWS, rows, reduce, grad=False, **options)
    check("scatter_reduce", X, 0, AT, Y, reduce, **options)
    check("Tensor.scatter_reduce", turned(X), 1, AT[:, :2], Y[:, :2], reduce, **options)
    check("scatter_reduce", X, 0, AT[:0], Y[:0], reduce, **options)
    check("Tensor.scatter_reduce_", copied(X), 0, AT, Y, reduce, **options)
    zeros = np.where(X > 0, 0.0, X)
    check("scatter_reduce", zeros, 0, AT, np.where(Y > 0.5, 0.0, Y), reduce, **options)
    two = np.array([0, 0]), np.array([3.0, 4.0])
    check("scatter_reduce", np.array(2.0), 0, *two, reduce, **options)
    if reduce != "sum":
        check("index_reduce", X, 0, ROWS, Y[:2], reduce, **options)
        check("Tensor.index_reduce_", copied(X), 0, ROWS, Y[:2], reduce, **options)


@pytest.mark.parametrize("name, args", [
    ("gather", (X, 0, AT)), ("gather", (X, 1, AT[:, :1])), ("gather", (turned(X), -1, AT)),
    ("gather", (X, 0, turned(AT))), ("Tensor.gather", (X, 0, AT[:0])),
    ("gather", (X, 1, np.zeros((0, 4), int))), ("gather", (X[0], 0, np.array(1))),
    ("scatter", (X, 1, AT[:, :2], 3.5)), ("scatter", (turned(X), 0, np.argsort(X, 0), Y)),
    ("scatter", (X, 0, AT[:1, :2], Given(Y, grad=False))),
    ("Tensor.scatter", (X, -1, np.argsort(X, 1), turned(Y))),
    ("scatter", (X, 0, AT[:0], Y[:0])), ("scatter", (np.array(1.0), 0, np.array(0), np.array(2.0))),
    ("scatter_add", (X, 0, AT, Y)), ("scatter_add", (X, 1, AT[:, :3], Given(Y, grad=False))),
    ("scatter_add", (turned(X), 0, AT, turned(Y))), ("Tensor.scatter_add", (X, 0, AT[:0], Y[:0])),
    ("index_select", (X, 0, ROWS)), ("index_select", (X, -1, np.array([3, 3, 0]))),
    ("index_select", (turned(X), 1, ROWS.astype(np.int32))),
    ("Tensor.index_select", (X, 0, ROWS[:0])),
    ("index_select", (X[:0], 1, ROWS)), ("index_select", (X, 0, np.array(1))),
    ("index_add", (X, 0, ROWS, Y[:2])), ("index_add", (X, 1, np.array([1, 1]), Y[:, :2])),
    ("index_add", (turned(X), 0, ROWS, Y[:2])), ("Tensor.index_add", (X, 0, ROWS[:0], Y[:0])),
    ("index_add", (np.array(1.0), 0, np.array(0), np.array(2.0))),
    ("index_copy", (X, 0, ROWS, Y[:2])), ("index_copy", (turned(X), 1, ROWS, Y[:, :2])),
    ("Tensor.index_copy", (X, 0, ROWS[:0], Y[:0])),
    ("index_copy", (X[0], 0, np.array(1), Y[0, :1])),
    ("index_fill", (X, 0, ROWS, -1.0)), ("index_fill", (turned(X), -1, ROWS, 2)),
    ("index_fill", (X, 1, ROWS[:0], 2.0)),
    ("Tensor.index_fill", (X, 0, np.array(1), np.array(5.0))),
])
def test_values(name, args):
    check(name, *args, gradgrad=True)


def test_options():
    check("index_add", X, 0, ROWS, Y[:2], alpha=-2.5, gradgrad=True)
    check("index_add", (X * 5).astype(int), 0, ROWS, (Y * 5).astype(int)[:2], alpha=3)
    check("gather", X, 0, AT, sparse_grad=False)
    check("scatter", X, 0, AT, value=2.0)
    for reduce in ("add", "multiply"):
        check("scatter", X, 0, AT, Y, reduce=reduce, grad=False)
        check("Tensor.scatter_", X, 0, AT, 2.0, reduce=reduce, grad=False)


@pytest.mark.parametrize("name, args", [
    ("scatter_", (0, np.argsort(X, 0), Y)), ("scatter_", (0, AT, 1.5)),
    ("scatter_add_", (0, AT, Y)), ("index_add_", (0, ROWS, Y[:2])),
    ("index_copy_", (0, ROWS, Y[:2])), ("index_fill_", (0, ROWS, 2.0))])
def test_inplace(name, args):
    check("Tensor." + name, copied(X), *args)
    check("Tensor." + name, turned(X), *args, grad=False)


@pytest.mark.parametrize("name, args", [
    ("gather", (X, 0, AT)), ("scatter", (X, 0, AT, 2.0)), ("scatter_add", (X, 0, AT, Y)),
    ("index_add", (X, 0, ROWS, Y[:2])), ("index_copy", (X, 0, ROWS, Y[:2])),
    ("scatter_reduce", (X, 0, AT, Y, "amax")), ("index_reduce", (X, 0, ROWS, Y[:2], "prod"))])
def test_out(name, args):
    check(name, *args, out=np.zeros((3, 4)), grad=False)
    check("index_select", X, 1, ROWS, out=np.zeros((3, 2)), grad=False)


def call(framework, name, *args, **kwargs):
    """A function, with its result read."""
    getattr(framework, name)(*args, **kwargs).tolist()


@pytest.mark.parametrize("name, args", [
    ("gather", (X, 0, AT + 3)), ("gather", (X, 0, -1 - AT)), ("gather", (X, 2, AT)),
    ("gather", (X, 0, AT[0])), ("gather", (X, 0, X)), ("gather", (X, 0, np.zeros((3, 5), int))),
    ("scatter", (X, 0, AT + 3, Y)), ("scatter", (X, 0, AT, Y.astype("f"))),
    ("scatter", (X, 0, AT, Y[:, :2])), ("scatter", (X, 0, X, Y)), ("scatter", (X, -3, AT, Y)),
    ("scatter", (X, 1, np.zeros((4, 1), int), 1.0)), ("scatter_add", (X, 0, AT + 3, Y)),
    ("scatter_add", (X, 0, AT, Y.astype("f"))), ("scatter_add", (X, 0, AT[0], Y)),
    ("scatter_reduce", (X, 0, AT, Y, "other")), ("scatter_reduce", (X, 0, AT + 3, Y, "sum")),
    ("scatter_reduce", (X, 0, AT, Y.astype("f"), "sum")), ("index_select", (X, 0, ROWS + 2)),
    ("index_select", (X, 0, AT)), ("index_select", (X, 0, X[0])), ("index_select", (X, 2, ROWS)),
    ("index_add", (X, 0, ROWS, Y)), ("index_add", (X, 0, ROWS + 2, Y[:2])),
    ("index_add", (X, 0, ROWS, Y[:2].astype("f"))), ("index_add", (X, 0, AT, Y[:2])),
    ("index_add", (X, 0, ROWS, Y[:2, :3])), ("index_copy", (X, 0, ROWS, Y)),
    ("index_copy", (X, 0, ROWS + 2, Y[:2])), ("index_copy", (X, 0, ROWS, Y[:2].astype("f"))),
    ("index_copy", (X, 0, ROWS.astype(np.int32), Y[:2])), ("index_fill", (X, 0, ROWS + 2, 1.0)),
    ("index_fill", (X, 0, ROWS, Y[0])), ("index_fill", (X, 0, ROWS.astype(np.int32), 1.0)),
    ("index_fill", ((X * 3).astype(int), 0, ROWS, 1j)), ("index_fill", (X, 3, ROWS, 1.0)),
    ("index_reduce", (X, 0, ROWS, Y[:2], "sum")),
    ("index_reduce", (X, 0, ROWS + 2, Y[:2], "prod")),
    ("index_reduce", (X, 0, ROWS, Y, "prod")),
])
def test_errors(name, args):
    check_error(call, name, *args)
