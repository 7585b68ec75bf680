"""Sparse tensors: makers, conversions between layouts, and their parts (see `sparse_tensor.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..trace import overrides
from ..trace.device import require
from ..trace.dtypes import (
    FLOAT,
    get_default_dtype,
    int64,
    layout,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from ..trace.layouts import filled
from ..trace.modes import is_grad_enabled
from ..trace.operator import function
from ..trace.tensor import Tensor
from .creation import tensor
from .sparse_index import (
    aligned,
    as_coo,
    coalesced,
    compressed,
    flattened,
    is_sparse,
    numbered,
    places,
    sparse_dims,
    spread,
)
from .sparse_tensor import COMPRESSED, TITLES, SparseTensor, constant, coo, host, like, make

CHECK = [False]  # whether invariants are checked by default: torch.sparse.check_sparse_tensor_invariants


def aware(api: str):
    """`@function`, of which the body itself is the form for sparse tensors."""

    def publish(fn):
        public = function(api=api)(fn)
        overrides.FORMS[public] = fn
        return public

    return publish


method = aware("Tensor")


# ---------------------------------------------------------------- makers


def _parts(indices: Any, values: Any, dtype: Any, requires_grad: bool) -> tuple:
    """(index tensors, entries) of what a maker was given; a leaf's entries have no history."""
    at = tuple([
        x.detach() if isinstance(x, Tensor) else constant(np.array(x, np.int64)) for x in indices
    ])
    if not isinstance(values, Tensor):
        values = tensor(values, dtype=dtype)
    elif dtype is not None:
        values = values.to(dtype)
    if requires_grad and values.dtype.category < FLOAT:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return at, values if values.requires_grad and is_grad_enabled() else values.detach()


def _finished(t: SparseTensor, requires_grad: bool) -> SparseTensor:
    return t.requires_grad_() if requires_grad else t


@function(api="torch")
def sparse_coo_tensor(indices=None, values=None, size=None, *, dtype=None, device=None,
                      pin_memory=False, requires_grad: bool = False, check_invariants=None,
                      is_coalesced=None):
    """A sparse tensor with `values[k]` at the coordinates `indices[:, k]`.

    indices: (sparse dims, entries). values: (entries, *dense dims). size: by default the least that holds
    all indices. `sparse_coo_tensor(size)` has no entries. Equal coordinates add up. requires_grad: make a
    leaf; otherwise gradients flow to `values`. check_invariants: look for indices out of range.
    Raises RuntimeError for shapes that do not fit.

    >>> torch.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3)).to_dense()
    tensor([[0., 0., 3.],
            [4., 0., 0.]])
    """
    require(device)
    if values is None:
        sizes = tuple(size if indices is None else indices)
        return _finished(empty_in(sparse_coo, sizes, dtype or get_default_dtype()), requires_grad)
    (at,), entries = _parts((indices,), values, dtype, requires_grad)
    at = at.to(int64)
    if at.ndim == 1 and not at.numel():
        at = at.reshape(0, 0) if not entries.ndim else at.reshape(1, 0)
    if at.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(at.shape)}")
    if not entries.ndim:
        entries = entries.expand(at.shape[1])
    if entries.shape[0] != at.shape[1]:
        raise RuntimeError(f"indices and values must have same nnz, but got nnz from indices: "
                           f"{at.shape[1]}, nnz from values: {entries.shape[0]}")
    n = at.shape[0]
    if size is None:
        lowest = host(at).min(axis=1, initial=0)
        if (lowest < 0).any():
            d = int(np.argmax(lowest < 0))
            raise RuntimeError(f"found negative index {lowest[d]} for dim {d}")
        size = (*(host(at).max(axis=1, initial=-1) + 1).tolist(), *entries.shape[1:])
    size = tuple(size)
    if len(size) != n + entries.ndim - 1:
        raise RuntimeError(
            f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, "
            f"sparse_dim = {n}, dense_dim = {entries.ndim - 1}"
        )
    if size[n:] != tuple(entries.shape[1:]):
        raise RuntimeError(f"values has incorrect size, expected {[at.shape[1], *size[n:]]}, got "
                           f"{list(entries.shape)}")
    if CHECK[0] if check_invariants is None else check_invariants:
        _check_coordinates(host(at), size, is_coalesced)
    unique = at.shape[1] == 0 if is_coalesced is None else is_coalesced
    return _finished(coo(at, entries, size, unique), requires_grad)


def _check_coordinates(at: np.ndarray, size, is_coalesced) -> None:
    for d, (i, n) in enumerate(zip(at, size)):  # noqa: B905 - dense dims follow
        if i.size and i.min() < 0:
            raise RuntimeError(f"found negative index {i.min()} for dim {d}")
        if i.size and i.max() >= n:
            raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is {n} but "
                               f"found index {i.max()}")
    if is_coalesced and (np.diff(numbered(at, size[: at.shape[0]])) <= 0).any():
        raise RuntimeError(
            "cannot set is_coalesced to true if indices correspond to uncoalesced COO tensor"
        )


@function(api="torch")
def sparse_compressed_tensor(compressed_indices, plain_indices, values, size=None, *, dtype=None,
                             layout=None, device=None, pin_memory=False,
                             requires_grad: bool = False, check_invariants=None):
    """A sparse matrix in CSR or CSC: line k has entries compressed_indices[k] to [k + 1].

    The lines are rows in CSR and columns in CSC; plain_indices are where in its line an entry is. Arguments
    as for `sparse_coo_tensor`. Raises NotImplementedError for blocks (BSR, BSC) and batches.
    """
    require(device)
    if layout not in COMPRESSED:
        raise NotImplementedError(
            f"sparse_compressed_tensor: layout {layout} is not there, only torch.sparse_csr and "
            "torch.sparse_csc"
        )
    at, entries = _parts((compressed_indices, plain_indices), values, dtype, requires_grad)
    if at[0].ndim != 1 or entries.ndim != 1:
        raise NotImplementedError(f"{layout}: batches and dense dims are not there; indices and "
                                  f"values must be vectors, not {list(at[0].shape)} and "
                                  f"{list(entries.shape)}")
    if size is None:
        lines = at[0].numel() - 1
        across = int(host(at[1]).max(initial=-1)) + 1
        size = (lines, across) if layout is sparse_csr else (across, lines)
    if CHECK[0] if check_invariants is None else check_invariants:
        _check_compressed(*at, entries, size, layout)
    return _finished(make(layout, at, entries, size), requires_grad)


def _check_compressed(starts, plain, entries, size, kind) -> None:
    """RuntimeError for the first invariant of CSR or CSC that does not hold."""
    first, second = COMPRESSED[kind]
    rows = kind is sparse_csr
    lines, across = size if rows else size[::-1]
    s, p = host(starts).astype(np.int64), host(plain).astype(np.int64)
    if s.size != lines + 1:
        raise RuntimeError(f"{first}.shape[-1] must be equal to the number of "
                           f"{'rows' if rows else 'columns'} + 1 (={lines + 1}), but got {s.size}")
    steps, n = np.diff(s), "ncols" if rows else "nrows"
    along = numbered(np.stack([np.repeat(np.arange(lines), np.maximum(steps, 0))[: p.size], p]),
                     (lines, max(across, 1))) if steps.sum() == p.size else p
    for holds, text in (
        (p.size == entries.numel(), f"{second}.numel() == values.numel()"),
        (s[0] == 0, f"{first}[..., 0] == 0"),
        (s[-1] == p.size, f"{first}[..., -1] == nnz"),
        (((steps >= 0) & (steps <= across)).all(),
         f"0 <= {first}[..., 1:] - {first}[..., :-1] <= {n}"),
        (((p >= 0) & (p < across)).all(), f"0 <= {second} < {n}"),
        ((np.diff(along) > 0).all(),
         f"{second}[..., {first}[..., i - 1]:{first}[..., i]] for all i = 1, ..., "
         f"{'nrows' if rows else 'ncols'} are sorted and distinct along the last dimension values"),
    ):
        if not holds:
            raise RuntimeError(f"`{text}` is not satisfied.")


@function(api="torch")
def sparse_csr_tensor(crow_indices, col_indices, values, size=None, **options):
    """A sparse matrix by rows: row k has entries crow_indices[k] to crow_indices[k + 1].

    >>> torch.sparse_csr_tensor([0, 1, 2], [1, 0], [3.0, 4.0]).to_dense()
    tensor([[0., 3.],
            [4., 0.]])
    """
    return sparse_compressed_tensor(crow_indices, col_indices, values, size, layout=sparse_csr,
                                    **options)


@function(api="torch")
def sparse_csc_tensor(ccol_indices, row_indices, values, size=None, **options):
    """A sparse matrix by columns: column k has entries ccol_indices[k] to ccol_indices[k + 1]."""
    return sparse_compressed_tensor(ccol_indices, row_indices, values, size, layout=sparse_csc,
                                    **options)


def empty_in(kind: layout, sizes, dtype, dims: int | None = None) -> SparseTensor:
    """A tensor without entries. dims: sparse dims, by default all."""
    n = len(sizes) if dims is None else dims
    index = constant(np.zeros((n, 0), np.int64))
    return in_layout(coo(index, filled((0, *sizes[n:]), 0, dtype), sizes, True), kind)


# ---------------------------------------------------------------- between layouts


def in_layout(t: Tensor, kind: layout, dims: int | None = None) -> Tensor:
    """A tensor, dense or sparse, in another layout. dims: sparse dims of COO."""
    if not is_sparse(t):
        return t if kind is strided else in_layout(_found(t, dims), kind)
    if kind is strided:
        return to_dense(t)
    if kind is sparse_coo:
        return as_coo(t)
    if kind in COMPRESSED:
        return compressed(t, kind)
    raise NotImplementedError(f"conversion to {kind}: there are torch.sparse_coo, torch.sparse_csr "
                              "and torch.sparse_csc")


def _found(t: Tensor, dims: int | None) -> SparseTensor:
    """COO of the elements of a dense tensor that are not zero."""
    n = t.ndim if dims is None else dims
    if not 0 <= n <= t.ndim or (n == 0 and t.ndim):
        raise RuntimeError(f"to_sparse: sparse_dim must be in [1, {t.ndim}], but got {n}")
    a = host(t) != 0
    a = a.any(axis=tuple(range(n, t.ndim))) if n < t.ndim else a
    index = np.stack(np.nonzero(a)) if n else np.zeros((0, int(a)), np.int64)
    dense = tuple(t.shape[n:])
    places = constant(numbered(index, t.shape[:n]))
    whole = (int(np.prod(t.shape[:n], dtype=np.int64)), *dense)
    return coo(constant(index), t.reshape(whole).index_select(0, places), t.shape, True)


@method
def to_dense(self, dtype=None, *, masked_grad=None):
    """The tensor with its zeros written out; itself if it is dense. Equal coordinates add up.

    masked_grad: accepted; the gradient of a sparse leaf is always sparse.
    """
    if not is_sparse(self):
        return self if dtype is None else self.to(dtype)
    if dtype is not None:
        self = self.to(dtype)
    return spread(self._entries, places(self), flattened(self)).reshape(tuple(self._sizes))


@method
def to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """The elements that are not zero, as a sparse tensor of `layout` (default torch.sparse_coo).

    sparse_dim: how many leading dims are sparse, by default all; the entries have the others.
    Gradients flow back to the places of the entries.

    >>> torch.tensor([[0.0, 2.0], [0.0, 0.0]]).to_sparse()
    tensor(indices=tensor([[0],
                           [1]]),
           values=tensor([2.]),
           size=(2, 2), nnz=1, layout=torch.sparse_coo)
    """
    if blocksize is not None or dense_dim:
        raise NotImplementedError("to_sparse: blocksize and dense_dim are not supported")
    if is_sparse(self) and sparse_dim not in (None, sparse_dims(self)):
        raise RuntimeError("to_sparse: conversion from Sparse to Sparse with sparse_dim argument "
                           "!=self.sparse_dim() is not supported")
    return in_layout(self, layout or sparse_coo, sparse_dim)


def _converter(name: str, kind: layout) -> None:
    def convert(self, dense_dim=None):
        if kind is not sparse_coo and self.ndim != 2:
            raise RuntimeError(f"{name}: expected a matrix, but got shape {list(self.shape)}")
        return in_layout(self, kind)

    convert.__name__, convert.__doc__ = name, f"`to_sparse(layout={kind})`."
    method(convert)


for _kind in (sparse_coo, sparse_csr, sparse_csc):
    _converter(f"to_{_kind.name}", _kind)


# ---------------------------------------------------------------- parts


def _coo_only(name: str, t: Tensor) -> None:
    if t.layout is not sparse_coo:
        raise RuntimeError(f"{name} expected sparse coordinate tensor layout but got "
                           f"{TITLES[t.layout]}")


def _index_part(name: str, kind: layout, number: int):
    def part(self):
        if self.layout is not kind:
            lines = "row" if kind is sparse_csr else "column"
            raise RuntimeError(f"{name} expected sparse {lines} compressed tensor layout but got "
                               f"{TITLES[self.layout]}")
        return self._at[number]

    part.__name__, part.__doc__ = name, f"The {name} of a {kind} tensor; RuntimeError for others."
    method(part)


for _kind, _names in COMPRESSED.items():
    for _number, _name in enumerate(_names):
        _index_part(_name, _kind, _number)


@method
def indices(self):
    """The coordinates of a coalesced COO tensor, (sparse dims, entries); RuntimeError for others."""
    _coo_only("indices", self)
    if not self._unique:
        raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
    return self._at[0]


@method
def values(self):
    """The entries of a sparse tensor; RuntimeError for COO that is not coalesced, and for dense ones."""
    if not is_sparse(self):
        raise RuntimeError("values expected sparse tensor layout but got Strided")
    if self._format is sparse_coo and not self._unique:
        raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
    return self._entries


@method
def _indices(self):
    """The coordinates of a COO tensor as they are."""
    _coo_only("_indices", self)
    return self._at[0]


@method
def _values(self):
    """The entries as they are, without history."""
    return values(self) if not is_sparse(self) else self._entries.detach()


@method
def _nnz(self) -> int:
    """How many entries there are."""
    if not is_sparse(self):
        raise NotImplementedError("_nnz() is there for sparse tensors only")
    return self._entries.shape[0]


@method
def is_coalesced(self) -> bool:
    """Whether the indices of a COO tensor are sorted and none is there twice."""
    _coo_only("is_coalesced", self)
    return self._unique


@method
def coalesce(self):
    """A COO tensor with sorted indices, entries with equal ones added up; itself if it is so."""
    _coo_only("coalesce", self)
    return coalesced(self)


@method
def sparse_dim(self) -> int:
    """The number of sparse dims."""
    return sparse_dims(self) if is_sparse(self) else 0


@method
def dense_dim(self) -> int:
    """The number of dense dims."""
    return self.ndim - sparse_dim(self)


@method
def sparse_mask(self, mask):
    """The elements of `self` where the sparse tensor `mask` has entries, as a tensor like it."""
    if not is_sparse(mask):
        raise RuntimeError("sparse_mask: mask must be a sparse tensor")
    if self.shape != mask.shape:
        raise RuntimeError(f"sparse_mask(): operands have incompatible sizes; self has size "
                           f"{list(self.shape)} but mask has size {list(mask.shape)}")
    return like(mask, aligned(mask, self))
