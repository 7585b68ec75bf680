"""Functions of the package itself."""

from __future__ import annotations

import pytest

import rushlight


def test_number_of_threads():
    before = rushlight.get_num_threads()
    try:
        rushlight.set_num_threads(1)
        assert rushlight.get_num_threads() == 1
        for bad in (0, -1, 1.5, "2"):
            with pytest.raises(RuntimeError, match="positive integer"):
                rushlight.set_num_threads(bad)
    finally:
        rushlight.set_num_threads(before)
