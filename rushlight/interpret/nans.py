"""Where NaNs come from: programs that look for them, and the operations that made them.

A `LookingProgram` looks at values at its *points*. Before each stretch of writes into memory from outside
stands one, for what is about to be written and for the results so far; at the end, one for the other
results. So a parameter is not touched by an update that would make it NaN. In tier 0 each operation is
looked at while it runs (`Origins`). The native form looks at samples at the points (`compile/nans.py`), and
only what it finds there makes tier 0 run the program again, to see where it came from (`search`).

NaNs in values that nobody keeps (a logarithm's, masked afterwards) are no error. `tools/nan_tracking.py` is the switch.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import measure, tier0
from .liveness import owner
from .placeholder import Placeholder
from .program import Program, _fetch, aside, operand, outputs, run_instruction


class NanError(FloatingPointError):
    """An operation made a NaN of operands that had none; the message names it, its line and operands.

    >>> with torch.tools.nans():
    ...     try:
    ...         torch.tensor([1.0, -1.0]).log().sum().item()
    ...     except torch.tools.NanError as error:
    ...         print(str(error).splitlines()[0])
    'log' made a NaN of operands that have none: log(-1) at [1]
    """


def has_nan(x) -> bool:
    """Whether an array (of floating or complex numbers) or a Python number is or has a NaN."""
    if isinstance(x, np.ndarray):
        return x.__class__ is not Placeholder and x.dtype.kind in "fcV" and bool(np.isnan(x).any())
    return isinstance(x, (float, complex)) and x != x


# ---------------------------------------------------------------- origins


@dataclass(frozen=True)
class Origin:
    """Who made a NaN. outside: it was there before; then this is the operation that was given it."""

    text: str
    outside: bool = False


class Origins:
    """Where the NaNs in memory come from: {id of an array that owns memory: (it, its Origin)}."""

    def __init__(self):
        self.known: dict[int, tuple[weakref.ref, Origin]] = {}

    def of(self, a: np.ndarray) -> Origin | None:
        """The origin of the last NaN that was seen to be written into an array's memory."""
        held = owner(a)
        found = self.known.get(id(held))
        return found[1] if found is not None and found[0]() is held else None

    def forget(self, a: np.ndarray) -> None:
        """An array's memory has no NaN."""
        self.known.pop(id(owner(a)), None)

    def put(self, a: np.ndarray, origin: Origin) -> None:
        """Note the origin of a NaN in an array's memory."""
        held = owner(a)
        self.known[id(held)] = weakref.ref(held), origin

    def inherited(self, name: str, args, place: str) -> Origin | None:
        """The origin of the first NaN among the operands of an operation; None if they have none."""
        for number, x in enumerate(flat(args)):
            if has_nan(x):
                found = self.of(x) if isinstance(x, np.ndarray) else None
                return found or Origin(
                    f"NaN from outside: operand {number} of '{name}', {shown(x)}{place}", True)
        return None


def flat(args):
    """The arrays and numbers of a list of arguments, those in tuples too."""
    for x in args:
        if x.__class__ is tuple:
            yield from flat(x)
        elif isinstance(x, (np.ndarray, int, float, complex)):
            yield x


def shown(x) -> str:
    """An operand in few words: a number, or an array's dtype, shape and range."""
    if not isinstance(x, np.ndarray):
        return repr(x)
    text = f"{x.dtype.name}{list(x.shape)}"
    if not x.size or x.dtype.kind not in "fiuV":
        return text
    wide = x.astype(np.float64)
    known = wide[~np.isnan(wide)]
    if not known.size:
        return f"{text} of NaN"
    more = " and NaN" if known.size < x.size else ""
    return f"{text} from {known.min():.6g} to {known.max():.6g}{more}"


ELEMENTWISE = ("float_unary", "broadcast", "broadcast_float", "checked", "_pow_rule", "_sub_rule")  # names of rules


def made_by(name: str, rule, args, result: np.ndarray, place: str) -> Origin:
    """The operation `name`, which has this rule for its result's shape, made a NaN in `result`."""
    at = np.unravel_index(int(np.isnan(result).argmax()), result.shape)
    index = [int(n) for n in at]
    told = f"'{name}' made a NaN of operands that have none: "
    operands = list(flat(args))
    if getattr(rule, "__name__", "") in ELEMENTWISE and all(np.shape(x) == () or _fits(x, result) for x in operands):
        values = [np.broadcast_to(x, result.shape)[at].item() for x in operands]
        told += f"{name}({', '.join(f'{v:.6g}' for v in values)}) at {index}"
    else:
        told += f"the result's element {index}"
    given = ", ".join(map(shown, operands))
    return Origin(f"{told}\n  result {result.dtype.name}{list(result.shape)}, operands {given}{place}")


def updated_by(operator, args, place: str) -> Origin:
    """An operator made a NaN in memory that it writes to; args: what is known of its operands then."""
    return Origin(f"'{operator.name.strip('_')}' made a NaN of operands that have none\n"
                  f"  operands, as it left them: {', '.join(map(shown, flat(args)))}{place}")


def _fits(x, result) -> bool:
    return x.ndim == result.ndim and all(n in (1, m) for n, m in zip(x.shape, result.shape, strict=True))


class Tracker(measure.Observer):
    """What is known about NaNs while they are tracked; sees the operations that run alone."""

    inside = False

    def __init__(self):
        self.origins = Origins()
        self.warned = False

    # ------------------------------------------------------------ for `tools/nan_tracking.py` to say

    def place(self, node) -> str:
        """Where a node was recorded, or (None) what is being recorded now, as the end of a message."""
        return ""

    def warn(self, text: str) -> None:
        """Tell the user, once."""

    # ------------------------------------------------------------ what happens

    def operation(self, operator, node, args, result, start, end):
        if node is None:
            results = result if result.__class__ is tuple else (result,)
            self.ran(operator, None, args, results)

    def ran(self, operator, node, args, results) -> None:
        """Note the NaNs that an operation made, or passed on."""
        if operator.mutates:
            results = [args[j] for j in operator.mutates if args[j] is not None]
        elif operator.view:
            return
        for a in results:
            if not has_nan(a):
                continue
            name, place = operator.name.strip("_"), self.place(node)
            if operator.mutates:  # (if it was there before, that has been noted)
                origin = self.origins.of(a) or updated_by(operator, args, place)
            elif any(isinstance(x, np.ndarray) for x in flat(args)):
                origin = self.origins.inherited(name, args, place) \
                    or made_by(name, operator.rule, args, a, place)
            else:
                origin = Origin(f"NaN from outside: what '{name}' made of no tensor{place}", True)
            self.origins.put(a, origin)

    def before(self, operator, node, args) -> None:
        """Note the NaNs in what an operator will write to: they are not its own."""
        for j in operator.mutates:
            a = args[j]
            if has_nan(a):
                name = operator.name.strip("_")
                self.origins.put(a, self.origins.inherited(name, [a], self.place(node)))
            elif a is not None:
                self.origins.forget(a)

    def writing(self, operator, args):
        name, place = operator.name.strip("_"), self.place(None)
        for x in flat(args):
            if has_nan(x):
                self.found(self.origins.inherited(name, [x], place))
        self.before(operator, None, args)

    def results(self, arrays) -> None:
        """These arrays stay when a segment that ran at once has ended."""
        for a in arrays:
            origin = self.origins.of(a) if isinstance(a, np.ndarray) else None  # (or a Python number)
            if origin is not None and has_nan(a):
                self.found(origin)

    def copying(self, target: np.ndarray, source: np.ndarray, outside: bool) -> None:
        """`source` is about to be written into `target`; outside: into memory that was there before."""
        if has_nan(source):
            origin = self.origins.inherited("copy_", [source], self.place(None))
            if outside:
                self.found(origin)
            self.origins.put(target, origin)

    def found(self, origin: Origin) -> None:
        """A value that is kept has a NaN: NanError, or once a warning if it was there before."""
        if not origin.outside:
            self.origins.known.clear()
            raise NanError(origin.text)
        if not self.warned:
            self.warned = True
            self.warn(origin.text)


# ---------------------------------------------------------------- programs that look


@dataclass
class Point:
    """Where a program looks: before instruction `at` (its end: the number of instructions).

    values: the nodes looked at. updated: leaves that operators have written to. written: the roots of memory
    from outside that may be written after it, up to the next point.
    """

    at: int
    values: list = field(default_factory=list)
    updated: list = field(default_factory=list)
    written: set = field(default_factory=set)


def outside_targets(i) -> list:
    """The nodes with memory from outside that an instruction writes to."""
    if i.kind == "write":
        targets = [i.node.ins[0]]
    elif i.kind == "mutate":
        targets = [i.node.args[j] for j in i.node.op.mutates if i.node.args[j] is not None]
    else:
        return []
    return [x for x in targets if x.root.op.name == "leaf"]


def points(instructions, wanted, ended: bool) -> dict[int, Point]:
    """{number of an instruction: the Point before it}; ended: whether there is one for all results."""
    found: list[Point] = []
    made: dict = {}  # node: the number of its instruction
    seen: set = set()
    updated = []

    def unseen(nodes) -> list:
        fresh = [n for n in dict.fromkeys(nodes) if n in made and n not in seen and _can_have(n)]
        seen.update(fresh)
        return fresh

    for k, i in enumerate(instructions):
        targets = outside_targets(i)
        if targets:
            # a point serves the later writes too whose operands are there already
            if not found or any(made.get(x, -1) >= found[-1].at for x in i.node.ins):
                found.append(Point(k, unseen(wanted) if ended else []))
            found[-1].values += unseen(i.node.ins)
            found[-1].written.update(x.root for x in targets)
            if i.kind == "mutate":
                updated += [x for x in targets if x.m.dtype.np.kind in "fcV"]
        made.update((n, k) for n in outputs(i.node))
    found.append(Point(len(instructions), unseen(wanted) if ended else [], list(dict.fromkeys(updated))))
    return {p.at: p for p in found if p.values or p.updated}


def _can_have(n) -> bool:
    """Whether a value can have NaNs, and has memory of the program's own."""
    m = n.m
    return not m.weak and m.numel > 0 and m.dtype.np.kind in "fcV" and n.root.op.name != "leaf"


class LookingProgram(Program):
    """A Program that raises NanError when a value that is kept, or written outside, has a new NaN.

    ended: whether the segment ends with it. If not, its results may be masked yet; where their NaNs come from is
    remembered for who goes on, which only tier 0 can tell.
    """

    __slots__ = ("points",)

    def __init__(self, instructions, wanted, saved, ended: bool = True):
        super().__init__(instructions, wanted, saved)
        self.points = points(instructions, wanted, ended)
        self.offered = self.offered or not ended

    def _as_python(self) -> None:
        self.function = self.plain = lambda bufs, scalars, consts: self.interpret(bufs, scalars)
        self.consts = ()

    def interpret(self, bufs, scalars):
        """Run the instructions one by one, and look at the result of each."""
        values: dict = {}
        places = values, bufs, scalars
        tracker = tier0.NANS[0] or Tracker()
        self._walk(places, len(self.instructions), tracker, False)
        return tuple([_fetch(operand(n), places) for n in (*self.wanted, *self.saved)])

    def search(self, point: Point, flagged, bufs, scalars) -> None:
        """The native form has seen a NaN in `flagged` at a point: raise NanError, or warn.

        What comes before the point is run again. Writes outside were done, and are not among it.
        """
        tracker = tier0.NANS[0] or Tracker()
        places: tuple[dict, Any, Any] = {}, bufs, aside(scalars)
        self._walk(places, point.at, tracker, True)
        if self._look(point, places, tracker):
            return
        if flagged in point.updated:
            i = next(i for i in self.instructions if flagged in outside_targets(i))
            args = [_fetch(a, places) for a in i.args if a[0] != "value"]  # (others may be gone)
            error = NanError(updated_by(i.node.op, args, tracker.place(i.node)).text)
        else:
            error = NanError(
                f"a NaN in {flagged.m}, made by '{flagged.op.name.strip('_')}' or before it, that is not "
                f"there when tier 0 runs the program again{tracker.place(flagged)}")
        raise _failure(error, places[0])

    def _walk(self, places, end: int, tracker, again: bool) -> None:
        """Run the instructions before number `end`; again: without looking, and without writes outside."""
        values = places[0]
        i = None
        try:
            for k, i in enumerate(self.instructions[:end]):
                if not again and k in self.points:
                    self._look(self.points[k], places, tracker)
                args = [_fetch(a, places) for a in i.args]
                if again and outside_targets(i):
                    values[i.node] = args[0]
                else:
                    _run(i, args, values, tracker)
                for n in i.dead:
                    values.pop(n, None)
            if not again and end in self.points:
                self._look(self.points[end], places, tracker)
        except Exception as e:
            if not hasattr(e, "rushlight_failure"):
                e.rushlight_failure = (values, i.node)
            raise

    def _look(self, point: Point, places, tracker) -> bool:
        """NanError if a value has a NaN that an operation made; whether one has another NaN."""
        any_found = False
        for n in (*point.values, *point.updated):
            a = _fetch(operand(n), places)
            origin = tracker.origins.of(a) if has_nan(a) else None
            if origin is not None:
                any_found = True
                try:
                    tracker.found(origin)
                except NanError as e:
                    raise _failure(e, places[0]) from None
        return any_found


def _failure(error: NanError, values) -> NanError:
    """An error as `Program.after_failure` wants it; its message has the line already."""
    error.rushlight_failure = (values, None)  # type: ignore[attr-defined]
    return error


def _run(i, args, values, tracker) -> None:
    """One instruction, and where the NaNs that it makes come from."""
    name, origins = i.node.op.name.strip("_"), tracker.origins
    if i.kind == "mutate":
        tracker.before(i.node.op, i.node, args)
    run_instruction(i, list(args), values)
    if i.kind == "write":
        if has_nan(args[1]):
            origins.put(args[0], origins.inherited(name, [args[1]], tracker.place(i.node)))
    elif i.kind in ("call", "mutate"):
        results = [values[n] for n in outputs(i.node)] if i.kind == "call" else ()
        tracker.ran(i.node.op, i.node, args, results)
