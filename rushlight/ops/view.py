"""View operators: other shapes, strides and offsets on the same memory."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta, contiguous_strides, meta
from ..trace.operator import PUBLISHED, Size, Tensor, function, op
from ..trace.tensor import Tensor as TensorClass
from ..trace.write import become_view
from . import rules
from .values import native, zeros

VIEW = {"view": True, "compute": "storage"}


def dims_of(dim, ndim):
    """Wrapped dims of an int or a sequence."""
    return rules.wrap_dims(dim, ndim) if not isinstance(dim, int) else (rules.wrap_dim(dim, ndim),)


def infer_size(shape, numel: int) -> tuple[int, ...]:
    """`shape` with one -1 replaced; RuntimeError if it does not hold `numel` elements."""
    known = math.prod(n for n in shape if n != -1)
    unknown = sum(1 for n in shape if n == -1)
    if unknown > 1:
        rules.fail(RuntimeError, "only one dimension can be inferred")
    if any(n < -1 for n in shape):
        rules.fail(RuntimeError, f"invalid shape dimension {min(shape)}")
    if unknown:
        if known == 0:
            if numel == 0:
                rules.fail(
                    RuntimeError,
                    f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                    "unspecified dimension size -1 can be any value and is ambiguous",
                )
        elif numel % known == 0:
            return tuple(numel // known if n == -1 else n for n in shape)
    elif known == numel:
        return tuple(shape)
    return rules.fail(
        RuntimeError, f"shape '{list(shape)}' is invalid for input of size {numel}"
    )


def view_strides(m: Meta, shape) -> tuple[int, ...] | None:
    """Strides with which memory laid out as `m` can be seen as `shape`, or None."""
    if m.numel == 0 or m.strides == contiguous_strides(m.shape):
        return contiguous_strides(shape)
    new = [0] * len(shape)
    at = len(shape) - 1
    chunk, base = 1, m.strides[-1] if m.ndim else 1
    have = 1
    for d in range(m.ndim - 1, -1, -1):
        chunk *= m.shape[d]
        if d == 0 or (m.shape[d - 1] != 1 and m.strides[d - 1] != chunk * base):
            while at >= 0 and (have < chunk or shape[at] == 1):
                new[at] = have * base
                have *= shape[at]
                at -= 1
            if have != chunk:
                return None
            if d > 0:
                base = m.strides[d - 1]
                chunk = have = 1
    return tuple(new) if at == -1 else None


def _view_rule(input: Meta, size) -> Meta:
    shape = infer_size(size, input.numel)
    strides = view_strides(input, shape)
    if strides is None:
        rules.fail(
            RuntimeError,
            f"view size is not compatible with input tensor's size and stride (at least one "
            f"dimension spans across two contiguous subspaces). Use .reshape(...) instead. "
            f"(shape {list(input.shape)}, strides {input.strides}, wanted {list(size)})",
        )
    return meta(shape, input.dtype, strides, input.offset)


def strided(a, m: Meta):
    """The array view of `a` with the shape and strides of `m`, starting where `a` starts."""
    return np.lib.stride_tricks.as_strided(a, m.shape, m.np_strides)


@op(
    _view_rule,
    gradient={"input": lambda g, input_meta: g.reshape(input_meta.shape)},
    api="",
    **VIEW,
)
def _view(input: Tensor, size: Size):
    """The same memory in another shape."""
    if input.flags.c_contiguous:
        return input.reshape(size)
    shape = infer_size(size, input.size)
    item = input.itemsize
    m = meta(input.shape, dtypes.uint8, tuple(s // item for s in input.strides))
    return np.lib.stride_tricks.as_strided(
        input, shape, tuple(s * item for s in view_strides(m, shape))
    )


def _dtype_rule(input: Meta, dtype) -> Meta:
    old, new = input.dtype.itemsize, dtype.itemsize
    if old == new:
        return meta(input.shape, dtype, input.strides, input.offset)
    if input.ndim == 0 or input.strides[-1] != 1:
        rules.fail(
            RuntimeError,
            f"self.stride(-1) must be 1 to view {input.dtype.name} as {dtype.name} (different "
            f"element sizes), but got {input.strides[-1] if input.ndim else 'a 0-dim tensor'}",
        )
    if old > new:
        k = old // new
        shape = (*input.shape[:-1], input.shape[-1] * k)
        return meta(shape, dtype, (*(s * k for s in input.strides[:-1]), 1), input.offset * k)
    k = new // old
    if input.shape[-1] % k or input.offset % k or any(s % k for s in input.strides[:-1]):
        rules.fail(
            RuntimeError,
            f"self.size(-1) must be divisible by {k} to view {input.dtype.name} as {dtype.name} "
            f"(different element sizes), but got {input.shape[-1]}",
        )
    shape = (*input.shape[:-1], input.shape[-1] // k)
    return meta(shape, dtype, (*(s // k for s in input.strides[:-1]), 1), input.offset // k)


@op(_dtype_rule, api="", **VIEW)
def _view_dtype(input: Tensor, dtype: dtypes.dtype):
    """The same bytes as another dtype."""
    return input.view(dtype.np)


@function(api="Tensor")
def view(self, *shape, dtype=None):
    """The same memory in another shape, or (with a dtype) as another type. RuntimeError if it cannot."""
    if dtype is not None:
        return _view_dtype(self, dtype)
    if len(shape) == 1:
        if isinstance(shape[0], dtypes.dtype):
            return _view_dtype(self, shape[0])
        if not isinstance(shape[0], int):
            return _view(self, tuple(shape[0]) if not hasattr(shape[0], "item") else shape)
    return _view(self, *shape) if shape else _view(self, ())


@function(api="Tensor")
def view_as(self, other):
    """`view(other.shape)`."""
    return _view(self, tuple(other.shape))


def _as_strided_rule(input: Meta, size, stride, move) -> Meta:
    if len(size) != len(stride):
        rules.fail(RuntimeError, "mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        rules.fail(
            RuntimeError, "as_strided: Negative strides are not supported at the moment, got "
            f"strides: {list(stride)}",
        )
    return meta(size, input.dtype, stride, input.offset + move)


def _as_strided_gradient(g, input_meta, size, stride, move):
    from ..trace.layouts import scatter_into_zeros

    return scatter_into_zeros(g, input_meta, size, stride, move)


@op(_as_strided_rule, gradient={"input": _as_strided_gradient}, api="", **VIEW)
def _as_strided(input: Tensor, size: tuple, stride: tuple, move: int):
    """Any strides on the same memory, from `move` elements after the input's first."""
    owner = input
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    item = input.itemsize
    strides = tuple(s * item for s in stride)
    if not math.prod(size):
        return np.lib.stride_tricks.as_strided(input, size, strides)
    start = input.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    start += move * item
    last = start + sum((n - 1) * s for n, s in zip(size, strides, strict=True)) + item
    if last > owner.nbytes or start < 0:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset "
            f"{start // item}, and itemsize {item} requiring a storage size of {last} are out of "
            f"bounds for storage of size {owner.nbytes}"
        )
    if not owner.flags.forc:  # dense in another order of dims
        owner = owner.transpose(sorted(range(owner.ndim), key=lambda d: -owner.strides[d]))
    flat = owner.reshape(-1, order="A").view(np.uint8)
    return np.ndarray(size, input.dtype, flat, start, strides)


@function()
def as_strided(input: Tensor, size, stride, storage_offset: int | None = None):
    """A view with any shape, strides and storage offset (in elements).

    Raises RuntimeError for negative numbers and for what lies outside of the storage.

    >>> torch.as_strided(torch.arange(5), (3, 3), (1, 1))  # windows
    tensor([[0, 1, 2],
            [1, 2, 3],
            [2, 3, 4]])
    """
    move = 0 if storage_offset is None else storage_offset - input.storage_offset()
    if storage_offset is not None and storage_offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {storage_offset}")
    return _as_strided(input, tuple(size), tuple(stride), move)


def _permute_rule(input: Meta, dims) -> Meta:
    if len(dims) != input.ndim:
        rules.fail(
            RuntimeError,
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {input.ndim} is not "
            f"equal to len(dims) = {len(dims)}",
        )
    order = tuple(rules.wrap_dim(d, input.ndim) for d in dims)
    if len(set(order)) != len(order):
        rules.fail(RuntimeError, "permute(): duplicate dims are not allowed.")
    return meta(
        tuple(input.shape[d] for d in order),
        input.dtype,
        tuple(input.strides[d] for d in order),
        input.offset,
    )


def _unpermute(g, dims):
    n = len(dims)
    back = [0] * n
    for i, d in enumerate(dims):
        back[d % n] = i
    return permute(g, *back) if back else g


@op(_permute_rule, gradient={"input": _unpermute}, **VIEW)
def permute(input: Tensor, dims: Size):
    """The dimensions in another order.

    >>> torch.permute(torch.zeros(2, 3, 4), (2, 0, 1)).shape
    torch.Size([4, 2, 3])
    """
    return np.transpose(input, dims)


def _transpose_rule(input: Meta, dim0, dim1) -> Meta:
    a, b = rules.wrap_dim(dim0, input.ndim), rules.wrap_dim(dim1, input.ndim)
    if input.ndim == 0:
        return input
    shape, strides = list(input.shape), list(input.strides)
    shape[a], shape[b] = shape[b], shape[a]
    strides[a], strides[b] = strides[b], strides[a]
    return meta(tuple(shape), input.dtype, tuple(strides), input.offset)


@op(
    _transpose_rule,
    gradient={"input": lambda g, dim0, dim1: g.transpose(dim0, dim1)},
    aliases=("swapaxes", "swapdims"),
    **VIEW,
)
def transpose(input: Tensor, dim0: int, dim1: int):
    """Two dimensions swapped."""
    return np.swapaxes(input, dim0, dim1) if input.ndim else input[...]


@function()
def t(input: Tensor):
    """A matrix transposed; vectors and numbers as they are."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return transpose(input, 0, 1) if input.ndim == 2 else input.view(input.shape)


@function(api="Tensor")
def T(self):  # noqa: N802 - PyTorch's name
    """All dimensions reversed."""
    return permute(self, tuple(range(self.ndim - 1, -1, -1)))


@function(api="Tensor")
def mT(self):  # noqa: N802 - PyTorch's name
    """The last two dimensions swapped; the tensor itself if it has none."""
    if not self.ndim:
        return self
    if self.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{self.ndim}-D tensor."
        )
    return transpose(self, -2, -1)


@function(api="Tensor")
def H(self):  # noqa: N802 - PyTorch's name
    """A matrix transposed and conjugated."""
    if self.ndim not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor."
        )
    return adjoint(self) if self.ndim else self.conj()


@function(api="Tensor")
def mH(self):  # noqa: N802 - PyTorch's name
    """The last two dimensions swapped, conjugated; a tensor without dimensions conjugated."""
    return adjoint(self) if self.ndim else self.conj()


@function()
def adjoint(input: Tensor):
    """The last two dimensions swapped, conjugated."""
    if input.ndim < 2:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices.")
    swapped = transpose(input, -2, -1)
    return swapped.conj() if input.is_complex() else swapped


@function(aliases=("moveaxis",))
def movedim(input: Tensor, source, destination):
    """Dimensions moved to other places; the rest keep their order.

    >>> torch.movedim(torch.zeros(2, 3, 4), 0, -1).shape
    torch.Size([3, 4, 2])
    """
    n = input.ndim
    src = [rules.wrap_dim(d, n) for d in ((source,) if isinstance(source, int) else source)]
    dst = [rules.wrap_dim(d, n) for d in (
        (destination,) if isinstance(destination, int) else destination)]
    if len(src) != len(dst):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source and destination must have the "
            "same number of elements"
        )
    if len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise RuntimeError("movedim: repeated dim in source or destination")
    if n == 0:
        return input
    order: list = [None] * n
    for s, d in zip(src, dst, strict=True):
        order[d] = s
    rest = iter(d for d in range(n) if d not in src)
    return permute(input, *[next(rest) if o is None else o for o in order])


def _expand_rule(input: Meta, size) -> Meta:
    extra = len(size) - input.ndim
    if extra < 0:
        rules.fail(
            RuntimeError,
            f"expand({list(input.shape)}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) must be greater or equal to the number of dimensions in the tensor "
            f"({input.ndim})",
        )
    shape, strides = [], []
    for i, n in enumerate(size):
        if i < extra:
            if n < 0:
                rules.fail(
                    RuntimeError,
                    f"The expanded size of the tensor ({n}) isn't allowed in a leading, "
                    f"non-existing dimension {i}",
                )
            shape.append(n)
            strides.append(0)
            continue
        have = input.shape[i - extra]
        want = have if n == -1 else n
        if have != want and have != 1:
            rules.fail(
                RuntimeError,
                f"The expanded size of the tensor ({want}) must match the existing size ({have}) "
                f"at non-singleton dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: "
                f"{list(input.shape)}",
            )
        shape.append(want)
        strides.append(input.strides[i - extra] if have == want else 0)
    # leading dims: PyTorch computes their stride as if they were there
    for i in range(extra - 1, -1, -1):
        strides[i] = 0 if shape[i] != 1 else (shape[i + 1] * strides[i + 1] if i + 1 < len(shape)
                                             else 1)
    return meta(tuple(shape), input.dtype, tuple(strides), input.offset)


@op(_expand_rule, gradient={"input": lambda g: g}, api="Tensor", **VIEW)
def expand(input: Tensor, size: Size):
    """Dimensions of size 1 repeated without copying; -1 keeps a size."""
    extra = len(size) - input.ndim
    shape = tuple(
        input.shape[i - extra] if n == -1 else n for i, n in enumerate(size)
    )
    made = np.broadcast_to(input, shape)
    if made.__class__ is np.ndarray and input.flags.writeable:
        made.flags.writeable = True  # (what overlaps itself, `check_writable` refuses to write)
    return made


@function(api="Tensor")
def expand_as(self, other):
    """`expand(other.shape)`."""
    return expand(self, tuple(other.shape))


@function()
def broadcast_to(input: Tensor, size):
    """`expand(size)`."""
    return expand(input, tuple(size))


def _squeeze_dims(m: Meta, dim):
    if dim is None:
        return tuple(i for i, n in enumerate(m.shape) if n == 1)
    if dim == ():
        return ()
    return tuple(d for d in dims_of(dim, m.ndim) if m.ndim and m.shape[d] == 1)


def _squeeze_rule(input: Meta, dim) -> Meta:
    gone = _squeeze_dims(input, dim)
    keep = [i for i in range(input.ndim) if i not in gone]
    return meta(
        tuple(input.shape[i] for i in keep),
        input.dtype,
        tuple(input.strides[i] for i in keep),
        input.offset,
    )


@op(
    _squeeze_rule,
    gradient={"input": lambda g, input_meta: g.reshape(input_meta.shape)},
    **VIEW,
)
def squeeze(input: Tensor, dim: int | tuple | None = None):
    """Dimensions of size 1 removed (all, or those named)."""
    if dim is None:
        return input.squeeze()
    if dim.__class__ is int:
        return input.squeeze(dim) if input.ndim and input.shape[dim] == 1 else input[...]
    wanted = (dim,) if isinstance(dim, int) else dim
    gone = tuple(d % input.ndim for d in wanted if input.ndim and input.shape[d] == 1)
    return np.squeeze(input, gone) if gone else input[...]


def _unsqueeze_rule(input: Meta, dim) -> Meta:
    d = rules.wrap_dim(dim, input.ndim + 1)
    stride = input.shape[d] * input.strides[d] if d < input.ndim else 1
    return meta(
        (*input.shape[:d], 1, *input.shape[d:]),
        input.dtype,
        (*input.strides[:d], stride, *input.strides[d:]),
        input.offset,
    )


@op(
    _unsqueeze_rule,
    gradient={"input": lambda g, input_meta: g.reshape(input_meta.shape)},
    **VIEW,
)
def unsqueeze(input: Tensor, dim: int):
    """A new dimension of size 1."""
    return np.expand_dims(input, dim)


def _select_rule(input: Meta, dim, index) -> Meta:
    if input.ndim == 0:
        rules.fail(IndexError, "select() cannot be applied to a 0-dim tensor.")
    d = rules.wrap_dim(dim, input.ndim)
    n = input.shape[d]
    if not -n <= index < n:
        rules.fail(
            IndexError,
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at "
            f"dimension {d}",
        )
    return meta(
        (*input.shape[:d], *input.shape[d + 1:]),
        input.dtype,
        (*input.strides[:d], *input.strides[d + 1:]),
        input.offset + (index + n if index < 0 else index) * input.strides[d],
    )


def _at(dim, item):
    return (slice(None),) * dim + (item, ...)


@op(
    lambda grad, shape, dim, index: meta(shape, grad.dtype),
    gradient={"grad": lambda g, dim, index: g.select(dim, index)},
    compute="storage",
    api="",
)
def _select_backward(grad: Tensor, shape: tuple, dim: int, index: int):
    """Zeros of `shape` with `grad` at one index of `dim`."""
    whole = zeros(shape, grad.dtype, grad)
    whole[_at(dim % len(shape), index)] = grad
    return whole


@op(
    _select_rule,
    gradient={
        "input": lambda g, input_meta, dim, index: _select_backward(
            g, tuple(input_meta.shape), dim, index
        )
    },
    **VIEW,
)
def select(input: Tensor, dim: int, index: int):
    """One index of a dimension, which disappears."""
    return input[_at(dim % input.ndim, index)]


def _slice_rule(input: Meta, dim, start, stop, step) -> Meta:
    d = rules.wrap_dim(dim, input.ndim)
    if step is not None and step <= 0:
        rules.fail(ValueError, "step must be greater than zero")
    first, last, step = slice(start, stop, step).indices(input.shape[d])
    n = max(0, -(-(last - first) // step))
    return meta(
        (*input.shape[:d], n, *input.shape[d + 1:]),
        input.dtype,
        (*input.strides[:d], input.strides[d] * step, *input.strides[d + 1:]),
        input.offset + first * input.strides[d],
    )


@op(
    lambda grad, shape, dim, start, stop, step: meta(shape, grad.dtype),
    gradient={"grad": lambda g, dim, start, stop, step: _slice(g, dim, start, stop, step)},
    compute="storage",
    api="",
)
def _slice_backward(grad: Tensor, shape: tuple, dim: int, start, stop, step):
    """Zeros of `shape` with `grad` at a slice of `dim`."""
    whole = zeros(shape, grad.dtype, grad)
    whole[_at(dim % len(shape), slice(start, stop, step))] = grad
    return whole


@op(
    _slice_rule,
    gradient={
        "input": lambda g, input_meta, dim, start, stop, step: _slice_backward(
            g, tuple(input_meta.shape), dim, start, stop, step
        )
    },
    api="",
    **VIEW,
)
def _slice(input: Tensor, dim: int, start: int | None, stop: int | None, step: int | None):
    """A slice of one dimension."""
    return input[_at(dim % input.ndim, slice(start, stop, step))]


@function()
def narrow(input: Tensor, dim: int, start, length: int):
    """`length` indices of a dimension from `start`."""
    if isinstance(start, TensorClass) and (start.ndim or start.dtype.category != dtypes.INTEGER):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    start = int(start)
    if input.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    n = input.shape[rules.wrap_dim(dim, input.ndim)]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [-{n}, {n}], but got {start})"
        )
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return _slice(input, dim, start, start + length, None)


def _diagonal_rule(input: Meta, offset, dim1, dim2) -> Meta:
    a, b = rules.wrap_dim(dim1, input.ndim), rules.wrap_dim(dim2, input.ndim)
    if a == b:
        rules.fail(
            RuntimeError, f"diagonal dimensions cannot be identical {dim1}, {dim2}"
        )
    rows, columns = input.shape[a], input.shape[b]
    n = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    start = input.offset
    if n:
        start += offset * input.strides[b] if offset >= 0 else -offset * input.strides[a]
    keep = [i for i in range(input.ndim) if i not in (a, b)]
    return meta(
        (*(input.shape[i] for i in keep), n),
        input.dtype,
        (*(input.strides[i] for i in keep), input.strides[a] + input.strides[b]),
        start,
    )


@op(
    lambda grad, shape, offset, dim1, dim2: meta(shape, grad.dtype),
    gradient={
        "grad": lambda g, offset, dim1, dim2: g.diagonal(offset, dim1, dim2)
    },
    compute="storage",
    api="",
)
def _diagonal_backward(grad: Tensor, shape: tuple, offset: int, dim1: int, dim2: int):
    """Zeros of `shape` with `grad` on a diagonal."""
    return with_diagonal(zeros(shape, grad.dtype, grad), grad, offset, dim1, dim2)


@native("with_diagonal")
def with_diagonal(whole, x, offset: int, dim1: int, dim2: int):
    """`whole`, with `x` written on a diagonal."""
    view = np.diagonal(whole, offset, dim1, dim2)
    view.flags.writeable = True
    view[...] = x
    return whole


@op(
    _diagonal_rule,
    gradient={
        "input": lambda g, input_meta, offset, dim1, dim2: _diagonal_backward(
            g, tuple(input_meta.shape), offset, dim1, dim2
        )
    },
    **VIEW,
)
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1):
    """The diagonal of two dimensions, as the last one."""
    view = np.diagonal(input, offset, dim1, dim2)
    view.flags.writeable = input.flags.writeable
    return view


def _unfold_rule(input: Meta, dimension, size, step) -> Meta:
    d = rules.wrap_dim(dimension, input.ndim)
    have = input.shape[d] if input.ndim else 1
    if size > have:
        rules.fail(
            RuntimeError,
            f"maximum size for tensor at dimension {d} is {have} but size is {size}",
        )
    if step <= 0:
        rules.fail(RuntimeError, f"step is {step} but must be > 0")
    if input.ndim == 0:
        return meta((size,), input.dtype, (1,), input.offset)
    n = (have - size) // step + 1
    shape = (*input.shape[:d], n, *input.shape[d + 1:], size)
    strides = (
        *input.strides[:d], input.strides[d] * step, *input.strides[d + 1:], input.strides[d]
    )
    return meta(shape, input.dtype, strides, input.offset)


def _unfold_gradient(g, input_meta, dimension, size, step):
    from ..trace.layouts import scatter_into_zeros

    m = meta(input_meta.shape, input_meta.dtype)
    shape = _unfold_rule(m, dimension, size, step)
    return scatter_into_zeros(g, m, shape.shape, shape.strides, 0)


@op(_unfold_rule, gradient={"input": _unfold_gradient}, api="Tensor", **VIEW)
def unfold(input: Tensor, dimension: int, size: int, step: int):
    """All windows of `size` along a dimension, every `step`; the window is the last dimension."""
    if input.ndim == 0:
        return np.lib.stride_tricks.as_strided(input, (size,), (input.itemsize,))
    d = dimension % input.ndim
    n = (input.shape[d] - size) // step + 1
    return np.lib.stride_tricks.as_strided(
        input,
        (*input.shape[:d], n, *input.shape[d + 1:], size),
        (*input.strides[:d], input.strides[d] * step, *input.strides[d + 1:], input.strides[d]),
    )


# ---------------------------------------------------------------- in place


def _in_place(name: str):
    """`name_`: the tensor itself becomes the view."""
    view_of = PUBLISHED["Tensor"][name]

    def form(self, *args, **kwargs):
        self.check_writable(name + "_")
        return become_view(self, view_of(self, *args, **kwargs))

    form.__name__ = name + "_"
    form.__doc__ = f"In-place version of `{name}`: the same memory, seen in another shape."
    function(api="Tensor")(form)


for _name in ("squeeze", "unsqueeze", "transpose", "swapaxes", "swapdims", "t", "as_strided"):
    _in_place(_name)


# ---------------------------------------------------------------- pieces


@function(aliases=("unsafe_split",))
def split(tensor: Tensor, split_size_or_sections, dim: int = 0):
    """Pieces of a given size along `dim` (the last may be smaller), or of a list of sizes.

    >>> torch.split(torch.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    n = tensor.shape[rules.wrap_dim(dim, tensor.ndim)] if tensor.ndim else rules.fail(
        RuntimeError, "split expects at least a 1-dimensional tensor"
    )
    if not isinstance(split_size_or_sections, int):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    size = split_size_or_sections
    if size < 0 or (size == 0 and n):
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if n == 0 or size == 0:
        return (_slice(tensor, dim, 0, n, None),)
    return tuple([_slice(tensor, dim, i, min(i + size, n), None) for i in range(0, n, size)])


@function()
def split_with_sizes(input: Tensor, split_sizes, dim: int = 0):
    """Pieces of the given sizes along `dim`."""
    if input.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    n = input.shape[rules.wrap_dim(dim, input.ndim)]
    if sum(split_sizes) != n:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
            f"dimension {dim}), but got split_sizes={list(split_sizes)}"
        )
    made, start = [], 0
    for size in split_sizes:
        made.append(_slice(input, dim, start, start + size, None))
        start += size
    return tuple(made)


@function()
def chunk(input: Tensor, chunks: int, dim: int = 0):
    """About equal pieces, at most `chunks`.

    >>> torch.chunk(torch.arange(5), 3)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    if input.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    n = input.shape[rules.wrap_dim(dim, input.ndim)]
    size = -(-n // chunks)
    if size == 0:
        return tuple(_slice(input, dim, 0, 0, None) for _ in range(chunks))
    return split(input, size, dim)


@function()
def tensor_split(input: Tensor, indices_or_sections, dim: int = 0):
    """Pieces that differ in size by at most one, or cut at given indices."""
    if input.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    n = input.shape[rules.wrap_dim(dim, input.ndim)]
    if hasattr(indices_or_sections, "tolist"):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {k}")
        sizes = [n // k + (1 if i < n % k else 0) for i in range(k)]
        return split_with_sizes(input, sizes, dim)
    cuts = [None, *indices_or_sections, None]
    return tuple(_slice(input, dim, a, b, None) for a, b in zip(cuts, cuts[1:], strict=False))


def _equal_pieces(name, input, least: int, dim: int, pieces):
    """`tensor_split` along `dim`, whose size a number of pieces must divide."""
    if input.ndim < least:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with "
            f"{input.ndim} dimensions!"
        )
    if isinstance(pieces, int) and pieces > 0 and input.shape[dim] % pieces:
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
            f"{input.shape[dim]} is not divisible by the split_size {pieces}!"
        )
    return tensor_split(input, pieces, dim)


@function()
def hsplit(input: Tensor, indices_or_sections):
    """`tensor_split` along columns (the only dimension of vectors)."""
    return _equal_pieces("hsplit", input, 1, 0 if input.ndim == 1 else 1, indices_or_sections)


@function()
def vsplit(input: Tensor, indices_or_sections):
    """`tensor_split` along rows."""
    return _equal_pieces("vsplit", input, 2, 0, indices_or_sections)


@function()
def dsplit(input: Tensor, indices_or_sections):
    """`tensor_split` along the third dimension."""
    return _equal_pieces("dsplit", input, 3, 2, indices_or_sections)


@function()
def unbind(input: Tensor, dim: int = 0):
    """All indices of a dimension as a tuple."""
    if input.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return tuple([select(input, dim, i) for i in range(input.shape[rules.wrap_dim(dim, input.ndim)])])
