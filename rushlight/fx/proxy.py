"""`Proxy`: what a traced function is called with. Whatever is done with it becomes a node."""

from __future__ import annotations

import dis
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..trace import overrides
from ..trace.dtypes import dtype, layout, memory_format
from ..trace.meta import Size
from ..trace.tensor import Tensor
from .graph import Graph
from .node import Argument, Node, Target, map_aggregate


class TraceError(ValueError):
    """A function cannot be traced: it asks for a value that is not known yet."""


class TracerBase:
    """Makes nodes out of calls on proxies; `Tracer` adds the tracing of modules."""

    graph: Graph
    record_stack_traces = False
    check_mutable_operations = False
    traced_func_name = "forward"
    proxy_buffer_attributes = False

    def create_node(self, kind: str, target: Target, args: tuple, kwargs: dict, name: str | None = None,
                    type_expr: Any = None) -> Node:
        """A node in the graph."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node: Node) -> Proxy:
        """The proxy of a node."""
        return Proxy(node, self)

    def create_proxy(self, kind: str, target: Target, args: tuple, kwargs: dict, name: str | None = None,
                     type_expr: Any = None, proxy_factory_fn: Callable[[Node], Proxy] | None = None) -> Proxy:
        """A node for arguments that may be proxies, and its proxy."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        return (proxy_factory_fn or self.proxy)(node)

    def create_arg(self, a: Any) -> Argument:
        """A value as a node's argument: proxies become their nodes. NotImplementedError for what cannot be one."""
        if isinstance(a, Proxy):
            return a.node
        if isinstance(a, Node):
            return a
        if isinstance(a, range):
            return range(*[self.create_arg(x) for x in (a.start, a.stop, a.step)])
        if isinstance(a, tuple):
            made = [self.create_arg(x) for x in a]
            return type(a)(*made) if hasattr(a, "_fields") else tuple(made)
        if isinstance(a, list):
            return [self.create_arg(x) for x in a]
        if isinstance(a, dict):
            for k in a:
                if isinstance(k, Proxy):
                    raise RuntimeError("Keys for dictionaries used as an argument cannot contain a Node. Got key: " + str(k))
            return {k: self.create_arg(v) for k, v in a.items()}
        if isinstance(a, slice):
            return slice(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if a is None or a is Ellipsis or callable(a) or isinstance(
            a, (bool, int, float, complex, str, bytes, dtype, layout, memory_format, Size)
        ) or type(a).__module__ in ("rushlight.trace.device", "enum") or type(type(a)).__name__ == "EnumType":
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def to_bool(self, obj: Proxy) -> bool:
        """Called where a proxy decides a branch."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator:
        """Called where a proxy is iterated: only `a, b = x` says how often."""
        frame = sys._getframe(2)
        found = [i for i in dis.get_instructions(frame.f_code) if i.offset > frame.f_lasti or i.offset == frame.f_lasti]
        for instruction in found[:3]:
            if instruction.opname == "UNPACK_SEQUENCE":
                return iter([operator.getitem(obj, i) for i in range(int(instruction.arg or 0))])
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or "
            "**kwargs function argument: make the number of steps a number that is known while tracing"
        )

    def keys(self, obj: Proxy) -> Any:
        """Called for `**proxy`."""
        return Attribute(obj, "keys")()


class GraphAppendingTracer(TracerBase):
    """Adds nodes to a graph that is there."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph


class Proxy:
    """Stands for the result of a node while a function is traced.

    >>> graph = torch.fx.Graph()
    >>> x = torch.fx.Proxy(graph.placeholder("x"))
    >>> y = torch.relu(x).sum() + 1
    >>> [n.name for n in graph.nodes]
    ['x', 'relu', 'sum_1', 'add']
    """

    def __init__(self, node: Node, tracer: TracerBase | None = None) -> None:
        self.node = node
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        overrides.activate()  # from now on calls look for proxies

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, k: str) -> Attribute:
        if k.startswith("__") and k.endswith("__"):
            raise AttributeError(k)  # (protocols such as copying ask for them)
        return Attribute(self, k)

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator:
        return self.tracer.iter(self)

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def __len__(self) -> int:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call "
            "torch.fx.wrap('len') at module scope"
        )

    def __index__(self) -> int:
        raise TraceError("a traced value cannot be used as a Python integer: its value is not known yet")

    def __contains__(self, item: Any) -> bool:
        raise TraceError("'in' asks for values that are not known while tracing")

    def keys(self) -> Any:
        """For `**proxy`."""
        return self.tracer.keys(self)

    def __hash__(self) -> int:
        return id(self)

    def __deepcopy__(self, memo: dict) -> Proxy:
        return Proxy(self.node, self.tracer)

    @classmethod
    def __torch_function__(cls, orig_method: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Proxy:
        found: list[Proxy] = []
        map_aggregate((args, kwargs or {}), lambda x: found.append(x) if isinstance(x, Proxy) else None)
        return found[0].tracer.create_proxy("call_function", orig_method, args, kwargs or {})


class Attribute(Proxy):
    """`proxy.name`: a method if it is called, else a `getattr` node."""

    def __init__(self, root: Proxy, attr: str) -> None:
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The node of `getattr`, made when it is first needed."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


def _define_operators() -> None:
    def method(target: Callable, swapped: bool = False) -> Callable:
        def call(self: Proxy, *args: Any) -> Proxy:
            return self.tracer.create_proxy("call_function", target, (*args, self) if swapped else (self, *args), {})

        return call

    binary = "add sub mul truediv floordiv mod pow matmul lshift rshift and_ or_ xor".split()
    for name in [*binary, "eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "invert", "getitem", "setitem", "abs"]:
        bare = name.rstrip("_")
        setattr(Proxy, f"__{bare}__", method(getattr(operator, name)))
        if name in binary:
            setattr(Proxy, f"__r{bare}__", method(getattr(operator, name), True))


_define_operators()

__all__ = ["Attribute", "GraphAppendingTracer", "Proxy", "Tensor", "TraceError", "TracerBase"]
