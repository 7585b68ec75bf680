"""`GraphModule`: a module whose forward is the code of a graph."""

from __future__ import annotations

import copy
import linecache
from typing import Any

from ..nn.modules.module import Module
from .graph import Graph, PythonCode

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"
_made = [0]


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Give `to_module` the attribute with this path, with plain modules on the way."""
    *prefix, name = target.split(".")
    for item in prefix:
        from_module = getattr(from_module, item)
        inside = getattr(to_module, item, None)
        if inside is from_module:
            return  # the whole of it is there
        if inside is None:
            inside = Module()
            setattr(to_module, item, inside)
        to_module = inside
    value = getattr(from_module, name)
    if isinstance(value, Module) or not hasattr(value, "dtype") or name in from_module._parameters:
        setattr(to_module, name, value)
    else:
        to_module.register_buffer(name, value)


def _assign_attr(value: Any, to_module: Module, target: str) -> None:
    """Set the attribute with this path, with plain modules on the way."""
    *prefix, name = target.split(".")
    for item in prefix:
        if not hasattr(to_module, item):
            setattr(to_module, item, Module())
        to_module = getattr(to_module, item)
    if hasattr(value, "dtype") and not value.requires_grad and name not in to_module._parameters:
        to_module.register_buffer(name, value)
    else:
        setattr(to_module, name, value)


def _compiled(code: PythonCode) -> Any:
    """The function of generated code; errors in it show its lines."""
    _made[0] += 1
    name = f"<eval_with_key>.{_made[0]}"
    linecache.cache[name] = (len(code.src), None, code.src.splitlines(True), name)
    space = dict(code.globals)
    exec(compile(code.src, name, "exec"), space)  # written by `Graph.python_code`
    return space["forward"]


class GraphModule(Module):
    """A module made of a graph, with the submodules, parameters and buffers that it names.

    root: the module they are taken from, or a dict by path. `code` is the code of `forward`; after editing
    `graph`, call `recompile()`. It pickles, copies and prints as other modules do.

    >>> net = torch.fx.symbolic_trace(lambda x: torch.relu(x) + 1)
    >>> for node in net.graph.nodes:
    ...     if node.target is torch.relu:
    ...         node.target = torch.tanh
    >>> _ = net.recompile()
    >>> net(torch.tensor([0.0])), "torch.tanh" in net.code
    (tensor([1.]), True)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> GraphModule:
        """Each object has a class of its own, which holds its forward."""
        base = next(c for c in cls.__mro__ if "_of_one_object" not in vars(c))
        return object.__new__(type(base.__name__, (base,), {"_of_one_object": True, "__module__": base.__module__,
                                                            "__doc__": base.__doc__}))

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule") -> None:
        super().__init__()
        type(self).__name__ = type(self).__qualname__ = class_name
        if isinstance(root, Module):
            self.training = root.training
            for node in graph.nodes:
                if node.op in ("get_attr", "call_module"):
                    _copy_attr(root, self, str(node.target))
        else:
            targets = [str(n.target) for n in graph.nodes if n.op in ("get_attr", "call_module")]
            for target in targets:
                if target not in root:
                    raise RuntimeError(f"Node target {target} is not among the attributes that were given: {list(root)}")
            for target in sorted(set(targets), key=lambda t: t.count(".")):
                _assign_attr(root[target], self, target)
        self.graph = graph
        self._tracer_cls = graph._tracer_cls
        self.meta: dict[str, Any] = {}

    @property
    def graph(self) -> Graph:
        """The graph; setting another one compiles it."""
        return self.__dict__["_graph"]

    @graph.setter
    def graph(self, g: Graph) -> None:
        self.__dict__["_graph"] = g
        g.owning_module = self
        self.recompile()

    def recompile(self) -> PythonCode:
        """Make `code` and `forward` again from the graph."""
        code = self.graph.python_code("self")
        self.__dict__["_code"] = code.src
        type(self).forward = _compiled(code)
        return code

    @property
    def code(self) -> str:
        """The code of `forward`."""
        return self.__dict__["_code"]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "graph":
            type(self).graph.fset(self, value)  # type: ignore[attr-defined]
        else:
            super().__setattr__(name, value)

    # ---- submodules

    def add_submodule(self, target: str, m: Module) -> bool:
        """Put a module at a path; False if a part of the path is no module."""
        *prefix, name = target.split(".")
        at: Any = self
        for item in prefix:
            if not hasattr(at, item):
                setattr(at, item, Module())
            at = getattr(at, item)
            if not isinstance(at, Module):
                return False
        at.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Remove the module at a path; whether there was one."""
        *prefix, name = target.split(".")
        try:
            at = self.get_submodule(".".join(prefix))
        except AttributeError:
            return False
        if not isinstance(getattr(at, name, None), Module):
            return False
        delattr(at, name)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Remove the modules that no node names."""
        used = set()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr"):
                parts = str(node.target).split(".")
                used |= {".".join(parts[:i]) for i in range(1, len(parts) + 1)}
                if node.op == "call_module":
                    used |= {f"{node.target}.{n}" for n, _ in self.get_submodule(str(node.target)).named_modules() if n}
        for name in [n for n, _ in self.named_modules() if n and n not in used]:
            self.delete_submodule(name)

    # ---- copies and text

    def __deepcopy__(self, memo: dict) -> GraphModule:
        made = _empty(type(self), type(self).__name__)
        memo[id(self)] = made
        made.__dict__.update(copy.deepcopy({k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}, memo))
        made.graph = copy.deepcopy(self.graph, memo)
        for node, other in zip(made.graph.nodes, self.graph.nodes, strict=True):
            node.meta = dict(other.meta)
        return made

    def __copy__(self) -> GraphModule:
        made = _empty(type(self), type(self).__name__)
        made.__dict__.update({k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")})
        made.graph = copy.deepcopy(self.graph)
        return made

    def __reduce__(self) -> tuple:
        state = {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}
        base = next(c for c in type(self).__mro__ if "_of_one_object" not in vars(c))
        return _restore, (base, type(self).__name__, state, self.graph)

    def __str__(self) -> str:
        return f"{super().__repr__()}\n{self.code}\n# To see more debug info, please use `graph_module.print_readable()`"

    def print_readable(self, print_output: bool = True, **options: Any) -> str:
        """Print (unless told not to), and return, the code as that of a class."""
        lines = "\n".join(["    " + line if line.strip() else line for line in self.code.strip("\n").split("\n")])
        text = f"class {type(self).__name__}(torch.nn.Module):\n{lines}"
        if print_output:
            print(text)
        return text


def _empty(cls: type, name: str) -> GraphModule:
    made = GraphModule.__new__(cls)
    Module.__init__(made)
    type(made).__name__ = type(made).__qualname__ = name
    return made


def _restore(cls: type, name: str, state: dict, graph: Graph) -> GraphModule:
    made = _empty(cls, name)
    made.__dict__.update(state)
    made.graph = graph
    return made


class _CodeOnlyModule(Module):
    """A module of attributes alone; packages name it when they rebuild graph modules."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.__dict__.update(body)


__all__ = ["GraphModule", "reduce_graph_module"]


def reduce_graph_module(body: dict[str, Any], import_block: str) -> GraphModule:
    """Not there: files of PyTorch's pickled graph modules hold code, and no code is run from a file."""
    raise RuntimeError("torch.fx: pickled GraphModules of PyTorch hold code; trace the module again instead")
