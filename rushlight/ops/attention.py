"""Scaled dot-product attention."""

from __future__ import annotations

import math

from ..trace import dtypes
from ..trace.operator import Tensor, function
from .dropout import dropout
from .softmax import softmax
from .triangular_products import _lower_matmul, _triangular_matmul


@function(api="nn.functional")
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask=None,
                                 dropout_p: float = 0.0, is_causal: bool = False,
                                 scale: float | None = None, enable_gqa: bool = False):
    """`softmax(scale * query @ key^T + mask) @ value` (Vaswani et al., 2017).

    query (..., L, E), key (..., S, E), value (..., S, V). attn_mask: bool (True takes part) or
    added. is_causal: position i sees positions up to i. enable_gqa: fewer key heads than query
    heads.

    >>> q, k, v = torch.rand(2, 4, 5, 8), torch.rand(2, 4, 7, 8), torch.rand(2, 4, 7, 8)
    >>> F.scaled_dot_product_attention(q, k, v).shape
    torch.Size([2, 4, 5, 8])
    """
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    for name, t in (("query", query), ("key", key), ("value", value)):
        if t.ndim < 2:
            raise RuntimeError(
                f"scaled_dot_product_attention: {name} must be at least 2-dimensional, but got "
                f"{t.ndim} dimensions"
            )
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(
            f"dropout probability has to be between 0 and 1, but got {dropout_p}"
        )
    if query.dtype is not key.dtype or query.dtype is not value.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype.name} key.dtype: {key.dtype.name} and value.dtype: {value.dtype.name} "
            "instead."
        )
    if attn_mask is not None and attn_mask.dtype not in (
        dtypes.bool_, dtypes.float32, query.dtype
    ):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {attn_mask.dtype.name} and query.dtype: {query.dtype.name} instead."
        )
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key = key.repeat_interleave(groups, -3)
        value = value.repeat_interleave(groups, -3)
    scale = 1.0 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale
    query, key = query * scale, key.transpose(-2, -1)
    if is_causal:
        weights = softmax(_lower_matmul(query, key, -math.inf), -1)
        return _triangular_matmul(dropout(weights, dropout_p) if dropout_p else weights, value, False)
    scores = query @ key
    if attn_mask is not None:
        if attn_mask.dtype is dtypes.bool_:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        else:
            scores = scores + attn_mask.to(query.dtype)
    weights = softmax(scores, -1)
    if attn_mask is not None and attn_mask.dtype is dtypes.bool_:
        weights = weights.masked_fill(~attn_mask.any(-1, True), 0.0)
    return (dropout(weights, dropout_p) if dropout_p else weights) @ value
