"""Test set-up: PyTorch and Rushlight with as many threads, and a fresh segment for every test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def fresh_segment():
    """Nothing that a test left pending may reach the next one."""
    from rushlight.trace import flush, trie
    from rushlight.trace.segments import set_grad

    yield
    set_grad(True)
    if trie.EAGER:
        trie.set_eager(False)
    flush()
