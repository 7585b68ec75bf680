"""The autograd graph as users see it: `grad_fn`, `next_functions`, hooks.

A GradNode shows an operation of the trie (or a leaf) in the history of one tensor. While somebody
holds it, the same object is given out again. Copies that the framework makes for itself (operator
`_laid_out`) are not shown, and an in-place operation shows as the operation that it is.
"""

from __future__ import annotations

import weakref

from .engine import origin
from .handles import HookDict, RemovableHandle
from .names import grad_name
from .plan import FUNCTION_OUT, edges, op_node
from .sweep import AFTER, BEFORE
from .tensor import Tensor
from .trie import FUNCTION, GET, HAS_HISTORY, LEAF, REBASE, RECORDER, RESTRIDE, VARIABLE, WRITE

_CLASSES: dict[str, type] = {}
_KNOWN: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # nodes that somebody holds


class GradNode:
    """A node of the backward graph: an operation's gradient, or a leaf's accumulation.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = (x * 2).tanh()
    >>> y.grad_fn.name(), y.grad_fn.next_functions[0][0].name()
    ('TanhBackward0', 'MulBackward0')
    """

    def __init__(self, where, node, hooks):
        # where: the leaves of the segment; hooks: of the segment, by node
        self._where, self._node, self._hooks = where, node, hooks
        self.metadata: dict = {}
        name = self.name().rsplit("::", 1)[-1]  # its class bears its name, as PyTorch's do
        kind = _CLASSES.get(name)
        if kind is None:
            kind = _CLASSES[name] = type(name, (type(self),), {"__doc__": type(self).__doc__})
        self.__class__ = kind

    def name(self) -> str:
        """PyTorch's name of this node, e.g. `MulBackward0`."""
        v = self._node
        op = v.op
        if op is WRITE:
            return "torch::autograd::CopyBackwards"
        if op is REBASE:
            if v.args[2] is not None:
                return "torch::autograd::CopySlices"
            return "ZeroBackward0" if _in_place(v.ins[0]) else "torch::autograd::CopyBackwards"
        if op is RESTRIDE:
            return "AsStridedBackward0"
        if op is FUNCTION:
            named = getattr(v.args[0], "node_name", None)  # an operator's, recorded in a block of hooks
            return v.args[0].__name__ + "Backward" if named is None else named(self._where[v.number])
        return grad_name(op, v.args)

    @property
    def next_functions(self):
        """((node, output number), ...) of the inputs, None where no gradient flows."""
        return tuple([
            (None, 0) if n is None or not n.rg else _at(self._where, n, self._hooks)
            for n in edges(self._node)
        ])

    def register_hook(self, hook):
        """Call `hook(grad_inputs, grad_outputs)` after this node; it may return other grad_inputs."""
        return _add(self._hooks.setdefault((AFTER, self._node), HookDict()), hook)

    def register_prehook(self, hook):
        """Call `hook(grad_outputs)` before this node; it may return other grad_outputs."""
        return _add(self._hooks.setdefault((BEFORE, self._node), HookDict()), hook)

    def __getattr__(self, name: str):
        node = self.__dict__.get("_node")
        if node is not None and node.op is FUNCTION and not name.startswith("__"):
            return getattr(self._where[node.number], name)  # what a custom function's context holds
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {hex(id(self))}>"


class AccumulateGrad(GradNode):
    """The end of a path: adds the gradient to `variable.grad`."""

    def __init__(self, variable):
        self.variable = variable
        self.metadata = {}

    next_functions = ()

    def name(self) -> str:
        """PyTorch's name."""
        return "torch::autograd::AccumulateGrad"

    def register_hook(self, hook):
        """Call `hook((), (gradient,))` after the gradient was accumulated."""
        return add_post_hook(self.variable, lambda leaf: hook((), (leaf.grad,)))

    def register_prehook(self, hook):
        """Call `hook((gradient,))` before the gradient is accumulated; it may return another."""
        return add_hook(self.variable, lambda g: _first(hook((g,))))


def _first(changed):
    return None if changed is None else changed[0]


def _in_place(v) -> bool:
    """Whether a write is the second half of an in-place operation."""
    return len(v.args) > 3


def _known(key, make):
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = make()
    return found


def _shown(n):
    """(the operation behind value `n` that is shown, which of its outputs `n` is)."""
    v, number = op_node(n), n.number if n.op is GET else 0
    while True:
        if v.op is WRITE and _in_place(v):
            n = v.ins[1]
        elif getattr(v.op, "name", "") == "_laid_out":
            n = v.ins[0]
        elif v.op is FUNCTION_OUT:
            return v.ins[1], v.number
        else:
            return v, number
        v, number = op_node(n), n.number if n.op is GET else 0


def _at(where, n, hooks):
    """(the GradNode of value `n` of a segment, the number of the output)."""
    v, number = _shown(n)
    if v.op is LEAF or v.op is VARIABLE:
        x = where[v.number]
        if v.op is LEAF and v.args[0] == HAS_HISTORY:
            return _at(x[0].leaves, x[1], _hooks_of(x[0]))
        return _known(id(x), lambda: AccumulateGrad(x)), 0
    return _known((id(hooks), id(v)), lambda: GradNode(where, v, hooks)), number


def grad_fn(t):
    """The node that made tensor `t`, or None for leaves."""
    if t.is_leaf:
        return None
    tr = RECORDER.tr
    segment, node = origin(tr, t)
    if node is None:
        return None
    return _at((segment or tr).leaves, node, _hooks_of(segment))[0]


def output_number(t) -> int:
    """Which of its operation's outputs `t` is."""
    segment, node = origin(RECORDER.tr, t)
    return 0 if node is None else _shown(node)[1]


def _add(hooks, hook):
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def _hooks_of(segment):
    """The hooks of an executed segment, or of the running one (which takes them along)."""
    holder = RECORDER.tr if segment is None else segment
    if holder.hooks is None:
        holder.hooks = {}
    return holder.hooks


def add_hook(t, hook):
    """Tensor.register_hook."""
    if not t._s.rg:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if t.is_leaf:
        if t._hooks is None:
            t._hooks = HookDict()
        return _add(t._hooks, hook)
    segment, node = origin(RECORDER.tr, t)
    return _add(_hooks_of(segment).setdefault(node, HookDict()), hook)


def add_post_hook(t, hook):
    """Tensor.register_post_accumulate_grad_hook."""
    if not t.is_leaf or not t._s.rg:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if t._post_hooks is None:
        t._post_hooks = HookDict()
    return _add(t._post_hooks, hook)


def retain_grad(t) -> None:
    """Tensor.retain_grad."""
    if not t._s.rg:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if t.is_leaf or t._retains:
        return
    t._retains = True
    ref = weakref.ref(t)

    def keep(g):
        kept = ref()
        if kept is not None:
            kept._grad = g.clone() if kept._grad is None else kept._grad + g

    segment, node = origin(RECORDER.tr, t)
    _hooks_of(segment).setdefault(node, HookDict()).last = keep  # it sees what the hooks made


__all__ = ["AccumulateGrad", "GradNode", "RemovableHandle", "Tensor", "grad_fn"]
