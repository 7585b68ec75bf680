"""Trees of containers, as torch.utils._pytree has them."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict, namedtuple

import pytest
import torch.utils._pytree as theirs

from rushlight.utils import _pytree as ours

Point = namedtuple("Point", ["x", "y"])
TREES = [3, None, (), (1, [2, {"a": 3, "b": (4,)}]), Point(1, (2, 3)), OrderedDict(z=1, a=[2])]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_there_and_back(tree):
    leaves, spec = ours.tree_flatten(tree)
    assert leaves == theirs.tree_flatten(tree)[0]
    assert ours.tree_unflatten(leaves, spec) == tree
    assert type(ours.tree_unflatten(leaves, spec)) is type(tree)
    assert spec == ours.tree_structure(tree) and hash(spec) == hash(ours.tree_structure(tree))
    assert ours.tree_map(str, tree) == theirs.tree_map(str, tree)


def test_several_trees_and_predicates():
    assert ours.tree_map(lambda a, b: a + b, (1, [2]), (10, [20])) == (11, [22])
    assert ours.tree_map_only(int, lambda x: x + 1, (1, "a")) == (2, "a")
    assert ours.tree_all(bool, (1, [2])) and not ours.tree_all(bool, (1, [0]))
    assert ours.tree_any(bool, (0, [2])) and not ours.tree_any(bool, (0, [0]))
    assert ours.tree_leaves([(1, 2), 3], is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2), 3]
    assert ours.tree_structure((1, [2])) != ours.tree_structure([1, [2]])
    with pytest.raises(ValueError, match="3 leaves"):
        ours.tree_unflatten([1, 2, 3], ours.tree_structure((1, 2)))


def test_further_nodes():
    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

    ours.register_pytree_node(Pair, lambda p: ([p.a, p.b], None), lambda leaves, _: Pair(*leaves))
    made = ours.tree_map(lambda x: x + 1, [Pair(1, 2)])
    assert (made[0].a, made[0].b) == (2, 3)


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_paths(tree):
    ours_found, theirs_found = (
        [(p.keystr(path), leaf) for path, leaf in p.tree_flatten_with_path(tree)[0]]
        for p in (ours, theirs)
    )
    assert ours_found == theirs_found
    joined = ours.tree_map_with_path(lambda path, a, b: (ours.keystr(path), a, b), tree, tree)
    assert joined == theirs.tree_map_with_path(
        lambda path, a, b: (theirs.keystr(path), a, b), tree, tree)
    for path, leaf in ours.tree_flatten_with_path(tree)[0]:
        at = tree
        for key in path:
            at = key.get(at)
        assert at is leaf


def test_paths_of_further_nodes():
    class Bag(OrderedDict):
        pass

    def flat(bag):
        return list(bag.values()), list(bag)

    def built(values, keys):
        return Bag(zip(keys, values))

    ours.register_pytree_node(Bag, flat, built)
    with pytest.raises(ValueError, match="flatten_with_keys_fn"):
        ours.tree_flatten_with_path(Bag(a=1))
    ours.register_pytree_node(
        Bag, flat, built, serialized_type_name="Bag",
        flatten_with_keys_fn=ours._dict_flatten_with_keys,
    )
    assert ours.tree_flatten_with_path(Bag(a=1))[0] == [((ours.MappingKey("a"),), 1)]
    assert type(ours.tree_map_with_path(lambda path, x: x, Bag(a=1))) is Bag


def test_leaves_do_not_live_on():
    class Leaf:
        pass

    gc.disable()  # what is not part of a cycle goes at once
    try:
        tree = {"a": Leaf(), "b": (Leaf(), [Leaf()])}
        alive = [weakref.ref(x) for x in ours.tree_leaves(tree)]
        ours.tree_map(lambda x: x, tree)
        ours.tree_flatten_with_path(tree)
        del tree
        assert [a() for a in alive] == [None] * 3
    finally:
        gc.enable()
