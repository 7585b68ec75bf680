"""torch.overrides: functions called with Tensor subclasses are handed to `__torch_function__`."""

from .trace.overrides import DisableTorchFunction, TorchFunctionMode, find


def has_torch_function(args) -> bool:
    """Whether any of `args` overrides functions."""
    return find(tuple(args), None) is not None


def has_torch_function_unary(arg) -> bool:
    """Whether `arg` overrides functions."""
    return find((arg,), None) is not None


def has_torch_function_variadic(*args) -> bool:
    """Whether any argument overrides functions."""
    return find(args, None) is not None


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """Hand a call to the override among `relevant_args`."""
    from .trace.overrides import call

    return call(public_api, find(tuple(relevant_args), None), args, kwargs)


def is_tensor_like(obj) -> bool:
    """Whether `obj` is a tensor or overrides functions."""
    return hasattr(type(obj), "__torch_function__")


__all__ = [
    "DisableTorchFunction",
    "TorchFunctionMode",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
]
