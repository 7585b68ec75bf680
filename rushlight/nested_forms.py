"""What functions that are not elementwise do with nested tensors: a form for each, under the function's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import rushlight as torch

from .nested_tensor import (
    FORMS,
    NestedTensor,
    each,
    inner_dim,
    jagged,
    like,
    operand_of,
    packed,
    padded,
    strided,
    without_holes,
)
from .ops.rules import wrap_dim
from .ops.sparse_tensor import constant
from .trace.dtypes import FLOAT, iinfo
from .trace.tensor import Tensor


def form(*names: str) -> Callable:
    """Register the decorated function as what functions of these names do."""

    def register(fn: Callable) -> Callable:
        FORMS.update(dict.fromkeys(names, fn))
        return fn

    return register


def refuse(name: str, why: str) -> RuntimeError:
    """The error for what a function cannot do with components of different sizes."""
    return RuntimeError(f"{name}(): {why} is not supported for nested tensors: use unbind() or to_padded_tensor()")


def mapped(t: NestedTensor, func: Callable, dim: int, *args: Any, idx: int | None = None, **kwargs: Any) -> Any:
    """`func` with `dim` of the entries (of each component, if strided), its results in the places of `t`."""
    if t._ragged is None:
        made = [func(c, *args, dim=dim, **kwargs) for c in t.unbind()]
        several = isinstance(made[0], (tuple, list))
        return tuple(strided(parts) for parts in zip(*made, strict=True)) if several else strided(made)
    made = func(t._entries, *args, dim=dim, **kwargs)
    if isinstance(made, (tuple, list)):
        parts = [like(t, m, idx) for m in made]
        return type(made)(*parts) if hasattr(made, "_fields") else tuple(parts)
    return like(t, made, idx)


# ---------------------------------------------------------------- components

@form("unbind")
def _unbind(func, input, dim=0):
    if dim:
        raise refuse("unbind", "any other dim than 0")
    entries, size = input._entries, input._ragged
    if size is None:
        parts = entries.split([s.numel() for s in input._shapes]) if input._shapes else ()
        return tuple([p.view(s) for p, s in zip(parts, input._shapes, strict=True)])
    at = input._ragged_idx - 1
    if (size.starts + size.sizes > entries.shape[at]).any() or (size.sizes < 0).any():
        raise RuntimeError(f"unbind(): offsets and lengths do not match the values' dimension {at} of size {entries.shape[at]}")
    if size.lengths is None and size.starts[:1].sum() == 0 and size.sizes.sum() == entries.shape[at]:
        return tuple(entries.split(size.sizes.tolist(), at))
    return tuple([entries.narrow(at, int(i), int(n)) for i, n in zip(size.starts, size.sizes, strict=True)])


@form("contiguous")
def _contiguous(func, input, *args, **kwargs):
    if input._ragged is not None and input._ragged.lengths is not None:
        return jagged(input.unbind())
    return like(input, input._entries.contiguous())


@form("is_same_size")
def _is_same_size(func, input, other):
    return [c.shape for c in input.unbind()] == [c.shape for c in other.unbind()]


@form("equal")
def _equal(func, input, other):
    return _is_same_size(None, input, other) and all(func(a, b) for a, b in zip(input.unbind(), other.unbind(), strict=True))


# ---------------------------------------------------------------- reductions

NEUTRAL = {"sum": 0, "mean": 0, "prod": 1, "any": False, "all": True}  # of the others, the dtype's least or largest number
HIGHEST = ("min", "amin", "argmin")


def _neutral(name: str, dtype: Any) -> Any:
    if name in NEUTRAL:
        return NEUTRAL[name]
    if dtype.category < FLOAT:
        limits = iinfo(dtype)
        return limits.max if name in HIGHEST else limits.min
    return float("inf") if name in HIGHEST else -float("inf")


@form("sum", "mean", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "any", "all")
def _reduce(func, input, dim=None, keepdim=False, **kwargs):
    t, name = input, func.__name__
    if isinstance(dim, Tensor):
        raise NotImplementedError(f"{name}(): use maximum() or minimum() for two nested tensors")
    if dim is None or dim == ():
        return func(t.contiguous()._entries, **kwargs)
    dims = [wrap_dim(d, t.ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    r, own = t._ragged_idx, [d - 1 for d in dims if d]
    if t._ragged is None or r not in dims:
        if 0 in dims:
            raise refuse(name, "reducing along the batch dimension but not the ragged dimension")
        at = tuple(own) if isinstance(dim, (tuple, list)) else own[0]
        idx = r if keepdim else r - sum(d < r for d in dims)
        return mapped(t, func, at, keepdim=keepdim, idx=idx, **kwargs)
    if t._ragged.lengths is not None:
        raise RuntimeError(f"{name}(): reducing across the ragged dimension is not supported for nested tensors with holes: call "
                           "contiguous() first")
    if 0 in dims:
        made = func(t._entries, dim=tuple(own), keepdim=keepdim, **kwargs)
        return made.unsqueeze(0) if keepdim else made
    if len(dims) > 1:
        raise refuse(name, "reducing along a ragged and non-batch dimension")
    if name != "mean":
        return func(padded(t, _neutral(name, t.dtype)), dim=dim, keepdim=keepdim, **kwargs)
    total = torch.sum(padded(t, 0), dim=r, keepdim=keepdim, **kwargs)
    return total / constant(t._ragged.sizes).reshape(-1, *[1] * (total.ndim - 1))


@form("softmax", "log_softmax")
def _softmax(func, input, dim=None, _stacklevel=3, dtype=None):
    t, at = input, wrap_dim(dim, input.ndim)
    if at == 0:
        raise refuse(func.__name__, "reducing across the batch dimension")
    if t._ragged is None or at != t._ragged_idx:
        return mapped(t, func, at - 1, dtype=dtype)
    without_holes(t, func.__name__)
    return like(t, packed(t, func(padded(t, -float("inf")), dim=at, dtype=dtype)))


# ---------------------------------------------------------------- layers: functions of the last dimensions

def _along_last(t: NestedTensor, func: Callable, n: int, *args: Any, **kwargs: Any) -> NestedTensor:
    """`func` of the entries, which looks at the last `n` dimensions only."""
    if t._ragged is None:
        return each(t, lambda c: func(c, *args, **kwargs))
    if t._ragged_idx >= t.ndim - n:
        raise refuse(func.__name__, "an operation across the ragged dimension")
    return like(t, func(t._entries, *args, **kwargs))


@form("linear")
def _linear(func, input, weight, bias=None):
    return _along_last(input, func, 1, weight, bias)


@form("layer_norm", "rms_norm")
def _layer_norm(func, input, normalized_shape, *args, **kwargs):
    if input.ndim <= 2:
        raise refuse(func.__name__, "normalizing tensors of 2 or fewer dimensions")
    n = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    return _along_last(input, func, n, normalized_shape, *args, **kwargs)


@form("embedding")
def _embedding(func, input, weight, *args, **kwargs):
    if not isinstance(input, NestedTensor):
        raise NotImplementedError("embedding(): the weights cannot be a nested tensor")
    return _along_last(input, func, 0, weight, *args, **kwargs)


@form("matmul", "bmm")
def _matmul(func, input, other):
    a, b = input, other
    t = a if isinstance(a, NestedTensor) else b
    both = isinstance(a, NestedTensor) and isinstance(b, NestedTensor)
    if func.__name__ == "bmm" and (a.ndim, b.ndim) != (3, 3):
        raise ValueError("bmm(): both tensors must have 3 dimensions")
    wrong = RuntimeError(f"{func.__name__}(): not supported between a {'nested' if t is a else 'dense'} tensor with {a.ndim} "
                         f"dimensions and a {'nested' if t is b or both else 'dense'} one with {b.ndim}: use unbind()")
    if t._ragged is None:
        if not both and (t is b or b.ndim != 2) or both and b._ragged is not None or t.size(0) != (b.size(0) if both else t.size(0)):
            raise wrong
        others = b.unbind() if both else [b] * len(t._shapes)
        return strided([torch.matmul(x, y) for x, y in zip(a.unbind(), others, strict=True)])
    r, n = t._ragged_idx, t.ndim
    if both:
        if b._ragged is t._ragged and (n, b.ndim, r, b._ragged_idx) == (3, 3, 2, 1):
            return torch.stack([x @ y for x, y in zip(a.unbind(), b.unbind(), strict=True)])
        if b._ragged is t._ragged and min(n, b.ndim) > 3 and b._ragged_idx == r < n - 2:
            return like(t, torch.matmul(a._entries, b._entries))
        raise wrong
    dense = b if t is a else a
    if (r == n - 1 if t is a else r == n - 2 or r < 2):  # the ragged dimension is the one that is summed over
        raise wrong
    if dense.ndim == 2:
        return like(t, torch.matmul(t._entries, dense) if t is a else torch.matmul(dense, t._entries))
    if dense.ndim != n or n < 3:
        raise wrong
    without_holes(t, func.__name__)
    return like(t, packed(t, torch.matmul(padded(a, 0), b) if t is a else torch.matmul(a, padded(b, 0))))


@form("scaled_dot_product_attention")
def _attention(func, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **kwargs):
    name, given = func.__name__, (query, key, value)
    if not all(isinstance(x, NestedTensor) for x in given):
        raise RuntimeError(f"{name}(): query, key and value must all be nested, or none: nest them with the same layout")
    if attn_mask is not None:
        raise NotImplementedError(f"{name}(): attn_mask is not implemented for nested tensors: use to_padded_tensor()")
    if query._ragged is None:
        parts = zip(*[x.unbind() for x in given], strict=True)
        return strided([func(q, k, v, None, dropout_p, is_causal, **kwargs) for q, k, v in parts])
    if any(x._ragged is None or x._ragged_idx != x.ndim - 2 for x in given) or key._ragged is not value._ragged:
        raise RuntimeError(f"{name}(): expects jagged tensors of size (batch, heads, ragged, features), key and value of the same "
                           "offsets: transpose(1, 2) them")
    for x in given:
        without_holes(x, name)
    q, k, v = [padded(x, 0) for x in given]
    _, there, _ = key._ragged.padding(k.shape[-2])
    mask = there.reshape(len(there), *[1] * (k.ndim - 2), -1)
    if is_causal:
        mask = mask & np.tri(q.shape[-2], k.shape[-2], dtype=bool)
    whole = mask.all() or None
    made = func(q, k, v, None if whole else constant(mask), dropout_p, False, **kwargs)
    return like(query, packed(query, made))


# ---------------------------------------------------------------- shapes

@form("transpose")
def _transpose(func, input, dim0, dim1):
    dims = list(range(input.ndim))
    i, j = wrap_dim(dim0, input.ndim), wrap_dim(dim1, input.ndim)
    dims[i], dims[j] = j, i
    return _permute(func, input, dims)


@form("permute")
def _permute(func, input, *dims):
    dims = [wrap_dim(d, input.ndim) for d in (dims[0] if isinstance(dims[0], (tuple, list)) else dims)]
    if dims[0] != 0 or sorted(dims) != list(range(input.ndim)):
        kind = ValueError if input._ragged is not None else RuntimeError
        raise kind(f"{func.__name__}(): the batch dimension of nested tensors stays the first, and each is there once, not {dims}")
    inner = [d - 1 for d in dims[1:]]
    if input._ragged is None:
        return each(input, lambda c: c.permute(inner))
    return like(input, input._entries.permute(inner), dims.index(input._ragged_idx))


@form("mT")
def _mt(func, input):
    return _transpose(func, input, -2, -1)


@form("flatten")
def _flatten(func, input, start_dim=0, end_dim=-1):
    first, last = [inner_dim(input, d, "flatten") for d in (start_dim, end_dim)]
    r = input._ragged_idx - 1
    if input._ragged is None:
        return each(input, lambda c: c.flatten(first, last))
    if first < r < last:
        raise refuse("flatten", "a range with the ragged dim")
    return like(input, input._entries.flatten(first, last), r + 1 if r < first else r + 1 - (last - first))


@form("unflatten")
def _unflatten(func, input, dim, sizes):
    at = inner_dim(input, dim, "unflatten")
    if input._ragged is None:
        return each(input, lambda c: c.unflatten(at, sizes))
    r = input._ragged_idx
    return like(input, input._entries.unflatten(at, sizes), r + len(sizes) - 1 if at < r - 1 else r)


@form("view", "reshape")
def _view(func, input, *shape):
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    elif len(shape) == 1 and not isinstance(shape[0], int):  # a dtype
        return like(input, func(input._entries, *shape))
    if input._ragged is None:
        if shape[0] != input.size(0):
            raise refuse(func.__name__, "another size of the batch")
        return each(input, lambda c: c.reshape(shape[1:]))
    r = input._ragged_idx
    known = list(input.shape)
    if shape == tuple(known):
        return input
    if r != 1 or len(shape) < 3 or shape[0] not in (known[0], -1) or shape[1] is not known[1] and shape[1] != -1:
        raise RuntimeError(f"{func.__name__}(): cannot view a nested tensor of size {tuple(known)} as {list(shape)}: its first two sizes "
                           "stay")
    return like(input, func(input._entries, (input._entries.shape[0], *shape[2:])))


@form("expand")
def _expand(func, input, *sizes):
    sizes = tuple(sizes[0]) if isinstance(sizes[0], (tuple, list)) else sizes
    r = input._ragged_idx
    if input._ragged is None or len(sizes) != input.ndim or sizes[0] not in (input.size(0), -1) or sizes[r] not in (input._ragged, -1):
        raise refuse("expand", "another batch, ragged size or number of dimensions")
    return like(input, input._entries.expand(*sizes[1:r], -1, *sizes[r + 1 :]))


@form("unsqueeze")
def _unsqueeze(func, input, dim):
    at = inner_dim(input, dim, "unsqueeze", input.ndim + 1, True)
    if input._ragged is None:
        return each(input, lambda c: c.unsqueeze(at))
    r = input._ragged_idx
    return like(input, input._entries.unsqueeze(at), r + 1 if at < r else r)


@form("squeeze")
def _squeeze(func, input, dim):
    at = inner_dim(input, dim, "squeeze")
    if input._ragged is None:
        return each(input, lambda c: c.squeeze(at))
    made = input._entries.squeeze(at)
    gone = at < input._ragged_idx - 1 and made.ndim < input._entries.ndim
    return like(input, made, input._ragged_idx - gone)


@form("chunk")
def _chunk(func, input, chunks, dim=0):
    if wrap_dim(dim, input.ndim):
        return mapped(input, func, inner_dim(input, dim, "chunk"), chunks)
    parts, n = input.unbind(), -(-input.size(0) // chunks)
    build = strided if input._ragged is None else jagged
    return tuple(build(parts[i : i + n]) for i in range(0, len(parts), n))


@form("split", "split_with_sizes")
def _split(func, input, split_size, dim=0):
    return mapped(input, func, inner_dim(input, dim, func.__name__), split_size)


@form("narrow")
def _narrow(func, input, dim, start, length):
    if input._ragged is None and wrap_dim(dim, input.ndim) == 0:
        return strided(input.unbind()[start : start + length])
    if input._ragged is None:
        raise RuntimeError(f"narrow(): only dim=0 is supported for nested tensors of strided layout, not {dim}")
    return mapped(input, lambda x, dim: x.narrow(dim, start, length), inner_dim(input, dim, "narrow"))


@form("select")
def _select(func, input, dim, index):
    if wrap_dim(dim, input.ndim) == 0:
        return input.unbind()[index]
    without_holes(input, "select")
    at = inner_dim(input, dim, "select")
    return mapped(input, lambda x, dim: x.select(dim, index), at, idx=input._ragged_idx - (at < input._ragged_idx - 1))


@form("__getitem__")
def _getitem(func, input, index):
    index = index if isinstance(index, tuple) else (index,)
    if index and isinstance(index[0], int):
        return input.unbind()[index[0]][index[1:]]
    plain = index[:1] == (Ellipsis,) and all(isinstance(i, (int, slice)) for i in index[1:])
    after = input.ndim - 1 if input._ragged is None else input.ndim - 1 - input._ragged_idx
    if not plain or len(index) - 1 > after:
        raise refuse("slice", "an index that is neither [component, ...] nor [..., regular dims]")
    if input._ragged is None:
        return each(input, lambda c: c[index])
    return like(input, input._entries[index])


@form("cat", "concat", "concatenate")
def _cat(func, tensors, dim=0):
    t = next(x for x in tensors if isinstance(x, NestedTensor))
    if t._ragged is None and all(isinstance(x, NestedTensor) and x._ragged is None for x in tensors):
        if wrap_dim(dim, t.ndim) == 0:
            return strided([c for x in tensors for c in x.unbind()])
        at = inner_dim(t, dim, "cat")
        return strided([torch.cat(parts, at) for parts in zip(*[x.unbind() for x in tensors], strict=True)])
    at = inner_dim(t, dim, "cat")
    return like(t, func([operand_of(t, x) for x in tensors], at))
