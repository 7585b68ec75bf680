"""A few seconds of `benchmarks/soak.py`: random programs with caches forced small."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_random_programs_with_small_caches():
    run = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", SOAK, "--programs", "15", "--seed", "7"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        told, errors = run.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGABRT)  # it prints where its threads are
        told, errors = run.communicate()
    assert run.returncode == 0, told + errors[-5000:]
    assert "15 programs from seed 7: 0 differ" in told
