"""Text written one character at a time, with a cache that grows by one place each: how soon is a character as fast as PyTorch's?

    python benchmarks/writing.py [--characters 128] [--texts 5] [--layers 12] [--width 64] [--threads 1]

A small GPT writes a text, again and again, in both frameworks by turns: every length is new once. Prints milliseconds
for a character of each text, its slowest character, and what the trie of Rushlight grew by.
"""

from __future__ import annotations

import argparse
import time


def model_of(T, layers: int, width: int, context: int):
    """A GPT of 65 characters whose forward takes (tokens, place of the first, a list for each layer's keys and values)."""
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x, cache):
            b, t, w = x.shape
            q, k, v = [y.view(b, t, 4, w // 4).transpose(1, 2) for y in self.mix(self.norm1(x)).split(w, 2)]
            if cache:
                k, v = T.cat([cache[0], k], 2), T.cat([cache[1], v], 2)
            cache[:] = k, v
            y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, w))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Embedding(65, width), nn.Embedding(context, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 65)

        def forward(self, tokens, at, caches):
            x = self.token(tokens) + self.place(T.arange(at, at + tokens.shape[1]))
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, cache)
            return self.head(self.norm(x))

    T.manual_seed(0)
    return GPT().eval()


def write(T, model, count: int) -> tuple[float, float]:
    """Milliseconds for a character, and for the slowest."""
    caches, token, times = [[] for _ in model.blocks], T.tensor([[1]]), []
    with T.no_grad():
        for at in range(count):
            begin = time.perf_counter()
            token = model(token, at, caches)[:, -1].argmax(-1, keepdim=True)
            token.item()
            times.append(1000 * (time.perf_counter() - begin))
    return sum(times) / count, max(times)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--characters", type=int, default=128)
    p.add_argument("--texts", type=int, default=5)
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--width", type=int, default=64)
    p.add_argument("--threads", type=int, default=1)
    given = p.parse_args()
    import torch

    import rushlight
    from rushlight.trace import trie

    models = {}
    for T in (torch, rushlight):
        T.set_num_threads(given.threads)
        models[T] = model_of(T, given.layers, given.width, given.characters)
    print(f"{'text':>4} {'PyTorch':>8} {'slowest':>8} {'Rushlight':>9} {'slowest':>8} {'new nodes':>9}   (ms for a character)")
    for text in range(given.texts):
        before = trie.Stats.misses
        mean, slowest = write(torch, models[torch], given.characters)
        ours, longest = write(rushlight, models[rushlight], given.characters)
        print(f"{text + 1:>4} {mean:>8.2f} {slowest:>8.1f} {ours:>9.2f} {longest:>8.1f} {trie.Stats.misses - before:>9}", flush=True)


if __name__ == "__main__":
    main()
