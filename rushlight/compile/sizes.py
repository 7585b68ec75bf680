"""Sizes that a native form does not rely on: integers that note what is computed from them, and decided.

A batch of another length makes a program of the same structure with other numbers in it. Building with a
`Size` in the place of each such number tells which words of the argument blocks follow from it, and how; and
under which *conditions* (on comparisons that came out this way or that) the whole form holds. So a form that
was built once serves all sizes that meet them (`templates.py`).

A Size is no int: whatever needs a plain one (`range`, NumPy, text) gets the number, and the condition that it
is this number. `later` calls a function only when the sizes are known.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from collections.abc import Callable

NAME = re.compile(r"\bt\d+\b")


_open: set = set()  # records that are still being written


class Record:
    """What was computed from some sizes, as lines of Python, and the conditions on the way."""

    def __init__(self):
        self.open = True
        _open.add(self)
        self.lines: list[str] = []
        self.known: dict = {}  # (operation, operands): the Size
        self.conditions: dict[str, bool] = {}
        self.functions: list[Callable] = []
        self.names = 0
        self.inputs: list[str] = []

    def close(self) -> None:
        """From now on its sizes are the numbers that they were."""
        self.open = False
        _open.discard(self)

    def input(self, value: int) -> Size:
        """A size that differs from program to program."""
        made = self._named(value)
        self.inputs.append(made.name)
        return made

    def _named(self, value) -> Size:
        self.names += 1
        return Size(self, value, f"t{self.names}")

    def result(self, form: str, value, *operands) -> Size:
        """The size that a line makes; the same line makes the same size."""
        key = (form, *operands)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self._named(value)
            self.lines.append(f"{found.name} = {form.format(*operands)}")
        return found

    def decided(self, condition: str, outcome: bool) -> bool:
        """Note how a condition came out."""
        if condition not in self.conditions:
            self.conditions[condition] = outcome
            self.lines.append(f"if {'not ' if outcome else ''}({condition}): return None")
        return outcome

    def call(self, function: Callable, given: list[Size], made: tuple) -> list[Size]:
        """The sizes that a function of sizes returns (a tuple), when it is called later."""
        found = [self._named(x) for x in made]
        operands = ", ".join(x.name for x in given)
        names = ", ".join(x.name for x in found)
        self.lines.append(f"{names}, = f{len(self.functions)}({operands})")
        self.functions.append(function)
        return found

    def compiled(self, wanted: list[str]) -> Callable:
        """A function of the inputs: the values of `wanted`, or None where a condition does not hold."""
        functions = "".join(f"f{i}, " for i in range(len(self.functions)))
        lines = [f"def make({functions}):", f"    def values({', '.join(self.inputs)}):"]
        lines += ["        " + line for line in self._needed(wanted)]
        lines.append(f"        return ({''.join(name + ', ' for name in wanted)})")
        lines.append("    return values")
        space: dict = {}
        exec(compile("\n".join(lines), "<rushlight sizes>", "exec"), space)
        return space["make"](*self.functions)

    def _needed(self, wanted: list[str]) -> list[str]:
        """The lines that conditions and wanted values depend on."""
        needed, kept = set(wanted), []
        for line in reversed(self.lines):
            names, _, rest = line.partition(" = ")
            if line.startswith("if ") or not needed.isdisjoint(NAME.findall(names)):
                kept.append(line)
                needed.update(NAME.findall(line if line.startswith("if ") else rest))
        return kept[::-1]


class Size:
    """A number that is part of what a program is built from, and may be another one next time."""

    __slots__ = ("record", "value", "name")

    def __init__(self, record: Record, value, name: str):
        self.record, self.value, self.name = record, value, name

    def pinned(self):
        """The number; what is built holds for it only."""
        if self.record.open:
            self.record.decided(f"{self.name} == {self.value!r}", True)
        return self.value

    __index__ = __int__ = pinned

    def __float__(self) -> float:
        return float(self.pinned())

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"~{self.value}"  # (in no language a number)

    def __bool__(self) -> bool:
        return self != 0

    def __neg__(self):
        return 0 - self

    def __abs__(self):
        return self if self >= 0 else 0 - self

    def __pow__(self, other):
        return self.pinned() ** other

    def __divmod__(self, other):
        return self // other, self % other


def plain(x):
    """The number that a size has here, unnoted."""
    return x.value if x.__class__ is Size else x


def is_whole(x) -> bool:
    """Whether `x` is an integer: Python's, NumPy's or a Size."""
    return x.__class__ is Size or hasattr(x, "__index__") and not hasattr(x, "dtype") or (
        getattr(x, "ndim", 1) == 0 and x.dtype.kind in "iu")


def _record_of(*xs) -> Record | None:
    return next((x.record for x in xs if x.__class__ is Size and x.record.open), None)


def _operand(x, record: Record):
    """How an operand is written: a name, or a number."""
    x = x if x.__class__ is not Size else x.name if x.record is record else x.value
    return x if x.__class__ is str else float(x) if isinstance(x, float) else operator.index(x)


NEUTRAL = {"+": 0, "*": 1, "//": 1, "-": 0}


def _arithmetic(sign: str, function: Callable, turned: bool):
    def made(self, other):
        if not isinstance(other, (Size, int, float)) and not hasattr(other, "__index__"):
            return NotImplemented
        pair = (other, self) if turned else (self, other)
        number = function(*map(plain, pair))
        record = _record_of(*pair)
        if record is None:
            return number
        a, b = (_operand(x, record) for x in pair)
        if b.__class__ is int and NEUTRAL.get(sign) == b and isinstance(number, int):
            return pair[0]
        if a.__class__ is int and NEUTRAL.get(sign) == a and sign in "+*":
            return pair[1]
        if sign == "*" and 0 in (a, b) and isinstance(number, int):
            return 0
        if any(isinstance(x, float) and not math.isfinite(x) for x in (a, b)):
            return function(*[x.pinned() if x.__class__ is Size else x for x in pair])
        if sign in "+*" and str(a) > str(b):
            a, b = b, a
        return record.result("({} " + sign + " {})", number, a, b)

    return made


def _comparison(sign: str, function: Callable):
    def made(self, other):
        if not isinstance(other, (Size, int, float)) and not hasattr(other, "__index__"):
            return NotImplemented
        outcome = function(self.value, plain(other))
        record = _record_of(self, other)
        if record is None:
            return outcome
        a, b = _operand(self, record), _operand(other, record)
        return outcome if a == b else record.decided(f"{a} {sign} {b}", outcome)

    return made


for _name, _sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("floordiv", "//"), ("mod", "%"),
                     ("truediv", "/")):
    setattr(Size, f"__{_name}__", _arithmetic(_sign, getattr(operator, _name), False))
    setattr(Size, f"__r{_name}__", _arithmetic(_sign, getattr(operator, _name), True))
for _name, _sign in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
    setattr(Size, f"__{_name}__", _comparison(_sign, getattr(operator, _name)))


# ---------------------------------------------------------------- functions that wait for sizes


def later(function: Callable, *given):
    """`function(*given)`, which depends on nothing but its arguments: called when the sizes are known.

    given, and what it returns: numbers, strings, other hashable things, tuples and dataclasses of such.
    """
    if not _open:
        return function(*given)
    flat = _leaves(given)
    sizes = [x for x in flat if x.__class__ is Size]
    record = _record_of(*sizes)
    if record is None:
        return function(*given)
    key = (function, *[x.name if x.__class__ is Size else x for x in flat])
    made = record.known.get(key)
    if made is None:
        rebuild = _rebuilder(given)

        def call(*numbers):
            return _numbers(function(*rebuild(iter(numbers))))

        returned = function(*rebuild(iter([x.value for x in sizes])))
        made = record.known[key] = _rebuilder(returned, True)(
            iter(record.call(call, sizes, _numbers(returned))))
    return made


def least(*given):
    """`min`, found when the sizes are known."""
    return _extreme("min", min, given)


def most(*given):
    """`max`, found when the sizes are known."""
    return _extreme("max", max, given)


def _extreme(name: str, function: Callable, given):
    record = _record_of(*given)
    number = function(map(plain, given))
    if record is None:
        return number
    form = f"{name}({', '.join(['{}'] * len(given))})"
    return record.result(form, number, *[_operand(x, record) for x in given])


def several(n):
    """Whether there is more than one, found when the sizes are known."""
    return later(operator.gt, n, 1)


class Late:
    """A text with sizes in it, written when somebody reads it."""

    def __init__(self, form: str, given: tuple):
        self.form, self.given = form, given

    def __str__(self) -> str:
        return self.written({})

    def names(self) -> list[str]:
        """The names of the sizes in it."""
        return [n for x in self.given
                for n in (x.names() if isinstance(x, Late) else [x.name] if x.__class__ is Size else ())]

    def written(self, values: dict) -> str:
        """The text for other values of sizes, by their names."""
        return self.form.format(*[
            x.written(values) if isinstance(x, Late) else values.get(x.name, x.value)
            if x.__class__ is Size else x for x in self.given
        ])


def told(form: str, *given):
    """`form.format(*given)` for people: a string, or a `Late` where sizes are not known yet."""
    if _record_of(*given) is None and not any(isinstance(x, Late) for x in given):
        return form.format(*given)
    return Late(form, given)


def _has_size(x) -> bool:
    return any(leaf.__class__ is Size for leaf in _leaves(x, True))


def _fields(x) -> list:
    return [(f.name, getattr(x, f.name)) for f in dataclasses.fields(x)]


def _is_record(x) -> bool:
    return dataclasses.is_dataclass(x) and not isinstance(x, type)


def _leaves(x, whole: bool = False) -> list:
    """What a structure consists of; a dataclass without sizes is one leaf, unless `whole`."""
    if x.__class__ is tuple:
        return [leaf for part in x for leaf in _leaves(part, whole)]
    if _is_record(x) and (whole or _has_size(x)):
        return [leaf for _, part in _fields(x) for leaf in _leaves(part, whole)]
    return [x]


def _numbers(x) -> tuple:
    """The numbers and strings in what a function returned."""
    return tuple([leaf for leaf in _leaves(x, True) if isinstance(leaf, (int, float, str))])


def _rebuilder(like, result: bool = False) -> Callable:
    """A function that puts leaves into a structure: its sizes, or (of a result) all its numbers."""
    if like.__class__ is tuple:
        parts = [_rebuilder(x, result) for x in like]
        return lambda leaves: tuple([part(leaves) for part in parts])
    if _is_record(like) and (result or _has_size(like)):
        kind = type(like)
        fields = [(name, _rebuilder(x, result)) for name, x in _fields(like)]
        return lambda leaves: kind(**{name: part(leaves) for name, part in fields})
    if like.__class__ is Size or (result and isinstance(like, (int, float, str))):
        return next
    return lambda leaves: like
