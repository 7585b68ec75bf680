"""Trees of Python containers: flattened to leaves and built again.

Tuples, named tuples, lists and dicts are nodes; `register_pytree_node` adds other classes.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

__all__ = [
    "GetAttrKey",
    "LeafSpec",
    "MappingKey",
    "NodeDef",
    "PyTree",
    "SUPPORTED_NODES",
    "SequenceKey",
    "TreeSpec",
    "keystr",
    "register_pytree_node",
    "tree_all",
    "tree_any",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_map",
    "tree_map_only",
    "tree_map_with_path",
    "tree_structure",
    "tree_unflatten",
]

PyTree = Any


class MappingKey(NamedTuple):
    """A step of a path: a key of a dict."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """What `mapping` has there."""
        return mapping[self.key]


class SequenceKey(NamedTuple):
    """A step of a path: a position in a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx}]"

    def get(self, sequence: Any) -> Any:
        """What `sequence` has there."""
        return sequence[self.idx]


class GetAttrKey(NamedTuple):
    """A step of a path: an attribute, as of a named tuple."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        """What `obj` has there."""
        return getattr(obj, self.name)


def keystr(kp: tuple) -> str:
    """A path as one writes it in Python.

    >>> torch.utils._pytree.keystr((MappingKey("a"), SequenceKey(0), GetAttrKey("x")))
    "['a'][0].x"
    """
    return "".join(map(str, kp))


class NodeDef(NamedTuple):
    """What a class of nodes is flattened and built with."""

    type: Any
    flatten_fn: Callable
    unflatten_fn: Callable
    flatten_with_keys_fn: Callable | None


def _sequence_with_keys(t: Any) -> tuple[list, Any]:
    return [(SequenceKey(i), x) for i, x in enumerate(t)], None


def _named_with_keys(t: Any) -> tuple[list, Any]:
    return [(GetAttrKey(n), x) for n, x in zip(t._fields, t)], type(t)


def _dict_flatten_with_keys(d: Any) -> tuple[list, list]:
    """([(key, child), ...], context) of a dict; further mappings register with it."""
    return [(MappingKey(k), x) for k, x in d.items()], list(d)


def _dict_flatten(d: Any) -> tuple[list, list]:
    return list(d.values()), list(d)


SUPPORTED_NODES: dict[Any, NodeDef] = {
    kind: NodeDef(kind, *functions) for kind, *functions in (
        (tuple, lambda t: (list(t), None), lambda leaves, _: tuple(leaves), _sequence_with_keys),
        (list, lambda t: (t, None), lambda leaves, _: list(leaves), _sequence_with_keys),
        (namedtuple, lambda t: (list(t), type(t)), lambda leaves, kind: kind(*leaves),
         _named_with_keys),
        (dict, _dict_flatten, lambda leaves, keys: dict(zip(keys, leaves)),
         _dict_flatten_with_keys),
        (OrderedDict, _dict_flatten, lambda leaves, keys: OrderedDict(zip(keys, leaves)),
         _dict_flatten_with_keys),
    )
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


class LeafSpec(TreeSpec):
    """The structure of a single leaf."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, None, [])


_LEAF = LeafSpec()


def register_pytree_node(
    cls: type,
    flatten_fn: Callable,
    unflatten_fn: Callable,
    *,
    flatten_with_keys_fn: Callable | None = None,
    **_: Any,
) -> None:
    """Make `cls` a node: flatten_fn gives (children, context), unflatten_fn takes them.

    flatten_with_keys_fn: gives ([(key, child), ...], context), for paths. Names for serialised
    structures are accepted, and not needed here.
    """
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)


def _get_node_type(tree: Any) -> Any:
    """The key of a node in SUPPORTED_NODES: its class, `namedtuple` for named tuples."""
    kind = type(tree)
    if kind not in SUPPORTED_NODES and isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return namedtuple
    return kind


def tree_flatten(tree: Any, is_leaf: Callable | None = None) -> tuple[list, TreeSpec]:
    """(leaves, structure).

    >>> torch.utils._pytree.tree_flatten({"a": 1, "b": (2, [3])})[0]
    [1, 2, 3]
    """
    leaves: list = []
    return leaves, _flatten(tree, is_leaf, leaves)


def _flatten(node: Any, is_leaf: Callable | None, leaves: list) -> TreeSpec:
    """The structure below a node, whose leaves are appended. (A function inside of another that calls itself is a
    reference cycle, in which the leaves would live on.)"""
    kind = _get_node_type(node)
    if kind not in SUPPORTED_NODES or is_leaf is not None and is_leaf(node):
        leaves.append(node)
        return _LEAF
    children, context = SUPPORTED_NODES[kind].flatten_fn(node)
    return TreeSpec(kind, context, [_flatten(c, is_leaf, leaves) for c in children])


def tree_flatten_with_path(
    tree: Any, is_leaf: Callable | None = None
) -> tuple[list[tuple[tuple, Any]], TreeSpec]:
    """([(path, leaf), ...], structure); a path is a tuple of keys.

    Raises ValueError for a registered class that came without `flatten_with_keys_fn`.

    >>> pairs, spec = torch.utils._pytree.tree_flatten_with_path({"a": 1, "b": (2, [3])})
    >>> [torch.utils._pytree.keystr(path) for path, leaf in pairs]
    ["['a']", "['b'][0]", "['b'][1][0]"]
    """
    found: list[tuple[tuple, Any]] = []
    _flatten_with_path((), tree, is_leaf, found)
    return found, tree_structure(tree, is_leaf)


def _flatten_with_path(path: tuple, node: Any, is_leaf: Callable | None, found: list) -> None:
    kind = _get_node_type(node)
    if kind not in SUPPORTED_NODES or is_leaf is not None and is_leaf(node):
        found.append((path, node))
        return
    keyed = SUPPORTED_NODES[kind].flatten_with_keys_fn
    if keyed is None:
        raise ValueError(f"{kind} was registered without a flatten_with_keys_fn, so leaves of "
                         "it have no path")
    for key, child in keyed(node)[0]:
        _flatten_with_path((*path, key), child, is_leaf, found)


def tree_map_with_path(
    func: Callable, tree: Any, *rests: Any, is_leaf: Callable | None = None
) -> Any:
    """The tree of `func(path, leaf, ...)`, with the leaves of further trees at the same places."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    columns = [tree_flatten(r, is_leaf)[0] for r in rests]
    return tree_unflatten(
        [func(path, *each) for (path, *each) in
         ((*pair, *more) for pair, *more in zip(pairs, *columns, strict=True))], spec
    )


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The tree of a structure with these leaves. ValueError if their number does not fit."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten: {len(leaves)} leaves for a tree of {treespec.num_leaves}: {treespec}"
        )
    return _built(treespec, iter(leaves))


def _built(spec: TreeSpec, rest: Iterator) -> Any:
    if spec.is_leaf():
        return next(rest)
    children = [_built(c, rest) for c in spec.children_specs]
    return SUPPORTED_NODES[spec.type].unflatten_fn(children, spec.context)


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
