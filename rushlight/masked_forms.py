"""What operators do with masked tensors: a *form* for each, under its name (`masked_tensor.py`).

The mask stays (elementwise), must agree (two operands), goes through the same operation as the data
(views, joins), or says what counts (reductions). In a form operators are called on the data inside of `PLAIN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import rushlight as torch
from rushlight.trace.tensor import Tensor

from .masked_tensor import FORMS, PLAIN, check_match, is_masked_tensor, plain, wrapped

OWN = {"alpha", "rounding_mode", "decimals", "out"}  # options that PyTorch's masked operators do not take


def on(names: str) -> Callable[[Callable], Callable]:
    """Register the decorated function, of the operator and its arguments, as the form of the operators `names`."""

    def register(fn: Callable) -> Callable:
        FORMS.update(dict.fromkeys(names.split(), fn))
        return fn

    return register


def with_inplace(names: str) -> str:
    """The names, and those of in-place forms."""
    return " ".join([f"{n} {n}_" for n in names.split()])


def _mask_of(x: Any) -> Any:
    """An argument with masks in the place of masked tensors."""
    if isinstance(x, (list, tuple)):
        return type(x)([_mask_of(y) for y in x])
    return x._mask if is_masked_tensor(x) else x


def _refuse(name: str, kwargs: dict, others: Sequence) -> None:
    if refused := OWN.intersection(kwargs):
        raise ValueError(f"{name}: MaskedTensors do not take the argument {', '.join(sorted(refused))}")
    if any(isinstance(x, Tensor) for x in others):
        raise TypeError(f"{name}: MaskedTensors do not take tensors as further arguments")


@on(with_inplace(
    "abs acos acosh angle asin asinh atan atanh bitwise_not ceil clamp conj cos cosh deg2rad digamma erf erfc erfinv "
    "exp exp2 expm1 fix float_power floor frac i0 isfinite isnan isreal lgamma log log10 log1p log2 logit nan_to_num "
    "neg positive pow rad2deg real reciprocal round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh "
    "trunc absolute arccos arccosh arcsin arcsinh arctan arctanh clip conj_physical negative"  # (in place: other names)
))  # fmt: skip
def _unary(func, input, *args, **kwargs):
    _refuse(func.__name__, kwargs, args)
    with PLAIN():
        result = func(input, *args, **kwargs)
    return input if result is input and func.__name__.endswith("_") else wrapped(result, input._mask)


@on(with_inplace(
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor div eq floor_divide fmax fmin "
    "fmod ge gt isclose le logaddexp logaddexp2 lt maximum minimum mul ne nextafter remainder sub true_divide "
    "arctan2 divide greater greater_equal less less_equal multiply not_equal subtract"
))  # fmt: skip
def _binary(func, input, other, *args, **kwargs):
    _refuse(func.__name__, kwargs, args)
    check_match(func.__name__, input, other)
    if func.__name__.endswith("_") and not is_masked_tensor(input):
        raise TypeError(f"{func.__name__}: a tensor without a mask cannot hold a MaskedTensor's result")
    mask = input._mask if is_masked_tensor(input) else other._mask
    operands = [_counted(x, mask) for x in (input, other)]
    with PLAIN():
        result = func(*operands, *args, **kwargs)
    return input if result is input else wrapped(result, mask.expand(result.shape))


def _counted(x: Any, mask: Tensor) -> Any:
    """An operand whose gradient, if it is a plain tensor's, is 0 where the other is not specified."""
    if is_masked_tensor(x) or not isinstance(x, Tensor) or not x.requires_grad:
        return x
    return torch.where(mask, x, x.detach())


@on("adjoint atleast_1d atleast_2d atleast_3d broadcast_to cartesian_prod cat chunk column_stack dsplit dstack expand "
    "expand_as flatten fold getitem H hsplit hstack meshgrid mH mT narrow ravel reshape reshape_as select split stack t "
    "tensor_split transpose unflatten unfold unsqueeze view view_as vsplit vstack")  # fmt: skip
def _on_both(func, *args, **kwargs):
    """The data and the mask go through the same operation."""
    first = args[0] if args else next(iter(kwargs.values()))
    if isinstance(first, (list, tuple)) and not all([is_masked_tensor(x) for x in first]):
        raise TypeError(f"{func.__name__}: all tensors must be MaskedTensors: masked_tensor gives the others a mask")
    with PLAIN():
        result = func(*args, **kwargs)
    mask = func(*[_mask_of(x) for x in args], **{k: _mask_of(x) for k, x in kwargs.items()})
    return wrapped(result, mask)


@on("bfloat16 bool char clone cpu detach double float half int long ones_like short to type type_as")
def _on_data(func, input, *args, **kwargs):
    with PLAIN():
        result = func(input, *args, **kwargs)
        if result is input or isinstance(result, str):
            return result
        if func.__name__ == "detach":  # the same memory
            result = result.clone()
    return wrapped(result, input._mask)


@on("contiguous to_dense")
def _as_it_is(func, input, *args, **kwargs):
    if input.is_contiguous() or func.__name__ == "to_dense":
        return input
    return input.clone(memory_format=torch.contiguous_format)


@on("to_sparse to_sparse_coo to_sparse_csr to_sparse_csc to_sparse_bsr to_sparse_bsc")
def _to_sparse(func, input, *args, **kwargs):
    raise NotImplementedError(f"{func.__name__}: MaskedTensors of sparse layouts are not supported")


@on("where")
def _where(func, *args, **kwargs):
    if len(args) != 3 or kwargs:
        kind = TypeError if len(args) == 2 else ValueError
        raise kind("where: MaskedTensors need a condition and two tensors, as three positional arguments")
    condition, a, b = args
    if is_masked_tensor(condition):
        raise TypeError("where: the condition must be a plain tensor, as torch.where(condition, input, other)")
    with PLAIN():
        result = func(condition, a, b)
    masks = [x._mask if is_masked_tensor(x) else True for x in (a, b)]
    return wrapped(result, func(condition, *masks).expand(result.shape))


@on("all amax amin argmax argmin mean prod std sum var")
def _reduction(func, input, dim=None, keepdim=False, dtype=None, *, correction=None, **kwargs):
    from . import masked

    name = func.__name__
    if kwargs or correction is not None and name not in ("std", "var"):
        raise TypeError(f"{name}: MaskedTensors do not take the arguments {sorted(kwargs) or 'correction'}")
    data, mask = input.get_data(), input._mask
    kept = mask.any() if dim is None else mask.any(dim, keepdim)
    if name == "all":
        full = data.masked_fill(~mask, True)
        return wrapped(full.all() if dim is None else full.all(dim, keepdim), kept)
    options = {} if correction is None else {"correction": correction}
    return wrapped(getattr(masked, name)(data, dim, keepdim=keepdim, dtype=dtype, mask=mask, **options), kept)


@on("norm")
def _norm(func, input, p=2.0, dim=None, keepdim=False, dtype=None):
    from . import masked

    kept = input._mask.any() if dim is None else input._mask.any(dim, keepdim)
    p = 2.0 if p == "fro" else p
    return wrapped(masked.norm(input.get_data(), p, dim, keepdim=keepdim, dtype=dtype, mask=input._mask), kept)


@on("softmax")
def _softmax(func, input, dim, dtype=None):
    from . import masked

    return wrapped(masked.softmax(input.get_data(), dim, dtype=dtype, mask=input._mask), input._mask)


@on("backward")
def _backward(func, input, gradient=None, **kwargs):
    with PLAIN():
        func(input, plain(gradient), **kwargs)
