"""torch.nn.attention.flex_attention: attention with scores and masks that are Python functions.

The functions are written for one score and its place, and applied to all places by `vmap`. PyTorch
generates a kernel that skips blocks of the mask; here all scores are computed, and the compiler fuses
what follows them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import rushlight as torch
from rushlight.trace.tensor import Tensor

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]


_DEFAULT_SPARSE_BLOCK_SIZE = 128


class AuxRequest(NamedTuple):
    """What `flex_attention` shall return besides its result.

    >>> q = torch.ones(1, 1, 2, 4)
    >>> out, aux = flex_attention(q, q, q, return_aux=AuxRequest(max_scores=True))
    >>> aux.max_scores
    tensor([[[2., 2.]]])
    """

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """The logarithms of the softmax's sums and the largest scores, (B, Hq, L), where asked for.

    >>> AuxOutput().lse is None
    True
    """

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask function that lets every query see every key."""
    return batch.new_ones((), dtype=torch.bool)


def and_masks(*mask_mods: Callable) -> Callable:
    """The mask function of what all of these let through.

    Raises RuntimeError for an argument that is not callable.
    """
    return _joined(torch.logical_and, mask_mods, True)


def or_masks(*mask_mods: Callable) -> Callable:
    """The mask function of what any of these lets through.

    Raises RuntimeError for an argument that is not callable.
    """
    return _joined(torch.logical_or, mask_mods, False)


def _joined(join: Callable, mask_mods: tuple[Callable, ...], start: bool) -> Callable:
    if not all(map(callable, mask_mods)):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def joined(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        result = b.new_full((), start, dtype=torch.bool)
        for mask_mod in mask_mods:
            result = join(result, mask_mod(b, h, q, kv))
        return result

    return joined


def _everywhere(fn: Callable, sizes: tuple[int, ...], scores: Tensor | None = None) -> Tensor:
    """fn([score,] b, h, q, kv) at all places, (B, H, Q, KV)."""
    first = () if scores is None else (0,)
    for dim in (3, 2, 1, 0):  # vmap over kv first, so that b is the outermost
        places = [None] * 4
        places[dim] = 0
        fn = torch.vmap(fn, in_dims=(*first, *places))
    given = () if scores is None else (scores,)
    return fn(*given, *(torch.arange(n) for n in sizes))


def create_mask(
    mod_fn: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None
) -> Tensor:
    """The mask of a mask function as a bool tensor (B or 1, H or 1, Q_LEN, KV_LEN).

    >>> create_mask(lambda b, h, q, kv: q >= kv, None, None, 2, 3)
    tensor([[[[ True, False, False],
              [ True,  True, False]]]])
    """
    return _everywhere(mod_fn, (B or 1, H or 1, Q_LEN, KV_LEN))


class BlockMask:
    """A mask function with the sizes it is for, as `create_block_mask` makes it.

    mask_mod: the function; shape: (B, H, Q, KV); mask: the whole mask, which is kept instead of
    PyTorch's lists of blocks.

    >>> create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 256, 256)
    BlockMask(shape=(1, 1, 256, 256), sparsity=25.00%)
    """

    def __init__(self, mask_mod: Callable, mask: Tensor, BLOCK_SIZE: tuple[int, int]) -> None:
        self.mask_mod, self.mask, self.BLOCK_SIZE = mask_mod, mask, BLOCK_SIZE

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, Q, KV)."""
        return tuple(self.mask.shape)

    def to(self, device: Any) -> BlockMask:
        """The mask on a device: itself."""
        self.mask.to(device)
        return self

    def sparsity(self) -> float:
        """The percentage of blocks in which nothing is let through."""
        q, kv = self.BLOCK_SIZE
        some = torch.nn.functional.max_pool2d(
            self.mask.float(), (q, kv), ceil_mode=True
        )
        return 100 * (1 - some.mean().item())

    def to_dense(self) -> Tensor:
        """1 for each block of which something is let through, (B, H, blocks of Q, blocks of KV)."""
        return torch.nn.functional.max_pool2d(
            self.mask.float(), self.BLOCK_SIZE, ceil_mode=True
        ).int()

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(
    mask_mod: Callable,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
    _compile: bool = False,
) -> BlockMask:
    """A mask for `flex_attention`: mask_mod(b, h, q, kv) tells whether a query sees a key.

    B, H: None or 1 if the mask is the same for all batches or heads. BLOCK_SIZE matters for
    `sparsity` only.
    """
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    return BlockMask(mask_mod, create_mask(mask_mod, B, H, Q_LEN, KV_LEN), size)


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: dict | None = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Tensor | tuple[Tensor, Any]:
    """softmax(score_mod(query key^T scale)) value, where `block_mask` lets through.

    query: (B, Hq, L, E), key: (B, Hkv, S, E), value: (B, Hkv, S, Ev); Hq is a multiple of Hkv with
    `enable_gqa`, else equal. score_mod(score, b, h, q, kv) gives the changed score. Queries that see
    nothing give zeros. With `return_lse`, also the logarithms of the softmax's sums, (B, Hq, L);
    with `return_aux` an AuxOutput. Raises ValueError for other shapes.

    >>> q = torch.ones(1, 1, 2, 4)
    >>> causal = create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 2, 2)
    >>> flex_attention(q, q, torch.tensor([[[[1.], [3.]]]]), block_mask=causal)
    tensor([[[[1.],
              [2.]]]])
    """
    if query.dim() != 4 or key.dim() != 4 or value.dim() != 4:
        raise ValueError("flex_attention: query, key and value must have 4 dimensions, but got "
                         f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}")
    groups, rest = divmod(query.shape[1], key.shape[1])
    if rest or groups != 1 and not enable_gqa:
        raise ValueError(
            f"flex_attention: {query.shape[1]} heads of the query and {key.shape[1]} of the key; "
            "with enable_gqa=True the first must be a multiple of the second, else they are equal"
        )
    if groups != 1:
        key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query @ key.transpose(-1, -2)) * scale
    if score_mod is not None:
        wide = scores.float() if scores.dtype.is_half else scores
        scores = _everywhere(score_mod, tuple(scores.shape), wide).to(wide.dtype)
    if block_mask is not None:
        q, kv = scores.shape[-2:]
        mask = block_mask.mask[:, :, :q, :kv]
        scores = scores.masked_fill(~mask, -math.inf)
    sums = scores.logsumexp(-1)
    weights = torch.exp(scores - sums.masked_fill(sums == -math.inf, 0)[..., None])
    out = weights.to(value.dtype) @ value
    if return_aux is not None:
        return out, AuxOutput(sums if return_aux.lse else None,
                              scores.amax(-1) if return_aux.max_scores else None)
    return (out, sums) if return_lse else out
