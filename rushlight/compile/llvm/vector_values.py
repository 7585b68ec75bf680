"""Vector arithmetic that reads as formulas: `Value` wraps a name of a `builder.Function`.

Python numbers among the operands become constants in every lane. Nothing here reassociates or
assumes that there are no NaNs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .builder import Function, float_literal, splat_literal, vector

INTEGER = {"float": "i32", "double": "i64"}


@dataclass(frozen=True, eq=False)
class Value:
    """`lanes` values of `type` (float, double, i1, i16, i32, i64) in the function `f`."""

    f: Function
    type: str
    lanes: int
    name: str

    @property
    def is_float(self) -> bool:
        return self.type in ("float", "double", "half")

    @property
    def vector(self) -> str:
        """The LLVM type."""
        return vector(self.type, self.lanes)

    def of(self, expression: str, type: str | None = None) -> Value:
        """The result of an instruction, of this type or another."""
        return Value(self.f, type or self.type, self.lanes, self.f.op(expression))

    def constant(self, x: float | Value) -> Value:
        """A number of this type in every lane; a Value stays."""
        if isinstance(x, Value):
            return x
        literal = float_literal(x, self.type) if self.is_float else str(x)
        return Value(self.f, self.type, self.lanes, splat_literal(self.type, self.lanes, literal))

    def _binary(self, instruction: str, other: float | Value, swapped: bool = False) -> Value:
        a, b = (self.constant(other), self) if swapped else (self, self.constant(other))
        return self.of(f"{instruction} {self.vector} {a.name}, {b.name}")

    def _arithmetic(self, name: str, other: float | Value, swapped: bool = False) -> Value:
        return self._binary(("f" if self.is_float else "") + name, other, swapped)

    def __add__(self, other: float | Value) -> Value:
        return self._arithmetic("add", other)

    def __radd__(self, other: float) -> Value:
        return self._arithmetic("add", other, True)

    def __sub__(self, other: float | Value) -> Value:
        return self._arithmetic("sub", other)

    def __rsub__(self, other: float) -> Value:
        return self._arithmetic("sub", other, True)

    def __mul__(self, other: float | Value) -> Value:
        return self._arithmetic("mul", other)

    def __rmul__(self, other: float) -> Value:
        return self._arithmetic("mul", other, True)

    def __truediv__(self, other: float | Value) -> Value:
        return self._binary("fdiv", other)

    def __rtruediv__(self, other: float) -> Value:
        return self._binary("fdiv", other, True)

    def __neg__(self) -> Value:
        return self.of(f"fneg {self.vector} {self.name}")

    def __and__(self, other: int | Value) -> Value:
        return self._binary("and", other)

    def __or__(self, other: int | Value) -> Value:
        return self._binary("or", other)

    def __xor__(self, other: int | Value) -> Value:
        return self._binary("xor", other)

    def __invert__(self) -> Value:
        return self ^ (1 if self.type == "i1" else -1)

    def __lshift__(self, count: int | Value) -> Value:
        return self._binary("shl", count)

    def __rshift__(self, count: int | Value) -> Value:
        """Keeps the sign."""
        return self._binary("ashr", count)

    def shift_in_zeros(self, count: int | Value) -> Value:
        """A shift to the right that does not keep the sign."""
        return self._binary("lshr", count)

    def compare(self, how: str, other: float | Value) -> Value:
        """LLVM's predicates: ogt, une, ... of floats; slt, uge, ... of integers."""
        instruction = "fcmp" if self.is_float else "icmp"
        b = self.constant(other)
        return self.of(f"{instruction} {how} {self.vector} {self.name}, {b.name}", "i1")

    def __lt__(self, other: float | Value) -> Value:
        return self.compare("olt" if self.is_float else "slt", other)

    def __le__(self, other: float | Value) -> Value:
        return self.compare("ole" if self.is_float else "sle", other)

    def __gt__(self, other: float | Value) -> Value:
        return self.compare("ogt" if self.is_float else "sgt", other)

    def __ge__(self, other: float | Value) -> Value:
        return self.compare("oge" if self.is_float else "sge", other)

    def equals(self, other: float | Value) -> Value:
        """False for NaN."""
        return self.compare("oeq" if self.is_float else "eq", other)

    def is_nan(self) -> Value:
        """Whether it is not a number."""
        return self.compare("uno", self)

    def where(self, condition: Value, otherwise: float | Value) -> Value:
        """This where the condition holds."""
        b = self.constant(otherwise)
        v = self.vector
        return self.of(f"select {condition.vector} {condition.name}, {v} {self.name}, {v} {b.name}")

    def convert(self, instruction: str, type: str) -> Value:
        """fpext, fptrunc, sitofp, bitcast, ... to `type`."""
        return self.of(f"{instruction} {self.vector} {self.name} to {vector(type, self.lanes)}", type)

    def bits(self) -> Value:
        """A float's bits as an integer."""
        return self.convert("bitcast", INTEGER[self.type])

    def as_float(self) -> Value:
        """The number with these bits."""
        return self.convert("bitcast", "float" if self.type == "i32" else "double")

    def call(self, name: str, *others: float | Value) -> Value:
        """The LLVM intrinsic `llvm.<name>` of this type."""
        suffix = {"float": "f32", "double": "f64"}.get(self.type, self.type)
        suffix = suffix if self.lanes == 1 else f"v{self.lanes}{suffix}"
        given = [(self.vector, self.constant(x).name) for x in (self, *others)]
        made = self.f.intrinsic(f"llvm.{name}.{suffix}", self.vector, *given)
        return Value(self.f, self.type, self.lanes, made)

    def absolute(self) -> Value:
        """Without its sign."""
        return self.call("fabs")

    def with_sign_of(self, other: Value) -> Value:
        """This magnitude with the other's sign bit."""
        return self.call("copysign", other)

    def round(self) -> Value:
        """To an integer, halves to even."""
        return self.call("roundeven")

    def at_least(self, bound: float) -> Value:
        """The larger; NaN stays."""
        return self.constant(bound).where(self < bound, self)

    def at_most(self, bound: float) -> Value:
        """The smaller; NaN stays."""
        return self.constant(bound).where(self > bound, self)

    def any(self) -> str:
        """An i1: whether a condition holds in some lane."""
        if self.lanes == 1:
            return self.name
        reduce = f"llvm.vector.reduce.or.v{self.lanes}i1"
        return self.f.intrinsic(reduce, "i1", (self.vector, self.name))


def fma(a: Value, b: float | Value, c: float | Value) -> Value:
    """a*b + c, rounded once where the processor has it, else twice."""
    return a.call("fmuladd", b, c)


def fma_once(a: Value, b: float | Value, c: float | Value) -> Value:
    """a*b + c, rounded once everywhere (slow without hardware)."""
    return a.call("fma", b, c)


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 x + c2 x**2 + ..., by Horner's rule."""
    result = x.constant(coefficients[-1])
    for c in coefficients[-2::-1]:
        result = fma(result, x, c)
    return result


def rarely(
    condition: Value, special: Callable[[], Sequence[Value]], ordinary: Sequence[Value]
) -> list[Value]:
    """`special()` if the condition holds in any lane, else `ordinary`: one predictable jump."""
    made = condition.f.branch(
        condition.any(),
        lambda: [v.name for v in special()],
        lambda: [v.name for v in ordinary],
        [v.vector for v in ordinary],
    )
    return [Value(v.f, v.type, v.lanes, n) for v, n in zip(ordinary, made, strict=True)]


def lane_by_lane(
    inputs: Sequence[Value], like: Sequence[Value], scalar: Callable[..., Sequence[Value]]
) -> list[Value]:
    """`scalar` of each lane's inputs, in a loop; the results have the types of `like`."""
    f, lanes = inputs[0].f, inputs[0].lanes
    if lanes == 1:
        return list(scalar(*inputs))

    def lane(i: str, *held: str) -> list[str]:
        one = [
            Value(f, v.type, 1, f.op(f"extractelement {v.vector} {v.name}, i64 {i}"))
            for v in inputs
        ]
        return [
            f.op(f"insertelement {v.vector} {h}, {s.type} {s.name}, i64 {i}")
            for h, v, s in zip(held, like, scalar(*one), strict=True)
        ]

    names = f.loop(0, lanes, 1, lane, [(v.vector, v.name) for v in like])
    return [Value(f, v.type, v.lanes, n) for v, n in zip(like, names, strict=True)]
