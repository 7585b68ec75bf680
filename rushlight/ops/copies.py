"""Copies of what views show (`view_copy` and so on), other names of views, methods as functions."""

from __future__ import annotations

from ..trace.dtypes import contiguous_format, dtype
from ..trace.forms import write_out
from ..trace.operator import PUBLISHED, Tensor, function
from ..trace.tensor import Tensor as TensorClass

COPIED = (
    "as_strided detach diagonal expand narrow permute select split split_with_sizes squeeze t "
    "transpose unbind unfold unsqueeze view view_as_complex view_as_real"
)


def _method(name: str):
    """The method of Tensor or function `name`."""
    published = PUBLISHED["Tensor"].get(name) or PUBLISHED["torch"].get(name)
    return published or getattr(TensorClass, name)


def _copying(name: str) -> None:
    view = _method(name)

    def copy(input, *args, **kwargs):
        if name == "narrow" and args and isinstance(args[0], int) and 0 < input.ndim <= args[0]:
            raise RuntimeError(  # (`narrow` itself raises IndexError)
                f"narrow_copy(): dim {args[0]} is out of range for shape {list(input.shape)}"
            )
        if name == "view" and args and not isinstance(args[0], dtype):
            return input.reshape(*args, **kwargs).clone(memory_format=contiguous_format)  # (any strides will do)
        return view(input, *args, **kwargs).clone(memory_format=contiguous_format)

    def copies(input, *args, out=None, **kwargs):
        made = tuple([part.clone() for part in view(input, *args, **kwargs)])
        return made if out is None else write_out(copies.__name__, made, out) and None

    several = name in ("split", "split_with_sizes", "unbind")
    f = copies if several else copy
    f.__name__ = name + "_copy"
    f.__doc__ = f"`{name}` in memory of its own."
    function(api="torch Tensor" if name == "narrow" else "torch", out=not several)(f)


for _name in COPIED.split():
    _copying(_name)


@function(api="torch", out=True)
def alias_copy(input: Tensor):
    """A copy."""
    return input.clone()


@function(api="torch", out=True)
def slice_copy(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
               step: int = 1):
    """The slice `start:end:step` of a dimension, in memory of its own."""
    return input[(slice(None),) * (dim % input.ndim) + (slice(start, end, step),)].clone()


@function()
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0):
    """`chunk`; the parts may be written to without regard to the whole."""
    return input.chunk(chunks, dim)


@function()
def unsafe_split_with_sizes(input: Tensor, split_sizes, dim: int = 0):
    """`split` into parts of given sizes; they may be written to without regard to the whole."""
    return input.split(list(split_sizes), dim)


METHODS_AS_FUNCTIONS = (
    "as_strided_ detach detach_ fill_ get_device is_conj is_inference is_neg is_signed resize_as_ "
    "resolve_conj resolve_neg"
)


def _as_function(name: str) -> None:
    method = _method(name)

    def call(input, *args, **kwargs):
        return method(input, *args, **kwargs)

    call.__name__ = name
    call.__doc__ = f"`input.{name}()`."
    function(api="torch")(call)


@function()
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape."""
    return input.shape == other.shape


@function(api="Tensor")
def resize_as_(self, the_template, *, memory_format=None):
    """`resize_` to the shape of another tensor."""
    return self.resize_(the_template.shape)


@function(api="Tensor")
def is_nonzero(self) -> bool:
    """Whether the single element is not zero."""
    return bool(self)


@function(api="Tensor")
def is_set_to(self, tensor) -> bool:
    """Whether both tensors show the same memory in the same way."""
    same = self.shape == tensor.shape and self.stride() == tensor.stride()
    return same and self.data_ptr() == tensor.data_ptr()


@function(api="Tensor")
def dim_order(self, ambiguity_check=False) -> tuple[int, ...]:
    """The dimensions from the slowest to the fastest in memory."""
    return tuple(sorted(range(self.ndim), key=lambda d: -self.stride(d)))


for _name in METHODS_AS_FUNCTIONS.split():
    _as_function(_name)


@function(api="Tensor")
def fill_diagonal_(self, fill_value, wrap: bool = False):
    """The diagonal of all dims set to a number; wrap: it starts again below a high matrix's end."""
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.ndim > 2 and len(set(self.shape)) > 1:
        raise RuntimeError(
            f"all dimensions of input must be of equal length, but got {list(self.shape)}"
        )
    height, width = self.shape[0], min(self.shape)
    step = sum(self.stride())
    for start in range(0, height, self.shape[1] + 1) if wrap and self.ndim == 2 else (0,):
        n = min(width, height - start)
        offset = self.storage_offset() + start * self.stride(0)
        self.as_strided((n,), (step,), offset).fill_(fill_value)
    return self
