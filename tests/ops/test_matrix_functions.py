"""Norms, ranks, powers and exponentials of matrices against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracle import check, check_error

rng = np.random.default_rng(34)


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def z(*shape):
    """Complex normal numbers."""
    return n(*shape) + 1j * n(*shape)


LINALG = {"strides": False, "rtol": 1e-6, "atol": 1e-8}
ORDERS = ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf]


@pytest.mark.parametrize("ord", ORDERS)
def test_matrix_norms(ord):
    for keepdim in (False, True):
        check("linalg.matrix_norm", n(2, 3, 4), ord, keepdim=keepdim, gradgrad=True, **LINALG)
        check("linalg.matrix_norm", z(3, 2, 4), ord, (0, 2), keepdim=keepdim, **LINALG)
        check("linalg.norm", n(3, 4), ord, keepdim=keepdim, **LINALG)
        check("linalg.norm", n(2, 3, 4), ord, (2, 0), keepdim=keepdim, **LINALG)
    check("linalg.cond", n(2, 3, 3), ord, grad=ord in ("nuc", 2, -2), **LINALG)
    if ord in ("fro", "nuc", 1, 2, math.inf):
        check("linalg.matrix_norm", n(0, 3), ord, grad=False)
        check("linalg.matrix_norm", n(3, 0), ord, grad=False)


def test_vector_norms_of_either_form():
    for ord in (None, 0, 0.5, 1, 2, 3, math.inf):
        check("linalg.norm", n(4), ord, grad=ord != 0, **LINALG)
        check("linalg.norm", n(2, 3), ord, 1, grad=ord != 0, **LINALG)
    check("linalg.norm", n(2, 3, 4), **LINALG)
    check("linalg.norm", n(2, 3), 2, dtype=torch.float64, **LINALG)
    check("norm", n(3, 4), "nuc", **LINALG)
    check("norm", n(2, 3, 4), "nuc", (1, 2), True, **LINALG)
    check("nuclear_norm", n(2, 3, 4), (0, 1), **LINALG)
    check("frobenius_norm", n(2, 3, 4), (0, 1), **LINALG)


@pytest.mark.parametrize("name, given", [
    ("linalg.norm", (n(2, 3, 4), 2)), ("linalg.norm", (n(3), "fro")), ("linalg.norm", (n(2, 3), 3)),
    ("linalg.norm", (n(0), math.inf)), ("linalg.matrix_norm", (n(3),)),
    ("linalg.matrix_norm", (n(2, 2), "x")), ("linalg.matrix_norm", (n(2, 2), 2, (0,))),
    ("linalg.cond", (n(3),)), ("linalg.cond", (n(2, 3), 1)), ("linalg.matrix_rank", (n(3),)),
    ("linalg.matrix_power", (n(2, 3), 2)), ("linalg.matrix_exp", (n(2, 3),)),
    ("linalg.multi_dot", ([n(2, 3)],)), ("linalg.multi_dot", ([n(2, 3), n(4, 2)],)),
    ("linalg.vander", (n(1),)),
], ids=str)
def test_refusals(name, given):
    check_error(name, *given)


def test_rank():
    flat = n(4, 2) @ n(2, 5)
    for options in ({}, {"atol": 1.0}, {"rtol": 0.5}):
        check(lambda T, a, o=options: T.linalg.matrix_rank(a, **o), np.stack([flat, n(4, 5)]),
              grad=False)
    check(lambda T, a, t: T.linalg.matrix_rank(a, atol=t), np.stack([flat, n(4, 5)]),
          np.array([1.0, 9.0]), grad=False)
    check("linalg.matrix_rank", flat, 0.5, grad=False)
    check("linalg.matrix_rank", flat @ flat.T, hermitian=True, grad=False)
    check("linalg.matrix_rank", n(0, 3), grad=False)


@pytest.mark.parametrize("power", [-2, -1, 0, 1, 2, 5])
def test_powers(power):
    for a in (n(3, 3), n(2, 2, 2), z(3, 3)):
        check("linalg.matrix_power", a, power, gradgrad=power != 0, **LINALG)
        check("matrix_power", a, power, **LINALG)


def test_slices_of_bounded_norm():
    for dim in (0, 1, -1):
        check("renorm", n(3, 4, 2) * 2, 2, dim, 1.5, gradgrad=True)
    check("renorm", n(3, 4), 1, 0, 100.0)
    check(lambda T, x: x.clone().renorm_(2, 0, 0.5), n(3, 4))
    for options in ((2, 0, -1.0), (-1, 0, 1.0)):
        check_error("renorm", n(2, 2), *options)
    check_error("renorm", n(3), 2, 0, 1.0)


def test_exponentials():
    for a in (n(3, 3), np.stack([n(3, 3) * 0.01, n(3, 3) * 3]), z(2, 2), n(0, 0), np.zeros((2, 2))):
        check("matrix_exp", a, gradgrad=not np.iscomplexobj(a), **LINALG)
    check("linalg.matrix_exp", n(3, 3).astype(np.float32), strides=False)


def test_products():
    check("linalg.multi_dot", [n(2, 3), n(3, 5), n(5, 4), n(4, 2)], gradgrad=True, **LINALG)
    check("linalg.multi_dot", [n(3), n(3, 5), n(5)], **LINALG)
    check("chain_matmul", n(2, 3), n(3, 4), n(4, 1), **LINALG)
    check("linalg.vecdot", n(2, 3), n(3), gradgrad=True)
    check("linalg.vecdot", z(2, 3), z(2, 3), dim=0)
    check("linalg.diagonal", n(2, 3, 4), offset=1)


def test_vandermonde():
    check("linalg.vander", n(2, 3), gradgrad=True)
    check("linalg.vander", z(3), N=5)
    check("linalg.vander", np.arange(3), N=2)
