"""The cost of an operation: recording alone, whole, and the first time, against PyTorch eager.

    python benchmarks/recording.py [--rounds 15]

`y = y * a + b` on 16 elements, 1000 times: 2000 operations. PyTorch and Rushlight take turns in one
process; a ratio is the median over the rounds of Rushlight's time divided by PyTorch's in the same round.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time

import numpy as np
import torch

import rushlight
from rushlight.compile import background
from rushlight.trace import flush, trie
from rushlight.trace.trie import RECORDER, idle

OPERATIONS = 2000
clock = time.perf_counter


def make(framework, requires_grad):
    y = framework.from_numpy(np.random.default_rng(0).standard_normal(16).astype(np.float32).copy())
    a, b = framework.full((16,), 0.999), framework.full((16,), 0.001)
    y = y.clone().requires_grad_(requires_grad)
    a, b = a.requires_grad_(requires_grad), b.requires_grad_(requires_grad)
    return y, a, b


def chain(y, a, b):
    for _ in range(OPERATIONS // 2):
        y = y * a + b
    return y


def forward_backward(y, a, b):
    y.grad = a.grad = b.grad = None
    chain(y, a, b).sum().backward()
    return y


WORK = {
    "no gradients": (False, chain),
    "with gradients": (True, chain),
    "forward and backward": (True, forward_backward),
}


def discard(tensors):
    """Drop what is pending without executing it, so that recording alone is timed."""
    tr = RECORDER.tr
    for t in tensors:
        if t._tr is tr:
            t._s, t._tr = idle(t._s.m, t._s.rg), None
    tr.start()


def timed(f, *args):
    begin = clock()
    f(*args)
    return clock() - begin


def read(f, tensors):
    y = f(*tensors)
    (y.grad if f is forward_backward else y).detach().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    gc.collect()
    gc.freeze()  # the collector shall not walk both frameworks' modules again and again
    print(f"{'':24}{'PyTorch':>10}{'Rushlight ns per operation':>38}{'ratios':>26}")
    print(f"{'':24}{'eager':>10}{'record':>12}{'whole':>12}{'first time':>14}"
          f"{'record':>10}{'whole':>8}{'first':>8}")
    for name, (requires_grad, f) in WORK.items():
        theirs, ours = make(torch, requires_grad), make(rushlight, requires_grad)
        rows = []
        for _ in range(6):
            f(*theirs)
            read(f, ours)
        background.wait()
        for _ in range(rounds):
            eager = timed(f, *theirs)
            flush()
            f(*ours)
            discard(ours)
            record = timed(f, *ours)
            discard(ours)
            read(f, ours)
            whole = timed(read, f, ours)
            trie.forget()
            first = timed(f, *ours)
            flush()
            for _ in range(6):
                read(f, ours)
            background.wait()
            rows.append([eager, record, whole, first])
        mid = [statistics.median(column) / OPERATIONS * 1e9 for column in zip(*rows, strict=True)]
        ratios = [
            statistics.median(r[i] / r[0] for r in rows) for i in (1, 2, 3)
        ]
        print(f"{name:24}{mid[0]:10.0f}{mid[1]:12.0f}{mid[2]:12.0f}{mid[3]:14.0f}"
              f"{ratios[0]:10.2f}{ratios[1]:8.2f}{ratios[2]:8.2f}", flush=True)


if __name__ == "__main__":
    main()
