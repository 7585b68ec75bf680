"""Views: shapes, strides, offsets, shared memory and gradients against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, check, check_error

import rushlight

A = np.arange(24.0).reshape(2, 3, 4)
ONES = np.arange(6.0).reshape(1, 2, 1, 3)

CASES = {
    "view": [((6, 4),), (-1,), (2, 12), ((2, 3, 2, 2),)],
    "reshape": [((4, 6),), (-1, 8)],
    "permute": [((2, 0, 1),), (1, 0, 2)],
    "transpose": [(0, 2), (-1, 0), (1, 1)],
    "swapaxes": [(0, 1)],
    "movedim": [(0, 2), ((0, 1), (2, 0))],
    "expand": [(5, 2, 3, 4), (-1, -1, -1)],
    "unsqueeze": [(0,), (-1,), (2,)],
    "select": [(1, 2), (-1, -1)],
    "narrow": [(2, 1, 2), (0, -1, 1)],
    "diagonal": [(), (1,), (-1, 0, 2), (0, 1, 2)],
    "unfold": [(2, 2, 1), (1, 2, 2)],
    "as_strided": [((2, 2), (1, 3), 2), ((3, 3), (1, 1))],
    "unbind": [(), (1,)],
    "split": [(2, 2), ([1, 3], 2), (5,)],
    "chunk": [(2, 2), (5, 1)],
    "tensor_split": [(3, 2), ((1, 3), 2)],
    "flatten": [(), (1,), (0, 1)],
    "unflatten": [(2, (2, 2)), (1, (3, -1))],
    "adjoint": [()],
}


@pytest.mark.parametrize("name", list(CASES))
def test_shapes_and_gradients(name):
    for arguments in CASES[name]:
        check("Tensor." + name, A, *arguments, gradgrad=True)
        if name != "view":
            moved = Given(A, view=lambda t: t.transpose(0, 1).contiguous().transpose(0, 1))
            check("Tensor." + name, moved, *arguments)


@pytest.mark.parametrize("arguments", [(), (0,), (1,), (-2,), ((0, 2),), ((),)])
def test_squeeze(arguments):
    check("squeeze", ONES, *arguments, gradgrad=True)


@pytest.mark.filterwarnings("ignore:Tensor.* is deprecated on 0-D")
def test_properties_and_relatives():
    check(lambda T, a: (a[0].T, a.mT, a[0].H, a.mH), A)
    check(lambda T, a: (a.T, a.mT, a.H, a.mH), np.array(1.5))
    check(lambda T, a: (a.view_as(a.reshape(4, 6)), a[:, :1].expand_as(a)), A)
    check(lambda T, a: T.broadcast_to(a[0], (5, 3, 4)), A)
    check(lambda T, a: (T.hsplit(a, 3), T.vsplit(a, 2), T.dsplit(a, [1, 3])), A)
    check(lambda T, a: (a[0].t(), a[0, 0].t(), T.swapdims(a, 0, 1)), A)


@pytest.mark.parametrize("write", [
    lambda x: x.view(-1)[3:7].mul_(10), lambda x: x.t().fill_(7), lambda x: x[:, 1].add_(x[:, 0]),
    lambda x: x.diagonal().zero_(), lambda x: x.unsqueeze(0).squeeze().neg_(),
    lambda x: x.unfold(0, 1, 2).add_(1), lambda x: x.as_strided((2,), (5,), 1).mul_(-1),
    lambda x: [p.mul_(i) for i, p in enumerate(x.split(2, 1))][0],
    lambda x: x.narrow(1, 1, 2).copy_(x.narrow(1, 0, 2).clone()),
])
def test_writes_reach_the_memory(write):
    def program(T, a):
        x = a.clone()
        write(x)
        return x

    check(program, np.arange(12.0).reshape(3, 4), grad=False)


def test_views_of_other_dtypes():
    check(lambda T, a: a.detach().view(T.int64), A)
    check(lambda T, a: a.detach().float().view(T.int16), A)
    check(lambda T, a: a.detach().float().view(T.float64), A)


@pytest.mark.parametrize("bad", [
    ("view", (5, 5)), ("view", (-1, -1)), ("permute", (0, 1)), ("permute", (0, 0, 1)),
    ("transpose", (0, 3)), ("expand", (2, 2, 4)), ("expand", (3, 4)), ("unsqueeze", (5,)),
    ("select", (0, 2)), ("narrow", (2, 3, 2)), ("narrow", (2, 0, -1)), ("diagonal", (0, 1, 1)),
    ("unfold", (2, 5, 1)), ("unfold", (2, 1, 0)), ("split", (-1,)), ("split", ([1, 1], 2)),
    ("chunk", (0,)), ("squeeze", (3,)), ("t", ()), ("as_strided", ((2,), (1, 1))), ("movedim", (0, 4)),
], ids=lambda b: b[0])
def test_errors(bad):
    check_error("Tensor." + bad[0], A, *bad[1])
    check_error("Tensor.view", Given(A, view=lambda t: t.transpose(0, 2)), 24)


@pytest.mark.parametrize("mode", ["first", "again"])
def test_gradients_of_a_write_into_transposed_memory(mode):
    """The memory is dense, in the order neither of C nor of Fortran."""

    def gradient(T):
        x = T.arange(24.0).reshape(2, 3, 4).mT.clone().requires_grad_()
        y = (x * 2) + 1
        y[0] = 3.0
        (y * T.arange(24.0).reshape(2, 4, 3)).sum().backward()
        return x.grad.tolist()

    for _ in range(1 if mode == "first" else 4):
        assert gradient(rushlight) == gradient(torch)
