"""torch.testing: comparing tensors."""

from __future__ import annotations

import numpy as np

from .answers import finder as _finder
from .trace.tensor import Tensor, array

_TOLERANCE = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual,
    expected,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg=None,
) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    Sequences and mappings are compared item by item. rtol and atol default by dtype.

    >>> torch.testing.assert_close(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]))
    """
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys(), msg or "The keys of the mappings do not match"
        for k in expected:
            assert_close(actual[k], expected[k], rtol=rtol, atol=atol, equal_nan=equal_nan,
                         check_dtype=check_dtype, check_stride=check_stride, msg=msg)
        return
    if isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), msg or "The length of the sequences mismatch"
        for a, b in zip(actual, expected, strict=True):
            assert_close(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan,
                         check_dtype=check_dtype, check_stride=check_stride, msg=msg)
        return
    both = [x if isinstance(x, Tensor) else None for x in (actual, expected)]
    values = [array(t.detach()) if t is not None else np.asarray(x)
              for t, x in zip(both, (actual, expected), strict=True)]
    if both[0] is not None and both[1] is not None:
        a, b = both
        assert a.shape == b.shape, msg or (
            f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}."
        )
        if check_dtype:
            assert a.dtype is b.dtype, msg or (
                f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}."
            )
        if check_stride:
            assert a.stride() == b.stride(), msg or "The values for attribute 'stride()' differ"
    name = both[0].dtype.name if both[0] is not None else str(values[0].dtype)
    default = _TOLERANCE.get(name, (0.0, 0.0))
    r = default[0] if rtol is None else rtol
    t = default[1] if atol is None else atol
    wide = [v.astype(np.float64) if v.dtype.kind not in "c" else v for v in values]
    close = np.isclose(wide[0], wide[1], rtol=r, atol=t, equal_nan=equal_nan)
    if not close.all():
        worst = np.nanmax(np.abs(wide[0] - wide[1])) if close.size else 0.0
        raise AssertionError(msg or (
            f"Tensor-likes are not close!\n\nMismatched elements: {int((~close).sum())} / "
            f"{close.size}\nGreatest absolute difference: {worst} (up to {t} allowed)\n"
            f"(up to {r} relative difference allowed)"
        ))

__getattr__ = _finder(__name__)
