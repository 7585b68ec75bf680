"""torch.masked against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error

rng = np.random.default_rng(41)
A = rng.standard_normal((3, 4))
MASKS = [None, rng.random((3, 4)) < 0.6, np.array([True, False, True, True]),
         np.array([[True], [False], [True]])]


@pytest.mark.parametrize("mask", MASKS, ids=["none", "whole", "row", "column"])
@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin", "mean", "var", "std", "norm",
                                  "logsumexp", "median", "argmax", "argmin"])
def test_reductions(name, mask):
    smooth = name not in ("median", "argmax", "argmin")
    for dim in ((), 0, (0, 1)) if smooth else (0, 1):
        for keepdim in (False, True):
            options = {"keepdim": keepdim, "mask": mask}
            options["dim" if dim != () else "keepdim"] = dim if dim != () else keepdim
            check("masked." + name, A, **options)
    if name in ("sum", "prod", "amax", "amin", "argmax", "argmin", "var"):
        check("masked." + name, (A * 5).astype(np.int64), dim=0, mask=mask)
    if name in ("sum", "median", "mean"):
        check("masked." + name, Given(A, dtype="bfloat16"), dim=0, mask=mask, rtol=2e-2)


@pytest.mark.parametrize("mask", MASKS, ids=["none", "whole", "row", "column"])
def test_of_the_same_shape(mask):
    for name in ("softmax", "log_softmax", "softmin", "cumsum", "cumprod"):
        check("masked." + name, A, 1, mask=mask)
    check("masked.normalize", A, 2.0, 1, mask=mask)

    def logaddexp(T, a, b, mask=None):
        f = getattr(T.masked, "logaddexp", None) or T.masked._ops.logaddexp
        return f(a, b, input_mask=mask, other_mask=mask)

    check(logaddexp, A, A[::-1].copy(), *([] if mask is None else [mask]), grad=False)


def test_options():
    check("masked.var", A, 0, correction=0)
    check("masked.std", A, 0, False)
    check("masked.norm", A, np.inf, mask=MASKS[1])
    check("masked.norm", A, -np.inf, mask=MASKS[2], dim=1)
    check_error("masked.mean", np.arange(3))
    check_error("masked.sum", A[0], mask=MASKS[1])
    check_error("masked.median", np.arange(3), 0, mask=np.zeros(3, bool))
