"""Whether compiling in the background shows: the slowest of a program's first steps, with and without a compiler.

    python benchmarks/early.py [SUITE] [--rounds 3] [--steps 100] [--only mlp_mnist dqn ...]

SUITE is the folder of `workloads.py`; without it, ../shared/perf beside this repository. Each round runs a workload once in
each mode, alternating, in processes of their own; kernels are on disk after the first. Shown in milliseconds: the first
step, the slowest of the others and their median (of the rounds' medians); the last column is the slowest step, the first
included, by tier 0's: at most 3 is what we want.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

MODES = {"compiled": "background", "tier 0": "never"}


def child(suite: Path, name: str, steps: int) -> None:
    """Run a workload; print the times of its steps."""
    sys.path.insert(0, str(suite))  # before this folder, which has a file of that name
    import workloads

    import rushlight as torch

    step, times = workloads.WORKLOADS[name](torch), []
    for _ in range(steps):
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    print(json.dumps(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared" / "perf")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", nargs="+", default=["mlp_mnist", "lenet", "lstm_cell", "dqn", "policy_gradient"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args.suite, args.child, args.steps)
    print(f"{'workload':20}{'first':>8}{'slowest':>9}{'median':>8}    tier 0:{'first':>8}{'slowest':>9}{'median':>8}{'ratio':>8}")
    for name in args.only:
        rows: dict[str, list] = {mode: [] for mode in MODES}
        for _ in range(args.rounds):
            for mode, when in MODES.items():
                out = subprocess.run(
                    [sys.executable, __file__, str(args.suite), "--child", name, "--steps", str(args.steps)], check=True, capture_output=True,
                    text=True, env={**os.environ, "RUSHLIGHT_COMPILE": when},
                ).stdout
                times = json.loads(out.splitlines()[-1])
                rows[mode].append((times[0], max(times[1:]), median(times[1:])))
        a, b = ([median(row[i] for row in rows[mode]) for i in range(3)] for mode in MODES)
        print(f"{name:20}{a[0]:8.1f}{a[1]:9.1f}{a[2]:8.2f}           {b[0]:8.1f}{b[1]:9.1f}{b[2]:8.2f}"
              f"{max(a[:2]) / max(b[:2]):8.2f}", flush=True)


if __name__ == "__main__":
    main()
