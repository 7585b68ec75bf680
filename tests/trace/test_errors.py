"""Errors are raised on the user's line, name the operation, and leave everything else as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rushlight as T
from rushlight.trace.traceback import trimmed

ROOT = str(Path(__file__).resolve().parents[2])

CASES = {
    "matmul": lambda: T.ones(2, 3) @ T.ones(2, 3),
    "add": lambda: T.ones(3).add(T.ones(4)),
    "composite": lambda: T.nn.functional.layer_norm(T.ones(2, 3), (4,)),
    "view": lambda: T.zeros(6).view(4, -1),
    "index": lambda: T.zeros(2, 3)[5],
    "dtype": lambda: T.ones(2, 2) @ T.ones(2, 2, dtype=T.float64),
    "argument": lambda: T.softmax(T.ones(2), "x"),
    "in_place": lambda: T.zeros(2, dtype=T.int64).add_(1.5),
    "gather": lambda: T.ones(3).gather(0, T.tensor([4])),
    "backward": lambda: T.ones(3).backward(),
}


@pytest.mark.parametrize("name", list(CASES))
def test_last_frame_is_the_users(name):
    for _ in range(3):
        with pytest.raises((RuntimeError, IndexError, TypeError)) as caught:
            CASES[name]()
        last = trimmed(caught.value.__traceback__)
        while last.tb_next is not None:
            last = last.tb_next
        assert last.tb_frame.f_code.co_filename == __file__


def test_a_script_shows_its_own_line():
    script = "import rushlight as torch\nx = torch.ones(2, 3)\nx @ x\n"
    for shown, internal in (("", False), ("1", True)):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONPATH": ROOT, "RUSHLIGHT_TRACEBACK": shown},
        )
        assert done.returncode == 1
        assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)" in done.stderr
        assert ("record.py" in done.stderr) is internal


def test_messages_name_what_is_wrong():
    for f, parts in (
        (lambda: T.ones(2, 3) + T.ones(4), ("3", "4", "[2, 3]", "[4]")),
        (lambda: T.nn.Conv2d(3, 4, 3)(T.ones(1, 2, 8, 8)), ("[1, 2, 8, 8]", "3 channels")),
        (lambda: T.nn.functional.cross_entropy(T.ones(2, 3), T.tensor([0, 3])).item(), ("3",)),
        (lambda: T.ones(2).to("cuda"), ("CPU", "is_available")),
    ):
        with pytest.raises((RuntimeError, IndexError)) as caught:
            f()
        for part in parts:
            assert part in str(caught.value)


NOTES = {
    "matmul(float32[2, 3], float32[2, 3])": lambda: T.ones(2, 3) @ T.ones(2, 3),
    "view(float32[2, 3], (4,))": lambda: T.ones(2, 3).view(4),
    "add(float32[3], int64[4])": lambda: T.ones(3) + T.arange(4),
    "cat([float32[2, 3], float32[2, 4]], 0)": lambda: T.cat([T.ones(2, 3), T.ones(2, 4)]),
    "linear(float32[2, 5], float32[4, 3], float32[4])": lambda: T.nn.Linear(3, 4)(T.ones(2, 5)),
    "sum(float32[2, 3], 7, False)": lambda: T.ones(2, 3).sum(7),
}


@pytest.mark.parametrize("note", NOTES)
def test_notes_name_operation_dtypes_and_shapes(note):
    """Below the message, which is PyTorch's, where Python has notes (3.11)."""
    for _ in range(3):
        with pytest.raises((RuntimeError, IndexError)) as caught:
            NOTES[note]()
        assert not hasattr(caught.value, "add_note") or caught.value.__notes__ == ["in " + note]


def test_what_was_computed_before_an_error_stays():
    for _ in range(3):
        a = T.arange(3.0)
        b = a * 2
        with pytest.raises(RuntimeError):
            b + T.ones(4)
        a += 1
        assert b.tolist() == [0, 2, 4] and a.tolist() == [1, 2, 3]
        assert (b + a).tolist() == [1, 4, 7]
