"""Matrix products: matmul and its relatives, linear, the add-and-multiply forms, cross, cdist.

Gradients avoid transposed copies: `linear(a, b)` is a @ b.T and `_transposed_mm(a, b)` is a.T @ b, both with
all leading dimensions as rows, and each is the other's gradient. Equations of several factors (einsum,
tensordot, kron ...) are in `contraction.py`.
"""

from __future__ import annotations

import math

import numpy as np

from ..interpret import products
from ..trace import dtypes
from ..trace.meta import Meta, meta
from ..trace.operator import PUBLISHED, Tensor, function, op
from ..trace.tensor import wrap
from . import rules

_C_NAMES = {
    "float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
    "int64": "long long", "int32": "int", "int16": "short", "int8": "signed char",
    "uint8": "unsigned char", "bool": "bool", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}

def refuse(name: str, m: Meta):
    """NotImplementedError: operator `name` has no implementation for this dtype."""
    rules.fail(NotImplementedError, f'"{name}" not implemented for \'{dtypes.type_name(m.dtype)}\'')


def _product_dtype(a: Meta, b: Meta, first: str = "m1", second: str = "m2") -> dtypes.dtype:
    """The common dtype of two factors, which must agree and not be bool."""
    if a.dtype is not b.dtype:
        rules.fail(
            RuntimeError,
            f"expected {first} and {second} to have the same dtype, but got: "
            f"{_C_NAMES.get(a.dtype.name)} != {_C_NAMES.get(b.dtype.name)}",
        )
    if a.dtype.category == dtypes.BOOL:
        refuse("addmm_impl_cpu_", a)
    return a.dtype


def _shape(m: Meta) -> str:
    return "x".join(map(str, m.shape))


def _cannot_multiply(a: Meta, b: Meta):
    rules.fail(
        RuntimeError,
        f"mat1 and mat2 shapes cannot be multiplied ({_shape(a)} and {_shape(b)})",
    )


def conj(t):
    """The conjugate of a complex tensor; real tensors as they are."""
    return t.conj() if t.is_complex() else t


def _rows(a):
    """An array with all leading dimensions as one."""
    return a if a.ndim == 2 else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


# ---------------------------------------------------------------- linear


@rules.cached
def _linear_rule(input: Meta, weight: Meta, bias: Meta | None = None) -> Meta:
    if weight.ndim not in (1, 2) or input.ndim == 0:
        rules.fail(
            RuntimeError,
            f"linear: input must have at least 1 and weight 1 or 2 dimensions, got shapes "
            f"{list(input.shape)} and {list(weight.shape)}",
        )
    if input.shape[-1] != weight.shape[-1]:
        rows = input.numel // max(input.shape[-1], 1)
        columns = weight.shape[0] if weight.ndim == 2 else 1
        if weight.ndim == 1:
            rules.fail(
                RuntimeError,
                f"size mismatch, got input ({rows}), mat ({rows}x{input.shape[-1]}), "
                f"vec ({weight.shape[0]})",
            )
        rules.fail(
            RuntimeError,
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and "
            f"{weight.shape[1]}x{columns})",
        )
    dtype = _product_dtype(input, weight, "mat1", "mat2")
    shape = input.shape[:-1] + weight.shape[:-1]
    if bias is not None:
        if bias.dtype is not dtype:
            rules.fail(
                RuntimeError,
                f"linear: bias has dtype {bias.dtype.name}, input and weight {dtype.name}",
            )
        if rules.broadcast_shapes(shape, bias.shape) != tuple(shape):
            rules.fail(
                RuntimeError,
                f"The expanded size of the tensor ({shape[-1] if shape else 1}) must match the "
                f"existing size ({bias.shape[-1]}) at the last dimension: linear's result has "
                f"shape {list(shape)}, bias {list(bias.shape)}",
            )
    return meta(shape, dtype)


def _linear_gradient(g, input, weight, need):
    if weight.ndim == 1:
        return (
            g.unsqueeze(-1) * conj(weight) if need[0] else None,
            g.unsqueeze(-1) * conj(input) if need[1] else None,
            g if need[2] else None,
        )
    return (
        matmul(g, conj(weight)) if need[0] else None,
        _transposed_mm(g, conj(input)) if need[1] else None,
        g if need[2] else None,
    )


@op(
    _linear_rule,
    gradient={("input", "weight", "bias"): _linear_gradient},
    api="nn.functional",
)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None):
    """An affine map of the last dimension: `out = input @ weight.T + bias`.

    input: (*, in); weight: (out, in) or (in,); bias: (out,) or broadcastable to the result. All of
    one dtype. Returns (*, out). RuntimeError if sizes or dtypes do not match.
    """
    if input.ndim == 2 or weight.ndim == 1:
        out = products.matmul(input, weight.T)
    else:
        out = products.matmul(_rows(input), weight.T)
        out = out.reshape(input.shape[:-1] + weight.shape[:1])
    if bias is not None:
        out += bias
    return out


@op(
    lambda a, b: meta((a.shape[-1], b.shape[-1]), a.dtype),
    gradient={
        "a": lambda g, b: linear(conj(b), g),
        "b": lambda g, a: matmul(conj(a), g),
    },
    api="",
)
def _transposed_mm(a: Tensor, b: Tensor):
    """`a.T @ b` with all leading dimensions as rows: (*, n), (*, m) to (n, m)."""
    return products.matmul(_rows(a).T, _rows(b))


# ---------------------------------------------------------------- matmul


@rules.cached
def _matmul_rule(input: Meta, other: Meta) -> Meta:
    if not input.ndim or not other.ndim:
        rules.fail(
            RuntimeError,
            "both arguments to matmul need to be at least 1D, but they are "
            f"{input.ndim}D and {other.ndim}D",
        )
    a, b = input.shape, other.shape
    if a[-1] != b[max(len(b) - 2, 0)]:
        if len(a) == len(b) == 1:
            rules.fail(
                RuntimeError,
                f"inconsistent tensor size, expected tensor [{a[0]}] and src [{b[0]}] to have the "
                f"same number of elements, but got {a[0]} and {b[0]} elements respectively",
            )
        if len(b) == 1:
            rules.fail(
                RuntimeError,
                f"size mismatch, got input ({a[-2]}), mat ({a[-2]}x{a[-1]}), vec ({b[0]})",
            )
        if len(a) > 2 and len(b) > 2:
            rules.fail(
                RuntimeError,
                f"Expected size for first two dimensions of batch2 tensor to be: "
                f"[{b[0]}, {a[-1]}] but got: [{b[0]}, {b[-2]}]: matmul of shapes {list(a)} and "
                f"{list(b)}",
            )
        rows = input.numel // max(a[-1], 1) if len(b) == 2 else 1
        rules.fail(
            RuntimeError,
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and {b[-2]}x{b[-1]})",
        )
    dtype = _product_dtype(input, other)
    shape = tuple(rules.broadcast_shapes(a[:-2], b[:-2]))
    return meta(shape + tuple(a[-2:-1]) + (tuple(b[-1:]) if len(b) > 1 else ()), dtype)


def _matmul_gradient(g, input, other, need):
    a, b = input, other
    if b.ndim == 2 and a.ndim >= 2:
        return (
            linear(g, conj(b)) if need[0] else None,
            _transposed_mm(conj(a), g) if need[1] else None,
        )
    a, b = conj(a), conj(b)
    if b.ndim == 1:
        if a.ndim == 1:
            return g * b if need[0] else None, g * a if need[1] else None
        return (
            g.unsqueeze(-1) * b if need[0] else None,
            matmul(g.unsqueeze(-2), a).squeeze(-2) if need[1] else None,
        )
    if a.ndim == 1:
        return (
            matmul(b, g.unsqueeze(-1)).squeeze(-1) if need[0] else None,
            a.unsqueeze(-1) * g.unsqueeze(-2) if need[1] else None,
        )
    return (
        matmul(g, b.transpose(-2, -1)) if need[0] else None,
        matmul(a.transpose(-2, -1), g) if need[1] else None,
    )


@op(
    _matmul_rule,
    gradient={("input", "other"): _matmul_gradient},
    api="torch Tensor linalg",
)
def matmul(input: Tensor, other: Tensor):
    """The matrix product; dot product of vectors; leading dimensions broadcast.

    input: (*, n, k) or (k,); other: (*, k, m) or (k,); one dtype, not bool. RuntimeError if the
    inner sizes or the dtypes differ.

    >>> torch.matmul(torch.ones(5, 2, 3), torch.ones(3, 4)).shape
    torch.Size([5, 2, 4])
    """
    if input.ndim > 2 and other.ndim == 2:
        out = products.matmul(_rows(input), other)
        return out.reshape(input.shape[:-1] + other.shape[1:])
    return products.matmul(input, other)


@rules.cached
def _mm_rule(input: Meta, mat2: Meta) -> Meta:
    if input.ndim != 2 or mat2.ndim != 2:
        rules.fail(
            RuntimeError,
            "mat1 and mat2 must be matrices: mm got "
            f"{input.ndim}-D tensor of shape {list(input.shape)} and {mat2.ndim}-D of shape "
            f"{list(mat2.shape)}",
        )
    if input.shape[1] != mat2.shape[0]:
        _cannot_multiply(input, mat2)
    return meta((input.shape[0], mat2.shape[1]), _product_dtype(input, mat2))


@op(
    _mm_rule,
    gradient={
        "input": lambda g, mat2: linear(g, conj(mat2)),
        "mat2": lambda g, input: _transposed_mm(conj(input), g),
    },
)
def mm(input: Tensor, mat2: Tensor):
    """The product of two matrices: (n, k) @ (k, m) gives (n, m). No broadcasting."""
    return products.matmul(input, mat2)


@rules.cached
def _bmm_rule(input: Meta, mat2: Meta) -> Meta:
    if input.ndim != 3 or mat2.ndim != 3:
        which = "batch1" if input.ndim != 3 else "batch2"
        rules.fail(RuntimeError, f"{which} must be a 3D tensor")
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        rules.fail(
            RuntimeError,
            f"Expected size for first two dimensions of batch2 tensor to be: "
            f"[{input.shape[0]}, {input.shape[2]}] but got: [{mat2.shape[0]}, {mat2.shape[1]}].",
        )
    shape = (input.shape[0], input.shape[1], mat2.shape[2])
    return meta(shape, _product_dtype(input, mat2, "batch1", "batch2"))


@op(
    _bmm_rule,
    gradient={
        "input": lambda g, mat2: bmm(g, conj(mat2).transpose(1, 2)),
        "mat2": lambda g, input: bmm(conj(input).transpose(1, 2), g),
    },
)
def bmm(input: Tensor, mat2: Tensor):
    """Products of matrices, one for each batch element: (b, n, k) @ (b, k, m) gives (b, n, m)."""
    return products.matmul(input, mat2)


@rules.cached
def _mv_rule(input: Meta, vec: Meta) -> Meta:
    if input.ndim != 2 or vec.ndim != 1:
        rules.fail(
            RuntimeError,
            f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}",
        )
    if input.shape[1] != vec.shape[0]:
        rules.fail(
            RuntimeError,
            f"size mismatch, got input ({input.shape[0]}), mat ({_shape(input)}), "
            f"vec ({vec.shape[0]})",
        )
    return meta(input.shape[:1], _product_dtype(input, vec, "mat", "vec"))


@op(
    _mv_rule,
    gradient={
        "input": lambda g, vec: g.unsqueeze(1) * conj(vec),
        "vec": lambda g, input: mv(conj(input).t(), g),
    },
)
def mv(input: Tensor, vec: Tensor):
    """The product of a matrix (n, k) and a vector (k,)."""
    return products.matmul(input, vec)


@rules.cached
def _dot_rule(input: Meta, tensor: Meta) -> Meta:
    if input.ndim != 1 or tensor.ndim != 1:
        rules.fail(
            RuntimeError,
            f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors",
        )
    if input.dtype is not tensor.dtype:
        rules.fail(
            RuntimeError,
            "dot : expected both vectors to have same dtype, but found "
            f"{dtypes.type_name(input.dtype)} and {dtypes.type_name(tensor.dtype)}",
        )
    if input.shape != tensor.shape:
        n, m = input.shape[0], tensor.shape[0]
        rules.fail(
            RuntimeError,
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same "
            f"number of elements, but got {n} and {m} elements respectively",
        )
    if input.dtype.category == dtypes.BOOL:
        refuse("dot", input)
    return meta((), input.dtype)


@op(
    _dot_rule,
    gradient={
        "input": lambda g, tensor: g * conj(tensor),
        "tensor": lambda g, input: g * conj(input),
    },
)
def dot(input: Tensor, tensor: Tensor):
    """The dot product of two vectors of the same length, without conjugation."""
    return np.dot(input, tensor)


@op(
    _dot_rule,
    gradient={
        "input": lambda g, other: conj(g) * other,
        "other": lambda g, input: g * input,
    },
)
def vdot(input: Tensor, other: Tensor):
    """The dot product of two vectors, the first one conjugated."""
    return np.dot(input.conj(), other)


@function(out=True)
def inner(input: Tensor, other: Tensor):
    """Dot products over the last dimension: (*, k), (+, k) to (*, +); 0-dim arguments multiply."""
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        rules.fail(
            RuntimeError,
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}",
        )
    if input.ndim == other.ndim == 1:
        return dot(input, other)
    rows, columns = _rows(input), _rows(other)
    return linear(rows, columns).reshape(tuple(input.shape[:-1]) + tuple(other.shape[:-1]))


@function(aliases=("ger",), out=True)
def outer(input: Tensor, vec2: Tensor):
    """The outer product of two vectors: (n,), (m,) to (n, m)."""
    for name, t in (("self", input), ("vec2", vec2)):
        if t.ndim != 1:
            rules.fail(
                RuntimeError,
                f"outer: Expected 1-D argument {name}, but got {t.ndim}-D",
            )
    return input.unsqueeze(1) * vec2


# ---------------------------------------------------------------- a product and a sum


def _plus_rule(product):
    """The rule of `beta * input + alpha * product`, with the product's own rule."""

    def rule(input: Meta, first: Meta, second: Meta, beta=1, alpha=1) -> Meta:
        made = product(first, second)
        if input.dtype is not made.dtype:
            rules.fail(
                RuntimeError,
                "self and mat2 must have the same dtype, but got "
                f"{dtypes.type_name(input.dtype)} and {dtypes.type_name(made.dtype)}",
            )
        if rules.broadcast_shapes(input.shape, made.shape) != tuple(made.shape):
            rules.fail(
                RuntimeError,
                f"The expanded size of the tensor must match: input {list(input.shape)} does not "
                f"broadcast to {list(made.shape)}",
            )
        return made

    return rules.cached(rule)


def _plus(input, product, beta, alpha):
    """`beta * input + alpha * product` in the fresh array `product`; beta = 0 ignores NaN."""
    if product.dtype.kind in "iu":
        beta, alpha = int(beta), int(alpha)
    if alpha != 1:
        product = product * product.dtype.type(alpha)
    if beta == 0:
        return product
    return np.add(product, input if beta == 1 else input * input.dtype.type(beta))


def _scaled(g, factor):
    return g if factor == 1 else g * (factor.conjugate() if isinstance(factor, complex) else factor)


def _addmm_gradient(g, mat1, mat2, beta, alpha, need):
    ga = _scaled(g, alpha)
    return (
        _scaled(g, beta) if need[0] else None,
        linear(ga, conj(mat2)) if need[1] else None,
        _transposed_mm(conj(mat1), ga) if need[2] else None,
    )


@op(
    _plus_rule(_mm_rule),
    gradient={("input", "mat1", "mat2"): _addmm_gradient},
    inplace=True,
)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta=1, alpha=1):
    """`out = beta * input + alpha * (mat1 @ mat2)`; input broadcasts to (n, m)."""
    return _plus(input, products.matmul(mat1, mat2), beta, alpha)


def _addmv_gradient(g, mat, vec, beta, alpha, need):
    ga = _scaled(g, alpha)
    return (
        _scaled(g, beta) if need[0] else None,
        ga.unsqueeze(1) * conj(vec) if need[1] else None,
        mv(conj(mat).t(), ga) if need[2] else None,
    )


@op(
    _plus_rule(_mv_rule),
    gradient={("input", "mat", "vec"): _addmv_gradient},
    inplace=True,
)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta=1, alpha=1):
    """`out = beta * input + alpha * (mat @ vec)`; input broadcasts to (n,)."""
    return _plus(input, products.matmul(mat, vec), beta, alpha)


def _addr_rule(input: Meta, vec1: Meta, vec2: Meta, beta=1, alpha=1) -> Meta:
    if vec1.ndim != 1 or vec2.ndim != 1:
        rules.fail(
            RuntimeError,
            f"addr: Expected 1-D argument vec1 and vec2, but got {vec1.ndim}-D and {vec2.ndim}-D",
        )
    shape = (vec1.shape[0], vec2.shape[0])
    if rules.broadcast_shapes(input.shape, shape) != shape:
        rules.fail(
            RuntimeError,
            f"addr: input of shape {list(input.shape)} does not broadcast to {list(shape)}",
        )
    dtype = rules.promote(input, vec1, vec2)
    if dtype.category < dtypes.FLOAT and (isinstance(beta, float) or isinstance(alpha, float)):
        rules.fail(
            RuntimeError,
            "For integral input tensors, argument beta and alpha must not be a floating point "
            "number.",
        )
    return meta(shape, dtype)


def _addr_gradient(g, vec1, vec2, beta, alpha, need):
    ga = _scaled(g, alpha)
    return (
        _scaled(g, beta) if need[0] else None,
        mv(ga, conj(vec2)) if need[1] else None,
        mv(ga.t(), conj(vec1)) if need[2] else None,
    )


@op(
    _addr_rule,
    gradient={("input", "vec1", "vec2"): _addr_gradient},
    compute="result",
    inplace=True,
)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta=1, alpha=1):
    """`out = beta * input + alpha * outer(vec1, vec2)`."""
    if vec1.dtype == bool:
        made = np.logical_and(np.logical_and.outer(vec1, vec2), bool(alpha))
        return np.logical_or(made, input) if beta else made
    return _plus(input, np.multiply.outer(vec1, vec2), beta, alpha)


def _baddbmm_gradient(g, batch1, batch2, beta, alpha, need):
    ga = _scaled(g, alpha)
    return (
        _scaled(g, beta) if need[0] else None,
        bmm(ga, conj(batch2).transpose(1, 2)) if need[1] else None,
        bmm(conj(batch1).transpose(1, 2), ga) if need[2] else None,
    )


@op(
    _plus_rule(_bmm_rule),
    gradient={("input", "batch1", "batch2"): _baddbmm_gradient},
    inplace=True,
)
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1):
    """`out = beta * input + alpha * bmm(batch1, batch2)`; input broadcasts to (b, n, m)."""
    return _plus(input, products.matmul(batch1, batch2), beta, alpha)


def _addbmm_product(batch1: Meta, batch2: Meta) -> Meta:
    made = _bmm_rule(batch1, batch2)
    return meta(made.shape[1:], made.dtype)


def _addbmm_gradient(g, batch1, batch2, beta, alpha, need):
    ga = _scaled(g, alpha)
    return (
        _scaled(g, beta) if need[0] else None,
        matmul(ga, conj(batch2).transpose(1, 2)) if need[1] else None,
        matmul(conj(batch1).transpose(1, 2), ga) if need[2] else None,
    )


@op(
    _plus_rule(_addbmm_product),
    gradient={("input", "batch1", "batch2"): _addbmm_gradient},
    inplace=True,
)
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1):
    """`out = beta * input + alpha * bmm(batch1, batch2).sum(0)`; input broadcasts to (n, m)."""
    return _plus(input, products.matmul(batch1, batch2).sum(0), beta, alpha)


# ---------------------------------------------------------------- cross, distances


def _cross_rule(input: Meta, other: Meta, dim: int) -> Meta:
    if input.ndim != other.ndim:
        rules.fail(
            RuntimeError,
            f"linalg.cross: inputs must have the same number of dimensions, got {input.ndim} and "
            f"{other.ndim}.",
        )
    d = rules.wrap_dim(dim, input.ndim)
    if not input.ndim or input.shape[d] != 3 or other.shape[d] != 3:
        sizes = (input.shape[d], other.shape[d]) if input.ndim else (1, 1)
        rules.fail(
            RuntimeError,
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {sizes[0]} and "
            f"{sizes[1]}",
        )
    return meta(rules.broadcast_shapes(input.shape, other.shape), rules.promote(input, other))


@op(
    _cross_rule,
    gradient={
        "input": lambda g, other, dim: _cross(conj(other), g, dim),
        "other": lambda g, input, dim: _cross(g, conj(input), dim),
    },
    compute="result",
    api="",
)
def _cross(input: Tensor, other: Tensor, dim: int):
    """Cross products of 3-vectors along `dim`."""
    a, b = np.broadcast_arrays(np.moveaxis(input, dim, 0), np.moveaxis(other, dim, 0))
    made = np.stack([
        a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0],
    ])
    return np.moveaxis(made, 0, dim)


@function(out=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None):
    """Cross products of 3-vectors along `dim` (default: the first dimension of `input` whose size is 3)."""
    if dim is None:
        if 3 not in input.shape:
            rules.fail(RuntimeError, "no dimension of size 3 in input")
        dim = input.shape.index(3)
    return _cross(input, other, dim)


_cross_of_torch = cross


@function(api="linalg", out=True)
def cross(input: Tensor, other: Tensor, *, dim: int = -1):  # noqa: F811 - linalg's form
    """Cross products of 3-vectors along `dim`; the other dimensions broadcast."""
    return _cross(input, other, dim)


def _cdist_rule(x1: Meta, x2: Meta, p, compute_mode) -> Meta:
    for name, m in (("x1", x1), ("x2", x2)):
        if m.dtype.category < dtypes.FLOAT:
            rules.fail(
                RuntimeError,
                f"cdist only supports floating-point dtypes, {name} got: "
                f"{dtypes.type_name(m.dtype)}",
            )
        if m.ndim < 2:
            rules.fail(
                RuntimeError,
                f"cdist only supports at least 2D tensors, {name} got: {m.ndim}D",
            )
    if x1.shape[-1] != x2.shape[-1]:
        rules.fail(
            RuntimeError,
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} "
            f"X2: {x2.shape[-1]}",
        )
    if p < 0:
        rules.fail(RuntimeError, "cdist only supports non-negative p values")
    batch = tuple(rules.broadcast_shapes(x1.shape[:-2], x2.shape[:-2]))
    return meta(batch + (x1.shape[-2], x2.shape[-2]), rules.promote(x1, x2))


def _cdist_gradient(g, out, x1, x2, p, need):
    where = PUBLISHED["torch"]["where"]
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if p == 0:
        slope = difference * 0
    elif p == 1:
        slope = difference.sgn() * g.unsqueeze(-1)
    elif p == float("inf"):
        largest = difference.abs() == out.unsqueeze(-1)
        slope = difference.sgn() * largest * g.unsqueeze(-1)
    else:
        near = out == 0
        safe = where(near, out * 0 + 1, out)
        weight = where(near, out * 0, g * safe ** (1 - p)).unsqueeze(-1)
        if p == 2:
            slope = difference * weight
        else:
            size = difference.abs()
            zero = size == 0
            size = where(zero, size * 0 + 1, size)
            slope = where(zero, size * 0, size ** (p - 1)) * difference.sgn() * weight
    return slope.sum(-2) if need[0] else None, -slope.sum(-3) if need[1] else None


@op(_cdist_rule, gradient={("x1", "x2"): _cdist_gradient}, api="torch")
def cdist(
    x1: Tensor, x2: Tensor, p: float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary",
):
    """The p-norm distance of each row of x1 (*, n, d) to each row of x2 (*, m, d): (*, n, m).

    >>> torch.cdist(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    difference = np.abs(x1[..., :, None, :] - x2[..., None, :, :])
    if p == 2:
        return np.sqrt(np.square(difference).sum(-1))
    if p == 0:
        return (difference != 0).sum(-1)
    if p == float("inf"):
        return difference.max(-1, initial=0)
    return (difference**p).sum(-1) ** (1 / p)


@function(api="nn.functional torch")
def pdist(input: Tensor, p: float = 2.0):
    """The p-norm distances of all pairs of rows i < j of (n, d), one after the other."""
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    n = input.shape[0]
    rows, columns = np.triu_indices(n, 1)
    return cdist(input, input, p).flatten().index_select(0, wrap(rows * n + columns))
