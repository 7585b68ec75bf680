"""Matrix products against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(2)


def n(*shape):
    """Normal numbers of a shape."""
    return np.asarray(rng.standard_normal(shape))


def half(*shape, dtype="bfloat16"):
    """Normal numbers of a narrow dtype."""
    return Given(n(*shape), dtype=dtype)


def z(*shape):
    """Complex normal numbers."""
    return np.asarray(n(*shape) + 1j * n(*shape))


def ints(*shape):
    """Small integers."""
    return np.asarray(rng.integers(-5, 5, shape))


def turned(*shape):
    """A transposed matrix or batch: not contiguous."""
    return Given(n(*shape), view=lambda t: t.transpose(-1, -2))


def copied(*shape):
    """A tensor that may be written to while its leaf needs a gradient."""
    return Given(n(*shape), view=lambda t: t.clone())


PRODUCTS = [
    ((5,), (5,)), ((3, 5), (5,)), ((5,), (5, 2)), ((3, 5), (5, 2)), ((2, 3, 5), (5,)),
    ((5,), (2, 5, 3)), ((2, 3, 5), (2, 5, 4)), ((2, 1, 3, 5), (4, 5, 2)), ((3, 5), (2, 5, 2)),
    ((2, 3, 5), (5, 2)), ((0, 5), (5, 2)), ((3, 0), (0, 2)), ((0, 3, 5), (5, 2)), ((0,), (0,)),
    ((1, 1), (1, 1)), ((2, 0, 3), (2, 3, 4)),
]


@pytest.mark.parametrize("a, b", PRODUCTS, ids=str)
def test_matmul(a, b):
    check("matmul", n(*a), n(*b), gradgrad=True)
    check("linalg.matmul", z(*a), z(*b))
    check("Tensor.__matmul__", n(*a).astype(np.float32), n(*b).astype(np.float32), atol=1e-4)
    check("Tensor.matmul", ints(*a), ints(*b))
    check("matmul", half(*a), half(*b), rtol=5e-2, atol=5e-2)


def test_layouts():
    check("matmul", turned(5, 3), turned(2, 5), gradgrad=True)
    check("matmul", turned(2, 5, 3), turned(2, 4, 5))
    check("matmul", Given(n(5, 6), view=lambda t: t[::2, 1::2]), n(3, 2))
    check("matmul", Given(n(1, 5), view=lambda t: t.expand(3, 5)), n(5, 2))
    check("mm", Given(n(6), view=lambda t: t.as_strided((3, 3), (1, 1))), n(3, 2))
    check(lambda f, x: x @ x, n(3, 3), gradgrad=True)
    check(lambda f, x: x.T @ x, n(4, 3))
    check(lambda f, x: f.matmul(x, x.mT), n(2, 4, 3))


@pytest.mark.parametrize("name, args", [
    ("mm", (n(3, 4), n(4, 2))), ("mm", (turned(4, 3), n(4, 2))), ("mm", (n(0, 4), n(4, 2))),
    ("mm", (n(3, 0), n(0, 2))), ("mm", (z(3, 4), z(4, 2))), ("Tensor.mm", (n(3, 4), n(4, 1))),
    ("bmm", (n(2, 3, 4), n(2, 4, 5))), ("Tensor.bmm", (turned(2, 4, 3), z(2, 4, 5).real)),
    ("bmm", (n(0, 3, 4), n(0, 4, 5))), ("bmm", (z(2, 3, 4), z(2, 4, 1))),
    ("mv", (n(3, 4), n(4))), ("Tensor.mv", (turned(4, 3), n(4))), ("mv", (n(3, 0), n(0))),
    ("dot", (n(4), n(4))), ("dot", (z(4), z(4))), ("Tensor.dot", (n(0), n(0))),
    ("vdot", (n(4), n(4))), ("vdot", (z(4), z(4))), ("Tensor.vdot", (z(4), z(4))),
    ("inner", (n(4), n(4))), ("inner", (n(2, 3, 4), n(5, 4))), ("Tensor.inner", (n(2, 3), n())),
    ("outer", (n(3), n(4))), ("outer", (n(0), n(4))), ("Tensor.outer", (z(3), n(2))),
    ("ger", (n(2), n(3))), ("Tensor.ger", (n(2), n(1))),
    ("nn.functional.linear", (n(2, 4), n(3, 4), n(3))), ("nn.functional.linear", (n(4), n(3, 4))),
    ("nn.functional.linear", (n(2, 5, 4), n(3, 4), n(3))),
    ("nn.functional.linear", (n(0, 4), n(3, 4), n(3))),
    ("nn.functional.linear", (turned(4, 2), turned(4, 3), n(3))),
    ("nn.functional.linear", (z(2, 4), z(3, 4), z(3))), ("nn.functional.linear", (n(2, 4), n(4))),
])
def test_products(name, args):
    check(name, *args, gradgrad=True)


ADDED = [
    ("addmm", (3, 2), (3, 4), (4, 2)), ("addmm", (2,), (3, 4), (4, 2)),
    ("addmm", (), (3, 4), (4, 2)), ("addmm", (3, 1), (3, 0), (0, 2)),
    ("addmv", (3,), (3, 4), (4,)), ("addmv", (), (3, 4), (4,)), ("addr", (3, 4), (3,), (4,)),
    ("addr", (4,), (3,), (4,)), ("baddbmm", (2, 3, 5), (2, 3, 4), (2, 4, 5)),
    ("baddbmm", (3, 1), (2, 3, 4), (2, 4, 5)), ("addbmm", (3, 5), (2, 3, 4), (2, 4, 5)),
    ("addbmm", (5,), (2, 3, 4), (2, 4, 5)),
]


@pytest.mark.parametrize("case", ADDED, ids=str)
def test_added(case):
    name, *shapes = case
    real, whole = [n(*s) for s in shapes], [ints(*s) for s in shapes]
    check(name, *real, gradgrad=True)
    check(name, *real, beta=0.5, alpha=-2.5, gradgrad=True)
    check(f"Tensor.{name}", *real, beta=0, alpha=2)
    check(name, *(z(*s) for s in shapes), beta=1j, alpha=0.5)
    check(name, *whole, beta=2, alpha=-3)
    if name == "baddbmm":
        check(name, *whole, beta=1.5, alpha=2.7)  # (cut to integers)
    check(name, *(half(*s) for s in shapes), beta=0.5, rtol=5e-2, atol=5e-2)
    full = {"addmm": (3, 2), "addmv": (3,), "addr": (3, 4), "baddbmm": (2, 3, 5)}.get(name, (3, 5))
    check(f"Tensor.{name}_", copied(*full), *real[1:], alpha=0.5)
    check(name, *real, out=np.zeros(full), grad=False)


def test_added_nothing():
    """With beta = 0 the first operand is not read, not even its NaN."""
    check("addmm", np.full((2, 2), np.nan), n(2, 3), n(3, 2), beta=0)


@pytest.mark.parametrize("a, b, dim", [
    ((3, 4), (3, 4), 0), ((2, 3, 4), (1, 3, 1), 1), ((3,), (3,), -1),
    ((0, 3), (1, 3), -1)], ids=str)
def test_cross(a, b, dim):
    check("cross", n(*a), n(*b), dim, gradgrad=True)
    check("Tensor.cross", z(*a), z(*b), dim)
    check("linalg.cross", n(*a), n(*b), dim=dim)
    check("linalg.cross", ints(*a), ints(*b), dim=dim)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf")])
def test_cdist(p):
    check("cdist", n(3, 4), n(5, 4), p)
    check("cdist", n(2, 1, 3, 4), n(3, 5, 4), p)
    check("cdist", n(3, 0), n(5, 0), p, grad=False)
    check("cdist", n(0, 4), n(5, 4), p, grad=False)
    same = n(3, 2)
    check("cdist", same, same[:2] + [[0, 0], [1, 0]], p)


def test_out():
    for name, a, b, shape in [("mm", n(2, 3), n(3, 4), (2, 4)), ("mv", n(2, 3), n(3), (2,)),
                              ("bmm", n(2, 2, 3), n(2, 3, 4), (2, 2, 4)),
                              ("matmul", n(2, 3), n(3, 4), (2, 4)), ("dot", n(3), n(3), ()),
                              ("vdot", n(3), n(3), ()), ("inner", n(2, 3), n(4, 3), (2, 4)),
                              ("outer", n(2), n(3), (2, 3)), ("cross", n(2, 3), n(2, 3), (2, 3))]:
        check(name, a, b, out=np.zeros(shape), grad=False)
    check("mm", n(2, 3), n(3, 4), out=Given(np.zeros((4, 2)), view=lambda t: t.T), grad=False)


@pytest.mark.parametrize("name, args", [
    ("matmul", (n(3, 4), n(3, 4))), ("matmul", (n(), n(3))), ("matmul", (n(2, 3, 4), n(3, 4, 5))),
    ("matmul", (n(3, 4), n(4).astype(np.float32))), ("matmul", (ints(2, 2), n(2, 2))),
    ("mm", (n(3, 4), n(3, 4))), ("mm", (n(3), n(3, 4))), ("mm", (n(2, 2), ints(2, 2))),
    ("bmm", (n(2, 3, 4), n(3, 4, 5))), ("bmm", (n(3, 4), n(4, 5))), ("mv", (n(3, 4), n(3))),
    ("mv", (n(3), n(3))), ("dot", (n(3), n(4))), ("dot", (n(2, 3), n(3))), ("dot", (n(3), ints(3))),
    ("vdot", (z(3), n(3))), ("inner", (n(3), n(4))), ("outer", (n(3, 2), n(3))),
    ("addmm", (n(5), n(2, 3), n(3, 4))), ("addmm", (n(2, 4), n(2, 3), n(4, 4))),
    ("addmv", (n(3), n(2, 3), n(3))), ("addr", (n(3), n(2, 2), n(3))),
    ("baddbmm", (n(2, 2), n(2, 3, 4), n(2, 4, 5))),
    ("addbmm", (n(2, 3, 5), n(2, 3, 4), n(2, 4, 5))),
    ("Tensor.addmm_", (n(2), n(2, 3), n(3, 2))), ("cross", (n(4), n(4))),
    ("cross", (n(2, 3), n(2, 3), 0)), ("linalg.cross", (n(2), n(2))), ("cdist", (n(3, 4), n(3, 5))),
    ("cdist", (n(3), n(3, 3))), ("cdist", (n(3, 3), n(3, 3), -1.0)), ("cdist", (ints(2, 2),) * 2),
    ("nn.functional.linear", (n(2, 4), n(3, 5))),
    ("nn.functional.linear", (n(2, 4), n(3, 4), n(2))),
    ("nn.functional.linear", (n(2, 4).astype(np.float32), n(3, 4))),
])
def test_errors(name, args):
    check_error(name, *args)


def test_pdist():
    x = rng.standard_normal((5, 3))
    for p in (2.0, 1.0, 0.0, 3.0, float("inf")):
        check("pdist", x, p, grad=p != 0)
    check("nn.functional.pdist", np.ones((1, 3)))
    check_error("pdist", x[0])
