"""Machine code from IR text: compile, remember on disk, load.

An object file is kept on disk (`disk_cache.py`) under a hash of everything that it depends on: the text, the
target and LLVM's version. `load` returns addresses; LLVM frees a module's memory (about 40 KB) when nobody
holds them any longer.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import threading
import time
import weakref

from ...version import __version__
from . import disk_cache
from .builder import libraries_of
from .target import Target, host

LOCK = threading.Lock()
_loaded: weakref.WeakValueDictionary[str, Code] = weakref.WeakValueDictionary()  # by text: a string remembers its hash
_number = itertools.count()
BEFORE_LLVM: list = []  # functions that are called before it works for some time, without the interpreter


class Code(dict[str, int]):
    """Addresses of a module's functions by name, good for as long as somebody holds this object."""

    __slots__ = ("__weakref__", "held")

    held: object  # LLVM frees the code with the last reference to its tracker; libraries stay with those that call them


class Counters:
    """What this process compiled, and took from the disk."""

    compiled = reused = 0
    seconds = 0.0


@functools.cache
def _binding():
    import llvmlite.binding as binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


@functools.cache
def _machine(target: Target):
    b = _binding()
    if not b.get_default_triple().startswith(target.triple.split("-")[0]):
        b.initialize_all_targets()
        b.initialize_all_asmprinters()
    found = b.Target.from_triple(target.triple)
    return found.create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small", jit=False
    )


@functools.cache
def _linker():
    return _binding().create_lljit_compiler(_binding().Target.from_default_triple()
                                            .create_target_machine(jit=True), use_jit_link=True)


def key_of(text: str, target: Target) -> str:
    """The hash under which the object of `text` is kept."""
    import llvmlite

    facts = f"{__version__} {llvmlite.__version__} {target.triple} {target.cpu} {target.features}\n"
    return hashlib.sha256((facts + text).encode()).hexdigest()


def compile_text(text: str, target: Target | None = None) -> bytes:
    """The object file of a module's text."""
    b = _binding()
    target = target or host()
    for f in BEFORE_LLVM:
        f()
    module = b.parse_assembly(text)
    module.triple = target.triple
    machine = _machine(target)
    module.data_layout = str(machine.target_data)
    module.verify()
    return machine.emit_object(module)


def assembly(text: str, target: Target | None = None) -> str:
    """The assembly of a module's text, and of its libraries, for people."""
    return "\n".join([_assembly(t, target or host()) for t in (text, *[x.text for x in libraries_of(text)])])


def _assembly(text: str, target: Target) -> str:
    module = _binding().parse_assembly(text)
    module.triple = target.triple
    machine = _machine(target)
    module.data_layout = str(machine.target_data)
    return machine.emit_assembly(module)


def object_of(text: str, target: Target | None = None) -> bytes:
    """The object file of `text`: from the cache on disk if it is there and whole."""
    target = target or host()
    key = key_of(text, target)
    found = disk_cache.read(key)
    if found is not None:
        Counters.reused += 1
        return found
    start = time.perf_counter()
    made = compile_text(text, target)
    Counters.compiled += 1
    Counters.seconds += time.perf_counter() - start
    disk_cache.write(key, made)
    return made


def load(text: str, names: tuple[str, ...], imports: dict[str, int] | None = None) -> Code:
    """Addresses of a module's functions, for the caller to hold; what is loaded is not loaded again.

    imports: addresses of functions from other modules that it calls.
    """
    found = _loaded.get(text)
    if found is None:
        imports = dict(imports or {})
        linked = [load(x.text, x.exported) for x in libraries_of(text)]
        for x in linked:
            imports |= x
        code = object_of(text)
        with LOCK:
            found = _loaded.get(text)
            if found is None:
                b = _binding()
                builder = b.JITLibraryBuilder().add_object_img(code).add_current_process()
                for name in names:
                    builder.export_symbol(name)
                for name, address in imports.items():
                    builder.import_symbol(name, address)
                tracker = builder.link(_linker(), f"kernel_{next(_number)}")
                found = Code({n: tracker[n] for n in names})
                found.held = tracker, linked
                _loaded[text] = found
    return found


def loaded() -> int:
    """The number of modules in memory."""
    return len(_loaded)
