"""Joining, repeating, flipping, triangles and padding against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, check, check_error

rng = np.random.default_rng(6)
A, B = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
M = rng.standard_normal((3, 5))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_joining(dim):
    check(lambda T, a, b: T.cat([a, b, a], dim), A, B, gradgrad=True)
    check(lambda T, a, b: T.stack((a, b), dim), A, B, gradgrad=True)
    check(lambda T, a: T.cat([a, T.zeros(0), a.float()], dim), A)


def test_stacks():
    for name in ("hstack", "vstack", "dstack", "column_stack", "concat", "row_stack"):
        check(lambda T, a, b: getattr(T, name)([a, b]), M[0], M[1])  # noqa: B023
        check(lambda T, a, b: getattr(T, name)([a, b]), M, M[::-1].copy())  # noqa: B023
    for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
        check(name, np.array(1.0))
        check(name, M)
    check_error(lambda T, a: T.cat([a, a[:, :1]], 0), A)
    check_error(lambda T, a: T.stack([a, a[0]]), A)
    check_error(lambda T, a: T.cat([], 0), A)


@pytest.mark.parametrize("memory_format", ["contiguous_format", "preserve_format", "channels_last"])
def test_copies(memory_format):
    x = rng.standard_normal((2, 3, 4, 5))
    check(lambda T, a: a.clone(memory_format=getattr(T, memory_format)), x)
    check(lambda T, a: a.transpose(1, 3).clone(memory_format=getattr(T, memory_format)), x)
    check(lambda T, a: a.to(T.float32, memory_format=getattr(T, memory_format)), x, rtol=1e-6)


def test_repeats():
    check("Tensor.repeat", A, 2, 1, 3, gradgrad=True)
    check("tile", A, (2, 2))
    check("repeat_interleave", A, 2, 1)
    check("repeat_interleave", A, np.array([1, 0, 2]), 1)
    check("repeat_interleave", A, 2)


def test_orders():
    check("flip", A, (0, 2), gradgrad=True)
    check("fliplr", M)
    check("flipud", M)
    check("roll", A, 1, gradgrad=True)
    check("roll", A, (1, -2), (0, 2))
    check("roll", np.zeros(0), 1, 1)
    for k in range(5):
        check("rot90", M, k)


@pytest.mark.parametrize("diagonal", [0, 1, -2])
def test_triangles(diagonal):
    check("tril", A, diagonal, gradgrad=True)
    check("triu", A, diagonal)
    check("diag", M, diagonal)
    check("diag", M[0], diagonal)
    check("diag_embed", M, diagonal)
    check("diagflat", M, diagonal)
    check("tril_indices", 3, 4, diagonal)
    check("triu_indices", 3, 4, diagonal)


def test_grids():
    for indexing in ("ij", "xy"):
        check(lambda T, a, b: T.meshgrid(a, b[:2], indexing=indexing), M[0], M[1])  # noqa: B023
    check("cartesian_prod", M[0], M[1])
    check("combinations", M[0])
    check("block_diag", M, M[:1])
    check("broadcast_tensors", A, A[0, :1])
    assert torch.broadcast_shapes((2, 1), (3,)) == (2, 3)
    check(lambda T, a: T.broadcast_shapes((2, 1), (3,)), A)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("widths", [(1, 2), (1, 0, 2, 1), (-1, 1)])
def test_padding(mode, widths):
    x = rng.standard_normal((2, 3, 4, 5))
    if mode != "constant" and len(widths) == 2:
        x = x[0]
    check("nn.functional.pad", x, widths, mode, gradgrad=mode == "constant")


def test_padding_errors():
    check("nn.functional.pad", A, (1, 1), value=3.5)
    check_error("nn.functional.pad", A, (9, 9), "reflect")
    check_error("nn.functional.pad", A, (1, 1), "mirror")


def test_planes_and_turns_refuse():
    for name, given in (
        ("rot90", (A, 1, (0,))), ("rot90", (A[0, 0],)), ("rot90", (A, 1, (1, 1))), ("roll", (A, ())),
        ("roll", (A, (2, 1), 0)), ("roll", (A, 0, 5)), ("roll", (np.array(1.0), 0, 0)),
        ("hsplit", (np.array(1.0), 1)), ("vsplit", (A[0, 0], 1)), ("dsplit", (A[0], 1)),
    ):
        check_error(name, *given)
    for name in ("hstack", "vstack", "dstack"):
        check_error(name, [])


def test_shapes_again():
    check("reshape", A, (4, 6))
    check(lambda T, a: (a.reshape_as(a.view(4, 6)), a.ravel(), T.flatten(a, 1)), A)
    check(lambda T, a: a.transpose(0, 2).reshape(24), A)
    check_error("reshape", A, (5, 5))
    check(lambda T, a: (a.type_as(a.float()), a.type(T.int32), a.to(a.half())), A)
    check("Tensor.contiguous", Given(A, view=lambda t: t.transpose(0, 2)))
