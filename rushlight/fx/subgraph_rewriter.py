"""`replace_pattern`: find a small graph in another one, and put a third in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..nn.modules.module import Module
from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule, _copy_attr
from .node import Argument, Node


class Match(NamedTuple):
    """Where a pattern was found: its last node, and {pattern's node: graph's node}."""

    anchor: Node
    nodes_map: dict[Node, Node]


def _graph_of(pattern: Any) -> Graph:
    return pattern if isinstance(pattern, Graph) else pattern.graph if isinstance(pattern, GraphModule) else (
        symbolic_trace(pattern).graph
    )


def _matches(p: Argument, g: Argument, found: dict[Node, Any]) -> bool:
    """Whether an argument of the pattern stands for one of the graph; fills `found`."""
    if isinstance(p, Node):
        if p in found:
            return found[p] is g or (not isinstance(g, Node) and found[p] == g)
        if p.op == "placeholder":
            found[p] = g
            return True
        if not isinstance(g, Node) or p.op != g.op or p.target != g.target:
            return False
        found[p] = g
        return _matches(list(p.args), list(g.args), found) and _matches(p.kwargs, g.kwargs, found)
    if isinstance(g, Node):
        return False
    if isinstance(p, (list, tuple)):
        return isinstance(g, (list, tuple)) and len(p) == len(g) and all(
            [_matches(a, b, found) for a, b in zip(p, g, strict=True)]
        )
    if isinstance(p, dict):
        return isinstance(g, dict) and p.keys() == g.keys() and all([_matches(p[k], g[k], found) for k in p])
    return type(p) is type(g) and p == g


def _find(pattern: Graph, graph: Graph) -> list[tuple[Match, dict]]:
    """The places where the pattern occurs, none of which share a node that would be replaced."""
    result = pattern.output_node().args[0]
    anchor = result if isinstance(result, Node) else next(n for n in reversed(pattern.nodes) if n in result)
    inner = [n for n in pattern.nodes if n.op not in ("placeholder", "output")]
    taken: set[Node] = set()
    matches = []
    for node in graph.nodes:
        found: dict[Node, Any] = {}
        if not _matches(anchor, node, found):
            continue
        results = [result] if isinstance(result, Node) else list(result)
        mine = [found[n] for n in inner if n in found]
        if len(mine) < len(inner) or taken & set(mine):
            continue
        kept = {found[r] for r in results}
        if any(u not in mine for n in mine if n not in kept for u in n.users):
            continue  # somebody else uses a value inside
        taken |= {n for n in mine if n.op not in ("get_attr",)}
        matches.append((Match(node, {p: g for p, g in found.items() if isinstance(g, Node)}), found))
    return matches


def replace_pattern(gm: GraphModule, pattern: Callable | GraphModule, replacement: Callable | GraphModule) -> list[Match]:
    """Replace each occurrence of `pattern` in `gm` by `replacement`, in place; returns where.

    Both are functions or modules of the same inputs.

    >>> net = torch.fx.symbolic_trace(lambda x: torch.relu(x).neg() + 1)
    >>> found = torch.fx.replace_pattern(net, lambda x: torch.relu(x).neg(), lambda x: torch.sigmoid(x))
    >>> len(found), net(torch.zeros(1))
    (1, tensor([1.5000]))
    """
    small, new = _graph_of(pattern), _graph_of(replacement)
    inputs = [n for n in small.nodes if n.op == "placeholder"]
    new_inputs = [n for n in new.nodes if n.op == "placeholder"]
    if len(inputs) != len(new_inputs):
        raise RuntimeError(f"pattern and replacement take {len(inputs)} and {len(new_inputs)} inputs")
    result = small.output_node().args[0]
    done: list[Match] = []
    replaced: dict[Node, Argument] = {}
    for match, found in _find(small, gm.graph):
        values = {}
        for p, n in zip(inputs, new_inputs, strict=True):
            value = found.get(p)
            while isinstance(value, Node) and value in replaced:
                value = replaced[value]
            values[n] = value
        with gm.graph.inserting_before(match.anchor):
            made = gm.graph.graph_copy(new, values)
        old = [found[r] for r in ([result] if isinstance(result, Node) else result)]
        for before, after in zip(old, [made] if isinstance(result, Node) else made, strict=True):
            before.replace_all_uses_with(after)
            replaced[before] = after
        for node in reversed(list(small.nodes)):
            if node.op not in ("placeholder", "output") and not found[node].users:
                gm.graph.erase_node(found[node])
        done.append(match)
    owner = new.owning_module if isinstance(replacement, (Module, GraphModule)) or new.owning_module is not None else None
    for node in gm.graph.nodes:
        if owner is not None and node.op in ("call_module", "get_attr"):
            try:
                _of(gm, str(node.target))
            except AttributeError:
                _copy_attr(owner, gm, str(node.target))
    gm.recompile()
    return done


def _of(module: Any, path: str) -> Any:
    for atom in path.split("."):
        module = getattr(module, atom)
    return module


__all__ = ["Match", "replace_pattern"]
