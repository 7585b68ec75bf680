"""Where a sparse tensor's entries lie: coordinates, places in the dense tensor, order, compression.

Indices are looked at by NumPy; what is derived from them is remembered with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..trace.dtypes import bool_, int64, layout, sparse_coo, sparse_csc, sparse_csr
from ..trace.layouts import filled
from ..trace.tensor import Tensor
from .sparse_tensor import SparseTensor, constant, coo, host, like, make


def is_sparse(x: Any) -> bool:
    """Whether `x` is a tensor of one of the sparse layouts."""
    return x.__class__ is SparseTensor


def remembered(t: SparseTensor, key: Any, find: Callable) -> Any:
    """What `find()` derives from the indices of `t`, found once for all tensors that share them."""
    found = t._known.get(key)
    if found is None:
        found = t._known[key] = find()
    return found


def sparse_dims(t: SparseTensor) -> int:
    """Over how many leading dims the indices range."""
    return t._at[0].shape[0] if t._format is sparse_coo else 2


def coordinates(t: SparseTensor) -> Tensor:
    """The coordinates of the entries, (sparse dims, entries), in any layout."""

    def expanded():
        starts, plain = (host(i).astype(np.int64) for i in t._at)
        lines = np.repeat(np.arange(starts.size - 1), np.diff(starts))
        return constant(np.stack([lines, plain] if t._format is sparse_csr else [plain, lines]))

    return t._at[0] if t._format is sparse_coo else remembered(t, "coordinates", expanded)


def row(t: SparseTensor, dim: int) -> Tensor:
    """The coordinates of the entries in sparse dim `dim`."""
    return remembered(t, dim, lambda: constant(host(coordinates(t))[dim].copy()))


def numbered(index: np.ndarray, sizes) -> np.ndarray:
    """One number for each column of coordinates: its place in a dense array of `sizes`."""
    flat = np.zeros(index.shape[1], np.int64)
    for i, n in zip(index, sizes, strict=True):
        flat = flat * n + i
    return flat


def places(t: SparseTensor) -> Tensor:
    """Where the entries lie along the sparse dims taken as one.

    With one sparse dim, as an embedding's gradient has, the indices are not looked at.
    """
    n = sparse_dims(t)
    if n == 1:
        return t._at[0].reshape(-1)
    return remembered(
        t, "places", lambda: constant(numbered(host(coordinates(t)), t._sizes[:n])))


def flattened(t: SparseTensor) -> tuple:
    """The shape with the sparse dims as one."""
    n = sparse_dims(t)
    return (int(np.prod(t._sizes[:n], dtype=np.int64)), *t._sizes[n:])


def spread(entries: Tensor, index: Tensor, sizes: tuple) -> Tensor:
    """Entries added up at `index` along the first dim of a dense tensor of `sizes`."""
    if entries.dtype is bool_:
        return spread(entries.to(int64), index, sizes).to(bool_)
    return filled(sizes, 0, entries.dtype).index_add(0, index, entries)


def as_coo(t: SparseTensor) -> SparseTensor:
    """The tensor in COO; coalesced if its lines are sorted rows."""
    if t._format is sparse_coo:
        return t

    def found():
        index = coordinates(t)
        return (index,), bool((np.diff(numbered(host(index), t._sizes)) > 0).all()), {}

    at, unique, known = remembered(t, "coo", found)
    return make(sparse_coo, at, t._entries, t._sizes, unique, known)


def coalesced(t: SparseTensor) -> SparseTensor:
    """COO with sorted indices, none twice; entries with equal indices are added up."""
    t = as_coo(t)
    if t._unique:
        return t

    def found():
        index = host(t._at[0])
        flat = numbered(index, t._sizes[: index.shape[0]])
        _, first, inverse = np.unique(flat, return_index=True, return_inverse=True)
        one_each = first.size == flat.size
        at = (constant(index[:, first].astype(np.int64)),)
        return at, constant(first), None if one_each else constant(inverse), {}

    at, first, inverse, known = remembered(t, "coalesced", found)
    if inverse is None:
        entries = t._entries.index_select(0, first)
    else:
        entries = spread(t._entries, inverse, (first.shape[0], *t._entries.shape[1:]))
    return make(sparse_coo, at, entries, t._sizes, True, known)


def compressed(t: SparseTensor, kind: layout) -> SparseTensor:
    """A matrix in CSR or CSC; RuntimeError for what is no matrix."""
    if t._format is kind:
        return t
    if len(t._sizes) != 2 or sparse_dims(t) != 2:
        raise RuntimeError(f"conversion to {kind}: expected a matrix without dense dims, not shape "
                           f"{list(t._sizes)} with {sparse_dims(t)} sparse dims")
    if kind is sparse_csc:
        flipped = compressed(transposed(as_coo(t), 0, 1), sparse_csr)
        return make(kind, flipped._at, flipped._entries, t._sizes)
    t = coalesced(t)

    def found():
        counts = np.bincount(host(row(t, 0)), minlength=t._sizes[0])
        starts = np.concatenate(([0], np.cumsum(counts)))
        return (constant(starts), row(t, 1)), {"coordinates": t._at[0]}

    at, known = remembered(t, "compressed", found)
    return make(kind, at, t._entries, t._sizes, known=known)


def transposed(t: SparseTensor, a: int, b: int) -> SparseTensor:
    """The tensor with two dims exchanged; CSR and CSC become each other."""
    n = sparse_dims(t)
    sizes = list(t._sizes)
    sizes[a], sizes[b] = sizes[b], sizes[a]
    if a == b:
        return t
    if t._format is not sparse_coo:
        return make(sparse_csc if t._format is sparse_csr else sparse_csr, t._at, t._entries, sizes)
    if a >= n and b >= n:
        return make(sparse_coo, t._at, t._entries.transpose(a - n + 1, b - n + 1), sizes, t._unique)
    if a >= n or b >= n:
        raise RuntimeError(f"transpose of sparse dim {min(a, b)} and dense dim {max(a, b)} is not "
                           "possible; use .to_dense()")

    def found():
        order = np.arange(n)
        order[[a, b]] = b, a
        return (constant(host(t._at[0])[order]),), {}

    at, known = remembered(t, ("transposed", a, b), found)
    return make(sparse_coo, at, t._entries, sizes, known=known)


def gathered(dense: Tensor, t: SparseTensor) -> Tensor:
    """The elements of a dense tensor, broadcast to the shape of `t`, where `t` has entries."""
    if tuple(dense.shape) != tuple(t._sizes):
        dense = dense.expand(t._sizes)
    return dense.reshape(flattened(t)).index_select(0, places(t))


def aligned(t: SparseTensor, other: Tensor) -> Tensor:
    """The elements of `other`, dense or sparse, in the places of `t`'s entries."""
    if is_sparse(other) and other._at is t._at:
        return other._entries
    return gathered(other.to_dense(), t)


def gradient(t: SparseTensor, entries: Tensor) -> SparseTensor:
    """The gradient of `t`, given that of its entries: once for each element, if some are there twice."""
    if t._format is not sparse_coo or t._unique:
        return like(t, entries)
    unique = coalesced(t)
    return like(unique, entries.index_select(0, t._known["coalesced"][1]))


def meetings(a: np.ndarray, b: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (i, j) with a[i] == b[j], of numbers below n, ordered by i."""
    order = np.argsort(b, kind="stable")
    counts = np.bincount(b, minlength=n)
    starts = np.cumsum(counts) - counts
    meets = counts[a]
    i = np.repeat(np.arange(a.size), meets)
    within = np.arange(i.size) - np.repeat(np.cumsum(meets) - meets, meets)
    return i, order[starts[a][i] + within]


def picked(t: SparseTensor, chosen: np.ndarray, index: np.ndarray, sizes, unique: bool = False):
    """The entries `chosen` of COO, with coordinates of their own."""
    return coo(constant(index), t._entries.index_select(0, constant(chosen)), sizes, unique)


SparseTensor._aligned, SparseTensor._gradient = aligned, gradient
