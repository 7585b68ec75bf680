"""Statements to groups: neighbouring loops that share a domain and values become one nest.

A group runs at the place of its first statement. A later statement may join if it fits into the nest, shares
something with it, and nothing in between touches the memory that it reads or writes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from .expressions import NotLowered
from .nest_builder import Builder
from .statements import Loops, Statement, hazard_root

LOOK_BACK = 12  # groups that a statement tries to join
MOST_NODES = 160
MOST_ACCESSES = 20


class Group:
    """Loops that run as one nest."""

    def __init__(self, first: Loops):
        self.builder: Builder = first.nest
        self.statements: list[Loops] = [first]
        self.reads, self.writes = set(first.reads), set(first.writes)
        self.counted = self.stored = 0  # outputs that were looked at, and those of them that must be in memory

    def __repr__(self) -> str:
        names = [s.instruction.node.op.name for s in self.statements]
        return f"Group({', '.join(names)} over {self.builder.domain})"

    def joins(self, statements: list[Loops], stored: set) -> bool:
        """Let statements in, if all fit; stored: roots whose values must be in memory."""
        b, before, had = self.builder, None, len(self.statements)
        reads, writes = self.reads, self.writes
        for s in statements:
            if not self._may(s):
                break
            before = b.state() if before is None else before
            try:
                for store in s.stores:
                    b.add(store, s.fresh)
            except NotLowered:
                break
            self.statements.append(s)
            self.reads, self.writes = self.reads | s.reads, self.writes | s.writes
        else:
            outputs = self.stored + len([o for o in b.outputs[self.counted:] if hazard_root(o.view.root) in stored])
            if len(b.nodes) <= MOST_NODES and len(b.accesses) + outputs <= MOST_ACCESSES:
                self.counted, self.stored = len(b.outputs), outputs
                return True
        if before is not None:
            b.restore(before)
            self.reads, self.writes = reads, writes
            del self.statements[had:]
        return False

    def _may(self, s: Loops) -> bool:
        """Whether a statement's domain and memory allow that it joins."""
        domain = self.builder.domain
        if len(s.domain) != len(domain) or any(
            n not in (1, m) for n, m in zip(s.domain, domain, strict=True)
        ):
            return False
        # memory that was there before: written by one, it may not be touched by the other
        overwritten = {hazard_root(r) for r in self.builder.written}
        if overwritten & (s.reads | s.writes):
            return False
        if not s.fresh and s.writes & (self.reads | self.writes):
            return False
        return math.prod(s.domain) == math.prod(domain) or math.prod(s.domain) > 1


def group(statements: list[Statement], kept: set, pause: Callable = lambda: None) -> list:
    """Groups, native calls and fallbacks in the order in which they run.

    kept: hazard roots that are needed after the program. pause: called for each statement.
    """
    items: list = []
    stored = set(kept).union(*(s.reads for s in statements if not isinstance(s, Loops)))
    for s in statements:
        pause()
        if not isinstance(s, Loops):
            items.append(s)
            continue
        for item in reversed(items[-LOOK_BACK:]):
            shared = isinstance(item, Group) and (s.reads | s.writes) & (item.reads | item.writes)
            if shared and item.joins([s], stored):
                break
            if _ordered(item, s):
                items.append(Group(s))
                break
        else:
            items.append(Group(s))
    _merge(items, stored)
    return items


def _ordered(first, then) -> bool:
    """Whether one must run before the other."""
    return bool(then.reads & first.writes or then.writes & (first.reads | first.writes))


def _merge(items: list, stored: set) -> None:
    """Let groups over one domain join an earlier one whose values they read."""
    at = 1
    while at < len(items):
        later = items[at]
        for k in range(at - 1, max(at - LOOK_BACK, 0) - 1, -1):
            item = items[k]
            if isinstance(item, Group) and isinstance(later, Group) \
                    and later.reads & item.writes \
                    and item.builder.domain == later.builder.domain \
                    and item.joins(later.statements, stored):
                del items[at]
                at -= 1
                break
            if _ordered(item, later):
                break
        at += 1


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
