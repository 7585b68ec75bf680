"""Batches whose length is drawn anew for each step: how soon is the time for a step that of PyTorch?

    python benchmarks/lengths.py [--steps 600] [--longest 512] [--model transformer|lstm|conv] [--layers 2]

Both frameworks train the same model on the same batches, in alternating stretches of steps. Prints for each
stretch the ratio of times, and at the end what Rushlight made: native forms, kernels, nodes of the trie.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

WORDS, WIDE, BATCH = 1000, 64, 16


def model_of(T, kind: str, layers: int):
    """A classifier of sequences (batch, length) of words."""
    nn = T.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(WORDS, WIDE)
            if kind == "transformer":
                layer = nn.TransformerEncoderLayer(WIDE, 4, 2 * WIDE, dropout=0.0, batch_first=True)
                self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
            elif kind == "lstm":
                self.body = nn.LSTM(WIDE, WIDE, batch_first=True)
            else:
                self.body = nn.Sequential(nn.Conv1d(WIDE, WIDE, 3, padding=1), nn.ReLU(),
                                          nn.Conv1d(WIDE, WIDE, 3, padding=1), nn.ReLU())
            self.out = nn.Linear(WIDE, 4)

        def forward(self, x):
            x = self.words(x)
            if kind == "conv":
                return self.out(self.body(x.transpose(1, 2)).mean(2))
            x = self.body(x)
            return self.out((x[0] if kind == "lstm" else x).mean(1))

    return Model()


def trainer(T, kind: str, layers: int):
    """A function that trains on one batch and returns the loss."""
    T.manual_seed(0)
    model = model_of(T, kind, layers)
    optimizer = T.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = T.nn.CrossEntropyLoss()

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_fn(model(T.from_numpy(x)), T.from_numpy(y))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--stretch", type=int, default=60)
    parser.add_argument("--longest", type=int, default=512)
    parser.add_argument("--model", default="transformer", choices=["transformer", "lstm", "conv"])
    parser.add_argument("--layers", type=int, default=2, help="of the Transformer")
    parser.add_argument("--alone", action="store_true", help="Rushlight only: milliseconds for a step")
    given = parser.parse_args()
    import rushlight
    from rushlight.compile import emit, templates
    from rushlight.trace import trie

    frameworks = [rushlight]
    if not given.alone:
        import torch

        frameworks.insert(0, torch)
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(given.steps):
        x = rng.integers(0, WORDS, (BATCH, int(rng.integers(1, given.longest + 1))))
        batches.append((x, x.sum(1) % 4))
    steps = [trainer(T, given.model, given.layers) for T in frameworks]
    print("| steps | " + " | ".join(f"{T.__name__}, ms" for T in frameworks) + " | ratio | native forms |")
    for at in range(0, given.steps, given.stretch):
        times = []
        for step in steps:
            start = time.perf_counter()
            for x, y in batches[at : at + given.stretch]:
                step(x, y)
            times.append((time.perf_counter() - start) / given.stretch * 1e3)
        forms = sum(len(f.templates) for f in templates._families.values())
        print(f"| {at + given.stretch} | {' | '.join(f'{t:.1f}' for t in times)} "
              f"| {times[0] / times[-1]:.2f} | {forms} |", flush=True)
    stats = trie.Stats.snapshot()
    print(f"families of programs: {len(templates._families)}, kernels written: {len(emit._written)}, "
          f"nodes of the trie: {stats['nodes']}, times it was pruned: {stats['prunes']}")


if __name__ == "__main__":
    main()
