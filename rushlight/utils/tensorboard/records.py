"""TFRecord files: length, masked CRC-32C of it, data, masked CRC-32C of it, for each record."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
CHUNK = 256  # bytes that one lane of the vectorised checksum takes


class RecordError(ValueError):
    """A record whose checksum does not fit its data."""


@cache
def _table() -> list[int]:
    """What a byte adds to the remainder."""
    made = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (POLYNOMIAL if n & 1 else 0)
        made.append(n)
    return made


@cache
def _skips() -> list[list[int]]:
    """Four tables (a byte of the remainder each): the remainder after CHUNK zero bytes."""
    table = np.array(_table(), np.uint32)
    state = np.concatenate([np.arange(256, dtype=np.uint32) << 8 * i for i in range(4)])
    for _ in range(CHUNK):
        state = table[state & 0xFF] ^ (state >> 8)
    return state.reshape(4, 256).tolist()


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data` (RFC 3720).

    Long data is cut into chunks whose remainders are found side by side: the checksum is linear, so
    the remainder of a whole is that of its first part, moved past the rest, exclusive-or the rest's.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    state, at = 0xFFFFFFFF, 0
    if len(data) >= 16 * CHUNK:
        count = len(data) // CHUNK
        at = count * CHUNK
        lanes = np.frombuffer(data, np.uint8, at).reshape(count, CHUNK).T.astype(np.uint32)
        table = np.array(_table(), np.uint32)
        sums = np.zeros(count, np.uint32)
        for row in lanes:
            sums = table[(sums ^ row) & 0xFF] ^ (sums >> 8)
        a, b, c, d = _skips()
        for s in sums.tolist():
            state = a[state & 255] ^ b[state >> 8 & 255] ^ c[state >> 16 & 255] ^ d[state >> 24] ^ s
    steps = _table()
    for byte in data[at:]:
        state = steps[(state ^ byte) & 0xFF] ^ state >> 8
    return state ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """The form in which TFRecord stores a checksum: rotated and moved by a constant."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """`data` as one record."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", masked(crc32c(length))), data,
                     struct.pack("<I", masked(crc32c(data)))))


def read_records(content: bytes, name: str = "") -> Iterator[bytes]:
    """The data of each record; a last record that is cut off is left out.

    RecordError if a checksum does not fit.
    """
    at = 0
    while at + 12 <= len(content):
        head = content[at : at + 8]
        (length,) = struct.unpack("<Q", head)
        if struct.unpack_from("<I", content, at + 8)[0] != masked(crc32c(head)):
            raise RecordError(f"{name}: the record at byte {at} has a wrong checksum of its length")
        end = at + 12 + length
        if end + 4 > len(content):
            return
        data = content[at + 12 : end]
        if struct.unpack_from("<I", content, end)[0] != masked(crc32c(data)):
            raise RecordError(f"{name}: the record at byte {at} has a wrong checksum of its data")
        yield data
        at = end + 4
