"""Making tensors by class call, by copy and from pickles."""

from __future__ import annotations

import numpy as np

from . import dtypes, out_of_memory
from .tensor import Parameter, Tensor, array, as_subclass, settle, without_values, wrap
from .trie import Storage

new = object.__new__


def legacy_tensor(cls, *args, dtype=None, **kwargs):
    """`torch.Tensor(2, 3)`, `torch.Tensor([1, 2])`, `Subclass(tensor)`.

    TypeError for anything else; OutOfMemoryError.
    """
    try:
        return _legacy_tensor(cls, *args, dtype=dtype)
    except (MemoryError, ValueError) as e:
        if out_of_memory.is_shortage(e):
            raise out_of_memory.explained(e, cls.__name__) from None
        raise


def _legacy_tensor(cls, *args, dtype):
    dtype = dtype or dtypes.get_default_dtype()
    if not args:
        made = wrap(np.empty(0, dtype.np))
    elif len(args) == 1 and isinstance(args[0], Tensor):
        source = args[0]
        if cls is not Tensor:
            return as_subclass(source, cls)
        made = source.detach()
    elif all(isinstance(a, (int, np.integer)) for a in args) or (
        len(args) == 1 and type(args[0]).__name__ == "Size"
    ):
        shape = args[0] if len(args) == 1 and isinstance(args[0], tuple) else args
        made = wrap(np.zeros(tuple(shape), dtype.np))
    elif len(args) == 1:
        made = wrap(np.array(args[0], dtype.np))
    else:
        raise TypeError(f"new(): data must be a sequence (got {type(args[0]).__name__})")
    return made if cls is Tensor else as_subclass(made, cls)


class _TypedTensor(type):
    """The metaclass of torch.FloatTensor and its like: makers of tensors, and tests of dtypes."""

    def __call__(cls, *args, device=None):
        from .device import require

        require(device)
        return legacy_tensor(Tensor, *args, dtype=cls.dtype)

    def __instancecheck__(cls, instance):
        return (isinstance(instance, Tensor) and instance.dtype is cls.dtype
                and instance.layout is dtypes.strided)


_DOCUMENTATION = """A {dtype} tensor of data or of a shape; `isinstance` tests for this dtype.

>>> x = torch.{name}([0, 1])
>>> x.dtype, isinstance(x, torch.{name})
({printed}, True)
"""
TYPED_TENSORS = {
    name: _TypedTensor(name, (), {"dtype": d, "__module__": "torch", "__doc__":
                                  _DOCUMENTATION.format(name=name, dtype=d.name, printed=d)})
    for name, d in (
        ("FloatTensor", dtypes.float32), ("DoubleTensor", dtypes.float64),
        ("HalfTensor", dtypes.float16), ("BFloat16Tensor", dtypes.bfloat16),
        ("LongTensor", dtypes.int64), ("IntTensor", dtypes.int32), ("ShortTensor", dtypes.int16),
        ("CharTensor", dtypes.int8), ("ByteTensor", dtypes.uint8), ("BoolTensor", dtypes.bool_),
    )
}


def deep_copy(t, memo):
    """A leaf tensor's copy in memory of its own; views of one memory stay together."""
    if id(t) in memo:
        return memo[id(t)]
    if not t.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment. If you were attempting to deepcopy a module, this may be "
            "because of a torch.nn.utils.weight_norm usage, see "
            "https://github.com/pytorch/pytorch/pull/103001"
        )
    if t.is_meta:
        made = memo[id(t)] = as_subclass(without_values(t._s.m), type(t), t.requires_grad)
        return _with_copied_attributes(made, t, memo)
    a = array(t)
    owner = a
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    shared = memo.get(("memory", id(owner)))
    if shared is None:
        shared = memo["memory", id(owner)] = (owner.copy(order="K"), owner, Storage())
    duplicate = shared[0]
    if a is owner:
        buf = duplicate
    else:
        at = a.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        if owner.flags.forc and owner.size:
            flat = duplicate.reshape(-1, order="A").view(np.uint8)
            buf = np.ndarray(a.shape, a.dtype, flat, at, a.strides)
        else:
            buf = a.copy(order="K")
    made = new(type(t))
    made._s, made._tr, made._buf = t._s if t._tr is None else _idle_of(t), None, buf
    made._offset = t._offset
    if t._storage is not None:  # other tensors may share this memory: so will their copies
        made._storage = shared[2]
    memo[id(t)] = made
    return _with_copied_attributes(made, t, memo)


def _with_copied_attributes(made, t, memo):
    from copy import deepcopy

    for name, value in t.__dict__.items():
        made.__dict__[name] = deepcopy(value, memo)
    if t._grad is not None:
        made._grad = deepcopy(t._grad, memo)
    return made


def _idle_of(t):
    from .trie import idle

    return idle(t._s.m, t._s.rg)


def rebuild(data, dtype_name, shape, strides, offset, requires_grad, kind, state):
    """Make a tensor from what `reduce_tensor` kept."""
    from .meta import meta
    from .trie import idle

    d = dtypes.ALL[dtype_name]
    if data is None:
        made = as_subclass(without_values(meta(tuple(shape), d, strides)), kind, requires_grad)
        made.__dict__.update(state)
        return made
    flat = np.frombuffer(bytearray(data), dtype=d.np)
    m = meta(tuple(shape), d, strides)
    buf = np.lib.stride_tricks.as_strided(flat[offset:], shape, m.np_strides)
    made = new(kind)
    made._s, made._tr, made._buf = idle(m, requires_grad), None, buf
    made.__dict__.update(state)
    return made


def reduce_tensor(t):
    """Pickle support: dtype, shape, strides and the bytes from the first element to the last.

    (None in the place of the bytes on the meta device.)
    """
    if not t.is_leaf and t.requires_grad:
        t = t.detach().requires_grad_()
    settle(t)
    data = None
    if not t.is_meta:
        a = array(t)
        span = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) if a.size else 0
        data = np.lib.stride_tricks.as_strided(a, (span,), (a.itemsize,)).tobytes()
    return rebuild, (
        data,
        t.dtype.name,
        tuple(t.shape),
        tuple(t.stride()),
        0,
        t.requires_grad,
        type(t),
        dict(t.__dict__),
    )


__all__ = ["Parameter", "deep_copy", "legacy_tensor", "rebuild", "reduce_tensor"]
