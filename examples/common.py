"""What the examples share: the command line, data, progress, metrics, checkpoints and pictures.

The examples say `import torch` and run with Rushlight (`rushlight run examples/x.py`) and with PyTorch (`python
examples/x.py`). Data sets, the progress bar and drawing are Rushlight's in both cases: they take no part in the computation.
"""

import argparse
import json
import os
import random
import time
from pathlib import Path

import numpy as np
import torch

from rushlight import datasets
from rushlight.datasets import files
from rushlight.tools import Recorder, plots
from rushlight.tools.progress import progress

__all__ = ["Run", "cifar10", "data_path", "draw", "frechet_distance", "mnist", "parser", "plots", "progress", "sheet"]

FRAMEWORK = "Rushlight" if torch.__name__ == "rushlight" else "PyTorch"


def parser(description, name, device=True):
    """A command line with the options that every example has; device: whether one may choose where it computes."""
    p = argparse.ArgumentParser(prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="a small problem: under a minute")
    p.add_argument("--seed", type=int, default=0, help="of weights, data order and samples (default: 0)")
    p.add_argument("--out", help=f"folder for checkpoint, metrics and pictures (default: runs/{name}, with what was chosen of the network, and -quick)")
    p.add_argument("--data", help="folder to look for data in first")
    if device:
        p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where to compute (default: %(default)s)")
    p.add_argument("--fresh", action="store_true", help="start anew even if there is a checkpoint")
    p.add_argument("--deterministic", action="store_true", help="the same bits each time, interrupted or not (slower)")
    return p


NETWORK = ("model", "blocks", "width", "layers", "latent", "depth", "size", "vocabulary")  # options: which network it is


def arguments(p, **quick):
    """The command line's arguments; quick: what is the default for --quick. Each network has a folder, `out`, of its own."""
    if p.parse_args().quick:
        p.set_defaults(**quick)
    args = p.parse_args()
    chosen = {k: getattr(args, k) for k in NETWORK if hasattr(args, k) and getattr(args, k) != p.get_default(k)}
    names = [p.prog, *(f"{v}" if k == "model" else f"{k}-{v}" for k, v in chosen.items()), *["quick"] * args.quick]
    args.out = args.out or "runs/" + "-".join(names)
    return args


def loaded(load, *arguments, **options):
    """What a function that finds or downloads data returns; if it cannot, the program ends with its reason."""
    try:
        return load(*arguments, **options)
    except files.DataFileError as e:
        raise SystemExit(str(e)) from None


def data_path(name, root=None):
    """The path of a file or folder of text, looked for where Rushlight's data sets look, or downloaded."""
    return loaded(files.text_source, name, root)


def mnist(train, root=None, count=None):
    """(pictures (N, 1, 28, 28) in [0, 1], digits (N,)); the first `count` of them."""
    found = loaded(datasets.MNIST, root, train=train)
    pictures, digits = found.data.numpy()[:count], found.targets.numpy()[:count]
    return torch.tensor(pictures).unsqueeze(1).float() / 255, torch.tensor(digits)


def cifar10(train, root=None, count=None):
    """(pictures (N, 3, 32, 32) in [0, 1], classes (N,)) of the files that are there; the first `count` of them."""
    found = loaded(datasets.CIFAR10, root, train=train, download=True)
    pictures = np.ascontiguousarray(found.data[:count].transpose(0, 3, 1, 2))
    return torch.tensor(pictures).float() / 255, torch.tensor(found.targets[:count])


def frechet_distance(pictures, others, dims=64):
    """How far two sets of pictures lie apart: 0 for the same distribution of (Gaussian) pixels.

    |m - n|^2 + trace(A + B - 2 sqrt(AB)) for the means and covariances of both in the first principal components of `pictures`.
    (FID is this with features of a trained network in the place of pixels.)
    """
    a, b = (np.asarray(p.detach().cpu().numpy(), np.float64).reshape(len(p), -1) for p in (pictures, others))
    values, axes = np.linalg.eigh(np.cov(a.T))
    axes = axes[:, -dims:]
    a, b = a @ axes, b @ axes
    gap, both = a.mean(0) - b.mean(0), np.cov(a.T) @ np.cov(b.T)
    root = np.sqrt(np.linalg.eigvals(both).real.clip(0)).sum()
    return float(gap @ gap + np.trace(np.cov(a.T)) + np.trace(np.cov(b.T)) - 2 * root)


class Run:
    """A training run: its folder, the numbers that it logs, and its checkpoint.

        run = Run(args)
        for epoch in range(run.resume(args, model=model, optimizer=optimizer), args.epochs):
            ...
            run.log(epoch=epoch + 1, loss=loss)
            run.save(epoch + 1)

    Interrupted at any time, the same command goes on from the last `save` as if nothing had happened: weights, optimiser,
    schedules, generators and the global random states are in the checkpoint (also the bits, with --deterministic).
    """

    def __init__(self, args):
        self.out = Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.file = self.out / "checkpoint.pt"
        self.setting = {k: v for k, v in vars(args).items() if k in ("seed", "quick", *NETWORK)}
        self.history = []
        self.recorder = None
        self.parts = {}
        self._before, self._cpu_before = 0.0, 0.0
        self._began, self._cpu = time.perf_counter(), time.process_time()
        torch.use_deterministic_algorithms(args.deterministic)

    def resume(self, args, **parts):
        """How many steps (epochs) are done: 0, or what the checkpoint says, after loading it into the parts.

        A part has `state_dict` and `load_state_dict`, or `get_state` and `set_state` (generators).
        """
        self.parts = parts
        if args.fresh or not self.file.exists():
            self.record()
            return 0
        state = torch.load(self.file, map_location="cpu")
        if state["setting"] != self.setting:
            raise SystemExit(f"{self.file} belongs to {state['setting']}: --fresh starts anew, --out names another folder")
        for name, part in parts.items():
            (part.set_state if hasattr(part, "set_state") else part.load_state_dict)(state["parts"][name])
        torch.set_rng_state(state["random"])
        random.setstate(state["python_random"])
        kind, keys, *rest = state["numpy_random"]
        np.random.set_state((kind, np.array(keys, np.uint32), *rest))
        self.history, self._before, self._cpu_before = state["history"], state["seconds"], state["cpu_seconds"]
        self.record(state.get("steps", 0))
        print(f"going on after {state['step']} of {self.file} (--fresh starts anew)", flush=True)
        return state["step"]

    def record(self, start=0):
        """Write what `rushlight board` shows besides metrics.json: learning rate, gradients, times, memory, kernels."""
        if FRAMEWORK == "Rushlight":
            self.recorder = Recorder(self.out, self.parts.get("model"), start=start)

    @property
    def seconds(self):
        """Time since the start, without interruptions."""
        return self._before + time.perf_counter() - self._began

    @property
    def cpu_seconds(self):
        """Processor time of all threads: on a busy machine it tells more."""
        return self._cpu_before + time.process_time() - self._cpu

    def save(self, step):
        """Write the checkpoint: complete or not at all."""
        kind, keys, *rest = np.random.get_state()
        state = {
            "parts": {k: v.get_state() if hasattr(v, "get_state") else v.state_dict() for k, v in self.parts.items()},
            "random": torch.get_rng_state(), "python_random": random.getstate(), "numpy_random": (kind, keys.tolist(), *rest),
            "step": step, "steps": self.recorder.step if self.recorder else 0, "setting": self.setting, "history": self.history,
            "seconds": self.seconds, "cpu_seconds": self.cpu_seconds,
        }
        partial = self.file.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.file)

    def log(self, **numbers):
        """Print numbers and keep them, with the time, in metrics.json."""
        self.history.append({**numbers, "seconds": round(self.seconds, 2), "cpu_seconds": round(self.cpu_seconds, 2)})
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in self.history[-1].items()), flush=True)
        self.write(history=self.history)

    def result(self, **numbers):
        """Print the run's final numbers and put them into metrics.json."""
        numbers.update(framework=FRAMEWORK, seconds=round(self.seconds, 1), cpu_seconds=round(self.cpu_seconds, 1))
        print("result: " + "  ".join(f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in numbers.items()), flush=True)
        self.write(history=self.history, result=numbers)

    def curves(self, *names):
        """What was logged under these names, as `plots.plot_curves` takes it."""
        return {name: [row[name] for row in self.history if name in row] for name in names}

    def write(self, **content):
        (self.out / "metrics.json").write_text(json.dumps(content, indent=1))


def sheet(path, pictures, columns=10, zoom=2):
    """Save pictures (N, 1 or 3, H, W) in [0, 1] side by side as one, each pixel `zoom` pixels wide."""
    from matplotlib.image import imsave

    a = np.asarray(pictures.detach().cpu().numpy(), np.float32).clip(0, 1)
    a = np.pad(a, ((0, -len(a) % columns), (0, 0), (1, 1), (1, 1)), constant_values=1)  # white lines between them
    n, channels, height, width = a.shape
    a = a.reshape(n // columns, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    a = a.reshape(n // columns * height, columns * width, channels).repeat(zoom, 0).repeat(zoom, 1)
    imsave(path, a[..., [0, 0, 0]] if channels == 1 else a)


def draw(function, *arguments, **options):
    """Call one of `plots`' functions, or one's own that uses them; without matplotlib, say that there is no picture."""
    try:
        return function(*arguments, **options)
    except ImportError as e:
        print(f"no picture: {e}")
