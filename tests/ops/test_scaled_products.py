"""Products of 8-bit floats with scales against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, check_error, check_program

import rushlight

rng = np.random.default_rng(3)
A, B = rng.normal(size=(6, 32)).astype(np.float32), rng.normal(size=(16, 32)).astype(np.float32)


def matrices(T, kinds):
    return T.tensor(A).to(getattr(T, kinds[0])), T.tensor(B).to(getattr(T, kinds[1])).t()


def left(kind="float8_e4m3fn"):
    return Given(A, dtype=kind)


def right(kind="float8_e4m3fn"):
    return Given(B, dtype=kind, view=lambda t: t.t())


KINDS = [("float8_e4m3fn", "float8_e4m3fn"), ("float8_e5m2", "float8_e4m3fn"), ("float8_e4m3fn", "float8_e5m2")]


@pytest.mark.parametrize("kinds", KINDS, ids=str)
def test_one_scale(kinds):
    def program(T):
        a, b = matrices(T, kinds)
        scales, bias = (T.tensor(0.7), T.tensor([1.3])), T.linspace(-1, 1, 16)
        f, F = T._scaled_mm, T.nn.functional
        made = f(a, b, *scales)
        return (made.dtype == a.dtype, made.float(), f(a, b, *scales, scale_result=T.tensor(2.0)).float(),
                f(a, b, *scales, out_dtype=T.float32), f(a, b, *scales, bias.bfloat16(), out_dtype=T.bfloat16),
                f(a, b, *scales, out=T.empty(6, 16, dtype=T.bfloat16), out_dtype=T.bfloat16),
                F.scaled_mm(a, b, scales[0], F.ScalingType.TensorWise, scales[1], F.ScalingType.TensorWise))

    check_program(program)


def test_a_scale_for_each_row():
    def program(T):
        a, b = matrices(T, KINDS[0])
        x, y = T.linspace(0.1, 1, 6), T.linspace(1, 2, 16)
        F = T.nn.functional
        return (T._scaled_mm(a, b, x[:, None], y[None], out_dtype=T.bfloat16),
                F.scaled_mm(a, b, x[:, None], F.ScalingType.RowWise, y[None], F.ScalingType.RowWise,
                            F.SwizzleType.NO_SWIZZLE, F.SwizzleType.NO_SWIZZLE))

    check_program(program)


@pytest.mark.parametrize("x, y", [(np.float64(1), np.float32(1)), (np.ones(6, np.float32), np.ones(16, np.float32)),
                                  (np.ones((6, 2), np.float32), np.ones((2, 16), np.float32))])
def test_scales_that_do_not_fit(x, y):
    check_error("_scaled_mm", left(), right(), Given(x), Given(y))


def test_matrices_that_do_not_fit():
    s = Given(np.float32(1))
    check_error("_scaled_mm", Given(A), right(), s, s)
    check_error("_scaled_mm", left(), left(), s, s)


def test_recipes_of_gpus():
    F, s = rushlight.nn.functional, rushlight.ones(())
    a, b = matrices(rushlight, KINDS[0])
    for kind in (F.ScalingType.BlockWise1x32, F.ScalingType.BlockWise128x128):
        with pytest.raises(ValueError, match="scaled_mm.*BlockWise"):
            F.scaled_mm(a, b, s, kind, s, kind)
    each = F.ScalingType.TensorWise
    with pytest.raises(ValueError, match="own order"):
        F.scaled_mm(a, b, s, each, s, each, F.SwizzleType.SWIZZLE_32_4_4)
    assert [(t.name, t.value) for t in F.ScalingType] == [
        (name, int(t.value)) for name, t in torch.nn.functional.ScalingType.__members__.items()]
