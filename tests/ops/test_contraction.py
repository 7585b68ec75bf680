"""einsum, tensordot, kron and bilinear against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(3)


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def z(*shape):
    """Complex normal numbers."""
    return np.asarray(n(*shape) + 1j * n(*shape))


EINSUMS = [
    ("i,i->", (3,), (3,)), ("i,j->ij", (3,), (4,)), ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)), ("ij,jk->ki", (2, 3), (3, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    ("ii->", (3, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("ij->ji", (2, 3)), ("ij->", (2, 3)),
    ("ij->j", (2, 3)), ("iij->j", (2, 2, 3)), ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 3, 4)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)), ("...i,...i", (2, 3), (3,)),
    ("i...->...i", (2, 3, 4)), ("i...j->j...", (2, 3, 4)), ("ij,j,i->", (2, 3), (3,), (2,)),
    ("ab,bc,cd,de->ae", (2, 3), (3, 2), (2, 4), (4, 2)), ("ij,ij->ij", (2, 3), (2, 3)),
    ("ij,kl->il", (2, 3), (4, 2)), (",->", (), ()), (",i->i", (), (3,)), ("i,i->i", (1,), (3,)),
    ("i j , j k -> i k", (2, 3), (3, 4)), ("aB,Bc->Bac", (2, 3), (3, 2)),
    ("ij,jk->ik", (2, 0), (0, 3)),
    ("bn,anm,bm->ba", (2, 3), (4, 3, 2), (2, 2)), ("ij,i->j", (3, 0), (3,)),
]


@pytest.mark.parametrize("equation, shapes", [(e, s) for e, *s in EINSUMS], ids=str)
def test_einsum(equation, shapes):
    args = [n(*s) for s in shapes]
    check("einsum", equation, *args, gradgrad=True, strides=False)
    check("einsum", equation, *(a.astype(np.float32) for a in args), strides=False, atol=1e-4)


def test_einsum_dtypes():
    check("einsum", "ij,jk->ik", z(2, 3), z(3, 2), gradgrad=True)
    check("einsum", "ij,jk->ik", np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2))
    check("einsum", "ij,jk->ik", Given(n(2, 3), dtype="bfloat16"), Given(n(3, 2), dtype="bfloat16"),
          atol=5e-2)
    check("einsum", "ij,kj->ik", Given(n(3, 2), view=lambda t: t.T), n(4, 3), strides=False)


def test_einsum_forms():
    check("einsum", n(2, 3), [0, 1], n(3, 4), [1, 2], [0, 2])
    check("einsum", n(2, 3), [0, 1], n(3, 4), [1, 2])
    check("einsum", n(2, 3, 4), [..., 0, 1], n(2, 4, 3), [..., 1, 0], [..., 0], strides=False)
    check("einsum", "ij,jk->ik", [n(2, 3), n(3, 4)])


@pytest.mark.parametrize("equation, shapes", [
    ("ij,jk->ik", [(2, 3)]), ("ij->ij", [(2, 3), (3, 2)]), ("ij,jk->ik", [(2, 3), (4, 2)]),
    ("ij->k", [(2, 3)]), ("ij->ii", [(2, 3)]), ("ijk->i", [(2, 3)]), ("i->i", [(2, 3)]),
    ("ii->i", [(2, 3)]), ("i.->i", [(2,)]), ("i1->i", [(2, 3)]),
], ids=str)
def test_einsum_errors(equation, shapes):
    check_error("einsum", equation, *(n(*s) for s in shapes))


@pytest.mark.parametrize("a, b, dims", [
    ((2, 3, 4), (3, 4, 5), 2), ((2, 3), (4,), 0), ((2, 3), (3, 4), 1), ((3,), (3,), 1),
    ((2, 3, 4), (4, 3), ([1, 2], [1, 0])), ((2, 3, 4), (2, 5), ([0], [0])), ((), (), 0),
    ((2, 3), (2, 3), ([-1, 0], [-1, 0])), ((2, 1), (3, 2), ([1], [0])), ((2, 0), (0, 3), 1),
], ids=str)
def test_tensordot(a, b, dims):
    check("tensordot", n(*a), n(*b), dims, gradgrad=True)
    check("tensordot", z(*a), z(*b), dims=dims)


def test_tensordot_forms():
    check("tensordot", n(2, 3), n(3, 4), dims=np.array([[1], [0]]))
    check("tensordot", n(2, 3), n(3, 4), 1, out=np.zeros((2, 4)), grad=False)
    check("tensordot", Given(n(3, 2), view=lambda t: t.T), Given(n(4, 3), view=lambda t: t.T), 1)
    check_error("tensordot", n(2, 3), n(4, 5), 1)
    check_error("tensordot", n(2, 3), n(3, 4), -1)
    check_error("tensordot", n(2, 3), n(3, 4), ([2], [0]))
    check_error("tensordot", n(2, 3), n(3, 4), ([0, 1], [0]))


@pytest.mark.parametrize("a, b", [((2, 3), (4, 5)), ((2,), (3,)), ((2,), (2, 3)), ((2, 1, 3), (2,)),
                                  ((), (2, 2)), ((0, 2), (2, 3)), ((1, 2), (2, 1))], ids=str)
def test_kron(a, b):
    check("kron", n(*a), n(*b), gradgrad=True)
    check("Tensor.kron", z(*a), n(*b))
    check("kron", np.ones(a, int), n(*b).astype(np.float32))


def test_kron_out():
    check("kron", n(2, 2), n(2, 2), out=np.zeros((4, 4)), grad=False)


@pytest.mark.parametrize("batch", [(), (4,), (2, 3), (0,)], ids=str)
def test_bilinear(batch):
    one, two = (n(*batch, 2), n(*batch, 3)) if batch else (n(1, 2), n(1, 3))
    check("nn.functional.bilinear", one, two, n(5, 2, 3), n(5), gradgrad=True)
    check("bilinear", one, two, n(5, 2, 3), None)


def test_bilinear_errors():
    check_error("nn.functional.bilinear", n(4, 2), n(3, 3), n(5, 2, 3))
    check_error("nn.functional.bilinear", n(4, 2), n(4, 3), n(5, 3, 2))
    check_error("nn.functional.bilinear", n(4, 2), n(4, 3), n(5, 2, 3), n(4))
