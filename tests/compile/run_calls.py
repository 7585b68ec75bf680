"""Runs a kernel family's `list[Call]` on NumPy arrays, without the machinery of programs."""

from __future__ import annotations

import ctypes
import mmap
import random
import struct

import numpy as np

from rushlight.compile import threads
from rushlight.compile.kernels.call import Address, Call, ErrorWord, Workspace
from rushlight.compile.llvm import objects

PAGE = mmap.PAGESIZE
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
THREADS = 4  # at most, with the caller
BEYOND = 1 << 18  # bytes after a workspace that are looked at
POISON = 0xFB  # workspaces are filled with it: a kernel that reads what it did not write is found


def run_calls(calls: list[Call], buffers: dict, *, workers: int = 0, order: str = "up") -> None:
    """Run the calls one after another; an Address names one of `buffers`, arrays held in place.

    Arrays that own their memory are `guarded` meanwhile.
    workers: 0 runs chunks here, in this order ("up", "down" or "mixed"); more: through the pool.
    """
    own = {n: x for n, x in buffers.items() if x is not None and x.flags.owndata and x.flags.forc}
    guards = {id(x): guarded(x) for x in own.values()}  # arrays may have several names
    buffers.update({n: guards[id(x)] for n, x in own.items()})
    parts = THREADS if workers else 1
    prepared = prepare(calls, buffers, parts)
    for run, block, chunks, _ in prepared:
        if workers:
            pool_run(workers)(ctypes.cast(run, ctypes.c_void_p).value, block, chunks)
            continue
        numbers = list(range(chunks))
        if order == "down":
            numbers.reverse()
        elif order == "mixed":
            random.Random(chunks).shuffle(numbers)
        for chunk in numbers:
            run(block, chunk, 0)
    for word, memory in prepared[0][3][1].items() if prepared else ():
        end = -memory.ctypes.data % 64 + -(-word.nbytes * (parts if word.per_thread else 1) // 64) * 64
        beyond = memory[end : end + BEYOND]
        assert (beyond == POISON).all(), f"{np.flatnonzero(beyond != POISON).max() + 1} bytes written beyond {word}"
    for n, x in own.items():
        x[...] = buffers[n]
        buffers[n] = x


def prepare(calls: list[Call], buffers: dict, parts: int = 1) -> list[tuple]:
    """(function, address of its argument block, chunks, what must stay alive) of each call; parts: threads with scratch memory."""
    scratch: dict[Workspace, np.ndarray] = {}  # one Workspace in several calls is the same memory
    prepared = []
    for call in calls:
        block = np.array([_word(w, buffers, scratch, parts) for w in call.words] or [0], np.int64)
        code = objects.load(call.text, call.exports or (call.function,))
        kept = block, scratch, code
        prepared.append((KERNEL(code[call.function]), block.ctypes.data, call.chunks, kept))
    return prepared


def _word(word, buffers: dict, scratch: dict[Workspace, np.ndarray], parts: int) -> int:
    if isinstance(word, Address) and not isinstance(word.buffer, Workspace):
        return buffers[word.buffer].ctypes.data + word.offset
    if isinstance(word, Address):
        return _word(word.buffer, buffers, scratch, parts) + word.offset
    if isinstance(word, Workspace):
        nbytes = word.nbytes * (parts if word.per_thread else 1)
        if word not in scratch:
            scratch[word] = np.full(nbytes + BEYOND + 64, POISON, np.uint8)
        return scratch[word].ctypes.data + -scratch[word].ctypes.data % 64
    if isinstance(word, ErrorWord):
        return buffers["errors"].ctypes.data
    if isinstance(word, float):
        return struct.unpack("<q", struct.pack("<d", word))[0]
    return word


def guarded(x: np.ndarray) -> np.ndarray:
    """A copy between two pages that may not be touched: it ends where the second one begins."""
    size = -(-x.nbytes // PAGE) * PAGE + 2 * PAGE
    memory = np.frombuffer(mmap.mmap(-1, size), np.uint8)
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for page in (0, size - PAGE):
        assert protect(memory.ctypes.data + page, PAGE, 0) == 0
    memory = memory[size - PAGE - x.nbytes : size - PAGE]
    copy = np.ndarray(x.shape, x.dtype, memory, strides=x.strides)
    copy[...] = x
    return copy


def pool_run(workers: int):
    """`pool_run(function, arguments, chunks)` with `workers` threads besides the caller.

    The process's own pool: a second set of workers would share their scratch memory with it.
    """
    threads.runtime().use(workers + 1)
    return KERNEL(threads.pool_address())
