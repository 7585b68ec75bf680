"""Random programs for as long as asked, in PyTorch and in Rushlight, with all caches forced small.

    python benchmarks/soak.py --minutes 60 --seed 0        (needs PyTorch; about 8 programs a second)
    python benchmarks/soak.py --programs 1 --seed 4711     (one program again)

Each program (random_programs.py) runs several times on two sets of data, so that it is recorded, replayed and compiled,
in the calling thread or behind its back; at times in several threads; and once more later, when the trie and the disk
cache have lost it. One that differs is shrunk and printed as a function. A difference that only one set of data
shows is counted apart: near a kink of a function, or at an edge between branches, rounding makes one. Exit status 1:
something differs, or memory grows.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import os
import random
import sys
import tempfile
import threading
import time
import warnings

from random_programs import Program, draw

KEPT_BY_LLVM = 9.3e-3  # megabytes of each module that was ever loaded, also when it has been unloaded


def check(program: Program, rounds: int = 8) -> str:
    """Run a program again and again on two sets of data: the first difference, or "".

    A difference is confirmed by other data.
    """
    from rushlight.compile import background

    found = ""
    for j in range(rounds):
        if j == rounds - 2:
            background.wait()
        found = found or program.differs(j % 2)
        for _, e in background.failures:
            return f"not compiled: {e!r}"
    if found and not any(program.differs(k) for k in range(2, 8) for _ in range(3)):
        return "perhaps rounding: " + found
    return found


def shrunk(program: Program) -> Program:
    """The program without the lines that it differs without, as far as leaving out one by one goes."""
    from rushlight.compile import background
    from rushlight.trace import trie

    for at in reversed(range(len(program.lines))):
        trie.forget()
        background.failures.clear()
        less = Program(program.seed, program.lines[:at] + program.lines[at + 1 :], program.precision)
        found = check(less)
        if found and not found.startswith("perhaps"):
            program = less
    return program


def in_threads(programs: list[Program], rounds: int = 4) -> list[tuple[Program, str]]:
    """Run programs at the same time, each in two threads: those that differ, and how."""
    found: list = []

    def work(program):
        for j in range(rounds):
            different = program.differs(j % 2)
            if different:
                found.append((program, different))
                return

    for p in programs:
        p.wanted(0), p.wanted(1)
    threads = [threading.Thread(target=work, args=(p,)) for p in programs for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return found


@contextlib.contextmanager
def small_bounds():
    """All caches as small as they can be without being useless, and everything is worth compiling."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(RUSHLIGHT_CACHE=folder, RUSHLIGHT_CACHE_SIZE="1")
        from rushlight.compile import emit
        from rushlight.interpret import program as tier0_program
        from rushlight.trace import record, trie

        trie.MAX_NODES, trie.SOFT_OPS, trie.HARD_OPS = 5000, 50, 150
        trie.MAX_PENDING_BYTES, trie.PRUNE_BYTES = 1 << 18, 1 << 12
        tier0_program.COST, tier0_program.MOST_COMPILED, record.MOST_REMEMBERED = 0.0, 50, 100
        emit.MOST_KERNELS = 200
        yield


def memory() -> float:
    """Resident megabytes of this process."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(seed: int, minutes: float, programs: int | None, verbose: bool = True) -> int:
    """Check programs from a seed on until the time is over; the number of those that differ."""
    from rushlight.compile import background
    from rushlight.compile.llvm import objects
    from rushlight.tools import kernel_cache
    from rushlight.trace.trie import Stats

    begin = told = time.perf_counter()
    older: collections.deque = collections.deque(maxlen=100)
    differing: set = set()  # seeds
    doubtful: set = set()
    sizes: list = []
    for number in itertools.count() if programs is None else range(programs):
        background.MODE = "now" if number % 3 else "background"
        program = draw(seed + number)
        found = [(program, check(program))]
        if number % 10 == 9:
            found += in_threads([program, *random.Random(number).sample(older, min(3, len(older)))])
        elif older:
            program = random.Random(number).choice(older)
            found.append((program, check(program, 3)))
        for program, how in found:
            if how.startswith("perhaps"):
                doubtful.add(program.seed)
            elif how and program.seed not in differing:
                differing.add(program.seed)
                print(f"\n{shrunk(program)}\n# {how[:600]}\n", flush=True)
                background.failures.clear()
        if not found[0][1]:
            older.append(found[0][0])
        now = time.perf_counter()
        if verbose and now - told > 60:
            told = now
            sizes.append(memory() - KEPT_BY_LLVM * (objects.Counters.compiled + objects.Counters.reused))
            print(f"{(now - begin) / 60:5.0f} min, {number + 1} programs, {len(differing)} differ, {len(doubtful)} perhaps "
                  f"by rounding; {memory():.0f} MB, {sizes[-1]:.0f} without LLVM's, {Stats.snapshot()['nodes']} nodes, {Stats.prunes} prunes, "
                  f"{objects.loaded()} kernels in memory, {kernel_cache.show().nbytes / 1e6:.2f} MB on disk", flush=True)
        if programs is None and now - begin > 60 * minutes:
            break
    if len(sizes) >= 8 and sizes[-1] > 1.2 * sizes[len(sizes) // 4]:
        print(f"memory grows: {sizes[len(sizes) // 4]:.0f} MB after a quarter of the time, {sizes[-1]:.0f} at the end")
        differing.add("memory")
    print(f"{number + 1} programs from seed {seed}: {len(differing)} differ, perhaps by rounding {sorted(doubtful)}")
    return len(differing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--programs", type=int, help="so many, instead of minutes")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with small_bounds():
        sys.exit(bool(soak(given.seed, given.minutes, given.programs)))


if __name__ == "__main__":
    main()
