"""Protocol buffers' wire format, as far as event files need it: writing and reading fields.

A message is a sequence of fields: a key (number and kind) and a value, which is a varint (kind 0), 8
bytes (1), a length and bytes (2) or 4 bytes (5). See protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any


def varint(n: int) -> bytes:
    """A whole number in groups of 7 bits, lowest first; negative ones as 64-bit complement."""
    n &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def integer(number: int, value: int) -> bytes:
    """A field of type int32, int64, bool or enum."""
    return varint(number << 3) + varint(int(value))


def double(number: int, value: float) -> bytes:
    """A field of type double."""
    return varint(number << 3 | 1) + struct.pack("<d", value)


def single(number: int, value: float) -> bytes:
    """A field of type float; what is too large becomes infinite."""
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        packed = struct.pack("<f", float("inf") if value > 0 else float("-inf"))
    return varint(number << 3 | 5) + packed


def data(number: int, value: bytes | str) -> bytes:
    """A field of type bytes, string or message."""
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def doubles(number: int, values: Any) -> bytes:
    """A packed field of doubles."""
    values = [float(v) for v in values]
    return data(number, struct.pack(f"<{len(values)}d", *values))


def entry(number: int, key: str, value: bytes) -> bytes:
    """One entry of a map from string to message."""
    return data(number, data(1, key) + data(2, value))


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field: int for varints, bytes for everything else.

    ValueError if the message is cut off or has a kind that does not exist.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _read_varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind} at byte {at} of a message")
        if at + size > end:
            raise ValueError(f"a field of {size} bytes ends after its message of {end} bytes")
        yield key >> 3, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a varint is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def signed(n: int) -> int:
    """A varint as int64."""
    return n - (1 << 64) if n >= 1 << 63 else n


def floats(packed: bytes, kind: str = "d") -> list[float]:
    """Numbers of a packed field (or of a single one); kind: "d" or "f"."""
    return list(struct.unpack(f"<{len(packed) // struct.calcsize(kind)}{kind}", packed))
