"""Sorting, selection and search against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

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
