"""`rushlight doctor`: what this machine has, and what is missing for what."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys

NEEDED = {
    "numpy": "everything",
    "llvmlite": "native code",
    "ml_dtypes": "bfloat16",
    "threadpoolctl": "compiling beside a program",
    "click": "the command line",
    "tqdm": "progress bars",
    "matplotlib": "curves and pictures: pip install 'rushlight[plots]'",
    "graphviz": "pictures of graphs (matplotlib draws them otherwise): pip install 'rushlight[plots]'",
    "sklearn": "small data sets without a network: pip install 'rushlight[data]'",
    "starlette": "the dashboard: pip install 'rushlight[board]'",
    "uvicorn": "the dashboard: pip install 'rushlight[board]'",
    "plotly": "the dashboard: pip install 'rushlight[board]'",
    "PIL": "reading pictures: pip install 'rushlight[data]'",
}
DISTRIBUTION = {"sklearn": "scikit-learn", "PIL": "Pillow"}


SWITCHES = {
    "RUSHLIGHT_EAGER": "every operation runs at once and alone (slow)",
    "RUSHLIGHT_CHECK": "every kernel is compared with NumPy (slow)",
    "RUSHLIGHT_NANS": "NaNs raise where they are made (slower)",
    "RUSHLIGHT_COMPILE": "when programs become native code: background, now or never",
    "RUSHLIGHT_TARGET": "kernels for a smaller processor than this one",
}


def _compiles() -> str:
    """What native code is made for, if a small kernel can be made."""
    import rushlight

    from ..compile.llvm import target
    from .kernel_cache import show

    try:
        made = target.host()
        x = rushlight.arange(4.0)
        right = rushlight.compile(lambda x: (x * 2 + 1).sum())(x).item() == 16.0
    except Exception as e:
        return f"cannot be made: {e}"
    extras = ", AMX" if made.amx else ", bfloat16 products" if made.bfloat16_dot else ""
    works = "work" if right else "compute wrongly: please report this"
    return f"{works}: {made.name} ({8 * made.vector_bytes} bits{extras}); {show()}"


def _version(module: str) -> str | None:
    try:
        return importlib.metadata.version(DISTRIBUTION.get(module, module))
    except importlib.metadata.PackageNotFoundError:
        return None


def report():
    """Yield lines: the machine, the packages, the data sets."""
    from ..datasets import files
    from ..version import __version__

    yield f"Rushlight {__version__} on Python {platform.python_version()} ({sys.platform})"
    yield f"machine    {platform.machine()}, {os.cpu_count()} cores; computing on the CPU"
    yield f"kernels    {_compiles()}"
    yield "CUDA       not used by this version: tensors live on the CPU"
    for name, purpose in NEEDED.items():
        version = _version(name)
        mark = version if version else "missing"
        yield f"{name:11}{mark:12}{'' if version else 'for ' + purpose}".rstrip()
    drawing = shutil.which("dot")
    yield f"dot        {drawing or 'missing     for prettier pictures of graphs: the program Graphviz'}"
    for name, file in (("mnist", "train-images-idx3-ubyte.gz"),
                       ("cifar10", "data_batch_1.bin.gz")):
        path = files.find(name, file)
        yield f"{name:11}{path.parent if path else 'not found: downloaded when first used'}"
    there = [name for name in files.TEXT_SOURCES if any((f / name).exists() for f in files.folders())]
    missing = [name for name in files.TEXT_SOURCES if name not in there]
    yield f"text       {', '.join(there) or 'nothing found'}{'; downloaded when first used: ' + ', '.join(missing) if missing else ''}"
    yield "looked in  " + ", ".join(str(f) for f in files.folders())
    for name, meaning in SWITCHES.items():
        if os.environ.get(name):
            yield f"{name}={os.environ[name]}: {meaning}"
