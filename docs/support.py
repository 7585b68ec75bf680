"""The table of what is there of PyTorch: `make support` writes `docs/support.md`.

Names are PyTorch's own public ones (the installed torch is the oracle), looked up here; operators are those of
this package's registry. `--parity FILE` adds the figures of a run of the parity suite (its JSON). The text depends on nothing
else, so that it can be compared: `tests/test_support.py` does.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import rushlight
from rushlight.answers import MISSING, REFUSED
from rushlight.trace.operator import OPERATORS

HERE = Path(__file__).parent
SPACES = """torch Tensor nn nn.functional nn.init nn.utils nn.utils.rnn nn.utils.parametrize nn.utils.parametrizations nn.parameter
nn.attention nn.parallel optim optim.lr_scheduler optim.swa_utils autograd autograd.functional autograd.graph autograd.profiler
func linalg fft special signal.windows sparse masked nested distributions distributions.constraints distributions.transforms
random amp utils.data utils.checkpoint utils.dlpack utils.hooks utils.benchmark utils.cpp_extension serialization storage types
return_types overrides library fx jit compiler export onnx package profiler monitor multiprocessing futures hub distributed
cpu accelerator cuda xpu mps backends.cuda backends.mps ao.quantization quantization""".split()


def owner(root: Any, space: str) -> Any:
    """The module (or class) of a namespace, or None."""
    if space == "torch":
        return root
    if space == "Tensor":
        return root.Tensor
    try:
        return importlib.import_module(f"{root.__name__}.{space}")
    except ImportError:
        return None


def public(space: str) -> list[str]:
    """PyTorch's public names in a namespace: what it lists, else what it defines itself."""
    import torch

    home = owner(torch, space)
    listed = getattr(home, "__all__", None)
    names = []
    for name in sorted(listed or dir(home)):
        value = getattr(home, name, None)
        if name.startswith("_") or inspect.ismodule(value):
            continue
        if space == "Tensor" or listed or str(getattr(value, "__module__", "")).startswith("torch"):
            names.append(name)
    return names


def is_there(home: Any, space: str, name: str) -> str:
    """"yes", "refuses" (the device or tool is not there), or "" for a name that is missing."""
    if home is None or not hasattr(home, name):
        return ""
    _, functions, classes = REFUSED.get(space, ("", "", ""))
    return "refuses" if name in f"{functions} {classes}".split() else "yes"


def lowering(o: Any) -> str:
    """How an operator becomes native code."""
    if o.lower is not None:
        return "own"
    return "view" if o.view else "reference"


def measured(families: dict[str, list[Any]]) -> list[str]:
    """The table of what was seen to become native (`lowering.tsv`)."""
    seen = {}
    for line in (HERE / "lowering.tsv").read_text().splitlines():
        name, native, *reasons = line.split("\t")
        seen[name] = native, reasons
    lines = ["", "## Native code, measured", "",
             "`docs/lowering.py` ran samples of PyTorch's databases of operators and modules, and all optimisers, until they were compiled, with "
             "gradients and in several dtypes. *Native*: always lowered (*: but for complex numbers, which stay in tier 0). *Partly*: it depends on "
             "arguments or dtypes. *Tier 0 only*: NumPy runs it inside of a native program. The reasons are those that `explain()` gives: \"the "
             "values of a symbol\" and \"a branch on a value\" are references that look at numbers.", "",
             "| file | native | partly, tier 0 for | tier 0 only, for | not met |", "| --- | --- | --- | --- | --- |"]
    for family in sorted(families):
        kinds: dict[str, list[str]] = {"native": [], "partly": [], "tier 0": [], "": []}
        for o in sorted(families[family], key=lambda o: o.name):
            native, reasons = seen.get(o.name, ("", []))
            real = [r for r in reasons if r != "complex numbers"]
            why = f": {'; '.join(real or reasons)}"
            if native and not real:
                kinds["native"].append(f"`{o.name}`{'*' if reasons else ''}")
            elif native:
                kinds["partly"].append(f"`{o.name}`{why}.")
            elif reasons:
                kinds["tier 0"].append(f"`{o.name}`{why}.")
            elif not o.view:
                kinds[""].append(f"`{o.name}`")
        if any(kinds.values()):
            lines.append(f"| {family} | " + " | ".join(" ".join(k) for k in kinds.values()) + " |")
    return lines


def text(parity: dict | None = None) -> str:
    """The page."""
    dir(rushlight)  # loads all operators
    lines = ["# What is there of PyTorch", "",
             "Made by `docs/support.py` (`make support`) from PyTorch 2.13's public names and this package's registry of operators.",
             "*There* counts names that work; *refuse* are functions and classes of devices and tools that this version does not "
             "have, which say so when called, as in a PyTorch without them. Names tell nothing of behaviour: that is what the tests "
             "compare.", "", "| namespace | there | refuse | of | missing |", "| --- | ---: | ---: | ---: | --- |"]
    for space in SPACES:
        home, names = owner(rushlight, space), public(space)
        found = [is_there(home, space, n) for n in names]
        missing = [n for n, f in zip(names, found, strict=True) if not f]
        why = MISSING.get(space, "")
        shown = " ".join(f"`{n}`" for n in missing[:12]) + (f" and {len(missing) - 12} more" if len(missing) > 12 else "")
        lines.append(f"| `{space}` | {found.count('yes')} | {found.count('refuses') or ''} | {len(names)} | "
                     f"{shown}{': ' + why if why and missing else ''} |")
    lines += ["", "## Operators", "",
              "An operator's reference is compiled by following it with symbols; *own* are operators with a lowering of their own "
              "(`lower=`), *view* take no time. Where the reference cannot be followed for its arguments, the operator runs in "
              "tier 0 inside of a native program, and `rushlight.explain()` says why.", "",
              "| file | own lowering | by reference | views | without a gradient |", "| --- | --- | --- | --- | --- |"]
    families: dict[str, list[Any]] = {}
    for o in OPERATORS.values():
        families.setdefault(o.definition.__module__.rsplit(".", 1)[-1], []).append(o)
    for family in sorted(families):
        kinds: dict[str, list[str]] = {"own": [], "reference": [], "view": []}
        for o in sorted(families[family], key=lambda o: o.name):
            kinds[lowering(o)].append(f"`{o.name}`")
        constant = [f"`{o.name}`" for o in sorted(families[family], key=lambda o: o.name) if not o.gradients]
        lines.append(f"| {family} | {' '.join(kinds['own'])} | {' '.join(kinds['reference'])} | {' '.join(kinds['view'])} | "
                     f"{' '.join(constant)} |")
    lines += measured(families)
    if parity is not None:
        lines += ["", "## PyTorch's own tests", "", "| suite | tasks | whole | cases | passed |", "| --- | ---: | ---: | ---: | ---: |"]
        suites: dict[str, list[dict]] = {}
        for task in parity["tasks"]:
            suites.setdefault(task["suite"], []).append(task)
        for suite, tasks in suites.items():
            cases = [c for t in tasks for c in t["cases"]]
            lines.append(f"| {suite} | {len(tasks)} | {sum(t['class'] == 'pass' for t in tasks)} | {len(cases)} | "
                         f"{sum(c['status'] == 'pass' for c in cases)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parity", type=Path, help="JSON of a parity run")
    given = parser.parse_args().parity
    (HERE / "support.md").write_text(text(json.loads(given.read_text()) if given else None))
