"""torch.sparse: functions on sparse tensors that are no plain operators.

Sparse tensors are made by `torch.sparse_coo_tensor`, `torch.sparse_csr_tensor` and `Tensor.to_sparse`;
`rushlight/ops/sparse_tensor.py` says what they are. Arithmetic, products and indexing are PyTorch's
ordinary operators.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.ops import sparse as _makers
from rushlight.ops import sparse_forms as _forms
from rushlight.ops import sparse_index as _index
from rushlight.ops.sparse_tensor import constant, coo, host
from rushlight.trace import dtypes
from rushlight.trace.construct import TYPED_TENSORS
from rushlight.trace.operator import PUBLISHED
from rushlight.trace.tensor import Tensor

__all__ = [
    "SparseSemiStructuredTensor",
    "SparseSemiStructuredTensorCUSPARSELT",
    "SparseSemiStructuredTensorCUTLASS",
    "addmm",
    "as_sparse_gradcheck",
    "check_sparse_tensor_invariants",
    "log_softmax",
    "mm",
    "sampled_addmm",
    "softmax",
    "spdiags",
    "spsolve",
    "sum",
    "to_sparse_semi_structured",
]
_published = PUBLISHED["torch"]


def _sparse(name: str, t: Any) -> None:
    if not _index.is_sparse(t):
        raise RuntimeError(f"torch.sparse.{name}: expected a sparse tensor, but got layout {t.layout}")


def mm(mat1: Tensor, mat2: Tensor, reduce: str = "sum") -> Tensor:
    """The matrix product `mat1 @ mat2`; one of them, or both, sparse. Two sparse ones make a sparse one.

    reduce: what is made of a sum's terms: "sum", or (of sparse times dense) "mean", "amax", "amin" of those
    that are there. Gradients flow to the entries of sparse factors and to dense ones. Raises RuntimeError for shapes
    and dtypes that do not fit.

    >>> a = torch.tensor([[0.0, 2.0], [1.0, 0.0]]).to_sparse_csr()
    >>> torch.sparse.mm(a, torch.ones(2, 1))
    tensor([[2.],
            [1.]])
    """
    if reduce not in ("sum", "mean", "amax", "amin"):
        raise RuntimeError("reduce argument must be either sum, mean, amax or amin, got " + reduce)
    if reduce != "sum":
        _sparse("mm", mat1)
        return _forms.multiply(mat1, mat2, reduce)
    return _published["mm"](mat1, mat2)


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0, alpha: Any = 1.0) -> Tensor:
    """`beta * mat + alpha * (mat1 @ mat2)` with a sparse `mat1`."""
    return _published["addmm"](mat, mat1, mat2, beta=beta, alpha=alpha)


def sum(input: Tensor, dim: Any = None, dtype: dtypes.dtype | None = None) -> Tensor:
    """The sum of all elements, or over dims; sparse if sparse dims are left.

    >>> a = torch.tensor([[0.0, 2.0], [1.0, 3.0]]).to_sparse()
    >>> torch.sparse.sum(a), torch.sparse.sum(a, 0).to_dense()
    (tensor(6.), tensor([1., 5.]))
    """
    _sparse("sum", input)
    return _published["sum"](input, dim, dtype=dtype)


def softmax(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """softmax along `dim` over the entries that are there, as if all other elements were -inf.

    >>> a = torch.sparse_coo_tensor([[0, 0], [1, 2]], [0.0, 0.0], (1, 4))
    >>> torch.sparse.softmax(a, 1).to_dense()
    tensor([[0.0000, 0.5000, 0.5000, 0.0000]])
    """
    _sparse("softmax", input)
    return _forms.normalized(input, dim, False, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The logarithm of `softmax`."""
    _sparse("log_softmax", input)
    return _forms.normalized(input, dim, True, dtype)


def sampled_addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0,
                  alpha: Any = 1.0, out: Tensor | None = None) -> Tensor:
    """`alpha * (mat1 @ mat2) + beta * input` where the CSR matrix `input` has entries, and only there.

    mat1: (n, k), mat2: (k, m), dense. Raises RuntimeError for other layouts and shapes that do not fit.

    >>> a = torch.eye(2).to_sparse_csr()
    >>> torch.sparse.sampled_addmm(a, torch.ones(2, 3), torch.ones(3, 2)).values()
    tensor([4., 4.])
    """
    made = _forms.sampled_addmm(input, mat1, mat2, beta, alpha)
    return made if out is None else out._become(made)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> Tensor:
    """A sparse matrix with the rows of `diagonals` on the diagonals `offsets`, entry j in column j.

    offsets: int64, each once. layout: COO (default), CSR or CSC. Raises RuntimeError otherwise.

    >>> torch.sparse.spdiags(torch.tensor([[1.0, 2.0]]), torch.tensor([1]), (2, 2)).to_dense()
    tensor([[0., 2.],
            [0., 0.]])
    """
    rows = diagonals.reshape(-1, diagonals.shape[-1])
    steps = host(offsets).reshape(-1)
    if steps.size != rows.shape[0] or len(set(steps.tolist())) != steps.size:
        raise RuntimeError(f"spdiags: offsets must be unique, one for each of {rows.shape[0]} diagonals")
    index, where = [], []
    n, m = shape
    for k, step in enumerate(steps.tolist()):
        columns = np.arange(max(step, 0), max(min(m, n + step, rows.shape[1]), max(step, 0)))
        index.append(np.stack([columns - step, columns]))
        where.append(k * rows.shape[1] + columns)
    values = rows.reshape(-1).index_select(0, constant(np.concatenate(where)))
    made = coo(constant(np.concatenate(index, 1)), values, shape)
    return made if layout in (None, dtypes.sparse_coo) else _makers.in_layout(made, layout)


def spsolve(input: Tensor, other: Tensor, *, left: bool = True) -> Tensor:
    """NotImplementedError, as PyTorch's on CPUs: use torch.linalg.solve(input.to_dense(), other)."""
    raise NotImplementedError(
        "torch.sparse.spsolve needs a GPU in PyTorch, too: use torch.linalg.solve(a.to_dense(), b)"
    )


class check_sparse_tensor_invariants:
    """Whether indices of new sparse tensors are checked: a switch, a context manager and a decorator.

    >>> with torch.sparse.check_sparse_tensor_invariants():
    ...     torch.sparse.check_sparse_tensor_invariants.is_enabled()
    True
    """

    def __init__(self, enable: bool = True) -> None:
        self.state = enable
        self._before: bool | None = None

    @staticmethod
    def is_enabled() -> bool:
        """Whether invariants are checked where `check_invariants` is not given."""
        return _makers.CHECK[0]

    @staticmethod
    def enable() -> None:
        """Check from now on."""
        _makers.CHECK[0] = True

    @staticmethod
    def disable() -> None:
        """Do not check from now on."""
        _makers.CHECK[0] = False

    def __enter__(self) -> None:
        if self._before is not None:
            raise RuntimeError("This context manager instance is already activated. Use a different "
                               "context manager instance for context nesting.")
        self._before, _makers.CHECK[0] = _makers.CHECK[0], self.state

    def __exit__(self, *error: Any) -> None:
        _makers.CHECK[0], self._before = bool(self._before), None

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def checking(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.state):
                return function(*args, **kwargs)

        return checking


def as_sparse_gradcheck(gradcheck: Callable) -> Callable:
    """`torch.autograd.gradcheck` for functions of sparse tensors, whose entries are varied.

    masked: accepted; what is not there stays so.

    >>> check = torch.sparse.as_sparse_gradcheck(torch.autograd.gradcheck)
    >>> x = torch.eye(2, dtype=torch.float64).to_sparse().requires_grad_()
    >>> check(lambda x: x.to_sparse_csr() * 2, x)
    True
    """

    def check(function: Callable, inputs: Any, *, masked: bool = True, **options: Any) -> Any:
        inputs = inputs if isinstance(inputs, tuple | list) else (inputs,)
        entries = [
            x._values().requires_grad_(x.requires_grad) if _index.is_sparse(x) else x for x in inputs
        ]

        def of_entries(*given: Any) -> Any:
            made = function(*[
                x._like(g) if _index.is_sparse(x) else g for x, g in zip(inputs, given, strict=True)
            ])
            return tuple([t.to_dense() for t in made]) if isinstance(made, tuple) else made.to_dense()

        return gradcheck(of_entries, tuple(entries), **options)

    return check


class SparseSemiStructuredTensor:
    """2:4 sparsity, a format of certain GPUs' products: making one raises NotImplementedError.

    >>> isinstance(torch.eye(4), torch.sparse.SparseSemiStructuredTensor)
    False
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "semi-structured (2:4) sparsity is there for certain GPUs only: keep the tensor dense"
        )


class SparseSemiStructuredTensorCUTLASS(SparseSemiStructuredTensor):
    """As SparseSemiStructuredTensor, for one library of products.

    >>> isinstance(torch.eye(4), torch.sparse.SparseSemiStructuredTensorCUTLASS)
    False
    """


class SparseSemiStructuredTensorCUSPARSELT(SparseSemiStructuredTensor):
    """As SparseSemiStructuredTensor, for another library of products.

    >>> isinstance(torch.eye(4), torch.sparse.SparseSemiStructuredTensorCUSPARSELT)
    False
    """


def to_sparse_semi_structured(original_tensor: Tensor, transposed: bool = False) -> Any:
    """NotImplementedError: there is no such format on CPUs."""
    return SparseSemiStructuredTensor(original_tensor)


class _TypedTensor(type):
    """The metaclass of torch.sparse.FloatTensor and its like: makers of COO, and tests of dtypes."""

    dtype: dtypes.dtype

    def __call__(cls, *args: Any) -> Tensor:
        return _published["sparse_coo_tensor"](*args, dtype=cls.dtype)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.is_sparse and instance.dtype is cls.dtype


for _name, _dense in TYPED_TENSORS.items():
    globals()[_name] = _TypedTensor(_name, (), {
        "dtype": _dense.dtype, "__module__": "torch.sparse",
        "__doc__": f"A sparse COO {_dense.dtype.name} tensor of indices, values and sizes.",
    })
