"""A model's graph for TensorBoard: the operators of one forward pass, grouped by module."""

from __future__ import annotations

import warnings
from typing import Any

from ...trace import trie
from ...trace.segments import flush, uncut
from ...trace.tensor import Tensor
from ...trace.trie import RECORDER
from . import messages

HIDDEN = ("root", "mode", "leaf", "scalar", "get")


def _tensors(x: Any) -> list:
    if isinstance(x, Tensor):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [t for v in x for t in _tensors(v)] if isinstance(x, (tuple, list)) else []


class _Scopes:
    """Which module was running when an operation was recorded."""

    def __init__(self, model):
        self.paths = {m: n for n, m in model.named_modules()}
        self.root = type(model).__name__
        self.running: list[str] = [self.root]
        self.marks: list[tuple[int, str]] = []  # from this place in the path on: this module

    def name(self, module) -> str:
        path = self.paths[module]
        return f"{self.root}/{path.replace('.', '/')}" if path else self.root

    def mark(self) -> None:
        self.marks.append((RECORDER.tr.st.slot, self.running[-1]))

    def before(self, module, args):
        self.running.append(self.name(module))
        self.mark()

    def after(self, module, args, output):
        self.running.pop()
        self.mark()

    def at(self, slot: int) -> str:
        found = self.root
        for start, name in self.marks:
            if start >= slot:
                break
            found = name
        return found


def trace(model: Any, inputs: Any) -> bytes:
    """GraphDef of `model(*inputs)`.

    Nodes are operators; their names are the module's path and the operator. Parameters, buffers and
    inputs are nodes too. Reading a value inside of forward ends a segment: only what comes after is
    shown then, with a warning.
    """
    import rushlight

    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    scopes = _Scopes(model)
    handles = []
    for m in scopes.paths:
        handles.append(m.register_forward_pre_hook(scopes.before))
        handles.append(m.register_forward_hook(scopes.after))
    modes = [(m, m.training) for m in model.modules()]
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    random_state = rushlight.get_rng_state()
    eager = trie.EAGER
    try:
        if eager:
            trie.set_eager(False)
        flush()
        tr = RECORDER.tr
        with rushlight.no_grad(), uncut():
            model.eval()
            serial = tr.serial
            output = model(*args)
            if tr.serial != serial:
                warnings.warn("add_graph: forward read a tensor's value; the graph shows only what "
                              "comes after", stacklevel=3)
            made = _graph(tr, model, args, output, scopes)
            flush()
            for b, value in buffers:
                if not rushlight.equal(b, value):
                    b.copy_(value)
    finally:
        for h in handles:
            h.remove()
        for m, training in modes:
            m.training = training
        if eager:
            trie.set_eager(True)
        rushlight.set_rng_state(random_state)
    return made


def _graph(tr, model, args, output, scopes) -> bytes:
    known: dict[int, tuple[str, str]] = {}
    for n, t in [*model.named_parameters(), *model.named_buffers()]:
        known[id(t)] = f"{scopes.root}/{n.replace('.', '/')}", "Parameter"
    for number, t in enumerate(_tensors(args)):
        known[id(t)] = f"input/{number}", "Input"
    nodes: dict[str, bytes] = {}
    names: dict[Any, str] = {}

    def fresh(name: str) -> str:
        unique, number = name, 1
        while unique in nodes:
            unique, number = f"{name}_{number}", number + 1
        return unique

    def source(v) -> str:
        """The name of what makes value `v`."""
        if v.op is trie.GET:
            return f"{source(v.ins[0])}:{v.number}"
        if v in names:
            return names[v]
        if v.op is trie.SCALAR:
            name = fresh("numbers/number")
            nodes[name] = messages.node(name, "Const", [], [()])
        else:
            t = tr.leaves[v.number] if v.op is trie.LEAF else None
            found = known.get(id(t)) or known.get(id(getattr(t, "_base", None)))
            if found is not None and found[0] in nodes:
                names[v] = found[0]  # a view of what is there already
                return found[0]
            name, kind = found or (fresh("constants/constant"), "Const")
            nodes[name] = messages.node(name, kind, [], [tuple(v.m.shape)], str(v.m.dtype))
        names[v] = name
        return name

    for v in trie.path_of(tr.st):
        if v.op.name in HIDDEN:
            continue
        scope = scopes.at(v.slot)
        inputs = [source(i) for i in v.ins if i.op is not trie.SCALAR]
        op = v.op.name.strip("_")
        name = fresh(f"{scope}/{op}")
        outs = v.outs or (v,)
        rest = [f"{n}={a!r}" for n, a in zip(getattr(v.op, "names", ()), v.args, strict=False)
                if not isinstance(a, (trie.Node, tuple)) or (isinstance(a, tuple) and not any(
                    isinstance(e, trie.Node) for e in a))]
        nodes[name] = messages.node(name, op, inputs, [tuple(o.m.shape) for o in outs],
                                    ", ".join(rest))
        names[v] = name
    for number, t in enumerate(_tensors(output)):
        if t._tr is tr:
            name = f"output/{number}"
            nodes[name] = messages.node(name, "Output", [source(t._s)], [tuple(t.shape)])
    return messages.graph(list(nodes.values()))
