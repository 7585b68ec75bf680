"""`Graph`: a list of nodes, how it is edited, and the Python code that it stands for."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .node import INPLACE, MAGIC, OPS, Argument, Node, Target, map_arg, qualified_name, type_name


@dataclass
class PythonCode:
    """Code of a graph: its text, and the values that its names refer to."""

    src: str
    globals: dict[str, Any] = field(default_factory=dict)
    _lineno_map: dict[int, int | None] | None = None


class CodeGen:
    """How a graph becomes Python code; `Graph.set_codegen` takes a subclass with another signature.

    `gen_fn_def` makes the first lines, `generate_output` the last one; `process_inputs` and `process_outputs` are
    what an `Interpreter` does to the same effect.

    >>> class Listed(torch.fx.CodeGen):
    ...     def generate_output(self, output_args, **options):
    ...         return f"return [{output_args!r}]"
    >>> net = torch.fx.symbolic_trace(lambda x: x + 1)
    >>> net.graph.set_codegen(Listed())
    >>> _ = net.recompile()
    >>> net(torch.ones(1))
    [tensor([2.])]
    """

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str) -> str:
        """The `def` line (and others before the body)."""
        if not free_vars or free_vars[0] != "self":
            free_vars = ["self", *free_vars]
        return f"def forward({', '.join(free_vars)}){maybe_return_annotation}:"

    def generate_output(self, output_args: Argument, **options: Any) -> str:
        """The line that returns."""
        return f"return {output_args!r}"

    def process_inputs(self, *args: Any) -> Any:
        """The values of the placeholders, from the call's arguments."""
        return args

    def process_outputs(self, outputs: Any) -> Any:
        """What the call returns, from the output's value."""
        return outputs

    def additional_globals(self) -> list[tuple[str, Any]]:
        """Further (name, value) pairs for the code."""
        return []


class _Names:
    """Unique names: a taken or illegal one gets a number."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.counts: dict[str, int] = {}

    def make(self, candidate: str) -> str:
        name = re.sub(r"[^0-9a-zA-Z_]+", "_", candidate) or "_unnamed"
        if name[0].isdigit():
            name = f"_{name}"
        found = re.fullmatch(r"(.*)_(\d+)", name)
        base, number = (found[1], int(found[2])) if found else (name, 0)
        if name in self.used or self._illegal(name):
            number = max(number, self.counts.get(base, 0))
            while name in self.used or self._illegal(name):
                number += 1
                name = f"{base}_{number}"
        self.counts[base] = number
        self.used.add(name)
        return name

    @staticmethod
    def _illegal(name: str) -> bool:
        return keyword.iskeyword(name) or name in vars(builtins) or name in ("inf", "nan", "NoneType", "torch", "device")


def snake_case(name: str) -> str:
    """`LayerNorm` as `layer_norm`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class NodeList:
    """The nodes of a graph in order: `for`, `len`, `reversed`."""

    def __init__(self, graph: Graph, direction: str = "_next") -> None:
        self.graph, self.direction = graph, direction

    def __len__(self) -> int:
        return self.graph._len

    def __iter__(self) -> Iterator[Node]:
        at = getattr(self.graph._root, self.direction)
        while at is not self.graph._root:
            following = getattr(at, self.direction)
            if not at._erased:
                yield at
            at = at._next if at._erased and self.direction == "_next" else following

    def __reversed__(self) -> NodeList:
        return NodeList(self.graph, "_prev" if self.direction == "_next" else "_next")


class Graph:
    """A function as a list of Nodes, to be read, edited and turned into code again.

    >>> graph = torch.fx.Graph()
    >>> x = graph.placeholder("x")
    >>> _ = graph.output(graph.call_function(torch.relu, (x,)))
    >>> print(graph)
    graph():
        %x : [num_users=1] = placeholder[target=x]
        %relu : [num_users=1] = call_function[target=torch.relu](args = (%x,), kwargs = {})
        return relu
    """

    def __init__(self, owning_module: Any = None, tracer_cls: type | None = None, tracer_extras: dict | None = None) -> None:
        self._root = Node(self, "", "output", "root", (), {})  # before the first node and after the last
        self._before = self._root
        self._len = 0
        self._names = _Names()
        self._tracer_cls, self._tracer_extras = tracer_cls, tracer_extras
        self._codegen = CodeGen()
        self.owning_module = owning_module

    @property
    def nodes(self) -> NodeList:
        """The nodes in order."""
        return NodeList(self)

    def output_node(self) -> Node:
        """The node that returns."""
        return next(n for n in reversed(self.nodes) if n.op == "output")

    def find_nodes(self, *, op: str, target: Target | None = None, sort: bool = True) -> list[Node]:
        """The nodes with this op and target."""
        return [n for n in self.nodes if n.op == op and (target is None or n.target == target)]

    # ---- making nodes

    def create_node(self, op: str, target: Target, args: tuple | None = None, kwargs: dict | None = None,
                    name: str | None = None, type_expr: Any = None) -> Node:
        """A new node at the place of insertion (the end, or where an `inserting_...` block says)."""
        candidate = name or self._name_of(op, target)
        node = Node(self, self._names.make(candidate), op, target, args or (), kwargs or {}, type_expr)
        self._before.prepend(node)
        self._len += 1
        return node

    @staticmethod
    def _name_of(op: str, target: Target) -> str:
        name = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
        if op == "placeholder":
            return name.lstrip("*") if not name.startswith("*") else "_" + name.lstrip("*")
        return snake_case(name.replace(".", "_").replace("__", "") if op == "call_function" else name.replace(".", "_"))

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = Ellipsis) -> Node:
        """An input. name: `*args` and `**kwargs` stand for what they do in Python."""
        args = () if default_value is Ellipsis else (default_value,)
        return self.create_node("placeholder", name, args, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """An attribute of the module (a path with dots)."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(self, module_name: str, args: tuple | None = None, kwargs: dict | None = None, type_expr: Any = None) -> Node:
        """A call of a submodule."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(self, method_name: str, args: tuple | None = None, kwargs: dict | None = None, type_expr: Any = None) -> Node:
        """A call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(self, the_function: Callable, args: tuple | None = None, kwargs: dict | None = None,
                      type_expr: Any = None, name: str | None = None) -> Node:
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def output(self, result: Argument, type_expr: Any = None) -> Node:
        """The result."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Argument] = lambda x: x) -> Node:
        """A copy of another graph's node. arg_transform: that graph's nodes to this one's."""
        made = self.create_node(node.op, node.target, map_arg(node.args, arg_transform),
                                map_arg(node.kwargs, arg_transform), node.name, node.type)
        made.meta = dict(node.meta)
        return made

    def graph_copy(self, g: Graph, val_map: dict[Node, Node], return_output_node: bool = False) -> Any:
        """Copy all nodes of `g` here; returns what its output returns. val_map is filled."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                made = map_arg(node.args[0], lambda n: val_map[n])
                return (made, node) if return_output_node else made
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    # ---- editing

    @contextmanager
    def _inserting(self, before: Node) -> Iterator[None]:
        previous, self._before = self._before, before
        try:
            yield
        finally:
            self._before = previous

    def inserting_before(self, n: Node | None = None) -> Any:
        """A block in which new nodes come before `n` (without one: first of all)."""
        return self._inserting(self._root._next if n is None else self._own(n))

    def inserting_after(self, n: Node | None = None) -> Any:
        """A block in which new nodes come after `n` (without one: last of all)."""
        return self._inserting(self._root if n is None else self._own(n)._next)

    def _own(self, n: Node) -> Node:
        if n.graph is not self:
            raise AssertionError("Node to insert before or after is not in graph.")
        return n

    def erase_node(self, to_erase: Node) -> None:
        """Remove a node that nobody uses."""
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: {to_erase.users}!"
            )
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            return
        if self._before is to_erase:
            self._before = to_erase._next
        to_erase._update((), {})
        to_erase._unlink()
        to_erase._erased = True
        self._len -= 1

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Remove nodes that nobody uses and that do nothing else; whether there were any."""
        before = self._len
        for node in reversed(self.nodes):
            impure = is_impure_node(node) if is_impure_node is not None else node.is_impure()
            if not node.users and not impure and node.op not in ("output", "placeholder"):
                self.erase_node(node)
        return self._len < before

    def lint(self) -> None:
        """RuntimeError if a node reads one that comes later, names clash, or the module lacks a target."""
        seen: set[Node] = set()
        names: set[str] = set()
        for node in self.nodes:
            if node.op not in OPS:
                raise RuntimeError(f"Node {node} had unknown opcode {node.op}!")
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph!")
            for n in node.all_input_nodes:
                if n not in seen:
                    raise RuntimeError(f"Argument '{n}' of Node '{node}' was used before it has been defined! "
                                       f"Please check that Nodes in the graph are topologically ordered\n{self}")
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            seen.add(node)
            names.add(node.name)
            if self.owning_module is not None and node.op in ("get_attr", "call_module"):
                at = self.owning_module
                for atom in str(node.target).split("."):
                    if not hasattr(at, atom):
                        raise RuntimeError(f"Node {node} target {node.target} references nonexistent attribute {atom} of {at}")
                    at = getattr(at, atom)

    # ---- code

    def set_codegen(self, codegen: CodeGen) -> None:
        """Make code by this CodeGen."""
        self._codegen = codegen

    def process_inputs(self, *args: Any) -> Any:
        """The placeholders' values, from a call's arguments."""
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out: Any) -> Any:
        """A call's result, from the output's value."""
        return self._codegen.process_outputs(out)

    def python_code(self, root_module: str = "self", **options: Any) -> PythonCode:
        """The graph as the code of a function `forward`. root_module: what attributes are read from."""
        return _Writer(self, root_module).write()

    def print_tabular(self) -> None:
        """Print the nodes in columns."""
        rows = [("opcode", "name", "target", "args", "kwargs")]
        rows += [(n.op, n.name, str(n.target), str(n.args), str(n.kwargs)) for n in self.nodes]
        widths = [max(len(r[i]) for r in rows) for i in range(5)]
        rows.insert(1, tuple(["-" * w for w in widths]))  # type: ignore[arg-type]
        print("\n".join(["  ".join([c.ljust(w) for c, w in zip(r, widths, strict=True)]).rstrip() for r in rows]))

    def __str__(self) -> str:
        return "\n    ".join(["graph():", *[n.format_node() for n in self.nodes]])

    def __deepcopy__(self, memo: dict | None = None) -> Graph:
        made = Graph(tracer_cls=self._tracer_cls)
        result = made.graph_copy(self, {})
        out = [n for n in self.nodes if n.op == "output"]
        if out:
            made.output(result, out[0].type).meta = dict(out[0].meta)
        made._codegen = self._codegen
        return made

    def __getstate__(self) -> dict:
        place = {n: _Place(i) for i, n in enumerate(self.nodes)}
        steps = [(n.op, n.target, map_arg(n.args, place.__getitem__), map_arg(n.kwargs, place.__getitem__), n.name, n.type)
                 for n in self.nodes]
        return {"steps": steps, "codegen": self._codegen, "tracer": self._tracer_cls}

    def __setstate__(self, state: dict) -> None:
        from .node import map_aggregate

        self.__init__(tracer_cls=state["tracer"])  # type: ignore[misc]
        self._codegen = state["codegen"]
        made: list[Node] = []
        for op, target, args, kwargs, name, kind in state["steps"]:
            args, kwargs = map_aggregate((args, kwargs), lambda a: made[a.number] if isinstance(a, _Place) else a)
            made.append(self.create_node(op, target, args, kwargs, name, kind))


@dataclass(frozen=True)
class _Place:
    """A node in a pickled graph."""

    number: int


class _Writer:
    """Writes a graph as Python code."""

    def __init__(self, graph: Graph, root: str) -> None:
        self.graph, self.root = graph, root
        self.globals: dict[str, Any] = {}
        self.wrapped: dict[str, None] = {}
        self.free: list[str] = []
        self.returns = ""

    def _global(self, name: str, value: Any) -> str:
        """A name for a value in the code's globals: `torch.relu`, `math_sqrt`."""
        if getattr(builtins, name, None) is value and not name.startswith("_"):
            return name
        if name.startswith("torch."):
            import rushlight

            found: Any = rushlight
            try:
                for part in name.split(".")[1:]:
                    found = getattr(found, part)
            except AttributeError:
                found = None
            if found is value:
                self.globals["torch"] = rushlight
                return name
        short = base = re.sub(r"[^0-9a-zA-Z_]", "_", name)
        number = 0
        while short in self.globals and self.globals[short] is not value:
            number += 1
            short = f"{base}_{number}"
        self.globals[short] = value
        return short

    def _text(self, a: Argument) -> str:
        if isinstance(a, tuple):
            inner = ", ".join([self._text(x) for x in a])
            if hasattr(a, "_fields"):
                return f"{self._global(qualified_name(type(a)), type(a))}({inner})"
            return f"({inner},)" if len(a) == 1 else f"({inner})"
        if isinstance(a, list):
            return f"[{', '.join([self._text(x) for x in a])}]"
        if isinstance(a, dict):
            return "{" + ", ".join([f"{k!r}: {self._text(v)}" for k, v in a.items()]) + "}"
        if isinstance(a, slice):
            return f"slice({self._text(a.start)}, {self._text(a.stop)}, {self._text(a.step)})"
        if isinstance(a, Node):
            return a.name
        if isinstance(a, float) and (a != a or a in (float("inf"), float("-inf"))):
            self.globals.update(inf=float("inf"), nan=float("nan"))
            return repr(a)
        if a is None or a is Ellipsis or isinstance(a, (bool, int, float, complex, str, bytes)):
            return repr(a)
        kind = type(a).__module__
        if kind.startswith("rushlight.trace.") and str(a).startswith("torch."):  # a dtype, layout, memory format
            import rushlight

            self.globals["torch"] = rushlight
            return str(a)
        if isinstance(a, type) or callable(a):
            return self._global(qualified_name(a), a)
        return self._global(f"_{type(a).__name__}", a)

    def _call(self, args: tuple, kwargs: dict) -> str:
        return ", ".join([*[self._text(a) for a in args], *[f"{k} = {self._text(v)}" for k, v in kwargs.items()]])

    def _path(self, target: str) -> str:
        text = self.root
        for atom in target.split("."):
            text = f"{text}.{atom}" if atom.isidentifier() else f'getattr({text}, "{atom}")'
        return text

    def _typed(self, kind: Any, sign: str) -> str:
        return "" if kind is None else f"{sign}{self._global(type_name(kind), kind)}"

    def _line(self, node: Node) -> str:
        if node.op == "placeholder":
            target = str(node.target)
            default = f" = {self._text(node.args[0])}" if node.args else ""
            self.free.append(f"{target}{self._typed(node.type, ' : ')}{default}")
            bare = target.lstrip("*")
            return "" if bare == node.name else f"{node.name} = {bare}"
        if node.op == "output":
            self.returns = self._typed(node.type, " -> ")
            text = self.graph._codegen.generate_output(_Shown(self._text(node.args[0])))
            return text
        head = f"{node.name}{self._typed(node.type, ' : ')} = "
        if node.op == "get_attr":
            return head + self._path(str(node.target))
        if node.op == "call_module":
            return f"{head}{self._path(str(node.target))}({self._call(node.args, node.kwargs)})"
        if node.op == "call_method":
            first = self._text(node.args[0])
            return f"{head}{first}.{node.target}({self._call(node.args[1:], node.kwargs)})"
        f = node.target
        if f in MAGIC and not node.kwargs:
            return head + MAGIC[f].format(*[self._text(a) for a in node.args])
        if f in INPLACE and not node.kwargs:
            first, second = [self._text(a) for a in node.args]
            return f"{first} {INPLACE[f]} {second};  {node.name} = {first}"
        if f is getattr and len(node.args) == 2 and str(node.args[1]).isidentifier():
            return f"{head}{self._text(node.args[0])}.{node.args[1]}"
        name = self._global(re.sub(r"^operator\.", "_operator.", qualified_name(f)), f)
        from ._symbolic_trace import is_wrapped

        if is_wrapped(f):
            self.wrapped[name] = None
        return f"{head}{name}({self._call(node.args, node.kwargs)})"

    def write(self) -> PythonCode:
        last: dict[Node, list[Node]] = {}
        used: set[Node] = set()
        for node in reversed(self.graph.nodes):
            for n in reversed([*node.all_input_nodes, node] if not node.users else node.all_input_nodes):
                if n not in used:
                    used.add(n)
                    last.setdefault(node, []).insert(0, n)
        body = []
        for node in self.graph.nodes:
            line = self._line(node)
            gone = [n.name for n in last.get(node, ()) if node.op not in ("placeholder", "output")]
            if gone:
                line += f";  {' = '.join(gone)} = None"
            if line:
                body.append(f"    {line}\n")
        self.globals.update(self.graph._codegen.additional_globals())
        head = self.graph._codegen.gen_fn_def(self.free, self.returns)
        marks = "\n".join([f'torch.fx._symbolic_trace.wrap("{name}")' for name in self.wrapped])
        if marks:
            import rushlight

            self.globals["torch"] = rushlight
        return PythonCode(f"\n{marks}\n\n{head}\n{''.join(body)}    ", self.globals)


class _Shown(str):
    """Text that shows without quotes."""

    def __repr__(self) -> str:
        return str(self)


__all__ = ["CodeGen", "Graph", "PythonCode"]
