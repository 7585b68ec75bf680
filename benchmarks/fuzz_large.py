"""Kernel families on sizes for which they choose other ways: PyTorch and native programs side by side.

    python benchmarks/fuzz_large.py --minutes 10 --seed 0 [--only convolution ...]
    python benchmarks/fuzz_large.py --cases 1 --seed 4711        (one case again)

`fuzz.py` draws odd inputs, which are small: there, a convolution has few channels, a product one block, a row one chunk.
Here sizes lie around those where blocking, splitting, packing, Winograd's tiles or dots set in. A case is one
function with its gradients; it runs four times, the last ones in native code. Exit status 1: something differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback

import numpy as np

TOLERANCE = {"float32": 3e-4, "float64": 1e-9}  # of the largest absolute value


class Case:
    """Draws one case: `inputs` (with gradients if they are floating) and `function(T, *inputs)`."""

    def __init__(self, seed: int, only: list[str]):
        self.rnd = random.Random(seed)
        self.random = np.random.default_rng(seed)
        self.inputs: list[np.ndarray] = []
        self.said: list = []
        self.family = self.rnd.choice(only)
        self.dtype = self.rnd.choice(["float32", "float32", "float64"])
        self.function = getattr(self, self.family)()

    def pick(self, *choices):
        found = self.rnd.choice(choices)
        self.said.append(found)
        return found

    def size(self, most: int, least: int = 1) -> int:
        """Often small, a multiple of vectors, or one beside it."""
        n = self.rnd.choice([self.rnd.randint(least, max(least, min(9, most))), self.rnd.randint(least, most), 16 * self.rnd.randint(1, max(1, most // 16))])
        n = min(most, max(least, n + self.rnd.choice([0, 0, 0, 1, -1, 4])))
        self.said.append(n)
        return n

    def tensor(self, *shape: int, integers: int = 0) -> int:
        """The number of a new input, perhaps transposed in memory."""
        if integers:
            made = self.random.integers(0, integers, shape)
        else:
            made = self.random.standard_normal(shape).astype(self.dtype)
        if len(shape) > 1 and self.rnd.random() < 0.3:
            made = np.ascontiguousarray(made.swapaxes(-1, -2)).swapaxes(-1, -2)
            self.said.append("transposed")
        self.inputs.append(made)
        return len(self.inputs) - 1

    # ------------------------------------------------------------ families

    def convolution(self):
        d, groups = self.pick(1, 2, 2, 2, 3), self.pick(1, 1, 1, 2, 3)
        channels, outputs = (groups * self.size(100 if d < 3 else 20) for _ in range(2))
        kernel = [self.pick(1, 3, 3, 5, 2, 4, 6) for _ in range(d)]
        if self.rnd.random() < 0.6:
            kernel = [kernel[0]] * d
        stride, dilation, padding = self.pick(1, 1, 2, 3), self.pick(1, 1, 1, 2), self.pick(0, 1, 2)
        reach = [dilation * (k - 1) + 1 for k in kernel]
        turned, most = self.rnd.random() < 0.3, (200, 34, 9)[d - 1]
        least = [max(1, -(-(2 * padding + 1 - r) // stride) + 1 if turned else r - 2 * padding) for r in reach]
        sizes = [self.size(most + n, n) for n in least]
        batch = self.pick(1, 1, 2, 5, 8)
        self.tensor(batch, channels, *sizes)
        self.tensor(*((channels, outputs // groups) if turned else (outputs, channels // groups)), *kernel)
        bias = self.tensor(outputs) if self.rnd.random() < 0.3 else None
        name = f"conv{'_transpose' * turned}{d}d"
        more = {"stride": stride, "padding": padding, "groups": groups, "dilation": dilation}
        self.said.append((name, kernel))
        return lambda T, x, w, *b: getattr(T.nn.functional, name)(x, w, *(b if bias is not None else ()), **more)

    def product(self):
        m, k, n = (self.size(400) for _ in range(3))
        kind = self.pick("mm", "linear", "bias", "batch", "broadcast", "addmm", "sum")
        batch = [self.size(6) for _ in range(2)] if kind in ("batch", "broadcast") else []
        self.tensor(*batch, m, k)
        self.tensor(*(batch if kind == "batch" else ()), *((n, k) if kind in ("linear", "bias") else (k, n)))
        if kind == "bias":
            self.tensor(n)
        if kind == "addmm":
            self.tensor(*self.pick((m, n), (n,), (m, 1)))
        if kind == "sum":
            self.tensor(m, k), self.tensor(k, n)
        return {
            "linear": lambda T, a, b: T.nn.functional.linear(a, b), "bias": lambda T, a, b, c: T.nn.functional.linear(a, b, c),
            "addmm": lambda T, a, b, c: T.addmm(c, a, b, alpha=0.5), "sum": lambda T, a, b, c, d: a @ b + c @ d,
        }.get(kind, lambda T, a, b: a @ b)

    def attention(self):
        batch, heads, width, rows = self.size(3), self.size(4), self.size(80), self.size(200)
        keys = rows if self.rnd.random() < 0.6 else self.size(200)
        for n in (rows, keys, keys):
            self.tensor(batch, heads, n, width)
        kind = self.pick("plain", "causal", "mask")
        if kind == "mask":
            self.tensor(rows, keys)
        causal = {"is_causal": kind == "causal" and rows <= keys}  # (PyTorch's gradients in float32 are wrong elsewhere)
        return lambda T, q, k, v, *mask: T.nn.functional.scaled_dot_product_attention(q, k, v, *mask, **causal)

    def recurrent(self):
        name, layers, both = self.pick("LSTM", "GRU", "RNN"), self.pick(1, 1, 2), self.pick(False, False, True)
        inside, hidden, batch, steps = self.size(70), self.size(130), self.size(40), self.size(20)
        gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[name]
        self.tensor(steps, batch, inside)
        for layer in range(layers):
            for _ in range(1 + both):
                first = inside if not layer else hidden * (1 + both)
                for shape in ((gates * hidden, first), (gates * hidden, hidden), (gates * hidden,), (gates * hidden,)):
                    self.inputs[self.tensor(*shape)] *= 0.2

        def function(T, x, *weights):
            module = getattr(T.nn, name)(inside, hidden, layers, bidirectional=both).to(x.dtype)
            return T.func.functional_call(module, dict(zip([n for n, _ in module.named_parameters()], weights, strict=True)), (x,))[0]

        return function

    def pooling(self):
        kernel, stride, padding = self.pick(2, 3, 5), self.pick(1, 2, 3), self.pick(0, 0, 1)
        self.tensor(self.size(4), self.size(40), self.size(60, kernel), self.size(60, kernel))
        name = self.pick("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")
        given = (self.size(9),) if name.startswith("adaptive") else (kernel, stride, padding)
        return lambda T, x: getattr(T.nn.functional, name)(x, *given)

    def normalization(self):
        kind, channels = self.pick("batch", "layer", "group"), 2 * self.size(60)
        shape = (self.size(20, 2), channels, *(self.size(20, 2) for _ in range(self.pick(1, 2))))
        self.tensor(*shape)
        parts = shape[-1:] if kind == "layer" else (channels,)
        self.tensor(*parts), self.tensor(*parts)
        return {
            "batch": lambda T, x, w, b: T.nn.functional.batch_norm(x, None, None, w, b, True),
            "layer": lambda T, x, w, b: T.nn.functional.layer_norm(x, parts, w, b),
            "group": lambda T, x, w, b: T.nn.functional.group_norm(x, 2, w, b),
        }[kind]

    def reduction(self):
        shape = [self.size(n) for n in self.pick((300, 400), (40, 50, 60), (3, 5000), (5000, 3), (60_000,), (7, 9, 30, 40))]
        self.tensor(*shape)
        dim = self.pick(*range(len(shape)))
        name = self.pick("sum", "mean", "amax", "var", "logsumexp", "softmax", "log_softmax", "cumsum", "cumprod", "sort", "norm", "prod", "cummax")
        if name == "sort":  # (equal numbers are not rare)
            return lambda T, x: x.sort(dim=dim, stable=True)[0]
        after = (lambda y: y[0]) if name == "cummax" else (lambda y: y)
        return lambda T, x: after(getattr(x, name)(dim=dim) if name != "norm" else x.norm(2, dim))

    def indexing(self):
        rows, width, count = self.size(500), self.size(100), self.size(3000)
        self.tensor(rows, width), self.tensor(count, integers=rows), self.tensor(count, width)
        name = self.pick("embedding", "index_add", "scatter_add", "gather", "index_select", "index_put")
        return {
            "embedding": lambda T, x, i, y: T.nn.functional.embedding(i, x) * y,
            "index_add": lambda T, x, i, y: x.index_add(0, i, y),
            "scatter_add": lambda T, x, i, y: x.scatter_add(0, i[:, None].expand(count, width), y),
            "gather": lambda T, x, i, y: x.gather(0, i[:, None].expand(count, width)) * y,
            "index_select": lambda T, x, i, y: x.index_select(0, i) + y,
            "index_put": lambda T, x, i, y: x.index_put((i,), y, accumulate=True),
        }[name]

    # ------------------------------------------------------------ a run

    def run(self, T, times: int) -> list[np.ndarray]:
        for _ in range(times):
            given = [T.from_numpy(x.copy(order="K")) for x in self.inputs]
            wanted = [t.requires_grad_() for t in given if t.dtype.is_floating_point]
            y = self.function(T, *given)
            weights = np.cos(np.arange(y.numel())).reshape(tuple(y.shape)).astype(self.dtype)
            made = [y, *T.autograd.grad((y * T.from_numpy(weights)).sum(), wanted)]
            made = [t.detach().numpy() for t in made]
        return made

    def __str__(self) -> str:
        return f"{self.family} {self.dtype} {[x.shape for x in self.inputs]} {self.said}"


FAMILIES = ["convolution", "product", "attention", "recurrent", "pooling", "normalization", "reduction", "indexing"]


def differs(case: Case, theirs: list, ours: list) -> str:
    for i, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"result {i}: {a.dtype}{a.shape}, {b.dtype}{b.shape}"
        if not a.size or np.array_equal(a, b, equal_nan=True):
            continue
        most = np.abs(a[np.isfinite(a)]).max(initial=0.1)
        if not np.allclose(a, b, TOLERANCE[case.dtype], TOLERANCE[case.dtype] * most, equal_nan=True):
            return f"result {i}: by {np.abs(a - b).max()} of {most}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--cases", type=int, default=1 << 40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=FAMILIES, choices=FAMILIES)
    args = parser.parse_args()
    import torch

    import rushlight

    rushlight.compile(lambda: None)
    end, done, bad = time.process_time() + 60 * args.minutes, 0, 0
    while done < args.cases and time.process_time() < end:
        case, told = Case(args.seed + done, args.only), ""
        done += 1
        try:
            theirs = case.run(torch, 1)
        except Exception:  # PyTorch refuses it
            continue
        try:
            told = differs(case, theirs, case.run(rushlight, 4))
        except Exception:
            told = traceback.format_exc(limit=-3)
        if told:
            bad += 1
            print(f"--seed {args.seed + done - 1}: {case}\n  {told}", flush=True)
    print(f"{done} cases, {bad} differ")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
