"""How many cores NumPy's products take: who wants fewer gets them, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import numpy as np
import pytest

import rushlight
from rushlight.compile import background, cores
from rushlight.interpret import products


@pytest.fixture(autouse=True)
def four():
    """NumPy's library with four threads, and native programs with two."""
    background.wait()
    before = [x.get_num_threads() for x in cores.libraries()]
    shared = products.ALONE[0]
    for x in cores.libraries():
        x.set_num_threads(4)
    cores.share(2)
    yield
    products.ALONE[0] = shared
    for x, n in zip(cores.libraries(), before, strict=True):
        x.set_num_threads(n)


def now() -> int:
    return max(x.get_num_threads() for x in cores.libraries())


def seen(monkeypatch, a, b) -> int:
    """With how many threads a product of references runs."""
    found = []
    multiply = np.matmul

    def matmul(*given):
        found.append(now())
        return multiply(*given)

    with monkeypatch.context() as m:
        m.setattr(np, "matmul", matmul)
        np.testing.assert_array_equal(products.matmul(a, b), multiply(a, b))
    return found[0]


def test_small_products_leave_the_cores_to_native_programs(monkeypatch):
    small, large = np.ones((64, 64), np.float32), np.ones((400, 400), np.float32)
    assert seen(monkeypatch, small, small) == 1
    assert seen(monkeypatch, large, large) == 4 and now() == 4
    cores.share(1)  # native programs have one thread: there is nothing to leave to them
    assert seen(monkeypatch, small, small) == 4


def test_who_wants_fewer_at_the_same_time():
    alone = products.ALONE[0]
    with alone:
        cores.leave_one()
        assert now() == 1
    assert now() == 3
    with alone:
        cores.give_back()
        assert now() == 1
    assert now() == 4


def test_a_number_that_is_set_meanwhile(monkeypatch):
    from rushlight.compile import threads

    monkeypatch.setattr(threads, "use", lambda n: None)
    cores.leave_one()
    rushlight.set_num_threads(2)
    assert now() == 1
    cores.give_back()
    assert now() == 2


def test_many_threads_at_once():
    def run():
        a = np.ones((64, 64), np.float32)
        for _ in range(200):
            products.matmul(a, a)

    started = [threading.Thread(target=run) for _ in range(4)]
    for t in started:
        t.start()
    for t in started:
        t.join(60)
    assert now() == 4


def test_a_fork_within_a_product():
    with products.ALONE[0]:
        pid = os.fork()
        if pid == 0:
            os._exit(0 if now() == 4 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert now() == 4


def test_an_interrupt_leaves_nothing_behind():
    """A signal's handler may raise anywhere in the context: the next product makes up for it."""
    a = np.ones((64, 64), np.float32)

    def interrupted(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        for k in range(60):
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 2e-4 + k * 1e-6)
                while True:
                    products.matmul(a, a)
            products.matmul(a, a)
            assert now() == 4
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
