"""Making tensors: from Python and NumPy values, filled, and counted."""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..interpret.tier0 import converted
from ..trace import dtypes
from ..trace.device import CPU, place_of, require
from ..trace.dtypes import dtype as dtype_class
from ..trace.dtypes import preserve_format, strided
from ..trace.layouts import _filled, format_strides, made_on
from ..trace.meta import contiguous_strides, is_dense, meta
from ..trace.operator import PUBLISHED, Tensor, function, op
from ..trace.record import sizes
from ..trace.storage import UntypedStorage
from ..trace.tensor import Tensor as TensorClass
from ..trace.tensor import array, expose, wrap, wrap_shared
from ..trace.write import write

# ---------------------------------------------------------------- from values


def _infer(data) -> dtypes.dtype:
    """The dtype of nested Python numbers."""
    if isinstance(data, np.generic):  # (np.float64 is a float, too)
        return dtypes.from_numpy_dtype(data.dtype)
    if isinstance(data, bool):
        return dtypes.bool_
    if isinstance(data, int):
        return dtypes.int64
    if isinstance(data, float):
        return dtypes.get_default_dtype()
    if isinstance(data, complex):
        return dtypes.default_complex()
    if isinstance(data, TensorClass):
        return data.dtype
    if isinstance(data, np.ndarray):
        return dtypes.from_numpy_dtype(data.dtype)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(data, dict):
        raise RuntimeError("Could not infer dtype of dict")
    found = None
    for x in data:
        d = _infer(x)
        found = d if found is None else dtypes.promote_types(found, d)
    return found or dtypes.get_default_dtype()


def _shape(data):
    if isinstance(data, (TensorClass, np.ndarray)):
        return tuple(data.shape)
    if isinstance(data, (list, tuple)) or (hasattr(data, "__len__") and hasattr(data, "__getitem__")
                                          and not isinstance(data, (str, np.generic))):
        if len(data) == 0:
            return (0,)
        return (len(data), *_shape(data[0]))
    return ()


def _values(data, dtype):
    """A fresh array of nested data in a dtype; PyTorch's errors for ragged or odd data."""
    if isinstance(data, np.ndarray):
        return converted(data, dtype.np)
    if isinstance(data, (str, bytes)) or data is None:
        name = "NoneType" if data is None else type(data).__name__
        kind = RuntimeError if data is None else TypeError
        if kind is RuntimeError:
            raise RuntimeError("Could not infer dtype of NoneType")
        raise TypeError(f"new(): invalid data type '{name}'")
    shape = _shape(data)
    flat: list = []
    _collect(data, shape, 0, flat)
    if dtype.category == dtypes.BOOL:
        flat = [bool(x) for x in flat]
    elif dtype.category == dtypes.INTEGER:
        flat = [_element(x, dtype) for x in flat]
    made = np.array(flat, np.float32 if dtype is dtypes.float16 else dtype.np).astype(dtype.np)
    return made.reshape(shape)


def _element(x, dtype):
    """A number as `tensor` makes it an element of an integer dtype."""
    if isinstance(x, complex):
        raise TypeError("'complex' object cannot be interpreted as an integer")
    if not isinstance(x, float):
        if dtype is dtypes.uint64:
            if x < 0:
                raise OverflowError("can't convert negative int to unsigned")
        elif not -(1 << 63) <= x < 1 << 63:
            raise ValueError("Overflow when unpacking long long")
    return dtypes.fit(x, dtype)


def _quick(data, dtype):
    """An array of a list (of lists) of numbers of one type that needs no care; else None."""
    kinds, shape = set(map(type, data)), (len(data),)
    if kinds and kinds <= {list, tuple}:
        shape = (len(data), len(data[0]))
        if any(len(row) != shape[1] for row in data):
            return None
        data = list(itertools.chain.from_iterable(data))
        kinds = set(map(type, data))
    if len(kinds) != 1:
        return None
    own = {int: dtypes.int64, float: dtypes.get_default_dtype(), bool: dtypes.bool_}.get(kinds.pop())
    dtype = dtype or own
    if own is None or dtype.is_half or dtype is not own and {own.category, dtype.category} - {
        dtypes.INTEGER, dtypes.FLOAT
    } or dtype.category < own.category:
        return None
    try:
        return np.array(data, dtype.np).reshape(shape)
    except (OverflowError, ValueError):
        return None


def _collect(data, shape, depth, out):
    if isinstance(data, (TensorClass, np.ndarray)):
        a = array(data.detach()) if isinstance(data, TensorClass) else data
        out.extend(a.reshape(-1).tolist())
        return
    if depth == len(shape):
        if isinstance(data, (list, tuple)):
            raise TypeError(f"not a sequence of numbers at depth {depth}")
        if isinstance(data, np.generic):
            data = data.item()
        if not isinstance(data, (bool, int, float, complex)):
            if isinstance(data, str):
                raise TypeError("new(): invalid data type 'str'")
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        out.append(data)
        return
    if not hasattr(data, "__len__"):
        raise TypeError(f"expected a sequence of length {shape[depth]} at dim {depth} "
                        f"(got a {type(data).__name__})")
    if len(data) != shape[depth]:
        raise ValueError(
            f"expected sequence of length {shape[depth]} at dim {depth} (got {len(data)})"
        )
    for x in data:
        _collect(x, shape, depth + 1, out)


def _finish(t, requires_grad, where=CPU):
    if where is not CPU:
        t = t.detach().to(where)
    return t.requires_grad_() if requires_grad else t


@function(api="torch")
def tensor(data, *, dtype=None, device=None, requires_grad: bool = False, pin_memory: bool = False):
    """A tensor that copies `data`: numbers, nested sequences, arrays, tensors.

    >>> torch.tensor([[1, 2], [3, 4]]), torch.tensor([1, 2.5])
    (tensor([[1, 2],
            [3, 4]]), tensor([1.0000, 2.5000]))
    """
    if isinstance(data, TensorClass):
        import warnings

        warnings.warn(
            "To copy construct from a tensor, it is recommended to use "
            "sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), "
            "rather than torch.tensor(sourceTensor).",
            stacklevel=3,
        )
        made = data.detach().clone().to(place_of(data, device))
        return _finish(made if dtype is None else made.to(dtype), requires_grad)
    where = require(device)
    if isinstance(data, (np.ndarray, np.generic)):
        d = dtype or dtypes.from_numpy_dtype(data.dtype)
        return _finish(wrap(converted(np.asarray(data), d.np)), requires_grad, where)  # dense stays dense
    if data is None:
        raise RuntimeError("Could not infer dtype of NoneType")
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if not isinstance(data, (bool, int, float, complex)) and not hasattr(data, "__len__"):
        if hasattr(data, "__array__"):
            return tensor(np.asarray(data), dtype=dtype, device=where, requires_grad=requires_grad)
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    made = _quick(data, dtype) if data.__class__ in (list, tuple) else None
    if made is None:
        made = _values(data, dtype or _infer_checked(data))
    if requires_grad and dtypes.from_numpy_dtype(made.dtype).category < dtypes.FLOAT:
        raise RuntimeError(
            "Only Tensors of floating point and complex dtype can require gradients"
        )
    return wrap(made, requires_grad) if where is CPU else _finish(wrap(made), requires_grad, where)


def _infer_checked(data):
    try:
        return _infer(data)
    except TypeError:
        _values(data, dtypes.get_default_dtype())
        raise


@function(api="torch")
def as_tensor(data, dtype=None, device=None):
    """`data` as a tensor, sharing memory with arrays and tensors of the right dtype."""
    if isinstance(data, TensorClass):
        where = place_of(data, device)
        return data if dtype is None and where is data.device else data.to(where, dtype)
    if isinstance(data, np.ndarray):
        return from_numpy(data).to(require(device), dtype)
    return tensor(data, dtype=dtype, device=device)


@function(api="torch")
def asarray(obj, *, dtype=None, device=None, copy: bool | None = None, requires_grad: bool = False):
    """`obj` as a tensor; copy True always copies, False never does.

    The bytes of a storage are shared, as elements of `dtype`.
    """
    if isinstance(obj, UntypedStorage):
        obj, dtype = from_numpy(obj._bytes()).view(dtype or dtypes.get_default_dtype()), None
    made = as_tensor(obj, dtype=dtype, device=device)
    if copy is False and isinstance(obj, TensorClass) and made is not obj:
        raise ValueError(
            f"can't alias tensor with dtype '{dtypes.type_name(obj.dtype)}' into dtype "
            f"'{dtypes.type_name(made.dtype)}'."
        )
    if copy:
        made = made.detach().clone()
    return _finish(made, requires_grad)


@function(api="torch")
def from_numpy(ndarray):
    """A tensor that shares the memory of an array; writes to either are seen by both.

    >>> import numpy as np
    >>> a = np.zeros(2)
    >>> x = torch.from_numpy(a)
    >>> a[0] = 5
    >>> x
    tensor([5., 0.], dtype=torch.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return wrap_shared(ndarray)


@function(api="torch")
def frombuffer(buffer, *, dtype, count: int = -1, offset: int = 0, requires_grad: bool = False):
    """A tensor that shares the memory of a buffer."""
    if len(buffer) == 0:
        raise ValueError(f"both buffer length ({len(buffer)}) and count ({count}) must not be 0")
    t = wrap_shared(np.frombuffer(buffer, dtype=dtype.np, count=count, offset=offset))
    return _finish(t, requires_grad)


def from_dlpack(ext_tensor):
    """A tensor that shares the memory of any object with `__dlpack__`."""
    if isinstance(ext_tensor, TensorClass):
        return ext_tensor.detach()
    a = np.from_dlpack(ext_tensor)
    return wrap_shared(a if a.flags.writeable else np.asarray(_Writable(a)))


PUBLISHED["torch"]["from_dlpack"] = from_dlpack  # another framework's tensor is data, its class is not asked


class _Writable:
    """Memory that NumPy takes for read-only: DLPack before 1.0 does not say whether it is."""

    def __init__(self, a: np.ndarray):
        self.array = a  # keeps the memory alive
        self.__array_interface__ = {**a.__array_interface__, "data": (a.ctypes.data, False)}


@function(api="torch")
def scalar_tensor(s, *, dtype=None, device=None, layout=None, requires_grad: bool = False,
                  pin_memory: bool = False):
    """A 0-dim tensor, of the default dtype."""
    d = dtype or dtypes.get_default_dtype()
    return full((), s, dtype=d, device=device, requires_grad=requires_grad)


# ---------------------------------------------------------------- filled


def _size(size):
    shape = sizes(size)
    for n in shape:
        if n < 0:
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {n}: {list(shape)}"
            )
    return shape


def _fitting(value, dtype):
    """`value` as an element of `dtype`: too large for a half type, it is infinite, as in PyTorch's `fill_`."""
    if dtype.is_half and dtype in dtypes.LARGEST and value.__class__ in (int, float) and dtypes.LARGEST[dtype] < abs(value) <= dtypes.LARGEST[dtypes.float32]:
        return float(np.float32(value).astype(dtype.np))
    return dtypes.fit(value, dtype)


def _fill(shape, value, dtype, requires_grad, out=None, where=CPU):
    if out is not None:
        from ..trace.forms import write_out

        return write_out("full", _filled(shape, _fitting(value, out.dtype), out.dtype), out)
    return _finish(made_on(where, _filled, shape, _fitting(value, dtype), dtype), requires_grad)


def _without_entries(kind, shape, dtype, requires_grad):
    from .sparse import empty_in

    made = empty_in(kind, shape, dtype or dtypes.get_default_dtype())
    return made.requires_grad_() if requires_grad else made


@function(api="torch")
def zeros(*shape, size=None, out=None, dtype=None, layout=None, device=None, requires_grad: bool = False,
          pin_memory: bool = False, names=None):
    """Zeros of a shape; a sparse `layout` has no entries."""
    where = require(device)
    if layout is not None and layout is not strided:
        return _without_entries(layout, _size(size or shape), dtype, requires_grad)
    return _fill(_size(size or shape), 0, dtype or dtypes.get_default_dtype(), requires_grad, out,
                 where)


@function(api="torch")
def ones(*shape, size=None, out=None, dtype=None, layout=None, device=None, requires_grad: bool = False,
         pin_memory: bool = False, names=None):
    """Ones of a shape."""
    where = require(device)
    return _fill(_size(size or shape), 1, dtype or dtypes.get_default_dtype(), requires_grad, out,
                 where)


@function(api="torch")
def empty(*shape, size=None, out=None, dtype=None, layout=None, device=None, requires_grad: bool = False,
          pin_memory: bool = False, memory_format=None):
    """A tensor of a shape, of any values (zeros here); a sparse `layout` has no entries."""
    where = require(device)
    if layout is not None and layout is not strided:
        return _without_entries(layout, _size(size or shape), dtype, requires_grad)
    made = _fill(_size(size or shape), 0, dtype or dtypes.get_default_dtype(), requires_grad, out,
                 where)
    return made if memory_format is None else made.contiguous(memory_format=memory_format)


@function(api="torch")
def full(size, fill_value, *, out=None, dtype=None, layout=None, device=None,
         requires_grad: bool = False, pin_memory: bool = False):
    """A shape filled with a number; its type gives the dtype."""
    where = require(device)
    if isinstance(fill_value, TensorClass):
        fill_value = fill_value.item()
    if isinstance(fill_value, np.generic):
        fill_value = fill_value.item()
    if dtype is None:
        dtype = (
            dtypes.bool_ if isinstance(fill_value, bool)
            else dtypes.int64 if isinstance(fill_value, int)
            else dtypes.default_complex() if isinstance(fill_value, complex)
            else dtypes.get_default_dtype()
        )
    return _fill(_size((size,)), fill_value, dtype, requires_grad, out, where)


def _like_strides(t, memory_format):
    m = t._s.m
    if memory_format in (None, preserve_format):
        return m.strides if is_dense(m.shape, m.strides) else None
    return format_strides(m.shape, memory_format)


@op(
    lambda size, value, dtype, strides: meta(size, dtype, strides), compute="storage", api="",
    lower=lambda build, size, value, dtype, strides: build.filled(value),
)
def _filled_strided(size: tuple, value: float, dtype: dtype_class, strides: tuple | None):
    """A filled tensor with given strides."""
    return np.full(size, np.float32(value) if dtype is dtypes.float16 else value, dtype.np)


def _like(t, value, dtype, device, requires_grad, memory_format):
    where = require(device, t.device)
    dtype = dtype or t.dtype
    value = _fitting(value, dtype)
    strides = _like_strides(t, memory_format)
    if strides is None or strides == contiguous_strides(t.shape):
        made = made_on(where, _filled, tuple(t.shape), value, dtype)
    else:
        made = made_on(where, _filled_strided, tuple(t.shape), value, dtype, strides)
    return _finish(made, requires_grad)


@function(api="torch")
def zeros_like(input: Tensor, *, dtype=None, layout=None, device=None, requires_grad: bool = False,
               memory_format=preserve_format, pin_memory: bool = False):
    """Zeros with the shape, dtype and layout of `input`, or in a sparse `layout`."""
    if layout is not None and layout is not strided:
        return _without_entries(layout, tuple(input.shape), dtype or input.dtype, requires_grad)
    return _like(input, 0, dtype, device, requires_grad, memory_format)


@function(api="torch")
def ones_like(input: Tensor, *, dtype=None, layout=None, device=None, requires_grad: bool = False,
              memory_format=preserve_format, pin_memory: bool = False):
    """Ones with the shape, dtype and layout of `input`."""
    return _like(input, 1, dtype, device, requires_grad, memory_format)


@function(api="torch")
def empty_like(input: Tensor, *, dtype=None, layout=None, device=None, requires_grad: bool = False,
               memory_format=preserve_format, pin_memory: bool = False):
    """Any values with the shape, dtype and layout of `input` (zeros here)."""
    return _like(input, 0, dtype, device, requires_grad, memory_format)


@function(api="torch")
def full_like(input: Tensor, fill_value, *, dtype=None, layout=None, device=None,
              requires_grad: bool = False, memory_format=preserve_format, pin_memory: bool = False):
    """A number with the shape, dtype and layout of `input`."""
    if isinstance(fill_value, TensorClass):
        fill_value = fill_value.item()
    return _like(input, fill_value, dtype, device, requires_grad, memory_format)


@function(api="Tensor")
def new_zeros(self, *size, dtype=None, device=None, requires_grad: bool = False, layout=None,
              pin_memory: bool = False):
    """Zeros of a shape with this tensor's dtype."""
    return _fill(_size(size), 0, dtype or self.dtype, requires_grad,
                 where=require(device, self.device))


@function(api="Tensor")
def new_ones(self, *size, dtype=None, device=None, requires_grad: bool = False, layout=None,
             pin_memory: bool = False):
    """Ones of a shape with this tensor's dtype."""
    return _fill(_size(size), 1, dtype or self.dtype, requires_grad,
                 where=require(device, self.device))


@function(api="Tensor")
def new_empty(self, *size, dtype=None, device=None, requires_grad: bool = False, layout=None,
              pin_memory: bool = False):
    """Any values of a shape with this tensor's dtype (zeros here)."""
    return _fill(_size(size), 0, dtype or self.dtype, requires_grad,
                 where=require(device, self.device))


@function(api="Tensor")
def new_full(self, size, fill_value, *, dtype=None, device=None, requires_grad: bool = False,
             layout=None, pin_memory: bool = False):
    """A number in a shape with this tensor's dtype."""
    return _fill(_size((size,)), fill_value, dtype or self.dtype, requires_grad,
                 where=require(device, self.device))


@function(api="Tensor")
def new_tensor(self, data, *, dtype=None, device=None, requires_grad: bool = False, layout=None,
               pin_memory: bool = False):
    """`torch.tensor(data)` with this tensor's dtype."""
    return tensor(data, dtype=dtype or self.dtype, device=require(device, self.device), requires_grad=requires_grad)


@function(api="Tensor")
def fill_(self, value):
    """Every element set to a number or a 0-dim tensor; in place."""
    if isinstance(value, TensorClass):
        if value.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        shared = value._storage is not None and value._storage is self._storage
        _places(self).copy_(value.clone() if shared else value)
    else:
        _places(self).copy_(_filled((), dtypes.fit(value, self.dtype), self.dtype))
    return self


def _places(t):
    """A tensor, or the view of it that has each place in memory once: what was expanded may be filled.

    Not if it has history, as in PyTorch.
    """
    from .view import select

    for d in reversed(range(t.ndim)) if t._s.m.overlaps and not t.requires_grad else ():
        if t.stride(d) == 0 and t.shape[d] > 1:
            t = select(t, d, 0)
    return t


@function(api="torch")
def fill(input: Tensor, value):
    """A copy of `input` with every element set to `value`."""
    return input.clone().fill_(value)


@function(api="Tensor torch")
def zero_(self):
    """Every element set to 0; in place."""
    write(_places(self), _filled((), 0, self.dtype), True)
    return self


@function(api="torch")
def empty_strided(size, stride, *, dtype=None, layout=None, device=None,
                  requires_grad: bool = False, pin_memory: bool = False):
    """Any values (zeros here) with given strides."""
    size, stride = tuple(size), tuple(stride)
    n = 1 + sum((a - 1) * s for a, s in zip(size, stride, strict=True)) if 0 not in size else 0
    base = zeros(n, dtype=dtype, device=device)
    return _finish(base.as_strided(size, stride), requires_grad)


@function(api="torch")
def empty_permuted(size, physical_layout, *, dtype=None, layout=None, device=None,
                   requires_grad: bool = False, pin_memory: bool = False):
    """Any values (zeros here), with the dims in memory in the order `physical_layout`."""
    size, order = tuple(size), tuple(physical_layout)
    if len(order) != len(size):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(size)} is not equal to len(physical_layout) = {len(order)}"
        )
    if sorted(order) != list(range(len(order))):
        raise RuntimeError(
            f"Duplicate dim not allowed, nor one out of range, but physical_layout is {order}"
        )
    strides, step = [0] * len(size), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(size[d], 1)
    return empty_strided(size, strides, dtype=dtype, device=device, requires_grad=requires_grad)


@function(api="Tensor")
def new_empty_strided(self, size, stride, *, dtype=None, layout=None, device=None,
                      requires_grad: bool = False, pin_memory: bool = False):
    """Any values (zeros here) with given strides and this tensor's dtype."""
    return empty_strided(size, stride, dtype=dtype or self.dtype, device=require(device, self.device),
                         requires_grad=requires_grad)


# ---------------------------------------------------------------- counted


@op(lambda start, step, n, dtype: meta((n,), dtype), compute="storage", api="",
    lower=lambda build, start, step, n, dtype: build.counted(start, step, n))
def _counted(start: float, step: float, n: int, dtype: dtype_class):
    """start, start + step, ..."""
    if dtype.category == dtypes.INTEGER:
        return np.arange(n, dtype=np.int64) * int(step) + int(start)
    return start + np.arange(n, dtype=np.float64) * step


def _plain(x):
    return x.item() if isinstance(x, (TensorClass, np.generic)) else x


@function(api="torch")
def arange(start, end=None, step=1, *, out=None, dtype=None, layout=None, device=None,
           requires_grad: bool = False, pin_memory: bool = False):
    """Numbers from start (0) below end by step. Integers give int64.

    >>> torch.arange(5), torch.arange(0, 1, 0.25)
    (tensor([0, 1, 2, 3, 4]), tensor([0.0000, 0.2500, 0.5000, 0.7500]))
    """
    where = require(device)
    if end is None:
        start, end = 0, start
    if out is not None:
        from ..trace.forms import write_out

        made = arange(start, end, step, dtype=out.dtype if dtype is None else dtype,
                      device=out.device)
        return write_out("arange", made, out)
    start, end, step = _plain(start), _plain(end), _plain(step)
    if complex in (start.__class__, end.__class__, step.__class__):
        raise RuntimeError(f"arange(): bounds and step must be real, got {start}, {end} and {step}")
    given_step, given = step, (start, end, step)
    if dtype is not None and dtype.category == dtypes.INTEGER:
        start, end, step = int(start), int(end), int(step)
    if dtype is None:
        whole = all(isinstance(x, int) for x in (start, end, step))
        dtype = dtypes.int64 if whole else dtypes.get_default_dtype()
    if step == 0:
        kind = ValueError if given_step else RuntimeError  # 0 only once it is an integer
        raise kind("step must be nonzero")
    if not all(math.isfinite(x) for x in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (step > 0 and end < start) or (step < 0 and end > start):
        raise RuntimeError(
            "upper bound and lower bound inconsistent with step sign"
        )
    if dtype.category == dtypes.INTEGER:
        n = max(0, -(-(end - start) // step))
        if dtype is not dtypes.int64 and any(isinstance(x, float) for x in given) and given[2]:
            # PyTorch counts as given, and steps in integers
            n = max(0, math.ceil((given[1] - given[0]) / given[2]))
    else:
        n = max(0, math.ceil((end - start) / step))
    return _finish(made_on(where, _counted, start, step, n, dtype), requires_grad)


@op(lambda start, end, steps, dtype: meta((steps,), dtype), compute="storage", api="")
def _spaced(start: complex, end: complex, steps: int, dtype: dtype_class):
    """`steps` numbers from start to end, computed from both ends as PyTorch does."""
    if steps == 1:
        return np.array([start])
    kind = np.complex128 if dtype.is_complex else (
        dtype.np if dtype.category == dtypes.FLOAT and not dtype.is_half else np.float64
        if dtype.category != dtypes.FLOAT else np.float32
    )
    kind = np.dtype(kind).type
    step = (kind(end) - kind(start)) / kind(steps - 1)
    at = np.arange(steps)
    low = kind(start) + step * at.astype(kind)
    high = kind(end) - step * (steps - 1 - at).astype(kind)
    return np.where(at < steps // 2, low, high)


@function(api="torch", out=True)
def linspace(start, end, steps: int, *, dtype=None, layout=None, device=None,
             requires_grad: bool = False, pin_memory: bool = False):
    """`steps` evenly spaced numbers from start to end, both included.

    >>> torch.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    where = require(device)
    start, end = _plain(start), _plain(end)
    if isinstance(steps, (float, bool)):
        raise TypeError(f"linspace(): argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if dtype is None:
        complex_ = isinstance(start, complex) or isinstance(end, complex)
        dtype = dtypes.default_complex() if complex_ else dtypes.get_default_dtype()
    if dtype.category == dtypes.INTEGER:
        start, end = int(start), int(end)
    return _finish(made_on(where, _spaced, start, end, int(steps), dtype), requires_grad)


def _inclusive_range():  # (its name is Python's, which this file uses)
    def range(start, end, step=1, *, dtype=None, layout=None, device=None,
              requires_grad: bool = False, pin_memory: bool = False):
        """Numbers from start to end, which is included, by step: an older form of `arange`."""
        if step == 0 or (end - start) / step < 0:
            raise RuntimeError(
                f"upper bound and lower bound inconsistent with step sign: {start}, {end}, {step}"
            )
        n = math.floor((end - start) / step) + 1
        dtype = dtype or dtypes.get_default_dtype()
        made = linspace(start, start + (n - 1) * step, n, dtype=dtype, device=device)
        return _finish(made, requires_grad)

    return function(api="torch", out=True)(range)


_inclusive_range()


@function(api="torch", out=True)
def logspace(start, end, steps: int, base: float = 10.0, *, dtype=None, layout=None, device=None,
             requires_grad: bool = False, pin_memory: bool = False):
    """base to the power of `linspace(start, end, steps)`."""
    dtype = dtype or dtypes.get_default_dtype()
    wide = dtypes.float64 if not dtype.is_complex else dtype
    if dtype.category < dtypes.FLOAT:
        start, end = int(start), int(end)
    powers = linspace(start, end, steps, dtype=wide, device=CPU)
    made = (wrap(np.power(float(base), array(powers)))).to(dtype)
    return _finish(made, requires_grad, require(device))


@op(lambda n, m, dtype: meta((n, m), dtype), compute="storage", api="")
def _identity(n: int, m: int, dtype: dtype_class):
    """Ones on the diagonal."""
    return np.eye(n, m, dtype=np.float32 if dtype.is_half else dtype.np)


@function(api="torch", out=True)
def eye(n: int, m: int | None = None, *, dtype=None, layout=None, device=None,
        requires_grad: bool = False, pin_memory: bool = False):
    """A matrix with ones on the diagonal."""
    where = require(device)
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(f"n must be greater or equal to 0, got {n}")
    made = made_on(where, _identity, n, n if m is None else m, dtype or dtypes.get_default_dtype())
    return _finish(made, requires_grad)


@function(api="torch")
def tril_indices(row: int, col: int, offset: int = 0, *, dtype=None, device=None, layout=None):
    """Row and column indices of the lower triangle."""
    return wrap(np.stack(np.tril_indices(row, offset, col))).to(require(device), dtype or dtypes.int64)


@function(api="torch")
def triu_indices(row: int, col: int, offset: int = 0, *, dtype=None, device=None, layout=None):
    """Row and column indices of the upper triangle."""
    return wrap(np.stack(np.triu_indices(row, offset, col))).to(require(device), dtype or dtypes.int64)


@function(api="torch")
def vander(x: Tensor, N: int | None = None, increasing: bool = False):  # noqa: N803
    """Powers of a vector's elements as columns."""
    n = x.shape[0] if N is None else N
    powers = [x**k for k in range(n)]
    from .shape import stack

    return stack(powers if increasing else powers[::-1], 1) if n else x.new_zeros(x.shape[0], 0)


def _window(name, f):
    def window(window_length: int, periodic: bool = True, *args, dtype=None, layout=None,
               device=None, requires_grad: bool = False, pin_memory: bool = False, **kwargs):
        n = window_length
        if n < 0:
            raise RuntimeError(
                f"{name} requires non-negative window_length, got window_length={n}"
            )
        if dtype is not None and dtype.category < dtypes.FLOAT:
            raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
        if n <= 1:
            made = np.ones(n)
        else:
            at = np.arange(n) / (n if periodic else n - 1)
            made = f(at, *args, **kwargs)
        return _finish(wrap(made).to(dtype or dtypes.get_default_dtype()), requires_grad, require(device))

    window.__name__, window.__doc__ = name, f"The {name.split('_')[0]} window."
    return function(api="torch")(window)


def _hamming(x, alpha=0.54, beta=0.46):
    return alpha - beta * np.cos(2 * math.pi * x)


def _kaiser(x, beta=12.0):
    return np.i0(beta * np.sqrt(np.maximum(1 - (2 * x - 1) ** 2, 0))) / np.i0(beta)


hann_window = _window("hann_window", lambda x: 0.5 - 0.5 * np.cos(2 * math.pi * x))
hamming_window = _window("hamming_window", _hamming)
blackman_window = _window(
    "blackman_window",
    lambda x: 0.42 - 0.5 * np.cos(2 * math.pi * x) + 0.08 * np.cos(4 * math.pi * x),
)
bartlett_window = _window("bartlett_window", lambda x: 1 - np.abs(2 * x - 1))
kaiser_window = _window("kaiser_window", _kaiser)

__all__ = ["expose"]
