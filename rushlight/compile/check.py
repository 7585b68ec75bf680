"""RUSHLIGHT_CHECK=1: every kernel is compared with tier 0, and the first that differs is named.

A checked program keeps all results of its instructions as arrays. Before each run, tier 0 computes the
same from copies of the inputs; afterwards the results are compared in the order of the program.
"""

from __future__ import annotations

import numpy as np

from ..interpret import program as tier0_program
from ..interpret import tier0
from . import native


class KernelMismatch(AssertionError):
    """A kernel's result differs from tier 0's."""


TOLERANCE = {"float64": 1e-6, "float32": 2e-3, "float16": 2e-2, "bfloat16": 6e-2}  # of the largest


def checked(program, scalars):
    """The native form of a program as a function, with the comparison around it."""
    written = {i.node.ins[0].root for i in program.instructions if i.kind == "write"}
    results = {*program.wanted, *program.saved}
    nodes = [
        n for i in program.instructions if i.kind == "call" and not i.node.op.view
        for n in tier0_program.outputs(i.node)
        if n not in results and n.root not in written and not n.m.weak
    ]
    made = native.build(program, scalars, nodes)
    count = len(program.wanted) + len(program.saved)

    def run(bufs, scalars, consts):
        copies = [np.array(b) if isinstance(b, np.ndarray) else b for b in bufs]
        expected = _tier0(program, copies, tier0_program.aside(scalars))
        found = made.function(bufs, scalars, consts)
        with np.errstate(all="ignore"):
            for node, a in zip(nodes, found[count:], strict=True):
                _compare(program, node, a, expected.get(node))
            for node, a in zip((*program.wanted, *program.saved), found, strict=False):
                _compare(program, node, a, expected.get(node))
            for at, (a, b) in enumerate(zip(bufs, copies, strict=True)):
                if isinstance(a, np.ndarray):
                    _compare(program, f"input {at}", a, b)
        return found[:count]

    program.native = made
    return run


def _tier0(program, bufs, scalars) -> dict:
    """Copies of all results: of what is overwritten later as it is in the end, of others as they were made."""
    values: dict = {}
    places = values, bufs, scalars
    kept = {}
    token = tier0.silence(tier0.QUIET)
    try:
        for i in program.instructions:
            args = [tier0_program._fetch(a, places) for a in i.args]
            tier0_program.run_instruction(i, args, values)
            for n in tier0_program.outputs(i.node):
                if n in values and i.kind == "call" and not n.m.weak:
                    kept[n] = np.array(values[n])
        for n in (*program.wanted, *program.saved):
            if n in values and n in kept:
                kept[n] = values[n]
    finally:
        tier0.restore(token)
    return kept


def _compare(program, node, found, expected) -> None:
    if expected is None or not isinstance(found, np.ndarray):
        return
    a, b = np.asarray(found), np.asarray(expected)
    if a.dtype.kind in "biu":
        same = np.array_equal(a, b)
    else:
        a, b = a.astype(np.float64), b.astype(np.float64)
        finite = b[np.isfinite(b)]
        scale = np.abs(finite).max() if finite.size else 1.0
        rtol = TOLERANCE.get(str(found.dtype), 1e-6)
        same = np.allclose(a, b, rtol, rtol * max(scale, 1e-30), equal_nan=True)
    if same:
        return
    where = "" if isinstance(node, str) else _recorded(node)
    with np.errstate(all="ignore"):
        worst = np.nanmax(np.abs(a - b)) if a.size and a.dtype.kind == "f" else "-"
    raise KernelMismatch(
        f"{node}: the kernel's result differs from tier 0's (largest difference {worst}){where}\n"
        f"kernel: {a.reshape(-1)[:8]} ...\ntier 0: {b.reshape(-1)[:8]} ...\nin {program}"
    )


def _recorded(node) -> str:
    if node.site is None:
        return ""
    code, at = node.site
    line = next((n for start, end, n in code.co_lines() if n and start <= at < end),
                code.co_firstlineno)
    return f", recorded at {code.co_filename}:{line}"
