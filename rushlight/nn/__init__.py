"""Neural networks: `Module` and the layers, losses and initialisers, with PyTorch's names.

A layer holds parameters and calls functions of `functional`, which are the operators; layers know
nothing about how they run. Read `modules/module.py` first, then `modules/linear.py`. A layer's
file is imported when one of its names is first used, so that `import rushlight.nn` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import functional, init, modules, parameter, utils
from .modules.module import Module  # noqa: F401 - public
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

if TYPE_CHECKING:
    from .modules import *  # noqa: F403

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "modules",
    "parameter",
    "utils",
    *modules.__all__,
]


def __getattr__(name: str) -> Any:
    """The layer of this name."""
    if name in modules.FAMILY_OF:
        value = getattr(modules, name)
        globals()[name] = value
        return value
    if name in ("parallel", "attention"):
        return import_module(f"rushlight.nn.{name}")
    if name == "DataParallel":
        from .parallel import DataParallel

        return DataParallel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
