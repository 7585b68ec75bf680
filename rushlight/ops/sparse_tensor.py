"""Sparse tensors: indices and values of the entries that are there, in the layouts COO, CSR and CSC.

A `SparseTensor` is a thin object over dense tensors: where the entries lie (`_at`: coordinates, or
compressed and plain indices), the entries (`_entries`, which the user sees as `values()`), and the sizes.
Every operation on it (`sparse_forms.py`) is a composition of ordinary operators on these: a product is a
gather, a multiplication and an `index_add`. So it is recorded, compiled and differentiated like anything
else, and there is no gradient rule for sparse tensors: gradients flow to and from the entries. The `grad` of a
sparse leaf is its entries' gradient in the same places.

It is a `Tensor` that has no node in the trie. Where an operator asks for the node, `OtherLayout` is
raised, which the hot path leaves to the plain recorder as it does everything unusual; there the operator's *form* for
sparse tensors is looked up in one table (`overrides.FORMS`). Compositions look there first. Dense programs
pay nothing for this. What has no form raises NotImplementedError.

Where entries lie is looked at by NumPy, at once: what depends on it (coalescing, products of two sparse
tensors) has shapes that depend on values. What is derived from indices is remembered with them
(`_known`), so a fixed adjacency matrix costs this once.

Deliberate differences from PyTorch: the gradient of a sparse leaf is always sparse, also through
`a @ b` and `a.sum()`; sums of tensors that are not coalesced keep all entries (PyTorch merges some); results
whose indices are known to be in order are coalesced; a few operations and gradients that PyTorch
refuses for one of the layouts work. There are no blocks (BSR, BSC) and no batches of CSR.
"""

from __future__ import annotations

import functools

import numpy as np

from ..trace import overrides
from ..trace.dtypes import layout, sparse_coo, sparse_csc, sparse_csr, strided
from ..trace.meta import Size
from ..trace.tensor import Tensor, array, meta_of_array
from ..trace.trie import idle
from .entries import OfEntries

new = object.__new__
COMPRESSED = {sparse_csr: ("crow_indices", "col_indices"), sparse_csc: ("ccol_indices", "row_indices")}
TITLES = {strided: "Strided", sparse_coo: "Sparse", sparse_csr: "SparseCsr", sparse_csc: "SparseCsc"}


def constant(a: np.ndarray) -> Tensor:
    """A tensor on an array of indices (contiguous ones); no inference tensor, as it is remembered."""
    a = np.ascontiguousarray(a)
    t = new(Tensor)
    t._s, t._tr, t._buf = idle(meta_of_array(a), False), None, a
    return t


def host(t: Tensor) -> np.ndarray:
    """The values of an index tensor, computed if need be."""
    return array(t.detach())


class SparseTensor(OfEntries):
    """A tensor of layout torch.sparse_coo, sparse_csr or sparse_csc; made by `torch.sparse_coo_tensor`,
    `to_sparse` and their like.

    >>> x = torch.eye(2).to_sparse()
    >>> isinstance(x, torch.Tensor), x.layout
    (True, torch.sparse_coo)
    """

    __slots__ = (
        "_format",  # the layout
        "_at",  # (indices,) of COO; (compressed, plain indices) of the others
        "_sizes",
        "_unique",  # whether COO is coalesced: indices sorted, none twice
        "_known",  # what was derived from the indices: shared by all tensors with these
    )

    # ------------------------------------------------------------ what it is

    shape = property(lambda self: self._sizes, doc="The size of each dimension, a torch.Size.")
    ndim = property(lambda self: len(self._sizes), doc="Number of dimensions.")
    layout = property(lambda self: self._format, doc="torch.sparse_coo, sparse_csr or sparse_csc.")
    is_sparse = property(lambda self: self._format is sparse_coo)
    is_sparse_csr = property(lambda self: self._format is sparse_csr)

    def size(self, dim=None):
        """The shape, or the size of dimension `dim`."""
        return self._sizes if dim is None else self._sizes[wrapped(dim, self.ndim)]

    def dim(self) -> int:
        """Number of dimensions."""
        return len(self._sizes)

    ndimension = dim

    def numel(self) -> int:
        """Number of elements, those that are not there included."""
        return int(np.prod(self._sizes, dtype=np.int64))

    nelement = numel

    def __len__(self) -> int:
        return self._sizes[0]

    def is_contiguous(self, memory_format=None) -> bool:
        """False: the elements lie nowhere."""
        return False

    def numpy(self, *, force: bool = False):
        """TypeError: ask for to_dense() first."""
        raise TypeError(f"can't convert {TITLES[self._format]} layout tensor to numpy. "
                        "Use Tensor.to_dense() first.")

    def copy_(self, src, non_blocking: bool = False):
        """Become a copy of the sparse tensor `src`, in this dtype."""
        if not isinstance(src, SparseTensor) or src._format is not self._format:
            raise RuntimeError(f"copy_() from {src.layout} to {self._format} is not implemented")
        self.check_writable("copy_")
        return self._become(src.to(self.dtype).clone())

    def _become(self, other):
        """Hold what `other` holds: written into this memory if the places are the same."""
        if self._at is other._at and self._sizes == other._sizes and self.dtype is other.dtype:
            if self._entries is not other._entries:
                self._entries.copy_(other._entries)
            return self
        own = self._own
        self._format, self._at, self._sizes = other._format, other._at, other._sizes
        self._unique, self._known = other._unique, other._known
        self._entries, self._own = other._entries, False
        return self.requires_grad_() if own else self

    @property
    def _maker(self):
        """What makes a COO tensor like this of indices and entries; it holds no memory."""
        return functools.partial(coo, sizes=self._sizes, unique=self._unique)

    def _like(self, entries: Tensor):
        """Other entries in these places."""
        return like(self, entries)

    # ------------------------------------------------------------ copies

    def __reduce_ex__(self, protocol):
        parts = (*self._at, self._entries.detach())
        state = (self._own, dict(self.__dict__))
        return _rebuild, (self._format, parts, tuple(self._sizes), self._unique, state)


def make(form: layout, at: tuple, entries: Tensor, sizes, unique: bool = False,
         known: dict | None = None) -> SparseTensor:
    """A sparse tensor of its parts, unchecked."""
    if SparseTensor not in overrides.OTHERS:
        overrides.OTHERS.append(SparseTensor)
        from . import sparse_forms  # noqa: F401 - calls are looked up from now on
    t = new(SparseTensor)
    t._format, t._at, t._entries, t._sizes = form, at, entries, Size(sizes)
    t._unique, t._own, t._known = unique, False, {} if known is None else known
    return t


def coo(index: Tensor, entries: Tensor, sizes, unique: bool = False) -> SparseTensor:
    """A COO tensor of coordinates (sparse dims, entries) and entries (entries, *dense dims)."""
    return make(sparse_coo, (index,), entries, sizes, unique)


def like(t: SparseTensor, entries: Tensor) -> SparseTensor:
    """Other entries in the places of `t`."""
    return make(t._format, t._at, entries, t._sizes, t._unique, t._known)


def wrapped(dim: int, n: int) -> int:
    """A dim counted from the front; IndexError if it is out of range."""
    if not -n <= dim < max(n, 1):
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim % max(n, 1)


def _rebuild(form, parts, sizes, unique, state):
    made = make(form, parts[:-1], parts[-1], sizes, unique)
    own, attributes = state
    made.__dict__.update(attributes)
    return made.requires_grad_() if own else made


__all__ = ["SparseTensor", "coo", "like", "make"]
