"""Gradient modes: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`."""

from __future__ import annotations

from .segments import set_grad
from .trie import RECORDER


def is_grad_enabled() -> bool:
    """Whether operations are recorded for differentiation."""
    tr = RECORDER.tr
    return tr.asked if tr.inference else tr.grad_on


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on."""
    return RECORDER.tr.inference


def _set(enabled: bool) -> None:
    """Switch gradient recording; within inference mode it stays off whatever is asked for."""
    tr = RECORDER.tr
    if tr.inference:
        tr.asked = enabled
    elif tr.grad_on is not enabled:
        set_grad(enabled)


class _Mode:
    """A context manager that is also a decorator, for functions and generators."""

    __slots__ = ("previous",)
    enabled = False

    def __enter__(self):
        self.previous = is_grad_enabled()
        _set(self.enabled)

    def __exit__(self, *error):
        _set(self.previous)

    def clone(self):
        """A fresh context of the same kind."""
        return type(self)()

    def __call__(self, fn):
        return _decorated(self, fn)


def _decorated(mode, fn):
    import functools
    import inspect

    if inspect.isclass(fn):
        import warnings

        warnings.warn("Decorating classes with gradient modes is deprecated: only the construction is "
                      "affected. Decorate methods instead.", FutureWarning, stacklevel=3)
        kind = fn
        fn = lambda *args, **kwargs: kind(*args, **kwargs)
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
        self.previous = is_grad_enabled()
        self.enabled = bool(mode)
        _set(self.enabled)

    def __enter__(self):
        _set(self.enabled)

    def clone(self):
        return set_grad_enabled(self.enabled)

    def __call__(self, fn):
        _set(self.previous)
        return _decorated(self, fn)


class inference_mode(_Mode):
    """`no_grad` for code that never differentiates; results may still be used with autograd later.

    Tensors made here cannot be saved for backward, nor written to or made leaves outside, until they
    are cloned.

    >>> x = torch.ones(1, requires_grad=True)
    >>> with torch.inference_mode():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    __slots__ = ("enabled_",)

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
        self.previous = tr.grad_on, tr.inference, tr.asked
        tr.inference, tr.asked = self.enabled_, False
        set_grad(None if self.enabled_ else True)

    def __exit__(self, *error):
        tr = RECORDER.tr
        mode, tr.inference, tr.asked = self.previous
        set_grad(mode)

    def clone(self):
        return inference_mode(self.enabled_)
