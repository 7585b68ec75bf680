"""Activation checkpointing: recompute a function in backward() instead of keeping its values.

The function becomes one custom Function of its tensor arguments and of the leaves that it reaches
by itself (a module's parameters). Those are found by recording it with gradients the first time;
nothing of that recording is kept.
"""

from __future__ import annotations

import contextlib

from ..autograd.function import Function
from ..random import fork_rng, get_rng_state, set_rng_state
from ..trace import engine
from ..trace.autocast import switch
from ..trace.modes import enable_grad, is_grad_enabled
from ..trace.segments import forget_saved
from ..trace.tensor import Tensor
from ..trace.trie import RECORDER


class _Gate(Function):
    """The identity; while the gate is shut, gradients stop here."""

    @staticmethod
    def forward(ctx, x, shut):
        ctx.shut = shut
        return x.view(x.shape)

    @staticmethod
    def backward(ctx, g):
        return (None if ctx.shut else g), None


class _Call:
    """A function with its arguments, and the state of the process that it was called in."""

    def __init__(self, function, args, kwargs, contexts, preserve):
        self.function, self.kwargs, self.contexts, self.preserve = function, kwargs, contexts, preserve
        self.template = [None if isinstance(a, Tensor) else a for a in args]
        self.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        self.half = RECORDER.tr.autocast
        self.random = get_rng_state() if preserve else None

    def run(self, tensors):
        """The result for these tensors in place of the arguments'."""
        args = list(self.template)
        for i, t in zip(self.places, tensors, strict=True):
            args[i] = t
        return self.function(*args, **self.kwargs)

    @contextlib.contextmanager
    def state(self):
        """Random numbers and autocast as they were at the call."""
        with fork_rng(enabled=self.preserve):
            if self.preserve:
                set_rng_state(self.random)
            half = switch(self.half)
            try:
                yield
            finally:
                switch(half)


class _Recompute(Function):
    @staticmethod
    def forward(ctx, call, outputs, *tensors):
        ctx.call = call
        ctx.save_for_backward(*tensors)
        return outputs

    @staticmethod
    def backward(ctx, *grads):
        call, again, shut = ctx.call, is_grad_enabled(), []
        count = len(call.places)
        saved, others = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        with call.state(), enable_grad(), call.contexts()[1]:
            args = [
                t if not t.requires_grad
                else _Gate.apply(t, shut) if again else t.detach().requires_grad_()
                for t in saved
            ]
            outputs = [y for y in _tensors(call.run(args)) if y.requires_grad]
        wanted = [t for t in (*args, *others) if t.requires_grad]
        pairs = [(y, g) for y, g in zip(outputs, grads, strict=True) if g is not None]
        shut.append(True)  # else the paths beyond an argument would count twice
        made = iter(engine.grad(
            tuple(y for y, _ in pairs), tuple(wanted), tuple(g for _, g in pairs), True, again, True
        ))
        shut.clear()
        return None, None, *[next(made) if t.requires_grad else None for t in (*args, *others)]


def _tensors(result) -> list[Tensor]:
    """The tensors in nested lists, tuples and dicts."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, dict):
        result = result.values()
    return [t for r in result for t in _tensors(r)] if isinstance(
        result, (list, tuple, type({}.values()))
    ) else []


def _replaced(result, found: dict):
    """A nested result with other tensors in place of some."""
    if isinstance(result, Tensor):
        return found.get(id(result), result)
    if isinstance(result, dict):
        return type(result)((k, _replaced(r, found)) for k, r in result.items())
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*[_replaced(r, found) for r in result])
    if isinstance(result, (list, tuple)):
        return type(result)(_replaced(r, found) for r in result)
    return result


def _no_contexts():
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(function, *args, use_reentrant: bool | None = None, context_fn=_no_contexts,
               determinism_check: str = "default", debug: bool = False, early_stop: bool = True,
               preserve_rng_state: bool = True, **kwargs):
    """`function(*args, **kwargs)`, whose intermediate values are computed again in backward().

    Gradients reach the arguments and whatever else the function uses, at any order. context_fn gives
    two context managers, for the call and for the recomputation. With preserve_rng_state, random
    numbers are the same again. Both values of `use_reentrant` run the same way; determinism_check,
    debug and early_stop are accepted.

    >>> from rushlight.utils.checkpoint import checkpoint
    >>> layer, x = nn.Linear(4, 4), torch.ones(2, 4)
    >>> checkpoint(layer, x, use_reentrant=False).sum().backward()
    >>> layer.bias.grad
    tensor([2., 2., 2., 2.])
    """
    if not is_grad_enabled():
        with context_fn()[0]:
            return function(*args, **kwargs)
    call = _Call(function, args, kwargs, context_fn, preserve_rng_state)
    tensors = [args[i] for i in call.places]
    inner = [t.detach().requires_grad_() if t.requires_grad else t for t in tensors]
    with context_fn()[0]:
        result = call.run(inner)
    outputs = [y for y in _tensors(result) if y.requires_grad]
    if outputs:
        own = {id(t) for t in inner}
        others = [t for t in engine.leaves_of(outputs) if id(t) not in own]
        made = _Recompute.apply(call, tuple([y.detach() for y in outputs]), *tensors, *others)
        result = _replaced(result, {id(y): z for y, z in zip(outputs, made, strict=True)})
    del inner, outputs
    forget_saved()
    return result


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None,
                          **kwargs):
    """A sequence of modules in `segments` checkpointed pieces (the last one is not).

    >>> from rushlight.utils.checkpoint import checkpoint_sequential
    >>> net = torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(4)])
    >>> x = torch.ones(1, 3, requires_grad=True)
    >>> bool((checkpoint_sequential(net, 2, x, use_reentrant=False) == net(x)).all())
    True
    """
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(functions) // segments

    def piece(start, stop):
        def run(x):
            for f in functions[start:stop]:
                x = f(x)
            return x

        return run

    at = 0
    for _ in range(segments - 1):
        input = checkpoint(piece(at, at + size), input, use_reentrant=use_reentrant, **kwargs)
        at += size
    return piece(at, len(functions))(input)
