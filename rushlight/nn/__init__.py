"""Neural networks: `Module` and the layers, losses and initialisers, with PyTorch's names.

A layer holds parameters and calls functions of `functional`, which are the operators; layers know
nothing about how they run. Read `modules/module.py` first, then `modules/linear.py`. A layer's
file is imported when one of its names is first used, so that `import rushlight.nn` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..answers import find
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


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """`device`, `dtype` and `memory_format` of a layer's keywords, for `torch.empty` and its like.

    A "factory_kwargs" among them is a dict of the same. TypeError for other keywords, or one that is given twice.

    >>> nn.factory_kwargs({"dtype": torch.float64})
    {'dtype': torch.float64}
    """
    if kwargs is None:
        return {}
    names = {"device", "dtype", "memory_format"}
    if others := kwargs.keys() - names - {"factory_kwargs"}:
        raise TypeError(f"unexpected kwargs {others}")
    made = dict(kwargs.get("factory_kwargs", {}))
    for name in names & kwargs.keys():
        if name in made:
            raise TypeError(f"{name} specified twice, in **kwargs and in factory_kwargs")
        made[name] = kwargs[name]
    if others := made.keys() - names:
        raise TypeError(f"unexpected kwargs {others}")
    return made


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
    return find("nn", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
