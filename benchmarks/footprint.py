"""Time to import, memory after it, and size on disk with dependencies, against PyTorch.

    python benchmarks/footprint.py ENVIRONMENT_WITH_RUSHLIGHT ENVIRONMENT_WITH_TORCH

Each environment is a virtual environment in which nothing but the package was installed. Imports
run in alternating fresh processes, byte code cached; the first pair is not counted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PROBE = """
import json, resource, sys, time
begin = time.perf_counter()
__import__(sys.argv[1])
took = time.perf_counter() - begin
print(json.dumps([took * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
TOOLS = ("pip", "setuptools", "wheel", "_distutils_hack", "distutils-precedence")


def probe(environment: str, module: str) -> list[float]:
    """Milliseconds and megabytes of one import."""
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [os.path.join(environment, "bin", "python"), "-c", PROBE, module]
    return json.loads(subprocess.check_output(command, env=variables, cwd="/"))


def size(environment: str) -> float:
    """Megabytes of what is installed there, without pip and its like."""
    site = next(Path(environment).glob("lib/python*/site-packages"))
    files = (
        f for entry in site.iterdir() if not entry.name.startswith(TOOLS)
        for f in ([entry] if entry.is_file() else entry.rglob("*"))
    )
    return sum(f.lstat().st_blocks * 512 for f in files if f.is_file()) / 2**20


def main() -> None:
    ours, theirs = sys.argv[1:3]
    rows = [(probe(ours, "rushlight"), probe(theirs, "torch")) for _ in range(12)][1:]
    print(f"{'':12}{'import ms':>12}{'memory MB':>12}{'on disk MB':>12}")
    for name, i, where in (("rushlight", 0, ours), ("torch", 1, theirs)):
        ms, mb = (statistics.median(r[i][k] for r in rows) for k in (0, 1))
        print(f"{name:12}{ms:12.0f}{mb:12.0f}{size(where):12.0f}")
    ratios = [statistics.median(a[k] / b[k] for a, b in rows) for k in (0, 1)]
    print(f"{'ratio':12}{ratios[0]:12.3f}{ratios[1]:12.3f}{size(ours) / size(theirs):12.3f}")


if __name__ == "__main__":
    main()
