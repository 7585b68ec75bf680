"""Tensors in Python: operators with odd operands, NumPy functions, copies, storage; against PyTorch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from oracle import check_program

import rushlight

VALUES = ["None", "'a'", "[1, 2, 3]", "object()", "np.ones(3)", "np.arange(3)", "np.float32(2)",
          "2.5", "3", "1j", "T.ones(3)"]
OPERATORS = "+ - * / // % ** @ & == != <".split()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("form", ["x {} v", "x {}= v"])
def test_operand(operator, form):
    """What is neither tensor nor number gets its turn: None is not equal, arrays make tensors."""
    code = form.format(operator)
    if operator in ("==", "!=", "<") and "=" in form:
        return
    for text in VALUES:
        def program(T, text=text):
            names = {"T": T, "np": np, "x": T.arange(3.0) + 1}
            exec(f"v = {text}\n" + (code if "= v" in code else f"x = {code}"), names)
            return names["x"]

        program.__name__ = f"{code} with v = {text}"
        check_program(program)


PROGRAMS = {
    "reflected": lambda T: [2 - T.ones(2), 2 / T.full((2,), 4.0), True + T.arange(2), 7 // T.tensor([2])],
    "number_at_tensor": lambda T: 3 @ T.ones(2),
    "list_minus_tensor": lambda T: [1, 2] - T.ones(2),
    "inverted_float": lambda T: ~T.ones(2),
    "minus_true": lambda T: T.ones(2) - True,
    "numpy_functions": lambda T: [np.add(T.ones(2), 1), np.sin(T.ones(2)), np.greater(T.arange(3), 1)],
    "delete": lambda T: T.ones(2).__delitem__(0),
    "float_of_many": lambda T: float(T.ones(2)),
    "float_of_complex": lambda T: [float(T.tensor(2 + 0j)), int(T.tensor(3 + 0j))],
    "float_of_imaginary": lambda T: float(T.tensor(1j)),
    "format": lambda T: [f"{T.tensor(1.5, requires_grad=True):.2f}", f"{T.tensor(2.5, requires_grad=True)}"],
    "format_of_many": lambda T: f"{T.ones(1):.2f}",
    "huge_integer": lambda T: T.tensor(2**63),
    "number_too_large": lambda T: T.tensor([300], dtype=T.uint8),
    "odd_promotion": lambda T: T.promote_types(T.uint16, T.int32),
    "odd_promotion_to_float": lambda T: T.promote_types(T.uint64, T.float16),
    "complex_of_infinities": lambda T: T.complex(
        T.tensor([1.0, np.inf, -0.0]), T.tensor([np.inf, np.nan, -0.0])),
    "modulo_of_complex": lambda T: T.ones(2) % 1j,
    "less_than_complex": lambda T: T.ones(2) < 1j,
    "asarray_without_copy": lambda T: T.asarray(T.ones(2), dtype=T.float64, copy=False),
    "new_on_cuda": lambda T: T.ones(2).new_zeros(2, device="cuda"),
    "cuda_memory": lambda T: T.cuda.memory_allocated(),
}
if torch.version.cuda is None:  # (a PyTorch built for CUDA asks the driver, which has errors of its own)
    PROGRAMS["generator_on_cuda"] = lambda T: T.Generator(device="cuda")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    check_program(PROGRAMS[name])


def test_no_cuda_is_both_of_pytorchs_errors():
    for kind in (RuntimeError, AssertionError):
        with pytest.raises(kind, match="no CUDA device"):
            rushlight.ones(2, device="cuda")


# ---------------------------------------------------------------- copies and shared memory

SHARED = {
    "copy": lambda T, x: copy.copy(x),
    "dlpack": lambda T, x: T.from_dlpack(x),
    "capsule": lambda T, x: T.utils.dlpack.from_dlpack(T.utils.dlpack.to_dlpack(x)),
    "numpy": lambda T, x: T.from_numpy(x.numpy()),
    "parameter": lambda T, x: T.nn.Parameter(x).data,
    "expanded": lambda T, x: x.expand(4, 2, 3)[2],
    "data": lambda T, x: x.data,
    "set": lambda T, x: T.zeros(0).set_(x),
}


@pytest.mark.parametrize("name", SHARED)
def test_shared(name):
    """Writes to either are seen by both, in the order of the program, also when pending."""
    def program(T):
        import importlib

        importlib.import_module(T.__name__ + ".utils.dlpack")
        x = T.arange(6.0).reshape(2, 3) * 1
        y = SHARED[name](T, x)
        before = y[0] * 2
        x.fill_(7.0)
        between = y[0] * 2
        y[1] = 9.0
        return before, between, x, y, x + y

    check_program(program)


def test_deep_copies_share_as_their_sources():
    def program(T):
        x = T.arange(6.0).reshape(2, 3)
        a, b = copy.deepcopy((x, x[1]))
        before = b * 2
        a.fill_(5.0)
        return before, b, b.storage_offset(), x

    check_program(program)


@pytest.mark.parametrize("make", [
    lambda T: T.ones(0, 3), lambda T: T.arange(6.0).reshape(2, 3)[:, 1],
    lambda T: T.ones(3).expand(2, 3), lambda T: T.arange(6.0).reshape(2, 3).t(),
    lambda T: T.ones(2, 3, 4, 5).to(memory_format=T.channels_last), lambda T: T.tensor(3),
    lambda T: T.max(T.arange(6.0).reshape(2, 3), 0), lambda T: T.ones(2).bfloat16(),
])
def test_pickles(make):
    check_program(lambda T: pickle.loads(pickle.dumps(make(T))) if T is rushlight else make(T))


def test_singletons_pickle():
    for x in (rushlight.strided, rushlight.float32, rushlight.channels_last):
        assert pickle.loads(pickle.dumps(x)) is x
    found = pickle.loads(pickle.dumps(rushlight.ones(2, 3).max(0)))
    assert type(found) is rushlight.return_types.max and type(found).__name__ == "max"


def test_doubles_become_halves_by_way_of_floats():
    """Numbers next to the middle between two halves are rounded twice, as in PyTorch."""
    a = (np.arange(1, 64) + 0.5 + 1e-9) * 2.0**-10 + 1

    def program(T):
        x = T.from_numpy(a)
        return (x.half(), T.tensor(a, dtype=T.float16), T.tensor(a.tolist(), dtype=T.float16),
                T.zeros(63, dtype=T.float16).copy_(x), T.full((2,), float(a[0]), dtype=T.float16),
                T.add(x, 0, out=T.zeros(63, dtype=T.float16)))

    check_program(program)


# ---------------------------------------------------------------- where a view starts

OFFSETS = {
    "strided_of_a_view": lambda T, x: x[1].as_strided((2, 2), (1, 2)),
    "strided_from_the_start": lambda T, x: x[1].as_strided((2,), (1,), 0),
    "strided_of_a_part": lambda T, x: T.from_numpy(np.arange(10.0)[2:])[1:].as_strided((2,), (1,), 0),
    "row_of_a_row": lambda T, x: x[1][2],
    "other_dtype": lambda T, x: x[1].view(T.int32)[1:],
    "out_of_bounds": lambda T, x: x[1].as_strided((30,), (1,)),
}


@pytest.mark.parametrize("name", OFFSETS)
def test_offset(name):
    def program(T):
        y = OFFSETS[name](T, T.arange(24.0).reshape(2, 3, 4))
        return y, y.storage_offset(), y.stride()

    check_program(program)


def test_offset_of_a_view_in_the_trace():
    """A view of a view that was made outside of the trace, regenerated after its base was written."""
    def program(T):
        x = T.arange(24.0).reshape(2, 3, 4) * 1
        x.sum().item()
        y, w, q = x[1], T.ones(4, requires_grad=True), T.zeros(4)
        y.sum()
        q.copy_(w * 2)
        z = y[0]
        start = z.storage_offset()
        x.add_(w)
        (z * q).sum().backward()
        return z, start, z.storage_offset(), w.grad

    check_program(program)


def test_gradient_of_a_view_beyond_its_input():
    def program(T):
        w = T.ones(6, requires_grad=True)
        (w * 2)[2:].as_strided((2,), (2,), 1).sum().backward()
        return w.grad

    check_program(program)


STRIDES = ["x * 2.0", "x.relu()", "-x", "x + 1", "x + x", "x.view(x.shape)", "x.softmax(-1)", "x.clone()",
           "F.layer_norm(x, x.shape[-1:])", "x.sin()", "x.contiguous()"]
LAYOUTS = ["T.arange(6.0).reshape(2, 3)[::2]", "T.arange(3.0)[::2][1:]", "T.arange(12.0).reshape(3, 4)[:, 1:2]",
           "T.arange(12.0).reshape(4, 3).t()[:, :1]", "T.arange(12.0).reshape(4, 3).t()",
           "T.arange(6.0).reshape(2, 3)[::2].unsqueeze(0).expand(2, 1, 3)",
           "T.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_of_results(layout):
    def program(T):
        names = {"T": T, "F": T.nn.functional}
        names["x"] = eval(layout, names)
        return [eval(code, names) for code in STRIDES]

    check_program(program)


def test_expanded_tensors_may_be_filled():
    def program(T):
        x = T.arange(3.0)
        y = x.expand(2, 3)
        y.fill_(7.0)
        y[0] = 5.0
        before = y * 1
        y.zero_()
        return before, x, y

    check_program(program)
    check_program(lambda T: T.arange(3.0).expand(2, 3).__setitem__(slice(None), 5.0))
    check_program(lambda T: T.arange(3.0).expand(2, 3).add_(1))
    check_program(lambda T: (lambda x: x.copy_(x))(T.arange(3.0).expand(2, 3)))
    check_program(lambda T: (lambda x: x.copy_(x))(T.ones(3, requires_grad=True)))


FORMATS = ["F.conv2d(x, w)", "F.max_pool2d(x, 2)", "F.avg_pool2d(x, 2)", "F.adaptive_avg_pool2d(x, 3)",
           "T.cat([x, x], 1)", "T.cat([x, x.contiguous()], 1)", "F.conv_transpose2d(x, w.transpose(0, 1))",
           "T.ones(2, 1, 4, 5).to(memory_format=T.channels_last)", "T.randint_like(x, 9)",
           "T.ones_like(x, memory_format=T.contiguous_format)", "x.double(memory_format=T.contiguous_format)",
           "T.zeros_like(T.ones(2, 3, 4, 5), memory_format=T.channels_last)",
           "T.zeros_like(T.ones(2, 3), memory_format=T.channels_last)"]


@pytest.mark.parametrize("code", FORMATS)
def test_channels_last(code):
    def program(T):
        T.manual_seed(0)
        x = T.arange(144.0).reshape(2, 3, 4, 6).to(memory_format=T.channels_last).requires_grad_()
        w = T.arange(72.0).reshape(6, 3, 2, 2)
        y = eval(code, {"T": T, "F": T.nn.functional, "x": x, "w": w})
        if y.requires_grad:
            (y * y).sum().backward()
        return y, x.grad

    check_program(program)
