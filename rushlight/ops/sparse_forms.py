"""What operators do with sparse tensors: a *form* for each, under the operator's public name.

A form has the operator's signature and is written with ordinary operators on indices and entries
(`sparse_tensor.py` says how it is found). An operator without one raises NotImplementedError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..trace import overrides
from ..trace.dtypes import FLOAT, int64, sparse_coo, sparse_csr, strided, type_name
from ..trace.layouts import filled
from ..trace.operator import PUBLISHED
from ..trace.promotion import promote
from ..trace.tensor import Tensor
from . import copies, matmul  # noqa: F401 - some forms are of their functions
from .sparse import aware, empty_in, in_layout
from .sparse_index import (
    as_coo,
    coalesced,
    coordinates,
    flattened,
    gathered,
    is_sparse,
    meetings,
    numbered,
    picked,
    places,
    remembered,
    row,
    sparse_dims,
    spread,
    transposed,
)
from .sparse_tensor import SparseTensor, constant, coo, host, like, make, wrapped

torch: Any = PUBLISHED["torch"]


def form(*names: str, space: str = "torch"):
    """Register the decorated function as the form for sparse tensors of the operators `names`."""

    def register(fn):
        for name in names:
            overrides.FORMS[PUBLISHED[space][name]] = fn
        return fn

    return register


# ---------------------------------------------------------------- elementwise: 0 stays 0

LINEAR = (
    "neg positive real imag conj conj_physical resolve_conj rad2deg deg2rad clone to float double half "
    "bfloat16 int long short char byte bool cfloat cdouble cpu"
)
UNARY = (
    "abs asin asinh atan atanh ceil erf erfinv expm1 floor frac isinf isnan isneginf isposinf log1p "
    "nan_to_num round sgn sign signbit sin sinh sqrt square tan tanh trunc angle relu"
)


def each_once(t: SparseTensor) -> SparseTensor:
    """`t` with each element there once, so that a function of it is one of its entries."""
    return coalesced(t) if t._format is sparse_coo else t


def _elementwise(public, linear: bool) -> None:
    def of_entries(input, *args, **kwargs):
        t = input if linear else each_once(input)
        entries = public(t._entries, *args, **kwargs)
        return t if entries is t._entries else like(t, entries)

    overrides.FORMS[public] = of_entries


for _name in (LINEAR + " " + UNARY).split():
    for _space in ("torch", "Tensor", "nn.functional"):
        if _name in PUBLISHED[_space]:
            _elementwise(PUBLISHED[_space][_name], _name in LINEAR.split())


@form("relu_", space="Tensor")
def _relu_(input):
    input.check_writable("relu_")
    return input._become(input.relu())


@form("type", space="Tensor")
def _type(self, dtype=None, non_blocking=False):
    if dtype is None:
        return f"torch.sparse.{type_name(self.dtype)}Tensor"
    return like(self, self._entries.type(dtype))


@form("type_as", space="Tensor")
def _type_as(self, other):
    return self.to(other.dtype)


@form("zeros_like", "empty_like")
def _zeros_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, **how):
    kind, n = layout or input._format, sparse_dims(input)
    if kind is strided:
        made = filled(tuple(input.shape), 0, dtype or input.dtype)
    else:
        made = empty_in(kind, input._sizes, dtype or input.dtype, n)
    return made.requires_grad_() if requires_grad else made


@form("zero_", space="Tensor")
def _zero_(self):
    self.check_writable("zero_")
    return self._become(_zeros_like(self))


def _same_shape(name: str, a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise RuntimeError(f"{name}: expected sizes of 'self' and 'other' to match, but "
                           f"{list(a.shape)} != {list(b.shape)}")


@form("add")
def _add(input, other, *, alpha=1):
    numbers = not (isinstance(input, Tensor) and isinstance(other, Tensor))
    if numbers or input.is_sparse and not is_sparse(other):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    _same_shape("add", input, other)
    if not is_sparse(other):
        return torch["add"](input.to_dense(), other, alpha=alpha)
    if not is_sparse(input):
        kind = promote(input._s.m, other._entries._s.m)
        flat = input.to(kind).reshape(flattened(other))
        added = flat.index_add(0, places(other), other._entries.to(kind), alpha=alpha)
        return added.reshape(input.shape)
    if input._at is other._at:
        return like(input, torch["add"](input._entries, other._entries, alpha=alpha))
    a, b = as_coo(input), as_coo(other)
    kind = promote(a._entries._s.m, b._entries._s.m)
    scaled = b._entries if alpha == 1 else b._entries * alpha
    made = coo(torch["cat"]([a._at[0], b._at[0]], 1),
               torch["cat"]([a._entries.to(kind), scaled.to(kind)]), input._sizes)
    return in_layout(coalesced(made) if a._unique and b._unique else made, input._format)


@form("sub")
def _sub(input, other, *, alpha=1):
    return _add(input, other, alpha=-alpha)


def _is_number(x: Any) -> bool:
    return not isinstance(x, Tensor) or not is_sparse(x) and not x.ndim


@form("mul")
def _mul(input, other):
    if not is_sparse(input):
        input, other = other, input
    if _is_number(other):
        return like(input, input._entries * other)
    if not is_sparse(other):
        t = each_once(input)
        return like(t, t._entries * gathered(other, t))
    _same_shape("mul", input, other)
    a, b = each_once(input), each_once(other)
    if a._at is b._at:
        return like(a, a._entries * b._entries)
    a, b = coalesced(a), coalesced(b)
    _, i, j = np.intersect1d(host(places(a)), host(places(b)), True, True)
    made = picked(a, i, host(a._at[0])[:, i], a._sizes, True)
    return in_layout(like(made, made._entries * b._entries.index_select(0, constant(j))),
                     input._format)


def _divided(public) -> None:
    def divided(input, other, **how):
        if not is_sparse(input) or not _is_number(other):
            raise RuntimeError(
                "Sparse division requires a scalar or zero-dim dense tensor divisor (got shape "
                f"{list(other.shape)} for divisor)"
            )
        rounds = how.get("rounding_mode") or public is torch["floor_divide"]
        t = each_once(input) if rounds else input
        return like(t, public(t._entries, other, **how))

    overrides.FORMS[public] = divided


for _name in ("div", "true_divide", "floor_divide"):
    _divided(torch[_name])


@form("pow")
def _pow(input, exponent):
    if not is_sparse(input) or isinstance(exponent, Tensor) or not exponent > 0:
        raise NotImplementedError("pow() of sparse tensors takes a positive number as exponent: "
                                  "anything else makes zeros something else; use .to_dense()")
    t = each_once(input)
    return like(t, t._entries ** exponent)


# ---------------------------------------------------------------- reductions


@form("sum")
def _sum(input, dim=None, keepdim=False, *, dtype=None):
    dims = range(input.ndim) if dim is None or dim == () else [
        wrapped(d, input.ndim) for d in ((dim,) if isinstance(dim, int) else dim)]
    n = sparse_dims(input)
    sizes = [1 if d in dims else k for d, k in enumerate(input._sizes) if keepdim or d not in dims]
    gone = tuple([d for d in dims if d < n])
    entries = input._entries
    if dtype is not None or entries.dtype.category < FLOAT:
        entries = entries.to(dtype or int64)
    if len(gone) < len(dims):
        entries = entries.sum([d - n + 1 for d in dims if d >= n], keepdim=keepdim)
    if len(gone) == n:
        return entries.sum(0).reshape(sizes)
    if not gone:
        return make(sparse_coo, (coordinates(input),), entries, sizes, input._unique)

    def found():
        index = host(coordinates(input)).copy()
        index[list(gone)] = 0
        return (constant(index if keepdim else np.delete(index, gone, 0)),), {}

    at, known = remembered(input, ("sum", gone, keepdim), found)
    made = coalesced(make(sparse_coo, at, entries, sizes, known=known))
    return in_layout(made, input._format) if keepdim else made


def _of_all(name: str) -> None:
    def of_all(input, *args, dim=None, **how):
        if dim is not None:
            raise NotImplementedError(f"{name}() of sparse tensors is that of all elements: no dim")
        return torch[name](each_once(input)._entries.reshape(-1), *args, **how)

    form(name)(of_all)


for _name in ("norm", "any"):
    _of_all(_name)


def normalized(input: SparseTensor, dim: int, logarithm: bool, dtype: Any = None) -> SparseTensor:
    """(log_)softmax along `dim` of the entries that are there: what is not there counts as -inf."""
    t, dim = coalesced(input), wrapped(dim, input.ndim)
    entries = t._entries if dtype is None else t._entries.to(dtype)
    n = sparse_dims(t)
    if dim >= n:
        return like(t, torch["log_softmax" if logarithm else "softmax"](entries, dim - n + 1))

    def found():
        others = [d for d in range(n) if d != dim]
        lines = numbered(host(t._at[0])[others], [t._sizes[d] for d in others])
        return constant(np.unique(lines, return_inverse=True)[1])

    line = remembered(t, ("lines", dim), found)
    sizes = (int(host(line).max(initial=-1)) + 1, *entries.shape[1:])
    lowest = filled(sizes, -np.inf, entries.dtype)
    most = lowest.index_reduce(0, line, entries.detach(), "amax").index_select(0, line)
    powers = (entries - most).exp()
    total = spread(powers, line, sizes).index_select(0, line)
    return like(t, entries - most - total.log() if logarithm else powers / total)


# ---------------------------------------------------------------- products


def multiply(a: SparseTensor, b: Tensor, reduce: str = "sum") -> Tensor:
    """Sparse (n, m) @ dense (m, k); other reductions ("mean", "amax", "amin") of the same products.

    These are over the entries that are there, 0 where there are none.
    """
    products = b.index_select(0, row(a, 1)) * a._entries.unsqueeze(1)
    sizes = (a._sizes[0], b.shape[1])
    if reduce == "sum":
        return spread(products, row(a, 0), sizes)
    start = filled(sizes, {"mean": 0, "amax": -np.inf, "amin": np.inf}[reduce], products.dtype)
    made = start.index_reduce(0, row(a, 0), products, reduce, include_self=False)
    empty = np.bincount(host(row(a, 0)), minlength=sizes[0]) == 0
    return made.masked_fill(constant(empty[:, None]), 0)


def _multiply_sparse(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """Sparse (n, m) @ sparse (m, k): each entry of `a` meets the entries in one row of `b`."""
    i, j = meetings(host(row(a, 1)), host(row(b, 0)), b._sizes[0])
    index = np.stack([host(row(a, 0))[i], host(row(b, 1))[j]])
    made = picked(as_coo(a), i, index, (a._sizes[0], b._sizes[1]))
    made = coalesced(like(made, made._entries * b._entries.index_select(0, constant(j))))
    return made if a._format is sparse_coo else in_layout(made, sparse_csr)


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
    if input.ndim != 2 or vec.ndim != 1 or is_sparse(vec) or input.shape[1] != vec.shape[0]:
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
    b, i, j = host(coordinates(input))  # one matrix with the batch's along its diagonal
    whole = coo(constant(np.stack([b * n + i, b * m + j])), input._entries, (batch * n, batch * m))
    return multiply(whole, mat2.reshape(batch * m, -1)).reshape(batch, n, -1)


@form("matmul")
def _matmul(input, other):
    if other.ndim == 1:
        return _mv(input, other)
    if input.ndim == 1:
        return _mv(transposed(other, 0, 1), input)
    return _bmm(input, other) if input.ndim == 3 else _mm(input, other)


@form("addmm")
def _addmm(input, mat1, mat2, *, beta=1, alpha=1):
    product = _mm(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    kept = input if beta == 1 else input * beta
    if is_sparse(kept):
        return kept + product if is_sparse(product) else product + kept
    return kept.expand(product.shape) + product


@form("linear", space="nn.functional")
def _linear(input, weight, bias=None):
    flat = input if is_sparse(input) else input.reshape(-1, input.shape[-1])
    out = _mm(flat, weight.t()).reshape(*input.shape[:-1], -1)
    return out if bias is None else out + bias


@aware("torch Tensor")
def smm(input, mat):
    """`input @ mat` of a sparse and a dense matrix, as a sparse matrix."""
    return in_layout(_mm(input, mat), sparse_coo)


@aware("torch")
def hspmm(mat1, mat2):
    """`mat1 @ mat2` of a sparse and a dense matrix: sparse rows, each dense."""
    if not is_sparse(mat1) or is_sparse(mat2):
        raise RuntimeError("hspmm: expected a sparse and a dense matrix")
    rows, at = np.unique(host(row(mat1, 0)), return_inverse=True)
    lines = coo(constant(np.stack([at, host(row(mat1, 1))])), mat1._entries,
                (rows.size, mat1._sizes[1]))
    return coo(constant(rows[None]), multiply(lines, mat2), (mat1._sizes[0], mat2.shape[1]))


def sampled_addmm(input: SparseTensor, mat1: Tensor, mat2: Tensor, beta: Any = 1.0,
                  alpha: Any = 1.0) -> SparseTensor:
    """`alpha * (mat1 @ mat2) + beta * input` where `input` (CSR) has entries."""
    if input.layout is not sparse_csr:
        raise RuntimeError(f"sampled_addmm: Expected self tensor with sparse CSR layout, but got "
                           f"{input.layout}")
    if mat1.ndim != 2 or mat2.ndim != 2 or mat1.shape[1] != mat2.shape[0] or \
            (mat1.shape[0], mat2.shape[1]) != tuple(input._sizes):
        raise RuntimeError(f"sampled_addmm: mat1 and mat2 of shapes {list(mat1.shape)} and "
                           f"{list(mat2.shape)} make no matrix of shape {list(input._sizes)}")
    dots = mat1.index_select(0, row(input, 0)) * mat2.t().index_select(0, row(input, 1))
    return like(input, dots.sum(1) * alpha + input._entries * beta)


# ---------------------------------------------------------------- parts and joining


@form("index_select")
def _index_select(input, dim, index):
    t, dim = coalesced(input), wrapped(dim, input.ndim)
    n, wanted = sparse_dims(t), host(index).reshape(-1)
    sizes = (*t._sizes[:dim], wanted.size, *t._sizes[dim + 1:])
    if dim >= n:
        return make(sparse_coo, t._at, t._entries.index_select(dim - n + 1, index), sizes, t._unique)
    if wanted.size and not 0 <= wanted.min() <= wanted.max() < t._sizes[dim]:
        raise IndexError(f"index_select(): index out of range for dim {dim} of size {t._sizes[dim]}")
    position, chosen = meetings(wanted, host(row(t, dim)), t._sizes[dim])
    moved = host(t._at[0])[:, chosen]
    moved[dim] = position
    return picked(t, chosen, moved, sizes)


@form("narrow_copy", "narrow")
def _narrow(input, dim, start, length):
    size, first = input.size(dim), int(start)
    first += size if first < 0 else 0
    if first < 0 or length < 0 or first + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return coalesced(_index_select(input, dim, constant(np.arange(first, first + length))))


@form("select")
def _select(input, dim, index):
    dim, size, index = wrapped(dim, input.ndim), input.size(dim), int(index)
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size "
                         f"{list(input._sizes)} at dimension {dim}")
    t = _narrow(input, dim, index % size, 1)
    n, sizes = sparse_dims(t), (*t._sizes[:dim], *t._sizes[dim + 1:])
    if dim >= n:
        return make(sparse_coo, t._at, t._entries.select(dim - n + 1, 0), sizes, t._unique)
    if n == 1:  # nothing sparse is left
        return t._entries.sum(0)
    return coo(constant(np.delete(host(t._at[0]), dim, 0)), t._entries, sizes, True)


def _getitem(self, index):
    """`x[i]`, `x[i, j]`, `x[a:b]`: integers select, slices of step 1 narrow; else NotImplementedError."""
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
    parts, dim = [as_coo(t) for t in tensors], wrapped(dim, tensors[0].ndim)
    n, sizes = sparse_dims(parts[0]), [*parts[0]._sizes]
    if dim >= n:
        raise NotImplementedError(f"cat of sparse tensors along dense dim {dim}: use .to_dense()")
    index, sizes[dim] = [], 0
    for t in parts:
        if sparse_dims(t) != n or [*t._sizes[:dim], 0, *t._sizes[dim + 1:]] != \
                [*sizes[:dim], 0, *sizes[dim + 1:]]:
            raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}, but got "
                               f"{list(t._sizes)} beside {list(parts[0]._sizes)}")
        index.append(host(t._at[0]).copy())
        index[-1][dim] += sizes[dim]
        sizes[dim] += t._sizes[dim]
    made = coo(constant(np.concatenate(index, 1)), torch["cat"]([t._entries for t in parts]), sizes)
    return in_layout(made, tensors[0]._format)


@form("stack")
def _stack(tensors, dim=0):
    return _cat([_unsqueeze(t, dim) for t in tensors], wrapped(dim, tensors[0].ndim + 1))


@form("unsqueeze")
def _unsqueeze(input, dim):
    t, dim = as_coo(input), wrapped(dim, input.ndim + 1)
    n, sizes = sparse_dims(t), (*t._sizes[:dim], 1, *t._sizes[dim:])
    if dim > n:
        return make(sparse_coo, t._at, t._entries.unsqueeze(dim - n + 1), sizes, t._unique)
    return coo(constant(np.insert(host(t._at[0]), dim, 0, 0)), t._entries, sizes, t._unique)


@form("transpose", "swapaxes", "swapdims")
def _transpose(input, dim0, dim1):
    return transposed(input, wrapped(dim0, input.ndim), wrapped(dim1, input.ndim))


@form("t")
def _t(input):
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input if input.ndim < 2 else transposed(input, 0, 1)


for _name in ("T", "mT"):
    overrides.FORMS[PUBLISHED["Tensor"][_name]] = _t


@form("permute")
def _permute(input, dims):
    order = [wrapped(d, input.ndim) for d in dims]
    if sorted(order) != list(range(input.ndim)):
        raise RuntimeError(f"permute: dims {list(dims)} are not those of a tensor with {input.ndim}")
    made, now = input, list(range(input.ndim))
    for i, d in enumerate(order):  # by exchanges
        j = now.index(d)
        made, now[i], now[j] = transposed(made, i, j), now[j], now[i]
    return made
