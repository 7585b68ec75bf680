"""Functions of torch that few programs use, made of other operators."""

from __future__ import annotations

import math
import os

import numpy as np

from ..trace import dtypes
from ..trace.operator import PUBLISHED, Tensor, function, op
from ..trace.tensor import Tensor as TensorClass
from ..trace.tensor import wrap_shared
from . import rules
from .shape import cat, stack
from .sparse import aware

torch = PUBLISHED["torch"]


# ---------------------------------------------------------------- products

@function(api="nn.functional")
def grouped_mm(mat_a: Tensor, mat_b: Tensor, *, offs: Tensor | None = None, bias: Tensor | None = None, out_dtype=None):
    """Products of groups: rows of `mat_a` (or columns of `mat_b`, or what is summed over) up to each of `offs`.

    (M, K) and (G, K, N): group i of the rows times matrix i. (G, M, K) and (K, N): matrix i times group i of
    the columns. (M, K) and (K, N): (G, M, N), from group i of K. Two batches: `bmm`, without offs. What
    lies beyond offs[-1] is zero. RuntimeError for other shapes.
    """
    dims = mat_a.dim(), mat_b.dim()
    if dims not in ((2, 2), (2, 3), (3, 2), (3, 3)) or (offs is None) != (dims == (3, 3)):
        raise RuntimeError(
            f"grouped_mm: mat_a and mat_b must have 2 or 3 dimensions, and offs for each that has 2; got {tuple(mat_a.shape)}, "
            f"{tuple(mat_b.shape)} and offs {'missing' if offs is None else 'given'}"
        )
    if dims == (3, 3):
        made = mat_a @ mat_b
    else:
        ends = offs.tolist()
        spans = list(zip([0, *ends[:-1]], ends, strict=True))
        if dims == (2, 2):
            made = stack([mat_a[:, s:e] @ mat_b[s:e] for s, e in spans])
        elif dims == (2, 3):
            made = cat([mat_a[s:e] @ mat_b[i] for i, (s, e) in enumerate(spans)])
            made = torch["pad"](made, (0, 0, 0, mat_a.shape[0] - ends[-1])) if ends[-1] < mat_a.shape[0] else made
        else:
            made = cat([mat_a[i] @ mat_b[:, s:e] for i, (s, e) in enumerate(spans)], -1)
            made = torch["pad"](made, (0, mat_b.shape[1] - ends[-1])) if ends[-1] < mat_b.shape[1] else made
    made = made if bias is None else made + bias
    return made if out_dtype is None else made.to(out_dtype)


@aware("torch")
def spmm(input: Tensor, mat2: Tensor):
    """`mm` of a sparse and a dense matrix."""
    return torch["mm"](input, mat2)


@aware("torch")
def hsmm(input: Tensor, mat2: Tensor):
    """`mm` of a sparse and a dense matrix, as a sparse tensor whose entries are rows."""
    return torch["mm"](input, mat2).to_sparse(1)


@aware("torch")
def dsmm(input: Tensor, mat2: Tensor):
    """`mm` of a sparse and a dense matrix."""
    return torch["mm"](input, mat2)


@aware("torch Tensor")
def sspaddmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta=1, alpha=1):
    """`beta * input + alpha * (mat1 @ mat2)` of sparse `input` and `mat1`, as a sparse matrix."""
    return input * beta + (torch["mm"](mat1, mat2) * alpha).to_sparse()


@aware("torch")
def saddmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta=1, alpha=1):
    """`sspaddmm`."""
    return sspaddmm(input, mat1, mat2, beta=beta, alpha=alpha)


# ---------------------------------------------------------------- numbers on a grid

@op(rules.same, api="",
    gradient={"input": lambda g, input, scale, zero_point, quant_min, quant_max: g * _on_grid(
        input, scale, zero_point, quant_min, quant_max)})
def _fake_quantize(input: Tensor, scale: Tensor, zero_point: Tensor, quant_min: int, quant_max: int):
    """The nearest of the numbers (q - zero_point) * scale, q from quant_min to quant_max."""
    q = np.rint(input * (1 / scale)) + zero_point
    return (np.clip(q, quant_min, quant_max) - zero_point) * scale


def _on_grid(input, scale, zero_point, quant_min, quant_max):
    q = (input * (1 / scale)).round() + zero_point
    return (q >= quant_min) & (q <= quant_max)


def _as_float(x, like):
    return x.detach().to(like.dtype) if isinstance(x, TensorClass) else torch["tensor"](float(x), dtype=like.dtype)


@function(api="torch")
def fake_quantize_per_tensor_affine(input: Tensor, scale, zero_point, quant_min: int, quant_max: int):
    """`input` rounded to the numbers (q - zero_point) * scale with integers quant_min <= q <= quant_max.

    The gradient passes where the number is within the range. RuntimeError for an empty range.
    """
    if quant_min > quant_max:
        raise RuntimeError("`quant_min` should be less than or equal to `quant_max`.")
    return _fake_quantize(input, _as_float(scale, input), _as_float(zero_point, input), quant_min, quant_max)


@function(api="torch")
def fake_quantize_per_channel_affine(input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int,
                                     quant_max: int):
    """`fake_quantize_per_tensor_affine` with a scale and zero point for each index of dimension `axis`."""
    if quant_min > quant_max:
        raise RuntimeError("`quant_min` should be less than or equal to `quant_max`.")
    shape = [1] * input.dim()
    shape[axis] = -1
    return _fake_quantize(input, _as_float(scale, input).view(shape), _as_float(zero_point, input).view(shape), quant_min,
                          quant_max)


# ---------------------------------------------------------------- statistics of batch normalisation in parts

def _channels(x, like):
    return x.view([1, -1, *[1] * (like.dim() - 2)])


def _others(x):
    return [i for i in range(x.dim()) if i != 1]


@function(api="torch")
def batch_norm_stats(input: Tensor, eps: float):
    """(mean, 1 / deviation) of each channel (dimension 1)."""
    wide = input.float() if input.dtype.is_half else input
    return wide.mean(_others(input)), (wide.var(_others(input), unbiased=False) + eps).rsqrt()


@function(api="torch")
def batch_norm_elemt(input: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, invstd: Tensor, eps: float):
    """`(input - mean) * invstd * weight + bias` by channels."""
    made = (input - _channels(mean, input)) * _channels(invstd, input)
    made = made if weight is None else made * _channels(weight, input)
    made = made if bias is None else made + _channels(bias, input)
    return made.to(input.dtype)


@function(api="torch")
def batch_norm_gather_stats_with_counts(input: Tensor, mean: Tensor, invstd: Tensor, running_mean: Tensor | None,
                                        running_var: Tensor | None, momentum: float, eps: float, counts: Tensor):
    """(mean, 1 / deviation) of a batch from those of its parts (parts, channels), which have `counts` elements.

    The running statistics are updated.
    """
    n = counts.view(-1, 1).to(mean.dtype)
    total = n.sum()
    whole = (mean * n).sum(0) / total
    squares = ((invstd ** -2 - eps + (mean - whole) ** 2) * n).sum(0)
    if running_mean is not None:
        running_mean.mul_(1 - momentum).add_(whole * momentum)
    if running_var is not None:
        running_var.mul_(1 - momentum).add_(squares / (total - 1) * momentum)
    return whole, (squares / total + eps).rsqrt()


@function(api="torch")
def batch_norm_gather_stats(input: Tensor, mean: Tensor, invstd: Tensor, running_mean: Tensor | None,
                            running_var: Tensor | None, momentum: float, eps: float, count: int):
    """`batch_norm_gather_stats_with_counts` of parts of one size."""
    counts = torch["full"]((mean.shape[0],), float(count))
    return batch_norm_gather_stats_with_counts(input, mean, invstd, running_mean, running_var, momentum, eps, counts)


@function(api="torch")
def batch_norm_update_stats(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, momentum: float):
    """(mean, variance) of each channel, by which the running statistics are updated."""
    dims = _others(input)
    mean, var = input.mean(dims), input.var(dims, unbiased=False)
    n = input.numel() / input.shape[1]
    if running_mean is not None:
        running_mean.mul_(1 - momentum).add_(mean * momentum)
    if running_var is not None:
        running_var.mul_(1 - momentum).add_(var * (n / (n - 1) * momentum))
    return mean, var


@function(api="torch")
def batch_norm_backward_reduce(grad_out: Tensor, input: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor | None,
                               input_g: bool, weight_g: bool, bias_g: bool):
    """(sums of the gradient, of the gradient times `input - mean`, weight's and bias's gradients) by channels."""
    dims = _others(input)
    first = grad_out.sum(dims)
    second = (grad_out * (input - _channels(mean, input))).sum(dims)
    return first, second, second * invstd if weight_g else None, first if bias_g else None


@function(api="torch")
def batch_norm_backward_elemt(grad_out: Tensor, input: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor | None,
                              sum_dy: Tensor, sum_dy_xmu: Tensor, count: Tensor):
    """The gradient of `batch_norm_elemt`'s input, from the sums of all parts (of `count` elements)."""
    n = count.sum().to(mean.dtype)
    centred = grad_out - _channels(sum_dy / n, input) - (input - _channels(mean, input)) * _channels(
        invstd**2 * sum_dy_xmu / n, input)
    return centred * _channels(invstd if weight is None else invstd * weight, input)


# ---------------------------------------------------------------- others

@function(api="torch Tensor", out=True)
def hash_tensor(input: Tensor, dim=(), *, keepdim: bool = False, mode: int = 0):
    """The exclusive or of all elements' 64 bits (of floats as float64), over all or some dims; uint64.

    RuntimeError for another mode than 0.
    """
    if mode != 0:
        raise RuntimeError(f"hash_tensor: Unknown mode {mode}")
    if not input.dim():
        rules.wrap_dims(dim, 0)
        return hash_tensor(input.reshape(1)).reshape(())
    dims = list(rules.wrap_dims(dim, input.dim()))
    if dim not in ((), []) and any(input.shape[d] == 0 for d in dims):
        raise IndexError(f"hash_tensor: Expected reduction dim {dim} to have non-zero size.")
    kept = [d for d in range(input.dim()) if d not in dims]
    x = input.detach().double().view(dtypes.int64) if input.dtype.is_floating_point else input.to(dtypes.int64)
    x = x.permute([*kept, *dims]).reshape([*[input.shape[d] for d in kept], math.prod(input.shape[d] for d in dims)])
    if x.shape[-1] == 0:
        x = x.new_zeros([*x.shape[:-1], 1])
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        folded = x[..., :half] ^ x[..., half : 2 * half]
        x = cat([folded, x[..., 2 * half :]], -1) if x.shape[-1] % 2 else folded
    shape = [1 if d in dims else n for d, n in enumerate(input.shape)] if keepdim else [input.shape[d] for d in kept]
    return x.reshape(shape).view(dtypes.uint64)


@aware("torch")
def native_norm(input: Tensor, p: float = 2, dim=None, keepdim: bool = False, dtype=None):
    """The norm of a sparse tensor's entries. RuntimeError for dims: PyTorch knows none here."""
    if dim is not None or keepdim:
        raise RuntimeError("native_norm: only the norm over all dimensions is there")
    return torch["norm"](input.coalesce().values() if input.layout is dtypes.sparse_coo else input, p, dtype=dtype)


@function(api="torch")
def from_file(filename: str, shared: bool | None = None, size: int = 0, *, dtype=None, layout=None, device=None,
              pin_memory: bool = False):
    """A tensor of the first `size` numbers in a file, read when they are used.

    shared: writes go to the file, which is made if it is not there. OSError without it; ValueError if it is shorter.
    """
    kind = (dtype or dtypes.get_default_dtype()).np
    if shared and (not os.path.exists(filename) or os.path.getsize(filename) < size * kind.itemsize):
        with open(filename, "ab") as f:
            f.truncate(size * kind.itemsize)
    return wrap_shared(np.memmap(filename, kind, "r+" if shared else "c", 0, size).view(np.ndarray))


@aware("torch")
def lobpcg(A: Tensor, k: int | None = None, B: Tensor | None = None, X: Tensor | None = None, n: int | None = None,  # noqa: N803
           iK: Tensor | None = None, niter: int | None = None, tol: float | None = None, largest: bool | None = None,  # noqa: N803
           method: str | None = None, tracker=None, ortho_iparams=None, ortho_fparams=None, ortho_bparams=None):
    """(the k largest or smallest eigenvalues, their vectors as columns) of A x = e B x, by `linalg.eigh`.

    A and B: symmetric, positive definite, dense or sparse. k: by default the columns of X, or 1. What steers
    the iteration in PyTorch is accepted: all eigenvalues are computed. ValueError for less than 3 k rows.
    """
    linalg = PUBLISHED["linalg"]
    A = A.to_dense() if A.layout is not dtypes.strided else A
    k = k if k is not None else 1 if X is None else X.shape[-1]
    if A.shape[-1] < 3 * k:
        raise ValueError(f"LPBPCG algorithm is not applicable when the number of A rows (={A.shape[-1]}) is smaller than 3 x "
                         f"the number of requested eigenpairs (={k})")
    largest = True if largest is None else largest
    if B is None:
        values, vectors = linalg["eigh"](A)
    else:
        L = linalg["cholesky"](B.to_dense() if B.layout is not dtypes.strided else B)  # noqa: N806
        half = linalg["solve_triangular"](L, A, upper=False)
        values, vectors = linalg["eigh"](linalg["solve_triangular"](L, half.mH, upper=False))
        vectors = linalg["solve_triangular"](L.mH, vectors, upper=True)
    if not largest:
        return values[..., :k], vectors[..., :k]
    return values[..., -k:].flip(-1), vectors[..., -k:].flip(-1)


def _copy_of(name: str):
    def copied(input):
        return getattr(input, name)().clone()

    copied.__name__ = copied.__qualname__ = f"{name}_copy"
    copied.__doc__ = f"A copy of `input.{name}()`."
    return copied


for _name in ("ccol_indices", "col_indices", "crow_indices", "indices", "row_indices", "values"):
    PUBLISHED["torch"][f"{_name}_copy"] = _copy_of(_name)
