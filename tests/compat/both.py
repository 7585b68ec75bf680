"""Run a program twice, with PyTorch and with Rushlight under the name `torch`, and compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
START = '''
import json, sys
import numpy as np
import torch

def report(**values):
    """Write what shall be the same in both runs."""
    with open(sys.argv[1], "w") as f:
        json.dump(values, f)

def fill(module):
    """Weights that do not depend on anybody's random numbers."""
    r = np.random.RandomState(0)
    with torch.no_grad():
        for name, p in sorted(module.named_parameters()):
            scale = "norm" in name.lower() or "ln_" in name
            value = r.standard_normal(tuple(p.shape)) * 0.1 + scale
            p.copy_(torch.from_numpy(value.astype(np.float32)))

def train(step, parameters, steps=3, lr=1e-3):
    """The losses of a few steps of AdamW."""
    optimizer = torch.optim.AdamW(parameters, lr=lr)
    losses = []
    for _ in range(steps):
        loss = step()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
'''


def needs(*packages: str) -> Any:
    """A mark that skips a file's tests where a package is not installed (the extra `compat` has them)."""
    missing = []
    for package in packages:
        try:
            version(package)
        except PackageNotFoundError:
            missing.append(package)
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def run(program: str, folder: Path, *start: str) -> Any:
    """What a program reports, run by `python *start`."""
    script, out = folder / "program.py", folder / "report.json"
    script.write_text(START + program)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, *start, str(script), str(out)], capture_output=True, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1",
             "RUSHLIGHT_COMPILE": "background"},
    )
    assert done.returncode == 0, f"{' '.join(start) or 'PyTorch'}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return json.loads(out.read_text())


def check(program: str, tmp_path: Path, tolerance: float = 1e-4) -> Any:
    """Run with both; whatever is reported must agree (numbers within `tolerance`). Returns it."""
    folders = tmp_path / "ours", tmp_path / "theirs"
    for folder in folders:
        folder.mkdir()
    ours = run(program, folders[0], "-m", "rushlight", "run")
    theirs = run(program, folders[1])
    _agree(ours, theirs, tolerance, "")
    return ours


def _agree(ours: Any, theirs: Any, tolerance: float, where: str) -> None:
    assert type(ours) is type(theirs), f"{where}: {ours!r} instead of {theirs!r}"
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for k in ours:
            _agree(ours[k], theirs[k], tolerance, f"{where}[{k!r}]")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs)):
            _agree(a, b, tolerance, f"{where}[{i}]")
    elif isinstance(ours, float):
        assert abs(ours - theirs) <= tolerance * max(abs(theirs), 1e-2), (
            f"{where}: {ours!r} instead of {theirs!r}")
    else:
        assert ours == theirs, f"{where}: {ours!r} instead of {theirs!r}"
