"""Table lookup: embedding and embedding_bag, with gradients that add up rows by sorting.

The gradient of a lookup sums the cotangent's rows that belong to one row of the table. `add_rows`
(indexing.py) does so with a stable sort and one `reduceat`.
"""

from __future__ import annotations

import numpy as np

from ..trace import array, no_grad
from ..trace.dtypes import int32, int64, type_name
from ..trace.meta import Meta, meta
from ..trace.operator import IntTensor, Tensor, function, op
from .indexing import add_rows
from .values import bounded

MODES = ("sum", "mean", "max")


def indices_dtype(name: str, m: Meta) -> None:
    """RuntimeError for indices that are not int64 or int32."""
    if m.dtype is not int64 and m.dtype is not int32:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got torch.{type_name(m.dtype)}Tensor instead (while checking arguments "
            f"for {name})"
        )


def embedding_rule(weight: Meta, indices: Meta, padding_idx, by_frequency, sparse) -> Meta:
    """The indices' shape followed by the width of the table."""
    if weight.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, but has shape {list(weight.shape)}")
    indices_dtype("embedding", indices)
    return meta((*indices.shape, weight.shape[1]), weight.dtype)


def check_rows(indices, n: int):
    """The indices; IndexError if one is negative or beyond n."""
    return bounded(indices, n, lambda bad: IndexError("index out of range in self"))


@op(
    embedding_rule,
    compute="storage",
    api="",
    gradient={
        "weight": lambda g, indices, padding_idx, by_frequency, sparse, weight_meta: (
            _rows_gradient(g, indices, weight_meta.shape, padding_idx, by_frequency) if sparse else
            _embedding_backward(g, indices, weight_meta.shape[0], padding_idx, by_frequency)
        )
    },
)
def _embedding(weight: Tensor, indices: IntTensor, padding_idx, by_frequency, sparse=False):
    """The rows `indices` of `weight`."""
    return np.take(weight, check_rows(indices, weight.shape[0]), axis=0)


def _rows_gradient(g, indices, shape, padding_idx, by_frequency):
    """The gradient of a table as a sparse tensor: an entry (a row) for each row that was read."""
    from .sparse_tensor import coo

    if by_frequency:
        raise RuntimeError(
            "embedding_backward: scale_grad_by_freq not supported with sparse gradients"
        )
    flat, rows = indices.reshape(-1), g.reshape(-1, shape[1])
    if padding_idx >= 0:
        from ..trace import wrap

        kept = wrap(np.flatnonzero(array(flat) != padding_idx))
        flat, rows = flat.index_select(0, kept), rows.index_select(0, kept)
    return coo(flat.to(int64).reshape(1, -1), rows, shape)


def _embedding_backward_grad(g, indices, padding_idx, by_frequency):
    """The lookup again, without the rows that the gradient leaves out."""
    read = _embedding(g, indices, padding_idx, False)
    if by_frequency:
        read = read / _frequencies(indices, read._s.m.dtype).unsqueeze(-1)
    if padding_idx >= 0:
        read = read.masked_fill((indices == padding_idx).unsqueeze(-1), 0)
    return read


@op(
    lambda grad, indices, rows, padding_idx, by_frequency: meta((rows, grad.shape[-1]), grad.dtype),
    api="",
    gradient={"grad": _embedding_backward_grad},
)
def _embedding_backward(grad: Tensor, indices: IntTensor, rows, padding_idx, by_frequency):
    """The table's gradient: row r is the sum of `grad` where `indices == r`, zero for padding."""
    ids = check_rows(indices.reshape(-1), rows)
    out = add_rows(rows, ids, grad.reshape(ids.size, grad.shape[-1]))
    if by_frequency:
        count = np.bincount(ids, minlength=rows)
        out /= np.maximum(count, 1)[:, None].astype(out.dtype)
    if padding_idx >= 0:
        out[padding_idx] = 0
    return out


@op(
    lambda indices, dtype: meta(tuple(indices.shape), dtype),
    compute="storage",
    api="",
)
def _frequencies(indices: IntTensor, dtype):
    """How often each element of `indices` occurs in it."""
    return np.bincount(indices.reshape(-1))[indices] if indices.size else np.zeros(indices.shape)


def wrap_padding(padding_idx, rows: int) -> int:
    """`padding_idx` counted from the front, -1 for none."""
    if padding_idx is None:
        return -1
    if not -rows <= padding_idx < rows:
        raise AssertionError(
            f"Padding_idx must be within num_embeddings, got {padding_idx} for {rows} rows"
        )
    return padding_idx % rows


def renormalize(weight, indices, max_norm: float, norm_type: float) -> None:
    """Scale the rows of `weight` that are looked up down to at most `max_norm`, in place."""
    used = np.unique(array(indices))
    with no_grad():
        check_rows(used, weight.shape[0])
        rows = array(weight.detach())[used].astype(np.float64)
        norms = np.linalg.norm(rows, norm_type, axis=1)
        large = norms > max_norm
        if large.any():
            scaled = rows[large] * (max_norm / (norms[large] + 1e-7))[:, None]
            from ..trace import wrap

            weight.detach()[wrap(used[large])] = wrap(scaled.astype(weight.dtype.np))


@function(api="nn.functional")
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
):
    """The rows of `weight` (rows, width) that `input` names: `out[..., :] = weight[input[...]]`.

    input: int64 or int32 of any shape. padding_idx: a row that gets no gradient. max_norm: the rows
    looked up are first scaled, in place, to at most this `norm_type`-norm. scale_grad_by_freq: the
    gradient of a row is divided by how often it was looked up. sparse: the gradient of `weight` is a
    sparse tensor of the rows that were read. Raises IndexError for indices out of range.

    >>> F.embedding(torch.tensor([[2, 0]]), torch.tensor([[1.0], [2.0], [3.0]]))
    tensor([[[3.],
             [1.]]])
    """
    if weight.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, but has shape {list(weight.shape)}")
    padding = -1 if padding_idx is None else wrap_padding(padding_idx, weight.shape[0])
    if max_norm is not None:
        indices_dtype("embedding", input._s.m)
        renormalize(weight, input, max_norm, norm_type)
    return _embedding(weight, input, padding, bool(scale_grad_by_freq), bool(sparse))


# ---------------------------------------------------------------- bags


def bag_rule(weight: Meta, indices: Meta, offsets: Meta, per_sample_weights, mode, padding_idx,
             by_frequency, include_last, sparse) -> Meta:
    """One row for each bag."""
    if weight.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, but has shape {list(weight.shape)}")
    indices_dtype("embedding_bag", indices)
    indices_dtype("embedding_bag", offsets)
    bags = offsets.shape[0] - (1 if include_last else 0)
    return meta((max(bags, 0), weight.shape[1]), weight.dtype)


def bags_of(indices, offsets, padding_idx, include_last):
    """(bag of each index, number of indices that count of each bag, whether each index counts)."""
    n = indices.size
    if offsets.size:
        if offsets[0] != 0:
            raise RuntimeError(
                "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start "
                f"from position 0. However, got {offsets[0]}"
            )
        if offsets[-1] > n:
            raise RuntimeError(
                "offsets[-1] can not be greater than input's length "
                f"{n} but got offsets[-1] of {offsets[-1]}"
            )
    bags = offsets.size - (1 if include_last else 0)
    starts = offsets[:bags].astype(np.int64)
    ends = np.append(starts[1:], offsets[-1] if include_last and offsets.size else n)
    bag = np.repeat(np.arange(bags), ends - starts)
    counted = indices[: bag.size] != padding_idx
    return bag, np.bincount(bag[counted], minlength=bags), counted


def check_bag_rows(indices, n) -> None:
    """RuntimeError for an index out of range."""
    bad = (indices < 0) | (indices >= n)
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        raise RuntimeError(
            f"Index {k} of input takes value {indices[k]} which is not in the valid range [0, {n})"
        )


def _bag_gradient(g, out, weight, indices, offsets, per_sample_weights, mode, padding_idx,
                  by_frequency, include_last, sparse, need):
    rows = weight._s.m.shape[0]
    spread = _bag_spread(g, indices, offsets, mode, padding_idx, include_last)
    gs = None
    if mode == "max":
        gi = _bag_max_backward(g, weight, indices, offsets, padding_idx, include_last)
    else:
        if need[1]:
            gs = (spread * _embedding(weight, indices, -1, False)).sum(1)
        if per_sample_weights is not None:
            spread = spread * per_sample_weights.unsqueeze(1)
        if sparse:
            gi = _rows_gradient(spread, indices, weight._s.m.shape, padding_idx, by_frequency)
        else:
            gi = _embedding_backward(spread, indices, rows, -1, by_frequency)
    return gi if need[0] else None, gs


@op(
    bag_rule,
    api="",
    gradient={("weight", "per_sample_weights"): _bag_gradient},
)
def _embedding_bag(weight: Tensor, indices: IntTensor, offsets: IntTensor,
                   per_sample_weights: Tensor | None, mode, padding_idx, by_frequency, include_last,
                   sparse):
    """The sum, mean or maximum of the rows in each bag; zeros for an empty one."""
    check_bag_rows(indices, weight.shape[0])
    bag, count, counted = bags_of(indices, offsets, padding_idx, include_last)
    bag, ids = bag[counted], indices[: counted.size][counted]
    if not ids.size:
        return np.zeros((count.size, weight.shape[1]), weight.dtype)
    rows = np.take(weight, ids, axis=0)
    if per_sample_weights is not None:
        rows *= per_sample_weights[: counted.size][counted][:, None]
    filled = np.flatnonzero(count)
    starts = np.concatenate(([0], np.cumsum(count[filled])[:-1]))
    out = np.zeros((count.size, weight.shape[1]), weight.dtype)
    reduce = np.maximum if mode == "max" else np.add
    out[filled] = reduce.reduceat(rows, starts, axis=0)
    if mode == "mean":
        out /= np.maximum(count, 1)[:, None].astype(out.dtype)
    return out


@op(
    lambda grad, indices, offsets, mode, padding_idx, include_last: meta(
        (indices.shape[0], grad.shape[1]), grad.dtype
    ),
    api="",
    gradient={
        "grad": lambda g, indices, offsets, mode, padding_idx, include_last: _bag_collect(
            g, indices, offsets, mode, padding_idx, include_last
        )
    },
)
def _bag_spread(grad: Tensor, indices: IntTensor, offsets: IntTensor, mode, padding_idx,
                include_last):
    """Each index's share of its bag's row of `grad`."""
    bag, count, counted = bags_of(indices, offsets, padding_idx, include_last)
    out = np.zeros((indices.size, grad.shape[1]), grad.dtype)
    at = np.flatnonzero(counted)
    if mode == "mean":
        grad = grad / np.maximum(count, 1)[:, None].astype(grad.dtype)
    out[at] = grad[bag[at]]
    return out


@op(
    lambda rows, indices, offsets, mode, padding_idx, include_last: meta(
        (offsets.shape[0] - (1 if include_last else 0), rows.shape[1]), rows.dtype
    ),
    api="",
    gradient={
        "rows": lambda g, indices, offsets, mode, padding_idx, include_last: _bag_spread(
            g, indices, offsets, mode, padding_idx, include_last
        )
    },
)
def _bag_collect(rows: Tensor, indices: IntTensor, offsets: IntTensor, mode, padding_idx,
                 include_last):
    """The sum or mean over each bag of rows that are given one for each index."""
    bag, count, counted = bags_of(indices, offsets, padding_idx, include_last)
    at = np.flatnonzero(counted)
    out = add_rows(count.size, bag[at], rows[at])
    if mode == "mean":
        out /= np.maximum(count, 1)[:, None].astype(out.dtype)
    return out


@op(
    lambda grad, weight, indices, offsets, padding_idx, include_last: meta(
        tuple(weight.shape), grad.dtype
    ),
    api="",
)
def _bag_max_backward(grad: Tensor, weight: Tensor, indices: IntTensor, offsets: IntTensor,
                      padding_idx, include_last):
    """The table's gradient of a maximum: each element goes to the first row that attains it."""
    bag, count, counted = bags_of(indices, offsets, padding_idx, include_last)
    bag, ids = bag[counted], indices[: counted.size][counted]
    out = np.zeros(weight.shape, grad.dtype)
    start = 0
    columns = np.arange(weight.shape[1])
    for b, n in enumerate(count.tolist()):
        if n:
            own = ids[start : start + n]
            best = own[np.argmax(weight[own], axis=0)]
            out[best, columns] += grad[b]
            start += n
    return out


@function(api="nn.functional")
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
):
    """The sum, mean or maximum of the rows of `weight` in each bag: (bags, width).

    input: int64 or int32, (bags, n), or flat with `offsets` where each bag starts. per_sample_weights:
    factors of the input's shape, for mode "sum". include_last_offset: the last offset ends the last
    bag. padding_idx: an index that does not count. Other arguments as for `embedding`.
    Raises ValueError and RuntimeError for shapes, offsets, modes and indices out of range.
    """
    if per_sample_weights is not None and input.shape != per_sample_weights.shape:
        raise ValueError(
            "embedding_bag: If per_sample_weights (shape "
            f"{list(per_sample_weights.shape)}) is not None, then it must have the same shape as "
            f"the input (shape {list(input.shape)})"
        )
    if weight.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}")
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                "of fixed length sequences. However, found offsets of type "
                f"{type(offsets)}"
            )
        from ..trace import wrap

        bags, n = input.shape
        offsets = wrap(np.arange(bags, dtype=input.dtype.np) * n)
        if include_last_offset:
            offsets = wrap(np.arange(bags + 1, dtype=input.dtype.np) * n)
        input = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    elif input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    if mode not in MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
        )
    if padding_idx is not None:
        padding_idx = wrap_padding(padding_idx, weight.shape[0])
    if max_norm is not None:
        renormalize(weight, input, max_norm, norm_type)
    return _embedding_bag(
        weight, input, offsets, per_sample_weights, mode,
        -1 if padding_idx is None else padding_idx, bool(scale_grad_by_freq),
        bool(include_last_offset), bool(sparse),
    )
