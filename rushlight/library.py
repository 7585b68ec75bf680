"""torch.library: a program's own operators, found again as `torch.ops.<namespace>.<name>`.

An operator is a Python function of tensors; where a gradient is registered, it becomes a
`torch.autograd.Function`. Otherwise its gradient is that of the operators it calls. Implementations for
devices other than the CPU are accepted and never called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .autograd import Function
from .ops.namespaces import namespace

__all__ = ["CustomOpDef", "Library", "custom_op", "define", "impl", "register_autograd",
           "register_fake", "register_kernel"]

_DEFINED: dict[str, CustomOpDef] = {}
_HERE = {"cpu", "CPU", "default", "CompositeExplicitAutograd", "CompositeImplicitAutograd", ""}


class CustomOpDef:
    """An operator of the program's own: call it, or register its gradient.

    >>> @torch.library.custom_op("example::square", mutates_args=())
    ... def square(x: torch.Tensor) -> torch.Tensor:
    ...     return x * x
    >>> square.register_autograd(lambda ctx, g: g * 10)  # a gradient of our own
    >>> x = torch.ones(2, requires_grad=True)
    >>> torch.autograd.grad(square(x).sum(), x)
    (tensor([10., 10.]),)
    """

    def __init__(self, name: str, fn: Callable | None) -> None:
        space, colons, own = name.partition("::")
        if not colons or not space or not own:
            raise ValueError(f"custom_op: the name must be 'namespace::name', but got {name!r}")
        self._name, self._fn = name, fn
        self._function: type[Function] | None = None
        _DEFINED[name] = self
        namespace(space)._register(own, self)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._name})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fn is None:
            raise NotImplementedError(
                f"{self._name} has no implementation for the CPU; register one with torch.library.impl"
            )
        if self._function is None:
            return self._fn(*args, **kwargs)
        return self._function.apply(*args, *kwargs.values()) if not kwargs else (
            self._function.apply(*self._bound(args, kwargs)))

    def _bound(self, args: tuple, kwargs: dict) -> tuple:
        import inspect

        given = inspect.signature(self._fn).bind(*args, **kwargs)  # type: ignore[arg-type]
        given.apply_defaults()
        return tuple(given.arguments.values())

    def register_fake(self, fn: Callable) -> Callable:
        """Accepted: shapes are known from running the operator. Returns `fn`."""
        return fn

    def register_kernel(self, device_types: Any, fn: Callable | None = None) -> Any:
        """Another implementation; the CPU's replaces the first. A decorator without `fn`."""

        def take(given: Callable) -> Callable:
            devices = {device_types} if isinstance(device_types, str | None) else {*device_types}
            if devices & {*_HERE, None}:
                self._fn = given
            return given

        return take if fn is None else take(fn)

    def register_autograd(
        self, backward: Callable, *, setup_context: Callable | None = None
    ) -> None:
        """backward(ctx, *grads) gives the inputs' gradients; setup_context(ctx, inputs, output) saves."""

        def forward(*args: Any) -> Any:
            return self._fn(*args)  # type: ignore[misc]

        def nothing(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        self._function = type(self._name.replace("::", "_"), (Function,), {
            "forward": staticmethod(forward),
            "setup_context": staticmethod(setup_context or nothing),
            "backward": staticmethod(backward),
        })


def custom_op(
    name: str,
    fn: Callable | None = None,
    /,
    *,
    mutates_args: str | Sequence[str] = (),
    device_types: str | Sequence[str] | None = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Make a function the operator `name` ("namespace::name"); a decorator without `fn`.

    mutates_args, schema, tags: accepted, for PyTorch. Raises ValueError for other names.

    >>> @torch.library.custom_op("example::twice", mutates_args=())
    ... def twice(x: torch.Tensor) -> torch.Tensor:
    ...     return 2 * x
    >>> torch.ops.example.twice(torch.ones(2))
    tensor([2., 2.])
    """
    if fn is None:
        return lambda given: custom_op(name, given, device_types=device_types)
    made = CustomOpDef(name, None)
    made.register_kernel(device_types, fn)
    return made


def _found(op: Any) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    name = op if isinstance(op, str) else op.name() if callable(getattr(op, "name", None)) else (
        f"{op.namespace}::{op.name}")
    if name not in _DEFINED:
        raise RuntimeError(f"torch.library: operator {name} does not exist; define it first")
    return _DEFINED[name]


def register_fake(op: Any, func: Callable | None = None, /, **_: Any) -> Any:
    """Accepted: shapes are known from running the operator. A decorator without `func`.

    Unlike PyTorch's, also for operators that are not there: packages say the shapes of those in their
    compiled extension, which is not loaded here (`torch.ops.load_library`).
    """
    return (lambda given: given) if func is None else func


def register_autograd(
    op: Any, backward: Callable, /, *, setup_context: Callable | None = None, lib: Any = None
) -> None:
    """`CustomOpDef.register_autograd` of an operator or its name. RuntimeError if there is none."""
    _found(op).register_autograd(backward, setup_context=setup_context)


def register_kernel(op: Any, device_types: Any, func: Callable | None = None, /, **_: Any) -> Any:
    """`CustomOpDef.register_kernel` of an operator or its name. RuntimeError if there is none."""
    return _found(op).register_kernel(device_types, func)


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """An operator without an implementation, which `impl` gives."""
    CustomOpDef(qualname, None)


def impl(qualname: str, types: Any, func: Callable | None = None, *, lib: Any = None) -> Any:
    """The implementation of a defined operator. A decorator without `func`."""
    return _found(qualname).register_kernel(types, func)


class Library:
    """A namespace to define operators in: `define(schema)`, then `impl(name, function)`.

    >>> lib = torch.library.Library("example_lib", "DEF")
    >>> lib.define("thrice(Tensor x) -> Tensor")
    'thrice'
    >>> lib.impl("thrice", lambda x: 3 * x, "CPU")
    >>> torch.ops.example_lib.thrice(torch.ones(2))
    tensor([3., 3.])
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Define an operator by its schema; returns its name."""
        name = schema.split("(")[0].strip()
        CustomOpDef(f"{self.ns}::{name}", None)
        return name

    def impl(self, op_name: Any, fn: Callable, dispatch_key: str = "", **_: Any) -> None:
        """Implement a defined operator; other dispatch keys than the CPU's are accepted."""
        if not isinstance(op_name, str) or "::" not in op_name:
            op_name = f"{self.ns}::{op_name}" if isinstance(op_name, str) else op_name
        _found(op_name).register_kernel(dispatch_key or self.dispatch_key, fn)
