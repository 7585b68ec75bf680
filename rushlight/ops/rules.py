"""Shape and dtype rules shared by families of operators: type promotion, broadcasting, layout.

A rule takes an operator's arguments, with a `Meta` in place of each tensor, and returns the
result's `Meta`. It raises PyTorch's exceptions; nothing is computed.
"""

from __future__ import annotations

from typing import NoReturn

from ..trace import dtypes
from ..trace.layouts import channels_last_strides
from ..trace.meta import (
    Meta,
    contiguous_strides,
    inference_caches,
    is_dense,
    meta,
    same_layout,
    weak_like,
)
from ..trace.promotion import promote


def fail(kind: type[Exception], message: str) -> NoReturn:
    """Raise `kind(message)`; for use inside expressions."""
    raise kind(message)


def wrap_dim(dim: int, ndim: int) -> int:
    """`dim` counted from the front. 0-dim tensors accept 0 and -1, as in PyTorch."""
    span = ndim or 1
    if type(dim) is not int:
        try:
            dim = dim.__index__()
        except AttributeError:
            raise TypeError(f"dim must be an int, not {type(dim).__name__}") from None
    if not -span <= dim < span:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], "
            f"but got {dim})"
        )
    return dim + span if dim < 0 else dim


def wrap_dims(dims, ndim: int) -> tuple[int, ...]:
    """The distinct dims of an int, a sequence of ints, None or () (both meaning all)."""
    if dims is None or dims == ():
        return tuple(range(ndim))
    if isinstance(dims, int):
        dims = (dims,)
    wrapped = tuple(wrap_dim(d, ndim) for d in dims)
    for i, d in enumerate(wrapped):
        if d in wrapped[:i]:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return wrapped if ndim else ()


def reduce_shape(shape, dims, keepdim: bool = False) -> tuple[int, ...]:
    """The shape after reducing over `dims` (an int, a sequence, None or () for all)."""
    gone = wrap_dims(dims, len(shape))
    if keepdim:
        return tuple(1 if i in gone else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in gone)


def broadcast_shapes(*shapes) -> tuple[int, ...]:
    """The common shape of arrays that are broadcast together; RuntimeError if there is none."""
    first = shapes[0]
    for shape in shapes[1:]:
        if shape == first:
            continue
        long, short = (first, shape) if len(first) >= len(shape) else (shape, first)
        extra = len(long) - len(short)
        out = list(long)
        for i, n in enumerate(short, extra):
            m = long[i]
            if n == m or n == 1:
                continue
            if m != 1:
                a, b = (m, n) if long is first else (n, m)
                raise RuntimeError(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                    f"non-singleton dimension {i}: shapes {list(first)} and {list(shape)} do not "
                    "broadcast"
                )
            out[i] = n
        first = tuple(out)
    return first


def layout(shape, metas) -> tuple[int, ...] | None:
    """Strides of an elementwise result: the inputs' dimension order when they are dense."""
    operands = [m for m in metas if m.ndim and not m.weak]
    if all(m.contiguous and m.shape == shape for m in operands):
        # next to a number, PyTorch keeps the odd strides that dims of size 1 may have
        plain = contiguous_strides(shape)
        if len(operands) == len(metas) or all(m.strides == plain for m in operands):
            return None
    if len(operands) == len(metas) and all(m.shape == shape for m in operands):
        first = operands[0].strides
        if all(m.strides == first for m in operands) and is_dense(shape, first):
            return first
    rank = len(shape)
    strides = [
        tuple(
            0 if i < rank - m.ndim or (m.shape[i - rank] == 1 and shape[i] != 1)
            else m.strides[i - rank] * m.dtype.itemsize
            for i in range(rank)
        )
        for m in operands
    ]

    def order(a: int, b: int) -> int:
        """1 if dim `a` should move less quickly in memory than `b`, -1 if more, 0 undecided."""
        for s in strides:
            if s[a] == 0 or s[b] == 0:
                continue
            if s[a] != s[b]:
                return -1 if s[a] < s[b] else 1
            if shape[a] > shape[b]:
                return 1
        return 0

    fastest = list(reversed(range(rank)))  # insertion sort, stable where strides do not decide
    for i in range(1, rank):
        at = i
        for j in range(i - 1, -1, -1):
            verdict = order(fastest[j], fastest[at])
            if verdict > 0:
                fastest[j], fastest[at] = fastest[at], fastest[j]
                at = j
            elif verdict < 0:
                break
    out, step = [0] * rank, 1
    for d in fastest:
        out[d] = step
        step *= max(shape[d], 1)
    return tuple(out)


def like(*metas: Meta, dtype: dtypes.dtype | None = None) -> Meta:
    """Broadcast shape, promoted dtype (or `dtype`) and PyTorch's layout of an elementwise result."""
    if all(m.weak for m in metas):
        return weak_like(promote(*metas) if dtype is None else dtype)
    shape = broadcast_shapes(*[m.shape for m in metas])
    if dtype is None:
        dtype = promote(*metas)
    return meta(shape, dtype, layout(shape, metas))


def cached(rule):
    """A rule that remembers its answers, for the rules on the first-time path of every program."""
    answers: dict = {}
    inference_caches.append(answers)

    def ask(*args):
        try:
            return answers[args]
        except KeyError:
            if len(answers) > 10_000:
                answers.clear()
            answer = answers[args] = rule(*args)
            return answer
        except TypeError:
            return rule(*args)

    ask.__name__, ask.__doc__ = rule.__name__, rule.__doc__
    return ask


def float_of(dtype: dtypes.dtype) -> dtypes.dtype:
    """`dtype` if it is floating or complex, else the default float dtype."""
    return dtype if dtype.category >= dtypes.FLOAT else dtypes.get_default_dtype()


@cached
def same(input: Meta, *_) -> Meta:
    """The input's shape and dtype, in a dense layout."""
    if not input.offset and input.strides == contiguous_strides(input.shape):
        return input
    return like(input, dtype=input.dtype)


@cached
def float_unary(input: Meta, *_) -> Meta:
    """The input's shape; integers and bools become the default float dtype."""
    return like(input, dtype=float_of(input.dtype))


@cached
def bool_unary(input: Meta, *_) -> Meta:
    """The input's shape with dtype bool."""
    return like(input, dtype=dtypes.bool_)


@cached
def broadcast(input: Meta, other: Meta, *_) -> Meta:
    """Two operands broadcast together, with the promoted dtype."""
    return like(input, other)


@cached
def broadcast_float(input: Meta, other: Meta, *_) -> Meta:
    """As `broadcast`; integer operands give the default float dtype."""
    return like(input, other, dtype=float_of(promote(input, other)))


@cached
def comparison(input: Meta, other: Meta, *_) -> Meta:
    """Two operands broadcast together, with dtype bool."""
    if not input.weak and not other.weak:
        promote(input, other)
    return like(input, other, dtype=dtypes.bool_)


def only(rule, name: str, lowest: int, highest: int = dtypes.COMPLEX):
    """`rule`, with NotImplementedError for results whose kind of dtype is outside of these."""

    @cached
    def checked(*metas) -> Meta:
        out = rule(*metas)
        if not lowest <= out.dtype.category <= highest:
            shown = dtypes.type_name(out.dtype)
            fail(NotImplementedError, f'"{name}" not implemented for \'{shown}\'')
        return out

    return checked


def images_like(shape, dtype: dtypes.dtype, *sources: Meta) -> Meta:
    """A result of `shape` whose channels are innermost in memory if a source's are, else contiguous."""
    for m in sources:
        if 4 <= m.ndim <= 5 and not m.contiguous and same_layout(
            m.strides, channels_last_strides(m.shape), m.shape
        ):
            return meta(shape, dtype, channels_last_strides(shape))
    return meta(shape, dtype)
