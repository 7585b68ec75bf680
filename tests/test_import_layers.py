"""Imports point downwards only, and the package never imports PyTorch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "rushlight"
LAYERS = {"version": 0, "runtime": 0, "interpret": 1, "compile": 2, "trace": 3, "ops": 4}  # the public API is above


def imports(path: Path):
    """Absolute module names that a file imports."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = parts[:-1] if path.name != "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for a in node.names:
                yield f"{name}.{a.name}", node.lineno


def layer(module: str) -> int:
    parts = module.split(".")
    return LAYERS.get(parts[1], 5) if len(parts) > 1 else 5


ALLOWED = {
    # what a handle shows a person is made by the layer above it, when it is asked for
    ("trace/tensor.py", "rushlight.printing"),
}


def test_arrows_point_down():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        mine = layer(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
        where = str(path.relative_to(PACKAGE))
        for module, line in imports(path):
            if not module.startswith("rushlight."):
                continue
            if any(where == f and module.startswith(m) for f, m in ALLOWED):
                continue
            if layer(module) > mine and mine < 5:
                wrong.append(f"{where}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_importing_the_package_loads_little():
    code = ("import sys, rushlight; late = [m for m in ('ops.loss', 'ops.fourier', 'nn', 'optim', "
            "'linalg') if 'rushlight.' + m in sys.modules]; assert not late, late")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_package_never_imports_torch():
    for path in PACKAGE.rglob("*.py"):
        for module, line in imports(path):
            assert module.split(".")[0] != "torch", f"{path}:{line}"
