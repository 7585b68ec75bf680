"""Symbolic numbers and control flow of traced programs, as they are outside of a trace: plain ones.

Sizes are Python integers here (the compiler has symbols of its own, `compile/sizes.py`), so nothing is an
instance of `SymInt`, and the functions do what they say with numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any


class _Symbol:
    def __init__(self, *_: Any) -> None:
        raise TypeError(f"{type(self).__name__}: sizes are plain numbers here; use int, float or bool")


class SymInt(_Symbol):
    """A symbolic int: nothing is an instance.

    >>> isinstance(3, torch.SymInt)
    False
    """


class SymFloat(_Symbol):
    """A symbolic float: nothing is an instance.

    >>> isinstance(1.5, torch.SymFloat)
    False
    """


class SymBool(_Symbol):
    """A symbolic bool: nothing is an instance.

    >>> isinstance(True, torch.SymBool)
    False
    """


def sym_int(a: float) -> int:
    """`a` towards zero."""
    return int(a)


def sym_float(a: float) -> float:
    """`a` as float."""
    return float(a)


def sym_not(a: bool) -> bool:
    """`not a`."""
    return not a


def sym_sqrt(a: float) -> float:
    """The square root."""
    return math.sqrt(a)


def _extreme(choose: Callable, a: Any, b: Any) -> Any:
    if not all(isinstance(x, (int, float)) for x in (a, b)):
        raise TypeError(f"expected two numbers, got {type(a).__name__} and {type(b).__name__}")
    made = choose(a, b)
    return float(made) if isinstance(a, float) or isinstance(b, float) else made


def sym_max(a: Any, b: Any) -> Any:
    """The larger one; a float if one of them is.

    >>> torch.sym_max(1, 2), torch.sym_min(1.5, 2)
    (2, 1.5)
    """
    return _extreme(max, a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller one; a float if one of them is."""
    return _extreme(min, a, b)


def sym_sum(*args: Any) -> Any:
    """The sum of numbers, or of one sequence of them."""
    return sum(args[0] if len(args) == 1 and isinstance(args[0], Sequence) else args)


def sym_ite(b: bool, t: Any, f: Any) -> Any:
    """`t if b else f`."""
    return t if b else f


def sym_constrain_range(size: Any, *, min: int | None = None, max: int | None = None) -> None:
    """Raise RuntimeError if a number is out of range."""
    if (min is not None and size < min) or (max is not None and size > max):
        raise RuntimeError(f"Invalid value range for {size} between [{min}, {max}].")


sym_constrain_range_for_size = sym_constrain_range


def cond(pred: Any, true_fn: Callable, false_fn: Callable, operands: Sequence = ()) -> Any:
    """`true_fn(*operands)` if `pred` (a bool, or a tensor of one) is true, else `false_fn(*operands)`.

    >>> torch.cond(torch.tensor(True), lambda x: x + 1, lambda x: x - 1, (torch.ones(2),))
    tensor([2., 2.])
    """
    return (true_fn if pred else false_fn)(*operands)


def while_loop(cond_fn: Callable, body_fn: Callable, carried_inputs: Sequence) -> Any:
    """`carried = body_fn(*carried)` as long as `cond_fn(*carried)`; a tuple.

    >>> torch.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (torch.tensor(0), torch.tensor(1.0)))
    (tensor(3), tensor(8.))
    """
    carried = tuple(carried_inputs)
    while bool(cond_fn(*carried)):
        made = body_fn(*carried)
        carried = tuple(made) if isinstance(made, (tuple, list)) else (made,)
    return carried


def _check(cond: Any, message: Callable[[], Any] | None = None, error: type = RuntimeError) -> None:
    """Raises RuntimeError with what `message()` gives, unless `cond`. TypeError if that is no bool."""
    if not isinstance(cond, bool | SymBool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        if message is not None and not callable(message):
            raise TypeError("message must be a callable")
        raise error("Expected cond to be True, but got False" if message is None else str(message()))


def _check_index(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """`_check` that raises IndexError."""
    _check(cond, message, IndexError)


def _check_value(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """`_check` that raises ValueError."""
    _check(cond, message, ValueError)


def _check_type(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """`_check` that raises TypeError."""
    _check(cond, message, TypeError)


def sym_fresh_size(expr: Any) -> Any:
    """The number: sizes are plain ones here."""
    return expr
