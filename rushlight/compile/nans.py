"""The points of a program that looks for NaN (`interpret/nans.py`), as statements of its native form.

A look reads what the point's values hold, and counts as a write to the memory from outside that is written after
it. So passes that move statements keep the order: nothing is written there before it was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..interpret.nans import LookingProgram, Point
from ..interpret.program import Instruction
from . import lowering
from .expressions import NotLowered
from .kernels import nans
from .kernels.call import Address
from .statements import Native, Statement, hazard_root


@dataclass(eq=False)
class Look(Native):
    """Looks at samples of values, one call for each."""

    program: LookingProgram | None = None
    point: Point | None = None
    nodes: list = field(default_factory=list)

    def found(self, call: int, bufs, scalars) -> None:
        """Call number `call` has seen a NaN: raise NanError, or warn that it came from outside."""
        assert self.program is not None and self.point is not None
        self.program.search(self.point, self.nodes[call], bufs, scalars)


def looks(program, at: int) -> list[Statement]:
    """The look before instruction `at` of a program, if it has a point there."""
    point = program.points.get(at)
    if point is None:
        return []
    nodes, views = [], []
    for n in (*point.values, *point.updated):
        try:
            views.append(lowering.view_of(n))
        except NotLowered:
            continue
        nodes.append(n)
    if not nodes:
        return []
    i = Instruction()  # stands for no operation; people see the line of the first value
    i.node, i.kind, i.args, i.dead = nodes[0], "look", (), []
    calls = [nans.plan(Address(v.root, v.offset * v.dtype.itemsize), v.shape, v.strides, v.dtype,
                       nans.UPDATED if n in point.updated else nans.MOST)
             for n, v in zip(nodes, views, strict=True)]
    return [Look(i, frozenset(hazard_root(v.root) for v in views),
                 frozenset(hazard_root(r) for r in point.written), calls, program, point, nodes)]


__all__ = ["Look", "looks"]
