"""Optimisers and learning-rate schedules, with PyTorch's names, options, state and numbers.

`optimizer.py` holds the base class: groups, state, saving. The update rules themselves are
operators (`ops/optimizer.py`) that write into parameters and state; a step is one recorded list of
such calls (`KernelOptimizer`). Read `sgd.py` first. Files are imported when one of their names is
first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import lr_scheduler, swa_utils
    from .adam import Adam, AdamW
    from .adaptive import Adadelta, Adagrad, Adamax, NAdam, RAdam, RMSprop
    from .lbfgs import LBFGS
    from .optimizer import Optimizer
    from .sgd import SGD
    from .simple import ASGD, Adafactor, Muon, Rprop, SparseAdam

_FILES = {
    "adam": "Adam AdamW",
    "adaptive": "Adadelta Adagrad Adamax NAdam RAdam RMSprop",
    "lbfgs": "LBFGS",
    "optimizer": "Optimizer",
    "sgd": "SGD",
    "simple": "ASGD Adafactor Muon Rprop SparseAdam",
    "lr_scheduler": "",
    "swa_utils": "",
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names.split()}

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name: str) -> Any:
    """The optimiser of this name, or a file."""
    if name in _FILE_OF:
        value = getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in _FILES:
        return import_module(f"{__name__}.{name}")
    from ..answers import find

    return find("optim", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
