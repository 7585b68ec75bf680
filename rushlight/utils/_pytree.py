"""Trees of Python containers: flattened to leaves and built again.

Tuples, named tuples, lists and dicts are nodes; `register_pytree_node` adds other classes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = [
    "TreeSpec",
    "register_pytree_node",
    "tree_all",
    "tree_any",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_map_only",
    "tree_structure",
    "tree_unflatten",
]

_NODES: dict[type, tuple[Callable, Callable]] = {
    tuple: (lambda t: (list(t), None), lambda leaves, _: tuple(leaves)),
    list: (lambda t: (t, None), lambda leaves, _: list(leaves)),
    dict: (lambda t: (list(t.values()), list(t)), lambda leaves, keys: dict(zip(keys, leaves))),
    OrderedDict: (
        lambda t: (list(t.values()), list(t)),
        lambda leaves, keys: OrderedDict(zip(keys, leaves)),
    ),
}


class TreeSpec:
    """The structure of a tree: a node's class, what it needs besides children, their specs."""

    __slots__ = ("type", "context", "children_specs", "num_leaves")

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]) -> None:
        self.type, self.context, self.children_specs = type, context, children_specs
        own = sum(c.num_leaves for c in children_specs)
        self.num_leaves = 1 if type is None else own

    def is_leaf(self) -> bool:
        """Whether this is a single leaf."""
        return self.type is None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TreeSpec)
            and self.type is other.type
            and self.context == other.context
            and self.children_specs == other.children_specs
        )

    def __hash__(self) -> int:
        return hash((self.type, self.num_leaves))

    def __repr__(self) -> str:
        if self.is_leaf():
            return "*"
        inner = ", ".join(map(repr, self.children_specs))
        return f"TreeSpec({self.type.__name__}, {self.context}, [{inner}])"


_LEAF = TreeSpec(None, None, [])


def register_pytree_node(cls: type, flatten_fn: Callable, unflatten_fn: Callable, **_: Any) -> None:
    """Make `cls` a node: flatten_fn gives (children, context), unflatten_fn takes them."""
    _NODES[cls] = (flatten_fn, unflatten_fn)


def _is_named(tree: Any) -> bool:
    return isinstance(tree, tuple) and hasattr(tree, "_fields")


def tree_flatten(tree: Any, is_leaf: Callable | None = None) -> tuple[list, TreeSpec]:
    """(leaves, structure).

    >>> torch.utils._pytree.tree_flatten({"a": 1, "b": (2, [3])})[0]
    [1, 2, 3]
    """
    leaves: list = []

    def visit(node: Any) -> TreeSpec:
        kind = type(node)
        if is_leaf is not None and is_leaf(node) or kind not in _NODES and not _is_named(node):
            leaves.append(node)
            return _LEAF
        if kind in _NODES:
            children, context = _NODES[kind][0](node)
        else:
            children, context = list(node), None
        return TreeSpec(kind, context, [visit(c) for c in children])

    spec = visit(tree)
    return leaves, spec


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The tree of a structure with these leaves. ValueError if their number does not fit."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten: {len(leaves)} leaves for a tree of {treespec.num_leaves}: {treespec}"
        )
    rest = iter(leaves)

    def build(spec: TreeSpec) -> Any:
        if spec.is_leaf():
            return next(rest)
        children = [build(c) for c in spec.children_specs]
        if spec.type in _NODES:
            return _NODES[spec.type][1](children, spec.context)
        return spec.type(*children)

    return build(treespec)


def tree_leaves(tree: Any, is_leaf: Callable | None = None) -> list:
    """The leaves of a tree."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable | None = None) -> TreeSpec:
    """The structure of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable, tree: Any, *rests: Any, is_leaf: Callable | None = None) -> Any:
    """The tree of `func` of each leaf, and of the leaves of further trees at the same places."""
    leaves, spec = tree_flatten(tree, is_leaf)
    columns = [tree_flatten(r, is_leaf)[0] for r in rests]
    return tree_unflatten([func(*each) for each in zip(leaves, *columns, strict=True)], spec)


def tree_map_only(kind: Any, func: Callable, tree: Any, is_leaf: Callable | None = None) -> Any:
    """`tree_map` that leaves the leaves of other classes alone."""
    return tree_map(lambda x: func(x) if isinstance(x, kind) else x, tree, is_leaf=is_leaf)


def tree_all(pred: Callable, tree: Any, is_leaf: Callable | None = None) -> bool:
    """Whether `pred` holds for all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable, tree: Any, is_leaf: Callable | None = None) -> bool:
    """Whether `pred` holds for some leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))
