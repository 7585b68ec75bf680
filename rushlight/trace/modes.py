"""Gradient modes: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`."""

from __future__ import annotations

from .segments import set_grad
from .trie import RECORDER


def is_grad_enabled() -> bool:
    """Whether operations are recorded for differentiation."""
    return RECORDER.tr.grad_on


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on."""
    return RECORDER.tr.inference


class _Mode:
    """A context manager that is also a decorator, for functions and generators."""

    __slots__ = ("previous",)
    enabled = False

    def __enter__(self):
        tr = RECORDER.tr
        self.previous = tr.grad_on
        if tr.grad_on is not self.enabled:
            set_grad(self.enabled)

    def __exit__(self, *error):
        if RECORDER.tr.grad_on is not self.previous:
            set_grad(self.previous)

    def clone(self):
        """A fresh context of the same kind."""
        return type(self)()

    def __call__(self, fn):
        return _decorated(self, fn)


def _decorated(mode, fn):
    import functools
    import inspect

    if inspect.isclass(fn):
        raise TypeError("Decorating classes with gradient modes is not supported: decorate methods")
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def generator(*args, **kwargs):
            gen = fn(*args, **kwargs)
            try:
                with mode.clone():
                    value = next(gen)
                while True:
                    sent = yield value
                    with mode.clone():
                        value = gen.send(sent)
            except StopIteration as stop:
                return stop.value

        return generator

    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        with mode.clone():
            return fn(*args, **kwargs)

    return wrapped


class no_grad(_Mode):
    """Operations inside are not recorded for differentiation; a context manager and decorator.

    >>> x = torch.ones(1, requires_grad=True)
    >>> with torch.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    __slots__ = ()

    def __new__(cls, fn=None):
        made = object.__new__(cls)
        return made if fn is None else made(fn)


class enable_grad(_Mode):
    """Operations inside are recorded again within `no_grad`; a context manager and decorator.

    >>> x = torch.ones(1, requires_grad=True)
    >>> @torch.enable_grad()
    ... def double(x):
    ...     return 2 * x
    >>> with torch.no_grad():
    ...     y = double(x)
    >>> y.requires_grad
    True
    """

    __slots__ = ()
    enabled = True

    def __new__(cls, fn=None):
        made = object.__new__(cls)
        return made if fn is None else made(fn)


class set_grad_enabled(_Mode):
    """Switch gradient recording on or off, at once and, as a context manager, until its end.

    >>> x = torch.ones(1, requires_grad=True)
    >>> with torch.set_grad_enabled(False):
    ...     y = x * 2
    >>> y.requires_grad, torch.is_grad_enabled()
    (False, True)
    """

    __slots__ = ("enabled", "now")

    def __init__(self, mode: bool):
        self.previous = RECORDER.tr.grad_on
        self.enabled = bool(mode)
        set_grad(self.enabled)

    def __enter__(self):
        set_grad(self.enabled)

    def clone(self):
        return set_grad_enabled(self.enabled)

    def __call__(self, fn):
        set_grad(self.previous)
        return _decorated(self, fn)


class inference_mode(_Mode):
    """`no_grad` for code that never differentiates; results may still be used with autograd later.

    Unlike PyTorch, tensors made here are ordinary ones: they may be saved for backward.

    >>> x = torch.ones(1, requires_grad=True)
    >>> with torch.inference_mode():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    __slots__ = ("enabled_", "was")

    def __new__(cls, mode=True):
        made = object.__new__(cls)
        if callable(mode):
            made.enabled_ = True
            return made(mode)
        made.enabled_ = bool(mode)
        return made

    def __init__(self, mode=True):
        pass

    def __enter__(self):
        tr = RECORDER.tr
        self.previous, self.was = tr.grad_on, tr.inference
        if self.enabled_:
            set_grad(False)
        tr.inference = self.enabled_

    def __exit__(self, *error):
        RECORDER.tr.inference = self.was
        set_grad(self.previous)

    def clone(self):
        return inference_mode(self.enabled_)
