"""Test set-up: a fresh segment for every test, and how far the property tests search.

They try the same 150 examples each time; RUSHLIGHT_FUZZ=3000 tries that many new ones. Hot programs stay in
tier 0, except in the tests of the compiler, so that every run does the same; RUSHLIGHT_COMPILE=now compiles
them in all tests.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("RUSHLIGHT_COMPILE", "never")
FUZZ = os.environ.get("RUSHLIGHT_FUZZ")
settings.register_profile(
    "rushlight", max_examples=int(FUZZ or 150), derandomize=not FUZZ, deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("rushlight")

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def fresh_segment():
    """Nothing that a test left pending may reach the next one."""
    from rushlight.interpret import program
    from rushlight.trace import flush, trie
    from rushlight.trace.segments import set_grad

    program.HOPES[0], program.DOUBT[0] = 0, 1  # what is new runs at once, whatever other tests have made known
    yield
    set_grad(True)
    if trie.EAGER:
        trie.set_eager(False)
    flush()
