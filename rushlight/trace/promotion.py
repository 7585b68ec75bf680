"""Type promotion, and which inputs an operator's reference gets cast to which dtype."""

from __future__ import annotations

from . import dtypes
from .meta import Meta


def promote(*metas: Meta) -> dtypes.dtype:
    """PyTorch's result type: tensors with dimensions first, then 0-dim ones, then numbers.

    A lower level only counts when its category (bool, integer, float, complex) is higher.
    """
    levels: list = [None, None, None]
    for m in metas:
        level = 2 if m.weak else 1 if m.ndim == 0 else 0
        d = m.dtype
        if m.weak:
            if d.is_floating_point:
                d = dtypes.get_default_dtype()
            elif d.is_complex:
                d = dtypes.default_complex()
        before = levels[level]
        levels[level] = d if before is None else dtypes.promote_types(before, d)
    result = None
    for d in levels:
        if d is None:
            continue
        if result is None or d.category > result.category:
            if result is not None and d.is_complex and result.is_floating_point:
                d = result.to_complex()
            result = d
    return result


def working_dtype(compute: str, out, metas, casts):
    """The dtype that inputs are cast to, or None where each input decides for itself."""
    if compute == "result":
        return out.dtype
    if compute == "common":
        flat = []
        for m, c in zip(metas, casts, strict=True):
            if c and m is not None:
                flat.extend(m if m.__class__ is tuple else (m,))
        return promote(*flat)
    return None


def _cast_to(m, target):
    """The NumPy dtype that an input with Meta `m` is cast to, or None."""
    if m.weak:  # an integer beside a narrow integer dtype wraps around
        narrow = target is not None and target.category == dtypes.INTEGER and m.dtype is dtypes.int64
        return target.np if narrow and target is not dtypes.int64 else None
    d = m.dtype
    want = d if target is None else target
    if want.is_half:
        want = dtypes.float32
    return None if want is d else want.np


def cast_plan(o, out, metas):
    """((argument, dtype) ...) that must be cast; a tuple of dtypes for a list of tensors."""
    compute = o.compute
    if compute == "storage" or o.name == "pow" and out.dtype.category == dtypes.INTEGER:
        return ()
    for m in (out, *metas):
        if m.__class__ is Meta and m.dtype in dtypes.FLOAT8:
            raise NotImplementedError(
                f'"{o.name}" not implemented for \'{dtypes.type_name(m.dtype)}\': 8-bit floats are '
                "for storage; cast to a wider dtype first, e.g. with .float()"
            )
    target = working_dtype(compute, out, metas, o.casts)
    plan = []
    for i, c in enumerate(o.casts):
        m = metas[i]
        if m is None or not c:
            continue
        if m.__class__ is tuple:
            each = tuple([_cast_to(x, target) for x in m])
            if any(each):
                plan.append((i, each))
        else:
            d = _cast_to(m, target)
            if d is not None:
                plan.append((i, d))
    return tuple(plan)
