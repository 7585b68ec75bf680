"""`record_step`: an optimiser's whole update as one macro edge of the trie."""

from __future__ import annotations

from . import segments
from .record import written_to
from .segments import end_segment, enter
from .trie import LOCK, MACRO, RECORDER, Macro, add_child, child

new = object.__new__


def record_step(op, calls) -> None:
    """Record the mutating operator `op` once for each entry of `calls`, then end the segment.

    op: an @op with `mutates`. calls: a list of its argument tuples, in the operator's order.
    The first time at a place in the trie the calls are recorded one by one; after that the whole
    list is one lookup. Numbers that the operator declares as Scalar may change from step to step.
    """
    from .operator import LIST, OPERATORS, OPTIONAL, SCALAR

    o = OPERATORS[op.__name__]
    kinds = o.kinds
    tensors = [i for i, k in enumerate(kinds) if k <= OPTIONAL]
    numbers = [i for i, k in enumerate(kinds) if k == SCALAR]
    others = [i for i, k in enumerate(kinds) if k > LIST and k != SCALAR]
    tr = RECORDER.tr
    if tr.in_blocks:  # the step itself has the same sizes each time
        end_segment(tr)
        tr.in_blocks = False
    with LOCK:
        key = [MACRO, o]
        scalars, copies = [], []
        for j, call in enumerate(calls):
            for i in tensors:
                t = call[i]
                if t is None:
                    key.append(None)
                elif t._tr is tr:
                    key.append(t._s)
                elif i in o.mutates and t._storage is not None and t._storage.exposed:
                    key.append(enter(tr, t, real=True))
                else:
                    copy = segments.entered(tr, t)
                    key.append(copy._s)
                    if copy is not t:
                        copies.append((j, i, copy))
            for i in numbers:
                key.append(call[i].__class__)
                scalars.append(call[i])
            for i in others:
                key.append(call[i])
        key = tuple(key)
        for j, i, copy in copies:
            calls[j] = (*calls[j][:i], copy, *calls[j][i + 1 :])
        st = tr.st
        macro = child(st, key)
        if macro is not None:
            tr.st = macro.final
            tr.scalars.extend(scalars)
            written_to([call[i] for call in calls for i in o.mutates])
        else:
            serial, before = tr.serial, len(tr.scalars)
            for call in calls:
                op(*call)
            if tr.serial == serial and not st.frozen:
                if tr.scalars[before:] != scalars:
                    raise AssertionError("an optimiser step recorded scalars in another order")
                macro = new(Macro)
                macro.final = tr.st
                add_child(st, key, macro)
        end_segment(tr)
