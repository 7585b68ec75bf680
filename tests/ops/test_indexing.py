"""Indexing, assignment through an index, and the gather, scatter and mask families, against PyTorch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import Given, assert_same, check, check_error

import rushlight

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 4, 5))
MASK = rng.random((3, 4)) > 0.5
ROWS = np.array([True, False, True])
BIG = rng.random((3, 4, 5)) > 0.5
I = np.array([2, 0, 2, -1])  # noqa: E741
J = np.array([[0], [2]])


class At:
    """`At()[...]` is the index."""

    def __getitem__(self, index):
        return index


at = At()


def convert(index, framework):
    """An index with arrays as tensors of `framework`."""
    if isinstance(index, np.ndarray):
        return framework.tensor(index)
    if isinstance(index, tuple):
        return tuple(convert(i, framework) for i in index)
    if isinstance(index, slice):
        return slice(*[convert(i, framework) for i in (index.start, index.stop, index.step)])
    return index


class Numpy:
    """An array that stays an array."""

    def __init__(self, a):
        self.a = a


FORMS = [
    at[0], at[-1], at[1, 2], at[1, 2, 3], at[-1, -2, -3],
    at[:], at[1:], at[:2], at[::2], at[-2:], at[1:0], at[5:9], at[0:3:5], at[1:2, :, 2:4],
    at[:, 1], at[:, :, -1], at[:, 1:3, ::3], at[...], at[..., 0], at[0, ...], at[..., 1:3],
    at[0, ..., 1], at[..., 0, :], at[None], at[:, None], at[..., None], at[None, 0, None, :, None],
    at[()], at[1, 2, 3, ...], at[..., 1, 2, 3], at[True], at[False], at[0, True], at[None, True],
    at[:, True], at[True, False],
    at[np.array(1)], at[np.array(-1), 2], at[:, np.array(2)], at[np.array(1):np.array(3)],
    at[np.int64(1)],
    at[I], at[:, I], at[:, :, I], at[I, I], at[:, I, I], at[I, :, I], at[J], at[J, I], at[:, J, I],
    at[J, :, I], at[I, 1], at[1, I], at[1, :, I], at[I, 1:3], at[1:, I, ::2], at[I, None, I],
    at[:, None, I], at[..., I], at[I, ...], at[I, ..., I], at[None, I, None], at[0, :, I],
    at[I, np.array(1)], at[I, np.array([1])], at[np.zeros((0,), int)], at[:, np.zeros((2, 0), int)],
    at[np.array([1], np.int32)], at[True, I], at[I[:, None, None], J, I],
    at[MASK], at[ROWS], at[BIG], at[ROWS, 1], at[ROWS, :, 2], at[MASK, 1:3], at[MASK, None],
    at[MASK, ...], at[..., np.arange(5) % 2 == 0], at[:, MASK[1]], at[ROWS, np.array([3, 1])],
    at[MASK, np.array(2)], at[np.zeros((3, 4), bool)], at[np.array(True)], at[np.array(False)],
    at[1, MASK[1]], at[:, MASK[0], 1], at[None, MASK], at[np.ones(3, bool), :, np.array([4, 3, 2])],
    at[[0, 2]], at[:, [1, 2]], at[[0, 1], [2, 3]], at[[True, False, True]], at[[]], at[[], :],
    at[range(2)], at[0, range(3)], at[[2], :, [1, 2]], at[[[0, 1], [1, 2]]],
]


def get(framework, x, index):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x[convert(index, framework)]


@pytest.mark.parametrize("index", FORMS, ids=lambda i: str(i).replace("\n", ""))
def test_get(index):
    check(get, X, index, gradgrad=True)


@pytest.mark.parametrize("index", FORMS[:80:3], ids=lambda i: str(i).replace("\n", ""))
def test_get_of_transposed(index):
    check(get, Given(X.T.copy(), view=lambda t: t.permute(2, 1, 0)), index)


def test_get_is_a_view():
    x = rushlight.tensor(X)
    for index in (0, slice(None), (..., 1), (slice(1, 2), None), ..., (), np.int64(1)):
        assert x[index]._base is x, index
    assert x[[0]]._base is None


def put(framework, x, index, value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = x * 1
        y[convert(index, framework)] = value
        return y


@pytest.mark.parametrize("index", FORMS, ids=lambda i: str(i).replace("\n", ""))
def test_set(index):
    check(put, X, index, 2.5)
    shape = torch.tensor(X)[convert(index, torch)].shape
    positions = torch.arange(X.size).reshape(X.shape)[convert(index, torch)]
    if positions.unique().numel() == positions.numel():
        value = rng.standard_normal(tuple(shape))
        check(put, X, index, value, gradgrad=True)
        check(put, X, index, Given(value, grad=False), grad=False)
        if len(shape) > 1 and len(value):
            check(put, X, index, value[0])
            check(put, X, index, value[None])


def plain_put(framework, x, index, value):
    x[convert(index, framework)] = value
    return x + 0


@pytest.mark.parametrize("index", [at[1], at[I], at[MASK], at[:, 1:3], at[0, I[:2]]], ids=str)
@pytest.mark.parametrize(
    "value", [3, True, 2.5, np.array(2, np.float32), np.array([2.0])], ids=repr
)
def test_set_values(index, value):
    if isinstance(value, np.ndarray) and value.dtype != X.dtype and index is at[I]:
        return
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        if not (isinstance(index, np.ndarray) and index.dtype == bool) and index in (None,):
            return
        try:
            torch.tensor(X)[convert(index, torch)] = torch.tensor(value)
        except RuntimeError:
            check_error(plain_put, X, index, value)
            return
    check(plain_put, X, index, value, grad=False)
    check(plain_put, (X * 3).astype(np.int64), index, 2, grad=False)


def test_set_seen_by_numpy():
    a = X.copy()
    x = rushlight.from_numpy(a)
    x[rushlight.tensor([1, 2])] = 7.0
    x[rushlight.tensor(MASK)] = 5.0
    x[0, 0] = 1.0
    rushlight.tensor(0.0).item()
    expected = X.copy()
    expected[[1, 2]] = 7.0
    expected[MASK] = 5.0
    expected[0, 0] = 1.0
    np.testing.assert_array_equal(a, expected)


def test_set_through_views():
    def program(framework, x, v):
        y = x * 2
        row = y[1]
        row[framework.tensor([0, 2])] = v
        y[:, 1][framework.tensor([True, False, True])] = 0.0
        return y, row

    check(program, X, rng.standard_normal((2, 5)))


ERRORS = [
    at[3], at[0, 4], at[-4], at[0, 0, 0, 0], at[::-1], at[::0], at[np.array([1.5])],
    at[np.array([3])], at[:, np.array([-5])], at[np.array([0, 1]), np.array([0, 1, 2])],
    at[np.ones(4, bool)], at[np.ones((3, 5), bool)], at[np.ones((3, 4, 5, 1), bool)], at[1.0],
    at["a"], at[np.array([1], np.int16)], at[0, 0, 0, :], at[0, 0, 0, np.array([1])],
]


@pytest.mark.parametrize("index", ERRORS, ids=lambda i: str(i).replace("\n", ""))
def test_errors(index):
    check_error(lambda f, x: get(f, x, index).tolist(), X)
    check_error(lambda f, x: put(f, x, index, 1.0).tolist(), X)


def test_more_errors():
    check_error(lambda f, x: x[5], X, message="index 5 is out of bounds for dimension 0 with size 3")
    check_error(lambda f, x: x[f.tensor([1, 7])].sum().item(), X,
                message="index 7 is out of bounds for dimension 0 with size 3")
    check_error(lambda f, x: x[0, 0, 0][0], X)
    check_error(lambda f, x: x[0, 0, 0][:], X)
    for value in ([1.0], np.ones(5), "a", None, 1j):
        check_error(lambda f, x, value=value: x.__setitem__(0, value), X)
    check_error(lambda f, x: x.__setitem__(f.tensor([0]), f.zeros(3, dtype=f.float64)), X)
    check_error(lambda f, x: x.__setitem__(f.tensor([0]), f.zeros(5, dtype=f.int64)), X)
    check_error(lambda f, x: x.__setitem__(0, f.zeros(3)), X)


@st.composite
def index_of(draw, shape):
    """A random index of a tensor of `shape` (arrays for tensors)."""
    items, dim, ellipsis = [], 0, False
    length = draw(st.integers(0, 5))
    masks = 0
    for _ in range(length):
        kind = draw(st.sampled_from(
            ["int", "slice", "slice", "none", "ellipsis", "tensor", "tensor", "mask", "zero", "bool"]
        ))
        if kind == "none":
            items.append(None)
        elif kind == "bool":
            items.append(True)
        elif kind == "ellipsis":
            if not ellipsis:
                ellipsis = True
                items.append(...)
                dim = dim + draw(st.integers(0, len(shape) - dim))
                skip = dim
                del skip
        elif dim < len(shape):
            n = shape[dim]
            small = st.integers(-n, n - 1)
            if kind == "int":
                items.append(draw(small))
            elif kind == "zero":
                items.append(np.array(draw(small)))
            elif kind == "slice":
                bound = st.none() | st.integers(-n - 1, n + 1)
                items.append(slice(draw(bound), draw(bound), draw(st.none() | st.integers(1, 3))))
            elif kind == "tensor":
                form = draw(st.sampled_from([(2,), (1,), (3, 1), (2, 2)]))
                values = draw(st.lists(small, min_size=4, max_size=4))
                items.append(np.resize(np.array(values), form))
            elif masks == 0:
                masks += 1
                values = draw(st.lists(st.booleans(), min_size=n, max_size=n))
                items.append(np.array(values))
            dim += 1
    return tuple(items)


@given(index=index_of((3, 2, 4)), write=st.booleans())
def test_random_index(index, write):
    values = np.arange(24.0).reshape(3, 2, 4)
    theirs, ours = torch.tensor(values), rushlight.tensor(values)
    theirs.requires_grad_()
    ours.requires_grad_()
    try:
        expected = theirs[convert(index, torch)]
    except (IndexError, RuntimeError) as e:
        with pytest.raises(type(e)):
            ours[convert(index, rushlight)].tolist()
        return
    found = ours[convert(index, rushlight)]
    assert_same(found, expected)
    (expected * expected).sum().backward()
    (found * found).sum().backward()
    assert_same(ours.grad, theirs.grad)
    if write:
        a, b = theirs * 2, ours * 2
        a[convert(index, torch)] = 1.5
        b[convert(index, rushlight)] = 1.5
        assert_same(b, a)
        (a * a).sum().backward()
        (b * b).sum().backward()
        assert_same(ours.grad, theirs.grad)


G = np.array([[[0, 1, 2], [2, 0, 1]]])
V = np.array([0.5, -1.5, 2.0, 3.0])
P = np.array([3, 1, 1])
S = np.array([1.0, 2.0, 4.0])
ALONG = rng.integers(0, 4, (3, 6, 5))
SRC = rng.standard_normal((3, 6, 5))

OPS = [
    ("gather", X, 0, G), ("gather", X, 1, ALONG), ("gather", X, -1, G), ("gather", V, 0, P),
    ("gather", np.array(2.0), 0, np.array([0, 0])), ("gather", np.array(2.0), 0, np.array(0)),
    ("gather", X, 1, ALONG.astype(np.int32)), ("gather", X, 0, np.zeros((0, 4, 5), int)),
    ("scatter", X, 1, np.argsort(X, 1), X * 2), ("scatter", V, 0, np.array([3, 1]), Given(S, grad=False)),
    ("scatter", X, 0, G, 2.5), ("scatter", V, 0, P[:2], np.array([1.0, 2.0])),
    ("scatter_add", X, 1, ALONG, SRC), ("scatter_add", V, 0, P, S), ("scatter_add", V, 0, P[:2], Given(S, grad=False)),
    ("scatter_add", (V * 2).astype(int), 0, P, np.array([1, 2, 3])),
    ("index_select", X, 1, I % 4), ("index_select", X, -1, P), ("index_select", V, 0, np.array(2)),
    ("index_select", np.array(1.0), 0, np.array([0])), ("index_select", X, 0, np.zeros(0, int)),
    ("index_add", X, 1, P, SRC[:, :3]), ("index_add", V, 0, P, S),
    ("index_copy", X, 1, np.array([3, 1]), SRC[:, :2]), ("index_copy", V, 0, np.array([0, 3]), S[:2]),
    ("index_fill", X, 1, P, 2.0), ("index_fill", X, -1, np.array([-1]), 2.0),
    ("index_fill", X, 1, P, np.array(3.0)), ("index_fill", (V * 2).astype(int), 0, P, 2),
    ("index_put", X, (I[:2], I[:2]), rng.standard_normal((2, 5))),
    ("index_put", X, (I,), rng.standard_normal((4, 5)), True),
    ("index_put", X, (MASK,), np.array(2.0)), ("index_put", X, (BIG,), np.array(2.0), True),
    ("masked_fill", X, MASK[:, :, None], 1.5), ("masked_fill", X, BIG, np.array(2.0)),
    ("masked_fill", (X * 3).astype(int), BIG, 1.5), ("masked_fill", X, BIG, float("-inf")),
    ("masked_fill", X.astype(np.float32), BIG, -1e9), ("masked_fill", V, np.ones((2, 4), bool), 2),
    ("masked_select", X, BIG), ("masked_select", X, MASK[:, :, None]), ("masked_select", V, V > 9),
    ("masked_scatter", X, BIG, SRC), ("masked_scatter", X, MASK[:, :, None], SRC),
    ("take", X, np.array([[3, -1], [59, 3]])), ("put", V, np.array([3, -3]), S[:2]),
    ("put", V, np.array([[3, 1, 1]]), S[None], True),
    ("take_along_dim", X, np.argsort(X, 1)[:, :1], 1), ("take_along_dim", X, np.array([3, 9])),
    ("take_along_dim", X, np.zeros((1, 4, 1), int), 2),
    ("nonzero", BIG), ("nonzero", np.array(1.0)), ("nonzero", np.zeros(3)), ("argwhere", BIG),
    ("nn.functional.one_hot", P), ("nn.functional.one_hot", G, 4), ("where", BIG),
    ("select_scatter", X, SRC[0, :4], 0, 1), ("select_scatter", X, SRC[:, 0, :], 1, -1),
    ("slice_scatter", X, SRC[:, :2], 1, 1, 3), ("slice_scatter", X, SRC[:2, :4], 0, None, None, 2),
    ("diagonal_scatter", X[0], V), ("diagonal_scatter", X[0], V, 1),
]


@pytest.mark.parametrize("case", OPS, ids=lambda c: c[0])
def test_operators(case):
    name, *args = case
    check(name, *args, gradgrad=True)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce(reduce, include_self):
    src = np.round(SRC * 2)
    check("scatter_reduce", np.round(X), 1, ALONG, src, reduce, include_self=include_self)
    check("scatter_reduce", V, 0, P, S, reduce, include_self=include_self)
    ints = (V * 2).astype(int), 0, P, np.array([5, 2, 7]), reduce
    check("scatter_reduce", *ints, include_self=include_self)
    if reduce != "sum":
        check("index_reduce", X, 1, P, SRC[:, :3], reduce, include_self=include_self)


def test_scatter_options():
    check("scatter", X, 1, ALONG[:, :4], SRC[:, :4], reduce="add", grad=False)
    check("scatter", X, 0, G, 2.0, reduce="multiply", grad=False)
    check("scatter", X, 0, G, value=2.0)
    check("index_add", X, 1, P, SRC[:, :3], alpha=3)


INPLACE = ["scatter_add", "index_add", "index_copy", "masked_scatter", "put", "index_put"]


@pytest.mark.parametrize("case", [c for c in OPS if c[0] in INPLACE], ids=lambda c: c[0])
def test_inplace(case):
    name, *args = case

    def program(framework, x, *rest):
        y = x * 1
        getattr(y, name + "_")(*rest)
        return y

    check(program, *args)


def test_inplace_fill():
    check(lambda f, x, m: (x * 1).masked_fill_(m, 2.0), X, BIG)
    check(lambda f, x, i: (x * 1).index_fill_(1, i, 2.0), X, P)
    check(lambda f, x, i: (x * 1).scatter_(0, i, 2.0), X, G)
    check(lambda f, x, i: x.index_put_((i,), f.tensor(3.0, dtype=f.float64)), Given(X, grad=False), I)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "bool", "int8"])
def test_dtypes(dtype):
    x = np.round(X * 3)
    for fn in (
        lambda f, x, i: x[i], lambda f, x, i: x[:, 0], lambda f, x, i: x.index_select(0, i % 3),
        lambda f, x, i: x.masked_fill(x != 0, 1), lambda f, x, i: x[x != 0],
        lambda f, x, i: x.gather(0, (i % 3).reshape(1, 4, 1)),
        lambda f, x, i: x.index_add(1, i % 4, x),
        lambda f, x, i: x.scatter_add(1, (i % 4).reshape(1, 4, 1).expand(3, 4, 5), x),
    ):
        check(fn, Given(x, dtype=dtype), I, atol=0.05, rtol=0.05)


def check_call_error(name, *args):
    """As `check_error`, with the result read, since errors by value come when it is computed."""

    def call(framework, *args):
        fn = framework
        for part in name.split("."):
            fn = getattr(fn, part)
        fn(*args).tolist()

    check_error(call, *args)


def test_operator_errors():
    check_call_error("gather", X, 0, np.array([[[5]]]))
    check_call_error("gather", X, 0, np.array([[[-1]]]))
    check_call_error("gather", X, 3, np.array([[[0]]]))
    check_call_error("gather", X, 0, np.array([0]))
    check_call_error("gather", X, 0, np.zeros((1, 9, 1), int))
    check_call_error("gather", X, 0, np.zeros((1, 1, 1)))
    check_call_error("scatter", V, 0, np.array([4]), 1.0)
    check_call_error("scatter", V, 0, np.array([0]), np.ones(1, np.float32))
    check_call_error("scatter", V, 0, np.array([0]), 1j)
    check_call_error("scatter_add", V, 0, np.array([4]), np.ones(1))
    check_call_error("scatter_reduce", V, 0, np.array([1]), np.ones(1), "foo")
    check_call_error("index_select", X, 1, np.array([5]))
    check_call_error("index_select", X, 1, np.array([[1]]))
    check_call_error("index_add", V, 0, np.array([4]), np.ones(1))
    check_call_error("index_add", V, 0, np.array([1]), np.ones(2))
    check_call_error("index_copy", V, 0, np.array([-1]), np.ones(1))
    check_call_error("index_fill", V, 0, np.array([4]), 1)
    check_call_error("take", V, np.array([4]))
    check_call_error("put", V, np.array([1]), np.ones(2))
    check_call_error("masked_fill", V, P, 1.0)
    check_call_error("masked_fill", V, V > 0, 1j)
    check_call_error("masked_select", V, P)
    check_call_error("masked_scatter", V, V > 0, np.ones(1))
    check_call_error("nn.functional.one_hot", -P)
    check_call_error("nn.functional.one_hot", P, 2)
    check_call_error("index_put", V, (np.array([9]),), np.array(1.0))
    check_call_error("slice_scatter", X, SRC, 0)
