"""torch._utils: a helper that packages take from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class classproperty:
    """A property of a class, read without an object.

    >>> class Shape:
    ...     @torch.classproperty
    ...     def label(cls):
    ...         return cls.__name__
    >>> Shape.label
    'Shape'
    """

    def __init__(self, func: Callable | classmethod) -> None:
        self.func = func.__func__ if isinstance(func, classmethod) else func

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.func(owner)


__all__ = ["classproperty"]
