"""Statements to groups: neighbouring loops that share a domain and values become one nest.

A group runs at the place of its first statement. A later statement may join if it fits into the nest, shares
something with it, and nothing in between touches the memory that it reads or writes.
"""

from __future__ import annotations

import math
from collections import Counter

from .expressions import NotLowered
from .lowering import Loops, Statement, hazard_root
from .nests import Builder

LOOK_BACK = 12  # groups that a statement tries to join
MOST_NODES = 160
MOST_ACCESSES = 14


class Group:
    """Loops that run as one nest."""

    def __init__(self, first: Loops):
        self.builder: Builder = first.nest
        self.statements: list[Loops] = [first]
        self.reads, self.writes = set(first.reads), set(first.writes)

    def __repr__(self) -> str:
        names = [s.instruction.node.op.name for s in self.statements]
        return f"Group({', '.join(names)} over {self.builder.domain})"

    def joins(self, s: Loops) -> bool:
        """Let a statement in, if it fits."""
        b = self.builder
        if not self._worth(s):
            return False
        before = b.state()
        try:
            for store in s.stores:
                b.add(store, s.fresh)
        except NotLowered:
            b.restore(before)
            return False
        if len(b.nodes) > MOST_NODES or len(b.accesses) + len(b.outputs) > MOST_ACCESSES:
            b.restore(before)
            return False
        self.statements.append(s)
        self.reads |= s.reads
        self.writes |= s.writes
        return True

    def _worth(self, s: Loops) -> bool:
        domain = self.builder.domain
        if len(s.domain) != len(domain) or any(
            n not in (1, m) for n, m in zip(s.domain, domain, strict=True)
        ):
            return False
        if not (s.reads | s.writes) & (self.reads | self.writes):
            return False
        # memory that was there before: written by one, it may not be touched by the other
        overwritten = {hazard_root(r) for r in self.builder.written}
        if overwritten & (s.reads | s.writes):
            return False
        if not s.fresh and s.writes & (self.reads | self.writes):
            return False
        return math.prod(s.domain) == math.prod(domain) or math.prod(s.domain) > 1


def group(statements: list[Statement]) -> list:
    """Groups, native calls and fallbacks in the order in which they run."""
    items: list = []
    for s in statements:
        if not isinstance(s, Loops):
            items.append(s)
            continue
        for item in reversed(items[-LOOK_BACK:]):
            if isinstance(item, Group) and item.joins(s):
                break
            if s.reads & item.writes or s.writes & (item.reads | item.writes):
                items.append(Group(s))
                break
        else:
            items.append(Group(s))
    return items


def drop_dead(items: list, kept: set) -> None:
    """Take out stores of new memory that nothing outside of their nest reads.

    kept: hazard roots that are needed after the program.
    """
    readers: Counter = Counter(r for item in items for r in item.reads)
    for item in items:
        if not isinstance(item, Group):
            continue
        b = item.builder
        fresh = {r for s in item.statements if s.fresh for r in s.writes}
        loaded = {hazard_root(a.view.root) for a in b.accesses.values()}

        def needed(o, item=item, fresh=fresh, loaded=loaded) -> bool:
            r = hazard_root(o.view.root)
            return r not in fresh or r in kept or r in loaded or readers[r] > (r in item.reads)

        b.outputs = [o for o in b.outputs if needed(o)]
