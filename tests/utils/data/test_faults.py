"""What goes wrong in data sets and workers: clear errors within seconds, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import rushlight

data = rushlight.utils.data


class Numbers:
    def __len__(self):
        return 20

    def __getitem__(self, i):
        return float(i)


class Missing(Numbers):
    """One sample cannot be read; the data set knows its files."""

    samples = [(f"/pictures/{i}.png", 0) for i in range(20)]

    def __getitem__(self, i):
        if i == 13:
            raise OSError("cannot read")
        return float(i)


def notes(error):
    return " | ".join(error.__notes__)


@pytest.mark.parametrize("wrap,index", [
    (lambda d: d, 13),
    (lambda d: data.Subset(d, list(range(19, -1, -1))), 6),
    (lambda d: data.ConcatDataset([Numbers(), d]), 33),
], ids=["plain", "subset", "concat"])
def test_the_sample_and_its_file_are_named(wrap, index):
    dataset = wrap(Missing())
    with pytest.raises(OSError) as e:
        list(data.DataLoader(dataset, 4))
    assert notes(e.value) == f"while fetching sample {index} (file /pictures/13.png)"
    with pytest.raises(OSError, match=r"in DataLoader worker process \d while fetching indices "
                       rf"\[.*{index}.*\] \(while fetching sample {index} \(file /pictures/13.png"):
        list(data.DataLoader(dataset, 4, num_workers=2))


class Ragged(Numbers):
    def __getitem__(self, i):
        return np.zeros(3 if i != 6 else 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_ragged_samples(workers):
    with pytest.raises(RuntimeError, match=r"(?s)\[3\] at entry 0 and \[4\] at entry 2") as e:
        list(data.DataLoader(Ragged(), 4, num_workers=workers))
    shown = str(e.value) if workers else notes(e.value)
    assert "while collating the samples [4, 5, 6, 7]" in shown


class Strange(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


class Raising(Numbers):
    def __init__(self, error):
        self.error = error

    def __getitem__(self, i):
        if i == 5:
            raise self.error
        return float(i)


@pytest.mark.parametrize("error,kind", [
    (KeyError("k"), KeyError),
    (Strange(1, 2), RuntimeError),
    (UnicodeDecodeError("utf8", b"x", 0, 1, "bad"), RuntimeError),
    (StopIteration("early"), Exception),
], ids=lambda e: type(e).__name__)
def test_exceptions_of_every_kind(error, kind):
    loader = data.DataLoader(Raising(error), 2, num_workers=2)
    if isinstance(error, StopIteration):
        assert len(list(loader)) < 10  # as in PyTorch, it ends something
        return
    iterator = iter(loader)
    assert next(iterator).tolist() == [0, 1]
    next(iterator)
    with pytest.raises(kind, match=type(error).__name__):
        next(iterator)
    assert [b.tolist()[0] for b in iterator] == [6, 8, 10, 12, 14, 16, 18]  # it can go on


class Unpicklable(Numbers):
    def __getitem__(self, i):
        return lambda: i


def test_a_batch_that_cannot_be_sent():
    with pytest.raises(Exception, match="(?i)pickle.*|local object"):
        next(iter(data.DataLoader(Unpicklable(), 2, num_workers=1, collate_fn=list)))


def broken_start(worker):
    raise ValueError(f"no start for {worker}")


def test_worker_init_fn_fails():
    with pytest.raises(ValueError, match="(?s)worker process 0.*no start for 0"):
        list(data.DataLoader(Numbers(), 2, num_workers=1, worker_init_fn=broken_start))


class Exits(Numbers):
    def __init__(self, how):
        self.how = how

    def __getitem__(self, i):
        if i == 9:
            self.how()
        return float(i)


@pytest.mark.parametrize("how,told", [
    (lambda: os._exit(3), "exit code 3"),
    (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by signal 9"),
], ids=["exit", "kill"])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_that_goes(how, told, persistent):
    loader = data.DataLoader(Exits(how), 4, num_workers=2, persistent_workers=persistent)
    iterator = iter(loader)
    processes = iterator._processes
    with pytest.raises(RuntimeError, match=rf"exited unexpectedly \({told}\).*\[8, 9, 10, 11\]"):
        list(iterator)
    assert not any(p.is_alive() for p in processes)
    assert next(iter(loader)).tolist() == [0, 1, 2, 3]  # the loader itself can be used again


class Hangs(Numbers):
    def __getitem__(self, i):
        if i == 6:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
        return float(i)


def test_a_worker_that_hangs():
    loader = data.DataLoader(Hangs(), 2, num_workers=2, timeout=0.5)
    iterator = iter(loader)
    processes = iterator._processes
    with pytest.raises(RuntimeError, match=r"timed out after 0.5 seconds waiting for batch 3 from "
                       r"worker 1 \(pid \d+\), indices \[6, 7\]"):
        list(iterator)
    assert not any(p.is_alive() for p in processes)


def test_an_iterator_that_is_dropped_leaves_nobody():
    iterator = iter(data.DataLoader(Numbers(), 2, num_workers=2))
    next(iterator)
    processes = iterator._processes
    del iterator
    assert not any(p.is_alive() for p in processes)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_end_when_the_main_process_is_killed(method, tmp_path):
    """Also a worker in an endless loop."""
    (tmp_path / "program.py").write_text(textwrap.dedent(f"""
        import os, sys, rushlight
        class Endless:
            def __len__(self): return 8
            def __getitem__(self, i):
                while i == 3: pass
                return i
        if __name__ == "__main__":
            loader = rushlight.utils.data.DataLoader(
                Endless(), 1, num_workers=2, multiprocessing_context={method!r})
            iterator = iter(loader)
            next(iterator)
            print(*(p.pid for p in iterator._processes), flush=True)
            os.kill(os.getpid(), 9)
    """))
    root = str(Path(rushlight.__file__).parents[1])
    out = subprocess.run([sys.executable, str(tmp_path / "program.py")], stdout=subprocess.PIPE,
                         env={**os.environ, "PYTHONPATH": root}, timeout=60)
    pids = [int(p) for p in out.stdout.split()]
    assert len(pids) == 2
    end = time.monotonic() + 60
    while any(map(running, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(running, pids))


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
