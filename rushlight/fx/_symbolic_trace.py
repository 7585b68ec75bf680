"""`Tracer`: calls a module or function with proxies and returns the graph of what it did."""

from __future__ import annotations

import builtins
import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from ..nn.modules.module import Module
from ..trace import overrides
from ..trace.tensor import Parameter, Tensor
from .graph import Graph
from .graph_module import GraphModule
from .node import Argument, Node
from .proxy import Proxy, TracerBase


class _Placeholder:
    """The type of `PH`: an argument that stays an input though others are given."""

    def __repr__(self) -> str:
        return "PH"


PH = _Placeholder()
_wrapped: dict[tuple[int, str], dict] = {}  # (id of a module's globals, name of a function in it): the globals
_wrapped_functions: set[int] = set()
_tracing = [False]


def is_fx_tracing() -> bool:
    """Whether a function is being traced."""
    return _tracing[0]


def is_wrapped(f: Callable) -> bool:
    """Whether calls of `f` are kept whole."""
    return id(f) in _wrapped_functions or getattr(f, "__module__", None) == "math" or any(
        g.get(name) is f for (_, name), g in _wrapped.items()
    )


def wrap(fn_or_name: Any) -> Any:
    """Keep calls of a function of this module whole when they get proxies. A decorator, or given the name.

    >>> @torch.fx.wrap
    ... def twice(x):
    ...     return x * 2 if x.sum() > 0 else x
    >>> print(torch.fx.symbolic_trace(lambda x: twice(x)).graph.find_nodes(op="call_function"))
    [twice]
    """
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    scope = frame.f_back.f_globals
    if not isinstance(fn_or_name, str):
        _wrapped_functions.add(id(fn_or_name))
        if frame.f_back.f_locals is not scope:  # not a name of a module: the function itself is made to look
            return _kept(fn_or_name)
    _wrapped[id(scope), name] = scope
    return fn_or_name


def _first_proxy(*values: Any) -> Proxy | None:
    stack = list(values)
    while stack:
        x = stack.pop(0)
        if isinstance(x, Proxy):
            return x
        if isinstance(x, (list, tuple)):
            stack.extend(x)
        elif isinstance(x, dict):
            stack.extend(x.values())
    return None


def _kept(f: Callable) -> Callable:
    """`f`, whose calls with proxies become nodes."""

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        proxy = _first_proxy(args, kwargs)
        if proxy is None:
            return f(*args, **kwargs)
        return proxy.tracer.create_proxy("call_function", f, args, kwargs)

    return call


class ProxyableClassMeta(type):
    """The metaclass of classes that can be made of proxies: the call of the class becomes a node.

    >>> class Pair(metaclass=torch.fx.ProxyableClassMeta):
    ...     def __init__(self, a, b):
    ...         self.a, self.b = a, b
    >>> net = torch.fx.symbolic_trace(lambda x: Pair(x, 2))
    >>> net(torch.ones(1)).a
    tensor([1.])
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        proxy = _first_proxy(args, kwargs)
        if proxy is None:
            return super().__call__(*args, **kwargs)
        return proxy.tracer.create_proxy("call_function", cls, args, kwargs)


class Tracer(TracerBase):
    """Traces modules. Override `is_leaf_module`, `call_module`, `create_arg`, ... to trace otherwise.

    autowrap_modules: modules whose functions are kept whole; autowrap_functions: further functions.

    >>> class Shallow(torch.fx.Tracer):
    ...     def is_leaf_module(self, m, qualified_name):
    ...         return True
    >>> net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    >>> [n.op for n in Shallow().trace(net).nodes]
    ['placeholder', 'call_module', 'output']
    """

    def __init__(self, autowrap_modules: tuple[ModuleType, ...] = (math,), autowrap_functions: tuple[Callable, ...] = (),
                 param_shapes_constant: bool = False) -> None:
        self._autowrap_modules, self._autowrap = autowrap_modules, set(autowrap_functions)
        self.param_shapes_constant = param_shapes_constant
        self.tensor_attrs: dict[Any, str] = {}

    # ---- what subclasses change

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a module's call is one node: those of `nn` are, but Sequential."""
        from ..nn import Sequential

        return m.__module__.startswith(("rushlight.nn.", "torch.nn.")) and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The path of a module in the root. NameError if it is not in there."""
        for name, m in self.root.named_modules():
            if m is mod:
                return name
        raise NameError("module is not installed as a submodule")

    def call_module(self, m: Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        """A call of module `m`: a node for a leaf, else what its forward does."""
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return self.create_proxy("call_module", path, args, kwargs)
        return forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """A module's attribute that was read: parameters (and buffers, if asked for) become nodes."""
        kinds = (Parameter, Tensor) if self.proxy_buffer_attributes else (Parameter,)
        if isinstance(attr_val, kinds):
            for name, value in [*self.root.named_parameters(), *(self.root.named_buffers() if len(kinds) > 1 else ())]:
                if value is attr_val:
                    if name not in parameter_proxy_cache:
                        parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
                    return parameter_proxy_cache[name]
        return attr_val

    def create_arg(self, a: Any) -> Argument:
        """As in the base class; parameters, buffers and modules of the root become `get_attr` nodes."""
        if isinstance(a, Module):
            for name, m in self.root.named_modules():
                if m is a:
                    return self.create_node("get_attr", name, (), {})
        if isinstance(a, Tensor):
            for name, value in [*self.root.named_parameters(), *self.root.named_buffers()]:
                if value is a:
                    return self.create_node("get_attr", name, (), {})
            name = self.tensor_attrs.get(id(a))
            if name is None:
                i = 0
                while hasattr(self.root, f"_tensor_constant{i}"):
                    i += 1
                name = self.tensor_attrs[id(a)] = f"_tensor_constant{i}"
                setattr(self.root, name, a)
            return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)

    # ---- tracing

    def _inputs(self, forward: FunctionType, is_module: bool, concrete: dict[str, Any]) -> tuple[list, dict]:
        given = list(inspect.signature(forward).parameters.values())
        args: list = []
        if is_module:
            if not given:
                raise RuntimeError("``self`` argument cannot be part of *args expansion!")
            args.append(self.root)
            given = given[1:]
        args_of = []
        for p in given:
            star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
            kind = _annotation(forward, None if p.annotation is p.empty else p.annotation)
            fixed = not star and p.name in concrete and concrete[p.name] is not PH
            default = (concrete[p.name],) if fixed else () if p.default is p.empty else (p.default,)
            proxy = self.create_proxy("placeholder", star + p.name, default, {}, type_expr=kind)
            args_of.append((p, concrete[p.name] if fixed else proxy))
        keywords = {}
        for p, value in args_of:
            if p.kind is p.VAR_KEYWORD:
                keywords["**"] = value
            elif p.kind is p.KEYWORD_ONLY:
                keywords[p.name] = value
            elif p.kind is p.VAR_POSITIONAL:
                keywords["*"] = value
            else:
                args.append(value)
        return args, keywords

    def trace(self, root: Module | Callable, concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of a module or function. concrete_args: values of arguments that are no inputs.

        Such an argument stays in the signature, with this value as its default.
        """
        is_module = isinstance(root, Module)
        if is_module:
            self.root: Any = root
            forward = getattr(type(root), self.traced_func_name)
            self.root_module_name = type(root).__name__
        else:
            self.root = Module()
            forward = root
        self.graph = Graph(tracer_cls=type(self))
        self.tensor_attrs = {}
        overrides.activate()  # from now on calls look for proxies
        self._parameters: dict[str, Proxy] = {}
        before, _tracing[0] = _tracing[0], True
        try:
            args, keywords = self._inputs(_plain(forward), is_module, concrete_args or {})
            star, stars = keywords.pop("*", None), keywords.pop("**", None)
            with self._patched():
                if star is None and stars is None:
                    result = forward(*args, **keywords)
                else:
                    result = _with_star(forward, args, keywords, star, stars)
                out = self.create_arg(result)
            kind = _annotation(_plain(forward), getattr(_plain(forward), "__annotations__", {}).get("return"))
            self.create_node("output", "output", (out,), {}, type_expr=kind)
        finally:
            _tracing[0] = before
        return self.graph

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """Module calls, attributes of modules and wrapped functions lead here inside of the block."""
        original_call, original_getattr = Module.__call__, Module.__getattr__
        tracer = self

        def call(mod: Module, *args: Any, **kwargs: Any) -> Any:
            return tracer.call_module(mod, lambda *a, **k: original_call(mod, *a, **k), args, kwargs)

        def read(mod: Module, name: str) -> Any:
            return tracer.getattr(name, original_getattr(mod, name), tracer._parameters)

        undo: list[tuple[dict, str, Any]] = []

        def keep(scope: dict, name: str, f: Any) -> None:
            undo.append((scope, name, scope.get(name, undo)))
            scope[name] = _kept(f)

        wanted = {id(f) for f in self._autowrap}
        for module in self._autowrap_modules:
            wanted |= {id(f) for name, f in vars(module).items() if not name.startswith("_") and callable(f)}
            for name, f in list(vars(module).items()):
                if not name.startswith("_") and callable(f):
                    keep(vars(module), name, f)
        for scope in self._scopes():
            for name, f in list(scope.items()):
                if callable(f) and id(f) in wanted and not name.startswith("_"):
                    keep(scope, name, f)
        for (_, name), scope in list(_wrapped.items()):
            if name in scope:
                keep(scope, name, scope[name])
            elif hasattr(builtins, name):
                keep(scope, name, getattr(builtins, name))
        Module.__call__, Module.__getattr__ = call, read  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Module.__call__, Module.__getattr__ = original_call, original_getattr  # type: ignore[method-assign]
            for scope, name, f in reversed(undo):
                if f is undo:
                    del scope[name]
                else:
                    scope[name] = f

    def _scopes(self) -> list[dict]:
        """The globals of the functions that are traced: those of the root's and its modules' classes."""
        found = {}
        for m in self.root.modules():
            module = sys.modules.get(type(m).__module__)
            if module is not None and not type(m).__module__.startswith("rushlight."):
                found[id(module)] = vars(module)
        return list(found.values())


def _plain(f: Any) -> Any:
    return getattr(f, "__func__", f)


def _with_star(forward: Callable, args: list, keywords: dict, star: Any, stars: Any) -> Any:
    """Call `forward`, whose `*args` and `**kwargs` are single proxies."""
    code = _plain(forward).__code__
    made = FunctionType(
        code.replace(co_flags=code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS),
                     co_argcount=code.co_argcount + code.co_kwonlyargcount + (star is not None) + (stars is not None),
                     co_kwonlyargcount=0),
        _plain(forward).__globals__, _plain(forward).__name__, None, _plain(forward).__closure__,
    )
    names = code.co_varnames
    given = dict(zip(names, args, strict=False)) | keywords
    at = code.co_argcount + code.co_kwonlyargcount
    if star is not None:
        given[names[at]] = star
    if stars is not None:
        given[names[at + (star is not None)]] = stars
    return made(*[given[n] for n in names[: made.__code__.co_argcount]])


def _annotation(f: Callable, kind: Any) -> Any:
    """A parameter's annotation; None where it says nothing, or is text whose names are not known."""
    if isinstance(kind, str):
        try:
            kind = eval(kind, getattr(f, "__globals__", {}))  # the program's own annotation
        except Exception:
            return None
    return None if kind is Any else kind


def symbolic_trace(root: Module | Callable, concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """Trace a module or function, and return a module of the graph (`GraphModule`).

    >>> net = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    >>> [n.target for n in net.graph.nodes]
    ['input', '0', '1', 'output']
    >>> net(torch.zeros(1, 2)).shape
    torch.Size([1, 2])
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else getattr(root, "__name__", "GraphModule")
    return GraphModule(tracer.root, graph, name)


__all__ = ["Node", "PH", "ProxyableClassMeta", "Tracer", "is_fx_tracing", "symbolic_trace", "wrap"]
