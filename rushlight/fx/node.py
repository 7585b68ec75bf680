"""A node of a graph: one call, attribute, input or the result, and who uses it."""

from __future__ import annotations

import builtins
import functools
import operator
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..trace.operator import PUBLISHED

if TYPE_CHECKING:
    from .graph import Graph

Argument = Any
Target = Callable[..., Any] | str
BaseArgumentTypes = Any

_side_effectful_functions: set = set()
OPS = ("placeholder", "call_method", "call_module", "call_function", "get_attr", "output")


def has_side_effect(fn: Callable) -> Callable:
    """Mark a function as one whose calls are kept though nobody uses their results."""
    _side_effectful_functions.add(fn)
    return fn


@functools.cache
def _public_names() -> dict[int, str]:
    """{id of a published function: its name below `torch`}."""
    import rushlight

    from ..nn import functional

    found: dict[int, str] = {}
    for space, prefix in (("torch", "torch."), ("nn.functional", "torch.nn.functional."), ("linalg", "torch.linalg."),
                          ("special", "torch.special."), ("fft", "torch.fft."), ("Tensor", "torch.Tensor.")):
        for name, f in PUBLISHED[space].items():
            found.setdefault(id(f), prefix + name)
    for owner, prefix in ((rushlight, "torch."), (functional, "torch.nn.functional.")):
        for name, f in list(vars(owner).items()):
            if isinstance(f, types.FunctionType) and not name.startswith("__"):
                found.setdefault(id(f), prefix + name)
    return found


def qualified_name(target: Any) -> str:
    """The name by which generated code refers to a function: `torch.relu`, `operator.add`, `module.function`."""
    if getattr(builtins, getattr(target, "__name__", ""), None) is target:
        return target.__name__
    name = _public_names().get(id(target))
    if name is not None:
        return name
    if isinstance(target, (types.MethodDescriptorType, types.WrapperDescriptorType)):
        return f"{target.__objclass__.__module__}.{target.__objclass__.__name__}.{target.__name__}"
    module = getattr(target, "__module__", None) or ""
    module = {"_operator": "operator", "rushlight": "torch"}.get(module, module)
    return f"{module}.{getattr(target, '__qualname__', getattr(target, '__name__', repr(target)))}"


def map_aggregate(a: Argument, fn: Callable) -> Argument:
    """`fn` of each leaf of nested tuples, lists, dicts and slices.

    >>> torch.fx.node.map_aggregate([1, (2, {"a": 3})], lambda x: x * 10)
    [10, (20, {'a': 30})]
    """
    if isinstance(a, tuple):
        made = [map_aggregate(x, fn) for x in a]
        return type(a)(*made) if hasattr(a, "_fields") else tuple(made)
    if isinstance(a, list):
        return [map_aggregate(x, fn) for x in a]
    if isinstance(a, dict):
        return {k: map_aggregate(v, fn) for k, v in a.items()}
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


def map_arg(a: Argument, fn: Callable[[Node], Argument]) -> Argument:
    """`fn` of each Node in nested arguments."""
    return map_aggregate(a, lambda x: fn(x) if isinstance(x, Node) else x)


class Node:
    """One step of a `Graph`.

    op: "placeholder" (an input), "get_attr", "call_function", "call_module", "call_method" or "output".
    target: the input's name, the attribute's or module's path, the function, the method's name. args, kwargs:
    what it is called with; Nodes stand for results. users: the nodes that read this one (a dict, in order).
    meta: a dict for passes.

    >>> graph = torch.fx.symbolic_trace(lambda x: torch.relu(x) + x).graph
    >>> x, relu, add, output = graph.nodes
    >>> add.args, list(x.users), relu.format_node()
    ((relu, x), [relu, add], '%relu : [num_users=1] = call_function[target=torch.relu](args = (%x,), kwargs = {})')
    """

    def __init__(self, graph: Graph, name: str, op: str, target: Target, args: tuple, kwargs: dict,
                 return_type: Any = None) -> None:
        if op not in OPS:
            raise AssertionError(f"op must be one of {OPS}, got {op}")
        if op == "call_function" and not callable(target):
            raise ValueError(f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target)} "
                             "but a Callable is expected")
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, return_type
        self.users: dict[Node, None] = {}
        self._input_nodes: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._prev = self._next = self
        self._erased = False
        self._args: tuple = ()
        self._kwargs: dict = {}
        self._update(args, kwargs)

    # ---- arguments

    def _update(self, args: tuple, kwargs: dict) -> None:
        for n in self._input_nodes:
            n.users.pop(self, None)
        self._input_nodes = {}
        self._args, self._kwargs = tuple(map_aggregate(tuple(args), lambda x: x)), dict(kwargs)
        map_arg((self._args, self._kwargs), lambda n: self._input_nodes.setdefault(n))
        for n in self._input_nodes:
            n.users[self] = None

    @property
    def args(self) -> tuple:
        """Positional arguments; assigning keeps `users` right."""
        return self._args

    @args.setter
    def args(self, value: tuple) -> None:
        self._update(value, self._kwargs)

    @property
    def kwargs(self) -> dict:
        """Keyword arguments; assigning keeps `users` right."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, value: dict) -> None:
        self._update(self._args, value)

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes that this one reads."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Argument) -> None:
        """Replace a positional argument."""
        args = list(self._args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Argument) -> None:
        """Insert a positional argument before `idx`."""
        self.args = (*self._args[:idx], arg, *self._args[idx:])

    def update_kwarg(self, key: str, arg: Argument) -> None:
        """Set a keyword argument."""
        self.kwargs = {**self._kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Read `new_input` wherever this node read `old_input`."""
        def swap(n: Node) -> Node:
            return new_input if n is old_input else n

        self._update(map_arg(self._args, swap), map_arg(self._kwargs, swap))

    def replace_all_uses_with(self, replace_with: Node, delete_user_cb: Callable = lambda user: True, *,
                              propagate_meta: bool = False) -> list[Node]:
        """Let every user of this node read `replace_with`; returns them."""
        changed = [u for u in list(self.users) if delete_user_cb(u)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        if propagate_meta:
            replace_with.meta.update({k: v for k, v in self.meta.items() if k not in replace_with.meta})
        return changed

    # ---- place in the graph

    @property
    def next(self) -> Node:
        """The following node."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node before."""
        return self._prev

    def _unlink(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev

    def prepend(self, x: Node) -> None:
        """Put `x` (which may lie elsewhere in the graph) before this node."""
        if x.graph is not self.graph:
            raise AssertionError("Attempting to move a Node into a different Graph")
        if x is self:
            return
        x._unlink()
        x._prev, x._next = self._prev, self
        self._prev._next = self._prev = x

    def append(self, x: Node) -> None:
        """Put `x` after this node."""
        if x is not self:
            self._next.prepend(x)

    # ---- what it is

    @property
    def stack_trace(self) -> str | None:
        """Where it was recorded, if the tracer noted that."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether it does more than make its result: inputs, the output, writes, marked functions."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            name = getattr(self.target, "__name__", "")
            return self.target in _side_effectful_functions or (name.endswith("_") and not name.endswith("__"))
        if self.op == "call_method":
            return str(self.target).endswith("_") and not str(self.target).endswith("__")
        if self.op == "call_module" and self.graph.owning_module is not None:
            return getattr(self.graph.owning_module.get_submodule(str(self.target)), "_is_impure", False)
        return False

    def _target_name(self) -> str:
        if isinstance(self.target, str):
            return self.target
        name = qualified_name(self.target)
        return name if "." in name else f"builtins.{name}"

    def format_node(self, placeholder_names: list | None = None, maybe_return_typename: list | None = None) -> str:
        """The node as a line of `print(graph)`."""
        typed = "" if self.type is None else f"{type_name(self.type)} "
        head = f"%{self.name} : {typed}[num_users={len(self.users)}] = {self.op}[target={self._target_name()}]"
        if self.op == "placeholder":
            return head + (f"(default={self._args[0]})" if self._args else "")
        if self.op == "get_attr":
            return head
        if self.op == "output":
            return f"return {self._args[0]}"
        return f"{head}(args = {_shown(self._args)}, kwargs = {_shown(self._kwargs)})"

    def __repr__(self) -> str:
        return self.name

    def __lt__(self, other: Node) -> bool:
        order = {n: i for i, n in enumerate(self.graph.nodes)}
        return order[self] < order[other]


def type_name(kind: Any) -> str:
    """A type as annotations show it."""
    if getattr(kind, "__module__", "") == "builtins":
        return kind.__qualname__
    if isinstance(kind, type):
        module = kind.__module__
        return f"{'torch' if module.startswith('rushlight') else module}.{kind.__qualname__}"
    return str(kind).replace("rushlight.trace.tensor.", "torch.").replace("rushlight.", "torch.")


def _shown(a: Argument) -> str:
    """Arguments in text: nodes with a percent sign, strings as they are."""
    if isinstance(a, tuple):
        inner = ", ".join([_shown(x) for x in a])
        return f"({inner},)" if len(a) == 1 else f"({inner})"
    if isinstance(a, list):
        return f"[{', '.join([_shown(x) for x in a])}]"
    if isinstance(a, dict):
        return "{" + ", ".join([f"{k}: {_shown(v)}" for k, v in a.items()]) + "}"
    if isinstance(a, slice):
        return f"slice({_shown(a.start)}, {_shown(a.stop)}, {_shown(a.step)})"
    return f"%{a.name}" if isinstance(a, Node) else str(a)


MAGIC = {  # functions of `operator` that have a sign
    operator.add: "{} + {}", operator.sub: "{} - {}", operator.mul: "{} * {}", operator.truediv: "{} / {}",
    operator.floordiv: "{} // {}", operator.mod: "{} % {}", operator.pow: "{} ** {}", operator.matmul: "{} @ {}",
    operator.lshift: "{} << {}", operator.rshift: "{} >> {}", operator.and_: "{} & {}", operator.or_: "{} | {}",
    operator.xor: "{} ^ {}", operator.eq: "{} == {}", operator.ne: "{} != {}", operator.lt: "{} < {}",
    operator.le: "{} <= {}", operator.gt: "{} > {}", operator.ge: "{} >= {}", operator.neg: "-{}",
    operator.pos: "+{}", operator.invert: "~{}", operator.getitem: "{}[{}]",
}
INPLACE = {  # `a += b`
    operator.iadd: "+=", operator.isub: "-=", operator.imul: "*=", operator.itruediv: "/=", operator.ifloordiv: "//=",
    operator.imod: "%=", operator.ipow: "**=", operator.imatmul: "@=", operator.ilshift: "<<=", operator.irshift: ">>=",
    operator.iand: "&=", operator.ior: "|=", operator.ixor: "^=",
}

__all__ = ["Argument", "Node", "Target", "has_side_effect", "map_aggregate", "map_arg"]
