"""What the generators need to know of a processor, as data: vector width, registers, caches.

`HOST` is found at first use. The others are for tests: code for a smaller target runs on a larger
machine, and for a foreign one it is compiled only.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A processor as the generators see it."""

    name: str
    triple: str
    cpu: str
    features: str
    vector_bytes: int  # of one register
    vector_registers: int
    l1_bytes: int  # of one core
    l2_bytes: int
    masked: bool = True  # has cheap masked loads and stores of 4 and 8 bytes
    bfloat16_dot: bool = False  # multiplies pairs of bfloat16 into float32
    float16: bool = True  # converts to float16 and back
    amx: bool = False  # multiplies blocks of bfloat16, and Linux lets this process do so

    def lanes(self, itemsize: int) -> int:
        """Elements of a size in one vector register."""
        return max(self.vector_bytes // itemsize, 1)


X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
AVX512 = Target("avx512", X86, "x86-64-v4", "-prefer-256-bit", 64, 32, 32 << 10, 1 << 20)
AVX2 = Target("avx2", X86, "x86-64-v3", "", 32, 16, 32 << 10, 512 << 10)
GENERIC = Target("generic128", X86, "x86-64-v2", "", 16, 16, 32 << 10, 256 << 10, masked=False,
                 float16=False)
NEON = Target("neon", ARM, "generic", "+neon", 16, 32, 32 << 10, 512 << 10, masked=False)
LEVELS = {t.name: t for t in (AVX512, AVX2, GENERIC, NEON)}


@functools.cache
def host() -> Target:
    """This machine's target; RUSHLIGHT_TARGET names a smaller level to use instead."""
    wanted = os.environ.get("RUSHLIGHT_TARGET")
    if wanted:
        return LEVELS[wanted]
    import llvmlite.binding as binding

    has = {name for name, on in binding.get_host_cpu_features().items() if on}
    l1, l2 = _cache_bytes(1, 32 << 10), _cache_bytes(2, 512 << 10)
    features = binding.get_host_cpu_features().flatten()
    cpu, triple = binding.get_host_cpu_name(), binding.get_default_triple()
    common = {"triple": triple, "cpu": cpu, "features": features, "l1_bytes": l1, "l2_bytes": l2}
    if "avx512f" in has and "avx512vl" in has and "avx512dq" in has:
        common["features"] += ",-prefer-256-bit"
        amx = {"amx-tile", "amx-bf16", "avx512bw", "avx512bf16"} <= has
        # where there is AMX, a product of pairs takes longer than two of float32
        return Target("avx512", vector_bytes=64, vector_registers=32, **common,
                      bfloat16_dot="avx512bf16" in has and not amx, amx=amx and _allow_amx())
    if "avx2" in has and "fma" in has:
        return Target("avx2", vector_bytes=32, vector_registers=16, **common,
                      float16="f16c" in has)
    if triple.startswith(("aarch64", "arm64")):
        return Target("neon", vector_bytes=16, vector_registers=32, masked=False, **common)
    return Target("generic128", vector_bytes=16, vector_registers=16, masked=False, **common,
                  float16="f16c" in has)


_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18  # of Linux on x86-64


def _allow_amx() -> bool:
    """Ask Linux for AMX's registers, for all threads of this process; whether it agrees."""
    if not sys.platform.startswith("linux"):
        return False
    syscall = ctypes.CDLL(None).syscall
    syscall.restype, syscall.argtypes = ctypes.c_long, [ctypes.c_long] * 3
    return syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0


def _cache_bytes(level: int, default: int) -> int:
    """The size of the first core's data cache, as Linux tells it."""
    base = "/sys/devices/system/cpu/cpu0/cache"
    try:
        for index in os.listdir(base):
            if not index.startswith("index"):
                continue
            read = {}
            for what in ("level", "type", "size"):
                with open(f"{base}/{index}/{what}") as f:
                    read[what] = f.read().strip()
            if int(read["level"]) == level and read["type"] != "Instruction":
                return int(read["size"].rstrip("K")) << 10
    except (OSError, ValueError):
        pass
    return default
