"""Custom differentiable functions: `autograd.Function`."""

from __future__ import annotations

import inspect
from typing import Any

from ..trace import trie
from ..trace.layouts import filled
from ..trace.modes import no_grad, set_grad_enabled
from ..trace.plan import FUNCTION_OUT
from ..trace.record import site
from ..trace.segments import end_segment, enter
from ..trace.sweep import FREED_MESSAGE
from ..trace.tensor import Tensor, array
from ..trace.trie import FUNCTION, LEAF, LOCK, RECORDER, VARIABLE, child, idle
from ..trace.write import edge

new = object.__new__


class FunctionCtx:
    """What `forward` leaves for `backward`: saved tensors, flags and any attributes.

    >>> class Scale(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x, factor):
    ...         ctx.factor = factor
    ...         return x * factor
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         return g * ctx.factor, None
    >>> x = torch.ones(2, requires_grad=True)
    >>> Scale.apply(x, 3.0).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """

    def __init__(self):
        self._saved: tuple = ()
        self._versions: tuple = ()
        self._outputs: dict = {}  # {place among the saved: node of the output that it is}
        self._segment: Any = None  # where the output lies, while backward() runs
        self._freed = False
        self._unpack: Any = None  # the hook that makes a saved tensor out of what the pack hook returned
        self._dirty: tuple = ()
        self._non_differentiable: tuple = ()
        self._materialize = True
        self.needs_input_grad: tuple = ()

    def save_for_backward(self, *tensors) -> None:
        """Keep tensors (or None) for backward; later in-place changes to them are noticed."""
        self._saved = tensors
        self._versions = tuple([None if t is None else t._version for t in tensors])

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple:
        """The tensors given to `save_for_backward`."""
        if self._freed:
            raise RuntimeError(FREED_MESSAGE)
        if self._unpack is not None:
            return tuple([
                None if t is None else restored(self, self._unpack(t), place, None, self._outputs.get(i))
                for i, (t, place) in enumerate(zip(self._saved, self._places, strict=True))
            ])
        for t, version in zip(self._saved, self._versions, strict=True):
            if t is not None and t._version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: [{t.dtype.name} {list(t.shape)}] is at version "
                    f"{t._version}; expected version {version} instead."
                )
        if self._outputs and RECORDER.tr.grad_on:
            return tuple([
                t if i not in self._outputs else with_history(t, self._segment, self._outputs[i])
                for i, t in enumerate(self._saved)
            ])
        return self._saved

    saved_variables = saved_tensors

    def mark_dirty(self, *tensors) -> None:
        """Tell that forward changed these inputs in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors) -> None:
        """Tell that these outputs have no gradient."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing output gradients reach backward as zeros (default) or None."""
        self._materialize = value

    # ---- called by the engine

    def free(self) -> None:
        """Drop what was saved: a backward() that keeps no graph is over."""
        self._freed, self._saved, self._versions = True, (), ()

    def pack(self, pack, unpack, args) -> None:
        """Give what was saved to a hook, and keep what it returns."""
        self._places = [next((i for i, a in enumerate(args) if a is t), None) for t in self._saved]
        with no_grad():
            self._saved = tuple([None if t is None else pack(t) for t in self._saved])
        self._unpack = unpack

    def run_backward(self, slots, segment):
        """Pairs of input node and gradient, from the output gradients {number: gradient}."""
        self._segment = segment
        grads = []
        for j, m in enumerate(self._output_metas):
            g = slots.get(j)
            if g is None and self._materialize and m is not None:
                g = filled(m.shape, 0, m.dtype)
            grads.append(g)
        made = _backward_of(self._function)(self, *grads)
        if not isinstance(made, tuple):
            made = (made,)
        expected = len(self.needs_input_grad)
        if len(made) < expected or any(g is not None for g in made[expected:]):
            raise RuntimeError(
                f"function {self._function.__name__}Backward returned an incorrect number of "
                f"gradients (expected {expected}, got {len(made)})"
            )
        pairs = []
        name = self._function.__name__ + "Backward"
        for i, (n, g) in enumerate(zip(self._input_nodes, made, strict=False)):
            if g is None:
                continue
            if not isinstance(g, Tensor):
                raise RuntimeError(
                    f"{name}: expected Variable or None as gradient {i} (got {type(g).__name__})"
                )
            if n is None:
                if not self._tensors[i]:
                    raise RuntimeError(
                        f"function {name} returned a gradient different than None at position "
                        f"{i + 1}, but the corresponding forward input was not a Variable"
                    )
                continue
            if g.shape != n.m.shape:
                if g.numel() != n.m.numel and not _sums_to(g.shape, n.m.shape):
                    raise RuntimeError(
                        f"Function {name} returned an invalid gradient "
                        f"at index {len(pairs)} - got {list(g.shape)} but expected shape "
                        f"compatible with {list(n.m.shape)}"
                    )
            pairs.append((n, g))
        return pairs


def with_history(saved, segment, node):
    """A saved output of a custom function as the tensor that the caller got."""
    t = new(Tensor)
    if segment is None:
        tr = RECORDER.tr
        t._s, t._tr, t._buf = node, tr, saved._buf
        tr.ts.append(t)
    else:
        t._s, t._tr, t._buf = idle(node.m, True), None, array(saved)
        t._history = (segment, node)
    t._storage = saved.storage_identity()
    return t


def restored(ctx, value, place, output=None, node=None):
    """An unpacked value in its place in the graph, where gradients are recorded.

    place: the number of the argument that it is, or None; output: the number of the output that it is.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"the unpack hook must return a Tensor, not {type(value).__name__}")
    if output is not None:
        node = ctx._output_nodes.get(output)
    if not RECORDER.tr.grad_on:
        return value
    n = ctx._input_nodes[place] if node is None and place is not None else node
    if n is None:
        return value.detach()
    if n.op not in (LEAF, VARIABLE):
        return with_history(value.detach(), ctx._segment, n)
    leaf = (ctx._segment or RECORDER.tr).leaves[n.number]
    if not isinstance(leaf, Tensor):
        return with_history(value.detach(), *leaf[:2])
    return leaf if value is leaf else _Stand.apply(leaf, value)


def _backward_of(cls):
    """`backward` or `vjp`, whichever a custom function defines."""
    if cls.vjp is Function.vjp:
        return cls.backward
    if cls.backward is not Function.backward:
        raise RuntimeError(
            f"Implementing both 'backward' and 'vjp' for a custom Function ({cls.__name__}) is not "
            "allowed. You should only implement one of them."
        )
    return cls.vjp


def _sums_to(shape, target) -> bool:
    if len(shape) < len(target):
        return False
    tail = shape[len(shape) - len(target):]
    return all(b in (1, a) for a, b in zip(tail, target, strict=True))


class Function:
    """Base class of custom functions: static `forward(ctx, ...)` and `backward(ctx, *grads)`.

    `forward` may leave out `ctx` if the class has `setup_context(ctx, inputs, output)`. `backward`
    returns a gradient, or None, for each argument of forward. Call it as `MyFunction.apply(...)`.
    Gradients of `backward` itself are recorded when create_graph is set.

    >>> class Square(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         x, = ctx.saved_tensors
    ...         return 2 * x * g
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> torch.autograd.grad(Square.apply(x), x)
    (tensor(6.),)
    """

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom "
                                  "autograd.Function.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward
    setup_context = None

    def __call__(self, *args):
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use "
            "new-style autograd function with static forward method."
        )

    @classmethod
    def apply(cls, *args, **kwargs):
        """Run `forward`, and remember `backward` for the tensors among the arguments."""
        if kwargs and cls.setup_context is None:
            raise TypeError(
                f"forward() got an unexpected keyword argument '{next(iter(kwargs))}': "
                f"{cls.__name__}.apply() takes keywords only with setup_context"
            )
        if cls.setup_context is not None:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        ctx = FunctionCtx()
        ctx._function = cls
        tensors = [a if isinstance(a, Tensor) else None for a in args]
        ctx.needs_input_grad = tuple([t is not None and t._s.rg for t in tensors])
        tr = RECORDER.tr
        differentiable = tr.grad_on and any(ctx.needs_input_grad)
        with LOCK:
            nodes = [
                None if t is None or not t._s.rg else (t._s if t._tr is tr else enter(tr, t))
                for t in tensors
            ]
            serial = tr.serial
        with no_grad():
            if cls.setup_context is not None:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args)
        if not differentiable:
            return result
        outputs = result if isinstance(result, tuple) else (result,)
        made = _attach(ctx, tr, tensors, nodes, serial, outputs)
        if tr.saving and ctx._saved:
            ctx.pack(*tr.saving[-1], args)
        return made if isinstance(result, tuple) else made[0]


def _attach(ctx, tr, tensors, nodes, serial, outputs):
    """Give the outputs of a custom function their place in the autograd graph."""
    with LOCK:
        if tr.serial != serial:  # forward read a value: the inputs are leaves of a new segment
            nodes = [
                None if n is None else (t._s if t._tr is tr else enter(tr, t))
                for t, n in zip(tensors, nodes, strict=True)
            ]
        entered = [
            None if not isinstance(y, Tensor) else y._s if y._tr is tr else enter(tr, y)
            for y in outputs
        ]
        inputs = tuple([n for n in nodes if n is not None])
        first = next((y for y in outputs if isinstance(y, Tensor)), None)
        if first is None:
            return outputs
        v, fresh = edge(tr, FUNCTION, (ctx._function, *inputs), first._s.m, True, ins=inputs)
        if fresh:
            v.number, v.site = len(tr.leaves), site()
        tr.leaves.append(ctx)
        tr.bufs.append(None)
        ctx._output_nodes = {}
        ctx._input_nodes, ctx._tensors = nodes, [t is not None for t in tensors]
        ctx._output_metas = [y._s.m if isinstance(y, Tensor) else None for y in outputs]
        made = []
        for j, y in enumerate(outputs):
            plain = (
                not isinstance(y, Tensor)
                or y._s.m.dtype.category < 2
                or any(y is x for x in ctx._non_differentiable)
            )
            made.append(y if plain else _output(ctx, tr, v, y, entered[j], j))
        if trie.EAGER:
            end_segment(tr)
        return tuple(made)


def _output(ctx, tr, v, y, a, j):
    """Output `j` as a tensor with history; the input itself if it was changed in place."""
    key = (FUNCTION_OUT, a, v, j)
    w = child(tr.st, key)
    if w is None:
        w, _ = edge(tr, FUNCTION_OUT, (a, v, j), a.m, True, a.root, ins=(a, v))
        w.number = j
    tr.st = w
    ctx._output_nodes[j] = w
    ctx._outputs.update((i, w) for i, x in enumerate(ctx._saved) if x is y)
    if any(y is d for d in ctx._dirty):
        t = y
        storage = y.storage_identity()
        storage.version += 1
        storage.generation += 1
        t._generation = storage.generation
        t._history = None
        ctx._saved = tuple([x.detach() if x is y else x for x in ctx._saved])  # else it holds itself
    else:
        t = new(Tensor)
        t._tr = tr
        t._storage = y.storage_identity()
        if tr.immediate:
            t._buf = y._buf
        tr.ts.append(t)
    t._s = w
    return t


class _Stand(Function):
    """A value in the place of a leaf: gradients go to the leaf."""

    @staticmethod
    def forward(ctx, leaf, value):
        return value.detach()

    @staticmethod
    def backward(ctx, g):
        return g, None


class _Once:
    def __init__(self, fn):
        self.fn = fn

    def __call__(self, ctx, *args):
        with set_grad_enabled(False):
            return self.fn(ctx, *args)


def once_differentiable(fn):
    """Mark a backward that must not be differentiated again."""
    return _Once(fn)


__all__ = ["Function", "FunctionCtx", "once_differentiable"]
