"""Sorting, selection and search against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracle import Given, check, check_error, check_program

from rushlight.ops import sorting

rng = np.random.default_rng(4)
A = rng.permutation(24).reshape(2, 3, 4).astype(float)
T_ = np.array([3, 1, 2, 1, 3, 3, 0])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_sort(dim, descending):
    check("sort", A, dim, descending, strides=False)
    check("argsort", A, dim, descending, strides=False)
    check("sort", T_, stable=True, descending=descending)
    check("sort", np.array([1.0, np.nan, -np.inf, np.inf]), descending=descending, grad=False)


def test_sort_of_others():
    check("sort", A > 5, stable=True, strides=False)
    check("sort", np.array(1.0))
    check("sort", np.zeros((0, 2)))
    check("msort", A)
    check("sort", Given(A, "bfloat16"), strides=False)
    check_error("sort", A, 3)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_topk(k, largest):
    check("topk", A, k, -1, largest)
    check("topk", A, k, 1, largest, strides=False)


def test_kth():
    check("kthvalue", A, 2)
    check("kthvalue", A, 2, 0, True)
    check_error("topk", A, 9)
    check_error("kthvalue", A, 9)
    check_error("kthvalue", A, 0)


@pytest.mark.parametrize("options", [{}, {"return_inverse": True}, {"return_counts": True},
                                     {"return_inverse": True, "return_counts": True}, {"dim": 0}],
                         ids=str)
def test_unique(options):
    check("unique", T_.reshape(7, 1), **options)
    check("unique_consecutive", T_, **options)
    check("unique", np.array([[1.5, 0.5], [0.5, 0.5], [1.5, 0.5]]), grad=False, **options)


def test_search():
    edges = np.array([1.0, 3.0, 5.0])
    for right in (False, True):
        check("searchsorted", edges, A, right=right, grad=False)
        check("bucketize", A, edges, right=right, grad=False)
    check("searchsorted", np.sort(A, axis=-1), A[:, :, :2], grad=False)
    check("searchsorted", edges, 3.0, grad=False, out_int32=True)
    check_error("bucketize", A, A)


@pytest.mark.parametrize("pick", [
    lambda x: x.sort(), lambda x: x.topk(2), lambda x: x.max(0), lambda x: x.kthvalue(1), lambda x: x.cummax(0),
    lambda x: x.median(0), lambda x: x.frexp(),
])
def test_writes_to_what_was_picked(pick):
    """Gradients read the indices, not the values."""

    def program(T):
        x = T.tensor([3.0, 1.0, 2.0], requires_grad=True)
        values, _ = pick(x)
        values.mul_(2)
        values.sum().backward()
        return x.grad

    check_program(program)


def test_out_that_is_an_input():
    at = np.array([0, 1, 2])
    for f in (lambda T, x: T.gather(x, 0, T.tensor(at), out=x), lambda T, x: T.take(x, T.tensor(at), out=x),
              lambda T, x: T.masked_select(x, x > -9, out=x), lambda T, x: T.cat([x, x[:0]], out=x),
              lambda T, x: T.index_select(x, 0, T.tensor(at), out=x[:3]),
              lambda T, x: T.kthvalue(x, 1, out=(x, T.tensor(0))),
              lambda T, x: T.cat([x, x], out=x[:1]),  # (that grows over its neighbours)
              lambda T, x: (i := T.tensor(at)) is None or T.gather(T.tensor(at), 0, i[1:], out=i[:1])):
        check_error(f, Given(np.ones(3), grad=False))


@given(st.data())
def test_the_first_few_are_those_of_the_whole_order(data):
    """Equal elements and NaN included, along any dim."""
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    dim = data.draw(st.integers(0, len(shape) - 1))
    shape[dim] = data.draw(st.integers(sorting.FEW, 80))
    values = [-1, 0, 1, 2] if data.draw(st.booleans()) else [-np.inf, -1.0, -0.0, 0.0, 2.0, np.inf, np.nan]
    kind = np.int32 if isinstance(values[0], int) else np.float32
    a = data.draw(arrays.arrays(kind, tuple(shape), elements=st.sampled_from(values)))
    descending, count = data.draw(st.booleans()), data.draw(st.integers(1, shape[dim] // sorting.FEW))
    whole = sorting.order_of(a, dim, descending)
    np.testing.assert_array_equal(sorting.order_of(a, dim, descending, 0, count), whole.take(range(count), dim))
    np.testing.assert_array_equal(sorting.order_of(a, dim, descending, count - 1, count), whole.take([count - 1], dim))
