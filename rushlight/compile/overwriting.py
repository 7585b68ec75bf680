"""Results that a program overwrites as a whole: their memory before that, and which of them are treated so."""

from __future__ import annotations

from . import symbolic
from .expressions import Earlier
from .kernels.call import ErrorWord, flat
from .statements import BY_NUMBER, Fallback, Loops, Native, Statement


def memory_now(base):
    """What stands for the memory of a result at this place of the program: it, or what it is before it is overwritten."""
    return symbolic.GUARDS[-1].earlier.get(base, base) if symbolic.GUARDS else base


class Overwritten(Exception):
    """Results whose memory has to be the same before and after they are overwritten. args: a set of them."""


class Overwrites:
    """The writes of a program that overwrite a result of it as a whole.

    What the result holds before has other memory (`Earlier`) and need not be stored, if one nest makes and overwrites
    it: `relu_` of a sum costs what `relu` of it does. Not where tier 0 uses the result before, nor where an operation in
    between may fail: what has been computed then stays usable. same: results that were found to be so.
    """

    def __init__(self, program, same=frozenset()):
        self.writes: dict = {}  # instruction: the result
        self.left: dict = {}  # result: how many such writes there are from here on
        self.refused: set = set()
        self.failing = 0  # operations so far that may fail
        self.since: dict = {}  # result: `failing` when it was made, or overwritten last
        made: set = set()
        for i in program.instructions if not program.points else ():
            if i.kind == "call" and not i.node.op.view:
                made.update(i.node.outs or (i.node,))
            elif i.kind == "write":
                target = i.node.ins[0]
                while target.op.name == "write":
                    target = target.ins[0]
                m = target.m
                if target in made and target not in same and not m.weak and m.numel and m.dtype.np.kind != "c":
                    self.writes[i] = target
                    self.left[target] = self.left.get(target, 0) + 1
        for target in self.left:
            self._begin(target)

    def _begin(self, target) -> None:
        symbolic.GUARDS[-1].earlier[target] = Earlier(target.m.numel * target.m.dtype.itemsize)

    def comes(self, i) -> object:
        """The memory that the write `i` overwrites as a whole, or None."""
        target = self.writes.get(i)
        if target is None:
            return None
        if self.since.get(target) != self.failing:
            self.refused.add(target)
        self.since[target] = self.failing
        self.left[target] -= 1
        if self.left[target]:
            self._begin(target)
        else:
            del symbolic.GUARDS[-1].earlier[target]
        return memory_now(target)

    def lowered(self, i, statements) -> None:
        """Note what an instruction has become."""
        if not self.left:
            return
        for s in statements:
            if isinstance(s, Fallback):
                self.refused |= self._used(s.instruction) & symbolic.GUARDS[-1].earlier.keys()
            self.failing += _may_fail(s)
        self.since.update((n, self.failing) for n in i.node.outs or (i.node,) if n in self.left)

    def settled(self, statements) -> None:
        """All is lowered, and `statements` are what is left of it: Overwritten if results were not to be treated so."""
        for s in statements if self.left else ():
            if isinstance(s, Fallback) and s.why == BY_NUMBER:
                self.refused |= self._used(s.instruction) & self.left.keys()
        if self.refused:
            raise Overwritten(self.refused)

    @staticmethod
    def _used(instruction) -> set:
        node = instruction.node
        return {x.root for x in (*node.ins, *(node.outs or (node,)))}


def _may_fail(s: Statement) -> bool:
    """Whether a statement can end in an error that depends on values."""
    seen: set = set()

    def checks(e) -> bool:
        if id(e) in seen:
            return False
        seen.add(id(e))
        return e.op == "within" or any([checks(x) for x in e.ins])

    if isinstance(s, Loops):
        return any([x.view is None or checks(x.expr) for x in s.stores])
    if isinstance(s, Native):
        return any([isinstance(w, ErrorWord) for c in flat(s.calls) for w in c.words])
    return isinstance(s, Fallback)
