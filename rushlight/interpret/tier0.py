"""Run one operation with its NumPy reference.

`prepare` runs an operation the first time and learns what calling it needs: which inputs must be cast
before, and whether the result must be cast or laid out anew after. NumPy's choices depend only on the
inputs' dtypes and strides, which the trie fixes, so later runs (`Call`) need not check again.
"""

from __future__ import annotations

import numpy as np

try:  # the context variable behind np.errstate, without its cost
    from numpy._core.umath import _extobj_contextvar, _make_extobj

    QUIET = _make_extobj(all="ignore")
    silence, restore = _extobj_contextvar.set, _extobj_contextvar.reset
except ImportError:  # pragma: no cover - other NumPy versions

    def silence(_):
        return np.seterr(all="ignore")

    def restore(old):
        np.seterr(**old)

    QUIET = None


NANS: list = [None]  # who tracks NaNs (`nans.py`), while `tools.nans()` is on


class Call:
    """How a node's reference is called: casts before, fixes after."""

    __slots__ = ("operator", "function", "casts", "fixes", "metas", "several")


ndarray = np.ndarray
UNKNOWN = "unknown"  # whether there are fixes: they are tried


def cast(x, d):
    """An array, or a tuple of arrays, in another dtype; complex to real drops the imaginary part."""
    if x.__class__ is int:
        return wrapped(x, d)
    if d.__class__ is tuple:
        return tuple([a if e is None else cast(a, e) for a, e in zip(x, d, strict=True)])
    if x.dtype.kind == "c" and d.kind != "c":
        x = x.real
    return converted(x, d)


def wrapped(number: int, d) -> int:
    """An integer modulo 2 to the bits of an integer dtype, as PyTorch casts operands."""
    limits = np.iinfo(d)
    if not -(1 << 63) <= number < 1 << 64:
        raise OverflowError(f"int too big to convert: {number}")
    return (number - int(limits.min)) % (1 << limits.bits) + int(limits.min)


def converted(a, d):
    """An array in another dtype, as PyTorch casts.

    float64 becomes float16 by way of float32; what is too large for float8_e4m3fn becomes its largest,
    what float8_e8m0fnu lacks its nearest.
    """
    if d.char == "e" and a.dtype.char == "d":
        a = a.astype(np.float32)
    if d.kind == "V" and d.name == "float8_e4m3fn":
        a = np.clip(a, -448, 448)
    elif d.kind == "V" and d.name == "float8_e8m0fnu":  # powers of two, without sign and zero
        a = np.maximum(np.abs(a.astype(np.float32)), np.float32(2.0**-127))
    return a.astype(d)


def laid_out(a, m):
    """Array `a` with exactly the dtype and strides that Meta `m` promises."""
    if m.weak:
        return a.item() if hasattr(a, "item") else a
    d = m.dtype.np
    if a.__class__ is not ndarray:
        a = np.asarray(a)
    if a.dtype != d:
        if a.dtype.kind == "c" and d.kind != "c":
            a = a.real
        a = converted(a, d)
    if a.shape != m.shape:
        raise AssertionError(f"a reference returned shape {a.shape}, its rule said {m.shape}")
    if m.contiguous:
        return np.ascontiguousarray(a).reshape(m.shape) if not a.flags.c_contiguous else a
    if strides_agree(a, m):
        return a
    made = np.empty(sum((n - 1) * s for n, s in zip(m.shape, m.strides, strict=True)) + 1, d)
    made = np.lib.stride_tricks.as_strided(made, m.shape, m.np_strides)
    made[...] = a
    return made


def strides_agree(a, m) -> bool:
    """Whether an array's strides are those of Meta `m`, where they matter."""
    if a.strides == m.np_strides or not m.numel:
        return True
    for n, s, t in zip(m.shape, a.strides, m.np_strides, strict=True):
        if n != 1 and s != t:
            return False
    return True


def fits(a, m) -> bool:
    """Whether an array is already what Meta `m` promises."""
    d = m.dtype.np
    return (
        a.__class__ is ndarray
        and (a.dtype is d or a.dtype == d)
        and a.shape == m.shape
        and (a.strides == m.np_strides or strides_agree(a, m))
    )


def without_values(o, outs) -> Call:
    """The Call of an operation on the meta device: its results are placeholders."""
    call = Call()
    call.operator, call.casts, call.fixes, call.metas = o, (), None, outs
    call.several = outs.__class__ is tuple
    made = tuple([m.placeholder for m in outs]) if call.several else outs.placeholder
    call.function = lambda *args: made
    return call


def prepare(o, outs, plan, arrays):
    """Run operator `o` for the first time; returns (Call, result).

    outs: the Meta (or tuple of them) that its rule promised; plan: the casts of its inputs.
    """
    if first(outs).placeholder is not None:
        call = without_values(o, outs)
        return call, call.function()
    call = Call()
    call.operator = o
    several = outs.__class__ is tuple
    call.several = several
    call.metas = outs
    call.function = o.ufunc or o.reference
    call.casts = plan
    if plan:
        arrays = list(arrays)
        for i, d in plan:
            arrays[i] = cast(arrays[i], d)
    token = silence(QUIET)
    try:
        result = call.function(*arrays)
    except (MemoryError, ValueError) as e:
        e.rushlight_metas = outs  # type: ignore[attr-defined]
        raise
    finally:
        restore(token)
    call.fixes = None
    if o.mutates:
        return call, None
    if o.view:
        if not several and (result.shape != outs.shape or not strides_agree(result, outs)):
            raise AssertionError(
                f"view {o.name}: NumPy made {result.shape} {result.strides}, the rule said "
                f"{outs.shape} {outs.np_strides}"
            )
        return call, result
    if several:
        fixed = []
        for r, m in zip(result, outs, strict=True):
            fixed.append(laid_out(r, m))
        call.fixes = any(f is not r for f, r in zip(fixed, result, strict=True)) or any(
            _shares(f, arrays) for f in fixed
        ) or _is_number(outs)
        if call.fixes:
            fixed = [_own(f, arrays) for f in fixed]
        return call, tuple(fixed)
    if o.ufunc is not None:
        if not fits(result, outs):
            call.fixes, result = True, laid_out(result, outs)
        return call, result
    if not fits(result, outs) or _shares(result, arrays) or _is_number(outs):
        call.fixes = True
        result = _own(laid_out(result, outs), arrays)
    return call, result


def first(outs):
    """A Meta, or the first of several."""
    return outs[0] if outs.__class__ is tuple else outs


def assumed(o, outs, plan) -> Call:
    """The Call of an operation that has not been run: its first run tells whether results need fixes."""
    if first(outs).placeholder is not None:
        return without_values(o, outs)
    call = Call()
    call.operator, call.function, call.casts, call.metas = o, o.ufunc or o.reference, plan, outs
    call.several = outs.__class__ is tuple
    call.fixes = None if o.mutates or o.view else UNKNOWN
    return call


def learnt(call: Call, result, fixed) -> None:
    """Note whether a first run's results needed fixes."""
    pairs = zip(result, fixed, strict=True) if call.several else ((result, fixed),)
    call.fixes = True if any(a is not b for a, b in pairs) or _is_number(call.metas) else None


def _is_number(outs) -> bool:
    """Whether a result has no dims: NumPy's functions make arrays or numbers of such, as it happens."""
    return any([m.ndim == 0 for m in outs]) if outs.__class__ is tuple else outs.ndim == 0


def run(call: Call, arrays):
    """Run an operation again that `prepare` has learnt; arrays is a list that may be changed."""
    for i, d in call.casts:
        arrays[i] = cast(arrays[i], d)
    token = silence(QUIET)
    try:
        result = call.function(*arrays)
    except (MemoryError, ValueError) as e:
        e.rushlight_metas = call.metas  # type: ignore[attr-defined]
        raise
    finally:
        restore(token)
    if call.several:
        if call.fixes:
            return tuple(
                [rerun_fix(r, m, arrays) for r, m in zip(result, call.metas, strict=True)]
            )
        return tuple(result)
    return rerun_fix(result, call.metas, arrays) if call.fixes else result


def _shares(a, arrays) -> bool:
    """Whether result `a` is (a view of) one of the inputs."""
    if a.__class__ is not ndarray:
        return False
    base = a.base
    for x in arrays:
        if x is a or (base is not None and x.__class__ is ndarray and (base is x or base is x.base)):
            return True
        if x.__class__ is tuple and _shares(a, x):
            return True
    return False


def _own(a, arrays):
    return a.copy(order="K") if _shares(a, arrays) else a


def rerun_fix(a, m, arrays):
    """What a later run applies to a result that needed fixing the first time."""
    return _own(laid_out(a, m), arrays)
