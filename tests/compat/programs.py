"""Programs that use other people's packages, run under Rushlight's alias and with the real PyTorch.

A program is a text that uses `torch` and leaves what it computed in the dictionary `numbers`
(floats, tensors, arrays, strings). Each run has a process of its own, and the two dictionaries
must agree. `fill(module)` gives a module the same weights, whatever its initialisation draws.
"""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

BEFORE = '''
import numpy as np
import torch

numbers = {}


def fill(module, scale=0.1):
    """Weights that depend only on their shapes and places: matrices random, biases zero."""
    random = np.random.RandomState(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim > 1:
                values = random.standard_normal(tuple(parameter.shape)).astype("float32") * scale
                parameter.copy_(torch.from_numpy(values))
    return module


def data(*shape, seed=1):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype("float32"))


def train(module, loss, steps=3, lr=0.01):
    """The losses of a few steps of SGD with momentum."""
    optimizer = torch.optim.SGD(module.parameters(), lr=lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses
'''

# torchvision's wheels may be compiled for a PyTorch with CUDA; its import then misses two declarations.
DECLARE = '''
try:
    import torchvision
except RuntimeError:
    import torch
    declared = torch.library.Library("torchvision", "FRAGMENT")
    declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
'''

AFTER = '''
import json, sys


def plain(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().double().numpy()
    if isinstance(value, str):
        return value
    return np.asarray(value, dtype="float64").tolist()


print("\\nNUMBERS " + json.dumps({name: plain(value) for name, value in numbers.items()}))
'''


def needs(*packages: str) -> None:
    """Skip the test file that calls this unless all these packages are installed (none is imported)."""
    for name in packages:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: `make compat` installs it", allow_module_level=True)


def run(program: str, folder: Path, real: bool = False, timeout: int = 250) -> dict:
    """What the program leaves in `numbers`, under the alias or with the real PyTorch."""
    path = Path(folder) / "program.py"
    declare = DECLARE if real and importlib.util.find_spec("torchvision") else ""
    path.write_text(declare + BEFORE + textwrap.dedent(program) + AFTER)
    command = [sys.executable, str(path)] if real else [sys.executable, "-m", "rushlight", "run", str(path)]
    paths = [str(ROOT)] + [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths), OMP_NUM_THREADS="1",
                       HF_HUB_OFFLINE="1")
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=timeout)
    lines = [line for line in done.stdout.splitlines() if line.startswith("NUMBERS ")]
    assert done.returncode == 0 and lines, (
        f"the program failed {'with PyTorch' if real else 'under the alias'}: {path}\n"
        f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return json.loads(lines[-1][len("NUMBERS "):])


def same(program: str, folder: Path, rtol: float = 1e-4, atol: float = 1e-5) -> dict:
    """Run the program both ways; its numbers must agree. Returns Rushlight's."""
    ours, theirs = run(program, folder), run(program, folder, real=True)
    assert ours and ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if isinstance(value, str):
            assert ours[name] == value, name
        else:
            np.testing.assert_allclose(ours[name], value, rtol=rtol, atol=atol, err_msg=name)
    return ours
