"""Ten training loops in PyTorch and in Rushlight from the same seed: curves, quality, time.

    python benchmarks/training.py [--steps 400] [--out folder] [NAME ...]

Prints a table: the largest relative difference of the first 50 losses, the mean of the last 20, the
quality on held-out data, and seconds (in one alternating run). --out: a picture of each pair of curves.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "training"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out")
    parser.add_argument("--size", default="full")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    import loops
    import torch

    import rushlight

    warnings.simplefilter("ignore")
    print("| loop | first 50 steps | last losses | quality | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for name, (_, _, measure, _) in loops.LOOPS.items():
        if given.names and not any(n.lower() in name.lower() for n in given.names):
            continue
        made = {}
        for framework in (torch, rushlight):
            start = time.perf_counter()
            losses, quality = loops.run(framework, name, given.steps, given.size)
            made[framework.__name__] = losses, quality, time.perf_counter() - start
        (a, qa, ta), (b, qb, tb) = made["torch"], made["rushlight"]
        first = 50 * max(len(a) // given.steps, 1)
        print(f"| {name} | {loops.deviation(b[:first], a[:first]):.1e} | {np.mean(a[-20:]):.4f}, "
              f"{np.mean(b[-20:]):.4f} | {measure} {qa:.3f}, {qb:.3f} | {ta:.1f}, {tb:.1f} |",
              flush=True)
        if given.out:
            from rushlight.tools.plots import plot_curves

            Path(given.out).mkdir(parents=True, exist_ok=True)
            path = Path(given.out) / (name.replace(" ", "_") + ".png")
            plot_curves({"PyTorch": a.tolist(), "Rushlight": b.tolist()}, str(path), title=name)


if __name__ == "__main__":
    main()
