"""Mixed precision: which operators `autocast` runs in a half type, and which in float32.

The lists are those of PyTorch's CPU autocast ("CPU Op-Specific Behavior" in its documentation). The
casts are ordinary operators before the call, so traces, gradients and programs need to know
nothing of them. Operators pay for autocast only once it has been used (see `hot._source`).
"""

from __future__ import annotations

from . import dtypes
from .trie import RECORDER

LOWER, FLOAT, PROMOTE = "lower", "float32", "promote"


def _policies() -> dict[str, str]:
    lower = (
        "_convolution conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc "
        "bmm mm baddbmm addmm addbmm linear matmul vecdot prelu scaled_dot_product_attention"
    )
    float32 = (
        "avg_pool3d binary_cross_entropy grid_sample polar prod quantile nanquantile stft cdist "
        "trace view_as_complex cholesky cholesky_inverse cholesky_solve inverse inv pinverse pinv "
        "max_pool3d max_unpool1d max_unpool2d max_unpool3d adaptive_avg_pool3d mse_loss "
        "cosine_embedding_loss nll_loss hinge_embedding_loss poisson_nll_loss smooth_l1_loss "
        "cross_entropy l1_loss huber_loss margin_ranking_loss soft_margin_loss triplet_margin_loss "
        "multi_margin_loss ctc_loss kl_div multilabel_margin_loss binary_cross_entropy_with_logits "
        "fractional_max_pool2d fractional_max_pool3d adaptive_max_pool3d qr svd eig eigh eigvals "
        "eigvalsh lstsq solve lu_solve cond matrix_rank svdvals cholesky_ex inv_ex geqrf "
        "triangular_solve"
    )
    made = dict.fromkeys(lower.split(), LOWER)
    made.update(dict.fromkeys(float32.split(), FLOAT))
    made.update(dict.fromkeys("cat stack index_copy concat concatenate".split(), PROMOTE))
    return made


POLICY = _policies()
USED = [False]  # whether autocast was ever switched on in this process


def switch(dtype: dtypes.dtype | None) -> dtypes.dtype | None:
    """Run this thread's operators from now on with `dtype` where it serves, or None; gives the
    dtype that there was before."""
    if dtype is not None and not USED[0]:
        USED[0] = True
        from .hot import reset
        from .operator import OPERATORS

        for name in POLICY:
            if name in OPERATORS:
                reset(OPERATORS[name])
    tr = RECORDER.tr
    before, tr.autocast = tr.autocast, dtype
    return before


def cast(name: str, args: tuple, kwargs: dict | None = None) -> tuple[tuple, dict]:
    """A call's arguments in the dtype that autocast wants for it."""
    kwargs = kwargs or {}
    tr = RECORDER.tr
    if tr.autocast is None:
        return args, kwargs
    policy = POLICY[name]
    wanted = dtypes.float32 if policy == FLOAT else tr.autocast
    if policy == PROMOTE and any(
        t.dtype is dtypes.float32 for a in (*args, *kwargs.values()) for t in _tensors(a)
    ):
        wanted = dtypes.float32
    return (
        tuple([_converted(a, wanted) for a in args]),
        {k: _converted(a, wanted) for k, a in kwargs.items()},
    )


def _tensors(a):
    from .tensor import Tensor

    if isinstance(a, Tensor):
        return (a,)
    return [t for t in a if isinstance(t, Tensor)] if type(a) in (tuple, list) else ()


def _converted(a, wanted):
    """Tensors of a floating type, but float64, in the wanted one; all else as it is."""
    if type(a) in (tuple, list):
        return type(a)([_converted(x, wanted) for x in a])
    d = getattr(a, "dtype", None)
    if d.__class__ is not dtypes.dtype or d is wanted or d is dtypes.float64:
        return a
    return a.to(wanted) if d.category == dtypes.FLOAT else a
