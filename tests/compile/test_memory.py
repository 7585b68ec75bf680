"""The memory plan: lives that overlap get memory that does not."""

from __future__ import annotations

from compile.compiled import check_native, fresh_arena
from hypothesis import given
from hypothesis import strategies as st

import rushlight as torch
from rushlight.compile import background, memory
from rushlight.compile.native import Arena
from rushlight.trace import flush

life = st.tuples(st.integers(0, 20), st.integers(0, 6), st.integers(0, 500))


@given(st.lists(life, max_size=40))
def test_no_two_live_buffers_share_memory(drawn):
    lives = [(first, first + length, nbytes) for first, length, nbytes in drawn]
    offsets, size = memory.place(lives)
    for i, (first, last, nbytes) in enumerate(lives):
        assert offsets[i] % memory.ALIGNMENT == 0 and offsets[i] + nbytes <= size
        for j in range(i):
            a, b, other = lives[j]
            if first <= b and a <= last:
                apart = offsets[i] + nbytes <= offsets[j] or offsets[j] + other <= offsets[i]
                assert apart or not nbytes or not other


def test_a_chain_needs_two_buffers():
    lives = [(i, i + 1, 1024) for i in range(100)]
    assert memory.place(lives)[1] == 2048


def test_the_arena_holds_what_was_reserved(monkeypatch):
    """Also where its slack is just used up: its first aligned byte is not the block's first one."""
    fresh_arena(monkeypatch)
    for size in (1000, 1000 + 4000, 5096, 5096 + 4096, 9192 + 4096, 100, 30_000):
        for nbytes in range(size, size + 64, 8):
            address = Arena.reserve(nbytes)
            end = Arena.block.ctypes.data + Arena.block.nbytes
            assert address % 64 == 0 and address + nbytes <= end and nbytes <= Arena.room


def test_views_of_results_are_made_in_one_step(monkeypatch):
    """Views of views, turned, cut, with steps and repeated: where tier 0 has them, in their base's memory."""
    x = torch.arange(48.0).reshape(4, 12)

    def function():
        y = x * 2.0
        turned = y.view(4, 3, 4).transpose(0, 2)
        return y, turned, turned[1:, ::2], y[:, 5:6].expand(4, 7), y.t()[3], y[2:2], y.view(torch.int32)[0]

    program = check_native(function)[0]
    assert program.source.count("= view(") == 4, program.source
    monkeypatch.setattr(background, "MODE", "now")
    for _ in range(8):
        y, *views = function()
        flush()  # now they are arrays
        y.zero_()
        assert not any([v.any().item() for v in views])
