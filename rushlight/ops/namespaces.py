"""torch.ops: operators by namespace, name and overload: `torch.ops.aten.add.Tensor(x, y)`.

`aten` has the functions and methods that users see, whose overloads are all the same function. Any
name may be looked up there, as libraries do in tables; calling one that is missing is an error.
`torch.library` adds namespaces of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

from ..trace.operator import PUBLISHED
from ..trace.tensor import Tensor


class OpOverload:
    """An operator's overload, e.g. `torch.ops.aten.add.Tensor`: calls the function."""

    def __init__(self, packet: OpOverloadPacket, overload: str) -> None:
        self.overloadpacket, self._overload = packet, overload
        self.namespace = packet.namespace
        self.__name__ = f"{packet.name}.{overload}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.overloadpacket(*args, **kwargs)

    def name(self) -> str:
        """`namespace::name.overload`."""
        own = "" if self._overload == "default" else "." + self._overload
        return f"{self.namespace}::{self.overloadpacket.name}{own}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self}')>"

    def __str__(self) -> str:
        return f"{self.namespace}.{self.__name__}"


class OpOverloadPacket:
    """An operator with all its overloads, e.g. `torch.ops.aten.add`."""

    def __init__(self, namespace: str, name: str, function: Callable | None) -> None:
        self.namespace, self.name, self.function = namespace, name, function
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            self.function = _of_aten(self.name)
        return self.function(*args, **kwargs)

    def __getattr__(self, overload: str) -> OpOverload:
        if overload.startswith("__"):
            raise AttributeError(overload)
        found = OpOverload(self, overload)
        setattr(self, overload, found)  # so that an overload is one object, and a key of dicts
        return found

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self}')>"

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"


class Namespace:
    """The operators of one namespace."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _register(self, name: str, function: Callable) -> None:
        """Add an operator, in the place of one of the same name."""
        setattr(self, name, OpOverloadPacket(self._name, name, function))

    def __getattr__(self, name: str) -> OpOverloadPacket:
        if self._name != "aten" or name.startswith("__"):
            raise AttributeError(f"'_OpNamespace' '{self._name}' object has no attribute '{name}'")
        found = OpOverloadPacket("aten", name, None)  # looked for when called
        setattr(self, name, found)
        return found


def _of_aten(name: str) -> Callable:
    """The function behind an operator of aten. NotImplementedError if there is none."""
    from . import load_further, load_layers

    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    further = import_module(".aten_forms", __package__)
    own = getattr(further, name, None)
    if own is not None and own.__module__ == further.__name__:
        return own
    load_layers()
    load_further()
    for space in ("torch", "nn.functional", "linalg", "special", "fft"):
        found = PUBLISHED[space].get(name.removeprefix("linalg_") if space == "linalg" else name)
        if found is not None:
            return found
    method = getattr(Tensor, name, None)
    if method is None:
        raise NotImplementedError(
            f"torch.ops.aten.{name} is not there; use the function or method that calls it"
        )
    return method


def _slice(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    return input[(slice(None),) * (dim % input.dim()) + (slice(start, end, step),)]


def _index(input: Tensor, indices: list) -> Tensor:
    return input[tuple(slice(None) if i is None else i for i in indices)]


def _to_copy(input: Tensor, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    given = {} if memory_format is None else {"memory_format": memory_format}
    return input.to(dtype or input.dtype, copy=True, **given)


# operators that users see as indexing, or under another name
_OTHER_NAMES: dict[str, Callable] = {
    "slice": _slice,
    "index": _index,
    "_to_copy": _to_copy,
    "alias": lambda input: input.view(input.shape),
    "_pin_memory": lambda input, device=None: input.pin_memory(),
    "t": lambda input: input.t(),
    "_unsafe_view": lambda input, size: input.reshape(size),
}
NAMESPACES: dict[str, Namespace] = {"aten": Namespace("aten")}


def namespace(name: str) -> Namespace:
    """The namespace of this name, made if need be."""
    return NAMESPACES.setdefault(name, Namespace(name))


def load_library(path: str) -> NoReturn:
    """Raises OSError: a library of operators is compiled for PyTorch's own memory and dispatcher."""
    raise OSError(
        f"torch.ops.load_library: {path} is compiled for PyTorch and cannot be loaded here. Write the "
        "operator in Python with torch.library.custom_op."
    )
