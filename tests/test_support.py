"""docs/support.md is what docs/support.py writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_table_is_not_stale():
    """In a process of its own: other tests define names and operators."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import support; print(support.text(), end='')"
    made = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(DOCS)], check=True, capture_output=True, text=True).stdout
    assert made == (DOCS / "support.md").read_text(), "run `make support`"
