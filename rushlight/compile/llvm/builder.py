"""Writes LLVM IR as text: one `Function` at a time, values are names (`%v7`) or literals.

Control flow is structured: `loop` and `branch` take Python functions that write the bodies, and hand on
values in SSA form, so that no memory is needed for variables. Integers that are known while writing
are folded (`add`, `mul` and the like accept Python ints).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence

Operand = str | int  # the name of a value, or a known integer


def float_literal(x: float, type: str = "float") -> str:
    """A floating constant as LLVM writes it: the bits of the double nearest to it in `type`."""
    if type == "float":
        x = _to_float32(x)
    return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"


def _to_float32(x: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")


def vector(type: str, lanes: int) -> str:
    """The type of `lanes` values; one lane is a plain scalar."""
    return type if lanes == 1 else f"<{lanes} x {type}>"


def splat_literal(type: str, lanes: int, literal: str) -> str:
    """A constant in every lane."""
    if lanes == 1:
        return literal
    return f"<{', '.join(f'{type} {literal}' for _ in range(lanes))}>"


WHILE_WRITING: list = []  # functions that are called again and again while text is written


class Function:
    """One LLVM function in the making."""

    def __init__(
        self,
        name: str,
        parameters: Sequence[tuple[str, str]],
        returns: str = "void",
        *,
        internal: bool = False,
        inline: bool | None = None,
    ):
        self.name, self.parameters, self.returns = name, parameters, returns
        self.linkage = "internal " if internal else ""
        self.attributes = {None: "", True: " alwaysinline", False: " noinline"}[inline]
        self.lines: list[str] = []
        self.block = "entry"
        self.declarations: set[str] = set()
        self._count = self._labels = 0
        for f in WHILE_WRITING:
            f()

    # ------------------------------------------------------------ statements

    def name_value(self) -> str:
        """A fresh value name."""
        self._count += 1
        return f"%v{self._count}"

    def op(self, expression: str) -> str:
        """Write `%v = expression`; returns the name."""
        name = self.name_value()
        self.lines.append(f"  {name} = {expression}")
        return name

    def do(self, statement: str) -> None:
        """Write a statement without a result."""
        self.lines.append("  " + statement)

    def declare(self, declaration: str) -> None:
        """Ask for an external declaration (`declare ...`) in the module."""
        self.declarations.add(declaration)

    def intrinsic(self, name: str, returns: str, *arguments: tuple[str, str], flags: str = "") -> str:
        """Call an LLVM intrinsic (or any external function), declaring it; returns its result."""
        types = ", ".join(t for t, _ in arguments)
        self.declare(f"declare {returns} @{name}({types})")
        given = ", ".join(f"{t} {v}" for t, v in arguments)
        call = f"call {flags + ' ' if flags else ''}{returns} @{name}({given})"
        if returns == "void":
            self.do(call)
            return ""
        return self.op(call)

    # ------------------------------------------------------------ control flow

    def label(self) -> str:
        """A fresh label."""
        self._labels += 1
        return f"L{self._labels}"

    def place(self, label: str) -> None:
        """Start the block `label` here."""
        self.lines.append(f"{label}:")
        self.block = label

    def loop(
        self,
        low: Operand,
        high: Operand,
        step: Operand,
        body: Callable,
        carry: Sequence[tuple[str, str]] = (),
        at_least_once: bool = False,
    ) -> list[str]:
        """`for i in range(low, high, step)`: body(i, *values) returns the next values.

        carry: (type, initial value) of each value that goes from one turn to the next. Returns the
        values after the last turn. at_least_once: the caller knows that low < high.
        """
        head, leave = self.label(), self.label()
        before = self.block
        guarded = not at_least_once and not (
            isinstance(low, int) and isinstance(high, int) and low < high
        )
        if guarded:
            more = self.compare("slt", low, high)
            self.do(f"br i1 {more}, label %{head}, label %{leave}")
        else:
            self.do(f"br label %{head}")
        self.place(head)
        i = self.name_value()
        held = [self.name_value() for _ in carry]
        at = len(self.lines)
        made = list(body(i, *held) or ())
        after = self.add(i, step)
        more = self.compare("slt", after, high)
        last = self.block
        phis = [f"  {i} = phi i64 [{low}, %{before}], [{after}, %{last}]"]
        for (type, start), name, value in zip(carry, held, made, strict=True):
            phis.append(f"  {name} = phi {type} [{start}, %{before}], [{value}, %{last}]")
        self.lines[at:at] = phis
        self.do(f"br i1 {more}, label %{head}, label %{leave}")
        self.place(leave)
        if not guarded:
            return made
        return [
            self.op(f"phi {type} [{start}, %{before}], [{value}, %{last}]")
            for (type, start), value in zip(carry, made, strict=True)
        ]

    def repeat(self, carry: Sequence[tuple[str, str]], body: Callable) -> list[str]:
        """`body(*values)` returns (whether to go on, the next values), until it does not.

        carry: (type, initial value). Returns the last values.
        """
        head, leave = self.label(), self.label()
        before = self.block
        self.do(f"br label %{head}")
        self.place(head)
        held = [self.name_value() for _ in carry]
        at = len(self.lines)
        more, made = body(*held)
        phis = [f"  {name} = phi {type} [{start}, %{before}], [{value}, %{self.block}]"
                for (type, start), name, value in zip(carry, held, made, strict=True)]
        self.lines[at:at] = phis
        self.do(f"br i1 {more}, label %{head}, label %{leave}")
        self.place(leave)
        return list(made)

    def branch(
        self, condition: str, then: Callable, otherwise: Callable | None = None,
        types: Sequence[str] = (),
    ) -> list[str]:
        """`if condition: then() else: otherwise()`; each returns values of `types`, as does this."""
        yes, no, leave = self.label(), self.label(), self.label()
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")
        self.place(yes)
        a, from_a = list(then() or ()), self.block
        self.do(f"br label %{leave}")
        self.place(no)
        b, from_b = list(otherwise() or ()) if otherwise else [], self.block
        self.do(f"br label %{leave}")
        self.place(leave)
        return [
            self.op(f"phi {t} [{x}, %{from_a}], [{y}, %{from_b}]")
            for t, x, y in zip(types, a, b, strict=True)
        ]

    # ------------------------------------------------------------ 64-bit integers

    def add(self, a: Operand, b: Operand) -> Operand:
        """a + b."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0:
            return b
        return a if b == 0 else self.op(f"add nsw i64 {a}, {b}")

    def sub(self, a: Operand, b: Operand) -> Operand:
        """a - b."""
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self.op(f"sub nsw i64 {a}, {b}")

    def mul(self, a: Operand, b: Operand) -> Operand:
        """a * b."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 1:
            return b
        if b == 1:
            return a
        if a == 0 or b == 0:
            return 0
        return self.op(f"mul nsw i64 {a}, {b}")

    def div(self, a: Operand, b: Operand) -> Operand:
        """a // b of numbers that are not negative."""
        if isinstance(a, int) and isinstance(b, int):
            return a // b
        return a if b == 1 else self.op(f"udiv i64 {a}, {b}")

    def rem(self, a: Operand, b: Operand) -> Operand:
        """a % b of numbers that are not negative."""
        if isinstance(a, int) and isinstance(b, int):
            return a % b
        return 0 if b == 1 else self.op(f"urem i64 {a}, {b}")

    def minimum(self, a: Operand, b: Operand) -> Operand:
        """The smaller of two signed integers."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        return self.intrinsic("llvm.smin.i64", "i64", ("i64", str(a)), ("i64", str(b)))

    def maximum(self, a: Operand, b: Operand) -> Operand:
        """The larger of two signed integers."""
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        return self.intrinsic("llvm.smax.i64", "i64", ("i64", str(a)), ("i64", str(b)))

    def compare(self, how: str, a: Operand, b: Operand) -> str:
        """An i1: `how` is slt, sle, eq, ne, ..."""
        return self.op(f"icmp {how} i64 {a}, {b}")

    # ------------------------------------------------------------ memory

    def at(self, pointer: str, offset: Operand, type: str = "i8") -> str:
        """The address of element `offset` of an array of `type`."""
        if offset == 0:
            return pointer
        return self.op(f"getelementptr inbounds {type}, ptr {pointer}, i64 {offset}")

    def load(self, type: str, pointer: str, align: int = 1) -> str:
        """Read a value."""
        return self.op(f"load {type}, ptr {pointer}, align {align}")

    def store(self, type: str, value: str, pointer: str, align: int = 1) -> None:
        """Write a value."""
        self.do(f"store {type} {value}, ptr {pointer}, align {align}")

    def argument(self, block: str, index: int, type: str = "i64") -> str:
        """Word `index` of a block of 8-byte words, as `type`."""
        return self.load(type, self.at(block, index, "i64"), 8)

    # ------------------------------------------------------------ vectors

    def splat(self, type: str, lanes: int, value: str) -> str:
        """A scalar in every lane."""
        if lanes == 1:
            return value
        v = vector(type, lanes)
        one = self.op(f"insertelement {v} poison, {type} {value}, i64 0")
        zeros = f"<{lanes} x i32> zeroinitializer"
        return self.op(f"shufflevector {v} {one}, {v} poison, {zeros}")

    def text(self, exported: bool = False) -> str:
        """The function's IR; its declarations are in `declarations`."""
        given = ", ".join(f"{t} %{n}" for t, n in self.parameters)
        body = "\n".join(self.lines)
        return (
            f"define {'' if exported else self.linkage}{self.returns} @{self.name}({given}) nounwind"
            f"{self.attributes} {{\nentry:\n{body}\n}}\n"
        )

    def declaration(self) -> str:
        """For modules that call it."""
        return f"declare {self.returns} @{self.name}({', '.join(t for t, _ in self.parameters)})"


class Library:
    """Functions that several modules call, as a module of its own: it is compiled, and loaded, once.

    exported: those that others call; by default all.
    """

    known: dict[str, Library] = {}  # by name, which says what is in it

    def __init__(self, name: str, functions: Sequence[Function], exported: Sequence[str] | None = None):
        self.exported = tuple([f.name for f in functions] if exported is None else exported)
        self.text = _module(functions, "", self.exported)
        self.name = f"{name}_{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"
        self.declarations = [f.declaration() for f in functions if f.name in self.exported]
        self.known[self.name] = self


def module(functions: Sequence[Function | Library], extra: str = "") -> str:
    """The text of a module: names of libraries, declarations that its functions do not define, then the functions."""
    libraries = [f for f in functions if isinstance(f, Library)]
    head = "".join([f"{WITH}{x.name}\n" for x in libraries])
    outside = "\n".join([d for x in libraries for d in x.declarations])
    return head + _module([f for f in functions if isinstance(f, Function)], outside + "\n" + extra)


WITH = "; with "  # the beginning of a module's text: the name of a library that it calls


def libraries_of(text: str) -> list[Library]:
    """The libraries of a module."""
    found = []
    for line in text.splitlines() if text.startswith(WITH) else ():
        if not line.startswith(WITH):
            break
        found.append(Library.known[line[len(WITH):]])
    return found


def _module(functions: Sequence[Function], extra: str = "", exported: Sequence[str] = ()) -> str:
    defined = {f.name for f in functions}
    wanted = sorted({d for f in functions for d in f.declarations})
    kept = [d for d in wanted if d.split("@", 1)[1].split("(", 1)[0] not in defined]
    return "\n".join([*kept, extra, *[f.text(f.name in exported) for f in functions]])
