"""PyTorch's `native_` functions: layers that also give what they computed on the way."""

from __future__ import annotations

import math

from ..trace.operator import Tensor, function
from . import rules
from .dropout import dropout
from .grid_sampling import grid_sample
from .normalization import batch_norm, group_norm, layer_norm
from .resampling import channel_shuffle
from .shape import cat, pad

INTERPOLATION = ("bilinear", "nearest", "bicubic")
PADDING = ("zeros", "border", "reflection")


def _moments(x, dims, eps):
    """(mean, 1 / deviation) over dims, which stay with size 1; in float32 for half types."""
    wide = x.float() if x.dtype.is_half else x
    mean = wide.mean(dims, True)
    rstd = ((wide - mean).square().mean(dims, True) + eps).rsqrt()
    return mean.to(x.dtype), rstd.to(x.dtype)


@function(api="torch")
def native_layer_norm(input: Tensor, normalized_shape, weight: Tensor | None, bias: Tensor | None,
                      eps: float):
    """(`layer_norm`, the means, 1 / the deviations)."""
    made = layer_norm(input, normalized_shape, weight, bias, eps)
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    return made, *_moments(input.detach(), dims, eps)


@function(api="torch")
def native_group_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int,
                      C: int, HxW: int, group: int, eps: float):
    """(`group_norm`, the means (N, group), 1 / the deviations)."""
    made = group_norm(input.reshape(N, C, HxW), group, weight, bias, eps).reshape(input.shape)
    mean, rstd = _moments(input.reshape(N, group, C // group * HxW), 2, eps)
    return made, mean.squeeze(2), rstd.squeeze(2)


@function(api="torch", out=True)
def native_batch_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None,
                      running_mean: Tensor | None, running_var: Tensor | None, training: bool,
                      momentum: float, eps: float):
    """(`batch_norm`, the batch's means, 1 / its deviations); both empty if not training."""
    made = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return made, input.new_empty(0), input.new_empty(0)
    dims = tuple(d for d in range(input.ndim) if d != 1)
    mean, rstd = _moments(input.detach(), dims, eps)
    return made, mean.reshape(-1), rstd.reshape(-1)


@function(api="torch", out=True)
def _native_batch_norm_legit(input: Tensor, weight, bias, running_mean, running_var=None,
                             training=None, momentum=None, eps=None):
    """`native_batch_norm`; without running statistics these two arguments are left out."""
    if eps is None:
        running_mean, running_var, training, momentum, eps = (
            None, None, running_mean, running_var, training)
    return native_batch_norm(
        input, weight, bias, running_mean, running_var, training, momentum, eps
    )


@function(api="torch")
def native_dropout(input: Tensor, p: float, train: bool | None):
    """(`dropout`, the mask of what was kept)."""
    kept = dropout(input.new_ones(input.shape), p, bool(train))
    return input * kept, kept != 0


@function(api="torch nn.functional")
def native_channel_shuffle(input: Tensor, groups: int):
    """`channel_shuffle`."""
    return channel_shuffle(input, groups)


def _grid_sampler(rank):
    def sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                align_corners: bool):
        if rank and input.ndim != rank + 2:
            raise RuntimeError(
                f"grid_sampler_{rank}d(): expected {rank + 2}D input and grid with the same number "
                f"of dimensions, but got {list(input.shape)} and {list(grid.shape)}"
            )
        return grid_sample(
            input, grid, INTERPOLATION[interpolation_mode], PADDING[padding_mode], align_corners
        )

    sampler.__name__ = f"grid_sampler_{rank}d" if rank else "grid_sampler"
    sampler.__doc__ = "`grid_sample` with numbers for its modes, in their documented order."
    function(api="torch")(sampler)


for _rank in (0, 2, 3):
    _grid_sampler(_rank)


@function(api="torch", out=True)
def _chunk_cat(tensors, dim: int, num_chunks: int):
    """Each tensor padded with zeros along `dim`, cut in `num_chunks` and flattened; chunks side by side.

    The result has `dim + 1` dims. RuntimeError for what PyTorch refuses: see the messages.
    """
    if not len(tensors):
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    if num_chunks < 1:
        raise RuntimeError(f"_chunk_cat expects positive num_chunks, got {num_chunks}")
    shapes = [list(t.shape) for t in tensors]
    if len({t.ndim for t in tensors}) == 1:
        dim = rules.wrap_dim(dim, tensors[0].ndim)
    elif dim < 0:
        raise RuntimeError(
            "_chunk_cat expects non-negative dim when input tensors have different ndims, "
            f"got dim {dim} for shapes {shapes}"
        )
    for t in tensors:
        if not t.numel():
            raise RuntimeError(f"_chunk_cat expects non-empty tensor, got shapes {shapes}")
        if not 0 <= dim < t.ndim:
            raise RuntimeError(
                f"_chunk_cat expects dim < ndim for all input tensors, got dim {dim} for {shapes}"
            )
        if t.shape[:dim] != tensors[0].shape[:dim]:
            raise RuntimeError(
                "_chunk_cat expects same sizes of 0,...,dim-1 dimensions for all tensors, got "
                f"{shapes} with dim {dim}"
            )
    parts = []
    for t in tensors:
        rest = t.ndim - dim - 1
        t = pad(t, (0, 0) * rest + (0, -t.shape[dim] % num_chunks))
        parts.append(t.reshape(*t.shape[:dim], num_chunks, -1))
    return cat(parts, dim + 1)


@function(api="torch")
def _unsafe_masked_index(input: Tensor, mask: Tensor, indices, fill):
    """`input[indices]` with `fill` where the mask is False (indices there may be out of range)."""
    return input[_inside(input, indices)].masked_fill(~mask, fill)


@function(api="torch")
def _unsafe_masked_index_put_accumulate(input: Tensor, mask: Tensor, indices, values: Tensor):
    """A copy of `input` with `values` added at `indices` where the mask is True."""
    if input.ndim == 0:
        return input.clone()
    return input.index_put(_inside(input, indices), values.masked_fill(~mask, 0), accumulate=True)


def _inside(input, indices):
    """Indices brought into range; None stays (it stands for all of a dim)."""
    return tuple(
        slice(None) if i is None else i.clamp(-n, n - 1)
        for i, n in zip(indices, input.shape, strict=False)
    )


# ---------------------------------------------------------------- segments

REDUCTIONS = {  # PyTorch's two names of each, and the value of an empty segment
    "sum": ("sum", 0.0), "mean": ("sum", math.nan), "prod": ("prod", 1.0),
    "max": ("amax", -math.inf), "amax": ("amax", -math.inf),
    "min": ("amin", math.inf), "amin": ("amin", math.inf),
}


@function(api="torch", aliases=("_segment_reduce",))
def segment_reduce(data: Tensor, reduce: str, *, lengths: Tensor | None = None,
                   indices: Tensor | None = None, offsets: Tensor | None = None, dim: int = 0,
                   unsafe: bool = False, initial: float | None = None):
    """Each segment along `dim` reduced to one element.

    The segments' lengths, or the offsets where they begin and the last ends, have the shape of
    data's dims before `dim` and one more. initial: takes part in each segment, and is the result
    of an empty one.
    """
    if reduce not in REDUCTIONS:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    if (offsets if lengths is None else lengths).ndim != dim + 1 or data.ndim <= dim:
        raise RuntimeError(
            f"segment_reduce(): Expected axis to be the last dimension of lengths or offsets, but got {dim}"
        )
    if lengths is None:
        lengths = offsets[..., 1:] - offsets[..., :-1]
    n = data.shape[dim]
    lead, rest = tuple(data.shape[:dim]), tuple(data.shape[dim + 1 :])
    count = lengths.shape[-1]
    ends = lengths.cumsum(-1)
    if not unsafe and offsets is None and bool((ends[..., -1:] != n).any()):
        raise RuntimeError(
            "segment_reduce(): Expected all rows of lengths along axis to sum to "
            f"data.size(lengths.dim()-1) = {n} when !unsafe."
        )
    from .creation import arange

    segment = (arange(n).unsqueeze(-1) >= ends.unsqueeze(-2)).sum(-1)  # ends that lie before
    how, empty = REDUCTIONS[reduce]
    start = empty if initial is None else initial
    mean = reduce == "mean"
    start = 0.0 if mean and initial is None else start
    made = data.new_full((*lead, count + 1, *rest), start)  # (the last: for what is in none)
    at = segment.reshape((*segment.shape, *(1,) * len(rest))).expand(data.shape)
    made = made.scatter_reduce(dim, at, data, how).narrow(dim, 0, count).contiguous()
    if not mean:
        return made
    sizes = lengths.reshape((*lengths.shape, *(1,) * len(rest)))
    if initial is None:
        return made / sizes
    return made / sizes.clamp(min=1)
