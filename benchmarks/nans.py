"""What `rushlight.tools.nans()` costs: training steps with and without it, alternating in one process.

    python benchmarks/nans.py [--rounds 9] [--seconds 1.0] [--only mlp ...]

In each round both run for so many seconds, in turns of about 0.1 s, and the quotient of their times is taken.
Shown are the medians of the times, and of the quotients with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time

import rushlight as torch

nn = torch.nn


def mlp():
    """The MNIST perceptron: batch 64, 784-128-10, SGD with momentum."""
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    return net, optimizer, torch.rand(64, 784), torch.randint(0, 10, (64,))


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and around a shortcut."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, c = x.shape
        parts = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, c // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(n, t, c))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """A small one: 4 blocks of width 128, 256 tokens, sequences of 64."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(256, 128), nn.Embedding(64, 128)
        self.blocks = nn.Sequential(*[Block(128, 4) for _ in range(4)])
        self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 256)

    def forward(self, ids):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x))).flatten(0, 1)


def gpt():
    """The small GPT: batch 16, AdamW."""
    net = GPT()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-4)
    ids = torch.randint(0, 256, (16, 65))
    return net, optimizer, ids[:, :-1].contiguous(), ids[:, 1:].flatten()


def convolutions():
    """Three convolutions of 16x16 pictures with batch norm: batch 32, Adam."""
    layers: list[nn.Module] = []
    for a, b in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    return net, optimizer, torch.rand(32, 3, 16, 16), torch.randint(0, 10, (32,))


WORKLOADS = {f.__name__: f for f in (mlp, gpt, convolutions)}


def measured(name: str, rounds: int, seconds: float) -> list[tuple[float, float]]:
    """(time of a step without, with tracking) of each round."""
    torch.manual_seed(0)
    net, optimizer, x, y = WORKLOADS[name]()
    loss_fn = nn.CrossEntropyLoss()

    def steps(count: int, tracked: bool) -> float:
        with torch.tools.nans() if tracked else contextlib.nullcontext():
            begin = time.perf_counter()
            for _ in range(count):
                optimizer.zero_grad()
                loss = loss_fn(net(x), y)
                loss.backward()
                optimizer.step()
                loss.item()
            return time.perf_counter() - begin

    for tracked in (False, True):
        steps(12, tracked)
    count = max(1, int(0.1 / (steps(12, False) / 12)))
    found = []
    for _ in range(rounds):
        spent = [0.0, 0.0]
        turns = 0
        while sum(spent) < 2 * seconds:
            for tracked in (turns % 2, 1 - turns % 2):
                spent[tracked] += steps(count, bool(tracked))
            turns += 1
        found.append((spent[0] / turns / count, spent[1] / turns / count))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each kind in a round")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    args = parser.parse_args()
    torch.compile(nn.Identity())  # programs are compiled when they come back, in this thread
    print(f"{'a step, ms':16}{'off':>9}{'on':>9}{'ratio':>8}{'rounds':>16}")
    for name in args.only:
        rows = measured(name, args.rounds, args.seconds)
        off, on = (statistics.median(r[k] for r in rows) * 1e3 for k in (0, 1))
        ratios = sorted(b / a for a, b in rows)
        span = f"{ratios[0]:.3f} - {ratios[-1]:.3f}"
        print(f"{name:16}{off:9.3f}{on:9.3f}{statistics.median(ratios):8.3f}{span:>16}", flush=True)


if __name__ == "__main__":
    main()
