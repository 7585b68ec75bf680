"""torch.multiprocessing: what `spawn` runs, and how it tells that a process failed."""

from __future__ import annotations

import os
import pickle
import signal
import time

import pytest
import torch.multiprocessing as theirs

from rushlight import multiprocessing as ours


def fail(i, kind):
    """In a process of its own: number 1 fails, number 0 would run on."""
    if i == 0:
        time.sleep(60)
    if kind == "raise":
        raise ValueError(f"in process {i}")
    if kind == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def write(i, folder):
    (folder / str(i)).write_text("done")


@pytest.mark.parametrize("kind", ["raise", "exit", "signal"])
def test_a_failure_ends_the_others(kind):
    made = []
    for T in (theirs, ours):
        with pytest.raises((theirs.ProcessRaisedException, theirs.ProcessExitedException, ours.ProcessException)) as error:
            T.start_processes(fail, (kind,), nprocs=2, start_method="fork")
        e = error.value
        made.append((type(e).__name__, e.error_index, getattr(e, "exit_code", None), getattr(e, "signal_name", None)))
        if kind == "raise":
            assert 'ValueError: in process 1' in str(e) and "Traceback" in str(e)
        else:
            assert str(e).startswith("process 1 terminated with")
        again = pickle.loads(pickle.dumps(e))
        assert str(again) == str(e) and again.error_pid == e.error_pid
    assert made[0] == made[1]


def test_waiting_piece_by_piece(tmp_path):
    context = ours.start_processes(write, (tmp_path,), nprocs=2, join=False, start_method="fork")
    assert len(context.pids()) == 2
    while not context.join(timeout=5):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1"]
    assert context.join() and ours.ProcessContext([]).join()
