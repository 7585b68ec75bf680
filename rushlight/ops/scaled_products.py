"""Products of matrices of 8-bit floats with scales, as programs call them that train or run in 8 bits."""

from __future__ import annotations

from enum import Enum

from ..trace import dtypes
from ..trace.operator import Tensor, function

FLOAT8 = frozenset({dtypes.float8_e4m3fn, dtypes.float8_e4m3fnuz, dtypes.float8_e5m2, dtypes.float8_e5m2fnuz})


class ScalingType(Enum):
    """How many numbers share a scale: a whole matrix, a row (of the result), or a block.

    >>> torch.nn.functional.ScalingType.RowWise.value
    1
    """

    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5


class SwizzleType(Enum):
    """In which order the scales lie in memory.

    >>> torch.nn.functional.SwizzleType.NO_SWIZZLE.value
    0
    """

    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1


@function(api="torch", out=True)
def _scaled_mm(input: Tensor, mat2: Tensor, scale_a: Tensor, scale_b: Tensor, bias: Tensor | None = None,
               scale_result: Tensor | None = None, out_dtype: dtypes.dtype | None = None, use_fast_accum: bool = False):
    """`(input @ mat2) * scale_a * scale_b + bias` of 8-bit floats (M, K) and (K, N), summed in float32.

    Scales are float32: one number each, or (M, 1) and (1, N). The result has out_dtype, or else the dtype of `input`.
    `scale_result` and `use_fast_accum` are accepted, without effect as in PyTorch on the CPU. RuntimeError for shapes that do not
    fit, ValueError for other scales and dtypes.
    """
    if input.dim() != 2 or mat2.dim() != 2 or input.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"_scaled_mm: mat_a and mat_b shapes cannot be multiplied ({'x'.join(map(str, input.shape))} and "
            f"{'x'.join(map(str, mat2.shape))})"
        )
    one = scale_a.numel() == scale_b.numel() == 1
    rows = tuple(scale_a.shape) == (input.shape[0], 1) and tuple(scale_b.shape) == (1, mat2.shape[1])
    given = {"mat_a": input.dtype, "mat_b": mat2.dtype, "scale_a": scale_a.dtype, "scale_b": scale_b.dtype}
    if not (one or rows) or {input.dtype, mat2.dtype} - FLOAT8 or {scale_a.dtype, scale_b.dtype} != {dtypes.float32}:
        raise ValueError(
            "_scaled_mm: Invalid scaling configuration. The matrices must be of 8-bit floats, the scales of float32 with one "
            f"element each or of shapes {(input.shape[0], 1)} and {(1, mat2.shape[1])}, but got {given} and scales of shapes "
            f"{tuple(scale_a.shape)} and {tuple(scale_b.shape)}"
        )
    scale = scale_a.reshape(()) * scale_b.reshape(()) if one else scale_a * scale_b
    made = (input.float() @ mat2.float()) * scale
    if bias is not None:
        made = made + bias.float()
    return made.to(out_dtype or input.dtype)


@function(api="nn.functional")
def scaled_mm(mat_a: Tensor, mat_b: Tensor, scale_a, scale_recipe_a, scale_b, scale_recipe_b, swizzle_a=None,
              swizzle_b=None, bias: Tensor | None = None, output_dtype: dtypes.dtype | None = dtypes.bfloat16,
              contraction_dim=(), use_fast_accum: bool = False):
    """`(mat_a * scale_a) @ (mat_b * scale_b) + bias` of 8-bit floats (M, K) and (K, N).

    The recipes are ScalingType.TensorWise (scales of one element) or RowWise (M and N elements) for both. Recipes with
    blocks are those of GPUs: they, and swizzled scales, raise ValueError.
    """
    recipes = [r[0] if isinstance(r, (list, tuple)) else r for r in (scale_recipe_a, scale_recipe_b)]
    swizzles = [s[0] if isinstance(s, (list, tuple)) else s for s in (swizzle_a, swizzle_b)]
    a, b = [s[0] if isinstance(s, (list, tuple)) else s for s in (scale_a, scale_b)]
    if contraction_dim and tuple(contraction_dim) not in ((1, 0), (-1, 0), (-1, -2), (1, -2)):
        raise ValueError(f"scaled_mm: contraction_dim must be (1, 0) for matrices (M, K) and (K, N), but got {contraction_dim}")
    if recipes[0] is not recipes[1] or recipes[0] not in (ScalingType.TensorWise, ScalingType.RowWise):
        raise ValueError(f"scaled_mm: Invalid scaling configuration: {recipes[0]} and {recipes[1]}; on the CPU both must be "
                         "ScalingType.TensorWise, or both RowWise")
    if set(swizzles) - {None, SwizzleType.NO_SWIZZLE}:
        raise ValueError(f"scaled_mm: scales must lie in their own order on the CPU, but got {swizzles[0]} and {swizzles[1]}")
    if recipes[0] is ScalingType.RowWise and (a.numel(), b.numel()) == (mat_a.shape[0], mat_b.shape[-1]):
        a, b = a.reshape(-1, 1), b.reshape(1, -1)
    return _scaled_mm(mat_a, mat_b, a, b, bias, None, output_dtype, use_fast_accum)
