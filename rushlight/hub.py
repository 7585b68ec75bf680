"""Models that a folder's `hubconf.py` offers, and weights from a URL: torch.hub.

Repositories are not fetched: clone one and name its folder with `source="local"`.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.parse import urlparse

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # of a file's name: the first digits of its SHA-256
BLOCK = 1 << 17
_dir: builtins.list = [None]


def get_dir() -> str:
    """Where files are kept: `set_dir`'s folder, $TORCH_HOME/hub, or torch/hub in the user's cache."""
    return os.path.join(_get_torch_home(), "hub") if _dir[0] is None else _dir[0]


def _get_torch_home() -> str:
    """$TORCH_HOME, or torch in the user's cache; torchvision keeps its files there."""
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join("~", ".cache"))
    return os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))


def set_dir(d: str | os.PathLike) -> None:
    """Keep files in this folder."""
    _dir[0] = os.path.expanduser(os.fspath(d))


def _hubconf(where: str, source: str) -> Any:
    if source not in ("local", "github"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        raise RuntimeError(
            f"torch.hub: Rushlight does not fetch repositories. Clone {where!r} and use "
            "torch.hub.load(FOLDER, ..., source='local').")
    path = os.path.join(where, "hubconf.py")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"torch.hub: there is no {path}")
    spec = importlib.util.spec_from_file_location("hubconf", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, where)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(where)
    missing = [d for d in getattr(module, "dependencies", ()) if importlib.util.find_spec(d) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _entry(module: Any, name: str) -> Callable:
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    found = getattr(module, name, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return found


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", trust_repo: Any = None,
         force_reload: bool = False, verbose: bool = True, skip_validation: bool = False,
         **kwargs: Any) -> Any:
    """What the entry point `model` of a folder's `hubconf.py` returns for the arguments.

    source: "local"; "github" raises RuntimeError. The other options of PyTorch are accepted.
    Raises FileNotFoundError without a hubconf, RuntimeError for missing dependencies and entry points.
    """
    return _entry(_hubconf(os.path.expanduser(repo_or_dir), source), model)(*args, **kwargs)


def _local(where: str) -> Any:
    return _hubconf(where, "local" if os.path.isdir(where) else "github")


def list(github: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = None,
         verbose: bool = True) -> builtins.list[str]:
    """The names of the entry points of a folder's `hubconf.py`."""
    module = _local(github)
    return [n for n, f in vars(module).items() if callable(f) and not n.startswith("_")]


def help(github: str, model: str, force_reload: bool = False, skip_validation: bool = False,
         trust_repo: Any = None) -> str | None:
    """The documentation of an entry point."""
    return _entry(_local(github), model).__doc__


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Save what a URL has as the file `dst`: whole, or not at all.

    hash_prefix: the first digits that its SHA-256 must have; RuntimeError if it has others. OSError without
    a network.
    """
    from .tools.progress import progress as bar_of

    dst = os.path.expanduser(dst)
    digest = hashlib.sha256()
    with urllib.request.urlopen(url) as source:
        length = source.headers.get("Content-Length")
        total = int(length) if length else None
        fd, part = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(dst)), suffix=".partial")
        try:
            with os.fdopen(fd, "wb") as target, contextlib.ExitStack() as stack:
                bar = stack.enter_context(bar_of(total=total, description="download", unit="byte")) if progress else None
                while block := source.read(BLOCK):
                    target.write(block)
                    digest.update(block)
                    if bar is not None:
                        bar.update(len(block))
            if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
            os.replace(part, dst)
        finally:
            if os.path.exists(part):
                os.unlink(part)


def load_state_dict_from_url(url: str, model_dir: str | None = None, map_location: Any = None,
                             progress: bool = True, check_hash: bool = False, file_name: str | None = None,
                             weights_only: bool = False) -> Any:
    """`torch.load` of a file that is fetched once, into `model_dir` (get_dir()/checkpoints).

    check_hash: the digits in the file's name (weights-1a2b3c4d.pth) must begin its SHA-256.
    """
    from .serialization import load as load_file

    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as z:  # a zip of one file, as old weights were published
            names = z.namelist()
            if len(names) == 1 and names[0].endswith((".pth", ".pt")):
                z.extract(names[0], folder)
                path = os.path.join(folder, names[0])
    return load_file(path, map_location=map_location, weights_only=weights_only)
