"""What is in the arena when it is fullest."""

from __future__ import annotations

from compile.compiled import check_native

import rushlight as torch
from rushlight.compile import layout


def test_values_at_the_peak():
    x = torch.rand(64, 64)

    def f():
        a = x.cumsum(0)
        return a.cumsum(1).cumsum(0).sum()

    (program,) = check_native(f, rtol=1e-4)
    found = layout.at_peak(program)
    assert 0 < sum(n for _, _, n in found) <= program.arena
    names = [node.op.name for node, what, _ in found if not what]
    assert names.count("cumsum") == 2, found
    assert all(n == 64 * 64 * 4 for node, what, n in found if not what)
