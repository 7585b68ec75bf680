"""What distributions share: parameters broadcast together, probabilities and logits, triangles."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from numbers import Number
from typing import Any

import rushlight as torch
from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]

euler_constant = 0.57721566490153286060  # Euler and Mascheroni's


def is_number(x: object) -> bool:
    """Whether `x` is a Python number and not a tensor."""
    return isinstance(x, (int, float))


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors of one common shape; numbers take the dtype of the first tensor (or the default).

    Raises ValueError for anything that is neither a number nor a tensor.

    >>> low, high = broadcast_all(0.0, torch.tensor([1.0, 2.0]))
    >>> low
    tensor([0., 0.])
    """
    like = None
    for v in values:
        if not isinstance(v, (Tensor, Number)) and not hasattr(type(v), "__torch_function__"):
            raise ValueError(
                "Parameters must be numbers or tensors (or implement __torch_function__), but got "
                f"{type(v).__name__}"
            )
        if like is None and isinstance(v, Tensor):
            like = v
    dtype = torch.get_default_dtype() if like is None else like.dtype
    tensors = [torch.tensor(v, dtype=dtype) if isinstance(v, Number) else v for v in values]
    shape = tensors[0].shape
    if all(t.shape == shape for t in tensors):
        return tuple(tensors)
    return torch.broadcast_tensors(*tensors)


def _standard_normal(shape: Any, dtype: Any, device: Any = None) -> Tensor:
    """Standard normal numbers."""
    return torch.empty(shape, dtype=dtype, device=device).normal_()


def _sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """The sum over the last `dim` dimensions."""
    return value if dim == 0 else value.reshape(value.shape[:-dim] + (-1,)).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities: the sigmoid of log odds if `is_binary`, else the softmax of the last dimension.

    >>> logits_to_probs(torch.zeros(4))
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    return torch.sigmoid(logits) if is_binary else F.softmax(logits, dim=-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept inside of [eps, 1 - eps], eps being the dtype's machine precision.

    >>> clamp_probs(torch.tensor([0.0, 0.5])) > 0
    tensor([True, True])
    """
    eps = torch.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log odds if `is_binary`, else logarithms of probabilities, both of clamped ones.

    >>> probs_to_logits(torch.tensor(0.5), is_binary=True)
    tensor(0.)
    """
    clamped = clamp_probs(probs)
    logs = torch.log(clamped)
    return logs - torch.log1p(-clamped) if is_binary else logs


class lazy_property:
    """A property that is computed at its first use, with gradients, and is an attribute from then on.

    >>> class Square:
    ...     side = 3
    ...     @lazy_property
    ...     def area(self):
    ...         return self.side ** 2
    >>> Square().area
    9
    """

    def __init__(self, wrapped: Callable) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return _LazyOnClass(self.wrapped)
        if torch.is_grad_enabled():
            value = self.wrapped(instance)
        else:
            with torch.enable_grad():
                value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _LazyOnClass(lazy_property, property):
    """What a class shows of its lazy property: documentation tools look for a property."""

    def __init__(self, wrapped: Callable) -> None:
        property.__init__(self, wrapped)


def _below_diagonal(n: int, diag: int) -> Tensor:
    """A mask of the n x n elements on and below a diagonal."""
    return torch.ones(n, n, dtype=torch.bool).tril(diag)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements on and below a diagonal, row by row: (..., n, n) to (..., m).

    Raises ValueError if the diagonal is outside of the matrix.

    >>> tril_matrix_to_vec(torch.tensor([[1, 0], [2, 3]]))
    tensor([1, 2, 3])
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(
            f"tril_matrix_to_vec: diag must be in [{-n}, {n - 1}] for a matrix of shape "
            f"{tuple(mat.shape)}, but got {diag}"
        )
    return mat[..., _below_diagonal(n, diag)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The inverse of `tril_matrix_to_vec`: (..., m) to (..., n, n), with zeros above the diagonal.

    Raises ValueError if m is not the size of such a triangle.

    >>> vec_to_tril_matrix(torch.tensor([1., 2., 3.]))
    tensor([[1., 0.],
            [2., 3.]])
    """
    m = vec.shape[-1]
    # m = (n + d)(n + d + 1) / 2, without the corner of d (d + 1) / 2 if d > 0, solved for n
    corner = 4 * abs(diag) * (diag + 1)
    n = (((1 + 2 * diag) ** 2 + 8 * m + corner) ** 0.5 - (1 + 2 * diag)) / 2
    if round(n) - n > torch.finfo(vec.dtype).eps:
        raise ValueError(
            f"vec_to_tril_matrix: {m} elements (of shape {tuple(vec.shape)}) do not fill a "
            f"triangle with diag={diag}"
        )
    size = round(n)
    mat = vec.new_zeros(vec.shape[:-1] + (size, size))
    mat[..., _below_diagonal(size, diag)] = vec
    return mat
