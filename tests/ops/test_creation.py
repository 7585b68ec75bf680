"""Making tensors: values, dtypes, shapes and refusals against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import check, check_error, check_program

import rushlight


def same(f):
    check_program(lambda T: f(T))


@pytest.mark.parametrize("data", [
    1, 2.5, True, 1j, [1, 2], [1, 2.5], [[True, False]], [], [[]], [[1], [2]], (1, (2)), np.float32(2),
    np.arange(3), np.ones((2, 2), np.float16), [np.float64(1), 2], [np.arange(2), np.arange(2)],
    range(3), np.arange(6).reshape(2, 3).T, np.array(5),
], ids=str)
def test_from_data(data):
    same(lambda T: T.tensor(data))
    same(lambda T: T.tensor(data, dtype=T.float64))
    same(lambda T: T.as_tensor(data))


@pytest.mark.parametrize("data", [[[1], [2, 3]], "text", None, [1, "a"], [None], {1: 2}, [[1, 2], 3]],
                         ids=str)
def test_refused_data(data):
    same(lambda T: T.tensor(data))


def test_of_tensors():
    same(lambda T: T.tensor([T.tensor(1.0), T.tensor(2.0)]))
    same(lambda T: T.as_tensor(T.ones(2), dtype=T.int64))
    same(lambda T: T.asarray(np.ones(2)))
    same(lambda T: T.tensor([1.0], requires_grad=True).requires_grad)
    same(lambda T: T.tensor([1], requires_grad=True))


@pytest.mark.parametrize("name", ["zeros", "ones", "rand", "randn"])
def test_filled(name):
    def shapes(T):
        make = getattr(T, name)
        made = [make(2, 3), make((2, 3)), make([2]), make(()), make(0, 2), make(T.Size([2])),
                make(size=(2, 2)), make(2, dtype=T.float64), make(2, requires_grad=True)]
        return [(tuple(x.shape), x.dtype, x.requires_grad, x.stride()) for x in made]

    same(shapes)
    same(lambda T: getattr(T, name)(-1))
    same(lambda T: getattr(T, name)(2.5))


def test_full_and_like():
    same(lambda T: (T.full((2,), 3), T.full((2,), 3.0), T.full((2,), True), T.full((1,), 2, dtype=T.half)))
    same(lambda T: (T.zeros_like(T.ones(2, 3).t()), T.ones_like(T.ones(2), dtype=T.int8),
                    T.full_like(T.ones(2), 7), T.empty_like(T.ones(2, 3)).shape))
    same(lambda T: [getattr(T.ones(2, dtype=T.float64), n)((2, 3)).dtype
                    for n in ("new_zeros", "new_ones", "new_empty")])
    same(lambda T: (T.ones(2).new_full((2,), 3), T.ones(2).new_tensor([1, 2])))
    same(lambda T: (T.empty_strided((2, 3), (1, 2)).stride(), T.scalar_tensor(3)))


@pytest.mark.parametrize("arguments", [(5,), (2, 5), (0, 1, 0.25), (5, 0, -1), (1.5,), (0, 5, 2), (3, 3),
                                       (0,)])
def test_ranges(arguments):
    same(lambda T: T.arange(*arguments))
    same(lambda T: T.arange(*arguments, dtype=T.float16))


def test_ranges_refused():
    same(lambda T: T.arange(0, 5, 0))
    same(lambda T: T.arange(5, 0))
    same(lambda T: T.arange(float("nan")))


def test_spaced():
    same(lambda T: (T.linspace(0, 1, 5), T.linspace(-3, 3, 7, dtype=T.float64), T.linspace(0, 9, 1),
                    T.linspace(0, 10, 4, dtype=T.int64), T.logspace(0, 2, 3), T.linspace(1, 2, 0)))
    same(lambda T: (T.eye(3), T.eye(2, 4), T.eye(2, dtype=T.int64)))
    same(lambda T: T.vander(T.tensor([1.0, 2.0, 3.0])))
    same(lambda T: T.linspace(0, 1, -1))


def test_in_place():
    same(lambda T: (T.zeros(2).fill_(3), T.ones(2).zero_(), T.fill(T.ones(2), 4)))
    same(lambda T: T.zeros(2, dtype=T.int64).fill_(2.7))


def test_shared_memory():
    a = np.arange(3.0)
    assert rushlight.as_tensor(a).data_ptr() == a.__array_interface__["data"][0]
    assert rushlight.tensor(a).data_ptr() != a.__array_interface__["data"][0]
    same(lambda T: T.frombuffer(bytearray(np.arange(3.0).tobytes()), dtype=T.float64))
    same(lambda T: T.from_numpy(np.array(["a"])))
    same(lambda T: T.from_numpy(np.zeros(2, np.uint16)).dtype)
    assert torch.equal(torch.from_numpy(rushlight.arange(3).numpy()), torch.arange(3))


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "kaiser"])
def test_windows(name):
    for length in (0, 1, 2, 7):
        for periodic in (True, False):
            check(name + "_window", length, periodic, dtype=torch.float64)
    check_error(name + "_window", -1)
    check_error(name + "_window", 4, dtype=torch.int64)


def test_strided():
    for size, order in (((2, 3, 4), (0, 2, 1)), ((), ()), ((0, 3), (1, 0))):
        check(lambda T, s=size, o=order: T.empty_permuted(s, o).stride())
    check(lambda T: T.empty(2).new_empty_strided((2, 3), (1, 2)).stride())
    check_error("empty_permuted", (2, 3), (0, 0))
    check_error("empty_permuted", (2, 3), (0, 1, 2))


def test_inclusive_ranges():
    check("range", 1, 4, 0.5)
    check("range", 0, 7, 2, dtype=torch.int64)
    check_error("range", 0, 3, -1)


@pytest.mark.parametrize("number", [-5, 300, -300, 2**40, -(2**63), 2**70, 3.7, 300.5, -1.0, 1e300, float("nan"),
                                    float("inf"), 1j, True])
def test_numbers_that_do_not_fit(number):
    """They wrap around, or are refused, as in PyTorch."""
    for name in ("uint8", "int8", "int32", "int64", "float32", "bool"):
        same(lambda T, d=name: T.tensor([number], dtype=getattr(T, d)))
        same(lambda T, d=name: T.full((2,), number, dtype=getattr(T, d)))
        same(lambda T, d=name: T.zeros(2, dtype=getattr(T, d)).fill_(number))
        same(lambda T, d=name: T.zeros(2, dtype=getattr(T, d)).masked_fill(T.tensor([True, False]), number))


@pytest.mark.parametrize("number", [-5, 300, 2**40])
def test_operands_wrap_around(number):
    for name in ("uint8", "int8", "int32"):
        for f in ("add", "sub", "mul", "gt", "eq", "bitwise_and"):
            same(lambda T, d=name, f=f: getattr(T, f)(T.tensor([1, 3, 127], dtype=getattr(T, d)), number))
            same(lambda T, d=name, f=f: [getattr(T, f)(T.tensor([1, 3, 127], dtype=getattr(T, d)), k)
                                         for k in (2, number, 3)])


def test_out_of_arange():
    check_error(lambda T: T.arange(0, 64, 0.5, out=T.ones(0, dtype=T.int64)))
    same(lambda T: T.arange(0, 4, 0.5, out=T.ones(0, dtype=T.float64)))
