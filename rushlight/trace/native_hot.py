"""The recorders of `hot.py` that are taken over by native code, once the process has some.

What is usual (`runtime/recorder.py` says what that is) costs 0.1 instead of 0.4 microseconds there. A public
function keeps its Python signature and calls native code; Python's operators (`a * b`) become native methods.
"""

from __future__ import annotations

from ..runtime import ending, objects, recorder
from . import autocast, hot, overrides, segments
from .forms import finish
from .operator import LIST, OPERATORS, OPTIONAL, RUNTIME, SCALAR, TENSOR, Operator
from .record import Parameter, Tensor, missed
from .trie import HAS_HISTORY, LEAF, NO_GRAD, TRUE_LEAF, Node, Position, Storage

SLOTS = {name: kind for kind, names in (
    (Tensor, "_s _tr _base _storage _buf _history _generation"),
    (Position, "st ts scalars thread serial leaves bufs"),
    (Node, "first_key first next op m rg grad_on call"),
    (Storage, "exposed recorder segment node generation"),
) for name in names.split()}


def install(load) -> None:
    """Let native code take over, unless this Python lays out its objects in another way. load: of the compiler."""
    offsets = objects.layout(**SLOTS)
    if offsets is None or not objects.as_expected():
        return
    code = load(recorder.text(offsets), recorder.EXPORTS)
    named = {
        "tensor": Tensor, "parameter": Parameter, "float": float, "int": int, "none": None, "leaf": LEAF, "zero": 0,
        "finish": finish, "tuple": tuple, "no_grad": NO_GRAD, "true_leaf": TRUE_LEAF, "true": True, "false": False,
        "has_history": HAS_HISTORY, "enter": segments.enter, "entered": segments.entered, "missed": missed, "moved": segments.moved,
        "storage_identity": Tensor.storage_identity,
    }
    hot.NATIVE[0] = native = _Native(recorder.NativeRecorder(code, named))
    segments.entered = native.made.entered()
    segments.live, segments.detach = ending.functions(load(ending.text(offsets), ending.EXPORTS), named)
    for o in list(OPERATORS.values()):
        for bare in (False, True):
            if hot.compiled(o, bare):
                native.take(o, bare)


class _Native:
    def __init__(self, made: recorder.NativeRecorder):
        self.made = made
        self.functions: dict[Operator, object] = {}
        self.methods: dict[str, object] = {}
        self.taken: dict[Operator, list[str]] = {}  # attributes of Tensor that are native now

    def take(self, o: Operator, bare: bool) -> None:
        """Hand an operator's compiled recorder to native code, where it is able to do it."""
        kinds = _kinds(o)
        if kinds is None or overrides.ACTIVE[0] or autocast.USED[0] and o.name in autocast.POLICY:
            return
        if not bare:
            made = self.functions.get(o)
            if made is None:
                flags = recorder.FINISH * bool(o.several or o.view) + recorder.VIEW * o.view
                made = self.functions[o] = self.made.function(o, hot.made(o, hot.PLAIN), kinds, flags)
            o.record.__code__ = hot.guarded_code(o, made)
        elif not (o.several or o.view):
            names = [n for n, f in Tensor.__dict__.items() if f is o.bare]
            for name in names:
                made = self.methods.get(name)
                if made is None:
                    made = self.methods[name] = self.made.method(Tensor, name, o, o.bare, kinds)
                if made is not None:
                    setattr(Tensor, name, made)
            self.taken[o] = names

    def release(self, o: Operator) -> None:
        """An operator's recorders will be compiled again."""
        self.functions.pop(o, None)
        for name in self.taken.pop(o, ()):
            setattr(Tensor, name, o.bare)


def _kinds(o: Operator) -> list[int] | None:
    """The kinds of an operator's arguments for native code; None if it cannot do this operator."""
    if o.mutates or len(o.kinds) > recorder.MOST or {LIST, RUNTIME} & set(o.kinds):
        return None
    able = {i for i, k in enumerate(o.kinds) if k == TENSOR and i and o.numbers and o.casts[i]}
    known = {TENSOR: recorder.TENSOR, OPTIONAL: recorder.OPTIONAL, SCALAR: recorder.NUMBER}
    return [recorder.NUMBER_TOO if i in able else known.get(k, recorder.ATTRIBUTE) for i, k in enumerate(o.kinds)]
