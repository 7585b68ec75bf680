"""What is derived from an operator: several outputs, views, in-place and `out=` forms, compositions."""

from __future__ import annotations

import functools

from . import autocast, overrides
from .operator import MAKERS, Operator
from .record import OPERANDS, as_call, link, operand, record
from .tensor import Tensor
from .trie import RECORDER
from .write import refuse_overlap, write

new = object.__new__
HOOKED = overrides.ACTIVE
OTHERS = overrides.OTHERS


def finish(o: Operator, tr, t, first, arrays=None):
    """What a plain handle lacks: further outputs, the view relation, flushes of visible memory."""
    v = t._s
    if o.view:
        link(t, first)
        return t
    if v.outs is not None:
        made = [t]
        for j, w in enumerate(v.outs[1:], 1):
            u = new(Tensor)
            u._tr, u._s = tr, w
            if arrays is not None:
                u._buf = arrays[j]
            tr.ts.append(u)
            made.append(u)
        return result_type(o)(*made) if o.returns else tuple(made)
    return t


NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # keywords that PyTorch accepts too


def result_type(o: Operator):
    """torch.return_types.<name>: a named tuple of an operator's outputs."""
    return make_result_type(o.name.strip("_").removesuffix("_dim"), o.returns)


@functools.cache
def make_result_type(name: str, fields: tuple[str, ...]) -> type:
    """A namedtuple class that prints, and pickles, as torch.return_types.<name>."""
    from collections import namedtuple

    kind = namedtuple(name, fields, module="torch.return_types")

    def shown(self):
        inner = ",\n".join(f"{f}={getattr(self, f)!r}" for f in fields)
        return f"torch.return_types.{name}(\n{inner})"

    kind.__repr__ = shown
    kind.__reduce__ = lambda self: (_result, (name, fields, tuple(self)))
    return kind


def _result(name, fields, values):
    return make_result_type(name, fields)(*values)


def general(o: Operator, args: tuple, out=None, bare=False):
    """An operator call that needs more than the hot path: overrides, `out=`, sizes as a list.

    bare: it is one of Python's operators, which leaves what is no operand to the other object.
    """
    if HOOKED[0]:
        found = overrides.find(args, out)
        if found is not None:
            kwargs = {} if out is None else {"out": out}
            return overrides.call(o.public, found, *as_call(o, args, kwargs))
    if bare and not isinstance(args[1], OPERANDS):
        return operand(o, args)
    if autocast.USED[0] and o.name in autocast.POLICY:
        args, _ = autocast.cast(o.name, args)
    result = overrides.RECORD_HOOKED[0](o, args) if RECORDER.tr.saving else record(o, args)
    if out is None:
        return result
    return write_out(o.name, result, out, args)


def write_out(name: str, result, out, inputs=()):
    """Write an operator's result into `out`, resizing it when its shape differs."""
    if isinstance(result, tuple):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise TypeError(f"{name}(): argument 'out' must be tuple of {len(result)} Tensors")
        made = [write_out(name, r, o, inputs) for r, o in zip(result, out, strict=True)]
        return type(result)(*made) if hasattr(result, "_fields") else tuple(made)
    if isinstance(out, (tuple, list)) and len(out) == 1:
        out = out[0]
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    tr = RECORDER.tr
    if tr.grad_on and (result.requires_grad or out.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, "
            "but one of the arguments requires grad."
        )
    from .dtypes import can_cast, type_name

    if not can_cast(result.dtype, out.dtype) or (name in EXACT and out.dtype is not result.dtype):
        raise RuntimeError(
            f"{name}(): result type {type_name(result.dtype)} can't be cast to the desired output type "
            f"{type_name(out.dtype)}"
        )
    if name in APART:
        out.check_writable(name)
        refuse_overlap(out, inputs, True, result.nbytes)
    if out.device != result.device:
        raise RuntimeError(
            f"{name}(): Attempting to copy from device {result.device} to device {out.device}, but cross-device copies "
            "are not allowed!"
        )
    if out.shape != result.shape:
        if out.numel() and out.storage_identity().version >= 0:
            import warnings

            warnings.warn(
                f"An output with one or more elements was resized since it had shape "
                f"{list(out.shape)}, which does not match the required output shape "
                f"{list(result.shape)}.",
                stacklevel=3,
            )
        out.resize_(result.shape)
    refuse_overlap(out, inputs, name in APART)
    return out.copy_(result)


APART = {  # functions whose `out` may not be an input: PyTorch reads elements elsewhere than it writes
    "gather", "take", "index_select", "masked_select", "cat", "kthvalue", "stack"
}
EXACT = {"complex", "polar", "gather", "aminmax"}  # whose `out` must have the result's dtype


def inplace_form(public, name: str, saves_first: bool):
    """`name_`: compute out of place, then write into the tensor's memory."""
    from .dtypes import can_cast, type_name
    from .layouts import dense_clone

    def form(input, *args, **kwargs):
        if HOOKED[0]:
            found = overrides.find((input, *args), None)
            if found is not None:
                return overrides.call(form, found, (input, *args), kwargs)
        input.check_writable(name + "_")
        if OTHERS and input.__class__ in OTHERS:
            return input._become(public(input, *args, **kwargs))
        if input._storage is not None and args:
            refuse_overlap(input, args)
        source = input
        if saves_first and RECORDER.tr.grad_on and (
            input.requires_grad or any([isinstance(a, Tensor) and a.requires_grad for a in args])
        ):
            source = dense_clone(input, input._s.m)  # gradients read the input as it was
        result = public(source, *args, **kwargs)
        if OTHERS and result.__class__ in OTHERS:
            result = result.to_dense()
        if result.shape != input.shape:
            raise RuntimeError(
                f"{name}_: output with shape {list(input.shape)} doesn't match the broadcast shape "
                f"{list(result.shape)}"
            )
        if not can_cast(result.dtype, input.dtype):
            raise RuntimeError(
                f"result type {type_name(result.dtype)} can't be cast to the desired output "
                f"type {type_name(input.dtype)}"
            )
        return write(input, result, True)

    form.__name__ = form.__qualname__ = name + "_"
    form.__doc__ = f"In-place version of `{name}`: writes the result into the tensor's memory."
    return form


def composite(fn, takes_out: bool):
    """A composition's public function: overrides of Tensor subclasses first, then `out=`."""
    name = fn.__name__
    autocasts = name in autocast.POLICY

    def public(*args, **kwargs):
        if HOOKED[0]:
            found = overrides.find((*args, *kwargs.values()), None)
            if found is not None:
                return overrides.call(public, found, args, kwargs)
        if OTHERS and overrides.in_other_layout(args, kwargs) is not None:
            return overrides.by_layout(public, args, kwargs)
        if autocasts and autocast.USED[0]:
            args, kwargs = autocast.cast(name, args, kwargs)
        for theirs in NUMPY_NAMES if kwargs else ():
            if theirs in kwargs:
                kwargs[NUMPY_NAMES[theirs]] = kwargs.pop(theirs)
        if not takes_out:
            try:
                return fn(*args, **kwargs)
            except TypeError:
                if not overrides.found_late(args, kwargs):
                    raise
            return public(*args, **kwargs)
        out = kwargs.pop("out", None)
        try:
            result = fn(*args, **kwargs)
        except TypeError:
            if not overrides.found_late(args, kwargs):
                raise
            return public(*args, **kwargs)
        return result if out is None else write_out(name, result, out, args)

    public.__name__ = public.__qualname__ = name
    public.__doc__, public.__wrapped__, public.__module__ = fn.__doc__, fn, fn.__module__
    return public


MAKERS.update(composite=composite, inplace_form=inplace_form)
