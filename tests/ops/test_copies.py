"""Copies of views, and methods as functions, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

A = np.arange(24.0).reshape(2, 3, 4)
CASES = {
    "as_strided_copy": ((2, 2), (1, 3), 1), "detach_copy": (), "diagonal_copy": (1, 0, 2),
    "expand_copy": ((5, 2, 3, 4),), "narrow_copy": (1, 1, 2), "permute_copy": ((2, 0, 1),),
    "select_copy": (1, 2), "split_copy": (2, 1), "split_with_sizes_copy": ([1, 2], 1),
    "squeeze_copy": (), "transpose_copy": (0, 1), "unbind_copy": (1,), "unfold_copy": (2, 2, 1),
    "unsqueeze_copy": (1,), "view_copy": ((6, 4),), "alias_copy": (), "slice_copy": (1, 0, 3, 2),
    "unsafe_chunk": (2, 2), "unsafe_split_with_sizes": ([1, 2], 1), "resolve_conj": (),
    "resolve_neg": (), "is_conj": (), "is_neg": (), "is_signed": (), "get_device": (),
}


@pytest.mark.parametrize("name", list(CASES))
def test_copies(name):
    check(name, A, *CASES[name], grad=name != "detach_copy")


def test_others():
    check("t_copy", A[0])
    check("view_as_real_copy", A + 1j * A)
    check("view_as_complex_copy", A[:, :, :2].copy(), grad=False)
    check("is_same_size", A, A[0])
    check(lambda T, x: T.unbind_copy(x, 0, out=[T.empty(3, 4).to(x.dtype) for _ in "ab"]), A, grad=False)
    check(lambda T, x: T.fill_(x, 2), A, grad=False)
    check(lambda T, x: T.resize_as_(x, T.ones(2, 2)), A, grad=False)
    check(lambda T, x: x.resize_as_(T.ones(2, 2)), A, grad=False)
    check(lambda T, x: [x.is_set_to(x), x.is_set_to(x[0]), x[0, 0, 1].is_nonzero()], A, grad=False)
    check(lambda T, x: [x.dim_order(), x.permute(2, 0, 1).dim_order()], A, grad=False)


def test_diagonals_are_filled():
    for shape in ((3, 4), (7, 3), (3, 3), (2, 2, 2)):
        for wrap in (False, True):
            check(lambda T, x, w=wrap: x.clone().fill_diagonal_(9, w), np.zeros(shape))
    check_error(lambda T, x: x.fill_diagonal_(1), np.zeros((2, 3, 2)))
    check_error(lambda T, x: x.fill_diagonal_(1), np.zeros(2))


def test_views_of_memory_with_gaps():
    """The gradients of views of strided and of expanded tensors."""
    sparse = Given(A, view=lambda t: t[:, ::2, ::3])
    check("as_strided", sparse, (2, 2), (12, 3), gradgrad=True)
    check("as_strided", sparse, (3,), (1,), 2)
    check("as_strided", Given(A[0], view=lambda t: t[:1].expand(3, 4)), (2, 3), (1, 1))
    check("as_strided_scatter", A, A[0, :2, :2], (2, 2), (4, 1), 3, grad=False)
    check_error("as_strided_scatter", A, A[0], (2, 2), (4, 1))
    for offset in (None, 0, 9):  # of the memory, of which the tensor is a part
        check(lambda T, x, s, at=offset: T.as_strided_scatter(x[0, 1:, ::2], s, (2, 2), (2, 1), at), A, A[0, :2, :2],
              grad=False)
