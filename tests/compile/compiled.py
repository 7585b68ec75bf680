"""For tests: run a function until its program is native, and compare with tier 0."""

from __future__ import annotations

import numpy as np

from rushlight.compile import background, native
from rushlight.interpret import program as tier0_program
from rushlight.trace import array, flush, trie

RUNS = tier0_program.HOT_AFTER + 3


class Watch:
    """The native programs that were built."""

    def __init__(self):
        self.programs = []


def fresh_arena(monkeypatch) -> None:
    """No memory for temporaries until the test's end: then the old block is back, with its address and size."""
    monkeypatch.setattr(native.Arena, "block", np.empty(0, np.uint8))
    monkeypatch.setattr(native.Arena, "address", 0)
    monkeypatch.setattr(native.Arena, "room", 0)


def values_of(made):
    """NumPy copies of a tensor or a nest of them."""
    if isinstance(made, (tuple, list)):
        return [values_of(x) for x in made]
    return None if made is None else np.array(array(made.detach()))


def run(function, mode: str, watch: Watch | None = None):
    """The values of the last of several calls of `function()` in a fresh trie."""
    before = background.MODE, tier0_program.TIER1[0], tier0_program.FAMILY[0]
    trie.forget()
    background.MODE = mode

    def hot(program, scalars):
        count = len(background.failures)
        settled = background.hot(program, scalars)
        if len(background.failures) > count:
            raise background.failures[-1][1]
        if watch is not None and program.native is not None:
            watch.programs.append(program.native)
        return settled

    def first_run(program, scalars):
        background.first_run(program, scalars)
        if watch is not None and program.native is not None:
            watch.programs.append(program.native)

    tier0_program.TIER1[0], tier0_program.FAMILY[0] = hot, first_run
    try:
        for _ in range(RUNS):
            made = values_of(function())
            flush()
        return made
    finally:
        background.MODE, tier0_program.TIER1[0], tier0_program.FAMILY[0] = before
        trie.forget()


def check_native(function, rtol=1e-5, atol=1e-6, fallbacks=()):
    """Compare `function()` compiled and in tier 0; returns the native programs.

    Fails if an operator other than those named in `fallbacks` stayed in tier 0.
    """
    wanted = run(function, "never")
    watch = Watch()
    found = run(function, "now", watch)
    _compare(found, wanted, rtol, atol)
    assert watch.programs, "nothing was compiled"
    left = {s.instructions[0].node.op.name: s.why for p in watch.programs for s in p.in_tier0}
    left = {k: v for k, v in left.items() if k not in fallbacks}
    assert not left, left
    return watch.programs


def _compare(found, wanted, rtol, atol):
    if isinstance(wanted, list):
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            _compare(a, b, rtol, atol)
    elif wanted is not None:
        assert found.dtype == wanted.dtype and found.shape == wanted.shape
        if wanted.dtype.kind in "fc" or wanted.dtype.name == "bfloat16":
            np.testing.assert_allclose(
                found.astype(np.float64), wanted.astype(np.float64), rtol, atol
            )
        else:
            np.testing.assert_array_equal(found, wanted)
