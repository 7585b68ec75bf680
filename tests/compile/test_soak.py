"""A few seconds of `benchmarks/soak.py`: random programs with caches forced small."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_random_programs_with_small_caches():
    told = subprocess.run([sys.executable, SOAK, "--programs", "15", "--seed", "7"], text=True,
                          capture_output=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert told.returncode == 0, told.stdout + told.stderr[-3000:]
    assert "15 programs from seed 7: 0 differ" in told.stdout
