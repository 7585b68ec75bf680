"""What a program raises when one of its kernels notes a wrong value: the operator's own exception.

What the operator needs is computed again in tier 0, from the program's inputs, until its reference fails.
"""

from __future__ import annotations

from ..interpret import program as tier0_program


def fail(program, suspects, bufs, scalars) -> None:
    """Raise the first exception that the references of the instructions `suspects` raise."""
    values: dict = {}
    at = max(program.instructions.index(i) for i in suspects)
    for i in _needed(program, at):
        try:
            _run(i, values, bufs, scalars)
        except Exception as e:
            e.rushlight_failure = (values, i.node)
            raise
    e = IndexError("index out of range in self")  # (the values have changed since)
    e.rushlight_failure = (values, suspects[0].node)
    raise e


def _needed(program, at: int) -> list:
    """The instructions up to number `at` that it and the program's results before it depend on.

    Writes into memory from outside have been done, and are not among them.
    """
    needed, roots, kept = set(), set(), []
    for n in (*program.wanted, *program.saved):
        needed.add(n)
        roots.add(n.root)
    for k in reversed(range(at + 1)):
        i = program.instructions[k]
        n = i.node
        if i.kind in ("write", "mutate"):
            keep = any(x.root in roots and x.root.op.name != "leaf" for x in n.ins)
        else:
            keep = k == at or any(o in needed for o in tier0_program.outputs(n))
        if keep or n in needed:
            kept.append(i)
            for x in n.ins:
                needed.add(x)
                roots.add(x.root)
                if x.op.name == "get":
                    needed.add(x.ins[0])
    return kept[::-1]


def _run(i, values, bufs, scalars) -> None:
    places = values, bufs, scalars
    args = [tier0_program._fetch(a, places) for a in i.args]
    outside = i.node.ins and i.node.ins[0].root.op.name == "leaf"
    if i.kind == "write" and outside:
        values[i.node] = args[0]
    elif i.kind != "mutate" or not outside:
        tier0_program.run_instruction(i, args, values)
