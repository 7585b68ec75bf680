"""Programs that take the framework as their argument: run in PyTorch and in Rushlight, then compared."""

import torch
from oracle import assert_same

import rushlight


def same(program, *args, **tolerance):
    """Both frameworks must give the same result; run Rushlight again, as it then takes other paths."""
    theirs = program(torch, *args)
    for _ in range(3):
        assert_same(program(rushlight, *args), theirs, strides=False, **tolerance)


def same_error(program, *args, text=True):
    """Both must raise the same class of exception, with the same text."""
    try:
        result = program(torch, *args)
    except Exception as error:
        theirs = error
    else:
        raise AssertionError(f"PyTorch accepts it and gives {result!r}")
    try:
        result = program(rushlight, *args)
    except Exception as error:
        ours = error
    else:
        raise AssertionError(f"accepted, but PyTorch raises {theirs!r}; gives {result!r}")
    assert type(ours) is type(theirs), f"{ours!r}, not {theirs!r}"
    if text:
        assert str(ours).replace("rushlight", "torch") == str(theirs)


def values(T, *shape, seed=0, dtype=None):
    """Fixed numbers between -2 and 2 that differ from each other."""
    count = 1
    for n in shape:
        count *= n
    x = T.arange(count, dtype=T.float64)
    x = T.sin(x * 1.7 + seed * 0.61 + 0.3) * 1.5 + T.cos(x * 0.37 - seed) * 0.5
    return x.reshape(shape).to(dtype or T.float32)


def fill(T, module):
    """Fixed parameters in every layer."""
    with T.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(values(T, *p.shape, seed=i) * 0.3)
    return module
