"""PyTorch as the oracle: run the same call in both frameworks and compare everything visible.

`check("softmax", x, 1)` calls `torch.softmax` and `rushlight.softmax` on the same values and compares
results, dtypes, shapes, strides and gradients. Rushlight runs each call several times, so that
the first time (executed at once), the deferred program and its compiled form are all compared.
"""

from __future__ import annotations

import inspect

import numpy as np
import torch

import rushlight
from rushlight.trace import flush, trie

TOLERANCE = {
    "float64": (1e-10, 1e-7),
    "float32": (1e-5, 1e-5),
    "float16": (1e-3, 2e-3),
    "bfloat16": (1e-2, 1.6e-2),
    "complex64": (1e-5, 1e-5),
    "complex128": (1e-10, 1e-7),
}
REPEATS = 4  # first time, interpreted program, compiled program, once more


class Given:
    """A tensor argument: values with a dtype, strides made by `view`, whether it needs a gradient."""

    def __init__(self, values, dtype=None, grad=None, view=None):
        self.values, self.dtype, self.grad, self.view = values, dtype, grad, view

    def make(self, framework, grad):
        t = framework.tensor(self.values)
        if self.dtype is not None:
            t = t.to(getattr(framework, self.dtype))
        wants = self.grad if self.grad is not None else grad
        if wants and (t.is_floating_point() or t.is_complex()):
            t.requires_grad_()
        leaf = t
        if self.view is not None:
            t = self.view(t)
        return leaf, t


def find(framework, name):
    """The function a dotted name means: "softmax", "nn.functional.relu", "Tensor.add_"."""
    for part in name.split("."):
        framework = getattr(framework, part)
    return framework


def _convert(x, framework, grad, leaves):
    if isinstance(x, np.ndarray):
        x = Given(x)
    if isinstance(x, Given):
        leaf, t = x.make(framework, grad)
        leaves.append(leaf)
        return t
    if isinstance(x, (list, tuple)) and any(isinstance(e, (np.ndarray, Given)) for e in x):
        return type(x)(_convert(e, framework, grad, leaves) for e in x)
    if isinstance(x, torch.dtype):
        return x if framework is torch else getattr(framework, str(x).removeprefix("torch."))
    if isinstance(x, torch.memory_format):
        return x if framework is torch else getattr(framework, str(x).removeprefix("torch."))
    return x


def numbers(t) -> np.ndarray:
    """A tensor's values as NumPy, bfloat16 as float32."""
    t = t.detach()
    if str(t.dtype) == "torch.bfloat16":
        t = t.float()
    return t.numpy(force=True)


def assert_same(ours, theirs, where="result", rtol=None, atol=None, strides=True):
    """Compare two results: containers, dtypes, shapes, strides and values."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, rushlight.Tensor), f"{where}: {type(ours)} is not a tensor"
        assert str(ours.dtype) == str(theirs.dtype), f"{where}: {ours.dtype}, not {theirs.dtype}"
        assert tuple(ours.shape) == tuple(theirs.shape), (
            f"{where}: shape {tuple(ours.shape)}, not {tuple(theirs.shape)}"
        )
        if strides and theirs.numel():
            assert tuple(ours.stride()) == tuple(theirs.stride()), (
                f"{where}: strides {ours.stride()}, not {theirs.stride()}"
            )
        a, r = TOLERANCE.get(ours.dtype.name, (0, 0))
        np.testing.assert_allclose(
            numbers(ours), numbers(theirs), rtol=r if rtol is None else rtol,
            atol=a if atol is None else atol, equal_nan=True, err_msg=where,
        )
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), f"{where}: {len(ours)} items, not {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{where}[{i}]", rtol, atol, strides)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for k in theirs:
            assert_same(ours[k], theirs[k], f"{where}[{k!r}]", rtol, atol, strides)
    elif isinstance(theirs, float):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, err_msg=where)
    else:
        assert ours == theirs or str(ours) == str(theirs), f"{where}: {ours!r}, not {theirs!r}"


def _tensors(result, kind):
    if isinstance(result, kind):
        return [result]
    if isinstance(result, (list, tuple)):
        return [t for r in result for t in _tensors(r, kind)]
    return []


def _run(framework, name, args, kwargs, grad, gradgrad):
    leaves: list = []
    fn = find(framework, name) if isinstance(name, str) else name
    given = [_convert(a, framework, grad, leaves) for a in args]
    named = {k: _convert(v, framework, grad, leaves) for k, v in kwargs.items()}
    result = fn(*given, **named) if isinstance(name, str) else fn(framework, *given, **named)
    grads = seconds = None
    outs = [t for t in _tensors(result, framework.Tensor) if t.requires_grad]
    wanted = [t for t in leaves if t.requires_grad]
    if grad and outs and wanted:
        total = 0
        for k, y in enumerate(outs):
            if y.is_complex():
                y = framework.view_as_real(y.resolve_conj())
            n = y.numel()
            weight = framework.linspace(0.5 + k, 1.5 + k, max(n, 1), dtype=y.dtype)[:n]
            total = total + (y.reshape(-1) * weight).sum()
        grads = framework.autograd.grad(total, wanted, create_graph=gradgrad, allow_unused=True)
        if gradgrad:
            inner = [g for g in grads if g is not None and g.requires_grad]
            if inner:
                plain = [framework.view_as_real(g) if g.is_complex() else g for g in inner]
                total = sum([(g * g).sum() for g in plain])
                seconds = framework.autograd.grad(total, wanted, allow_unused=True)
    return result, leaves, grads, seconds


def check(name, *args, grad=True, gradgrad=False, rtol=None, atol=None, strides=True, **kwargs):
    """Compare one call in both frameworks; see the module's docstring.

    name: a dotted name, or a function of (framework, *tensors). Arrays among the arguments become
    tensors (those of floating dtype require grad); `Given` says more.
    """
    theirs = _run(torch, name, args, kwargs, grad, gradgrad)
    for repeat in range(REPEATS):
        flush()
        ours = _run(rushlight, name, args, kwargs, grad, gradgrad)
        where = f"{name}, run {repeat}"
        assert_same(ours[0], theirs[0], where, rtol, atol, strides)
        for i, (a, b) in enumerate(zip(ours[1], theirs[1], strict=True)):
            assert_same(a, b, f"{where}: argument {i} afterwards", rtol, atol, False)
        for what, k in (("gradient", 2), ("second gradient", 3)):
            if theirs[k] is None:
                continue
            assert ours[k] is not None or k == 3, f"{where}: no {what}"
            for i, (a, b) in enumerate(zip(ours[k] or [None] * len(theirs[k]), theirs[k])):
                if b is None:
                    assert a is None or not numbers(a).any(), f"{where}: {what} {i} is not None"
                elif a is None:
                    assert not numbers(b).any(), f"{where}: {what} {i} is None"
                else:
                    assert_same(a, b, f"{where}: {what} {i}", rtol, atol, False)


def check_error(name, *args, message=None, **kwargs):
    """Both frameworks must raise the same exception type; `message` must be in ours."""
    kinds = []
    for framework in (torch, rushlight):
        try:
            _run(framework, name, args, kwargs, False, False)
            kinds.append(None)
        except Exception as e:
            kinds.append(type(e))
            text = str(e)
    assert kinds[0] is not None, f"{name}: PyTorch raises nothing"
    assert kinds[1] is not None, f"{name}: no error, PyTorch raises {kinds[0].__name__}"
    same = issubclass(kinds[1], kinds[0]) or kinds == [torch.linalg.LinAlgError,
                                                      rushlight.linalg.LinAlgError]
    assert same, f"{name}: {kinds[1].__name__}, not {kinds[0].__name__}"
    if message is not None:
        assert message in text, f"{name}: {message!r} not in {text!r}"


def _outcome(program, framework):
    try:
        made = program(framework)
        return list(made) if inspect.isgenerator(made) else made
    except Exception as e:
        return e


MODES = ("traced", "traced", "traced", "eager")


def check_program(program, strides=True, rtol=None, atol=None, modes=MODES):
    """`program(framework)` must return (or yield) the same, or raise the same type, in both frameworks.

    Rushlight runs it three times traced (first time and deferred) and once in eager mode, or as
    `modes` say.
    """
    theirs = _outcome(program, torch)
    for mode in modes:
        flush()
        trie.set_eager(mode == "eager")
        try:
            ours = _outcome(program, rushlight)
        finally:
            trie.set_eager(False)
        where = f"{program.__name__}, {mode}"
        if isinstance(theirs, Exception):
            assert isinstance(ours, type(theirs)), f"{where}: {ours!r}, not {theirs!r}"
        elif isinstance(ours, Exception):
            raise AssertionError(f"{where} raises") from ours
        else:
            assert_same(ours, theirs, where, rtol, atol, strides)
