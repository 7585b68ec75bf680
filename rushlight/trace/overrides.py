"""`__torch_function__`: functions called with Tensor subclasses or under a mode are handed to them.

Programs without subclasses pay one check of `ACTIVE` per call.
"""

from __future__ import annotations

ACTIVE = [False]
OTHERS: list = []  # the class of tensors that are not strided, once one was made
FORMS: dict = {}  # {public function: what it does with tensors of other layouts}
RECORD_HOOKED: list = [None]  # how an operator is recorded where hooks look at what is saved: filled by autograd/saved.py
_modes: list = []
_depth = [0]


def subclass_defined(cls) -> None:
    """A Tensor subclass exists: calls must look for it from now on, unless it overrides nothing."""
    if cls.__torch_function__ is not disabled and not getattr(cls, "_late", False):
        activate()


def found_late(args, kwargs) -> bool:
    """Whether a refused call has a stranger with `__torch_function__`: calls look for it from now on."""
    if ACTIVE[0]:
        return False
    for a in (*args, *(kwargs or {}).values()):
        for x in a if type(a) in (tuple, list) else (a,):
            if hasattr(type(x), "__torch_function__") and not _is_tensor(x):
                activate()
                return True
    return False


class OtherLayout(TypeError, NotImplementedError):
    """A tensor that is not strided was asked for its node: its operator's form is to be called."""


def in_other_layout(args, kwargs):
    """A tensor among the arguments that is not strided, or None."""
    for a in (*args, *kwargs.values()):
        for x in a if type(a) in (tuple, list) else (a,):
            if type(x) in OTHERS:
                return x
    return None


def by_layout(func, args, kwargs):
    """Call the form of a function for tensors that are not strided; NotImplementedError without one."""
    t = in_other_layout(args, kwargs)
    if t is not None and t.is_nested:  # its forms are in its `__torch_function__`, which somebody disabled
        return t.__torch_function__(func, _types(args, kwargs), args, kwargs)
    form = FORMS.get(func)
    if form is None:
        raise refused(getattr(func, "__name__", str(func)), t)
    return form(*args, **kwargs)


def refused(name: str, t) -> NotImplementedError:
    """The error for what has no form."""
    return NotImplementedError(
        f"{name.strip('_')}() is not implemented for tensors of layout "
        f"{'sparse' if t is None else t.layout}: convert the tensor with {'.to_dense()' if t is None else t._instead} first"
    )


def _is_tensor(x) -> bool:
    from .tensor import Tensor

    return isinstance(x, Tensor)


def activate() -> None:
    """Make every call look for overrides from now on."""
    if not ACTIVE[0]:
        ACTIVE[0] = True
        from .hot import recompile

        recompile()


def find(args, out):
    """The subclass (or mode) that wants this call, or None."""
    if _depth[0]:
        return None
    if _modes:
        return _modes[-1]
    from .tensor import Parameter, Tensor

    best = None
    for a in (*args, out):
        for x in a if type(a) in (tuple, list) else (a,):
            kind = type(x)
            if kind is Tensor or kind is Parameter or not hasattr(kind, "__torch_function__"):
                continue
            if kind.__torch_function__ is disabled:
                continue
            if best is None or issubclass(kind, best):
                best = kind
    return best


def _types(args, kwargs):
    found = []
    for a in (*args, *kwargs.values()):
        for x in a if type(a) in (tuple, list) else (a,):
            if hasattr(type(x), "__torch_function__") and type(x) not in found:
                found.append(type(x))
    return tuple(found)


def call(func, target, args, kwargs):
    """Hand a call to a subclass's (or mode's) `__torch_function__`."""
    if target in _modes and not isinstance(target, type):
        _modes.remove(target)
        try:
            return target.__torch_function__(func, _types(args, kwargs), args, kwargs)
        finally:
            _modes.append(target)
    result = target.__torch_function__(func, _types(args, kwargs), args, kwargs)
    if result is NotImplemented:
        raise TypeError(
            f"no implementation found for '{getattr(func, '__name__', func)}' on types that "
            f"implement __torch_function__: {[t.__name__ for t in _types(args, kwargs)]}"
        )
    return result


def default(cls, func, types, args, kwargs):
    """Tensor.__torch_function__: run the function, then wrap its results in the subclass."""
    with DisableTorchFunction():
        result = func(*args, **kwargs)
    return converted(result, cls)


def converted(result, cls):
    """A result (or each of several) as tensors of class `cls`."""
    from .tensor import Parameter, Tensor

    if cls is Tensor or cls is Parameter:
        return result
    if type(result) is Tensor:
        made = object.__new__(cls)
        made._tr = result._tr
        for slot in ("_s", "_buf", "_history", "_storage", "_base", "_generation", "_offset"):
            value = getattr(result, slot)
            if value is not None:
                setattr(made, slot, value)
        if made._tr is not None:
            made._tr.ts.append(made)
        return made
    if type(result) in (tuple, list):
        return type(result)(converted(r, cls) for r in result)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*[converted(r, cls) for r in result])
    return result


def cotangents(given):
    """What users give as gradients, as the plain tensors that the engine knows."""
    return tuple([g._cotangent() if hasattr(type(g), "_cotangent") else g for g in given])


def gradients(tensors, made):
    """What the engine computed, as each tensor's class shows its gradient."""
    return tuple([
        t._shown_gradient(g) if g is not None and hasattr(type(t), "_shown_gradient") else g
        for t, g in zip(tensors, made, strict=True)
    ])


def disabled(func, types, args=(), kwargs=None):
    """`torch._C._disabled_torch_function_impl`: run the function as if there were no subclass."""
    with DisableTorchFunction():
        return func(*args, **(kwargs or {}))


class DisableTorchFunction:
    """Context manager: calls inside see plain tensors (torch._C.DisableTorchFunctionSubclass).

    >>> class Celsius(torch.Tensor):
    ...     pass
    >>> x = Celsius([20.0])
    >>> with torch.overrides.DisableTorchFunction():
    ...     y = x + 1
    >>> type(x + 1).__name__, type(y).__name__
    ('Celsius', 'Tensor')
    """

    def __enter__(self):
        _depth[0] += 1
        return self

    def __exit__(self, *error):
        _depth[0] -= 1


class TorchFunctionMode:
    """Base class of modes: `__torch_function__` sees every call inside the with block.

    >>> class Names(torch.overrides.TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return func(*args, **(kwargs or {}))
    >>> x = torch.zeros(2)
    >>> with Names():
    ...     y = x.exp() + 1
    exp
    add
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))

    def __enter__(self):
        _modes.append(self)
        activate()
        return self

    def __exit__(self, *error):
        _modes.remove(self)
