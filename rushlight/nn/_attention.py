"""`multi_head_attention_forward`: multi-head attention as a function of tensors and weights."""

from __future__ import annotations

import math
from typing import Any

import rushlight
from rushlight.trace.operator import PUBLISHED, function


def _f(name: str) -> Any:
    return PUBLISHED["nn.functional"][name]


def _masked_to_float(
    mask: Any, name: str, dtype: Any, other: Any = None, check: bool = True
) -> Any:
    """A mask as numbers to add to the scores: booleans become minus infinity where true."""
    if mask is None:
        return None
    if mask.dtype != rushlight.bool and not mask.dtype.is_floating_point:
        raise RuntimeError(
            f"only bool and floating types of {name} are supported, but got {mask.dtype}"
        )
    if check and other is not None and mask.dtype != other.dtype:
        import warnings

        warnings.warn(
            f"Support for mismatched {name} and key_padding_mask is deprecated. Use same type for "
            "both instead.",
            stacklevel=4,
        )
    if mask.dtype == rushlight.bool:
        return rushlight.zeros_like(mask, dtype=dtype).masked_fill_(mask, -math.inf)
    return mask


def _check_shapes(
    query: Any, key: Any, value: Any, padding: Any, attn_mask: Any, heads: int
) -> bool:
    """Whether there is a batch dimension; AssertionError for shapes that do not fit together."""
    if query.ndim not in (2, 3):
        raise AssertionError(
            "query should be unbatched 2D or batched 3D tensor but received "
            f"{query.ndim}-D query tensor"
        )
    batched = query.ndim == 3
    if key.ndim != query.ndim or value.ndim != query.ndim:
        kind = "batched 3D" if batched else "unbatched 2D"
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {query.ndim}-D but found "
            f"{key.ndim}-D and {value.ndim}-D tensors respectively"
        )
    if padding is not None and padding.ndim != query.ndim - 1:
        raise AssertionError(
            f"expected `key_padding_mask` to be `None` or {query.ndim - 1}-D but found "
            f"{padding.ndim}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.ndim not in (2, 3):
            raise AssertionError(
                "expected `attn_mask` to be `None`, 2-D or 3-D but found "
                f"{attn_mask.ndim}-D tensor instead"
            )
        wanted = (heads, query.shape[0], key.shape[0])
        if not batched and attn_mask.ndim == 3 and tuple(attn_mask.shape) != wanted:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {wanted} but got {tuple(attn_mask.shape)}"
            )
    return batched


def _project_together(q: Any, k: Any, v: Any, w: Any, b: Any) -> tuple:
    """Query, key and value through the three parts of one weight, in as few products as can be."""
    linear = _f("linear")
    size = q.shape[-1]
    if k is v and q is k:
        return tuple(linear(q, w, b).chunk(3, -1))
    if k is v:
        wq, wkv = w.split([size, 2 * size])
        bq, bkv = (None, None) if b is None else b.split([size, 2 * size])
        return (linear(q, wq, bq), *linear(k, wkv, bkv).chunk(2, -1))
    biases = (None,) * 3 if b is None else b.chunk(3)
    return tuple(linear(x, part, bias) for x, part, bias in zip((q, k, v), w.chunk(3), biases))


def _longer(mask: Any, count: int = 1) -> Any:
    """A mask with `count` more keys at the end, which are not masked."""
    return None if mask is None else _f("pad")(mask, (0, count))


@function(api="nn.functional")
def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple:
    """`softmax(Q K^T / sqrt(d) + mask) V` in heads, between learned projections.

    query (L, N, E), key and value (S, N, *), or all without N. Returns the output (L, N, E) and,
    with `need_weights`, the weights (N, L, S), or (N, heads, L, S) if they are not averaged.
    """
    batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same_key, same_value = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same_key else key.unsqueeze(1)
        value = key if same_value else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, embed = query.shape
    source = key.shape[0]
    padding = _masked_to_float(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, False)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    hinted = is_causal and padding is None and not need_weights
    if hinted:
        attn_mask = None
    else:
        attn_mask = _masked_to_float(attn_mask, "attn_mask", query.dtype, None, False)
        is_causal = is_causal and padding is None
    if embed != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed}"
        )
    head = embed // num_heads
    if head * num_heads != embed:
        raise AssertionError(f"embed_dim {embed} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {tuple(key.shape[:2])} do not match value's "
                f"{tuple(value.shape[:2])}"
            )
        biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        if any(w is None for w in weights):
            raise AssertionError("use_separate_proj_weight is True but a projection weight is None")
        linear = _f("linear")
        q, k, v = (linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
    else:
        if key.shape != value.shape:
            raise AssertionError(
                f"key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}"
            )
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _project_together(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None:
        if attn_mask.ndim == 2:
            expected = (length, source)
            attn_mask_shape, attn_mask = tuple(attn_mask.shape), attn_mask.unsqueeze(0)
        else:
            expected = (batch * num_heads, length, source)  # type: ignore[assignment]
            attn_mask_shape = tuple(attn_mask.shape)
        if attn_mask_shape != expected:
            raise RuntimeError(
                f"The shape of the {len(expected)}D attn_mask is {attn_mask_shape}, but should be "
                f"{expected}."
            )
    if bias_k is not None and bias_v is not None:
        k = rushlight.cat([k, bias_k.repeat(1, batch, 1)])
        v = rushlight.cat([v, bias_v.repeat(1, batch, 1)])
        attn_mask, padding = _longer(attn_mask), _longer(padding)
    q = q.reshape(length, batch * num_heads, head).transpose(0, 1)
    k = k.reshape(k.shape[0], batch * num_heads, head).transpose(0, 1) if static_k is None else static_k
    v = v.reshape(v.shape[0], batch * num_heads, head).transpose(0, 1) if static_v is None else static_v
    if add_zero_attn:
        zeros = rushlight.zeros((batch * num_heads, 1, head), dtype=k.dtype, device=k.device)
        k, v = rushlight.cat([k, zeros], 1), rushlight.cat([v, zeros], 1)
        attn_mask, padding = _longer(attn_mask), _longer(padding)
    source = k.shape[1]
    if padding is not None:
        if tuple(padding.shape) != (batch, source):
            raise AssertionError(
                f"expecting key_padding_mask shape of {(batch, source)}, but got "
                f"{tuple(padding.shape)}"
            )
        padding = padding.view(batch, 1, 1, source).expand(-1, num_heads, -1, -1)
        padding = padding.reshape(batch * num_heads, 1, source)
        attn_mask = padding if attn_mask is None else attn_mask + padding
    if not training:
        dropout_p = 0.0
    if need_weights:
        scores = q * math.sqrt(1.0 / float(head))
        k = k.transpose(-2, -1)
        if attn_mask is None:
            weights = rushlight.bmm(scores, k)
        else:
            weights = rushlight.baddbmm(attn_mask, scores, k)
        weights = _f("softmax")(weights, -1)
        if dropout_p > 0.0:
            weights = _f("dropout")(weights, dropout_p)
        output = rushlight.bmm(weights, v).transpose(0, 1)
    else:
        weights = None
        if attn_mask is not None:
            if attn_mask.shape[0] == 1 and attn_mask.ndim == 3:
                attn_mask = attn_mask.unsqueeze(0)
            else:
                attn_mask = attn_mask.view(batch, num_heads, -1, source)
        q, k, v = (x.view(batch, num_heads, -1, head) for x in (q, k, v))
        output = _f("scaled_dot_product_attention")(q, k, v, attn_mask, dropout_p, is_causal)
        output = output.permute(2, 0, 1, 3)
    output = output.contiguous().view(length * batch, embed)
    output = _f("linear")(output, out_proj_weight, out_proj_bias).view(length, batch, out_proj_weight.shape[0])
    if need_weights:
        weights = weights.view(batch, num_heads, length, source)
        if average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            weights = weights.squeeze(0)
    return (output if batched else output.squeeze(1)), weights
