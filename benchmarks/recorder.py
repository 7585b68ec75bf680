"""What `rushlight.tools.Recorder` costs: training steps with and without it, alternating in one process.

    python benchmarks/recorder.py [--rounds 9] [--seconds 3.0] [--only mlp ...]

In each round both run for so many seconds, in turns of a third of that; a turn's recorder begins and ends with it, so
its first looks at kernels and memory are in the time. With it, the loss of each step is logged; without it, nobody reads
the loss. Shown are the medians of the times, and of the quotients with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

from nans import WORKLOADS

import rushlight as torch
from rushlight.tools import Recorder

TURNS = 3


def measured(name: str, rounds: int, seconds: float) -> list[tuple[float, float]]:
    """(time of a step without, with the recorder) of each round."""
    torch.manual_seed(0)
    net, optimizer, x, y = WORKLOADS[name]()
    loss_fn = torch.nn.CrossEntropyLoss()

    def steps(until: float, recorded: bool) -> tuple[int, float]:
        """(how many steps, the time they took) in `until` seconds."""
        with tempfile.TemporaryDirectory() as folder:
            begin, count = time.perf_counter(), 0
            board = Recorder(folder, net) if recorded else None
            while time.perf_counter() - begin < until:
                optimizer.zero_grad()
                loss = loss_fn(net(x), y)
                loss.backward()
                optimizer.step()
                if board is not None:
                    board.log(loss=loss)
                count += 1
            if board is not None:
                board.close()
            return count, time.perf_counter() - begin

    for recorded in (False, True):
        steps(1.0, recorded)
    found = []
    for _ in range(rounds):
        spent, counts = [0.0, 0.0], [0, 0]
        for turn in range(2 * TURNS):
            recorded = (turn + turn // 2) % 2
            count, time_taken = steps(seconds / TURNS, bool(recorded))
            counts[recorded] += count
            spent[recorded] += time_taken
        found.append((spent[0] / counts[0], spent[1] / counts[1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each kind in a round")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    args = parser.parse_args()
    torch.compile(torch.nn.Identity())  # programs are compiled when they come back, in this thread
    print(f"{'a step, ms':16}{'off':>9}{'on':>9}{'ratio':>8}{'rounds':>16}")
    for name in args.only:
        rows = measured(name, args.rounds, args.seconds)
        off, on = (statistics.median(r[k] for r in rows) * 1e3 for k in (0, 1))
        ratios = sorted(b / a for a, b in rows)
        span = f"{ratios[0]:.3f} - {ratios[-1]:.3f}"
        print(f"{name:16}{off:9.3f}{on:9.3f}{statistics.median(ratios):8.3f}{span:>16}", flush=True)


if __name__ == "__main__":
    main()
