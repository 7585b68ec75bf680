"""`import torch` as Rushlight: in a process of its own, reversible, refused beside PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rushlight

PROGRAM = """
import sys
sys.modules.pop("torch", None)
import rushlight
with rushlight.as_torch():
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    from torch.utils.data import DataLoader
    from torch import optim
    import importlib.metadata
    assert torch is rushlight and nn is rushlight.nn and F is rushlight.nn.functional
    assert torch.__version__ >= "2.0" and torch.__version__ > (1, 13)
    assert importlib.metadata.version("torch") == torch.__version__
    net = nn.Linear(2, 1)
    print(type(net).__mro__[1].__module__, DataLoader.__module__, optim.SGD.__module__)
assert "torch" not in sys.modules and "torch.nn" not in sys.modules
assert rushlight.__version__ != "2.13.0"
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_alias_is_complete_and_reversible():
    done = run(PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "rushlight.nn.modules.module", "rushlight.utils.data.loader", "rushlight.optim.sgd"
    ]


def test_refused_beside_pytorch():
    import torch  # noqa: F401

    with pytest.raises(RuntimeError, match="already imported"):
        rushlight.as_torch()


def test_run_a_script(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        "import sys, torch\n"
        "if __name__ == '__main__':\n"
        "    print(torch.ones(2).sum().item(), torch.__name__, sys.argv[1:])\n"
    )
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", str(script), "--a", "b"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2.0 rushlight ['--a', 'b']"
