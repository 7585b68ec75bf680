"""Hooks on what is saved for gradients: `saved_tensors_hooks`.

While such hooks are there, an operation whose gradient reads saved values is not recorded as one
operation that the engine differentiates, but as a custom function: its forward gives each value to the
pack hook, its backward calls the operator's gradient rules with what the unpack hook returns.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from ..trace import overrides
from ..trace.meta import weak_meta
from ..trace.names import grad_name
from ..trace.operator import LIST, SCALAR, SIZE, Operator
from ..trace.record import NUMBERS, record, sizes, static
from ..trace.sweep import fitted, scalar_entry
from ..trace.tensor import Tensor
from ..trace.trie import RECORDER
from .function import Function, restored

_refusals: list[str] = []


class saved_tensors_hooks:
    """In the block, `pack_hook` gets each tensor that is saved for a gradient, and what it returns is kept.

    `unpack_hook` makes the tensor again when backward() needs it. The innermost block's hooks are used.
    Values can so be compressed, moved to a disk or counted. Raises RuntimeError where
    `disable_saved_tensors_hooks` forbids hooks.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().numpy(), torch.from_numpy):
    ...     y = (x.exp() ** 2).sum()
    >>> torch.autograd.grad(y, x)[0]
    tensor([ 14.7781, 109.1963])
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if _refusals:
            raise RuntimeError(_refusals[-1])
        tr = RECORDER.tr
        tr.saving = (*tr.saving, (self.pack_hook, self.unpack_hook))
        overrides.RECORD_HOOKED[0] = _record
        overrides.activate()

    def __exit__(self, *error: object) -> None:
        tr = RECORDER.tr
        tr.saving = tr.saving[:-1]


@contextlib.contextmanager
def without_hooks() -> Iterator[None]:
    """In the block nobody looks at what is saved."""
    tr = RECORDER.tr
    before, tr.saving = tr.saving, ()
    try:
        yield
    finally:
        tr.saving = before


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """In the block (or function), `saved_tensors_hooks` raises RuntimeError with this message."""
    if RECORDER.tr.saving:
        raise RuntimeError(error_message)
    _refusals.append(error_message)
    try:
        yield
    finally:
        _refusals.pop()


def _flat(values) -> list:
    """Arguments with lists of tensors spread out."""
    return [x for v in values for x in (v if v.__class__ is tuple and v and isinstance(v[0], Tensor) else (v,))]


def _canonical(o: Operator, args) -> list:
    """Arguments as gradient rules read them: lists as tuples, sizes as tuples of ints."""
    return [
        (x.item() if isinstance(x, Tensor) else x) if kind == SCALAR else x if isinstance(x, Tensor)
        else tuple(x) if kind == LIST
        else sizes(x) if kind == SIZE and x is not None else static(x)
        for kind, x in zip(o.kinds, args, strict=True)
    ]


def _wants(x) -> bool:
    return any([t._s.rg for t in _flat((x,)) if isinstance(t, Tensor)])


def _record(o: Operator, args: tuple):
    """Record an operator; as a custom function if its gradient has values to save."""
    if o.view or o.mutates or not o.gradients or not RECORDER.tr.grad_on:
        return record(o, args)
    args = _canonical(o, args)
    rules = [r for r in o.gradients if any([_wants(args[i]) for i in r.params])]
    if not any([r.saves or r.saves_out for r in rules]):
        return record(o, tuple(args))
    return _kind(o).apply(_Call(o, args, rules), *_flat(args))


class _Call:
    """An operator's call: what its gradient needs apart from values."""

    def __init__(self, o: Operator, args: list, rules: list) -> None:
        self.operator, self.rules = o, rules
        self.places: list = []  # of each argument among the custom function's inputs: a number, or a range
        self.metas: list = []
        self.saved: dict = {}  # {argument: what the pack hook returned, or the value if it is no tensor}
        self.outputs: dict = {}  # {output: what the pack hook returned}
        self.out_metas: Any = None
        self.values = args
        self.needs = [_wants(x) for x in args]
        at = 1
        for kind, x in zip(o.kinds, args, strict=True):
            many = x.__class__ is tuple and x and isinstance(x[0], Tensor)
            self.places.append(range(at, at + len(x)) if many else at)
            at += len(x) if many else 1
            self.metas.append(
                tuple([t._s.m for t in x]) if many else x._s.m if isinstance(x, Tensor)
                else weak_meta(x.__class__) if kind <= SCALAR and x.__class__ in NUMBERS else x
            )

    def keep(self, result, pack) -> None:
        """Pack what the rules read, and forget the arguments."""
        outputs = result if isinstance(result, tuple) else (result,)
        metas = tuple([y._s.m for y in outputs])
        self.out_metas = metas if isinstance(result, tuple) else metas[0]
        self.single = not isinstance(result, tuple)
        for i in sorted({i for r in self.rules for i in r.saves}):
            x = self.values[i]
            self.saved[i] = (
                pack(x) if isinstance(x, Tensor) else tuple([pack(t) for t in x])
                if self.places[i].__class__ is range else x
            )
        for r in self.rules:
            for j in r.some or (range(len(outputs)) if r.saves_out else ()):
                if j not in self.outputs:
                    self.outputs[j] = pack(outputs[j])
        self.values = [m if isinstance(x, Tensor) else x for x, m in zip(self.values, self.metas, strict=True)]


@functools.cache
def _kind(o: Operator) -> type:
    """The custom function of an operator; its nodes bear the operator's name."""
    return type(o.name, (_Operation,), {"__module__": __name__, "operator": o})


class _Operation(Function):
    @classmethod
    def node_name(cls, ctx) -> str:
        call = ctx.call
        nodes = [x if x is None or not hasattr(m, "weak") else SimpleNamespace(m=m, rg=need)
                 for x, m, need in zip(call.values, call.metas, call.needs, strict=True)]
        return grad_name(call.operator, nodes)

    @staticmethod
    def forward(ctx, call, *flat):
        pack, ctx.unpack = RECORDER.tr.saving[-1]
        with without_hooks():
            result = record(call.operator, tuple(call.values))
            ctx.call = call
            call.keep(result, pack)
        ctx.set_materialize_grads(False)
        return result

    @staticmethod
    def backward(ctx, *grads):
        call, unpack = ctx.call, ctx.unpack
        values: dict = {}

        def value(i):
            if i not in values:
                packed, place = call.saved[i], call.places[i]
                if place.__class__ is range:
                    values[i] = tuple([restored(ctx, unpack(p), j) for p, j in zip(packed, place, strict=True)])
                elif ctx._tensors[place]:
                    values[i] = restored(ctx, unpack(packed), place)
                else:
                    values[i] = packed if packed is None or call.operator.kinds[i] > SCALAR else scalar_entry(RECORDER.tr, packed)
            return values[i]

        def output(j):
            if ("out", j) not in values:
                values["out", j] = restored(ctx, unpack(call.outputs[j]), None, j)
            return values["out", j]

        read = {
            "g": lambda r, i: grads[0] if call.single else grads,
            "value": lambda r, i: value(i),
            "out": lambda r, i: output(0) if call.single else tuple([output(j) for j in range(len(grads))]),
            "one": lambda r, i: output(i),
            "out_meta": lambda r, i: call.out_metas,
            "need": lambda r, i: tuple([call.needs[j] for j in r.params]),
            "meta": lambda r, i: call.metas[i],
        }
        made: dict = {}
        for r in call.rules:
            gradients = r.fn(*[read[what](r, i) for what, i in r.reads])
            for i, g in zip(r.params, gradients if r.joint else (gradients,), strict=True):
                several = call.places[i].__class__ is range
                if g is not None:
                    made.update(zip(call.places[i], g, strict=True) if several else ((call.places[i], g),))
        return tuple([
            None if n is None or made.get(j) is None else fitted(made[j], n.m)
            for j, n in enumerate(ctx._input_nodes)
        ])


__all__ = ["disable_saved_tensors_hooks", "saved_tensors_hooks"]
