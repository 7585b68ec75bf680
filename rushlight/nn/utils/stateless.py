"""Calling a module with other values for its parameters, and making it without initial values."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.nn.modules.module import Module

__all__ = ["functional_call", "skip_init"]


def functional_call(
    module: Module,
    parameters_and_buffers: Any,
    args: Any = None,
    kwargs: dict | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with the given tensors in place of those with these names.

    >>> layer = nn.Linear(2, 1)
    >>> values = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([10.0])}
    >>> nn.utils.stateless.functional_call(layer, values, (torch.ones(1, 2),))
    tensor([[13.]])
    """
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    if isinstance(parameters_and_buffers, (list, tuple)):
        merged: dict[str, Any] = {}
        for part in parameters_and_buffers:
            merged.update(part)
        parameters_and_buffers = merged
    with _replaced(module, parameters_and_buffers, tie_weights, strict):
        return module(*args, **(kwargs or {}))


@contextmanager
def _replaced(module: Module, values: dict, tie_weights: bool, strict: bool) -> Iterator[None]:
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    if strict:
        missing, unexpected = sorted(set(own) - set(values)), sorted(set(values) - set(own))
        if missing or unexpected:
            raise RuntimeError(f"Unexpected key(s): {unexpected}. Missing key(s): {missing}.")
    values = dict(values)
    if tie_weights:
        given = {id(own[name]): value for name, value in values.items() if name in own}
        for name, tensor in own.items():
            if id(tensor) in given:
                values.setdefault(name, given[id(tensor)])
    places = []
    for name, value in values.items():
        path, _, last = name.rpartition(".")
        owner = module.get_submodule(path)
        for kind in (owner._parameters, owner._buffers):
            if last in kind:
                places.append((kind, last, kind[last], value))
                break
        else:
            raise AttributeError(f"{owner._get_name()} has no attribute `{last}`")
    try:
        for kind, last, _, value in places:
            kind[last] = value
        yield
    finally:
        for kind, last, old, _ in places:
            kind[last] = old


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """Make a module without spending time on initial values: they are undefined."""
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    where = kwargs.pop("device", "cpu")
    return module_cls(*args, device="meta", **kwargs).to_empty(device=where)
