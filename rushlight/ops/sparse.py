"""Operations on sparse tensors: makers, conversions, and the forms of operators (see `sparse_tensor.py`).

A form is registered under the operator's public name by `@form`; it has the operator's signature and is
written with ordinary operators on indices and entries. `places` says where entries lie in the dense
tensor, `coalesced` and `compressed` bring indices into order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..trace import overrides
from ..trace.device import require
from ..trace.dtypes import (
    FLOAT,
    bool_,
    int64,
    layout,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
    type_name,
)
from ..trace.layouts import filled
from ..trace.operator import PUBLISHED, function
from ..trace.promotion import promote
from ..trace.tensor import Tensor
from . import copies  # noqa: F401 - forms are registered for its functions, too
from .shape import parse_to
from .sparse_tensor import COMPRESSED, TITLES, SparseTensor, constant, coo, host, like, make, wrapped

torch: Any = PUBLISHED["torch"]
CHECK = [False]  # whether invariants are checked by default: torch.sparse.check_sparse_tensor_invariants


def form(*names: str, space: str = "torch"):
    """Register the decorated function as the form for sparse tensors of the operators `names`."""

    def register(fn):
        for name in names:
            overrides.FORMS[PUBLISHED[space][name]] = fn
        return fn

    return register


def aware(api: str):
    """`@function`, of which the body itself is the form for sparse tensors."""

    def publish(fn):
        public = function(api=api)(fn)
        overrides.FORMS[public] = fn
        return public

    return publish


method = aware("Tensor")


def is_sparse(x: Any) -> bool:
    """Whether `x` is a tensor of one of the sparse layouts."""
    return x.__class__ is SparseTensor


# ---------------------------------------------------------------- indices


def coordinates(t: SparseTensor) -> Tensor:
    """The coordinates of the entries, (sparse dims, entries), in any layout."""
    if t._format is sparse_coo:
        return t._at[0]
    found = t._known.get("coordinates")
    if found is None:
        compressed, plain = host(t._at[0]).astype(np.int64), host(t._at[1]).astype(np.int64)
        lines = np.repeat(np.arange(compressed.size - 1), np.diff(compressed))
        pair = (lines, plain) if t._format is sparse_csr else (plain, lines)
        found = t._known["coordinates"] = constant(np.stack(pair))
    return found


def sparse_dims(t: SparseTensor) -> int:
    """Over how many leading dims the indices range."""
    return t._at[0].shape[0] if t._format is sparse_coo else 2


def row(t: SparseTensor, dim: int) -> Tensor:
    """The coordinates of the entries in sparse dim `dim`."""
    found = t._known.get(dim)
    if found is None:
        found = t._known[dim] = constant(np.ascontiguousarray(host(coordinates(t))[dim]))
    return found


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
    if sparse_dims(t) == 1:
        return t._at[0].reshape(-1)
    found = t._known.get("places")
    if found is None:
        n = sparse_dims(t)
        found = t._known["places"] = constant(numbered(host(coordinates(t)), t._sizes[:n]))
    return found


def flattened(t: SparseTensor) -> tuple:
    """The shape with the sparse dims as one."""
    n = sparse_dims(t)
    return (int(np.prod(t._sizes[:n], dtype=np.int64)), *t._sizes[n:])


def coalesced(t: SparseTensor) -> SparseTensor:
    """COO with sorted indices, none twice; entries with equal indices are added up."""
    if t._format is not sparse_coo:
        return coo(coordinates(t), t._entries, t._sizes, True)
    if t._unique:
        return t
    known = t._known.get("coalesced")
    if known is None:
        index = host(t._at[0])
        flat = numbered(index, t._sizes[: index.shape[0]])
        _, first, inverse = np.unique(flat, return_index=True, return_inverse=True)
        ordered = constant(np.ascontiguousarray(index[:, first].astype(np.int64)))
        known = t._known["coalesced"] = (
            (ordered,), constant(first), None if first.size == flat.size else constant(inverse), {},
        )
    at, first, inverse, derived = known
    if inverse is None:
        entries = t._entries.index_select(0, first)
    else:
        entries = spread(t._entries, inverse, (first.shape[0], *t._entries.shape[1:]))
    return make(sparse_coo, at, entries, t._sizes, True, derived)


def spread(entries: Tensor, index: Tensor, sizes: tuple) -> Tensor:
    """Entries added up at `index` along the first dim of a dense tensor of `sizes`."""
    if entries.dtype is bool_:
        return spread(entries.to(int64), index, sizes).to(bool_)
    return filled(sizes, 0, entries.dtype).index_add(0, index, entries)


def compressed(t: SparseTensor, kind: layout) -> SparseTensor:
    """A matrix in CSR or CSC."""
    if t._format is kind:
        return t
    if len(t._sizes) != 2 or sparse_dims(t) != 2:
        raise RuntimeError(
            f"conversion to {kind} is there for matrices without dense dims, not for shape "
            f"{list(t._sizes)} with {sparse_dims(t)} sparse dims"
        )
    if kind is sparse_csc:
        flipped = compressed(transposed(t, 0, 1, sparse_coo), sparse_csr)
        return make(kind, flipped._at, flipped._entries, t._sizes)
    t = coalesced(t)
    found = t._known.get("compressed")
    if found is None:
        lines = host(row(t, 0))
        starts = np.zeros(t._sizes[0] + 1, np.int64)
        np.cumsum(np.bincount(lines, minlength=t._sizes[0]), out=starts[1:])
        found = t._known["compressed"] = (constant(starts), row(t, 1)), {"coordinates": t._at[0]}
    return make(kind, found[0], t._entries, t._sizes, False, found[1])


def transposed(t: SparseTensor, a: int, b: int, kind: layout | None = None) -> SparseTensor:
    """The tensor with two dims exchanged; CSR and CSC become each other unless `kind` is given."""
    n = sparse_dims(t)
    sizes = list(t._sizes)
    sizes[a], sizes[b] = sizes[b], sizes[a]
    if a == b:
        return t
    if t._format is not sparse_coo and kind is None:
        return make(sparse_csc if t._format is sparse_csr else sparse_csr, t._at, t._entries, sizes)
    if a >= n and b >= n:
        entries = t._entries.transpose(a - n + 1, b - n + 1)
        return make(sparse_coo, t._at, entries, sizes, t._unique, t._known)
    if a >= n or b >= n:
        raise RuntimeError(f"transpose of sparse dim {min(a, b)} and dense dim {max(a, b)}: the "
                           "entries would have to be taken apart; use .to_dense()")
    found = t._known.get(("transposed", a, b))
    if found is None:
        order = np.arange(n)
        order[[a, b]] = b, a
        index = constant(np.ascontiguousarray(host(coordinates(t))[order]))
        found = t._known["transposed", a, b] = (index,), {}
    return make(sparse_coo, found[0], t._entries, sizes, False, found[1])


def gathered(dense: Tensor, t: SparseTensor) -> Tensor:
    """The elements of a dense tensor, broadcast to the shape of `t`, where `t` has entries."""
    n = sparse_dims(t)
    if tuple(dense.shape) != tuple(t._sizes):
        dense = dense.expand(t._sizes)
    return dense.reshape(flattened(t)).index_select(0, places(t)) if n else dense.unsqueeze(0)


def aligned(t: SparseTensor, other: Tensor) -> Tensor:
    """The entries of `other` in the places of `t`: a gradient's."""
    if not is_sparse(other):
        return gathered(other, t)
    if other._at is t._at:
        return other._entries
    return gathered(to_dense(other), t)


def gradient(t: SparseTensor, entries: Tensor) -> SparseTensor:
    """The gradient of `t`, given that of its entries: once for each element, if some are there twice."""
    if t._format is not sparse_coo or t._unique:
        return like(t, entries)
    unique = coalesced(t)
    first = t._known["coalesced"][1]
    return like(unique, entries.index_select(0, first))


SparseTensor._aligned, SparseTensor._gradient = aligned, gradient


# ---------------------------------------------------------------- makers


def _as_values(values: Any, dtype: Any, requires_grad: bool) -> Tensor:
    if not isinstance(values, Tensor):
        from .creation import tensor

        values = tensor(values, dtype=dtype)
    elif dtype is not None:
        values = values.to(dtype)
    if requires_grad and values.dtype.category < FLOAT:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return values if values.requires_grad else values.detach()  # (a leaf's history is its own)


def _as_indices(indices: Any) -> Tensor:
    if isinstance(indices, Tensor):
        return indices.detach().to(int64)
    return constant(np.array(indices, dtype=np.int64))


def _checked(check: bool | None) -> bool:
    return CHECK[0] if check is None else check


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
        from ..trace.dtypes import get_default_dtype

        made = coo(constant(np.zeros((len(sizes), 0), np.int64)),
                   filled((0,), 0, dtype or get_default_dtype()), sizes, True)
        return made.requires_grad_() if requires_grad else made
    at, entries = _as_indices(indices), _as_values(values, dtype, requires_grad)
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
    if _checked(check_invariants):
        _check_coordinates(host(at), size, is_coalesced)
    made = coo(at, entries, size, at.shape[1] == 0 if is_coalesced is None else is_coalesced)
    return made.requires_grad_() if requires_grad else made


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
    at = tuple([
        x.detach() if isinstance(x, Tensor) else constant(np.array(x, np.int64))
        for x in (compressed_indices, plain_indices)
    ])
    entries = _as_values(values, dtype, requires_grad)
    if at[0].ndim != 1 or entries.ndim != 1:
        raise NotImplementedError(f"{layout}: batches and dense dims are not there; indices and "
                                  f"values must be vectors, not {list(at[0].shape)} and "
                                  f"{list(entries.shape)}")
    if size is None:
        lines = at[0].numel() - 1
        across = int(host(at[1]).max(initial=-1)) + 1
        size = (lines, across) if layout is sparse_csr else (across, lines)
    if _checked(check_invariants):
        _check_compressed(*at, entries, size, layout)
    made = make(layout, at, entries, size)
    return made.requires_grad_() if requires_grad else made


def _check_compressed(starts, plain, entries, size, kind) -> None:
    names = COMPRESSED[kind]
    lines, across = size if kind is sparse_csr else size[::-1]
    what = ("rows", "ncols", "nrows") if kind is sparse_csr else ("columns", "nrows", "ncols")

    def need(condition, text):
        if not condition:
            raise RuntimeError(f"`{text}` is not satisfied.")

    if starts.numel() != lines + 1:
        raise RuntimeError(f"{names[0]}.shape[-1] must be equal to the number of {what[0]} + 1 "
                           f"(={lines + 1}), but got {starts.numel()}")
    if plain.numel() != entries.numel():
        raise RuntimeError(f"number of {names[1]} ({plain.numel()}) and values "
                           f"({entries.numel()}) differ")
    s, p = host(starts).astype(np.int64), host(plain).astype(np.int64)
    need(s[0] == 0, f"{names[0]}[..., 0] == 0")
    need(s[-1] == p.size, f"{names[0]}[..., -1] == nnz")
    need(((np.diff(s) >= 0) & (np.diff(s) <= across)).all(),
         f"0 <= {names[0]}[..., 1:] - {names[0]}[..., :-1] <= {what[1]}")
    need(((p >= 0) & (p < across)).all(), f"0 <= {names[1]} < {what[1]}")
    inside = np.ones(max(p.size - 1, 0), bool)
    inside[s[1:-1][(s[1:-1] > 0) & (s[1:-1] < p.size)] - 1] = False
    need((np.diff(p)[inside] > 0).all(),
         f"{names[1]}[..., {names[0]}[..., i - 1]:{names[0]}[..., i]] for all i = 1, ..., "
         f"{what[2]} are sorted and distinct along the last dimension values")


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


def empty_in(kind: layout, sizes, dtype) -> SparseTensor:
    """A tensor without entries."""
    none = coo(constant(np.zeros((len(sizes), 0), np.int64)), filled((0,), 0, dtype), sizes, True)
    return in_layout(none, kind)


@form("zeros_like", "empty_like")
def _zeros_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, **how):
    if layout is strided:
        return filled(tuple(input.shape), 0, dtype or input.dtype)
    made = empty_in(layout or input._format, input._sizes[: sparse_dims(input)],
                    dtype or input.dtype)
    n = sparse_dims(input)
    if n < len(input._sizes):
        entries = filled((0, *input._sizes[n:]), 0, dtype or input.dtype)
        made = make(made._format, made._at, entries, input._sizes, True)
    return made.requires_grad_() if requires_grad else made


@form("new_zeros", "new_empty", space="Tensor")
def _new_zeros(self, *size, dtype=None, device=None, requires_grad=False, layout=None, **how):
    sizes = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    made = empty_in(layout or self._format, tuple(sizes), dtype or self.dtype)
    return made.requires_grad_() if requires_grad else made


# ---------------------------------------------------------------- between layouts


def in_layout(t: Tensor, kind: layout, dims: int | None = None) -> Tensor:
    """A tensor, dense or sparse, in another layout. dims: sparse dims of COO."""
    if not is_sparse(t):
        return t if kind is strided else in_layout(_found(t, dims), kind)
    if kind is strided:
        return to_dense(t)
    if kind is sparse_coo:
        return t if t._format is sparse_coo else coalesced(t)
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


@method
def to_sparse_coo(self):
    """`to_sparse(layout=torch.sparse_coo)`."""
    return in_layout(self, sparse_coo)


@method
def to_sparse_csr(self, dense_dim=None):
    """`to_sparse(layout=torch.sparse_csr)`; a matrix."""
    if self.ndim != 2:
        raise RuntimeError(f"to_sparse_csr: expected a matrix, but got shape {list(self.shape)}")
    return in_layout(self, sparse_csr)


@method
def to_sparse_csc(self, dense_dim=None):
    """`to_sparse(layout=torch.sparse_csc)`; a matrix."""
    if self.ndim != 2:
        raise RuntimeError(f"to_sparse_csc: expected a matrix, but got shape {list(self.shape)}")
    return in_layout(self, sparse_csc)


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
def _coalesced_(self, coalesced: bool):
    """Tell that a COO tensor is (not) coalesced."""
    self._unique = coalesced
    return self


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


# ---------------------------------------------------------------- elementwise

LINEAR = "neg positive real imag conj conj_physical resolve_conj rad2deg deg2rad"
UNARY = (
    "abs asin asinh atan atanh ceil erf erfinv expm1 floor frac isinf isnan isneginf isposinf log1p "
    "nan_to_num round sgn sign signbit sin sinh sqrt square tan tanh trunc angle relu"
)  # 0 stays 0


def _elementwise(public, name: str) -> None:
    linear = name in LINEAR.split()

    def of_entries(input, *args, **kwargs):
        t = input if linear or input._format is not sparse_coo else coalesced(input)
        return like(t, public(t._entries, *args, **kwargs))

    overrides.FORMS[public] = of_entries


for _name in (LINEAR + " " + UNARY).split():
    for _space in ("torch", "Tensor", "nn.functional"):
        if _name in PUBLISHED[_space]:
            _elementwise(PUBLISHED[_space][_name], _name)


def _factor(x: Any) -> Any:
    """A Python number or dense 0-dim tensor, or None."""
    if isinstance(x, Tensor):
        return x if not is_sparse(x) and not x.ndim else None
    return x


def _same_shape(name: str, a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise RuntimeError(f"{name}: expected sizes of 'self' and 'other' to match, but "
                           f"{list(a.shape)} != {list(b.shape)}")


@form("add")
def _add(input, other, *, alpha=1):
    if not isinstance(other, Tensor) or not isinstance(input, Tensor):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    _same_shape("add", input, other)
    if not is_sparse(input) or not is_sparse(other):
        if is_sparse(input):
            if input._format is sparse_coo:
                raise RuntimeError(
                    "add(sparse, dense) is not supported. Use add(dense, sparse) instead."
                )
            return torch["add"](to_dense(input), other, alpha=alpha)
        kind = promote(input._s.m, other._entries._s.m)
        entries = other._entries.to(kind)
        dense = input.to(kind).reshape(flattened(other))
        return dense.index_add(0, places(other), entries, alpha=alpha).reshape(input.shape)
    if input._at is other._at:
        return like(input, torch["add"](input._entries, other._entries, alpha=alpha))
    both = (coalesced(input), coalesced(other)) if input._format is not sparse_coo else (input, other)
    kind = promote(input._entries._s.m, other._entries._s.m)
    scaled = both[1]._entries if alpha == 1 else both[1]._entries * alpha
    made = coo(torch["cat"]([coordinates(both[0]), coordinates(both[1])], 1),
               torch["cat"]([both[0]._entries.to(kind), scaled.to(kind)]), input._sizes)
    if both[0]._unique and both[1]._unique:
        made = coalesced(made)
    return in_layout(made, input._format)


@form("sub")
def _sub(input, other, *, alpha=1):
    return _add(input, other, alpha=-alpha)


@form("mul")
def _mul(input, other):
    if not is_sparse(input):
        input, other = other, input
    factor = _factor(other)
    if factor is not None:
        return like(input, input._entries * factor)
    if not is_sparse(other):
        t = coalesced(input) if input._format is sparse_coo else input
        return like(t, t._entries * gathered(other, t))
    _same_shape("mul", input, other)
    if input._at is other._at and (input._unique or input._format is not sparse_coo):
        return like(input, input._entries * other._entries)
    a, b = coalesced(input), coalesced(other)
    _, i, j = np.intersect1d(host(places(a)), host(places(b)), True, True)
    index = constant(np.ascontiguousarray(host(a._at[0])[:, i]))
    entries = a._entries.index_select(0, constant(i)) * b._entries.index_select(0, constant(j))
    return in_layout(coo(index, entries, a._sizes, True), input._format)


def _divided(public):
    def divided(input, other, **how):
        factor = _factor(other)
        if factor is None or not is_sparse(input):
            raise RuntimeError(
                "Sparse division requires a scalar or zero-dim dense tensor divisor (got shape "
                f"{list(other.shape) if isinstance(other, Tensor) else []} for divisor)"
            )
        rounds = how.get("rounding_mode") or public is torch["floor_divide"]
        t = coalesced(input) if rounds and input._format is sparse_coo else input
        return like(t, public(t._entries, factor, **how))

    overrides.FORMS[public] = divided


for _name in ("div", "true_divide", "floor_divide"):
    _divided(torch[_name])


@form("pow")
def _pow(input, exponent):
    if not is_sparse(input) or isinstance(exponent, Tensor) or not exponent > 0:
        raise NotImplementedError("pow() of sparse tensors takes a positive number as exponent: "
                                  "anything else makes zeros something else; use .to_dense()")
    t = coalesced(input) if input._format is sparse_coo else input
    return like(t, t._entries ** exponent)


# ---------------------------------------------------------------- reductions


@form("sum")
def _sum(input, dim=None, keepdim=False, *, dtype=None):
    if dim is None or dim == ():
        total = input._entries.sum(dtype=dtype)
        return total.reshape((1,) * input.ndim) if keepdim else total
    dims = sorted({wrapped(d, input.ndim) for d in ((dim,) if isinstance(dim, int) else dim)})
    n = sparse_dims(input)
    entries = input._entries if dtype is None else input._entries.to(dtype)
    dense = [d - n + 1 for d in dims if d >= n]
    if dense:
        entries = entries.sum(dense, keepdim=keepdim)
    gone = [d for d in dims if d < n]
    if entries.dtype is bool_ or entries.dtype.category < FLOAT:
        entries = entries.to(int64)
    left = [d for d in range(n) if d not in gone]
    sizes = [1 if d in dims else k for d, k in enumerate(input._sizes) if keepdim or d not in dims]
    if not left:
        return entries.sum(0).reshape(sizes) if gone else entries
    index = coordinates(input)
    if not gone:
        return make(sparse_coo, (index,), entries, sizes, input._unique)
    found = input._known.get(("sum", *gone, keepdim))
    if found is None:
        at = host(index).copy()
        at[gone] = 0
        found = input._known["sum", *gone, keepdim] = (constant(at if keepdim else at[left]),), {}
    made = coalesced(make(sparse_coo, found[0], entries, sizes, False, found[1]))
    return in_layout(made, input._format) if keepdim else made


@form("norm")
def _norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    if dim is not None:
        raise NotImplementedError("norm() of sparse tensors is that of all elements: dim must be None")
    t = coalesced(input)
    return torch["norm"](t._entries.reshape(-1), 2 if p == "fro" else p, dtype=dtype)


@form("any")
def _any(input, dim=None, keepdim=False):
    if dim is not None:
        raise NotImplementedError("any() of sparse tensors is that of all elements: dim must be None")
    return input._entries.any()


def normalized(input: SparseTensor, dim: int, logarithm: bool, dtype: Any = None) -> SparseTensor:
    """(log_)softmax along `dim` of the entries that are there: what is not there counts as -inf."""
    dim = wrapped(dim, input.ndim)
    t = coalesced(input)
    entries = t._entries if dtype is None else t._entries.to(dtype)
    n = sparse_dims(t)
    if dim >= n:
        name = "log_softmax" if logarithm else "softmax"
        return like(t, torch[name](entries, dim - n + 1))
    index = host(t._at[0])
    others = [d for d in range(n) if d != dim]
    _, group = np.unique(numbered(index[others], [t._sizes[d] for d in others]), return_inverse=True)
    lines = (int(group.max(initial=-1)) + 1, *entries.shape[1:])
    at = constant(group)
    wide = at.reshape(-1, *(1,) * (entries.ndim - 1)).expand(entries.shape)
    most = filled(lines, -np.inf, entries.dtype).scatter_reduce(0, wide, entries.detach(), "amax")
    shifted = entries - most.index_select(0, at)
    powers = shifted.exp()
    total = spread(powers, at, lines).index_select(0, at)
    return like(t, shifted - total.log() if logarithm else powers / total)


# ---------------------------------------------------------------- products


def multiply(a: SparseTensor, b: Tensor, reduce: str = "sum") -> Tensor:
    """Sparse (n, m) @ dense (m, k); other reductions ("mean", "amax", "amin") of the same products.

    These are over the entries that are there, 0 where there are none.
    """
    picked = b.index_select(0, row(a, 1)) * a._entries.unsqueeze(1)
    sizes = (a._sizes[0], b.shape[1])
    if reduce == "sum":
        return spread(picked, row(a, 0), sizes)
    worst = {"mean": 0, "amax": -np.inf, "amin": np.inf}[reduce]
    start = filled(sizes, worst, picked.dtype)
    made = start.index_reduce(0, row(a, 0), picked, reduce, include_self=False)
    empty = np.bincount(host(row(a, 0)), minlength=sizes[0]) == 0
    return made.masked_fill(constant(empty[:, None]), 0)


def _multiply_sparse(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """Sparse (n, m) @ sparse (m, k): each entry of `a` meets the entries in one row of `b`."""
    rows = host(row(b, 0))
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows, minlength=b._sizes[0])
    starts = np.cumsum(counts) - counts
    meets = counts[host(row(a, 1))]
    first = np.repeat(np.arange(meets.size), meets)
    within = np.arange(first.size) - np.repeat(np.cumsum(meets) - meets, meets)
    second = order[starts[host(row(a, 1))][first] + within]
    at = np.stack([host(row(a, 0))[first], host(row(b, 1))[second]])
    entries = (a._entries.index_select(0, constant(first))
               * b._entries.index_select(0, constant(second)))
    return in_layout(coalesced(coo(constant(at), entries, (a._sizes[0], b._sizes[1]))),
                     a._format if a._format is not sparse_csc else sparse_csr)


@form("mm")
def _mm(input, mat2):
    for t in (input, mat2):
        if t.ndim != 2 or is_sparse(t) and sparse_dims(t) != 2:
            raise RuntimeError(f"mm: expected matrices, but got shapes {list(input.shape)} and "
                               f"{list(mat2.shape)} (sparse ones without dense dims)")
    if input.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({input.shape[0]}x{input.shape[1]} and "
            f"{mat2.shape[0]}x{mat2.shape[1]})"
        )
    if input.dtype is not mat2.dtype:
        raise RuntimeError(f"expected scalar type {type_name(input.dtype)} but found "
                           f"{type_name(mat2.dtype)}")
    if not is_sparse(input):
        return multiply(transposed(mat2, 0, 1), input.t()).t()
    return _multiply_sparse(input, mat2) if is_sparse(mat2) else multiply(input, mat2)


@form("mv")
def _mv(input, vec):
    if not is_sparse(input) or is_sparse(vec) or input.ndim != 2 or vec.ndim != 1 or \
            input.shape[1] != vec.shape[0]:
        raise RuntimeError("mv: expected self.size(-1) == vec.size(-1), a sparse matrix and a dense "
                           f"vector, but got shapes {list(input.shape)} and {list(vec.shape)}")
    return _mm(input, vec.unsqueeze(1)).squeeze(1)


@form("bmm")
def _bmm(input, mat2):
    if not is_sparse(input) or is_sparse(mat2) or input.ndim != 3 or mat2.ndim != 3 or \
            sparse_dims(input) != 3 or (input.shape[0], input.shape[2]) != tuple(mat2.shape[:2]):
        raise RuntimeError("bmm: expected a sparse tensor of three dims and a dense one that fits, but "
                           f"got shapes {list(input.shape)} and {list(mat2.shape)}")
    batch, n, m = input._sizes
    b, i, j = host(coordinates(input))
    rows, columns = constant(b * n + i), constant(b * m + j)
    picked = mat2.reshape(batch * m, -1).index_select(0, columns) * input._entries.unsqueeze(1)
    return spread(picked, rows, (batch * n, mat2.shape[2])).reshape(batch, n, -1)


@form("matmul")
def _matmul(input, other):
    if input.ndim == 2 and other.ndim == 1:
        return _mv(input, other)
    if input.ndim == 1 and other.ndim == 2 and not is_sparse(input):
        return _mv(transposed(other, 0, 1), input)
    return _bmm(input, other) if input.ndim == 3 else _mm(input, other)


@form("addmm")
def _addmm(input, mat1, mat2, *, beta=1, alpha=1):
    product = _mm(mat1, mat2)
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    kept = input if beta == 1 else input * beta
    if is_sparse(kept) and not is_sparse(product):
        return product + kept
    if not is_sparse(kept):
        kept = kept.expand(product.shape)
    return kept + product


@form("linear", space="nn.functional")
def _linear(input, weight, bias=None):
    if is_sparse(input) or is_sparse(bias):
        out = _mm(input, weight.t())
    else:
        out = _mm(input.reshape(-1, input.shape[-1]), weight.t())
        out = out.reshape(*input.shape[:-1], -1)
    return out if bias is None else out + bias


@aware("torch Tensor")
def smm(input, mat):
    """`input @ mat` of a sparse and a dense matrix, as a sparse matrix."""
    if not is_sparse(input):
        raise RuntimeError("smm: expected a sparse matrix first")
    return in_layout(_mm(input, mat), sparse_coo)


@aware("torch")
def hspmm(mat1, mat2):
    """`mat1 @ mat2` of a sparse and a dense matrix: sparse rows, each dense."""
    if not is_sparse(mat1) or is_sparse(mat2):
        raise RuntimeError("hspmm: expected a sparse and a dense matrix")
    rows, at = np.unique(host(row(mat1, 0)), return_inverse=True)
    picked = mat2.index_select(0, row(mat1, 1)) * mat1._entries.unsqueeze(1)
    entries = spread(picked, constant(at), (rows.size, mat2.shape[1]))
    return coo(constant(rows[None]), entries, (mat1._sizes[0], mat2.shape[1]))


def sampled_addmm(input: SparseTensor, mat1: Tensor, mat2: Tensor, beta: Any = 1.0,
                  alpha: Any = 1.0) -> SparseTensor:
    """`alpha * (mat1 @ mat2) + beta * input` where `input` (CSR) has entries."""
    if not is_sparse(input) or input._format is not sparse_csr:
        raise RuntimeError(f"sampled_addmm: Expected self tensor with sparse CSR layout, but got "
                           f"{input.layout}")
    if mat1.ndim != 2 or mat2.ndim != 2 or mat1.shape[1] != mat2.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({list(mat1.shape)} and "
                           f"{list(mat2.shape)})")
    if (mat1.shape[0], mat2.shape[1]) != tuple(input._sizes):
        raise RuntimeError("sampled_addmm: self must have the shape of mat1 @ mat2, but has "
                           f"{list(input._sizes)}")
    dots = mat1.index_select(0, row(input, 0)) * mat2.t().index_select(0, row(input, 1))
    return like(input, dots.sum(1) * alpha + input._entries * beta)


# ---------------------------------------------------------------- parts and joining


def _kept(t: SparseTensor, chosen: np.ndarray, index: np.ndarray, sizes, unique: bool):
    """The entries `chosen`, with coordinates of their own."""
    entries = t._entries.index_select(0, constant(chosen))
    return coo(constant(np.ascontiguousarray(index)), entries, sizes, unique)


@form("index_select")
def _index_select(input, dim, index):
    t, dim = coalesced(input), wrapped(dim, input.ndim)
    n, wanted = sparse_dims(t), host(index).reshape(-1)
    sizes = (*t._sizes[:dim], wanted.size, *t._sizes[dim + 1:])
    if dim >= n:
        return make(sparse_coo, t._at, t._entries.index_select(dim - n + 1, index), sizes, t._unique)
    if wanted.size and not (0 <= wanted.min() and wanted.max() < t._sizes[dim]):
        raise IndexError(f"index_select(): index out of range for dim {dim} of size {t._sizes[dim]}")
    at = host(t._at[0])
    order = np.argsort(at[dim], kind="stable")
    counts = np.bincount(at[dim], minlength=t._sizes[dim])
    starts = np.cumsum(counts) - counts
    new = np.repeat(np.arange(wanted.size), counts[wanted])
    within = np.arange(new.size) - np.repeat(np.cumsum(counts[wanted]) - counts[wanted],
                                             counts[wanted])
    chosen = order[starts[wanted][new] + within]
    moved = at[:, chosen]
    moved[dim] = new
    return _kept(t, chosen, moved, sizes, False)


@form("narrow_copy", "narrow")
def _narrow(input, dim, start, length):
    t, dim = coalesced(input), wrapped(dim, input.ndim)
    n, size = sparse_dims(t), t._sizes[dim]
    start = int(start) + (size if int(start) < 0 else 0)
    if start < 0 or length < 0 or start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    sizes = (*t._sizes[:dim], length, *t._sizes[dim + 1:])
    if dim >= n:
        entries = t._entries.narrow(dim - n + 1, start, length)
        return make(sparse_coo, t._at, entries, sizes, t._unique)
    at = host(t._at[0])
    chosen = np.flatnonzero((at[dim] >= start) & (at[dim] < start + length))
    moved = at[:, chosen]
    moved[dim] -= start
    return _kept(t, chosen, moved, sizes, True)


@form("select")
def _select(input, dim, index):
    dim = wrapped(dim, input.ndim)
    size, index = input._sizes[dim], int(index)
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size "
                         f"{list(input._sizes)} at dimension {dim}")
    index %= size
    t = coalesced(input)
    n, sizes = sparse_dims(t), (*t._sizes[:dim], *t._sizes[dim + 1:])
    if dim >= n:
        return make(sparse_coo, t._at, t._entries.select(dim - n + 1, index), sizes, t._unique)
    at = host(t._at[0])
    chosen = np.flatnonzero(at[dim] == index)
    entries = t._entries.index_select(0, constant(chosen))
    if n == 1:  # nothing sparse is left
        return entries.sum(0)
    return coo(constant(np.delete(at[:, chosen], dim, 0)), entries, sizes, True)


def _getitem(self, index):
    """`x[i]`, `x[i, j]`, `x[a:b]`: integers and slices of step 1 select and narrow."""
    made, dim = self, 0
    for i in index if isinstance(index, tuple) else (index,):
        if isinstance(i, slice) and i.step in (None, 1):
            start, stop, _ = i.indices(made.shape[dim])
            if i != slice(None):
                made = torch["narrow"](made, dim, start, max(stop - start, 0))
            dim += 1
        elif isinstance(i, (int, np.integer)) and not isinstance(i, bool):
            made = torch["select"](made, dim, int(i))
        else:
            raise NotImplementedError("indexing of sparse tensors takes integers and slices of step "
                                      "1: use index_select, or .to_dense()")
    return made


def _setitem(self, index, value):
    """NotImplementedError: entries cannot be assigned."""
    raise overrides.refused("__setitem__", self)


SparseTensor.__getitem__, SparseTensor.__setitem__ = _getitem, _setitem


@form("unbind")
def _unbind(input, dim=0):
    return tuple([_select(input, dim, i) for i in range(input.size(dim))])


@form("cat")
def _cat(tensors, dim=0):
    if not all(is_sparse(t) for t in tensors):
        raise RuntimeError("cat: all tensors must be sparse, or all dense; use .to_dense()")
    first, dim = tensors[0], wrapped(dim, tensors[0].ndim)
    parts = [coalesced(t) if t._format is not sparse_coo else t for t in tensors]
    n = sparse_dims(first)
    for t in parts:
        if sparse_dims(t) != n or len(t._sizes) != len(first._sizes) or any(
            a != b for d, (a, b) in enumerate(zip(t._sizes, first._sizes, strict=True)) if d != dim
        ):
            raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}, but got "
                               f"{list(t._sizes)} beside {list(first._sizes)}")
    sizes = (*first._sizes[:dim], sum(t._sizes[dim] for t in parts), *first._sizes[dim + 1:])
    index, entries, before = [], [], 0
    for t in parts:
        e, k = t._entries, t._sizes[dim]
        if dim >= n:  # zeros before and behind
            wide = [*e.shape]
            wide[dim - n + 1] = before
            behind = [*e.shape]
            behind[dim - n + 1] = sizes[dim] - before - k
            e = torch["cat"]([filled(tuple(wide), 0, e.dtype), e, filled(tuple(behind), 0, e.dtype)],
                             dim - n + 1)
        moved = host(t._at[0])
        if dim < n:
            moved = moved.copy()
            moved[dim] += before
        index.append(moved)
        entries.append(e)
        before += k
    made = coo(constant(np.concatenate(index, 1)), torch["cat"](entries), sizes)
    return in_layout(made, first._format)


@form("stack")
def _stack(tensors, dim=0):
    return _cat([_unsqueeze(t, dim) for t in tensors], wrapped(dim, tensors[0].ndim + 1))


@form("unsqueeze")
def _unsqueeze(input, dim):
    t, dim = coalesced(input) if input._format is not sparse_coo else input, wrapped(dim, input.ndim + 1)
    n, sizes = sparse_dims(t), (*t._sizes[:dim], 1, *t._sizes[dim:])
    if dim > n:
        return make(sparse_coo, t._at, t._entries.unsqueeze(dim - n + 1), sizes, t._unique)
    index = constant(np.insert(host(t._at[0]), dim, 0, 0))
    return coo(index, t._entries, sizes, t._unique)


@form("transpose", "swapaxes", "swapdims")
def _transpose(input, dim0, dim1):
    return transposed(input, wrapped(dim0, input.ndim), wrapped(dim1, input.ndim))


@form("t")
def _t(input):
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input if input.ndim < 2 else transposed(input, 0, 1)


@form("permute")
def _permute(input, *dims):
    order = [wrapped(d, input.ndim) for d in (dims[0] if not isinstance(dims[0], int) else dims)]
    made, now = input, list(range(input.ndim))
    for i, d in enumerate(order):  # exchanges
        j = now.index(d)
        if i != j:
            made = transposed(made, i, j)
            now[i], now[j] = now[j], now[i]
    return made


for _name in ("T", "mT"):
    overrides.FORMS[PUBLISHED["Tensor"][_name]] = _t


# ---------------------------------------------------------------- dtypes and copies


@form("clone")
def _clone(input, *, memory_format=None):
    return like(input, input._entries.clone())


@form("to", space="Tensor")
def _to(self, *args, **kwargs):
    dtype, where, copy, _ = parse_to(args, kwargs)
    require(where)
    if dtype is not None and dtype is not self.dtype:
        return like(self, self._entries.to(dtype))
    return _clone(self) if copy else self


@form("type", space="Tensor")
def _type(self, dtype=None, non_blocking=False):
    if dtype is None:
        return f"torch.sparse.{type_name(self.dtype)}Tensor"
    return like(self, self._entries.type(dtype))


@form("type_as", space="Tensor")
def _type_as(self, other):
    return _to(self, other.dtype)


def _cast_form(name: str) -> None:
    def cast(self, memory_format=None):
        entries = getattr(self._entries, name)()
        return self if entries is self._entries else like(self, entries)

    form(name, space="Tensor")(cast)


for _name in ("float double half bfloat16 int long short char byte bool cfloat cdouble cpu".split()):
    _cast_form(_name)


@form("zero_", space="Tensor")
def _zero_(self):
    self.check_writable("zero_")
    return self._become(_zeros_like(self))
