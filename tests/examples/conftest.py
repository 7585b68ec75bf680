"""Runs the programs of `examples/` as a user does, with Rushlight and with PyTorch."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Example:
    """Programs in processes of their own; what they write is in `out`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def command(self, name: str, *arguments: str, real: bool = False, out: str = "run") -> list[str]:
        script = str(ROOT / "examples" / f"{name}.py")
        how = [sys.executable, script] if real else [sys.executable, "-m", "rushlight", "run", script]
        return [*how, "--out", str(self.folder / out), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        made = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        made.pop("RUSHLIGHT_COMPILE", None)  # as users run them
        return made

    def __call__(self, name: str, *arguments: str, real: bool = False, out: str = "run") -> dict:
        """Run the example; returns what it left in metrics.json: its `history`, and its `result`."""
        done = subprocess.run(self.command(name, *arguments, real=real, out=out), env=self.environment, cwd=self.folder,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return json.loads((self.folder / out / "metrics.json").read_text())

    def interrupted(self, name: str, *arguments: str, after: str, out: str = "run") -> None:
        """Run the example and kill it when it has printed a line that begins with `after`."""
        started = subprocess.Popen(self.command(name, *arguments, out=out), env=self.environment, cwd=self.folder,
                                   stdout=subprocess.PIPE, text=True)
        for line in started.stdout:
            if line.startswith(after):
                started.kill()
                break
        started.communicate()
        assert started.returncode != 0, "it ended before it could be interrupted"


@pytest.fixture
def example(tmp_path) -> Example:
    return Example(tmp_path)



@pytest.fixture(params=[False, True], ids=["rushlight", "pytorch"])
def real(request) -> bool:
    """Whether the program runs with PyTorch: a test that takes this runs with both."""
    return request.param


@pytest.fixture
def load(monkeypatch):
    """A function that loads an example as a module whose `torch` is Rushlight, whatever else is imported here."""
    def module(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        made = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, made)
        spec.loader.exec_module(made)
        return made

    def loaded(name):
        for part in ("", ".nn", ".nn.functional", ".distributions"):
            monkeypatch.setitem(sys.modules, f"torch{part}", importlib.import_module(f"rushlight{part}"))
        module("common")
        return module(name)

    return loaded
