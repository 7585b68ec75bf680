"""torch.library: a program's own operators, found again as `torch.ops.<namespace>.<name>`.

An operator is a Python function of tensors; where a gradient is registered, it becomes a
`torch.autograd.Function`. Otherwise its gradient is that of the operators it calls. Implementations for
devices other than the CPU are accepted and never called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .answers import finder as _finder
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
        self._fake: Callable | None = None
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
            return self._run(*args, **kwargs)
        return self._function.apply(*args, *kwargs.values()) if not kwargs else (
            self._function.apply(*self._bound(args, kwargs)))

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        """The result; of tensors on the meta device, what the fake implementation says of it."""
        hollow = self._fake is not None and any([getattr(x, "is_meta", False) for x in (*args, *kwargs.values())])
        return (self._fake if hollow else self._fn)(*args, **kwargs)  # type: ignore[misc]

    def _bound(self, args: tuple, kwargs: dict) -> tuple:
        import inspect

        given = inspect.signature(self._fn).bind(*args, **kwargs)  # type: ignore[arg-type]
        given.apply_defaults()
        return tuple(given.arguments.values())

    def register_fake(self, fn: Callable) -> Callable:
        """What the operator gives for tensors on the meta device: `fn` of them, which it returns.

        Without one the operator runs on them.
        """
        self._fake = fn
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
            return self._run(*args)

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
    """`CustomOpDef.register_fake` of an operator or its name. A decorator without `func`.

    Unlike PyTorch's, it takes operators that are not there: packages say the shapes of those in their
    compiled extension, which is not loaded here (`torch.ops.load_library`).
    """
    def take(given: Callable) -> Callable:
        try:
            return _found(op).register_fake(given)
        except RuntimeError:
            return given

    return take if func is None else take(func)


def register_autograd(
    op: Any, backward: Callable, /, *, setup_context: Callable | None = None, lib: Any = None
) -> None:
    """`CustomOpDef.register_autograd` of an operator or its name. RuntimeError if there is none."""
    _found(op).register_autograd(backward, setup_context=setup_context)


def register_kernel(op: Any, device_types: Any, func: Callable | None = None, /, **_: Any) -> Any:
    """`CustomOpDef.register_kernel` of an operator or its name. RuntimeError if there is none."""
    return _found(op).register_kernel(device_types, func)


impl_abstract = register_fake


def register_vmap(op: Any, func: Callable | None = None, /, **_: Any) -> Any:
    """Accepted: vmap maps the operators that a custom operator calls. A decorator without `func`."""
    return (lambda given: given) if func is None else func


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Any = None) -> None:
    """In autocast on the CPU, the operator's floating-point tensors are cast to `cast_inputs`. RuntimeError without it."""
    found = _found(op)
    if device_type != "cpu":
        return
    inner = found._fn

    def cast(*args: Any, **kwargs: Any) -> Any:
        import rushlight

        def half(x: Any) -> Any:
            return x.to(cast_inputs) if isinstance(x, rushlight.Tensor) and x.is_floating_point() else x

        if rushlight.is_autocast_enabled("cpu"):
            args, kwargs = tuple([half(a) for a in args]), {k: half(v) for k, v in kwargs.items()}
        return inner(*args, **kwargs)  # type: ignore[misc]

    found._fn = cast


def fallthrough_kernel(*args: Any, **kwargs: Any) -> Any:
    """A mark for `impl`: the operator as it is. Raises NotImplementedError when called."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


def infer_schema(prototype_function: Callable, /, *, mutates_args: Any, op_name: str | None = None) -> str:
    """The schema of a function by its annotations. ValueError for a parameter without one.

    >>> def scale(x: torch.Tensor, by: float = 2.0) -> torch.Tensor: ...
    >>> torch.library.infer_schema(scale, mutates_args=())
    '(Tensor x, float by=2.0) -> Tensor'
    """
    import inspect
    import typing

    from .trace.tensor import Tensor

    hints = typing.get_type_hints(prototype_function)
    names = {Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str", type(None): "()"}

    def shown(kind: Any, name: str) -> str:
        inner = typing.get_args(kind)
        if typing.get_origin(kind) in (list, Sequence):
            return f"{shown(inner[0], name)}[]"
        if inner and type(None) in inner:
            return f"{shown(next(k for k in inner if k is not type(None)), name)}?"
        if kind not in names:
            raise ValueError(f"infer_schema(func): parameter {name} has unsupported type {kind}")
        return names[kind]

    parts: list[str] = []
    for i, p in enumerate(inspect.signature(prototype_function).parameters.values()):
        if p.name not in hints:
            raise ValueError(f"infer_schema(func): Parameter {p.name} must have a type annotation.")
        text = shown(hints[p.name], p.name)
        if mutates_args == "unknown" or p.name in mutates_args:
            text = text.replace("Tensor", f"Tensor(a{i}!)")
        default = "" if p.default is p.empty else f"={p.default}" if not isinstance(p.default, str) else f'="{p.default}"'
        parts.append(("*, " if p.kind is p.KEYWORD_ONLY and not any(x.startswith("*, ") for x in parts) else "") + f"{text} {p.name}{default}")
    result = hints.get("return", type(None))
    several = typing.get_args(result) if typing.get_origin(result) is tuple else None
    out = f"({', '.join([shown(k, 'return') for k in several])})" if several else shown(result, "return")
    return f"{op_name or ''}({', '.join(parts)}) -> {out}"


def opcheck(op: Any, args: tuple, kwargs: dict | None = None, *, test_utils: Any = (), raise_exception: bool = True,
            atol: float | None = None, rtol: float | None = None) -> dict[str, str]:
    """Run an operator, and check its gradient rule against finite differences where inputs are float64.

    Returns {check: "SUCCESS"}; raises what a check raised, or names it if not raise_exception.

    >>> @torch.library.custom_op("example::cube", mutates_args=())
    ... def cube(x: torch.Tensor) -> torch.Tensor:
    ...     return x ** 3
    >>> torch.library.opcheck(cube, (torch.ones(2),))
    {'test_schema': 'SUCCESS', 'test_autograd_registration': 'SUCCESS'}
    """
    from .autograd import gradcheck
    from .trace.dtypes import float64
    from .trace.tensor import Tensor

    found, results = _found(op), {}

    def gradients() -> None:
        inputs = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        if inputs and all(a.dtype is float64 for a in inputs):
            gradcheck(lambda *a: found(*a, **(kwargs or {})), args)

    for name, check in (("test_schema", lambda: found(*args, **(kwargs or {}))), ("test_autograd_registration", gradients)):
        try:
            check()
            results[name] = "SUCCESS"
        except Exception as e:
            if raise_exception:
                raise
            results[name] = f"{type(e).__name__}: {e}"
    return results


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

__getattr__ = _finder(__name__)
