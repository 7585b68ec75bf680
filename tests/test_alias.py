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


def test_workers_of_a_script(tmp_path):
    """Workers that start afresh import the script, and `torch` is Rushlight there too."""
    script = tmp_path / "program.py"
    script.write_text(
        "import torch\n"
        "from torch.utils.data import DataLoader, Dataset\n"
        "class Numbers(Dataset):\n"
        "    def __len__(self):\n"
        "        return 6\n"
        "    def __getitem__(self, i):\n"
        "        return torch.full((2,), float(i))\n"
        "if __name__ == '__main__':\n"
        "    for context in ('spawn', 'forkserver'):\n"
        "        loader = DataLoader(Numbers(), 3, num_workers=1, multiprocessing_context=context)\n"
        "        print([x.sum().item() for x in loader])\n"
    )
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", str(script)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[6.0, 24.0]"] * 2


def test_an_error_in_a_script(tmp_path):
    """The traceback begins in the script and ends on its line, and the exit status is Python's."""
    script = tmp_path / "program.py"
    script.write_text("import torch\ndef f(x):\n    return x @ torch.ones(3)\nf(torch.ones(2, 2))\n")
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", str(script)],
                          capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[0].startswith("Traceback")
    assert 'program.py", line 4, in <module>' in lines[1]
    assert "return x @ torch.ones(3)" in done.stderr and "\nRuntimeError: size" in done.stderr
    assert "click" not in done.stderr and "runpy" not in done.stderr


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
