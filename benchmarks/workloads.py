"""Workloads against PyTorch eager, in alternating processes.

    python benchmarks/workloads.py [--rounds 5] [--only mnist_step ...]

Each round runs every workload once with each framework, in a fresh process of its own; a ratio is
Rushlight's time divided by PyTorch's in the same round. Shown are the median, lowest and highest
ratio of the rounds, and the ratio of the processes' peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np


def mnist_step(torch):
    """One training step of the MNIST perceptron (batch 64, 784-128-10, SGD with momentum)."""
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    loss_fn, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), 0.01, 0.9)
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.random((64, 64, 784), dtype=np.float32)).clone()
    y = torch.from_numpy(random.integers(0, 10, (64, 64))).clone()

    def run():
        total = 0.0
        for i in range(64):
            optimizer.zero_grad()
            loss = loss_fn(net(x[i]), y[i])
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    return run


def mnist_evaluation(torch):
    """Predictions of that network for 4096 images, batch 64, with the number of right ones."""
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.random((64, 64, 784), dtype=np.float32)).clone()
    y = torch.from_numpy(random.integers(0, 10, (64, 64))).clone()

    def run():
        correct = 0
        with torch.no_grad():
            for i in range(64):
                _, predicted = torch.max(net(x[i]), 1)
                correct += (predicted == y[i]).sum().item()
        return correct

    return run


def _loader(torch, workers):
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.random((60_000, 784), dtype=np.float32))
    y = torch.from_numpy(random.integers(0, 10, 60_000))
    data = torch.utils.data
    batches = data.DataLoader(
        data.TensorDataset(x, y), batch_size=64, shuffle=True, num_workers=workers
    )
    return lambda: sum(len(labels) for _, labels in batches)


def loader(torch):
    """An epoch of a TensorDataset of 60,000 images in shuffled batches of 64."""
    return _loader(torch, 0)


def loader_2_workers(torch):
    """The same with two worker processes."""
    return _loader(torch, 2)


WORKLOADS = {f.__name__: f for f in (mnist_step, mnist_evaluation, loader, loader_2_workers)}


def child(framework: str, name: str, seconds: float) -> None:
    """Run one workload for a while; print the median time of a run and the peak memory."""
    run = WORKLOADS[name](__import__(framework))
    for _ in range(4 if "loader" not in name else 1):
        value = run()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([statistics.median(times), peak, value]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="time of each process")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--child", nargs=2, metavar=("FRAMEWORK", "WORKLOAD"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child, args.seconds)
        return
    print(f"{'':20}{'PyTorch ms':>12}{'Rushlight ms':>14}{'ratio':>8}{'rounds':>14}{'memory':>8}")
    for name in args.only:
        rows = []
        for _ in range(args.rounds):
            pair = []
            for framework in ("torch", "rushlight"):
                command = [sys.executable, __file__, "--child", framework, name,
                           "--seconds", str(args.seconds)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                pair.append(json.loads(done.stdout.splitlines()[-1]))
            rows.append(pair)
        ratios = sorted(b[0] / a[0] for a, b in rows)
        memory = statistics.median(b[1] / a[1] for a, b in rows)
        a, b = (statistics.median(p[i][0] for p in rows) * 1e3 for i in (0, 1))
        span = f"{ratios[0]:.2f} - {ratios[-1]:.2f}"
        print(f"{name:20}{a:12.2f}{b:14.2f}{statistics.median(ratios):8.2f}{span:>14}{memory:8.2f}",
              flush=True)


if __name__ == "__main__":
    main()
