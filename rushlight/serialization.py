"""torch.save and torch.load: PyTorch's .pt files, read without running anything from the file.

The zip format holds a pickle of the structure and one member a storage. It is written by a pickler whose
tensors become references to storages, and read by an unpickler that knows a fixed list of names; any
other name in the file is an error. Files are written under another name and moved into place.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np

from .answers import finder as _finder
from .trace import dtypes
from .trace.device import device as device_class
from .trace.device import require
from .trace.meta import Size, meta
from .trace.storage import STORAGES
from .trace.tensor import Parameter, Tensor, array, without_values
from .trace.trie import idle

new = object.__new__
_DTYPE_OF = {v: dtypes.ALL[k] for k, v in STORAGES.items()}
_safe_classes: dict[str, Any] = {}


def add_safe_globals(classes) -> None:
    """Allow these classes (or (class, name) pairs) in files that `load` reads."""
    for c in classes:
        if isinstance(c, tuple):
            _safe_classes[c[1]] = c[0]
        else:
            _safe_classes[f"{c.__module__}.{c.__qualname__}"] = c


def get_safe_globals() -> list:
    """The classes that were allowed."""
    return list(_safe_classes.values())


def clear_safe_globals() -> None:
    """Forget the classes that were allowed."""
    _safe_classes.clear()


class safe_globals:
    """Context manager: allow classes inside the with block to be loaded.

    >>> import tempfile
    >>> from fractions import Fraction
    >>> path = tempfile.mkdtemp() + "/third.pt"
    >>> torch.save(Fraction(1, 3), path)
    >>> with torch.serialization.safe_globals([Fraction]):
    ...     torch.load(path)
    Fraction(1, 3)
    """

    def __init__(self, classes):
        self.classes = classes

    def __enter__(self):
        self.before = dict(_safe_classes)
        add_safe_globals(self.classes)

    def __exit__(self, *error):
        _safe_classes.clear()
        _safe_classes.update(self.before)


# ---------------------------------------------------------------- writing


class _Global:
    """Pickled as a reference to a name in PyTorch's modules."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class _Reference:
    """Pickled as a persistent id: a storage."""

    def __init__(self, key):
        self.key = key


class _Writer(pickle._Pickler):
    """Pickles with names as PyTorch writes them, storages apart."""

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages: dict[int, tuple[str, np.ndarray, dtypes.dtype]] = {}

    def persistent_id(self, obj):
        if isinstance(obj, _Reference):
            key, owner, d = obj.key
            return ("storage", _Global("torch", STORAGES[d.name]), key, "cpu", owner.size)
        return None

    def save(self, obj, save_persistent_id=True):
        kind = type(obj)
        if kind is _Global:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            self.memoize(obj)
            return
        if isinstance(obj, Tensor):
            obj = _Call(*(self.tensor if obj.layout is dtypes.strided else _sparse)(obj))
            kind = _Call
        if kind is _Call:
            self.save(_Global(*obj.function))
            self.save(obj.args)
            self.write(pickle.REDUCE)
            return
        if kind is dtypes.dtype:
            self.save(_Global("torch", obj.name))
            return
        if kind is Size:
            self.save(_Call(("torch", "Size"), (tuple(obj),)))
            return
        if kind is device_class:
            self.save(_Call(("torch", "device"), (str(obj),)))
            return
        super().save(obj, save_persistent_id)

    def tensor(self, t):
        """((module, name), arguments) of a tensor's reconstruction."""
        if t.is_meta:
            return _parameter_of(t, "_rebuild_meta_tensor_no_storage", (t.dtype, tuple(t.shape), t.stride()),
                                 t.requires_grad)
        a = array(t.detach())
        owner = a
        while isinstance(owner.base, np.ndarray) and owner.base.dtype == a.dtype:
            owner = owner.base
        if not owner.flags.forc or not owner.flags.c_contiguous and owner.ndim > 1 and owner is not a:
            owner = a = np.ascontiguousarray(a)
        flat = owner.reshape(-1, order="A")
        start = (a.__array_interface__["data"][0] - owner.__array_interface__["data"][0])
        strides = tuple(t.stride()) if a.shape == tuple(t.shape) and a is not owner or \
            owner.flags.c_contiguous is False else tuple(meta(tuple(a.shape), t.dtype).strides)
        if a is not owner or not a.flags.c_contiguous:
            strides = tuple(
                s // a.itemsize for s in a.strides
            )
        key = id(owner)
        if key not in self.storages:
            self.storages[key] = (str(len(self.storages)), flat, t.dtype)
        name, flat, d = self.storages[key]
        parts = (
            _Reference((name, flat, d)),
            start // a.itemsize,
            tuple(t.shape),
            strides,
        )
        return _parameter_of(t, "_rebuild_tensor_v2", parts, t.requires_grad, OrderedDict())


def _parameter_of(t, function, parts, requires_grad, *rest):
    """((module, name), arguments) of a dense tensor that a function makes; of a parameter, around that."""
    if not isinstance(t, Parameter):
        return ("torch._utils", function), (*parts, requires_grad, *rest)
    plain = _Call(("torch._utils", function), (*parts, False, *rest))
    return ("torch._utils", "_rebuild_parameter"), (plain, requires_grad, OrderedDict())


def _sparse(t):
    """((module, name), arguments) of a sparse tensor's reconstruction."""
    if t.is_nested:
        raise NotImplementedError("save() of nested tensors is not implemented: save values() and offsets(), or unbind()")
    how = _Call(("torch.serialization", "_get_layout"), (str(t.layout),))
    parts = (*t._at, t._values(), t.shape)
    if t.layout is dtypes.sparse_coo:
        parts = (*parts, t.is_coalesced())
    made = ("torch._utils", "_rebuild_sparse_tensor"), (how, parts)
    if not isinstance(t, Parameter):
        return made
    return ("torch._utils", "_rebuild_parameter"), (_Call(*made), t.requires_grad, OrderedDict())


class _Call:
    """Pickled as a call of a function named in PyTorch's modules."""

    def __init__(self, function, args):
        self.function, self.args = function, args


@contextlib.contextmanager
def atomic_file(path):
    """A binary file that appears under `path` complete or not at all; an old file stays until then."""
    path = os.fspath(path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    _remove_leftovers(folder or ".", f".{name}.")
    file = open(temporary, "wb")
    try:
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(temporary, path)
    except BaseException:
        file.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _remove_leftovers(folder, start) -> None:
    """Unlink unfinished files of processes that are no more (they were killed while writing)."""
    for found in os.listdir(folder):
        number = found[len(start) : -len(".partial")]
        if found.startswith(start) and found.endswith(".partial") and number.isdigit():
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, found))
            except OSError:
                pass


def save(obj, f, pickle_module=None, pickle_protocol: int = 2,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Write an object with its tensors as a PyTorch .pt file (zip format).

    f: a path or a binary file. A path is replaced only when the new file is complete on disk: an
    error, a full disk or a killed process leaves the old one as it was.

    >>> import io
    >>> file = io.BytesIO()
    >>> torch.save({"step": 3, "weight": torch.ones(2)}, file)
    >>> _ = file.seek(0)
    >>> torch.load(file)
    {'step': 3, 'weight': tensor([1., 1.])}
    """
    if isinstance(f, (str, os.PathLike)):
        parent = os.path.dirname(os.path.abspath(os.fspath(f)))
        if not os.path.isdir(parent):
            raise RuntimeError(f"Parent directory {parent} does not exist.")
        name = os.path.splitext(os.path.basename(os.fspath(f)))[0] or "archive"
        with atomic_file(f) as file:
            _write(obj, file, name)
    elif hasattr(f, "write"):
        _write(obj, f, "archive")
    else:
        raise AttributeError(
            f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, not "
            f"{type(f).__name__}"
        )


def _write(obj, file, name) -> None:
    data = io.BytesIO()
    writer = _Writer(data)
    writer.dump(obj)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:

        def member(path, content):
            info = zipfile.ZipInfo(f"{name}/{path}", (1980, 1, 1, 0, 0, 0))
            # storages start at multiples of 64 bytes, so that they can be mapped into memory
            position = archive.fp.tell() if archive.fp is not None else 0
            header = 30 + len(info.filename.encode())
            gap = -(position + header + 4) % 64
            info.extra = b"FB" + gap.to_bytes(2, "little") + b"Z" * gap
            archive.writestr(info, content)

        member("data.pkl", data.getvalue())
        member(".format_version", b"1")
        member("byteorder", b"little")
        for key, flat, _ in writer.storages.values():
            member(f"data/{key}", np.ascontiguousarray(flat).tobytes())
        member("version", b"3\n")


# ---------------------------------------------------------------- reading


def _rebuild_tensor(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    flat, d = storage
    size, stride = tuple(size), tuple(stride)
    if flat is None:
        return _rebuild_meta(d, size, stride, requires_grad)
    span = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else 0
    if offset < 0 or any(s < 0 for s in stride) or offset + span > flat.size:
        raise pickle.UnpicklingError(
            f"a tensor of size {list(size)} and strides {list(stride)} at {offset} does not fit its "
            f"storage of {flat.size} elements"
        )
    item = flat.itemsize
    if span:
        a = np.ndarray(size, flat.dtype, flat, offset * item, tuple(s * item for s in stride))
    else:
        a = np.empty(size, flat.dtype)
    t = new(Tensor)
    t._s, t._tr, t._buf = idle(meta(size, d, stride), bool(requires_grad)), None, a
    t._offset = offset
    return t


def _rebuild_meta(d, size, stride, requires_grad):
    if not isinstance(d, dtypes.dtype) or not all(
        isinstance(n, int) and n >= 0 for n in (*size, *stride)
    ) or len(size) != len(stride):
        raise pickle.UnpicklingError(f"no tensor has size {size}, strides {stride} and dtype {d}")
    return without_values(meta(tuple(size), d, tuple(stride)), bool(requires_grad))


def _rebuild_parameter(data, requires_grad, hooks=None, state=None):
    made = Parameter(data, requires_grad)
    if state:
        made.__dict__.update(state)
    return made


def _rebuild_sparse(layout, parts):
    from .ops import sparse

    def checked(index):
        if not isinstance(index, Tensor) or index.dtype not in (dtypes.int64, dtypes.int32):
            raise pickle.UnpicklingError("a sparse tensor's indices are no integers")
        return index

    try:
        if layout is dtypes.sparse_coo:
            index, values, size, *coalesced = parts
            return sparse.sparse_coo_tensor(checked(index), values, size, check_invariants=True,
                                            is_coalesced=coalesced[0] if coalesced else None)
        starts, plain, values, size = parts
        return sparse.sparse_compressed_tensor(
            checked(starts), checked(plain), values, size, layout=layout, check_invariants=True)
    except RuntimeError as e:
        raise pickle.UnpicklingError(f"a sparse tensor's parts do not fit: {e}") from None


_LAYOUTS = {str(k): k for k in (dtypes.strided, dtypes.sparse_coo, dtypes.sparse_csr,
                                dtypes.sparse_csc)}


def _dtype_names():
    names = {f"torch.{n}": d for n, d in dtypes.ALL.items()}
    names.update({f"torch.{n}": d for n, d in dtypes.ALIASES.items()})
    return names


_NAMES: dict[str, Any] = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_meta_tensor_no_storage": _rebuild_meta,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_sparse_tensor": _rebuild_sparse,
    "torch.serialization._get_layout": _LAYOUTS.__getitem__,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.nn.parameter.Parameter": Parameter,
    "torch._tensor._rebuild_from_type_v2": lambda fn, kind, args, state: fn(*args),
    "torch.Size": Size,
    "torch.device": device_class,
    "torch.Tensor": Tensor,
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": __import__("collections").Counter,
    "collections.defaultdict": __import__("collections").defaultdict,
    "builtins.set": set,
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.tuple": tuple,
    "builtins.int": int,
    "builtins.float": float,
    "builtins.complex": complex,
    "builtins.bytearray": lambda content=b"", *how: _bytes_only(content, *how),
    "__builtin__.set": set,
    "__builtin__.complex": complex,
    "_codecs.encode": lambda text, how: text.encode(how) if how == "latin1" else _refuse_codec(how),
}


def _bytes_only(content, *how):
    if isinstance(content, int):
        raise pickle.UnpicklingError("a bytearray of a given size was refused")
    return bytearray(content, *how)


def _refuse_codec(how):
    raise pickle.UnpicklingError(f"the codec {how!r} is not allowed")


class _Reader(pickle._Unpickler):
    """Unpickles only what `_NAMES`, the dtypes, storages and `add_safe_globals` name.

    Python's own slow unpickler: the fast one gives memory to whatever size a file names.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file, storage, unrestricted: bool):
        super().__init__(file, encoding="utf-8")
        self.storage, self.unrestricted = storage, unrestricted

    def load_build(self):
        """State is given to instances of known kinds only: never to classes or functions."""
        kind = type(self.stack[-2])
        if kind is OrderedDict:  # (the version notes of a state_dict)
            state = self.stack.pop()
            if isinstance(state, dict):
                self.stack[-1].__dict__.update(state)
            return
        if not self.unrestricted and kind not in _safe_classes.values():
            raise pickle.UnpicklingError(
                f"setting the state of a '{kind.__name__}' was refused: it is not one of the classes "
                f"that were allowed"
            )
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module, name):
        full = f"{module}.{name}"
        if full in _NAMES:
            return _NAMES[full]
        if module in ("torch", "torch.storage") and name in _DTYPE_OF:
            return _DTYPE_OF[name]
        if full in ("torch.storage.UntypedStorage", "torch.UntypedStorage"):
            return dtypes.uint8
        found = _dtype_names().get(full)
        if found is not None:
            return found
        if full in _safe_classes:
            return _safe_classes[full]
        if self.unrestricted:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"Weights only load failed. The file asks for '{full}', which could run code when it is "
            f"loaded, so it was refused. If you trust the file, allow it with "
            f"torch.serialization.add_safe_globals([{name}]) or load with weights_only=False."
        )

    def persistent_load(self, saved):
        if not isinstance(saved, tuple) or saved[0] not in ("storage", b"storage"):
            raise pickle.UnpicklingError(f"unknown persistent id {saved!r:.80}")
        return self.storage(*saved[1:])


def is_allowed(full: str) -> bool:
    """Whether `load` takes a name (with its module) in a file."""
    module, _, name = full.rpartition(".")
    return (
        full in _NAMES or full in _safe_classes or full in ("torch.storage.UntypedStorage", "torch.UntypedStorage")
        or module in ("torch", "torch.storage") and name in _DTYPE_OF or full in _dtype_names()
    )


def load(f, map_location=None, pickle_module=None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args):
    """Read a .pt file written by PyTorch or by `save`.

    weights_only: True (default) allows tensors, containers, numbers, strings and the classes given
    to `add_safe_globals`; False allows any class that the file names. map_location: "meta" reads no
    values; else everything is loaded to the CPU. mmap: map tensors from a path.
    Raises RuntimeError for truncated or corrupt files, pickle.UnpicklingError for refused names.
    """
    hollow = False
    if isinstance(map_location, (str, device_class)):
        hollow = require(map_location).type == "meta"
    unrestricted = weights_only is False
    if isinstance(f, (str, os.PathLike)):
        path = os.fspath(f)
        with open(path, "rb") as file:
            return _read(file, path, unrestricted, mmap, hollow)
    if not hasattr(f, "read"):
        raise AttributeError(
            f"expected a path or a file with 'read' and 'seek', not {type(f).__name__}"
        )
    return _read(f, getattr(f, "name", "the given file"), unrestricted, False, hollow)


def _corrupt(name, why):
    return RuntimeError(
        f"PytorchStreamReader failed reading zip archive: {name!r} is not a complete checkpoint "
        f"({why}). It may have been cut short while being written or copied."
    )


def _read(file, name, unrestricted, mapped, hollow):
    head = file.read(4)
    file.seek(0)
    if len(head) == 0:
        raise EOFError(f"Ran out of input: {name!r} is empty")
    if head[:2] != b"PK":
        if hollow:
            raise RuntimeError(f"{name!r} is in the format before PyTorch 1.6, which can only be loaded to the CPU")
        return _read_legacy(file, name, unrestricted)
    try:
        with zipfile.ZipFile(file) as archive:
            members = {m.filename.split("/", 1)[-1]: m for m in archive.infolist()}
            if "data.pkl" not in members:
                raise _corrupt(name, "it has no data.pkl")
            size = os.fstat(file.fileno()).st_size if mapped else file.seek(0, os.SEEK_END)
            total = sum(m.file_size for m in members.values())
            if total > 16 * size + (1 << 20):
                raise _corrupt(name, f"its {size} bytes claim to hold {total}: a zip bomb")
            if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
                raise RuntimeError(f"{name!r} was written on a big-endian machine")
            known: dict[str, tuple] = {}

            def storage(d, key, location, size):
                if hollow:
                    return None, d
                if key not in known:
                    member = members.get(f"data/{key}")
                    if member is None:
                        raise _corrupt(name, f"storage {key} is missing")
                    known[key] = (_content(archive, member, d, file, mapped), d)
                flat, stored = known[key]
                return (flat if stored is d else flat.view(d.np)), d

            pickled = io.BytesIO(archive.read(members["data.pkl"]))
            return _Reader(pickled, storage, unrestricted).load()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, KeyError, IndexError) as e:
        raise _corrupt(name, e) from None
    except (pickle.UnpicklingError, RuntimeError, OSError):
        raise
    except Exception as e:  # whatever nonsense in the pickle leads to
        if unrestricted:
            raise
        raise _corrupt(name, f"{type(e).__name__}: {e}") from None


class PyTorchFileReader:
    """The records of a file that `save` wrote: `data.pkl`, `data/0`, ...

    file: a path or an open binary file. Raises zipfile.BadZipFile if it is no zip file.

    >>> torch.save(torch.zeros(2), "zeros.pt")
    >>> reader = torch.PyTorchFileReader("zeros.pt")
    >>> reader.has_record("data.pkl"), reader.get_record("data/0")
    (True, b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00')
    """

    def __init__(self, file) -> None:
        self._archive = zipfile.ZipFile(file)
        self._members = {m.filename.split("/", 1)[-1]: m for m in self._archive.infolist()}

    def get_all_records(self) -> list[str]:
        """The names of all records."""
        return list(self._members)

    def has_record(self, name: str) -> bool:
        """Whether there is a record of this name."""
        return name in self._members

    def get_record(self, name: str) -> bytes:
        """The bytes of a record. RuntimeError if there is none of this name."""
        if name not in self._members:
            raise RuntimeError(f"PytorchStreamReader failed locating file {name}: file not found")
        return self._archive.read(self._members[name])


def _content(archive, member, d, file, mapped):
    if mapped and member.compress_type == zipfile.ZIP_STORED and hasattr(file, "name"):
        file.seek(member.header_offset)
        header = file.read(30)
        skip = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        at = member.header_offset + 30 + skip
        return np.memmap(file.name, d.np, "c", at, member.file_size // d.itemsize).view(np.ndarray)
    raw = archive.read(member)
    if len(raw) % d.itemsize:
        raise zipfile.BadZipFile(f"storage {member.filename} has {len(raw)} bytes")
    return np.frombuffer(bytearray(raw), d.np)


MAGIC = 0x1950A86A20F9469CFC6C


def _read_legacy(file, name, unrestricted):
    """The format before PyTorch 1.6: pickles one after the other, then the storages' bytes."""
    wanted: dict[str, tuple] = {}

    def storage(d, key, location, size, view=None):
        if key not in wanted:
            wanted[key] = (np.zeros(size, d.np), d)
        flat, d = wanted[key]
        if view is not None:
            _, start, length = view
            return flat[start : start + length], d
        return flat, d

    try:
        if _Reader(file, storage, False).load() != MAGIC:
            raise _corrupt(name, "it is neither a zip archive nor a legacy checkpoint")
        _Reader(file, storage, False).load()
        _Reader(file, storage, False).load()
        result = _Reader(file, storage, unrestricted).load()
        keys = _Reader(file, storage, False).load()
        for key in keys:
            size = int.from_bytes(file.read(8), "little")
            flat, d = wanted[key]
            raw = file.read(size * d.itemsize)
            if len(raw) != size * d.itemsize or size > flat.size:
                raise _corrupt(name, f"storage {key} is cut short")
            flat[:size] = np.frombuffer(raw, d.np)
        return result
    except pickle.UnpicklingError as e:
        if "refused" in str(e):
            raise
        raise _corrupt(name, e) from None
    except (RuntimeError, OSError):
        raise
    except Exception as e:
        if unrestricted and not isinstance(e, (EOFError, KeyError)):
            raise
        raise _corrupt(name, f"{type(e).__name__}: {e}") from None

__getattr__ = _finder(__name__)
