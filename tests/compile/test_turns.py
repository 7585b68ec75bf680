"""The compiler's thread and one that runs programs take turns, and neither waits for ever."""

from __future__ import annotations

import os
import sys
import threading
from time import perf_counter as clock

import pytest

from rushlight.compile import background, cores, turns
from rushlight.interpret import program as tier0_program


def work(seconds):
    end = clock() + seconds
    while clock() < end:
        pass


@pytest.fixture
def compiler(monkeypatch):
    """Starts a thread in the compiler's place, which works in so many pieces of 0.2 ms."""
    background = turns._thread[:]
    started = []

    def start(pieces):
        def run():
            turns.begin()
            for _ in range(pieces):
                work(2e-4)
                turns.pause()
            turns.end()

        started.append(threading.Thread(target=run, daemon=True))
        started[0].start()
        return started[0]

    yield start
    started[0].join(60)
    assert not started[0].is_alive() and not turns._rests and tier0_program.OFFER[0] is None
    turns._thread[:] = background


def test_offered_stretches(compiler):
    """Who runs programs all the time gives stretches away, and the work is done."""
    thread, offers = compiler(300), 0
    while thread.is_alive():
        work(1e-4)
        offer = tier0_program.OFFER[0]
        if offer is not None:
            before = len(turns._rests)
            offer()
            offers += before and not turns._rests
    assert offers


def test_without_offers(compiler):
    """A thread that computes something else: the compiler goes on in between."""
    thread = compiler(100)
    while thread.is_alive():
        work(1e-3)


def test_who_waits_for_a_program_wakes_the_compiler(compiler, monkeypatch):
    monkeypatch.setattr(turns, "REST", 1e3)
    monkeypatch.setattr(turns, "LATE", -1.0)  # it rests after each stretch
    thread, pending = compiler(100), turns.Pending()
    while not turns._rests:
        work(1e-4)
    while thread.is_alive():
        assert not pending.wait(1e-2)


def test_two_threads_offer(compiler):
    """Only one of them is taken, and both go on."""
    thread = compiler(300)

    def run():
        while thread.is_alive():
            work(1e-4)
            offer = tier0_program.OFFER[0]
            if offer is not None:
                offer()

    others = [threading.Thread(target=run, daemon=True) for _ in range(2)]
    for t in others:
        t.start()
    for t in others:
        t.join(60)
    assert not any(t.is_alive() for t in others)


def test_outside_the_compiler_nothing_happens(monkeypatch):
    monkeypatch.setattr(turns, "_rest", None)
    turns.pause()
    turns.offer()


def test_the_compiler_goes_on_by_itself_while_an_offer_looks_at_the_time(monkeypatch):
    def now():
        turns._rests.clear()
        return clock()

    monkeypatch.setattr(turns, "_rests", [0.0])
    monkeypatch.setattr(turns, "clock", now)
    turns.offer()


def test_the_compiler_takes_its_wish_back_while_a_program_reads_it(monkeypatch):
    import rushlight as torch

    class Once(list):
        """Has something the first time that one looks, then None."""

        def __getitem__(self, index):
            found = super().__getitem__(index)
            self[index] = None
            return found

    offered = []
    x = torch.arange(3.0)
    monkeypatch.setattr(tier0_program, "OFFER", Once([lambda: offered.append(True)]))
    assert (x + 1).tolist() == [1.0, 2.0, 3.0] and (x + 1).tolist() == [1.0, 2.0, 3.0]
    assert offered


def test_a_forked_child_has_python_s_own_interval_and_all_threads():
    def now():
        return sys.getswitchinterval(), [x.get_num_threads() for x in cores.libraries()]

    background.wait()  # (what other tests have left to it: only one thread may change these)
    before = now()
    with turns.short():
        cores.leave_one()
        interval, threads = now()
        assert interval <= turns.CHANGE and threads == [max(n - 1, 1) for n in before[1]]
        pid = os.fork()
        if pid == 0:
            os._exit(0 if now() == before else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert now() == before


def test_nobody_waits_while_the_compiler_is_in_llvm(monkeypatch):
    from rushlight.compile.llvm import objects

    background.wait()
    monkeypatch.setattr(turns, "_thread", turns._thread[:])
    turns.begin()
    monkeypatch.setattr(turns, "_owing", [True])
    objects.compile_text("define void @f() {\n ret void\n}\n")
    assert turns._owing == [False] and turns._done.acquire(False)


def test_modules_are_fetched_in_stretches(tmp_path, monkeypatch):
    """The compiler's thread looks up before each module; the hook is one, and stays."""
    names = [f"fetched_by_the_compiler_{k}" for k in range(3)]
    for name, following in zip(names, [*names[1:], "json"], strict=True):
        (tmp_path / f"{name}.py").write_text(f"import {following}\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = turns._thread[:]
    seen = []
    try:
        turns.begin()
        turns.begin()
        assert sys.meta_path.count(turns._BeforeModules) == 1
        monkeypatch.setattr(turns, "pause", lambda: seen.append(threading.get_ident()))
        __import__(names[0])
        assert len(seen) >= len(names)
    finally:
        turns._thread[:] = before
        for name in names:
            sys.modules.pop(name, None)
