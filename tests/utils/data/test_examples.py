"""The examples in the docstrings of torch.utils.data run as they stand there."""

from __future__ import annotations

import doctest
import importlib

import pytest

NAMES = ["collate", "datapipes", "dataset", "distributed", "loader", "sampler", "worker"]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name):
    module = importlib.import_module(f"rushlight.utils.data.{name}")
    found = doctest.testmod(module)
    assert found.failed == 0 and found.attempted > 0
