"""Programs that say `import torch`: make that name resolve to Rushlight, reversibly.

`rushlight run script.py` and `rushlight.as_torch()` use it. Every `torch.x.y` becomes the module
`rushlight.x.y`, the very same object. Refused when the real PyTorch is already imported.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys

NAME = "torch"
SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")


class _Loader(importlib.abc.Loader):
    """Loads `torch.x` by importing `rushlight.x`."""

    def __init__(self, target):
        self.target = target

    def create_module(self, spec):
        return importlib.import_module(self.target)

    def exec_module(self, module):
        pass


class _Finder(importlib.abc.MetaPathFinder):
    """Finds `torch` and its submodules in Rushlight."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != NAME and not fullname.startswith(NAME + "."):
            return None
        ours = "rushlight" + fullname[len(NAME):]
        found = importlib.util.find_spec(ours)
        if found is None:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, _Loader(ours), origin=found.origin,
                                              is_package=found.submodule_search_locations
                                              is not None)
        return spec


class TorchVersion(str):
    """A version that compares with strings and tuples, as torch.__version__ does.

    >>> torch.alias.TorchVersion("2.13.0") >= (2, 9), torch.alias.TorchVersion("2.13.0") < "2.2"
    (True, False)
    """

    def _key(self, other):
        def numbers(v):
            parts = v if isinstance(v, tuple) else str(v).split("+")[0].split(".")
            return tuple(int("".join(c for c in str(p) if c.isdigit()) or 0) for p in parts)

        mine, theirs = numbers(str(self)), numbers(other)
        n = max(len(mine), len(theirs))
        return mine + (0,) * (n - len(mine)), theirs + (0,) * (n - len(theirs))

    def __lt__(self, other):
        a, b = self._key(other)
        return a < b

    def __le__(self, other):
        a, b = self._key(other)
        return a <= b

    def __gt__(self, other):
        a, b = self._key(other)
        return a > b

    def __ge__(self, other):
        a, b = self._key(other)
        return a >= b


_finder = _Finder()
_state: dict = {}


def _version(name):
    if name.lower() == NAME:
        from ..version import TORCH_VERSION

        return TORCH_VERSION
    return _state["version"](name)


def install() -> None:
    """Make `import torch` give Rushlight. RuntimeError if the real PyTorch is imported."""
    if _state:
        return
    real = sys.modules.get(NAME)
    if real is not None:
        raise RuntimeError(
            "PyTorch is already imported in this process, so `torch` cannot be Rushlight as well. "
            "Call as_torch() before anything imports torch."
        )
    import rushlight

    from ..version import TORCH_VERSION

    _state["version"] = importlib.metadata.version
    _state["own"] = rushlight.__version__
    importlib.metadata.version = _version
    rushlight.__version__ = TorchVersion(TORCH_VERSION)
    sys.meta_path.insert(0, _finder)
    if SHIM not in sys.path:  # processes that start afresh take it over
        sys.path.insert(0, SHIM)
    sys.modules[NAME] = rushlight


def uninstall() -> None:
    """Give the name `torch` back."""
    if not _state:
        return
    import rushlight

    sys.meta_path.remove(_finder)
    if SHIM in sys.path:
        sys.path.remove(SHIM)
    for name in [n for n in sys.modules if n == NAME or n.startswith(NAME + ".")]:
        del sys.modules[name]
    importlib.metadata.version = _state.pop("version")
    rushlight.__version__ = _state.pop("own")


class as_torch:
    """`rushlight.as_torch()`: from now on, or inside a with block, `import torch` is Rushlight.

    Raises RuntimeError if the real PyTorch is imported already.

    >>> import subprocess, sys
    >>> program = "import rushlight; rushlight.as_torch(); import torch; print(torch.nn.__name__)"
    >>> subprocess.run([sys.executable, "-c", program], stdout=-1, text=True).stdout.strip()
    'rushlight.nn'
    """

    def __init__(self):
        self._outer = bool(_state)
        install()

    def __enter__(self):
        import rushlight

        return rushlight

    def __exit__(self, *error):
        if not self._outer:
            uninstall()


__all__ = ["TorchVersion", "as_torch", "install", "uninstall"]
