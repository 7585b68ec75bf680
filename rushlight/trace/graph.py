"""The autograd graph as users see it: `grad_fn`, `next_functions`, hooks."""

from __future__ import annotations

from . import trie
from .engine import origin
from .handles import HookDict, RemovableHandle
from .plan import FUNCTION_OUT, op_node
from .tensor import Tensor
from .trie import FUNCTION, GET, HAS_HISTORY, LEAF, REBASE, RECORDER, RESTRIDE, VARIABLE, WRITE

_CLASSES: dict[str, type] = {}


class GradNode:
    """A node of the backward graph: an operation's gradient, or a leaf's accumulation.

    `tensor.grad_fn` is one; `next_functions` leads on to those of its inputs.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = (x * 2).sum()
    >>> y.grad_fn.name(), y.grad_fn.next_functions[0][0].name()
    ('SumBackward0', 'MulBackward0')
    """

    def __new__(cls, where, node, leaf=None, segment=None):
        """A node of the class that bears its name, as PyTorch's have."""
        made = object.__new__(cls)
        if node is not None:
            made._node = node
            name = made.name()
            kind = _CLASSES.get(name)
            if kind is None:
                kind = _CLASSES[name] = type(name, (GradNode,), {"__doc__": GradNode.__doc__})
            made.__class__ = kind
        return made

    def __init__(self, where, node, leaf=None, segment=None):
        self._where, self._node, self._segment = where, node, segment
        if leaf is not None:
            self.variable = leaf
        self.metadata: dict = {}

    def name(self) -> str:
        """PyTorch's name of this node, e.g. `MulBackward0`."""
        if self._node is None:
            return "struct torch::autograd::AccumulateGrad"
        op = self._node.op
        if op is WRITE:
            return "CopyBackwards"
        if op is REBASE:
            return "CopySlices"
        if op is RESTRIDE:
            return "AsStridedBackward0"
        if op is FUNCTION_OUT or op is FUNCTION:
            fn = self._node.ins[1] if op is FUNCTION_OUT else self._node
            return fn.args[0].__name__ + "Backward"
        return op.grad_name

    @property
    def next_functions(self):
        """((node, output number), ...) of the inputs, None where no gradient flows."""
        v = self._node
        if v is None:
            return ()
        op = v.op
        if op is WRITE:
            inputs = (v.ins[1],)
        elif op is FUNCTION_OUT:
            inputs = v.ins[1].ins
        elif hasattr(op, "kinds"):
            inputs = []
            for i in op.tensor_params:
                x = v.args[i]
                inputs.extend(x if x.__class__ is tuple else (x,))
        else:
            inputs = v.ins
        found = []
        for n in inputs:
            if n.__class__ is not trie.Node or not n.rg:
                if n.__class__ is trie.Node and n.op is not trie.SCALAR:
                    found.append((None, 0))
                continue
            found.append((_at(self._where, n, self._segment), n.number if n.op is GET else 0))
        return tuple(found)

    def register_hook(self, hook):
        """Call `hook(grad_inputs, grad_outputs)`; here with the output gradients only."""
        return self.register_prehook(lambda grads: hook(grads, grads))

    def register_prehook(self, hook):
        """Call `hook(grad_outputs)` before this node's gradient is computed."""
        hooks = _hooks_of(self._segment)

        def one(g):
            changed = hook((g,))
            return None if changed is None else changed[0]

        return _add(hooks.setdefault(self._node, HookDict()), one)

    def __repr__(self) -> str:
        shown = "AccumulateGrad" if self._node is None else self.name()
        return f"<{shown} object at {hex(id(self))}>"

    def __eq__(self, other) -> bool:
        return isinstance(other, GradNode) and (
            self._node is other._node
            and getattr(self, "variable", None) is getattr(other, "variable", None)
        )

    def __hash__(self) -> int:
        return hash((id(self._node), id(getattr(self, "variable", None))))


def _at(where, n, segment):
    v = op_node(n)
    if v.op is LEAF or v.op is VARIABLE:
        x = where[v.number]
        if v.op is LEAF and v.args[0] == HAS_HISTORY:
            return _at(x[0].leaves, x[1], x[0])
        return AccumulateGrad(where, None, x)
    return GradNode(where, v, segment=segment)


class AccumulateGrad(GradNode):
    """The end of a path: adds the gradient to `variable.grad`."""


def grad_fn(t):
    """The node that made tensor `t`, or None for leaves."""
    if t.is_leaf:
        return None
    tr = RECORDER.tr
    segment, node = origin(tr, t)
    if node is None:
        return None
    return GradNode(tr.leaves if segment is None else segment.leaves, op_node(node),
                    segment=segment)


def _add(hooks, hook):
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def _hooks_of(segment):
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
    import weakref

    ref = weakref.ref(t)

    def keep(g):
        kept = ref()
        if kept is not None:
            kept._grad = g if kept._grad is None else kept._grad + g

    add_hook(t, keep)


__all__ = ["AccumulateGrad", "GradNode", "RemovableHandle", "Tensor", "grad_fn"]
