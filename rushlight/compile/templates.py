"""One native form for programs that differ only in sizes: batches of other lengths, growing caches.

Programs with the same *outline* (operators, operands, dtypes, ranks) are a family. Once two of them have
been run often enough, a member is planned with a `Size` in the place of each number in which members
differ. What comes out is a template: the steps, the conditions on numbers under which they hold, and how
the words of argument blocks follow from the numbers. A further member is only given memory.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np

from . import lowering, memory
from .blocks import LONG, Block, Launch, Layout, nbytes_of, stretches
from .expressions import Constant, Private, Temporary, owned
from .kernels.call import Address, Call, Loop, Workspace, distinct
from .llvm import objects
from .sizes import Late, Record, Size
from .statements import BY_NUMBER, Fallback
from .steps import Step, steps_of
from .threads import MOST_THREADS

MOST_FAMILIES = 256
MOST_TEMPLATES = 24  # of a family
MOST_SIZES = 8  # numbers in one argument that can be sizes: a tensor seldom has more dimensions
MEMBERS = 6  # of a family, whose numbers are kept
SMALL_ARENA = 4 << 20  # bytes of an arena up to which some room is left for larger sizes
_families: OrderedDict[tuple, Family] = OrderedDict()
_lock = threading.Lock()


class Unsuitable(Exception):
    """A program that has no outline, or whose template would do less than its own form."""


# ---------------------------------------------------------------- outlines


@dataclass(eq=False)
class Outline:
    """A program's structure, and the numbers (sizes, strides, offsets, static integers) in it."""

    program: object
    key: tuple
    numbers: list[int]
    nodes: list
    place: dict  # node: where it is in `nodes`


def outline(program) -> Outline:
    """The outline of a Program; Unsuitable if it has parts that cannot be compared."""
    place: dict = {}
    nodes: list = []
    key: list = []
    numbers: list[int] = []

    def see(n) -> int:
        at = place.get(n)
        if at is not None:
            return at
        root = -1 if n.root is n else see(n.root)
        ins = [see(x) for x in n.ins]
        at = place.get(n)
        if at is not None:  # a further result: its operation saw it
            return at
        at = place[n] = len(nodes)
        nodes.append(n)
        m = n.m
        if not hasattr(m, "shape"):
            key.append(n.op)
            return at
        outs = n.outs or ()
        key.append((n.op, root, *ins, m.dtype, m.weak, m.contiguous, m.overlaps, len(m.shape),
                    n.number, len(outs)))
        numbers.extend(m.shape)
        numbers.extend(m.strides)
        numbers.append(m.offset)
        for x in outs:
            see(x)
        return at

    def operand(a):
        kind, what = a
        if kind == "value":
            return place[what]
        if kind == "list":
            return tuple([operand(x) for x in what])
        return (kind, static(what)) if kind == "const" else a

    def static(x):
        c = x.__class__
        if c is int:
            numbers.append(x)
            return c
        if c is tuple or c is list:
            if len(x) > MOST_SIZES and any(i.__class__ is int and i != x[0] for i in x):
                raise Unsuitable("a list of numbers that are data: the lengths of packed sequences")
            return (c, *[static(i) for i in x])
        if c is slice:
            return c, static(x.start), static(x.stop), static(x.step)
        if c is float:
            return repr(x)
        return x, c

    for i in program.instructions:
        at = see(i.node)
        if i.kind == "restride":
            key.append((at, i.kind))
            continue
        casts = () if i.call is None else tuple(i.call.casts)
        key.append((at, i.kind, casts, *[operand(a) for a in i.args]))
    for results in (program.wanted, program.saved):
        key.append(tuple([see(n) for n in results]))
    made = tuple(key)
    try:
        hash(made)
    except TypeError:
        raise Unsuitable("an argument that cannot be compared") from None
    return Outline(program, made, numbers, nodes, place)


# ---------------------------------------------------------------- families


class Family:
    """Programs with one outline.

    runs, spent: how often they ran in tier 0, and seconds. price: how much time they must have spent there for
    the next template, compared with the first: it doubles with each, and halves with each member that one was
    found for, so that members which are all different are not planned again and again.
    """

    def __init__(self):
        self.members: list[list[int]] = []
        self.templates: list[Template] = []
        self.newest: Template | None = None
        self.runs, self.spent, self.price = 0, 0.0, 1.0
        self.hopeless = False

    def planned(self, made: Outline, scalars) -> Member | None:
        """A member, if one of the templates holds for it."""
        for at, t in enumerate(self.templates):
            found = t.member(made, scalars)
            if found is not None:
                if at:  # lengths that are near each other follow each other
                    self.templates = [t, *self.templates[:at], *self.templates[at + 1:]]
                self.price = max(self.price / 2, 1.0)
                return found
        return None

    def learn(self, made: Outline) -> None:
        """Remember a member's numbers."""
        if made.numbers not in self.members:
            self.members = [*self.members[-(MEMBERS - 1):], made.numbers]


def family_of(program) -> tuple[Family, Outline] | tuple[None, None]:
    """The family that a program belongs to, a new one if need be; (None, None) if it can have none."""
    if not program.instructions or program.points:  # (looks for NaNs are not shared)
        return None, None
    try:
        made = outline(program)
    except Unsuitable:
        return None, None
    with _lock:
        found = _families.get(made.key)
        if found is None:
            found = _families[made.key] = Family()
            if len(_families) > MOST_FAMILIES:
                _families.popitem(last=False)
        else:
            _families.move_to_end(made.key)
    return found, made


def planned(program, scalars, pause: Callable) -> Member | None:
    """A program as a member of its family by one of the templates, which is made now if it can be; or None."""
    family, made = family_of(program)
    if family is None:
        return None
    found = family.planned(made, scalars)
    if found is None and not family.hopeless and any(
        m != made.numbers for m in family.members
    ) and len(family.templates) < MOST_TEMPLATES:
        try:
            family.price *= 2
            template = Template(program, made, family.members, scalars, pause)
            family.templates, family.newest = [template, *family.templates], template
            found = family.planned(made, scalars)
        except Exception as e:  # each member gets its own form, as if there were no families
            family.hopeless = True
            if os.environ.get("RUSHLIGHT_STRICT") and not isinstance(e, Unsuitable):
                raise
    family.learn(made)
    return found


# ---------------------------------------------------------------- a member with sizes


class _Meta:
    """A node's Meta with sizes in it."""

    def __init__(self, m, numbers):
        n = len(m.shape)
        self.shape, self.strides = tuple(numbers[:n]), tuple(numbers[n : 2 * n])
        self.offset, self.dtype, self.weak, self.ndim = numbers[2 * n], m.dtype, m.weak, n
        self.contiguous, self.overlaps = m.contiguous, m.overlaps

    @property
    def numel(self):
        return math.prod(self.shape)

    @property
    def nbytes(self):
        return self.numel * self.dtype.itemsize


class _Twin:
    """A node whose Meta has sizes in it."""

    outs = args = ()
    m = None

    def __init__(self, n):
        self.op, self.number, self.slot, self.site, self.call = n.op, n.number, n.slot, n.site, n.call
        self.root = self

    def __repr__(self) -> str:
        return f"twin of %{self.slot}"


class _TwinInstruction:
    """An instruction of a twin program."""

    def __init__(self, i, node, args):
        self.kind, self.call, self.node, self.args = i.kind, i.call, node, args


class _TwinProgram:
    """A program whose numbers are sizes, made as `outline` reads one."""

    points: dict = {}

    def __init__(self, program, made: Outline, numbers):
        self.numbers = iter(numbers)
        self.twins = [_Twin(n) for n in made.nodes]
        self.place, self.nodes = made.place, made.nodes
        self.seen = 0
        self.instructions = []
        for i in program.instructions:
            self._upto(self.place[i.node])
            args = [("const", None) if i.kind == "restride" and a[0] == "const"
                    else self._operand(a) for a in i.args]
            self.instructions.append(_TwinInstruction(i, self._twin(i.node), args))
        self._upto(len(self.nodes) - 1)
        self.wanted = tuple(map(self._twin, program.wanted))
        self.saved = tuple(map(self._twin, program.saved))
        self.where = {t: at for at, t in enumerate(self.twins)}

    def _twin(self, n):
        return self.twins[self.place[n]]

    def _upto(self, last: int) -> None:
        """Fill in the twins in the order in which `outline` saw the nodes."""
        while self.seen <= last or (
            self.seen < len(self.nodes) and self.nodes[self.seen].op.name == "get"
            and self.place[self.nodes[self.seen].ins[0]] <= last
        ):
            n, t = self.nodes[self.seen], self.twins[self.seen]
            t.root, t.ins = self._twin(n.root), tuple(map(self._twin, n.ins))
            if hasattr(n.m, "shape"):
                t.m = _Meta(n.m, [next(self.numbers) for _ in range(2 * len(n.m.shape) + 1)])
            t.outs = n.outs and tuple(map(self._twin, n.outs))
            t.args = tuple([self._argument(a) for a in n.args]) if hasattr(n.op, "kinds") else n.args
            self.seen += 1

    def _argument(self, a):
        if a.__class__ is tuple:
            return tuple([self._argument(x) for x in a])
        return self._twin(a) if hasattr(a, "root") and a in self.place else a

    def _operand(self, a):
        kind, what = a
        if kind == "value":
            return kind, self._twin(what)
        if kind == "list":
            return kind, tuple([self._operand(x) for x in what])
        return (kind, self._static(what)) if kind == "const" else a

    def _static(self, x):
        c = x.__class__
        if c is int:
            return next(self.numbers)
        if c is tuple or c is list:
            return c([self._static(i) for i in x])
        if c is slice:
            return slice(self._static(x.start), self._static(x.stop), self._static(x.step))
        return x


# ---------------------------------------------------------------- templates


@dataclass
class _Pattern:
    """A call whose words depend on sizes: which words, and how."""

    call: Call
    fields: dict[str, int] = field(default_factory=dict)  # field: which value it is
    sizes: list = field(default_factory=list)  # (word, which value)
    places: list = field(default_factory=list)  # (word, buffer, offset: bytes or which value)


@dataclass
class _Again:
    """Calls of a `Loop`: how often, and by how much their addresses move; each (number, None) or (None, which value)."""

    times: tuple
    calls: list[_Pattern]
    moves: list[list]  # for each call: (word, number, which value)


class _Label:
    """The label of a member's call, written when somebody reads it."""

    def __init__(self, late: Late, values: Callable[[], dict]):
        self.late, self.values = late, values

    def __str__(self) -> str:
        return self.late.written(self.values())


@dataclass(eq=False)
class Member:
    """A program that a template holds for. values: the sizes that the template's blocks and steps ask for."""

    template: Template
    outline: Outline
    values: tuple

    @functools.cached_property
    def whole(self) -> np.ndarray:
        """The values as integers; 0 for floats."""
        return np.array([0 if x.__class__ is float else x for x in self.values], np.int64)


class _Part:
    """One launch of a template's members: its blocks are copied, and the members' sizes written into the copies."""

    def __init__(self, block: Block, template: Template):
        self.block, self.where = block, template.where
        self.patches, self.scalars = block.patches(), block.scalars()

        def places(pairs, kind: type | tuple = (int, bool)):
            chosen = [(at, template.which(x)) for at, x in pairs if isinstance(x.value, kind)]
            return np.array(chosen, np.intp).reshape(-1, 2).T

        self.sizes, self.doubles = places(block.sizes), places(block.sizes, float)
        self.array_sizes, self.arena_sizes = places(block.array_sizes), places(block.arena_sizes)
        self.call_sizes = [(row, column, template.which(x)) for row, column, x in block.call_sizes]
        assert template.layout is not None
        slots = {r: k for k, (r, _, _) in enumerate(template.layout.lives)}
        self.arena = np.array([(at, slots[r], offset) for at, r, offset in block.arena], np.int64).reshape(-1, 3)
        self.seconds = template.which(block.seconds) if block.seconds.__class__ is Size else None

    def cast(self, member: Member, places: np.ndarray) -> Launch:
        """The launch of a member. places: in the arena, of what lives there."""
        b, values, whole, nodes = self.block, member.values, member.whole, member.outline.nodes
        words, table, arrays, numbers = b.words.copy(), b.table.copy(), self.patches.copy(), self.scalars.copy()
        at, which = self.sizes
        words[at] = whole[which]
        for at, which in self.doubles.T:
            words.view(np.float64)[at] = values[which]
        moved = words.ctypes.data - b.base
        table[:, 1] += moved
        for row, column, k in self.call_sizes:
            table[row, column] = values[k]
        arrays[:, 2] += moved
        at, which = self.array_sizes
        arrays[at, 3] = whole[which]
        numbers[:, 1] += moved
        offsets = self.arena[:, 2].copy()
        at, which = self.arena_sizes
        offsets[at] = whole[which]
        arena = np.stack([self.arena[:, 0], offsets + places[self.arena[:, 1]]], 1)
        seconds = b.seconds if self.seconds is None else values[self.seconds]
        return Launch(words, table, arrays, numbers, arena, bool(seconds > LONG), b.owners,
                      [(nodes[self.where[r]], n) for r, n in b.whole])


class Template:
    """What a family's members have in common; see the module's docstring."""

    def __init__(self, program, made: Outline, members, scalars, pause: Callable):
        """members: numbers of members that the program is not the same as."""
        others = [m for m in members if m != made.numbers]
        columns: dict[tuple, list[int]] = {}  # numbers that differ alike are one size
        fixed = []
        for at, column in enumerate(zip(made.numbers, *others, strict=True)):
            if any(x != column[0] for x in column):
                columns.setdefault(column, []).append(at)
            else:
                fixed.append(at)
        self.inputs = _getter([places[0] for places in columns.values()])
        self.fixed = _getter(fixed)
        self.value = self.fixed(made.numbers)  # of what is fixed
        same = [(places[0], at) for places in columns.values() for at in places[1:]]
        self.same = _getter([a for a, _ in same]), _getter([b for _, b in same])
        record = Record()
        try:
            numbers: list = list(made.numbers)
            for places in columns.values():
                size = record.input(made.numbers[places[0]])
                for at in places:
                    numbers[at] = size
            twin = _TwinProgram(program, made, numbers)
            self.where = twin.where
            results = (*twin.wanted, *twin.saved)
            steps, self.conditions = steps_of(twin, scalars, results, pause)
            index = {i: k for k, i in enumerate(twin.instructions)}
            self.wanted: dict[str, int] = {}
            self._lay_out(steps, index, results, pause)
        finally:
            record.close()
        for s in steps:
            if s.why is not None and s.why != BY_NUMBER and not isinstance(
                lowering.lower(program.instructions[index[s.instructions[0]]])[0], Fallback
            ):
                raise Unsuitable(f"tier 0 would run {s.instructions[0].node.op.name}: {s.why}")
        self.buffers: dict = {}  # Private memory or Workspace: (its number, how many bytes)
        self.pattern = [
            ([index[i] for i in s.instructions], [self._made(c) for c in s.calls],
             [self.where[r] for r in s.writes if r in self.where], s.why) for s in steps
        ]
        each = [c for s in steps for c in distinct(s.calls)]
        self.code = [objects.load(c.text, c.exports or (c.function,)) for c in each]  # held, so that it stays loaded
        self.values = record.compiled(list(self.wanted))
        self.record = record
        # whether a program's numbers take the branches that the template relies on
        held = [f"bool({c}) is {outcome}" for c, outcome in self.conditions.items()]
        self.decided = eval(f"lambda scalars: {' and '.join(held) or True}")
        self.late: list[Late] = [c.label for c in each if isinstance(c.label, Late)]
        if self.values(*self.inputs(made.numbers)) is None:
            raise Unsuitable("conditions that the program itself does not meet")

    def which(self, size: Size) -> int:
        """The number of a size among `values`."""
        return self.wanted.setdefault(size.name, len(self.wanted))

    def _lay_out(self, steps: list[Step], index: dict, results, pause: Callable) -> None:
        """Make the members' blocks but for their sizes: `layout`, `parts` and `arrays`.

        Where steps are repeated as often as a size says there are none: each member is laid out for itself.
        """
        self.layout: Layout | None = None
        if any(isinstance(c, Loop) for s in steps for c in s.calls):
            return
        layout = self.layout = Layout(steps, results)
        self.error_word = np.zeros(1, np.int64)
        self.arrays = [self.where[r] for r in layout.array_of]
        self.fallback_made = [self.where[r] for r in layout.fallback_made]
        self.rooms = [
            (self.where.get(r), (0, None) if r in self.where else self._amount(r.nbytes),
             MOST_THREADS if isinstance(r, Workspace) and r.per_thread else 1) for r, _, _ in layout.lives
        ]
        self.memory: tuple | None = None  # the last plan: bytes, offsets, size of the arena
        self.parts = [
            index[steps[part].instructions[0]] if isinstance(part, int)
            else _Part(Block(steps, part, layout, self.error_word, pause), self) for part in stretches(steps)
        ]

    def _amount(self, x):
        """(a number, None), or (None, which value)."""
        return (None, self.which(x)) if x.__class__ is Size else (x, None)

    def _buffer(self, b):
        b = owned(b)
        if b in self.where:
            return "node", self.where[b]
        if isinstance(b, Constant):
            return "constant", b
        if not isinstance(b, (Private, Workspace)):
            raise Unsuitable(f"an address in {b!r}")
        if b not in self.buffers:
            self.buffers[b] = len(self.buffers), self._amount(b.nbytes)
        return "buffer", self.buffers[b][0]

    def _made(self, call: Call | Loop) -> _Pattern | _Again:
        if isinstance(call, Call):
            return self._pattern(call)
        return _Again(self._amount(call.times), [self._pattern(c) for c in call.calls], [
            [(j, *self._amount(by)) for j, by in moves.items()] for moves in call.moves
        ])

    def _pattern(self, call: Call) -> _Pattern:
        made = _Pattern(call)
        for name in ("chunks", "parallel", "flops", "nbytes"):
            x = getattr(call, name)
            if x.__class__ is Size:
                made.fields[name] = self.which(x)
        for j, w in enumerate(call.words):
            if w.__class__ is Size:
                made.sizes.append((j, self.which(w)))
            elif w.__class__ is Address:
                made.places.append((j, True, *self._buffer(w.buffer), *self._amount(w.offset)))
            elif w.__class__ is Workspace:
                made.places.append((j, False, *self._buffer(w), 0, None))
        return made

    # ------------------------------------------------------------ a member's steps

    def member(self, made: Outline, scalars) -> Member | None:
        """Another program as a member; None if it is not what the template holds for."""
        numbers = made.numbers
        one, other = self.same
        if self.fixed(numbers) != self.value or one(numbers) != other(numbers) \
                or not self.decided(scalars):
            return None
        try:
            values = self.values(*self.inputs(numbers))
        except (ArithmeticError, ValueError, IndexError):  # of sizes that the conditions exclude
            return None
        return None if values is None else Member(self, made, values)

    def places(self, member: Member) -> tuple[list, np.ndarray, int]:
        """(what a member has in the arena, the offsets, the arena's size); an earlier plan serves if all fits into it."""
        assert self.layout is not None
        nodes, values, lives = member.outline.nodes, member.values, self.layout.lives
        sizes = [
            nbytes_of(nodes[at]) if at is not None else (n if which is None else values[which]) * times
            for at, (n, which), times in self.rooms
        ]
        plan = self.memory
        if plan is None or any([n > room for n, room in zip(sizes, plan[0], strict=True)]):
            rooms = [n + n // 4 for n in sizes] if sum(sizes) < SMALL_ARENA else sizes  # they often grow step by step
            offsets, size = memory.place([(first, last, n) for (_, first, last), n in zip(lives, rooms, strict=True)])
            plan = self.memory = rooms, np.array(offsets, np.int64), size
        found = [
            (r if at is None else nodes[at], first, last, n, where)
            for (r, first, last), (at, _, _), n, where in zip(lives, self.rooms, sizes, plan[1].tolist(), strict=True)
        ]
        return found, plan[1], plan[2]

    def steps(self, made: Outline) -> list[Step]:
        """The steps of a member."""
        numbers = made.numbers
        values = self.values(*self.inputs(numbers))
        buffers: list = []
        for b, (_, (nbytes, which)) in self.buffers.items():
            nbytes = nbytes if which is None else values[which]
            buffers.append(Temporary(nbytes) if isinstance(b, Private)
                           else Workspace(nbytes, b.per_thread))
        found = {"node": made.nodes, "buffer": buffers}
        told = functools.cache(functools.partial(self._told, self.inputs(numbers)))
        instructions = made.program.instructions
        return [
            Step([instructions[k] for k in which], self._calls(calls, values, found, told),
                 frozenset([made.nodes[at] for at in writes]), why)
            for which, calls, writes, why in self.pattern
        ]

    def _calls(self, patterns: list, values, found, told: Callable) -> list[Call | Loop]:
        def amount(number, which):
            return number if which is None else values[which]

        made: list[Call | Loop] = []
        for p in patterns:
            if isinstance(p, _Pattern):
                made.append(self._call(p, values, found, told))
            else:
                made.append(Loop([self._call(c, values, found, told) for c in p.calls], amount(*p.times),
                                 [{j: amount(*by) for j, *by in moves} for moves in p.moves]))
        return made

    def _told(self, inputs) -> dict:
        """{name: value} of the sizes in labels: nobody may ever ask for them."""
        names = list(dict.fromkeys(n for label in self.late for n in label.names()))
        return dict(zip(names, self.record.compiled(names)(*inputs), strict=True))

    def _call(self, p: _Pattern, values, found, told: Callable) -> Call:
        call, words = p.call, list(p.call.words)
        for j, which in p.sizes:
            words[j] = values[which]
        for j, address, kind, what, offset, which in p.places:
            buffer = what if kind == "constant" else found[kind][what]
            words[j] = Address(buffer, offset if which is None else values[which]) if address \
                else buffer
        made = Call(call.text, call.function, words, call.chunks, call.parallel, call.label,
                    call.flops, call.nbytes, call.exports, call.nest, call.arithmetic)
        for name, which in p.fields.items():
            setattr(made, name, values[which])
        if isinstance(call.label, Late):
            made.label = _Label(call.label, told)
        return made


def _getter(places: list[int]) -> Callable:
    """A function that takes some of a list's items, as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda numbers: tuple([numbers[at] for at in places])
