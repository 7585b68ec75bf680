"""Loop nests as text that reads like the loops they are."""

from __future__ import annotations

from .nests import Access, Nest, Node, ready

SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "less": "<",
         "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
         "bitwise_and": "&", "bitwise_or": "|", "logical_and": "and", "logical_or": "or"}


class _Printer:
    def __init__(self, nest: Nest):
        self.nest = nest
        self.names: dict[Node, str] = {}
        self.memory: dict = {}
        self.uses: dict[Node, int] = {}
        for n in nest.nodes:
            for x in n.ins:
                self.uses[x] = self.uses.get(x, 0) + 1
        outer = [f"i{j}" for j in range(len(nest.outer))]
        self.indices = [*outer, *[f"j{j}" for j in range(len(nest.inner))]]

    def text(self) -> str:
        nest = self.nest
        lines = [f"for {i} in range({n}):" for i, n in zip(self.indices, nest.outer, strict=False)]
        lines = ["    " * d + line for d, line in enumerate(lines)]
        self.depth = len(lines)
        for stage in range(nest.stages):
            self._stage(stage, lines)
        return "\n".join(lines)

    def _stage(self, stage: int, lines: list[str]) -> None:
        nest = self.nest
        outputs = [o for o in nest.outputs if ready(o.node) == stage]
        checks = [n for n in nest.checks if ready(n) == stage]
        reduces = [n for n in nest.nodes if n.op == "reduce" and n.stage == stage]
        body: list[str] = []
        for n in reduces:
            name = self.names[n] = f"{n.attr}{len(self.names)}"
            body.append(f"{name} = {n.attr}({name}, {self._value(n.ins[0], body)})")
        for o in outputs:
            x = self._value(o.node, body)
            where = self._place(o.access)
            body.append(f"{where} = {o.partial}({where}, {x})" if o.partial else f"{where} = {x}")
        for n in checks:
            body.append(f"fail if {self._value(n, body)}")
        if not body:
            return
        depth = self.depth
        for j, n in enumerate(nest.inner):
            lines.append("    " * depth + f"for {self.indices[len(nest.outer) + j]} in range({n}):")
            depth += 1
        lines += ["    " * depth + line for line in body]

    def _value(self, n: Node, body: list[str]) -> str:
        """An expression; values that are used more than once get a name first."""
        if n in self.names:
            return self.names[n]
        made = self._expression(n, body)
        if self.uses.get(n, 0) > 1 and n.op not in ("const", "scalar", "index"):
            name = self.names[n] = f"t{len(self.names)}"
            body.append(f"{name} = {made}")
            return name
        return made

    def _expression(self, n: Node, body: list[str]) -> str:
        if n.op in ("load", "take") and n in self.nest.accesses:
            where = self._place(self.nest.accesses[n])
            at = ", ".join(self._value(x, body) for x in n.ins)
            return f"{where} at ({at})" if at else where
        if n.op == "const":
            return repr(n.attr)
        if n.op == "scalar":
            return f"number{n.attr}"
        if n.op == "index":
            return next(i for i, dims in zip(self.indices, self.nest.order, strict=True)
                        if n.attr in dims)
        given = [self._value(x, body) for x in n.ins]
        if n.op in SIGNS and len(given) == 2:
            return f"({given[0]} {SIGNS[n.op]} {given[1]})"
        name = n.dtype.name if n.op == "cast" else n.op
        return f"{name}({', '.join(given)})"

    def _place(self, access: Access) -> str:
        name = self.memory.setdefault(
            (id(access.view.root), access.view.offset), f"{'abcdefghijklmnopqrstuvwxyz'[len(self.memory) % 26]}"
            f"{len(self.memory) // 26 or ''}")
        size = access.view.dtype.itemsize
        walked = [f"{i}*{s // size}" if s != size else i
                  for i, s in zip(self.indices, access.strides, strict=True) if s]
        return f"{name}[{' + '.join(walked) or '0'}]"


def loops(nest: Nest) -> str:
    """The loops of a nest, with its sizes and strides (in elements) of this call.

    In a form that programs of several sizes share, ~n marks what was n when it was planned.
    """
    return _Printer(nest).text()
