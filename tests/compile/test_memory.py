"""The memory plan: lives that overlap get memory that does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rushlight.compile import memory

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
