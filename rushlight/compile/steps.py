"""A program's steps: calls of kernels, and the instructions that stay in tier 0, in the order in which they run.

Lowering, sums into products, groups, and the calls of each group: what is planned here depends on the
program's sizes, not on where its memory will be (`native.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from . import lowering, nans, symbolic
from .emit import emit
from .groups import Group, drop_dead, group
from .kernels.call import Call, Loop, distinct
from .overwriting import Overwrites, Overwritten
from .statements import (
    BY_NUMBER,
    Fallback,
    Multiply,
    Statement,
    hazard_root,
    packed_once,
    settled,
    with_sums,
)


@dataclass(eq=False)
class Step:
    """Calls that carry out instructions. why: the reason, if it is tier 0 that runs its one instruction.

    look: the look for NaNs that the calls are.
    """

    instructions: list
    calls: list[Call | Loop] = field(default_factory=list)
    writes: frozenset = frozenset()
    why: str | None = None
    look: nans.Look | None = None

    @property
    def label(self) -> str:
        """What it is, for people."""
        return " + ".join(dict.fromkeys(str(c.label) for c in distinct(self.calls))) or "tier 0"


def steps_of(program, scalars, results, pause: Callable) -> tuple[list[Step], dict[str, bool]]:
    """(the steps of a Program, the conditions on its numbers under which they hold).

    scalars: numbers that it was just run with. results: the nodes whose values are wanted.
    """
    written = {x.root for i in program.instructions if i.kind in ("write", "mutate")
               for x in i.node.ins}
    same: set = set()
    while True:
        try:
            return _steps(program, symbolic.Guards(scalars, written), results, pause, same)
        except Overwritten as e:
            same |= e.args[0] | (written if same else set())


def _steps(program, guards: symbolic.Guards, results, pause: Callable, same: set):
    """same: results whose memory is the same before and after they are overwritten."""
    symbolic.GUARDS.append(guards)
    try:
        kept = {n.root for n in results}
        statements: list[Statement] = []
        overwrites = Overwrites(program, same)
        for k, i in enumerate(program.instructions):
            statements += nans.looks(program, k) + lowering.lower(i, overwrites)
            pause()
        statements += nans.looks(program, len(program.instructions))
        statements = _keep_numbers(statements, results)
        overwrites.settled(statements)
        statements = settled(statements, kept)
        statements = with_sums(statements, kept)
        items = group(statements, kept, pause)
        drop_dead(items, kept)
        return _planned([i for i in items if not isinstance(i, Group) or i.builder.outputs
                         or i.builder.checks], pause), guards.conditions
    finally:
        symbolic.GUARDS.pop()


def _keep_numbers(statements, results):
    """Python numbers that tier 0 or the program's caller gets come from tier 0."""
    numbers = {n for n in results if n.m.weak}
    while True:
        for s in statements:
            if isinstance(s, Fallback):
                node = s.instruction.node
                numbers |= {n for n in (*node.ins, *(node.outs or (node,)))
                            if n.m.weak and n.op.name != "scalar"}
        touched = {s.instruction for s in statements if not isinstance(s, Fallback)
                   and _touches(s, numbers)}
        made, changed = [], set()
        for s in statements:
            if s.instruction not in touched:
                made.append(s)
            elif s.instruction not in changed:
                changed.add(s.instruction)
                made.append(lowering.fallback(s.instruction, BY_NUMBER))
        statements = made
        if not changed:
            return statements


def _touches(s, numbers) -> bool:
    """Whether a statement makes one of some Python numbers, or reads its memory."""
    node = s.instruction.node
    return not numbers.isdisjoint(node.outs or (node,)) or any(
        n in numbers and hazard_root(n) in s.reads for n in node.ins
    )


def _planned(items, pause: Callable) -> list[Step]:
    """The calls of each group and native statement."""
    steps = []
    packed: dict = {}  # what a call that packs a matrix does -> (root of the matrix, where to)
    for item in items:
        pause()
        calls: list[Call] = []
        if isinstance(item, Group):
            calls = emit(item.builder.finish())
        elif isinstance(item, Multiply):
            item.plan()
            calls = packed_once(item.calls, packed) if item.reused else item.calls
        elif not isinstance(item, Fallback):
            calls = item.calls
        for key in [k for k, (root, _) in packed.items() if root in item.writes]:
            del packed[key]
        instructions = [s.instruction for s in item.statements] if isinstance(item, Group) \
            else [item.instruction]
        steps.append(Step(instructions, calls, frozenset(item.writes),
                          item.why if isinstance(item, Fallback) else None,
                          item if isinstance(item, nans.Look) else None))
    return steps
