"""Each public class has an example in its docstring, and it runs."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
from importlib import import_module

import pytest

import rushlight
from rushlight import distributions

FILES = [
    m.name for m in pkgutil.walk_packages(distributions.__path__, "rushlight.distributions.")
]


@pytest.mark.parametrize("name", FILES)
def test_examples_run(name):
    module = import_module(name)
    space = {"torch": rushlight, **{n: getattr(distributions, n) for n in distributions.__all__}}
    assert doctest.testmod(module, extraglobs=space).failed == 0


def test_public_classes_have_examples():
    lacking = []
    for file in FILES:
        module = import_module(file)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                if ">>>" not in (value.__doc__ or "") and not name.islower():
                    lacking.append(name)
    assert not lacking
