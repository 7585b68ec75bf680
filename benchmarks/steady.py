"""A long training run: memory and the number of programs must stay flat.

    python benchmarks/steady.py [--steps 100000]

A small network with dropout, a learning rate that changes at every step, an evaluation every 500
steps, and a running metric that is never read.
"""

from __future__ import annotations

import argparse
import time

import rushlight as torch
from rushlight.trace.trie import Stats


def memory() -> float:
    """Resident megabytes of this process."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(net.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1.0 / (1.0 + 1e-4 * i))
    loss_fn = nn.CrossEntropyLoss()
    data, labels = torch.randn(512, 20), torch.randint(0, 3, (512,))
    never_read = torch.zeros(())
    begin = time.perf_counter()
    print(f"{'step':>8}{'loss':>9}{'right':>7}{'memory MB':>11}{'programs':>10}{'nodes':>8}"
          f"{'steps/s':>9}")
    for i in range(1, steps + 1):
        batch = torch.randint(0, 512, (32,))
        optimizer.zero_grad()
        loss = loss_fn(net(data[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        scheduler.step()
        never_read = never_read + loss.detach()
        if i % 500 == 0:
            net.eval()
            with torch.no_grad():
                right = (net(data).argmax(1) == labels).float().mean().item()
            net.train()
        if i % max(1, steps // 10) == 0:
            seen = Stats.snapshot()
            rate = i / (time.perf_counter() - begin)
            print(f"{i:8}{loss.item():9.4f}{right:7.3f}{memory():11.1f}{seen['programs']:10}"
                  f"{seen['nodes']:8}{rate:9.0f}", flush=True)


if __name__ == "__main__":
    main()
