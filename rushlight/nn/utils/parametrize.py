"""Parametrisations: a parameter computed from others each time it is read."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.nn.modules.container import ModuleDict, ModuleList
from rushlight.nn.modules.module import Module
from rushlight.nn.parameter import Parameter
from rushlight.trace import no_grad
from rushlight.trace.tensor import Tensor

from ...answers import finder as _finder

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization",
    "remove_parametrizations", "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip

_cache: dict[tuple, Any] = {}
_cache_depth = 0


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrised tensor is computed only once."""
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The maps of one tensor, in order, and what the first of them starts from.

    That is `original`, or `original0`, `original1`, ... if its `right_inverse` gives several
    tensors.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> layer.parametrizations.weight.original0.shape, layer.weight.shape
    (torch.Size([2, 1]), torch.Size([2, 3]))
    """

    def __init__(self, modules: Any, original: Any, unsafe: bool = False) -> None:
        modules = list(modules)
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            new = original
            for module in reversed(self):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:
                        pass
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            if not isinstance(original, Parameter) and original.dtype != new.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype."
                )
            with no_grad():
                original.data = new.detach()
            self._register("original", original, original)
        else:
            for i, part in enumerate(new):
                self._register(f"original{i}", part, original)
        if not unsafe:
            value = self()
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"A parametrization must return a tensor. Got {type(value).__name__}."
                )
            if value.dtype != dtype:
                raise ValueError(
                    "Registering a parametrization may not change the dtype of the tensor, unless "
                    f"`unsafe` flag is enabled.\nunparametrized dtype: {dtype}\nparametrized "
                    f"dtype: {value.dtype}"
                )
            if value.shape != shape:
                raise ValueError(
                    "Registering a parametrization may not change the shape of the tensor, unless "
                    f"`unsafe` flag is enabled.\nunparametrized shape: {shape}\nparametrized "
                    f"shape: {value.shape}"
                )

    def _register(self, name: str, value: Any, original: Any) -> None:
        if isinstance(original, Parameter):
            if not isinstance(value, Parameter):
                value = Parameter(value, requires_grad=original.requires_grad)
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value)

    def originals(self) -> list:
        """What the first map is computed from."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the maps give `value`."""
        with no_grad():
            new: Any = value
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                new = module.right_inverse(new)
            for own, part in zip(self.originals(), [new] if self.is_tensor else new):
                own.data = part.detach().clone()

    def forward(self) -> Any:
        value = self[0](*self.originals())
        for module in list(self)[1:]:
            value = module(value)
        return value


def _make_property(module: Module, name: str) -> None:
    """Give the module's own class a property that computes `name`."""
    if not is_parametrized(module):
        base = type(module)
        module.__class__ = type(
            "Parametrized" + base.__name__,
            (base,),
            {"__deepcopy__": _deepcopy, "__getstate__": _no_pickle, "_unparametrized": base},
        )
        module.parametrizations = ModuleDict()

    def read(self: Any) -> Any:
        if not _cache_depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


def _deepcopy(self: Any, memo: dict) -> Any:
    new = self.__new__(type(self))
    memo[id(self)] = new
    new.__dict__ = copy.deepcopy(self.__dict__, memo)
    return new


def _no_pickle(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). See:\n"
        "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
        "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
    )


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute `module.<tensor_name>` by `parametrization` from now on; returns the module.

    The first one moves the tensor to `module.parametrizations.<tensor_name>.original`; further
    ones are applied after it. `unsafe` allows another shape or dtype.

    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = nn.Linear(3, 3)
    >>> _ = nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> torch.equal(layer.weight, layer.weight.T)
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            value = getattr(module, tensor_name)
            new = parametrization(value)
            if new.shape != value.shape:
                raise ValueError(
                    "Registering a parametrization may not change the shape of the tensor, unless "
                    "the `unsafe` flag is enabled.\n"
                    f"module.{tensor_name}.shape: {value.shape}\n"
                    f"parametrization(module.{tensor_name}).shape: {new.shape}"
                )
        module.parametrizations[tensor_name].append(parametrization)
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        maps = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        _make_property(module, tensor_name)
        module.parametrizations[tensor_name] = maps
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrisations, or one of this tensor."""
    maps = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(maps, ModuleDict):
        return False
    return len(maps) > 0 if tensor_name is None else tensor_name in maps


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make `module.<tensor_name>` an ordinary tensor again; returns the module.

    It keeps the computed value, or with `leave_parametrized=False` the original one.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    maps = module.parametrizations[tensor_name]
    originals = maps.originals()
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
    elif not maps.is_tensor:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    else:
        value = originals[0].detach()
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if maps.is_tensor:  # the same parameter, so that an optimiser still knows it
        restored = originals[0]
        with no_grad():
            restored.data = value
    elif isinstance(originals[0], Parameter):
        restored = Parameter(value, requires_grad=originals[0].requires_grad)
    else:
        restored = value
    if isinstance(restored, Parameter):
        module.register_parameter(tensor_name, restored)
    else:
        module.register_buffer(tensor_name, restored)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module)._unparametrized
    return module


def transfer_parametrizations_and_params(from_module: Module, to_module: Module, tensor_name: str | None = None) -> Module:
    """Give `to_module` the parametrisations of another module, or of one of its tensors, with what they start from.

    >>> source = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> other = nn.utils.parametrize.transfer_parametrizations_and_params(source, nn.Linear(3, 2))
    >>> bool((other.weight == source.weight).all())
    True
    """
    if not is_parametrized(from_module):
        return to_module
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        source = from_module.parametrizations[name]
        for map_ in source:
            register_parametrization(to_module, name, map_)
        for own, value in [*source._parameters.items(), *source._buffers.items()]:
            setattr(to_module.parametrizations[name], own, value)
    return to_module


def type_before_parametrizations(module: Module) -> type:
    """The module's class as it was without parametrisations."""
    return type(module)._unparametrized if is_parametrized(module) else type(module)

__getattr__ = _finder(__name__)
