"""What memory is alive: the arrays behind tensors and saved values, looked up when somebody asks.

Nothing is kept for this while the program runs: Python's collector knows all tensors and segments. What
holds a tensor and can say so (a module, an optimiser) is in `HOLDERS`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..interpret.liveness import owner
from . import trie
from .tensor import Parameter, Tensor
from .traceback import PACKAGE

# class: its instance's tensors, as pairs of a name and a tensor
HOLDERS: dict[type, Callable[[Any], Iterable[tuple[str, Any]]]] = {}
SHOWN = 15  # rows of a table
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


@dataclass(frozen=True)
class Row:
    """Memory that is held: what it is, its shape and dtype, and the line that made it ("" if unknown)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    line: str = ""


def line_of(node) -> str:
    """Where a node was recorded, as "file.py:line"."""
    found = None if node is None else trie.site_of(node)
    return "" if found is None else f"{os.path.basename(found[0])}:{found[1]}"


def row_of(node, a: np.ndarray, kind: str = "") -> Row:
    """The row of an array that holds a node's value."""
    return Row(node.op.name.strip("_") + kind, a.shape, a.dtype.name, owner(a).nbytes, line_of(node))


def rows() -> dict[int, tuple[np.ndarray, Row]]:
    """{id of an array that owns memory: (it, its Row)} of all that tensors and saved values hold."""
    tensors, segments, named = [], [], {}
    for x in gc.get_objects():
        kind = type(x)
        if issubclass(kind, Tensor):
            tensors.append(x)
        elif kind is trie.Segment or kind is trie.Position:
            segments.append(x)
        else:
            names = next((HOLDERS[k] for k in kind.__mro__ if k in HOLDERS), None)
            if names is not None:
                named.update((id(t), name) for name, t in names(x))
    variables = _variables()
    found: dict[int, tuple[np.ndarray, Row]] = {}
    for t in sorted(tensors, key=lambda t: t._base is not None):  # views name nothing
        if t._buf is not None:
            a = owner(t._buf)
            found.setdefault(id(a), (a, _row(t, a, named, variables)))
        if t._grad is not None and t._grad._buf is not None:
            a, name = owner(t._grad._buf), named.get(id(t)) or variables.get(id(t))
            row = _row(t._grad, a, {id(t._grad): f"gradient of {name}" if name else "gradient"}, {})
            found[id(a)] = a, row
    for s in segments:
        for node, a in (getattr(s, "saved", None) or {}).items():
            if isinstance(a, np.ndarray):
                a = owner(a)
                found.setdefault(id(a), (a, row_of(node, a, " (saved for backward)")))
    return found


def _row(t, a, named, variables) -> Row:
    node = t._s if t._s.op not in (trie.IDLE, trie.LEAF) else t._history and t._history[1]
    name = named.get(id(t))
    if name is None:
        name = node.op.name.strip("_") if node else "parameter" if isinstance(t, Parameter) else "tensor"
        if id(t) in variables:
            name += f" '{variables[id(t)]}'"
    return Row(name, tuple(t._s.m.shape), t._s.m.dtype.name, a.nbytes, line_of(node or None))


def _variables() -> dict[int, str]:
    """{id of a tensor: the name of a variable of the functions that are running now}."""
    names: dict[int, str] = {}
    frame = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith((PACKAGE, "<rushlight")):
            for name, x in list(frame.f_locals.items()):
                if isinstance(x, Tensor):
                    names.setdefault(id(x), name)
                elif type(x) in (list, tuple):
                    for t in x[:1000]:
                        if isinstance(t, Tensor):
                            names.setdefault(id(t), f"{name}[...]")
        frame = frame.f_back
    return names


def size(nbytes: float) -> str:
    """A number of bytes as text."""
    unit = 0
    while abs(nbytes) >= 1000 and unit + 1 < len(UNITS):
        nbytes, unit = nbytes / 1024, unit + 1
    return f"{nbytes:.{2 if unit else 0}f} {UNITS[unit]}"


def table(held: Iterable[Row], shown: int = SHOWN) -> str:
    """Rows as lines of text, the largest first, with their sum; alike ones are counted together."""
    counts: dict[Row, int] = {}
    for r in held:
        counts[r] = counts.get(r, 0) + 1
    ordered = sorted(counts.items(), key=lambda e: -e[0].nbytes * e[1])
    total = sum(r.nbytes * n for r, n in ordered)
    lines = [
        f"{size(r.nbytes * n):>12}  {f'{n} x ' if n > 1 else ''}{r.name}: "
        f"{r.dtype}{list(r.shape)}{'  ' + r.line if r.line else ''}"
        for r, n in ordered[:shown]
    ]
    if rest := ordered[shown:]:
        lines.append(f"{size(sum(r.nbytes * n for r, n in rest)):>12}  "
                     f"in {sum(n for _, n in rest)} more")
    return "\n".join([*lines, f"{size(total):>12}  in all"])
