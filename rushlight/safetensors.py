"""The safetensors format: tensors by name, nothing that could run.

A file is the length of a JSON header (8 bytes, little-endian), the header (for each name its dtype,
shape and place), and the tensors' bytes. Names and arguments are those of the safetensors package's
`safetensors.torch`; the format: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np

from .serialization import atomic_file
from .trace import dtypes
from .trace.device import require
from .trace.tensor import Tensor, array, wrap

__all__ = ["SafetensorError", "load", "load_file", "load_model", "safe_open", "save", "save_file",
           "save_model"]

_CODES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64", "U16": "uint16", "U32": "uint32", "U64": "uint64",
}
_NAMES = {name: code for code, name in _CODES.items()}
_LARGEST_HEADER = 100_000_000  # bytes; the format's own limit


class SafetensorError(Exception):
    """A file that is not a complete safetensors file, or tensors that it cannot hold.

    >>> torch.safetensors.load(b"nothing")
    Traceback (most recent call last):
        ...
    rushlight.safetensors.SafetensorError: the given bytes: header too small (7 bytes)
    """


def _encode(tensors: dict[str, Tensor], metadata: dict[str, str] | None):
    """(header with its length, arrays in order)."""
    if not isinstance(tensors, dict):
        raise ValueError(
            f"Expected a dict of [str, torch.Tensor] but received {type(tensors).__name__}"
        )
    shared: dict[int, list[str]] = {}
    for name, t in tensors.items():
        if not isinstance(t, Tensor):
            raise ValueError(
                f"Key `{name}` is invalid, expected torch.Tensor but received {type(t).__name__}"
            )
        if t.numel():
            shared.setdefault(t.untyped_storage().data_ptr(), []).append(name)
    twice = [names for names in shared.values() if len(names) > 1]
    if twice:
        raise RuntimeError(
            f"Some tensors share memory, this will lead to duplicate memory on disk and potential "
            f"differences when loading them again: {twice}. Use `save_model`, or clone them."
        )
    header: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(x, str) for pair in metadata.items() for x in pair):
            raise SafetensorError("metadata must be a dict of str to str")
        header["__metadata__"] = dict(metadata)
    arrays, at = [], 0
    order = sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n))  # aligned by size
    for name in order:
        t = tensors[name]
        code = _NAMES.get(t.dtype.name)
        if code is None:
            raise SafetensorError(f"tensor '{name}': the format has no dtype {t.dtype}")
        if not t.is_contiguous():
            raise ValueError(
                f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. "
                "Call .contiguous() before saving."
            )
        a = np.ascontiguousarray(array(t.detach()))
        header[name] = {"dtype": code, "shape": list(t.shape), "data_offsets": [at, at + a.nbytes]}
        arrays.append(a)
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, arrays


def save(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file.

    >>> from rushlight import safetensors
    >>> safetensors.load(safetensors.save({"a": torch.ones(2)}))
    {'a': tensor([1., 1.])}
    """
    head, arrays = _encode(tensors, metadata)
    return head + b"".join(a.tobytes() for a in arrays)


def save_file(
    tensors: dict[str, Tensor], filename: str | os.PathLike, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors to a file, which is replaced only when the new one is complete.

    Raises ValueError for values that are no contiguous tensors, RuntimeError for shared memory.
    """
    head, arrays = _encode(tensors, metadata)
    with atomic_file(filename) as file:
        file.write(head)
        for a in arrays:
            file.write(a.tobytes())


def _header(raw: bytes, total: int, name: str) -> tuple[dict[str, Any], dict[str, str], int]:
    """(checked entries, metadata, where the data begins) from a file's first bytes."""
    if len(raw) < 8:
        raise SafetensorError(f"{name}: header too small ({len(raw)} bytes)")
    length = int.from_bytes(raw[:8], "little")
    if length > min(total - 8, _LARGEST_HEADER):
        raise SafetensorError(
            f"{name}: invalid header length {length} in a file of {total} bytes: it was cut short, or "
            "is no safetensors file"
        )
    try:
        header = json.loads(raw[8 : 8 + length])
    except (ValueError, RecursionError) as e:
        raise SafetensorError(f"{name}: invalid header: {e}") from None
    if not isinstance(header, dict):
        raise SafetensorError(f"{name}: invalid header: {type(header).__name__}, not an object")
    notes = header.pop("__metadata__", {})
    at = 0
    for key, entry in sorted(header.items(), key=_start):
        try:
            code, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            itemsize = dtypes.ALL[_CODES[code]].itemsize
            whole = all(type(n) is int and n >= 0 for n in (*shape, start, end))
        except (KeyError, TypeError, ValueError):
            raise SafetensorError(f"{name}: tensor '{key}' is not described: {entry!r:.80}") from None
        if not whole or start != at or end - start != math.prod(shape) * itemsize:
            raise SafetensorError(
                f"{name}: tensor '{key}' of {code} and shape {shape} has invalid offsets "
                f"[{start}, {end}]"
            )
        at = end
    if 8 + length + at != total:
        raise SafetensorError(
            f"{name}: incomplete: the header describes {at} bytes of data, there are "
            f"{total - 8 - length}"
        )
    return header, notes, 8 + length


def _start(item: tuple[str, Any]) -> Any:
    try:
        return tuple(item[1]["data_offsets"])
    except (KeyError, TypeError):
        return (-1,)


def _tensor(data: np.ndarray, entry: dict[str, Any]) -> Tensor:
    """A tensor on bytes that are already there."""
    start, end = entry["data_offsets"]
    d = dtypes.ALL[_CODES[entry["dtype"]]]
    part = data[start:end]
    if start % d.itemsize or part.ctypes.data % d.itemsize:
        part = part.copy()
    return wrap(part.view(d.np).reshape(entry["shape"]))


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file. SafetensorError if they are not one."""
    header, _, at = _header(data, len(data), "the given bytes")
    content = np.frombuffer(bytearray(data[at:]), np.uint8)
    return {name: _tensor(content, entry) for name, entry in header.items()}


def load_file(filename: str | os.PathLike, device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors of a file, by name; mapped into memory, so that only what is used is read.

    Writing into a tensor does not change the file. SafetensorError if the file is damaged.
    """
    with safe_open(filename, "pt", device) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


class safe_open:
    """A file's tensors one by one: `keys()`, `get_tensor(name)`, `get_slice(name)`, `metadata()`.

    filename: the file, which is mapped into memory. Raises SafetensorError if it is not complete.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/weights.safetensors"
    >>> torch.safetensors.save_file({"a": torch.arange(6).reshape(2, 3)}, path)
    >>> with torch.safetensors.safe_open(path) as file:
    ...     list(file.keys()), file.get_slice("a")[:, 1:]
    (['a'], tensor([[1, 2],
            [4, 5]]))
    """

    def __init__(self, filename: str | os.PathLike, framework: str = "pt", device: Any = "cpu"):
        require(device)
        self.name = os.fspath(filename)
        total = os.path.getsize(self.name)
        with open(self.name, "rb") as file:
            raw = file.read(8)
            raw += file.read(min(int.from_bytes(raw, "little"), _LARGEST_HEADER))
        self._entries, self._notes, at = _header(raw, total, self.name)
        self._data = (
            np.memmap(self.name, np.uint8, "c", at).view(np.ndarray) if total > at
            else np.empty(0, np.uint8)
        )

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def keys(self) -> list[str]:
        """The tensors' names."""
        return sorted(self._entries)

    def metadata(self) -> dict[str, str] | None:
        """The notes of the file, or None."""
        return self._notes or None

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self._entries:
            raise SafetensorError(f"File does not contain tensor {name}: it has {self.keys()}")
        return self._entries[name]

    def get_tensor(self, name: str) -> Tensor:
        """One tensor."""
        return _tensor(self._data, self._entry(name))

    def get_slice(self, name: str) -> _Slice:
        """A tensor to be indexed: only the part that is taken is read."""
        return _Slice(self.get_tensor(name), self._entry(name))


class _Slice:
    def __init__(self, tensor: Any, entry: dict[str, Any]) -> None:
        self._tensor, self._entry = tensor, entry

    def get_shape(self) -> list[int]:
        return list(self._entry["shape"])

    def get_dtype(self) -> str:
        return self._entry["dtype"]

    def __getitem__(self, index: Any) -> Tensor:
        return self._tensor[index].clone()


def save_model(
    model: Any, filename: str | os.PathLike, metadata: dict[str, str] | None = None,
    force_contiguous: bool = True,
) -> None:
    """Write a module's state; of names that share memory, one is written and the others noted."""
    state, notes = {}, dict(metadata or {})
    first: dict[tuple, str] = {}
    for name, t in model.state_dict().items():
        key = (t.untyped_storage().data_ptr(), t.storage_offset(), tuple(t.shape), t.stride())
        if t.numel() and key in first:
            notes[name] = first[key]
            continue
        first[key] = name
        state[name] = t.contiguous() if force_contiguous else t
    save_file(state, filename, notes)


def load_model(
    model: Any, filename: str | os.PathLike, strict: bool = True, device: Any = "cpu"
) -> tuple[list[str], list[str]]:
    """Load what `save_model` wrote; returns (missing, unexpected) names, RuntimeError if strict."""
    with safe_open(filename, "pt", device) as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for name, source in (file.metadata() or {}).items():
            if source in state and name not in state:
                state[name] = state[source]
    missing, unexpected = model.load_state_dict(state, strict=strict)
    return missing, unexpected
