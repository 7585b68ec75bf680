"""Half types: every bfloat16 and float16, floats rounded to them, with and without hardware."""

import numpy as np
import pytest
import torch
from compile.llvm.lanes import executable, level, loop_text, run

from rushlight.compile.llvm import half

EVERY = np.arange(1 << 16).astype(np.uint16).view(np.int16)


def floats() -> np.ndarray:
    """All exponents, and the numbers around each half and each middle of two."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 1 << 32, 1 << 16, np.uint32)
    exact = np.concatenate([EVERY.astype(np.uint32) << 16, bits]).view(np.float32)
    sixteen = EVERY.view(np.float16).astype(np.float32)
    middles = (sixteen[:-1].astype(np.float64) + sixteen[1:]) / 2
    x = np.concatenate([exact, sixteen, middles.astype(np.float32)])
    return np.concatenate([x, np.nextafter(x, np.float32(0)), np.nextafter(x, np.float32(np.inf))])


def check(made: np.ndarray, wanted: np.ndarray, nan: np.ndarray, made_nan: np.ndarray) -> None:
    assert ((made == wanted) | (nan & made_nan)).all()


@pytest.mark.parametrize("here", executable())
@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.filterwarnings("ignore:invalid value|overflow")
def test_conversions(here, lanes):
    x = floats()
    every = torch.from_numpy(EVERY)
    with level(here):
        for type, dtype, write in (
            ("i16", torch.bfloat16, half.float_to_bfloat16), ("half", torch.float16, half.float_to_float16)
        ):
            def emit(f, lanes, v, write=write):
                return write(f, v, lanes)

            made = run(loop_text(emit, "float", type, lanes), lanes, np.int16, x)
            wanted = torch.from_numpy(x).to(dtype)
            nan = torch.from_numpy(made).view(dtype).isnan().numpy()
            check(made, wanted.view(torch.int16).numpy(), wanted.isnan().numpy(), nan)
        for type, dtype, write in (
            ("i16", torch.bfloat16, half.bfloat16_to_float), ("half", torch.float16, half.float16_to_float)
        ):
            def emit(f, lanes, v, write=write):
                return write(f, v, lanes)

            made = run(loop_text(emit, type, "float", lanes), lanes, np.float32, EVERY)
            wanted = every.view(dtype).float().numpy()
            check(made.view(np.int32), wanted.view(np.int32), np.isnan(wanted), np.isnan(made))
